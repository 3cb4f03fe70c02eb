#include "telemetry/drift_window.hpp"

#include "telemetry/drift_math.hpp"
#include "tests/telemetry/drift_fixture.hpp"

#include <cmath>
#include <limits>

using namespace ferry;
using namespace ferry::telemetry;
using test::Draws;

namespace {

using Counts = std::vector<std::uint64_t>;

// A reference and policy that test classes alone, at any size of window.
ReferenceProfile classes_only(Counts counts) {
  ReferenceProfile reference;
  reference.classes = std::move(counts);
  return reference;
}

FeatureDrift test_classes(const ReferenceProfile& reference, Counts counts, const DriftPolicy& policy) {
  DriftCounts window;
  window[DriftFeature::classes] = std::move(counts);
  return test_drift_window(reference, window, policy)[DriftFeature::classes];
}

DriftPolicy small_windows() {
  DriftPolicy policy;
  policy.window_samples_min = 20;
  policy.reference_samples_min = 100;
  return policy;
}

double log_binomial(int n, int k, double p) {
  return std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0) + k * std::log(p) +
         (n - k) * std::log1p(-p);
}

struct Means {
  double e = 0, false_alarms = 0;  // of p < 0.05
};

// Over every outcome of a window of two classes, the first with probability p.
Means enumerate(const ReferenceProfile& reference, int n, double p) {
  Means means;
  for (int k = 0; k <= n; ++k) {
    const FeatureDrift drift = test_classes(reference, {std::uint64_t(k), std::uint64_t(n - k)}, small_windows());
    const double weight = std::exp(log_binomial(n, k, p));
    means.e += weight * drift.e;
    means.false_alarms += drift.p < 0.05 ? weight : 0;
  }
  return means;
}

bool finite(const FeatureDrift& drift) {
  return std::isfinite(drift.statistic) && drift.p >= 0 && drift.p <= 1 && drift.e >= 0.5 && drift.e <= 5'240 &&
         std::isfinite(drift.effect.psi) && drift.effect.psi >= 0 && drift.effect.js >= 0 &&
         drift.effect.js <= 0.8326 && drift.effect.tv >= 0 && drift.effect.tv <= 1;
}

}  // namespace

