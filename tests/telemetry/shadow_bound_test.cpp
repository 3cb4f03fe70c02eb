#include "telemetry/shadow_bound.hpp"

#include <random>

using namespace ferry::telemetry;

namespace {

ShadowAgreement agreement_of(std::uint64_t agreed, std::uint64_t disagreed) {
  ShadowAgreement made;
  made.agreed = agreed;
  if (disagreed > 0) made.disagreed[{1, 2}] = disagreed;
  made.gap_sum = 0.01 * double(agreed + disagreed);
  return made;
}

}  // namespace

TEST_CASE("without a comparison nothing is certified") {
  const ShadowBound bound = shadow_bound({});
  CHECK(bound.share_max == 1);
  CHECK_FALSE(bound.certified);
}

TEST_CASE("the bound lies above what was seen, falls with more comparisons and agrees with the certificate") {
  double before = 1;
  for (std::uint64_t n : {50u, 200u, 1'000u, 5'000u, 50'000u}) {
    const ShadowBound bound = shadow_bound(agreement_of(n - n / 100, n / 100));
    CHECK(bound.share_max > bound.share);
    CHECK(bound.share_max < before);
    CHECK(bound.certified == (bound.share_max <= shadow_margin + 2e-6));
    CHECK(bound.mean_gap == Approx(0.01));
    before = bound.share_max;
  }
  CHECK(shadow_bound(agreement_of(4'950, 50)).certified);
  CHECK_FALSE(shadow_bound(agreement_of(198, 2)).certified);
}

TEST_CASE("a disagreement at the margin is certified as less in at most alpha of all streams, looked at all the time") {
  int wrong = 0;
  constexpr int streams = 200;
  for (std::uint64_t seed = 1; seed <= streams; ++seed) {
    std::mt19937_64 dice(seed);
    std::bernoulli_distribution differs(shadow_margin);
    ShadowAgreement agreement;
    bool certified = false;
    for (int n = 0; n < 1'500 && !certified; ++n) {
      agreement.add(1, differs(dice) ? 2 : 1, 0);
      if (n % 10 == 0) certified = shadow_bound(agreement).certified;
    }
    wrong += certified ? 1 : 0;
  }
  CHECK(wrong <= streams / 20);
}
