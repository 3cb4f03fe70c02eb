#include "telemetry/recorder.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ferry::telemetry {

Prediction read_prediction(std::span<const float> logits) {
  Prediction seen;
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) {
      const double nan = std::numeric_limits<double>::quiet_NaN();
      return {0, nan, nan};
    }
    sum += double(logits[i]);
    if (logits[i] > logits[seen.top_class]) seen.top_class = i;
  }
  const double top = double(logits[seen.top_class]);
  double exponentials = 0;
  for (const float value : logits) exponentials += std::exp(double(value) - top);
  seen.confidence = 1.0 / exponentials;
  const double log_sum_exp = top + std::log(exponentials);
  seen.mnlp_bits = (log_sum_exp - sum / double(logits.size())) / std::log(2.0);
  return seen;
}

Edges default_edges() {
  Edges edges;
  for (int k = 1; k < 20; ++k) edges.confidence.push_back(k / 20.0);
  for (int bit = 1; bit < 10; ++bit) edges.mnlp.push_back(bit);
  return edges;
}

void Recorder::describe(const ReleaseKey& key, std::size_t classes, Edges edges) {
  std::lock_guard lock(mutex_);
  if (described_.size() > 4 * releases_max) described_.clear();  // a device sees few releases between restarts
  described_[key.manifest_sha256] = Described{classes, std::move(edges)};
}

ReleaseWindow* Recorder::find(const ReleaseKey& key) {
  const auto found = windows_.find(key);
  if (found != windows_.end()) return &found->second;
  if (windows_.size() >= releases_max) return nullptr;
  ReleaseWindow& made = windows_[key];
  made.key = key;
  const auto described = described_.find(key.manifest_sha256);
  const Edges edges = described == described_.end() || described->second.edges.confidence.empty()
                          ? default_edges()
                          : described->second.edges;
  made.confidence = BoundedHistogram(edges.confidence);
  made.mnlp = BoundedHistogram(edges.mnlp);
  if (described != described_.end()) made.classes.resize(described->second.classes);
  return &made;
}

void Recorder::inference(const ReleaseKey& key, double seconds, const Prediction* prediction) {
  std::lock_guard lock(mutex_);
  ReleaseWindow* window = find(key);
  if (!window) return;
  window->duration.record(seconds);
  if (!prediction || std::isnan(prediction->confidence)) return;
  if (prediction->top_class < window->classes.size()) ++window->classes[prediction->top_class];
  window->confidence.record(prediction->confidence);
  window->mnlp.record(prediction->mnlp_bits);
}

void Recorder::error(const ReleaseKey& key, const std::string& type) {
  std::lock_guard lock(mutex_);
  if (ReleaseWindow* window = find(key)) ++window->errors[type];
}

void Recorder::label(const ReleaseKey& key, const std::string& source, bool correct) {
  std::lock_guard lock(mutex_);
  if (ReleaseWindow* window = find(key)) ++window->labels[LabelKey{source, correct}];
}

void Recorder::worker_memory(const ReleaseKey& key, std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  const auto found = windows_.find(key);  // a gauge alone opens no window
  if (found != windows_.end()) found->second.worker_memory_bytes = bytes;
}

WindowReport Recorder::take(std::int64_t now_unix_ms) {
  std::lock_guard lock(mutex_);
  WindowReport report;
  report.start_unix_ms = std::min(start_unix_ms_ == 0 ? now_unix_ms : start_unix_ms_, now_unix_ms);
  report.end_unix_ms = now_unix_ms;
  start_unix_ms_ = now_unix_ms;
  for (auto& [key, window] : windows_) {
    if (!window.empty()) report.releases.push_back(std::move(window));
  }
  windows_.clear();
  return report;
}

}  // namespace ferry::telemetry
