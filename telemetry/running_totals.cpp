#include "telemetry/running_totals.hpp"

#include <algorithm>

namespace ferry::telemetry {

WindowReport RunningTotals::add(WindowReport report) {
  const auto fresh = std::ranges::count_if(report.releases,
                                           [&](const ReleaseWindow& window) { return !totals_.contains(window.key); });
  if (totals_.size() + std::size_t(fresh) > releases_max) {
    // With a later start, as OTLP says a reset is told.
    totals_.clear();
    dropped_ = dropped_inferences_ = 0;
    start_unix_ms_ = 0;
  }
  if (start_unix_ms_ == 0) start_unix_ms_ = report.start_unix_ms;
  for (ReleaseWindow& window : report.releases) {
    auto [total, made] = totals_.try_emplace(window.key, window);
    if (!made) total->second.merge(window);
    window = total->second;
  }
  dropped_ += report.dropped;
  report.dropped = dropped_;
  dropped_inferences_ += report.dropped_inferences;
  report.dropped_inferences = dropped_inferences_;
  // A clock that was set back since must not make a total end before it starts.
  report.start_unix_ms = std::min(start_unix_ms_, report.end_unix_ms);
  return report;
}

}  // namespace ferry::telemetry
