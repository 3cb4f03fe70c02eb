// Telemetry in the database: exactly-once windows merged into minutes per release and totals per device.
#pragma once
#include "common/database.hpp"
#include "telemetry/window.hpp"

#include <string>
#include <vector>

namespace ferry::server {

inline constexpr std::int64_t telemetry_keep_ms = 35LL * 86'400'000;
inline constexpr std::int64_t telemetry_ahead_ms_max = 5 * 60'000;  // a device's clock may be this much ahead
inline constexpr std::int64_t boots_per_device_max = 32;
inline constexpr std::int64_t device_totals_max = 64;             // (model, version) pairs kept per device, newest
inline constexpr std::uint64_t window_count_max = 1'000'000'000;  // of one device in one window: sums stay readable
inline constexpr std::int64_t minute_ms = 60'000;

struct MinuteRow {
  std::int64_t minute_ms = 0;
  telemetry::ReleaseWindow window;  // key: model, version, manifest
};
struct DeviceTotal {
  std::int64_t last_window_ms = 0;
  telemetry::ReleaseWindow window;
};

// Adds a window to a sum that may still be empty (and then takes the window's key).
void merge_into(telemetry::ReleaseWindow& sum, const telemetry::ReleaseWindow& window);

enum class UploadVerdict { applied, repeat, too_late };

// Thread-safe as the database is. All calls block.
class TelemetryStore {
 public:
  explicit TelemetryStore(Database& database) : database_(database) {}

  // Merges the report, once per (device, install, boot, seq), in one transaction. bad_input for counts that no device
  // can have.
  // `along` runs in the same transaction when the report is applied; `at_ms` is the window's end as it counts here.
  Result<UploadVerdict> apply(const std::string& device, const telemetry::WindowReport& report, std::int64_t now_ms,
                              const std::function<Result<>(std::int64_t at_ms)>& along = {});
  // Minutes of `model` in [from, to), by version and time.
  Result<std::vector<MinuteRow>> minutes(const std::string& model, std::int64_t from_ms, std::int64_t to_ms);
  Result<std::vector<DeviceTotal>> totals(const std::string& device);
  Result<> forget_before(std::int64_t minute);

 private:
  Result<> merge_minute(const telemetry::ReleaseWindow& window, std::int64_t minute);
  Result<> merge_total(const std::string& device, const telemetry::ReleaseWindow& window, std::int64_t at_ms);
  Database& database_;
};

}  // namespace ferry::server
