// Timing of a candidate, alone or in turns with the deployed release: warm-up, then blocks A B B A … on the same inputs
// (STATS.md §5.2.3-5.2.4).
#pragma once
#include "common/result.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace ferry::ci_gates {

using Nanoseconds = std::chrono::nanoseconds;

inline constexpr std::size_t block_runs = 100;  // inferences of one model before the other has its turn …
inline constexpr Nanoseconds block_time_max = std::chrono::seconds{1};  // … or fewer, of a slow model
inline constexpr std::size_t warm_up_runs_min = 200;                    // both are discarded
inline constexpr Nanoseconds warm_up_time_min = std::chrono::seconds{10};
inline constexpr Nanoseconds warm_up_time_max = std::chrono::seconds{30};
inline constexpr std::size_t warm_up_blocks_max = 60;          // of each model
inline constexpr std::size_t settled_blocks = 3;               // the last ones' medians …
inline constexpr double settled_spread_max = 1.05;             // … are this near to each other
inline constexpr std::size_t latencies_max = 1'000'000;        // kept; more inferences count in their blocks alone
inline constexpr std::uint64_t input_order_seed = 20'261'125;  // MLPerf: fixed seeds

struct BlockPlan {
  std::uint64_t samples = 1'000;                               // inferences of the candidate, at least
  double margin = 0;                                           // of the comparison: it goes on until decided …
  Nanoseconds comparison_time_max = std::chrono::seconds{60};  // … or this long
  std::size_t pairs_min = 0;  // more pairs than a decision needs (simulations record them)
};

struct Blocks {
  std::vector<double> latencies_us;         // of the candidate, in order
  std::vector<double> medians_us;           // of its blocks
  std::vector<double> baseline_medians_us;  // of the deployed release's, pair by pair; empty without one
  bool settled = true;                      // false: medians still moved when the warm-up's time was over
  double seconds = 0;                       // measuring, without warm-up
  std::vector<double> log2_ratios() const;
};

// One inference on the `input`-th sample: how long the run alone took.
using TimedRun = std::function<Result<Nanoseconds>(std::size_t input)>;
using Now = std::function<Nanoseconds()>;

// CLOCK_MONOTONIC_RAW: not slewed by NTP.
Nanoseconds monotonic_raw();

// The samples 0 … count - 1 in the order in which they are fed: a permutation from the fixed seed.
std::vector<std::size_t> input_order(std::size_t count, std::uint64_t seed = input_order_seed);

// `baseline` empty: the candidate alone. Errors are those of a run. `inputs` samples, at least 1.
Result<Blocks> measure_blocks(const TimedRun& candidate, const TimedRun& baseline, std::size_t inputs,
                              const BlockPlan& plan, const Now& now);

double median(std::vector<double> values);  // not empty

}  // namespace ferry::ci_gates
