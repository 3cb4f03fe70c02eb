// Telemetry in the database: exactly-once windows merged into minutes per release and totals per device.
#pragma once
#include "common/database.hpp"
#include "telemetry/exactly_once.hpp"
#include "telemetry/window.hpp"

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace ferry::server {

inline constexpr std::int64_t telemetry_keep_ms = 35LL * 86'400'000;
inline constexpr std::int64_t telemetry_ahead_ms_max = 5 * 60'000;  // a device's clock may be this much ahead
inline constexpr std::int64_t boots_per_device_max = 32;
inline constexpr std::int64_t device_totals_max = 64;               // (model, version) pairs kept per device, newest
inline constexpr std::uint64_t window_count_max = 1'000'000'000;    // of one device in one window: sums stay readable
inline constexpr std::uint64_t input_values_max = 100'000'000'000;  // the same for elements of one input
inline constexpr std::int64_t minute_ms = 60'000;
inline constexpr std::size_t telemetry_cached_max = 4096;  // rows of a kind in memory

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

// Thread-safe. All calls block. One object per database: it remembers rows. Lock order: this one's, then the
// database's.
class TelemetryStore {
 public:
  explicit TelemetryStore(Database& database) : database_(database) {}

  // Merges the report, once per (device, install, boot, seq), in one transaction. bad_input for counts that no device
  // can have; nothing was touched then.
  // `along` runs in the same transaction when the report is applied; `at_ms` is the window's end as it counts here.
  Result<UploadVerdict> apply(const std::string& device, const telemetry::WindowReport& report, std::int64_t now_ms,
                              const std::function<Result<>(std::int64_t at_ms)>& along = {});
  // Whatever is applied in `body` commits together, each row written once, at the end. When it fails nothing of it
  // happened. Readers on other threads see it before or after.
  Result<> together(const std::function<Result<>()>& body);
  // Minutes of `model` in [from, to), by version and time.
  Result<std::vector<MinuteRow>> minutes(const std::string& model, std::int64_t from_ms, std::int64_t to_ms);
  Result<std::vector<DeviceTotal>> totals(const std::string& device);
  Result<> forget_before(std::int64_t minute);

 private:
  // Rows in memory. `fresh`: not in the database yet; `dirty`: not as it is there.
  struct Sequences {
    telemetry::SequenceWindow window;
    std::int64_t seen_ms = 0;
    bool fresh = false, dirty = false;
  };
  struct Total {
    telemetry::ReleaseWindow window;
    std::int64_t last_ms = 0;
    bool fresh = false, dirty = false;
  };
  struct Minute {
    telemetry::ReleaseWindow window;
    bool dirty = false;
  };
  using SequenceKey = std::array<std::string, 2>;  // device, install and boot
  using TotalKey = std::array<std::string, 3>;     // device, model, version
  struct MinuteKey {
    std::string model, version;
    std::int64_t minute = 0;
    auto operator<=>(const MinuteKey&) const = default;
  };

  Result<UploadVerdict> merge(const std::string& device, const telemetry::WindowReport& report, std::int64_t now_ms,
                              const std::function<Result<>(std::int64_t at_ms)>& along);
  Result<Sequences*> sequences_of(const SequenceKey& key);
  Result<> merge_minute(const telemetry::ReleaseWindow& window, std::int64_t minute);
  Result<> merge_total(const std::string& device, const telemetry::ReleaseWindow& window, std::int64_t at_ms);
  Result<> flush();
  Result<> flush_sequences();
  Result<> flush_totals();
  Result<> flush_minutes();
  void forget();

  Database& database_;
  std::recursive_mutex mutex_;  // guards all below; recursive because together()'s body calls apply()
  bool together_ = false;
  std::map<SequenceKey, Sequences> sequences_;
  std::map<TotalKey, Total> totals_;
  std::map<MinuteKey, Minute> minutes_;
  std::vector<std::pair<const SequenceKey, Sequences>*> dirty_sequences_;
  std::vector<std::pair<const TotalKey, Total>*> dirty_totals_;
};

}  // namespace ferry::server
