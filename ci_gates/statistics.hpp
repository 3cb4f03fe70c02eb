// The bounds a gate decides by, as pure functions. Sources are named at each.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ferry::ci_gates {

// Clopper-Pearson lower confidence bound of a proportion: `right` of `total`, one-sided level 1 - alpha.
// 0 when right is 0. (Clopper & Pearson 1934: Beta^-1(alpha; x, n - x + 1).)
double proportion_lower_bound(std::uint64_t right, std::uint64_t total, double alpha);

// Its mirror, the upper bound; 1 when all are right.
double proportion_upper_bound(std::uint64_t right, std::uint64_t total, double alpha);

// z with P(Z > z) = alpha for a standard normal Z. 0 < alpha < 1.
double normal_quantile(double alpha);

// Paired loss of accuracy of a candidate against a baseline on the same samples (STATS.md §5.2.7).
struct PairedLoss {
  double loss = 0;              // share of samples the baseline had right and the candidate wrong, minus the reverse
  double lower = 0, upper = 0;  // one-sided confidence bounds, each at the level of z
};
// `baseline_only` right for the baseline alone, `candidate_only` the reverse. Few discordant pairs (under 25) use
// Tango's score interval, as the normal one is too short there. `total` at least 1.
PairedLoss paired_accuracy_loss(std::uint64_t baseline_only, std::uint64_t candidate_only, std::uint64_t total,
                                double z = 1.6448536269514722);

// Samples that a paired comparison with `margin` needs to pass two equal models with probability 0.8 at one-sided
// level `alpha`: (z_alpha + z_0.2)^2 psi / margin^2, psi the share of discordant pairs (STATS.md §5.2.7); at least
// what Tango's interval needs when the two never disagree. margin > 0.
std::uint64_t paired_samples_needed(double discordant_share, double margin, double alpha);

// Holm's step-down procedure: which of these hypotheses may be rejected with a family-wise error of at most `alpha`
// (Holm 1979). Same order and size as `p_values`.
std::vector<bool> holm_rejected(std::span<const double> p_values, double alpha);
// p-values of the two one-sided tests of a paired loss: H0 "loss >= margin" (a small p certifies non-inferiority) and
// H0 "loss <= margin" (a small p shows harm); the levels at which the bounds above just reach the margin.
double paired_p_not_inferior(std::uint64_t baseline_only, std::uint64_t candidate_only, std::uint64_t total,
                             double margin);
double paired_p_harm(std::uint64_t baseline_only, std::uint64_t candidate_only, std::uint64_t total, double margin);

// MLPerf Inference early stopping (rules, appendix; loadgen): the largest count of over-latency samples allowed among
// `samples` so that the p-th percentile holds with confidence c. -1: too few samples for any statement.
std::int64_t early_stopping_overs(std::uint64_t samples, double percentile, double confidence = 0.99);

// The early-stopping estimate of a percentile: the latency the percentile is below with that confidence, from sorted
// values. Negative when there are too few samples.
double early_stopping_estimate(std::span<const double> sorted_ascending, double percentile, double confidence = 0.99);

// Hodges-Lehmann estimate of the median of paired differences with its confidence interval from the Walsh averages'
// order statistics (STATS.md §5.2.6). Needs at least 6 differences; more than `pairs_max` are refused by assertion of
// the caller: cost is quadratic.
struct ShiftEstimate {
  double shift = 0, low = 0, high = 0;
};
inline constexpr std::size_t shift_pairs_max = 2'000;
ShiftEstimate hodges_lehmann(std::span<const double> differences, double z = 1.959963984540054);

}  // namespace ferry::ci_gates
