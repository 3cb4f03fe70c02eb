// SQL of devices and their events.
#include "server/store/devices.hpp"

namespace ferry::server {
namespace {

Result<std::int64_t> next_id(Database& database, std::string_view sql) {
  TRY(auto rows, database.query(sql));
  return rows.front().integer(0);
}

}  // namespace

Result<std::vector<DeviceRow>> DeviceStore::all() {
  TRY(auto rows,
      database_.query("select id, state, enrolled_ms, last_seen_ms, alarm_ms, token, labels, profile, models "
                      "from devices order by id"));
  std::vector<DeviceRow> devices;
  devices.reserve(rows.size());
  for (const Row& row : rows)
    devices.push_back({row.text(0), row.text(1), row.integer(2), row.integer(3), row.integer(4), row.text(5),
                       row.text(6), row.text(7), row.text(8)});
  return devices;
}

Result<> DeviceStore::insert(const DeviceRow& row) {
  return execute(database_,
                 "insert into devices (id, state, enrolled_ms, last_seen_ms, alarm_ms, token, labels, profile, models) "
                 "values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                 {row.id, row.state, row.enrolled_ms, row.last_seen_ms, row.alarm_ms, row.token, row.labels,
                  row.profile, row.models});
}

Result<> DeviceStore::set_labels(const std::string& id, const std::string& labels) {
  return execute(database_, "update devices set labels = $2 where id = $1", {id, labels});
}
Result<> DeviceStore::set_profile(const std::string& id, const std::string& profile) {
  return execute(database_, "update devices set profile = $2 where id = $1", {id, profile});
}
Result<> DeviceStore::set_models(const std::string& id, const std::string& models) {
  return execute(database_, "update devices set models = $2 where id = $1", {id, models});
}
Result<> DeviceStore::set_alarm(const std::string& id, std::int64_t at_ms) {
  return execute(database_, "update devices set alarm_ms = $2 where id = $1", {id, at_ms});
}
Result<> DeviceStore::set_state(const std::string& id, const std::string& state) {
  return execute(database_, "update devices set state = $2 where id = $1", {id, state});
}

Result<> DeviceStore::set_last_seen(const std::vector<std::pair<std::string, std::int64_t>>& seen) {
  if (seen.empty()) return {};
  return database_.transaction([&](Database& database) -> Result<> {
    for (const auto& [id, at_ms] : seen)
      TRY_VOID(execute(database, "update devices set last_seen_ms = $2 where id = $1", {id, at_ms}));
    return {};
  });
}

Result<std::vector<CertificateRow>> DeviceStore::certificates() {
  TRY(auto rows,
      database_.query("select fingerprint, device, key_digest, issued_ms, not_after_ms from device_certificates"));
  std::vector<CertificateRow> certificates;
  certificates.reserve(rows.size());
  for (const Row& row : rows)
    certificates.push_back({row.text(0), row.text(1), row.text(2), row.integer(3), row.integer(4)});
  return certificates;
}

Result<> DeviceStore::add_certificate(const CertificateRow& row) {
  return database_.transaction([&](Database& database) -> Result<> {
    TRY_VOID(execute(database,
                     "insert into device_certificates (fingerprint, device, key_digest, issued_ms, not_after_ms) "
                     "values ($1, $2, $3, $4, $5)",
                     {row.fingerprint, row.device, row.key_digest, row.issued_ms, row.not_after_ms}));
    // Never the one just added, whatever its time: the device is about to use it.
    return execute(
        database,
        "delete from device_certificates where device = $1 and fingerprint <> $2 and fingerprint not in (select "
        "fingerprint from device_certificates where device = $1 and fingerprint <> $2 order by issued_ms desc, "
        "fingerprint limit $3)",
        {row.device, row.fingerprint, certificates_per_device_max - 1});
  });
}

