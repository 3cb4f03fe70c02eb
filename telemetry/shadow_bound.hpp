// What agreement of two releases proves: |accuracy of one - of the other| is at most the share on which they disagree,
// so a bound on that share certifies non-inferiority without a single label (STATS.md §3.3).
#pragma once
#include "telemetry/sanity.hpp"

namespace ferry::telemetry {

constexpr double shadow_alpha = 0.05;   // of each certificate, however often it is looked at
constexpr double shadow_margin = 0.02;  // the disagreement that `certified` is about

struct ShadowBound {
  double share = 0;         // that disagreed
  double share_max = 1;     // the disagreement is below this, at 1 - shadow_alpha, at any time
  double log_e_margin = 0;  // evidence (nats) against a disagreement of shadow_margin or more
  bool certified = false;   // that evidence reaches ln(1/shadow_alpha)
  double mean_gap = 0;      // of the top probabilities
};
// Pure. Valid when the compared inferences are a random sample of what the release was asked.
ShadowBound shadow_bound(const ShadowAgreement& agreement);

}  // namespace ferry::telemetry
