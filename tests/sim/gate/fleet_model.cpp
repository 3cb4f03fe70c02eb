#include "tests/sim/gate/fleet_model.hpp"

#include <algorithm>
#include <bit>
#include <numbers>

namespace ferry::sim {
namespace {

constexpr double median_seconds = 0.010;
constexpr double drift_memory = 0.9;  // per minute
constexpr double tail_factor = 3;     // of Effect::tail_share
constexpr int minutes_per_day = 1'440;
constexpr double buckets_per_nat = 32 / std::numbers::ln2;

struct Device {
  double speed = 0;  // logarithm, relative to the fleet
  double state = 0;
};

class World {
 public:
  World(const FleetModel& model, std::uint64_t seed)
      : model_(model), dice_(seed), phase_(2 * std::numbers::pi * dice_.uniform()) {}

  DeviceTrace trace(bool canary, const Effect& effect) {
    Device device{model_.device_spread * dice_.normal(), model_.drift_spread * dice_.normal()};
    const bool hit = canary && dice_.uniform() < effect.device_share;
    DeviceTrace made;
    for (int minute = 0; minute < model_.minutes_before; ++minute) made.before.push_back(pass(device, minute, 0, 0));
    for (int minute = 0; minute < model_.minutes_after; ++minute) {
      made.after.push_back(
          pass(device, model_.minutes_before + minute, hit ? effect.slower : 0, canary ? effect.tail_share : 0));
    }
    return made;
  }

 private:
  MinuteSketch pass(Device& device, int minute, double slower, double tail_share) {
    const double fresh = std::sqrt(1 - drift_memory * drift_memory) * model_.drift_spread * dice_.normal();
    device.state = drift_memory * device.state + fresh;
    const double daily = model_.daily_swing * std::sin(phase_ + 2 * std::numbers::pi * minute / minutes_per_day);
    const double centre = std::log(median_seconds * (1 + slower)) + device.speed + device.state + daily;
    MinuteSketch sketch;
    for (int i = 0; i < model_.requests_per_minute; ++i) {
      double log_seconds = centre + model_.request_spread * dice_.normal();
      const double chance = dice_.uniform();
      // Pareto with exponent 2: a heavy tail without a cliff at its share's quantile.
      if (chance < model_.heavy_share) log_seconds -= 0.5 * std::log(dice_.uniform());
      if (chance > 1 - tail_share) log_seconds += std::log(tail_factor);
      sketch.record_bucket(int(std::floor(log_seconds * buckets_per_nat)));
    }
    return sketch;
  }

  const FleetModel& model_;
  Dice dice_;
  double phase_;
};

}  // namespace

Dice::Dice(std::uint64_t seed) {
  for (std::uint64_t& word : state_) {  // splitmix64
    seed += 0x9E3779B97F4A7C15u;
    std::uint64_t mixed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    word = mixed ^ (mixed >> 31);
  }
}

std::uint64_t Dice::next() {
  const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0], shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

double Dice::uniform() { return (double(next() >> 11) + 0.5) * 0x1p-53; }

double Dice::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  double x = 0, y = 0, square = 0;
  do {
    x = 2 * uniform() - 1;
    y = 2 * uniform() - 1;
    square = x * x + y * y;
  } while (square >= 1 || square == 0);
  const double scale = std::sqrt(-2 * std::log(square) / square);
  spare_ = y * scale;
  has_spare_ = true;
  return x * scale;
}

void MinuteSketch::record_bucket(int index) {
  if (counts_.empty()) counts_.resize(size_);
  ++counts_[std::size_t(std::clamp(index - first_, 0, size_ - 1))];
  ++count_;
}

void MinuteSketch::merge(const MinuteSketch& other) {
  if (other.counts_.empty()) return;
  if (counts_.empty()) counts_.resize(size_);
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
}

double MinuteSketch::quantile(double p) const {
  const double rank = p * double(count_);
  double seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) continue;
    if (seen + counts_[i] >= rank) return std::exp2((double(first_) + double(i) + (rank - seen) / counts_[i]) / 32);
    seen += counts_[i];
  }
  return 0;
}

telemetry::ExpHistogram MinuteSketch::to_histogram() const {
  const auto filled = [](std::uint32_t count) { return count > 0; };
  const auto begin = std::find_if(counts_.begin(), counts_.end(), filled);
  const auto end = std::find_if(counts_.rbegin(), counts_.rend(), filled).base();
  if (begin == counts_.end()) return {};
  const int offset = first_ + int(begin - counts_.begin());
  std::vector<std::uint64_t> counts(begin, end);
  const double low = std::exp2(offset / 32.0), high = std::exp2((offset + double(counts.size())) / 32);
  return telemetry::ExpHistogram::from_parts(offset, std::move(counts), 0, count_, low * double(count_), low, high)
      .value();
}

FleetTrace simulate(const FleetModel& model, const Effect& effect, std::uint64_t seed) {
  World world(model, seed);
  FleetTrace made;
  for (int i = 0; i < model.pairs; ++i) {
    made.canaries.push_back(world.trace(true, effect));
    made.controls.push_back(world.trace(false, effect));
  }
  return made;
}

}  // namespace ferry::sim
