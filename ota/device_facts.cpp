// Three fields of the profile.
#include "ota/device_facts.hpp"

#include <nlohmann/json.hpp>

namespace ferry::ota {

Result<DeviceFacts> device_facts(const Json& profile) {
  DeviceFacts facts;
  TRY(facts.architecture, string_at(profile, "architecture", 64));
  TRY(facts.hardware_class, string_at(profile, "hardware_class", 256));
  TRY(auto memory_bytes, integer_at(profile, "memory_bytes", 0));
  facts.memory_mib = memory_bytes / (1024 * 1024);
  return facts;
}

}  // namespace ferry::ota
