// Live gates in the database: what each pair has shown, and the verdicts with their whole evidence.
#pragma once
#include "common/database.hpp"
#include "telemetry/window.hpp"

#include <string>
#include <vector>

namespace ferry::server {

inline constexpr std::int64_t verdict_records_max = 50;  // kept per rollout, newest

// One pair as stored. Sketches are totals since `started_ms`, without the warm-up.
struct GatePairRow {
  std::int64_t number = 0;           // place in the plan's pairs
  std::int64_t started_ms = 0;       // the canary's commit; 0: not yet
  std::int64_t canary_heard_ms = 0;  // last window with live counts of the release it should run; 0: none
  std::int64_t control_heard_ms = 0;
  std::string evidence;                                    // telemetry::PairEvidence as JSON
  telemetry::ReleaseWindow canary_before, control_before;  // frozen at the start
  telemetry::ReleaseWindow canary_now, control_now;
};

struct VerdictRecord {
  std::int64_t at_ms = 0;
  std::string decision;
  std::string body;  // ferry.verdict/1 (docs/formats/verdict.md)
};

// Thread-safe as the database is. All calls block.
class GateStore {
 public:
  explicit GateStore(Database& database) : database_(database) {}

  Result<> insert(const std::string& rollout, const GatePairRow& row);
  Result<std::vector<GatePairRow>> load(const std::string& rollout);  // by number
  Result<> set_start(const std::string& rollout, const GatePairRow& row);
  Result<> set_now(const std::string& rollout, const GatePairRow& row);
  Result<> set_evidence(const std::string& rollout, std::int64_t number, const std::string& evidence);

  Result<> add_verdict(const std::string& rollout, const VerdictRecord& record);
  Result<std::vector<VerdictRecord>> verdicts(const std::string& rollout, std::int64_t limit);  // newest first

 private:
  Database& database_;
};

}  // namespace ferry::server
