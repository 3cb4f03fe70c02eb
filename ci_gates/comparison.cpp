#include "ci_gates/comparison.hpp"

#include "ci_gates/statistics.hpp"
#include "telemetry/judge_eprocess.hpp"

#include <algorithm>
#include <cmath>

namespace ferry::ci_gates {
namespace {

constexpr double tightest_at_pairs = 30;  // STATS.md §4.4

// The first of the looks 20, 40, 80, … that is not below `pairs`: 0, 1, 2, …
int look_of(std::size_t pairs) {
  int look = 0;
  for (std::size_t at = block_pairs_min; at < pairs; at *= 2) ++look;
  return look;
}

std::size_t count_slower(std::span<const double> log2_ratios, double margin) {
  const double limit = std::log2(1 + margin);
  return std::size_t(
      std::count_if(log2_ratios.begin(), log2_ratios.end(), [&](double ratio) { return ratio > limit; }));
}

// Null: a pair is slower than the margin no more often than not. Under it, swapping the two models of a pair makes
// "slower" no likelier, whatever the machine does to both.
double log_evidence(std::size_t slower, std::size_t pairs) {
  static const double kappa = telemetry::kappa_for(tightest_at_pairs, slower_alpha);
  return telemetry::log_e_up(double(slower), double(pairs - slower), 0.5, kappa);
}

bool is_slower(double log_e) { return log_e >= std::log(1 / slower_alpha); }

ShiftEstimate interval(std::span<const double> log2_ratios) {
  // One-sided error .025, .0125, … at the looks: together below not_slower_alpha.
  const double level = not_slower_alpha / 2 / double(1 << look_of(log2_ratios.size()));
  return hodges_lehmann(log2_ratios, normal_quantile(level));
}

}  // namespace

bool is_look(std::size_t pairs) { return pairs == block_pairs_min << look_of(pairs); }

Comparison compare_blocks(std::span<const double> all, double margin) {
  const std::span<const double> log2_ratios = all.first(std::min(all.size(), block_pairs_max));
  Comparison seen;
  seen.pairs = log2_ratios.size();
  seen.slower_pairs = count_slower(log2_ratios, margin);
  if (seen.pairs == 0) return seen;
  seen.log_e = log_evidence(seen.slower_pairs, seen.pairs);
  const ShiftEstimate shift = interval(log2_ratios);
  seen.ratio = std::exp2(shift.shift);
  seen.low = std::exp2(shift.low);
  seen.high = std::exp2(shift.high);
  if (seen.pairs < block_pairs_min) return seen;
  seen.verdict = is_slower(seen.log_e) ? Verdict::fail : seen.high <= 1 + margin ? Verdict::pass : Verdict::hold;
  return seen;
}

bool is_decided(std::span<const double> log2_ratios, double margin) {
  const std::size_t pairs = log2_ratios.size();
  if (pairs < block_pairs_min) return false;
  if (pairs >= block_pairs_max || is_slower(log_evidence(count_slower(log2_ratios, margin), pairs))) return true;
  return is_look(pairs) && compare_blocks(log2_ratios, margin).verdict != Verdict::hold;
}

}  // namespace ferry::ci_gates
