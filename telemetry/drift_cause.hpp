// Did the release change, or the world? Drift of a rollout's canary group beside that of its control group (STATS.md
// §2.5): what both groups see is the world and pauses a promotion; what only the canaries see is the release. Pure.
#pragma once
#include "telemetry/drift.hpp"

namespace ferry::telemetry {

enum class DriftCause {
  none,        // neither group drifts
  model,       // the canaries drift, and the control group demonstrably less
  world,       // the control group drifts, with the canaries or without
  not_enough,  // hold: too few predictions, or the groups cannot be told apart yet
};
std::string_view to_string(DriftCause cause);

struct DriftSide {
  const ReferenceProfile& reference;  // of the release that this group runs
  DriftLevel level = DriftLevel::ok;  // of its detector
  const DriftCounts& counts;          // its predictions from drift_period_start() until now
};

// The one period for both groups: since the estimated change of the canaries if they drift, else of the control group
// if it does, else all since `rollout_start_ms`.
std::int64_t drift_period_start(const DriftState& canary, const DriftState& control, std::int64_t rollout_start_ms);

// The canaries' departure from their reference beside the control group's from its own, feature by feature. Bins are
// compared by rank: both references cut theirs at the same quantiles.
struct ExcessDrift {
  bool compared = false;  // false: too few predictions, or references with other numbers of bins
  std::uint64_t n_canary = 0, n_control = 0;
  int bins = 0;
  double statistic = 0;  // Σ (difference of the departures)² / its variance, about chi-square with bins - 1 degrees
  double p = 1;
  double tv = 0;  // half the sum of |differences|, [0, 2]
};

struct DriftComparison {
  DriftCause cause = DriftCause::not_enough;
  std::array<ExcessDrift, drift_features.size()> excess;
  double p = 1;  // that the groups depart alike: the smallest p times the number of features compared, at most 1
  double control_p = 1;  // that the control group does not drift, likewise; computed when only the canaries do
  double p_max = 0;      // the bound it was held against
  std::string reason;    // one sentence with the numbers
};

constexpr double drift_cause_p_max = 0.01;

// canary   | control  | answer
// ok       | ok       | none; not_enough below window_samples predictions in either group
// any      | drifting | world: the control group's release did not change, so something else did
// drifting | ok       | model if p <= drift_cause_p_max < control_p, else not_enough: the control group may follow
// (Two releases meet the same world differently, so a small p alone does not accuse the release.)
// `window_samples` and `reference_samples_min` are those of the policy. Hostile counts (other lengths, impossible
// sums) make a feature not compared; with none left a drifting canary group beside a calm control group is not_enough.
DriftComparison compare_drift(const DriftSide& canary, const DriftSide& control, const DriftPolicy& policy);

}  // namespace ferry::telemetry
