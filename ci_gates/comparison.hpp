// Is the candidate slower than the deployed release? Judged on pairs of blocks, one pair after the other, so that a
// gate measures no longer than it must (STATS.md §5.2.6). Pure.
#pragma once
#include "ci_gates/measurement.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace ferry::ci_gates {

// Chance of ever failing a candidate that is not slower than the margin, at most: E is tested at every pair (Ville).
inline constexpr double slower_alpha = 0.01;
// Chance of ever passing one that is slower than the margin, at most: halved from look to look, the first has one half.
inline constexpr double not_slower_alpha = 0.05;
inline constexpr std::size_t block_pairs_min = 20;        // STATS.md §5.2.4
inline constexpr std::size_t block_pairs_max = 1'280;     // the seventh look; the interval's cost is quadratic
inline constexpr double latency_margin_default = 0.0443;  // two buckets of the latency sketch, as the live gate

struct Comparison {
  std::size_t pairs = 0, slower_pairs = 0;  // slower by more than the margin
  double log_e = 0;                         // evidence that the candidate is slower than the margin, nats
  double ratio = 1, low = 1, high = 1;      // Hodges-Lehmann, with its interval at the present look's level
  Verdict verdict = Verdict::hold;          // fail: slower; pass: not slower than the margin; hold: not yet known
  bool operator==(const Comparison&) const = default;
};

// Looks at the interval are at 20, 40, 80, … pairs.
bool is_look(std::size_t pairs);

// `log2_ratios[i]` = log2(median of the candidate's block i / median of the deployed release's). Fail: the sign
// e-process with margin reached 1 / slower_alpha. Pass: the upper end of the interval is within 1 + margin. Hold with
// fewer than block_pairs_min pairs, and between the two. At most block_pairs_max ratios are looked at. margin >= 0.
Comparison compare_blocks(std::span<const double> log2_ratios, double margin);

// The same at one more pair while measuring: whether to stop, without the interval's cost where there is no look.
bool is_decided(std::span<const double> log2_ratios, double margin);

}  // namespace ferry::ci_gates
