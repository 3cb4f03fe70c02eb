// What each device's releases did lately: the baseline that a live gate freezes when it starts.
#pragma once
#include "common/database.hpp"
#include "telemetry/window.hpp"

#include <string>

namespace ferry::server {

// A half is closed at either; a baseline is the open half and the one before (STATS.md §4.4: the last 60 minutes or
// 3,600 inferences).
inline constexpr std::int64_t baseline_half_ms = 60 * 60'000;
inline constexpr std::uint64_t baseline_half_inferences = 3'600;
inline constexpr std::int64_t baselines_per_device_max = 32;  // (model, version) pairs, newest kept

// Thread-safe as the database is. All calls block.
class BaselineStore {
 public:
  explicit BaselineStore(Database& database) : database_(database) {}

  // Within the transaction of the upload that brought `window`.
  Result<> add(const std::string& device, const telemetry::ReleaseWindow& window, std::int64_t now_ms);
  // Empty when nothing is known.
  Result<telemetry::ReleaseWindow> of(const std::string& device, const std::string& model, const std::string& version);

 private:
  Database& database_;
};

}  // namespace ferry::server
