// Drift in the database: cohorts, what each device has waiting in the open window, windows on record.
#pragma once
#include "common/database.hpp"

#include <string>
#include <vector>

namespace ferry::server {

inline constexpr std::int64_t drift_windows_max = 2'000;  // kept per cohort, newest

struct DriftCohortRow {
  std::string id, model, version, manifest_sha256, hardware_class, rollout, arm;
  std::int64_t seen_ms = 0;
  std::string state;  // ferry.drift-cohort/1
};

struct DriftDeviceRow {
  std::string cohort, device;
  std::int64_t seen_ms = 0;
  std::int64_t since_ms = 0;
  bool member = true;
  std::string counts;  // "": nothing waits
};

// Thread-safe as the database is. All calls block.
class DriftStore {
 public:
  explicit DriftStore(Database& database) : database_(database) {}

  Result<std::vector<DriftCohortRow>> cohorts();
  Result<std::vector<DriftDeviceRow>> devices();  // by cohort and device
  Result<> put_cohort(const DriftCohortRow& row);
  Result<> put_device(const DriftDeviceRow& row);
  Result<> erase_device(const std::string& cohort, const std::string& device);
  Result<> erase_cohort(const std::string& cohort);  // with all that is its own
  // After a closed window: nothing waits any more, and devices that are no members are gone.
  Result<> start_window(const std::string& cohort);

  Result<> add_window(const std::string& cohort, std::int64_t number, std::int64_t end_ms, const std::string& body);
  // Bodies of those that ended at or after `since_ms`, oldest first, at most the newest `limit`.
  Result<std::vector<std::string>> windows(const std::string& cohort, std::int64_t since_ms, std::int64_t limit);
  Result<std::int64_t> last_window(const std::string& cohort);  // its number; 0: none
  Result<> forget_windows_before(std::int64_t end_ms);

 private:
  Database& database_;
};

}  // namespace ferry::server
