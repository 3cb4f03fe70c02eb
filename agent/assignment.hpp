// What the server tells this device to run (docs/formats/device-api.md, check-in), read suspiciously.
#pragma once
#include "ota/slot_state.hpp"

#include <vector>

namespace ferry::agent {

inline constexpr std::size_t assignment_bytes_max = 256 * 1024;
inline constexpr std::size_t models_per_device_max = 16;

struct ModelAssignment {
  std::string model;
  ota::AssignedRelease release;
};
// A release that must leave the device, whatever else is assigned.
struct Recall {
  std::string model;
  Digest manifest_sha256;
  std::string reason;  // gate.* | operator.rollback
  std::string message;
  bool operator==(const Recall&) const = default;
};
struct Assignment {
  std::string device;
  std::vector<ModelAssignment> models;  // distinct names
  std::vector<Recall> recalls;          // distinct models
  Duration telemetry_interval{std::chrono::seconds{60}};
};

// bad_input naming the field. It authorises nothing: what a release is and whether it may run is decided by signed
// metadata later.
Result<Assignment> parse_assignment(std::string_view body);

}  // namespace ferry::agent
