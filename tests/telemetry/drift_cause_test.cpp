#include "telemetry/drift_cause.hpp"

#include "tests/telemetry/drift_fixture.hpp"

#include <cmath>
#include <limits>

using namespace ferry;
using namespace ferry::telemetry;
using test::Draws;

namespace {

const ReferenceProfile& reference() {
  static const ReferenceProfile made = test::drift_reference();
  return made;
}

DriftComparison compare(DriftLevel canary_level, const DriftCounts& canary, DriftLevel control_level,
                        const DriftCounts& control) {
  return compare_drift({reference(), canary_level, canary}, {reference(), control_level, control}, {});
}

constexpr std::array levels{DriftLevel::ok, DriftLevel::notice, DriftLevel::warn, DriftLevel::critical};

}  // namespace

TEST_CASE("every pair of levels, with counts that differ and counts that do not, has its answer") {
  Draws draws(1);
  const DriftCounts calm = test::drift_window(draws, reference(), 1'000);
  const DriftCounts shifted = test::drift_window(draws, reference(), 1'000, 0.3);
  const DriftCounts few = test::drift_window(draws, reference(), 50);
  for (const DriftLevel canary : levels) {
    for (const DriftLevel control : levels) {
      for (const DriftCounts* canary_counts : {&calm, &shifted, &few}) {
        for (const DriftCounts* control_counts : {&calm, &shifted, &few}) {
          const DriftCause cause = compare(canary, *canary_counts, control, *control_counts).cause;
          if (control != DriftLevel::ok) {
            CHECK(cause == DriftCause::world);
          } else if (canary == DriftLevel::ok) {
            const bool enough = canary_counts != &few && control_counts != &few;
            CHECK(cause == (enough ? DriftCause::none : DriftCause::not_enough));
          } else {
            const bool told_apart = canary_counts == &shifted && control_counts == &calm;
            CHECK(cause == (told_apart ? DriftCause::model : DriftCause::not_enough));
          }
        }
      }
    }
  }
}

TEST_CASE("a control group that departs too, without an alarm yet, acquits no one") {
  Draws draws(2);
  const DriftCounts strong = test::drift_window(draws, reference(), 2'000, 0.5);
  const DriftCounts weak = test::drift_window(draws, reference(), 2'000, 0.1);
  const DriftComparison comparison = compare(DriftLevel::warn, strong, DriftLevel::ok, weak);
  CHECK(comparison.p <= drift_cause_p_max);  // the groups do not depart alike …
  CHECK(comparison.control_p <= drift_cause_p_max);
  CHECK(comparison.cause == DriftCause::not_enough);  // … but the world may have changed for both
}

TEST_CASE("the comparison carries its numbers") {
  Draws draws(3);
  const DriftCounts calm = test::drift_window(draws, reference(), 700);
  const DriftCounts shifted = test::drift_window(draws, reference(), 900, 0.3);
  const DriftComparison comparison = compare(DriftLevel::warn, shifted, DriftLevel::ok, calm);
  const ExcessDrift& confidence = comparison.excess[std::size_t(DriftFeature::confidence)];
  CHECK(confidence.compared);
  CHECK(confidence.n_canary == 900);
  CHECK(confidence.n_control == 700);
  CHECK(confidence.bins == 20);
  CHECK(confidence.tv > 0.2);
  CHECK(comparison.p == Approx(3 * confidence.p));
  CHECK(comparison.p_max == drift_cause_p_max);
  CHECK_THAT(comparison.reason, Catch::Contains("p = "));
}

TEST_CASE("groups that depart alike are told apart in at most about one case of a hundred") {
  Draws draws(4);
  int model = 0, apart = 0;
  for (int i = 0; i < 400; ++i) {
    const DriftCounts canary = test::drift_window(draws, reference(), 400, 0.15);
    const DriftCounts control = test::drift_window(draws, reference(), 400, 0.15);
    const DriftComparison comparison = compare(DriftLevel::notice, canary, DriftLevel::ok, control);
    model += comparison.cause == DriftCause::model ? 1 : 0;
    apart += comparison.p <= drift_cause_p_max ? 1 : 0;
  }
  CHECK(apart <= 12);  // 4 expected
  CHECK(model == 0);   // the control group's own departure is seen
}

TEST_CASE("two releases are compared by the ranks of their own references") {
  Draws draws(5);
  ReferenceProfile other = test::drift_reference();
  for (double& bound : other.confidence.bounds) bound = bound * bound;  // another model, the same quantiles
  const DriftCounts calm = test::drift_window(draws, other, 1'000);
  const DriftCounts shifted = test::drift_window(draws, reference(), 1'000, 0.3);
  CHECK(compare_drift({reference(), DriftLevel::warn, shifted}, {other, DriftLevel::ok, calm}, {}).cause ==
        DriftCause::model);
}

TEST_CASE("the period of a comparison begins with the canaries' change, then the control group's, then the rollout") {
  for (const DriftLevel canary_level : levels) {
    for (const DriftLevel control_level : levels) {
      const DriftState canary{.run_start_ms = 30, .level = canary_level};
      const DriftState control{.run_start_ms = 20, .level = control_level};
      const std::int64_t expected = canary_level != DriftLevel::ok ? 30 : control_level != DriftLevel::ok ? 20 : 10;
      CHECK(drift_period_start(canary, control, 10) == expected);
    }
  }
}

TEST_CASE("hostile counts are not compared and never make a release guilty") {
  Draws draws(6);
  const DriftCounts calm = test::drift_window(draws, reference(), 1'000);
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  DriftCounts wrong_length, huge, zero;
  for (auto& bins : wrong_length.bins) bins.assign(3, 1'000);
  huge[DriftFeature::classes].assign(10, most);
  huge[DriftFeature::confidence].assign(20, most);
  huge[DriftFeature::mnlp].assign(10, drift_counts_max);
  zero[DriftFeature::classes].assign(10, 0);
  for (const DriftCounts& odd : {wrong_length, huge, zero, DriftCounts{}}) {
    for (const DriftComparison& comparison :
         {compare(DriftLevel::warn, odd, DriftLevel::ok, calm), compare(DriftLevel::warn, calm, DriftLevel::ok, odd)}) {
      CHECK(comparison.cause == DriftCause::not_enough);
      CHECK_FALSE(comparison.reason.empty());
      for (const ExcessDrift& excess : comparison.excess) {
        CHECK_FALSE(excess.compared);
        CHECK(std::isfinite(excess.statistic));
        CHECK(excess.p == 1);
      }
    }
  }
  const DriftCounts counts = calm;
  const ReferenceProfile fewer_classes = test::drift_reference(10'000, 5);
  const DriftComparison mixed =
      compare_drift({reference(), DriftLevel::warn, counts}, {fewer_classes, DriftLevel::ok, counts}, {});
  CHECK_FALSE(mixed.excess[std::size_t(DriftFeature::classes)].compared);
  CHECK(mixed.excess[std::size_t(DriftFeature::mnlp)].compared);
}
