// Rollouts in the database: plan, head, one row per device that was offered the release, the verdict log.
#pragma once
#include "common/database.hpp"
#include "server/rollout/rollout_machine.hpp"

namespace ferry::server {

inline constexpr std::int64_t rollout_log_entries_max = 10'000;  // kept per rollout
inline constexpr std::int64_t rollout_log_shown_max = 200;

// Thread-safe as the database is. All calls block.
class RolloutStore {
 public:
  explicit RolloutStore(Database& database) : database_(database) {}

  // Plan, first head and log in one transaction: O(phases), never O(devices).
  Result<> insert(const RolloutPlan& plan, const Decision& first);
  // Durable when it returns; `id` of the rollout.
  Result<> save(const std::string& id, const Decision& decision);
  // Ids, newest first; at most `per_model` of each model.
  Result<std::vector<std::string>> newest(std::int64_t per_model);
  Result<Rollout> load(const std::string& id);              // not_found
  Result<std::vector<Verdict>> log(const std::string& id);  // newest first

 private:
  Result<> add_log(Database& database, const std::string& id, const std::vector<Verdict>& log);
  Database& database_;
};

}  // namespace ferry::server
