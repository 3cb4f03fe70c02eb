#include "telemetry/drift_cause.hpp"

#include "telemetry/drift_math.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ferry::telemetry {
namespace {

using Counts = std::vector<std::uint64_t>;

bool usable(const Counts& reference, const Counts& counts, const DriftPolicy& policy) {
  const std::uint64_t n = sum_of_counts(counts), n_ref = sum_of_counts(reference);
  return counts.size() == reference.size() && n >= policy.window_samples_min && n <= drift_counts_max &&
         n_ref >= policy.reference_samples_min && n_ref <= drift_counts_max;
}

// Shares in the bins of both groups, joined until each expects enough predictions in each group.
struct Shares {
  double canary = 0, canary_reference = 0, control = 0, control_reference = 0;
  void add(const Shares& other) {
    canary += other.canary;
    canary_reference += other.canary_reference;
    control += other.control;
    control_reference += other.control_reference;
  }
};

struct Sizes {
  double canary, canary_reference, control, control_reference;
};

std::vector<Shares> join_bins(const std::vector<Shares>& bins, const Sizes& n, double expected_min) {
  std::vector<Shares> joined;
  Shares open;
  for (const Shares& bin : bins) {
    open.add(bin);
    if (open.canary_reference * n.canary >= expected_min && open.control_reference * n.control >= expected_min) {
      joined.push_back(open);
      open = {};
    }
  }
  if (!joined.empty()) joined.back().add(open);
  return joined;
}

// Variance of the difference between a sample's share and its reference's, at their common share.
double variance(double share, double reference_share, double n, double n_ref) {
  const double common = (share * n + reference_share * n_ref) / (n + n_ref);
  return common * (1 / n + 1 / n_ref);
}

ExcessDrift excess_of(DriftFeature feature, const DriftSide& canary, const DriftSide& control,
                      const DriftPolicy& policy) {
  ExcessDrift made;
  const DriftCounts canary_all = reference_counts(canary.reference), control_all = reference_counts(control.reference);
  const Counts &canary_reference = canary_all[feature], &control_reference = control_all[feature];
  const Counts &canary_counts = canary.counts[feature], &control_counts = control.counts[feature];
  made.n_canary = sum_of_counts(canary_counts);
  made.n_control = sum_of_counts(control_counts);
  if (!usable(canary_reference, canary_counts, policy) || !usable(control_reference, control_counts, policy) ||
      canary_reference.size() != control_reference.size()) {
    return made;
  }
  const Sizes n{double(made.n_canary), double(sum_of_counts(canary_reference)), double(made.n_control),
                double(sum_of_counts(control_reference))};
  std::vector<Shares> bins;
  for (std::size_t i = 0; i < canary_counts.size(); ++i) {
    bins.push_back({double(canary_counts[i]) / n.canary, double(canary_reference[i]) / n.canary_reference,
                    double(control_counts[i]) / n.control, double(control_reference[i]) / n.control_reference});
  }
  bins = join_bins(bins, n, policy.expected_min);
  if (bins.size() < 2) return made;
  made.compared = true;
  made.bins = int(bins.size());
  for (const Shares& bin : bins) {
    const double difference = (bin.canary - bin.canary_reference) - (bin.control - bin.control_reference);
    made.statistic += difference * difference /
                      (variance(bin.canary, bin.canary_reference, n.canary, n.canary_reference) +
                       variance(bin.control, bin.control_reference, n.control, n.control_reference));
    made.tv += std::abs(difference) / 2;
  }
  made.p = chi_square_tail(made.statistic, made.bins - 1);
  return made;
}

std::string said(const char* form, double first, double second) {
  char text[200];
  std::snprintf(text, sizeof text, form, first, second);
  return text;
}

}  // namespace

std::string_view to_string(DriftCause cause) {
  constexpr std::array<std::string_view, 4> names{"none", "model", "world", "not_enough"};
  return names[std::size_t(cause)];
}

std::int64_t drift_period_start(const DriftState& canary, const DriftState& control, std::int64_t rollout_start_ms) {
  if (canary.level != DriftLevel::ok) return canary.run_start_ms;
  return control.level != DriftLevel::ok ? control.run_start_ms : rollout_start_ms;
}

DriftComparison compare_drift(const DriftSide& canary, const DriftSide& control, const DriftPolicy& policy) {
  DriftComparison made;
  made.p_max = drift_cause_p_max;
  int compared = 0;
  for (const DriftFeature feature : drift_features) {
    ExcessDrift& one = made.excess[std::size_t(feature)];
    one = excess_of(feature, canary, control, policy);
    compared += one.compared ? 1 : 0;
    made.p = std::min(made.p, one.p);
  }
  made.p = std::min(1.0, made.p * std::max(1, compared));
  const double n_canary = double(canary.counts.samples()), n_control = double(control.counts.samples());
  const bool canary_drifts = canary.level != DriftLevel::ok, control_drifts = control.level != DriftLevel::ok;
  if (control_drifts) {
    made.cause = DriftCause::world;
    made.reason = canary_drifts ? "canary and control drift alike: the world changed, not the release"
                                : "the control group drifts though its release is the old one: the world changed";
    return made;
  }
  if (!canary_drifts) {
    const bool enough = std::min(n_canary, n_control) >= double(policy.window_samples);
    made.cause = enough ? DriftCause::none : DriftCause::not_enough;
    made.reason = said(enough ? "neither group drifts (%.0f canary and %.0f control predictions)"
                              : "too few predictions to tell: %.0f by canaries, %.0f by the control group",
                       n_canary, n_control);
    return made;
  }
  const WindowDrift control_alone = test_drift_window(control.reference, control.counts, policy);
  for (const FeatureDrift& one : control_alone.features) made.control_p = std::min(made.control_p, one.p);
  made.control_p = std::min(1.0, made.control_p * std::max(1, control_alone.tested));
  if (compared == 0) {
    made.reason = said("the canaries drift; the control group cannot be compared (%.0f and %.0f predictions)", n_canary,
                       n_control);
  } else if (made.control_p <= drift_cause_p_max) {
    made.reason = said("the canaries drift and the control group begins to: p = %.2g that it does not, bound %g",
                       made.control_p, drift_cause_p_max);
  } else if (made.p <= drift_cause_p_max) {
    made.cause = DriftCause::model;
    made.reason = said("the canaries drift and the control group does not: p = %.2g that they depart alike, bound %g",
                       made.p, drift_cause_p_max);
  } else {
    made.reason = said("the canaries drift; the control group may do so too: p = %.2g that they depart alike, bound %g",
                       made.p, drift_cause_p_max);
  }
  return made;
}

}  // namespace ferry::telemetry
