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
  for (const float value : logits) exponentials += double(std::exp(value - logits[seen.top_class]));
  seen.confidence = 1.0 / exponentials;
  const double log_sum_exp = top + std::log(exponentials);
  seen.mnlp_bits = (log_sum_exp - sum / double(logits.size())) / std::log(2.0);
  return seen;
}

namespace {

// A sum of ten thousand measurements need not travel with the last of 52 binary digits: zero bytes cost nothing.
constexpr int digits_of_a_sum = 24;

double shortened(double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  return std::ldexp(std::round(std::ldexp(fraction, digits_of_a_sum)), exponent - digits_of_a_sum);
}

void shorten(ReleaseWindow& window) {
  window.duration.round_to(digits_of_a_sum);
  for (auto& [tensor, stats] : window.inputs) {
    stats.sum = shortened(stats.sum);
    stats.squares = shortened(stats.squares);
  }
  for (auto& [version, agreement] : window.shadow) agreement.gap_sum = shortened(agreement.gap_sum);
}

}  // namespace

Edges default_edges() {
  Edges edges;
  for (int k = 1; k < 20; ++k) edges.confidence.push_back(k / 20.0);
  for (int bit = 1; bit < 10; ++bit) edges.mnlp.push_back(bit);
  return edges;
}

void Recorder::describe(const ReleaseKey& key, std::size_t classes, Edges edges) {
  std::lock_guard lock(mutex_);
  forget_releases_but(key.manifest_sha256);
  Described& made = described_[key.manifest_sha256];
  made.classes = classes;
  made.edges = std::move(edges);
}

// A device sees few releases between restarts: those without an open window are forgotten before another comes.
void Recorder::forget_releases_but(const std::string& coming) {
  if (described_.size() < 4 * releases_max || described_.contains(coming)) return;
  std::erase_if(described_, [&](const auto& entry) {
    return std::ranges::none_of(windows_, [&](const auto& open) { return open.second.release == &entry.second; });
  });
}

Recorder::Open* Recorder::find(const ReleaseKey& key) {
  if (latest_ && latest_->window.key == key) return latest_;
  const auto found = windows_.find(key);
  if (found != windows_.end()) return latest_ = &found->second;
  if (windows_.size() >= releases_max) return nullptr;
  forget_releases_but(key.manifest_sha256);
  Open& made = windows_[key];
  Described& release = described_[key.manifest_sha256];
  made.release = &release;
  release.totals.key = key;
  made.window.key = key;
  const Edges edges = release.edges.confidence.empty() ? default_edges() : release.edges;
  made.window.confidence = BoundedHistogram(edges.confidence);
  made.window.mnlp = BoundedHistogram(edges.mnlp);
  made.window.classes.resize(release.classes);
  return latest_ = &made;
}

bool Recorder::record(const ReleaseKey& key, const InferenceSeen& seen) {
  std::lock_guard lock(mutex_);
  Open* open = find(key);
  if (!open) {
    ++dropped_inferences_;
    return false;
  }
  ReleaseWindow& window = open->window;
  SanityTotals& totals = open->release->totals;
  for (const InputSeen& input : seen.inputs) {
    auto known = window.inputs.find(input.tensor);
    if (known == window.inputs.end()) {
      if (window.inputs.size() >= inputs_max) continue;
      known = window.inputs.emplace(std::string(input.tensor), InputStats{}).first;
    }
    known->second.merge(input.stats);
    totals.inputs += input.stats.tensors;
    totals.inputs_nan += input.stats.with_nan;
    totals.inputs_out_of_range += input.stats.out_of_range;
  }
  if (seen.error_type.empty()) {
    ++totals.answered;
    totals.output_nan += seen.outputs.nan;
    window.outputs.merge(seen.outputs);
    window.duration.record(seen.seconds);
    if (seen.prediction && !std::isnan(seen.prediction->confidence)) {
      if (seen.prediction->top_class < window.classes.size()) ++window.classes[seen.prediction->top_class];
      window.confidence.record(seen.prediction->confidence);
      window.mnlp.record(seen.prediction->mnlp_bits);
    }
  } else {
    ++totals.errors;
    ++window.errors[std::string(seen.error_type)];
  }
  return ++inferences_ >= window_inferences_max_;
}

