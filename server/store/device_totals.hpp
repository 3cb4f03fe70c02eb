// What every device has told of a model since it took each release, read through in pages.
#pragma once
#include "common/database.hpp"
#include "telemetry/window.hpp"

#include <functional>
#include <string>

namespace ferry::server {

inline constexpr std::int64_t device_totals_page = 1'000;  // rows in memory at once

// Calls `visit` for each device and release of `model`, by device. Blocks; O(devices).
Result<> visit_device_totals(
    Database& database, const std::string& model,
    const std::function<void(const std::string& device, const telemetry::ReleaseWindow&)>& visit);

}  // namespace ferry::server
