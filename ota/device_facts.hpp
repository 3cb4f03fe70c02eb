// What a device's hardware profile (ferry.profile/1) says that the choice of a variant depends on.
#pragma once
#include "common/json.hpp"
#include "ota/manifest.hpp"

namespace ferry::ota {

// bad_input naming the field.
Result<DeviceFacts> device_facts(const Json& profile);

}  // namespace ferry::ota
