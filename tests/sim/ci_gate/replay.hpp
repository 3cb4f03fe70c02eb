// The gate's own comparison, replayed over recorded pairs as if the candidate were slower by a known factor.
#pragma once
#include "tests/sim/ci_gate/recording.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ferry::sim {

struct Tally {
  int runs = 0, passed = 0, failed = 0, held = 0;
  std::vector<double> seconds;  // of measuring, each run
  std::vector<double> pairs;
  void add(ci_gates::Verdict verdict, std::size_t pairs_seen, double seconds_taken);
};

// `runs` gates. Each takes a random recording of the condition from a random pair on (and from its beginning again when
// it needs more), multiplies the candidate's medians by `factor`, and stops where the gate would, at the latest after
// `seconds_max` of recorded running time.
Tally replay(const std::vector<Recording>& recordings, const std::string& condition, double factor, int runs,
             double seconds_max, std::uint64_t seed);

double quantile(std::vector<double> values, double p);  // not empty

}  // namespace ferry::sim
