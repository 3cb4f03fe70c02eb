#include "telemetry/shadow_bound.hpp"

#include "telemetry/judge_eprocess.hpp"

#include <cmath>

namespace ferry::telemetry {
namespace {

constexpr double tightest_after = 1'000;  // comparisons: a day's of a small fleet
constexpr double share_resolution = 1e-6;

double log_e_against(const ShadowAgreement& agreement, double share) {
  return log_e_down(double(agreement.disagreements()), double(agreement.agreed), share,
                    kappa_for(tightest_after, shadow_alpha));
}

}  // namespace

ShadowBound shadow_bound(const ShadowAgreement& agreement) {
  ShadowBound bound;
  const double compared = double(agreement.compared());
  if (compared == 0) return bound;
  bound.share = double(agreement.disagreements()) / compared;
  bound.mean_gap = agreement.gap_sum / compared;
  bound.log_e_margin = log_e_against(agreement, shadow_margin);
  const double needed = std::log(1 / shadow_alpha);
  bound.certified = bound.log_e_margin >= needed;
  // The smallest share that the evidence rejects: it rejects every larger one too.
  double open = bound.share, rejected = 1;
  while (rejected - open > share_resolution) {
    const double middle = (open + rejected) / 2;
    (log_e_against(agreement, middle) >= needed ? rejected : open) = middle;
  }
  bound.share_max = rejected;
  return bound;
}

}  // namespace ferry::telemetry
