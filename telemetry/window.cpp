#include "telemetry/window.hpp"

#include <algorithm>
#include <numeric>

namespace ferry::telemetry {

void BoundedHistogram::record(double value) {
  if (counts.empty()) return;
  const auto bound = std::lower_bound(bounds.begin(), bounds.end(), value);
  ++counts[std::size_t(bound - bounds.begin())];
}

bool BoundedHistogram::merge(const BoundedHistogram& other) {
  if (other.counts.empty()) return true;
  if (counts.empty()) {
    *this = other;
    return true;
  }
  if (bounds != other.bounds) return false;
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  return true;
}

std::uint64_t BoundedHistogram::total() const {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

bool ReleaseWindow::empty() const { return duration.count() == 0 && errors.empty() && labels.empty(); }

void ReleaseWindow::merge(const ReleaseWindow& other) {
  duration.merge(other.duration);
  for (const auto& [type, count] : other.errors) errors[type] += count;
  if (classes.size() < other.classes.size()) classes.resize(other.classes.size());
  for (std::size_t i = 0; i < other.classes.size(); ++i) classes[i] += other.classes[i];
  confidence.merge(other.confidence);
  mnlp.merge(other.mnlp);
  for (const auto& [label, count] : other.labels) labels[label] += count;
  if (other.worker_memory_bytes > 0) worker_memory_bytes = other.worker_memory_bytes;
}

std::uint64_t ReleaseWindow::error_count() const {
  std::uint64_t total = 0;
  for (const auto& [type, count] : errors) total += count;
  return total;
}

}  // namespace ferry::telemetry
