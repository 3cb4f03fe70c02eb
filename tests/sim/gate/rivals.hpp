// Rules that others judge a canary by, re-written from their public descriptions (STATS.md §4.1) and run on the same
// fleet.
#pragma once
#include "tests/sim/gate/fleet_model.hpp"

#include <string>
#include <vector>

namespace ferry::sim {

constexpr int never = -1;

// The minute of the first roll-back under a rule, or `never`.
struct Fired {
  std::string rule;
  int minute = never;
};

// Kayenta's judge for one metric: two-sided Mann-Whitney on per-minute points of the two groups at 98 %; "high" when
// the lower end of the Hodges-Lehmann interval exceeds a quarter of its estimate and the ratio of means reaches the
// allowed increase.
bool kayenta_high(const std::vector<double>& canary, const std::vector<double>& control, double allowed_increase);

// All rules of the table, in its order.
std::vector<Fired> run_rivals(const FleetTrace& trace);

}  // namespace ferry::sim
