// SQL of drift.
#include "server/store/drift.hpp"

#include <algorithm>

namespace ferry::server {

Result<std::vector<DriftCohortRow>> DriftStore::cohorts() {
  TRY(auto rows, database_.query("select id, model, version, manifest_sha256, hardware_class, rollout, arm, seen_ms, "
                                 "state from drift_cohorts order by id"));
  std::vector<DriftCohortRow> cohorts;
  cohorts.reserve(rows.size());
  for (const Row& row : rows)
    cohorts.push_back({row.text(0), row.text(1), row.text(2), row.text(3), row.text(4), row.text(5), row.text(6),
                       row.integer(7), row.text(8)});
  return cohorts;
}

Result<std::vector<DriftDeviceRow>> DriftStore::devices() {
  TRY(auto rows, database_.query("select cohort, device, seen_ms, since_ms, member, counts from drift_devices "
                                 "order by cohort, device"));
  std::vector<DriftDeviceRow> devices;
  devices.reserve(rows.size());
  for (const Row& row : rows)
    devices.push_back({row.text(0), row.text(1), row.integer(2), row.integer(3), row.integer(4) != 0, row.text(5)});
  return devices;
}

Result<> DriftStore::put_cohort(const DriftCohortRow& row) {
  return execute(database_,
                 "insert into drift_cohorts (id, model, version, manifest_sha256, hardware_class, rollout, arm, "
                 "seen_ms, state) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
                 "on conflict (id) do update set seen_ms = $8, state = $9",
                 {row.id, row.model, row.version, row.manifest_sha256, row.hardware_class, row.rollout, row.arm,
                  row.seen_ms, row.state});
}

Result<> DriftStore::put_device(const DriftDeviceRow& row) {
  return execute(database_,
                 "insert into drift_devices (cohort, device, seen_ms, since_ms, member, counts) "
                 "values ($1, $2, $3, $4, $5, $6) on conflict (cohort, device) do update set seen_ms = $3, "
                 "since_ms = $4, member = $5, counts = $6",
                 {row.cohort, row.device, row.seen_ms, row.since_ms, std::int64_t{row.member ? 1 : 0}, row.counts});
}

Result<> DriftStore::erase_device(const std::string& cohort, const std::string& device) {
  return execute(database_, "delete from drift_devices where cohort = $1 and device = $2", {cohort, device});
}

Result<> DriftStore::erase_cohort(const std::string& cohort) {
  TRY_VOID(execute(database_, "delete from drift_windows where cohort = $1", {cohort}));
  TRY_VOID(execute(database_, "delete from drift_devices where cohort = $1", {cohort}));
  return execute(database_, "delete from drift_cohorts where id = $1", {cohort});
}

Result<> DriftStore::start_window(const std::string& cohort) {
  TRY_VOID(execute(database_, "delete from drift_devices where cohort = $1 and member = 0", {cohort}));
  return execute(database_, "update drift_devices set since_ms = 0, counts = '' where cohort = $1 and counts <> ''",
                 {cohort});
}

Result<> DriftStore::add_window(const std::string& cohort, std::int64_t number, std::int64_t end_ms,
                                const std::string& body) {
  TRY_VOID(execute(database_,
                   "insert into drift_windows (cohort, number, end_ms, body) values ($1, $2, $3, $4) "
                   "on conflict (cohort, number) do update set end_ms = $3, body = $4",
                   {cohort, number, end_ms, body}));
  return execute(database_, "delete from drift_windows where cohort = $1 and number <= $2",
                 {cohort, number - drift_windows_max});
}

Result<std::vector<std::string>> DriftStore::windows(const std::string& cohort, std::int64_t since_ms,
                                                     std::int64_t limit) {
  TRY(auto rows, database_.query("select body from drift_windows where cohort = $1 and end_ms >= $2 "
                                 "order by number desc limit $3",
                                 {cohort, since_ms, limit}));
  std::vector<std::string> bodies;
  bodies.reserve(rows.size());
  for (const Row& row : rows) bodies.push_back(row.text(0));
  std::reverse(bodies.begin(), bodies.end());
  return bodies;
}

Result<std::int64_t> DriftStore::last_window(const std::string& cohort) {
  TRY(auto rows, database_.query("select coalesce(max(number), 0) from drift_windows where cohort = $1", {cohort}));
  return rows.front().integer(0);
}

Result<> DriftStore::forget_windows_before(std::int64_t end_ms) {
  return execute(database_, "delete from drift_windows where end_ms < $1", {end_ms});
}

}  // namespace ferry::server