Result<std::int64_t> DeviceStore::applied_seq(const std::string& device, const std::string& install) {
  TRY(auto rows,
      database_.query("select applied_seq from device_installs where device = $1 and install = $2", {device, install}));
  return rows.empty() ? 0 : rows.front().integer(0);
}

Result<> DeviceStore::set_applied_seq(const std::string& device, const std::string& install, std::int64_t seq,
                                      std::int64_t now_ms) {
  TRY_VOID(execute(database_,
                   "insert into device_installs (device, install, applied_seq, seen_ms) values ($1, $2, $3, $4) "
                   "on conflict (device, install) do update set applied_seq = $3, seen_ms = $4",
                   {device, install, seq, now_ms}));
  return execute(database_,
                 "delete from device_installs where device = $1 and install not in (select install from "
                 "device_installs where device = $1 order by seen_ms desc, install limit $2)",
                 {device, installs_per_device_max});
}

Result<> DeviceStore::add_events(const std::string& device, std::vector<EventRow> rows) {
  if (rows.empty()) return {};
  return database_.transaction([&](Database& database) -> Result<> {
    TRY(auto id, next_id(database, "select coalesce(max(id), 0) + 1 from device_events"));
    for (const EventRow& row : rows) {
      TRY_VOID(execute(database,
                       "insert into device_events (id, device, seq, at_ms, received_ms, kind, body) "
                       "values ($1, $2, $3, $4, $5, $6, $7)",
                       {id, device, row.seq, row.at_ms, row.received_ms, row.kind, row.body}));
      ++id;
    }
    return execute(database,
                   "delete from device_events where device = $1 and id <= (select id from device_events "
                   "where device = $1 order by id desc limit 1 offset $2)",
                   {device, timeline_events_max});
  });
}

Result<std::vector<EventRow>> DeviceStore::events(const std::string& device, std::int64_t before, std::int64_t limit) {
  const std::int64_t below = before > 0 ? before : std::numeric_limits<std::int64_t>::max();
  constexpr std::string_view columns = "select id, device, seq, at_ms, received_ms, kind, body from device_events ";
  TRY(auto rows, device.empty()
                     ? database_.query(std::string(columns) + "where id < $1 order by id desc limit $2", {below, limit})
                     : database_.query(std::string(columns) + "where device = $1 and id < $2 order by id desc limit $3",
                                       {device, below, limit}));
  std::vector<EventRow> events;
  for (const Row& row : rows)
    events.push_back(
        {row.integer(0), row.text(1), row.integer(2), row.integer(3), row.integer(4), row.text(5), row.text(6)});
  return events;
}

Result<> DeviceStore::add_inbox(std::vector<InboxRow> rows) {
  if (rows.empty()) return {};
  return database_.transaction([&](Database& database) -> Result<> {
    TRY(auto id, next_id(database, "select coalesce(max(id), 0) + 1 from rollout_inbox"));
    for (const InboxRow& row : rows) {
      TRY_VOID(execute(database,
                       "insert into rollout_inbox (id, rollout, device, state, reason, at_ms) "
                       "values ($1, $2, $3, $4, $5, $6)",
                       {id, row.rollout, row.device, std::string(to_string(row.state)), row.reason, row.at_ms}));
      ++id;
    }
    return {};
  });
}

Result<std::vector<InboxRow>> DeviceStore::inbox(std::int64_t limit) {
  TRY(auto rows,
      database_.query("select id, rollout, device, state, reason, at_ms from rollout_inbox order by id limit $1",
                      {limit}));
  std::vector<InboxRow> inbox;
  for (const Row& row : rows) {
    TRY(auto state, parse_progress(row.text(3)));
    inbox.push_back({row.integer(0), row.text(1), row.text(2), state, row.text(4), row.integer(5)});
  }
  return inbox;
}

Result<> DeviceStore::remove_inbox(std::int64_t id) {
  return execute(database_, "delete from rollout_inbox where id = $1", {id});
}

}  // namespace ferry::server
