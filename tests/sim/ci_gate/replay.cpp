#include "tests/sim/ci_gate/replay.hpp"

#include "ci_gates/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace ferry::sim {
namespace {

// One gate from one place of a recording on.
void replay_one(const Recording& recording, std::size_t from, double factor, double seconds_max, Tally& into) {
  std::vector<double> log2_ratios;
  double seconds = 0;
  do {
    const Pair& pair = recording.pairs[(from + log2_ratios.size()) % recording.pairs.size()];
    log2_ratios.push_back(std::log2(factor * pair.candidate_us / pair.baseline_us));
    seconds += double(ci_gates::block_runs) * (factor * pair.candidate_us + pair.baseline_us) / 1e6;
  } while (seconds < seconds_max && !ci_gates::is_decided(log2_ratios, ci_gates::latency_margin_default));
  const auto seen = ci_gates::compare_blocks(log2_ratios, ci_gates::latency_margin_default);
  into.add(seen.verdict, seen.pairs, seconds);
}

}  // namespace

void Tally::add(ci_gates::Verdict verdict, std::size_t pairs_seen, double seconds_taken) {
  ++runs;
  passed += verdict == ci_gates::Verdict::pass;
  failed += verdict == ci_gates::Verdict::fail;
  held += verdict == ci_gates::Verdict::hold;
  pairs.push_back(double(pairs_seen));
  seconds.push_back(seconds_taken);
}

Tally replay(const std::vector<Recording>& recordings, const std::string& condition, double factor, int runs,
             double seconds_max, std::uint64_t seed) {
  std::vector<const Recording*> pool;
  for (const Recording& recording : recordings) {
    if (recording.condition == condition) pool.push_back(&recording);
  }
  Tally tally;
  if (pool.empty()) return tally;
  std::mt19937_64 dice(seed);
  for (int run = 0; run < runs; ++run) {
    const Recording& recording = *pool[dice() % pool.size()];
    replay_one(recording, dice() % recording.pairs.size(), factor, seconds_max, tally);
  }
  return tally;
}

double quantile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, std::size_t(p * double(values.size())))];
}

}  // namespace ferry::sim
