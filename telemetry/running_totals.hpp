// Totals since the agent started, for receivers of cumulative temporality: the server's own merge, on the device.
#pragma once
#include "telemetry/window.hpp"

#include <map>

namespace ferry::telemetry {

// Constant memory per release. Not thread-safe.
class RunningTotals {
 public:
  static constexpr std::size_t releases_max = 64;  // of one process's life; beyond that all totals start over

  // Adds the window; the same report with every release's window replaced by its total. A release that the window does
  // not name is not repeated: its total has not changed. `start_unix_ms` is that of the first window of these totals.
  WindowReport add(WindowReport report);

 private:
  std::map<ReleaseKey, ReleaseWindow> totals_;
  std::uint64_t dropped_ = 0, dropped_inferences_ = 0;
  std::int64_t start_unix_ms_ = 0;
};

}  // namespace ferry::telemetry
