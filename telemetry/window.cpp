#include "telemetry/window.hpp"

#include <algorithm>
#include <numeric>

namespace ferry::telemetry {
namespace {

template <class Map>
void merge_bounded(Map& into, const Map& other, std::size_t names_max) {
  for (const auto& [name, sums] : other)
    if (into.size() < names_max || into.contains(name)) into[name].merge(sums);
}

}  // namespace

void BoundedHistogram::record(double value) {
  if (counts.empty()) return;
  const auto bound = std::lower_bound(bounds.begin(), bounds.end(), value);
  ++counts[std::size_t(bound - bounds.begin())];
  sum += value;
}

bool BoundedHistogram::merge(const BoundedHistogram& other) {
  if (other.counts.empty()) return true;
  if (counts.empty()) {
    *this = other;
    return true;
  }
  if (bounds != other.bounds) return false;
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  sum += other.sum;
  return true;
}

std::uint64_t BoundedHistogram::total() const {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

bool ReleaseWindow::empty() const {
  return duration.count() == 0 && errors.empty() && labels.empty() && labels_unjoinable == 0 && requests_refused == 0 &&
         inputs.empty() && !outputs.any() && shadow.empty();
}

void ReleaseWindow::merge(const ReleaseWindow& other) {
  duration.merge(other.duration);
  for (const auto& [type, count] : other.errors) errors[type] += count;
  if (classes.size() < other.classes.size()) classes.resize(other.classes.size());
  for (std::size_t i = 0; i < other.classes.size(); ++i) classes[i] += other.classes[i];
  confidence.merge(other.confidence);
  mnlp.merge(other.mnlp);
  for (const auto& [label, count] : other.labels) labels[label] += count;
  for (const auto& [octave, count] : other.label_delay) label_delay[octave] += count;
  labels_unjoinable += other.labels_unjoinable;
  requests_refused += other.requests_refused;
  outputs.merge(other.outputs);
  merge_bounded(inputs, other.inputs, inputs_max);
  merge_bounded(shadow, other.shadow, shadow_releases_max);
  if (other.worker_memory_bytes > 0) worker_memory_bytes = other.worker_memory_bytes;
}

std::uint64_t ReleaseWindow::error_count() const {
  std::uint64_t total = 0;
  for (const auto& [type, count] : errors) total += count;
  return total;
}

std::uint64_t WindowReport::inference_count() const {
  std::uint64_t total = 0;
  for (const ReleaseWindow& window : releases) total += window.inference_count();
  return total;
}

void WindowReport::merge(const WindowReport& other) {
  start_unix_ms = std::min(start_unix_ms, other.start_unix_ms);
  end_unix_ms = std::max(end_unix_ms, other.end_unix_ms);
  dropped += other.dropped;
  dropped_inferences += other.dropped_inferences;
  for (const ReleaseWindow& window : other.releases) {
    const auto same = std::ranges::find(releases, window.key, &ReleaseWindow::key);
    if (same == releases.end())
      releases.push_back(window);
    else
      same->merge(window);
  }
}

}  // namespace ferry::telemetry
