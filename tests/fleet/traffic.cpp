// The draws.
#include "tests/fleet/traffic.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace ferry::fleet {
namespace {

constexpr double state_memory_per_minute = 0.9;
constexpr double tail_factor = 3;  // of ReleaseBehaviour::tail_share
constexpr double day_ms = 86'400'000;
constexpr double minute_ms = 60'000;
constexpr double poisson_exact_max = 30;  // above, the normal approximation is as good

std::vector<double> cumulated(const std::vector<std::uint64_t>& counts) {
  const double total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}));
  std::vector<double> sums;
  double sum = 0;
  for (const std::uint64_t count : counts) {
    sum += total > 0 ? static_cast<double>(count) / total : 1.0 / static_cast<double>(counts.size());
    sums.push_back(sum);
  }
  if (!sums.empty()) sums.back() = 1;
  return sums;
}

}  // namespace

KnownRelease::KnownRelease(ota::Manifest manifest, std::string_view reference) : manifest_(std::move(manifest)) {
  edges_ = telemetry::default_edges();
  std::vector<std::uint64_t> by_class(classes()), by_confidence, by_mnlp;
  auto profile = telemetry::parse_reference_profile(reference);
  const bool usable = profile && profile->samples > 0 && profile->classes.size() == classes();
  if (usable) {
    edges_ = profile->edges();
    by_class = profile->classes;
    by_confidence = profile->confidence.counts;
    by_mnlp = profile->mnlp.counts;
    for (const std::int64_t ppm : profile->accuracy_by_confidence_ppm)
      right_.push_back(static_cast<double>(ppm) / 1'000'000);
  }
  by_confidence.resize(edges_.confidence.size() + 1);
  by_mnlp.resize(edges_.mnlp.size() + 1);
  right_.resize(by_confidence.size(), accuracy_);
  class_chances_ = cumulated(by_class);
  confidence_chances_ = cumulated(by_confidence);
  mnlp_chances_ = cumulated(by_mnlp);
  if (!usable) return;
  const double total = static_cast<double>(profile->confidence.total());
  accuracy_ = 0;
  for (std::size_t bin = 0; bin < right_.size(); ++bin)
    accuracy_ += right_[bin] * static_cast<double>(by_confidence[bin]) / std::max(total, 1.0);
}

std::size_t KnownRelease::at(const std::vector<double>& cumulated, double uniform) {
  const auto found = std::lower_bound(cumulated.begin(), cumulated.end(), uniform);
  return std::min(static_cast<std::size_t>(found - cumulated.begin()), cumulated.size() - 1);
}

DeviceTraffic::DeviceTraffic(const Traffic& traffic, double speed, std::uint64_t seed)
    : traffic_(traffic), speed_(speed), dice_(seed) {
  device_ = traffic_.device_spread * dice_.normal();
  state_ = traffic_.drift_spread * dice_.normal();
}

telemetry::ReleaseWindow DeviceTraffic::window_of(const telemetry::ReleaseKey& key, const KnownRelease& release) {
  telemetry::ReleaseWindow window;
  window.key = key;
  window.confidence = telemetry::BoundedHistogram(release.edges().confidence);
  window.mnlp = telemetry::BoundedHistogram(release.edges().mnlp);
  window.classes.resize(release.classes());
  return window;
}

// Poisson.
std::uint64_t DeviceTraffic::count_of(double mean) {
  if (mean > poisson_exact_max)
    return static_cast<std::uint64_t>(std::max(0.0, std::round(mean + std::sqrt(mean) * dice_.normal())));
  std::uint64_t count = 0;
  for (double product = dice_.uniform(); product > std::exp(-mean); product *= dice_.uniform()) ++count;
  return count;
}

void DeviceTraffic::move_state(double minutes) {
  const double memory = std::pow(state_memory_per_minute, minutes);
  state_ = memory * state_ + std::sqrt(1 - memory * memory) * traffic_.drift_spread * dice_.normal();
}

void DeviceTraffic::pass(std::int64_t from_ms, std::int64_t to_ms, const KnownRelease& release,
                         const ReleaseBehaviour& behaviour, telemetry::ReleaseWindow& window) {
  if (to_ms <= from_ms) return;
  const double passed_ms = static_cast<double>(to_ms - from_ms) * speed_;
  move_state(passed_ms / minute_ms);
  const double time_of_day = std::fmod(static_cast<double>(to_ms) * speed_, day_ms) / day_ms;
  const double daily = traffic_.daily_swing * std::sin(2 * std::numbers::pi * time_of_day);
  const double centre = std::log(traffic_.median_ms / 1000 * behaviour.latency_factor) + device_ + state_ + daily;
  const std::uint64_t count = count_of(traffic_.per_s * passed_ms / 1000);
  for (std::uint64_t i = 0; i < count; ++i) infer(centre, release, behaviour, window);
  if (count > 0) window.worker_memory_bytes = static_cast<std::uint64_t>(behaviour.memory_mib) * 1024 * 1024;
}

void DeviceTraffic::infer(double centre, const KnownRelease& release, const ReleaseBehaviour& behaviour,
                          telemetry::ReleaseWindow& window) {
  if (behaviour.error_share > 0 && dice_.uniform() < behaviour.error_share) {
    ++window.errors["runtime"];
    return;
  }
  double log_seconds = centre + traffic_.request_spread * dice_.normal();
  const double chance = dice_.uniform();
  // Pareto with exponent 2: a heavy tail without a cliff at its share's quantile.
  if (chance < traffic_.heavy_share) log_seconds -= 0.5 * std::log(dice_.uniform());
  if (chance > 1 - behaviour.tail_share) log_seconds += std::log(tail_factor);
  window.duration.record(std::exp(log_seconds));
  if (!release.classifies()) return;
  const bool drifted = behaviour.drift_share > 0 && dice_.uniform() < behaviour.drift_share;
  const std::size_t answered = drifted
                                   ? std::min(static_cast<std::size_t>(behaviour.drift_class), release.classes() - 1)
                                   : release.class_at(dice_.uniform());
  const std::size_t bin = release.confidence_at(dice_.uniform());
  ++window.classes[answered];
  ++window.confidence.counts[bin];
  ++window.mnlp.counts[release.mnlp_at(dice_.uniform())];
  if (traffic_.labelled_share <= 0 || dice_.uniform() >= traffic_.labelled_share) return;
  const double factor = behaviour.accuracy && release.accuracy() > 0 ? *behaviour.accuracy / release.accuracy() : 1;
  ++window.labels[telemetry::LabelKey{"audit", dice_.uniform() < release.right_in(bin) * factor}];
}

}  // namespace ferry::fleet