void Recorder::inference(const ReleaseKey& key, double seconds, const Prediction* prediction) {
  InferenceSeen seen;
  seen.seconds = seconds;
  seen.prediction = prediction;
  record(key, seen);
}

void Recorder::error(const ReleaseKey& key, const std::string& type) {
  InferenceSeen seen;
  seen.error_type = type;
  record(key, seen);
}

void Recorder::label(const ReleaseKey& key, const std::string& source, bool correct, double delay_s) {
  std::lock_guard lock(mutex_);
  Open* open = find(key);
  if (!open) return;
  ++open->window.labels[LabelKey{source, correct}];
  if (delay_s >= 0) ++open->window.label_delay[delay_octave(delay_s)];
}

void Recorder::unjoinable_label(const ReleaseKey& key) {
  std::lock_guard lock(mutex_);
  if (Open* open = find(key)) ++open->window.labels_unjoinable;
}

void Recorder::refused_request(const ReleaseKey& key) {
  std::lock_guard lock(mutex_);
  if (Open* open = find(key)) ++open->window.requests_refused;
}

void Recorder::shadowed(const ReleaseKey& key, const std::string& against, std::uint32_t older_class,
                        std::uint32_t newer_class, double gap) {
  std::lock_guard lock(mutex_);
  Open* open = find(key);
  if (!open) return;
  auto& shadow = open->window.shadow;
  if (shadow.size() < shadow_releases_max || shadow.contains(against))
    shadow[against].add(older_class, newer_class, gap);
}

void Recorder::worker_memory(const ReleaseKey& key, std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  const auto found = windows_.find(key);  // a gauge alone opens no window
  if (found != windows_.end()) found->second.window.worker_memory_bytes = bytes;
}

WindowReport Recorder::take_locked(std::int64_t now_unix_ms) {
  WindowReport report;
  report.start_unix_ms = std::min(start_unix_ms_ == 0 ? now_unix_ms : start_unix_ms_, now_unix_ms);
  report.end_unix_ms = now_unix_ms;
  start_unix_ms_ = now_unix_ms;
  for (auto& [key, open] : windows_) {
    if (open.window.empty()) continue;
    shorten(open.window);
    report.releases.push_back(std::move(open.window));
  }
  latest_ = nullptr;
  windows_.clear();
  inferences_ = 0;
  report.dropped_inferences = std::exchange(dropped_inferences_, 0);
  return report;
}

WindowReport Recorder::take(std::int64_t now_unix_ms) {
  std::lock_guard lock(mutex_);
  return take_locked(now_unix_ms);
}

void Recorder::close(std::int64_t now_unix_ms) {
  std::lock_guard lock(mutex_);
  WindowReport report = take_locked(now_unix_ms);
  if (report.releases.empty() && report.dropped_inferences == 0) return;
  closed_.push_back(std::move(report));
  bound_closed();
}

// The newest two become one: what waits longest keeps its times, and nothing is lost but resolution.
void Recorder::bound_closed() {
  while (closed_.size() > closed_windows_max) {
    WindowReport last = std::move(closed_.back());
    closed_.pop_back();
    WindowReport& into = closed_.back();
    into.merge(last);
    while (into.releases.size() > 2 * releases_max) {  // cannot be told in one upload
      into.dropped_inferences += into.releases.back().inference_count();
      into.releases.pop_back();
    }
  }
}

std::vector<WindowReport> Recorder::take_closed() {
  std::lock_guard lock(mutex_);
  return std::exchange(closed_, {});
}

void Recorder::put_back(std::vector<WindowReport> windows) {
  std::lock_guard lock(mutex_);
  windows.insert(windows.end(), std::make_move_iterator(closed_.begin()), std::make_move_iterator(closed_.end()));
  closed_ = std::move(windows);
  bound_closed();
}

std::vector<SanityTotals> Recorder::sanity() const {
  std::lock_guard lock(mutex_);
  std::vector<SanityTotals> all;
  for (const auto& [digest, described] : described_)
    if (described.totals.answered + described.totals.errors > 0) all.push_back(described.totals);
  return all;
}

}  // namespace ferry::telemetry
