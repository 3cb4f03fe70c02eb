// What a device tells (docs/formats/device-api.md, events), read suspiciously.
#pragma once
#include "common/json.hpp"
#include "server/store/devices.hpp"

#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace ferry::server {

inline constexpr std::size_t events_per_batch_max = 200;
inline constexpr std::size_t events_body_bytes_max = 256 * 1024;
inline constexpr std::size_t event_detail_bytes_max = 16 * 1024;
inline constexpr std::size_t slots_detail_bytes_max = 128 * 1024;
inline constexpr std::size_t models_per_device_max = 64;

// Instead of a rollout in the fact of a device that went back from a release and names no rollout: once the rollout was
// over the release was simply the device's. The release's digest follows; the rollout is the one that called it back.
inline constexpr std::string_view fact_by_release = "release:";

struct DeviceEvent {
  EventRow row;
  Json body;                     // as stored
  std::optional<InboxRow> fact;  // for a rollout
};

struct EventBatch {
  std::string install;
  std::vector<DeviceEvent> events;  // by rising seq
};

// ferry.events/1; bad_input naming the field. Pure.
Result<EventBatch> parse_event_batch(std::string_view body, std::int64_t now_ms);

}  // namespace ferry::server
