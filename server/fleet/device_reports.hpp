// What devices tell: events applied once and in order, hardware profiles.
#pragma once
#include "common/log.hpp"
#include "server/fleet/event_batch.hpp"
#include "server/fleet/fleet.hpp"
#include "server/live/event_hub.hpp"

namespace ferry::server {

inline constexpr std::size_t profile_bytes_max = 32 * 1024;
inline constexpr std::size_t reports_locks = 64;

// Thread-safe. Calls block on the database.
class DeviceReports {
 public:
  DeviceReports(Database& database, Fleet& fleet, Clock& clock, EventHub& hub)
      : database_(database), store_(database), fleet_(fleet), clock_(clock), hub_(hub) {}

  // ferry.events/1. Returns the highest sequence applied for its install. bad_input names the field; then nothing is
  // applied. Facts for rollouts are left in the inbox, in the same transaction.
  Result<std::int64_t> apply_events(Device& device, std::string_view body);
  // ferry.profile/1
  Result<> put_profile(Device& device, std::string_view body);
  // Puts the given labels over the device's own; a null removes one. bad_input names the label; then nothing changes.
  Result<> set_labels(Device& device, const Json& changes, const std::string& by);
  // A fact of the server's own for a device's timeline.
  Result<> note(const std::string& device, const std::string& kind, Json detail);

 private:
  Database& database_;
  DeviceStore store_;
  Fleet& fleet_;
  Clock& clock_;
  EventHub& hub_;
  std::array<std::mutex, reports_locks> locks_;  // by device: batches of one device are applied one after the other
};

}  // namespace ferry::server