TEST_CASE("X² is the two-sample statistic and p its tail") {
  // By hand: shares (60+1000)/2100 and (40+1000)/2100.
  const FeatureDrift drift = test_classes(classes_only({1'000, 1'000}), {60, 40}, small_windows());
  const double a = 1'060.0 / 2'100, b = 1'040.0 / 2'100;
  const auto part = [](double o, double expected) { return (o - expected) * (o - expected) / expected; };
  const double expected = part(1'000, 2'000 * a) + part(60, 100 * a) + part(1'000, 2'000 * b) + part(40, 100 * b);
  CHECK(drift.use == DriftUse::tested);
  CHECK(drift.bins == 2);
  CHECK(drift.n == 100);
  CHECK(drift.n_ref == 2'000);
  CHECK(drift.statistic == Approx(expected).epsilon(1e-12));
  CHECK(drift.p == Approx(chi_square_tail(expected, 1)).epsilon(1e-12));
  CHECK(drift.e <= e_value(drift.p));
}

namespace {

// A reference of mnlp alone.
ReferenceProfile mnlp_only(Counts counts) {
  ReferenceProfile reference;
  std::vector<double> bounds;
  for (std::size_t k = 1; k < counts.size(); ++k) bounds.push_back(double(k));
  reference.mnlp = BoundedHistogram(bounds);
  reference.mnlp.counts = std::move(counts);
  return reference;
}

FeatureDrift test_mnlp(const ReferenceProfile& reference, Counts counts) {
  DriftCounts window;
  window[DriftFeature::mnlp] = std::move(counts);
  return test_drift_window(reference, window, small_windows())[DriftFeature::mnlp];
}

}  // namespace

TEST_CASE("a shift along the order of the bins is all of S, on fewer degrees of freedom than X²") {
  const Counts reference(10, 100'000'000), tilted{11, 13, 15, 17, 19, 21, 23, 25, 27, 29};
  const FeatureDrift ordered = test_mnlp(mnlp_only(reference), tilted);
  const FeatureDrift whole = test_classes(classes_only(reference), tilted, small_windows());
  CHECK(ordered.degrees == smooth_order);
  CHECK(ordered.bins == 10);
  CHECK(whole.degrees == 9);
  CHECK(ordered.statistic == Approx(whole.statistic).epsilon(1e-4));  // one straight line, the first polynomial
  CHECK(ordered.p < whole.p / 10);
  CHECK(ordered.e > whole.e);
}

TEST_CASE("S is never more than X², and with five bins or fewer it is X²") {
  Draws draws(29);
  for (const std::size_t bins : {2, 3, 5, 6, 10, 20}) {
    for (int run = 0; run < 50; ++run) {
      Counts reference, window;
      for (std::size_t i = 0; i < bins; ++i) {
        reference.push_back(500 + draws.below(2'000));
        window.push_back(20 + draws.below(200));
      }
      const FeatureDrift ordered = test_mnlp(mnlp_only(reference), window);
      const FeatureDrift whole = test_classes(classes_only(reference), window, small_windows());
      CHECK(ordered.effect == whole.effect);
      if (ordered.bins - 1 > smooth_order) {
        CHECK(ordered.degrees == smooth_order);
        CHECK(ordered.statistic <= whole.statistic * (1 + 1e-9));
      } else {
        CHECK(ordered == whole);
      }
    }
  }
}

TEST_CASE("bins that flap against each other are not what S looks for, but a single bin that takes all is") {
  const Counts reference(10, 1'000);
  const FeatureDrift flapping = test_mnlp(mnlp_only(reference), {30, 10, 30, 10, 30, 10, 30, 10, 30, 10});
  CHECK(flapping.p > 0.001);
  for (std::size_t bin = 0; bin < 10; ++bin) {
    Counts window(10, 10);
    window[bin] = 110;
    CHECK(test_mnlp(mnlp_only(reference), window).p < 1e-6);
  }
}

TEST_CASE("the mean of the e-value of an ordered histogram is at most 1 without drift, also with thin bins") {
  for (const std::size_t thin : {0, 2, 5, 9}) {  // bins that expect hardly five predictions
    const std::size_t n = 200;
    std::vector<double> shares(10, 5.02 / double(n));
    const double rest = (1 - double(thin) * shares[0]) / double(10 - thin);
    for (std::size_t bin = 0; bin < 10 - thin; ++bin) shares[(3 * bin + 4) % 10] = rest;
    Counts counts;
    for (const double share : shares) counts.push_back(std::uint64_t(std::llround(share * 1e9)));
    const ReferenceProfile reference = mnlp_only(counts);
    Draws draws(31 + thin);
    double sum = 0, squares = 0, alarms = 0;
    const int windows = 4'000;
    for (int i = 0; i < windows; ++i) {
      const FeatureDrift drift = test_mnlp(reference, draws.multinomial(n, shares));
      REQUIRE(drift.degrees == smooth_order);
      sum += drift.e;
      squares += drift.e * drift.e;
      alarms += drift.p < 0.05 ? 1 : 0;
    }
    const double mean = sum / windows, error = std::sqrt((squares / windows - mean * mean) / windows);
    INFO("thin " << thin << ": mean " << mean << " +- " << error);
    CHECK(mean - 3 * error <= 1);
    CHECK(mean < 1.2);
    CHECK(alarms / windows == Approx(0.05).margin(0.012));
  }
}

TEST_CASE("the mean of the e-value is at most 1 without drift: every outcome of two classes, thin and full bins") {
  for (const int n : {20, 50, 100, 200}) {
    for (const double expected : {5.0, 6.0, 10.0, 20.0, 50.0}) {
      const double p = expected / n;
      if (p > 0.5) continue;
      for (const std::uint64_t n_ref : {2'000ULL, 10'000ULL, 1'000'000'000ULL}) {
        const auto in_first = std::uint64_t(std::llround(p * double(n_ref)));
        INFO("n " << n << ", expected " << expected << ", N " << n_ref);
        CHECK(enumerate(classes_only({in_first, n_ref - in_first}), n, p).e <= 1);
      }
    }
  }
}

TEST_CASE("the mean of the e-value is at most 1 for every reference but the unlucky share") {
  // The reference is itself a draw: the first class is off by just what reference_risk allows, to either side.
  const double root = std::sqrt(chi_square_quantile(small_windows().reference_risk / 3, 1));
  for (const double n_ref : {2'000.0, 10'000.0}) {
    for (const double p : {0.1, 0.5}) {
      for (const double side : {-1.0, 1.0}) {
        const double first = std::round(n_ref * p + side * root * std::sqrt(n_ref * p * (1 - p)));
        const ReferenceProfile reference = classes_only({std::uint64_t(first), std::uint64_t(n_ref - first)});
        for (const int n : {100, 200, 400, 1'000}) {
          INFO("N " << n_ref << ", p " << p << ", side " << side << ", n " << n);
          CHECK(enumerate(reference, n, p).e <= 1);
        }
      }
    }
  }
}

TEST_CASE("the mean of the e-value is at most 1 without drift: every outcome of three classes") {
  const int n = 40;
  const std::array<double, 3> p{0.125, 0.25, 0.625};
  const ReferenceProfile reference = classes_only({1'250'000, 2'500'000, 6'250'000});
  double mean = 0, mass = 0;
  for (int i = 0; i <= n; ++i) {
    for (int j = 0; i + j <= n; ++j) {
      const int k = n - i - j;
      const double weight =
          std::exp(std::lgamma(n + 1.0) - std::lgamma(i + 1.0) - std::lgamma(j + 1.0) - std::lgamma(k + 1.0) +
                   i * std::log(p[0]) + j * std::log(p[1]) + k * std::log(p[2]));
      mass += weight;
      mean +=
          weight * test_classes(reference, {std::uint64_t(i), std::uint64_t(j), std::uint64_t(k)}, small_windows()).e;
    }
  }
  CHECK(mass == Approx(1));
  CHECK(mean <= 1);
  CHECK(mean > 0.5);
}

TEST_CASE("the mean over three features is at most 1 without drift, and p below 5 % comes in about 5 %") {
  const ReferenceProfile reference = test::drift_reference(1'000'000);  // nearly the truth itself
  Draws draws(7);
  double sum = 0, squares = 0;
  std::array<int, 3> alarms{};
  const int windows = 3'000;
  for (int i = 0; i < windows; ++i) {
    const WindowDrift drift = test_drift_window(reference, test::drift_window(draws, reference, 200), {});
    REQUIRE(drift.tested == 3);
    sum += drift.e;
    squares += drift.e * drift.e;
    for (std::size_t f = 0; f < 3; ++f) alarms[f] += drift.features[f].p < 0.05 ? 1 : 0;
  }
  const double mean = sum / windows, error = std::sqrt((squares / windows - mean * mean) / windows);
  INFO("mean " << mean << ", standard error " << error);
  CHECK(mean <= 1 + 3 * error);
  CHECK(mean > 0.5);
  for (const int count : alarms) CHECK(std::abs(double(count) / windows - 0.05) < 0.02);
}

TEST_CASE("evidence grows with the shift and with the predictions that show it") {
  const ReferenceProfile reference = classes_only(Counts(10, 1'000));
  double statistic = -1, e = 0, tv = -1;
  for (std::uint64_t moved = 0; moved <= 20; ++moved) {
    Counts counts(10, 20);
    counts[0] += 5 * moved;
    for (std::size_t i = 5; i < 10; ++i) counts[i] -= moved;
    const FeatureDrift drift = test_classes(reference, counts, {});
    CHECK(drift.statistic > statistic);
    CHECK(drift.e >= e);
    CHECK(drift.effect.tv >= tv);
    statistic = drift.statistic;
    e = drift.e;
    tv = drift.effect.tv;
  }
  CHECK(e == e_value(0));
  double before = 0;
  for (std::uint64_t times = 1; times <= 50; ++times) {
    Counts counts(10, 10 * times);
    counts[0] += 3 * times;
    counts[1] -= 3 * times;
    const FeatureDrift drift = test_classes(reference, counts, {});
    CHECK(drift.e >= before);
    before = drift.e;
  }
  CHECK(before > 100);
}

TEST_CASE("bins join their neighbours until the reference expects enough, whatever the window holds") {
  const ReferenceProfile reference = classes_only({10, 10, 980, 1'000, 0, 0, 0});
  CHECK(test_classes(reference, {0, 0, 50, 50, 0, 0, 0}, {}).bins == 2);
  CHECK(test_classes(reference, {25, 25, 25, 25, 0, 0, 0}, {}).bins == 2);
  CHECK(test_classes(reference, {0, 0, 0, 0, 0, 0, 1'000}, {}).bins == 4);  // 10 of 2000 expect 5 of 1000
  const FeatureDrift unseen_class = test_classes(reference, {0, 0, 0, 0, 0, 0, 1'000}, {});
  CHECK(unseen_class.e == e_value(0));
  CHECK(finite(unseen_class));
}

TEST_CASE("confidence is tested in pairs of bins") {
  Draws draws(1);
  const ReferenceProfile reference = test::drift_reference();
  const WindowDrift drift = test_drift_window(reference, test::drift_window(draws, reference, 500), {});
  CHECK(drift[DriftFeature::classes].bins == 10);
  CHECK(drift[DriftFeature::confidence].bins == 10);
  CHECK(drift[DriftFeature::mnlp].bins == 10);
}

TEST_CASE("what cannot be tested says why and counts as no evidence") {
  const Counts two{1'000, 1'000};
  CHECK(test_classes(classes_only(two), {}, {}).use == DriftUse::missing);
  CHECK(test_classes(classes_only(two), {50, 50, 0}, {}).use == DriftUse::other_bins);
  CHECK(test_classes(classes_only(two), {50, 49}, {}).use == DriftUse::too_few);
  CHECK(test_classes(classes_only({999, 1'000}), {50, 50}, {}).use == DriftUse::no_reference);
  CHECK(test_classes(classes_only({2'000, 0}), {50, 50}, {}).use == DriftUse::one_bin);
  CHECK(test_classes(classes_only({2'000}), {100}, {}).use == DriftUse::one_bin);
  CHECK(test_classes(classes_only(two), {drift_counts_max, 1}, {}).use == DriftUse::impossible);
  CHECK(test_drift_window(classes_only(two), {}, {}).e == 1);
  CHECK(test_drift_window(classes_only(two), {}, {}).tested == 0);
  CHECK(test_drift_window({}, {}, {}).tested == 0);
}

TEST_CASE("no count makes a NaN, an infinity or a wrap-around") {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  const std::vector<std::uint64_t> odd{0, 1, 99, 1'000, drift_counts_max / 2, drift_counts_max, most / 2, most};
  for (const std::uint64_t r0 : odd) {
    for (const std::uint64_t r1 : odd) {
      for (const std::uint64_t o0 : odd) {
        for (const std::uint64_t o1 : odd) {
          INFO(r0 << " " << r1 << " " << o0 << " " << o1);
          const FeatureDrift drift = test_classes(classes_only({r0, r1}), {o0, o1}, {});
          REQUIRE(finite(drift));
          if (r0 == most || o1 == most) CHECK(drift.use != DriftUse::tested);
        }
      }
    }
  }
}

TEST_CASE("predictions beyond the reference's own number add no certainty") {
  const ReferenceProfile reference = classes_only({5'000, 5'000});
  const FeatureDrift equal = test_classes(reference, {5'150, 4'850}, {});
  const FeatureDrift huge = test_classes(reference, {5'150'000'000, 4'850'000'000}, {});
  CHECK(huge.statistic == Approx(equal.statistic).epsilon(1e-9));
  CHECK(huge.e == Approx(equal.e).epsilon(1e-9));
  CHECK(huge.e < 1);  // 1.5 points off may be the reference's own error
}

TEST_CASE("the most classes there may be are tested like any others") {
  const ReferenceProfile reference = classes_only(Counts(drift_bins_max, 1'000));
  const FeatureDrift same = test_classes(reference, Counts(drift_bins_max, 100'000), {});
  CHECK(same.bins == int(drift_bins_max));
  CHECK(finite(same));
  CHECK(same.e == 0.5);
  Counts shifted(drift_bins_max, 100'000);
  for (std::size_t i = 0; i < drift_bins_max; ++i) shifted[i] = i % 2 == 0 ? 80'000 : 120'000;
  const FeatureDrift far = test_classes(reference, shifted, {});
  CHECK(finite(far));
  CHECK(far.e == e_value(0));
}

TEST_CASE("effect sizes lose what chance adds and know a full separation") {
  const ReferenceProfile reference = classes_only(Counts(10, 1'000));
  Draws draws(3);
  double tv = 0, psi = 0;
  for (int i = 0; i < 200; ++i) {
    const FeatureDrift drift = test_classes(reference, draws.multinomial(200, std::vector<double>(10, 0.1)), {});
    tv += drift.effect.tv / 200;
    psi += drift.effect.psi / 200;
  }
  CHECK(tv < 0.02);  // 0.085 uncorrected
  CHECK(psi < 0.03);
  const FeatureDrift apart = test_classes(classes_only({1'000'000, 0}), {0, 1'000}, {});
  CHECK(apart.use == DriftUse::one_bin);  // the reference expects nothing in the second bin
  const FeatureDrift far = test_classes(classes_only({990'000, 10'000}), {0, 1'000}, {});
  CHECK(far.effect.tv == Approx(0.99).epsilon(0.01));
  CHECK(far.effect.js > 0.7);
  CHECK(far.effect.psi > 5);
}

TEST_CASE("a window is read only as far as it can be compared") {
  const ReferenceProfile reference = test::drift_reference();
  Draws draws(5);
  const DriftCounts counts = test::drift_window(draws, reference, 300);
  const ReleaseWindow good = test::as_release_window(reference, counts);
  const DriftReading reading = read_drift_counts(reference, good);
  CHECK(reading.counts == counts);
  for (const DriftUse use : reading.use) CHECK(use == DriftUse::tested);

  const auto use = [&](auto change, DriftFeature feature) {
    ReleaseWindow window = good;
    change(window);
    const DriftReading changed = read_drift_counts(reference, window);
    CHECK(changed.counts[feature].empty());
    for (const DriftFeature other : drift_features) {
      if (other != feature) CHECK(changed.counts[other] == counts[other]);
    }
    return changed.use[std::size_t(feature)];
  };
  CHECK(use([](auto& w) { w.classes.clear(); }, DriftFeature::classes) == DriftUse::missing);
  CHECK(use([](auto& w) { w.classes.assign(10, 0); }, DriftFeature::classes) == DriftUse::missing);
  CHECK(use([](auto& w) { w.classes.push_back(0); }, DriftFeature::classes) == DriftUse::other_bins);
  CHECK(use([](auto& w) { w.classes[3] = std::numeric_limits<std::uint64_t>::max(); }, DriftFeature::classes) ==
        DriftUse::impossible);
  CHECK(use([](auto& w) { ++w.classes[0]; }, DriftFeature::classes) == DriftUse::impossible);  // 301 of 300
  CHECK(use([](auto& w) { w.confidence.bounds[0] += 1e-9; }, DriftFeature::confidence) == DriftUse::other_bins);
  CHECK(use([](auto& w) { w.confidence.bounds[0] = NAN; }, DriftFeature::confidence) == DriftUse::other_bins);
  CHECK(use([](auto& w) { w.confidence = {}; }, DriftFeature::confidence) == DriftUse::missing);
  CHECK(use([](auto& w) { w.mnlp.counts.pop_back(); }, DriftFeature::mnlp) == DriftUse::other_bins);
  CHECK(use([](auto& w) { w.mnlp.counts.assign(10, drift_counts_max); }, DriftFeature::mnlp) == DriftUse::impossible);
}

TEST_CASE("a device's lie moves its group by no more than two honest devices would") {
  std::vector<DriftCounts> devices(9);
  for (DriftCounts& device : devices) device[DriftFeature::classes] = Counts(10, 10);
  devices[4][DriftFeature::classes] = Counts(10, 0);
  devices[4][DriftFeature::classes][7] = 900'000'000'000;
  const DriftCounts pooled = pool_devices(devices);
  CHECK(pooled.total(DriftFeature::classes) == 8 * 100 + 200);
  CHECK(pooled[DriftFeature::classes][7] == 8 * 10 + 200);
  devices[4] = devices[0];
  CHECK(pool_devices(devices)[DriftFeature::classes] == Counts(10, 90));  // honest devices are added as they are
  CHECK(pool_devices({}).samples() == 0);
}

TEST_CASE("adding counts keeps what fits and never passes the limit") {
  DriftCounts sum, other;
  other[DriftFeature::classes] = {1, 2};
  sum.add(other);
  sum.add(other);
  CHECK(sum[DriftFeature::classes] == Counts{2, 4});
  DriftCounts longer;
  longer[DriftFeature::classes] = {1, 2, 3};
  sum.add(longer);
  CHECK(sum[DriftFeature::classes] == Counts{2, 4});
  DriftCounts huge;
  huge[DriftFeature::classes] = {drift_counts_max - 5, 0};
  sum.add(huge);
  CHECK(sum[DriftFeature::classes] == Counts{2, 4});
  CHECK(sum.samples() == 6);
}

TEST_CASE("the estimated accuracy is the reference's own on its own counts, and falls with confidence") {
  const ReferenceProfile reference = test::drift_reference();
  const EstimatedAccuracy same = estimate_accuracy(reference, reference.confidence.counts);
  CHECK(same.reference == Approx(0.7375));
  CHECK(same.now == Approx(same.reference));
  CHECK(same.standard_error > 0);
  Counts low(20, 0);
  low[0] = 100;
  const EstimatedAccuracy fallen = estimate_accuracy(reference, low);
  CHECK(fallen.now == Approx(0.5));
  CHECK(fallen.standard_error == Approx(std::sqrt(0.25 / 100 + 0.25 / 500)));
  CHECK(estimate_accuracy(reference, {}) == EstimatedAccuracy{});
  CHECK(estimate_accuracy(reference, {1, 2, 3}) == EstimatedAccuracy{});
  ReferenceProfile lying = reference;
  lying.accuracy_by_confidence_ppm[0] = std::numeric_limits<std::int64_t>::max();
  CHECK(estimate_accuracy(lying, low).now == 1);
  lying.accuracy_by_confidence_ppm.clear();
  CHECK(estimate_accuracy(lying, low) == EstimatedAccuracy{});
}

TEST_CASE("a median is extreme in the outermost tenth on either side only") {
  const BoundedHistogram reference = test::drift_reference().mnlp;
  for (std::size_t bin = 0; bin < 10; ++bin) {
    Counts counts(10, 1);
    counts[bin] = 100;
    CHECK(median_is_extreme(reference, counts) == (bin == 0 || bin == 9));
  }
  CHECK_FALSE(median_is_extreme(reference, reference.counts));
  CHECK_FALSE(median_is_extreme(reference, {}));
  CHECK_FALSE(median_is_extreme(reference, {1, 2}));
  CHECK_FALSE(median_is_extreme(BoundedHistogram{}, {}));
}

TEST_CASE("a drift policy that makes no sense is refused by field") {
  CHECK(check_drift_policy({}));
  const auto refused = [](auto change) {
    DriftPolicy policy;
    change(policy);
    const auto checked = check_drift_policy(policy);
    REQUIRE_FALSE(checked);
    return checked.error().context;
  };
  using Catch::Contains;
  CHECK_THAT(refused([](auto& p) { p.alarm_at = 9; }), Contains("alarm_at"));
  CHECK_THAT(refused([](auto& p) { p.alarm_at = NAN; }), Contains("alarm_at"));
  CHECK_THAT(refused([](auto& p) { p.alarm_at = INFINITY; }), Contains("alarm_at"));
  CHECK_THAT(refused([](auto& p) { p.hold_evidence = 1.9; }), Contains("hold_evidence"));
  CHECK_THAT(refused([](auto& p) { p.hold_evidence = 1'001; }), Contains("hold_evidence"));
  CHECK_THAT(refused([](auto& p) { p.hold_evidence = NAN; }), Contains("hold_evidence"));
  CHECK_THAT(refused([](auto& p) { p.window_samples_min = 19; }), Contains("window_samples_min"));
  CHECK_THAT(refused([](auto& p) { p.window_samples = 99; }), Contains("window_samples:"));
  CHECK_THAT(refused([](auto& p) { p.window_age_max_ms = 0; }), Contains("window_age_max_ms"));
  CHECK_THAT(refused([](auto& p) { p.reference_samples_min = 99; }), Contains("reference_samples_min"));
  CHECK_THAT(refused([](auto& p) { p.expected_min = 4.9; }), Contains("expected_min"));
  CHECK_THAT(refused([](auto& p) { p.reference_risk = 0; }), Contains("reference_risk"));
  CHECK_THAT(refused([](auto& p) { p.tv_relevant = -0.1; }), Contains("tv_relevant"));
  CHECK_THAT(refused([](auto& p) { p.cbpe_drop_relevant = 2; }), Contains("cbpe_drop_relevant"));
}
