// Devices, their certificates, installs and events in the database.
#pragma once
#include "common/database.hpp"
#include "common/json.hpp"
#include "common/x509.hpp"
#include "server/rollout/rollout.hpp"

#include <string>
#include <vector>

namespace ferry::server {

inline constexpr std::int64_t timeline_events_max = 1000;  // kept per device, newest
inline constexpr std::int64_t installs_per_device_max = 16;
inline constexpr std::int64_t certificates_per_device_max = 4;

struct DeviceRow {
  std::string id;
  std::string state = "active";  // active | revoked
  std::int64_t enrolled_ms = 0;
  std::int64_t last_seen_ms = 0;
  std::int64_t alarm_ms = 0;  // the last alarm; 0: none
  std::string token;          // enrolment token's id
  std::string labels = "{}";  // JSON object
  std::string profile;        // ferry.profile/1; "" until it was sent
  std::string models = "[]";  // "models" of the last slots event
};

struct CertificateRow {
  std::string fingerprint;
  std::string device;
  std::string key_digest;
  std::int64_t issued_ms = 0;
  std::int64_t not_after_ms = 0;
};

struct EventRow {
  std::int64_t id = 0;
  std::string device;
  std::int64_t seq = 0;
  std::int64_t at_ms = 0;
  std::int64_t received_ms = 0;
  std::string kind;
  std::string body;  // JSON object: the other members
};

// A device event that a rollout has yet to hear of; taken out in the transaction that stores what it changed.
struct InboxRow {
  std::int64_t id = 0;
  std::string rollout;
  std::string device;
  Progress state = Progress::waiting;
  std::string reason;
  std::int64_t at_ms = 0;
};

// Thread-safe as the database is. All calls block.
class DeviceStore {
 public:
  explicit DeviceStore(Database& database) : database_(database) {}

  Result<std::vector<DeviceRow>> all();
  Result<> insert(const DeviceRow& row);
  Result<> set_labels(const std::string& id, const std::string& labels);
  Result<> set_profile(const std::string& id, const std::string& profile);
  Result<> set_models(const std::string& id, const std::string& models);
  Result<> set_alarm(const std::string& id, std::int64_t at_ms);
  Result<> set_state(const std::string& id, const std::string& state);
  Result<> set_last_seen(const std::vector<std::pair<std::string, std::int64_t>>& seen);  // one transaction

  Result<std::vector<CertificateRow>> certificates();
  // Keeps the newest few of the device; the rest are no longer accepted.
  Result<> add_certificate(const CertificateRow& row);

  // The highest sequence applied; 0 when there is none.
  Result<std::int64_t> applied_seq(const std::string& device, const std::string& install);
  Result<> set_applied_seq(const std::string& device, const std::string& install, std::int64_t seq,
                           std::int64_t now_ms);

  // Gives the rows their ids; drops the device's oldest events beyond the limit.
  Result<> add_events(const std::string& device, std::vector<EventRow> rows);
  // Newest first, ids below `before` (0: from the newest); `device` empty: of all.
  Result<std::vector<EventRow>> events(const std::string& device, std::int64_t before, std::int64_t limit);

  Result<> add_inbox(std::vector<InboxRow> rows);
  Result<std::vector<InboxRow>> inbox(std::int64_t limit);
  Result<> remove_inbox(std::int64_t id);

 private:
  Database& database_;
};

}  // namespace ferry::server
