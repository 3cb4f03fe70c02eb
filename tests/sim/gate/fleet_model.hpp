// A synthetic fleet whose rollout is to be judged: latencies of canaries and controls, minute by minute, from one seed.
#pragma once
#include "telemetry/exp_histogram.hpp"

#include <cmath>
#include <cstdint>
#include <vector>

namespace ferry::sim {

// xoshiro256++ (Blackman, Vigna) with a polar normal: the same numbers with every standard library.
class Dice {
 public:
  explicit Dice(std::uint64_t seed);
  double uniform();  // (0, 1)
  double normal();
  std::uint64_t next();

 private:
  std::uint64_t state_[4];
  double spare_ = 0;
  bool has_spare_ = false;
};

// The model of STATS.md §4.4; spreads are standard deviations of the natural logarithm of latency.
struct FleetModel {
  int pairs = 10;
  double device_spread = 0.10;  // how different the devices are, for ever
  double drift_spread = 0.05;   // state of one device: AR(1) over minutes, correlation 0.9
  double request_spread = 0.20;
  double heavy_share = 0.01;  // requests with a Pareto tail
  double daily_swing = 0.10;  // common to all devices
  int minutes_before = 60, minutes_after = 60;
  int requests_per_minute = 60;
};

// What the new release does to canaries.
struct Effect {
  double slower = 0;        // 0.2: every request of every canary takes 20 % longer
  double tail_share = 0;    // this share of requests takes three times as long
  double device_share = 1;  // `slower` hits only this share of the canaries
};

// Counts per bucket of a dense sketch, for speed; telemetry::ExpHistogram is made from it.
class MinuteSketch {
 public:
  void record_bucket(int index);
  void merge(const MinuteSketch& other);
  std::uint64_t count() const { return count_; }
  double quantile(double p) const;  // seconds, log-interpolated
  telemetry::ExpHistogram to_histogram() const;

 private:
  static constexpr int first_ = -20 * 16, size_ = 27 * 16;  // 2^-10 … 2^3.5 s is all that the model makes
  std::vector<std::uint32_t> counts_;
  std::uint64_t count_ = 0;
};

struct DeviceTrace {
  std::vector<MinuteSketch> before, after;  // one sketch per minute
};
struct FleetTrace {
  std::vector<DeviceTrace> canaries, controls;  // canary i is paired with control i, at random
};
FleetTrace simulate(const FleetModel& model, const Effect& effect, std::uint64_t seed);

}  // namespace ferry::sim
