#include "ci_gates/statistics.hpp"

#include <cmath>
#include <random>

using namespace ferry::ci_gates;

TEST_CASE("the lower bound of a proportion agrees with published Clopper-Pearson limits") {
  // Two-sided 95 % limits of textbook tables are one-sided ones at 2.5 %.
  CHECK(proportion_lower_bound(8, 10, 0.025) == Approx(0.44390).margin(1e-4));
  CHECK(proportion_lower_bound(50, 100, 0.025) == Approx(0.39832).margin(1e-4));
  CHECK(proportion_lower_bound(100, 100, 0.05) == Approx(std::pow(0.05, 0.01)));
  CHECK(proportion_lower_bound(0, 100, 0.05) == 0);
  CHECK(proportion_lower_bound(0, 0, 0.05) == 0);
}

TEST_CASE("the bound covers the truth as often as it promises") {
  std::mt19937_64 engine(1);
  std::binomial_distribution<int> draw(1'000, 0.87);
  int missed = 0;
  for (int i = 0; i < 4'000; ++i) missed += proportion_lower_bound(std::uint64_t(draw(engine)), 1'000, 0.05) > 0.87;
  CHECK(missed <= 4'000 * 0.05 + 3 * std::sqrt(4'000 * 0.05 * 0.95));
}

TEST_CASE("the upper bound is the lower one of the mistakes, mirrored") {
  CHECK(proportion_upper_bound(8, 10, 0.025) == Approx(0.97479).margin(1e-4));  // Clopper-Pearson's table
  CHECK(proportion_upper_bound(10, 10, 0.05) == 1);
}

TEST_CASE("normal quantiles are those of every table") {
  CHECK(normal_quantile(0.05) == Approx(1.6448536).epsilon(1e-7));
  CHECK(normal_quantile(0.025) == Approx(1.9599640).epsilon(1e-7));
  CHECK(normal_quantile(0.5) == Approx(0).margin(1e-12));
}

TEST_CASE("early stopping needs as many samples as MLPerf says") {
  // Smallest valid runs with one over-latency sample: 64 (p90), 130 (p95), 662 (p99), 6636 (p99.9) (STATS.md §5.1).
  const std::pair<double, std::uint64_t> smallest[] = {{0.90, 64}, {0.95, 130}, {0.99, 662}, {0.999, 6636}};
  for (const auto& [percentile, samples] : smallest) {
    CHECK(early_stopping_overs(samples - 1, percentile) < 1);
    CHECK(early_stopping_overs(samples, percentile) == 1);
  }
  CHECK(early_stopping_overs(10'000, 0.99) == 77);
  CHECK(early_stopping_overs(1, 0.99) == -1);
}

TEST_CASE("the early-stopping estimate is the slowest sample left and never below the plain percentile") {
  std::vector<double> sorted;
  for (int i = 1; i <= 1'000; ++i) sorted.push_back(i);
  const double estimate = early_stopping_estimate(sorted, 0.99);
  CHECK(estimate >= 990);
  CHECK(estimate <= 1'000);
  CHECK(early_stopping_estimate(std::vector<double>(100, 1.0), 0.99) < 0);
}

TEST_CASE("paired loss: equal models lose nothing, a worse one shows its loss with its bound") {
  const PairedLoss equal = paired_accuracy_loss(100, 100, 10'000);
  CHECK(equal.loss == 0);
  CHECK(equal.upper == Approx(1.6448536 * std::sqrt(200.0) / 10'000).epsilon(1e-6));
  const PairedLoss worse = paired_accuracy_loss(400, 100, 10'000);
  CHECK(worse.loss == Approx(0.03));
  CHECK(worse.upper > 0.03);
}

TEST_CASE("few discordant pairs still give a bound that is above the loss and below certainty") {
  for (std::uint64_t lost = 0; lost < 12; ++lost) {
    for (std::uint64_t won = 0; won < 12; ++won) {
      const PairedLoss loss = paired_accuracy_loss(lost, won, 1'000);
      CHECK(loss.upper > loss.loss);
      CHECK(loss.upper < 0.05);
    }
  }
  // Tango's score interval never collapses, even when the two never disagree.
  CHECK(paired_accuracy_loss(0, 0, 1'000).upper ==
        Approx(1.6448536 * 1.6448536 / (1'000 + 1.6448536 * 1.6448536)).epsilon(1e-3));
}

TEST_CASE("Tango's interval agrees with the one printed by Fagerland, Lydersen and Laake") {
  // Statistics in Medicine 33 (2014), airway hyper-responsiveness before and after transplantation: of 21 children 1
  // and 7 changed; difference -0.286, asymptotic score interval (Tango) -0.517 to -0.026.
  const PairedLoss seen = paired_accuracy_loss(1, 7, 21, 1.959963984540054);
  CHECK(seen.loss == Approx(-0.286).margin(5e-4));
  CHECK(seen.lower == Approx(-0.517).margin(5e-4));
  CHECK(seen.upper == Approx(-0.026).margin(5e-4));
}

TEST_CASE("the lower bound of a loss is the upper one of the gain") {
  for (const auto& [lost, won] : {std::pair<std::uint64_t, std::uint64_t>{3, 9}, {0, 4}, {70, 20}, {0, 0}}) {
    const PairedLoss one = paired_accuracy_loss(lost, won, 500), other = paired_accuracy_loss(won, lost, 500);
    CHECK(one.lower == Approx(-other.upper));
    CHECK(one.lower <= one.loss);
  }
}

TEST_CASE("a paired p-value and its bound say the same: at the bound it is the bound's level") {
  for (const auto& [lost, won] : {std::pair<std::uint64_t, std::uint64_t>{3, 9}, {12, 2}, {70, 20}, {40, 60}}) {
    const PairedLoss loss = paired_accuracy_loss(lost, won, 800, normal_quantile(0.02));
    CHECK(paired_p_not_inferior(lost, won, 800, loss.upper) == Approx(0.02).epsilon(1e-6));
    CHECK(paired_p_harm(lost, won, 800, loss.lower) == Approx(0.02).epsilon(1e-6));
    CHECK(paired_p_not_inferior(lost, won, 800, loss.upper + 0.01) < 0.02);
    CHECK(paired_p_harm(lost, won, 800, loss.lower - 0.01) < 0.02);
  }
  CHECK(paired_p_not_inferior(800, 0, 800, 0.03) == 1);  // all lost: no spread at all
  CHECK(paired_p_harm(800, 0, 800, 0.03) == 0);
}

TEST_CASE("as many paired samples as STATS.md needs, and enough for two that never disagree") {
  // §5.2.7: psi 4 %, margin one point, (1.645 + 0.842)^2 * 0.04 / 0.0001 = 2 473
  CHECK(paired_samples_needed(0.04, 0.01, 0.05) == 2'474);
  const std::uint64_t without_any = paired_samples_needed(0, 0.01, 0.05);
  CHECK(paired_accuracy_loss(0, 0, without_any).upper <= 0.01);
  CHECK(paired_accuracy_loss(0, 0, without_any - 2).upper > 0.01);
}

TEST_CASE("Holm's procedure rejects as in his own scheme: step by step, from the smallest") {
  // .005 <= .05/4, .010 <= .05/3, .030 > .05/2: the last two stay (worked example of the encyclopaedias).
  CHECK(holm_rejected(std::vector<double>{0.01, 0.04, 0.03, 0.005}, 0.05) ==
        std::vector<bool>{true, false, false, true});
  CHECK(holm_rejected(std::vector<double>{0.049}, 0.05) == std::vector<bool>{true});
  CHECK(holm_rejected(std::vector<double>{0.02, 0.02}, 0.05) == std::vector<bool>{true, true});
  CHECK(holm_rejected(std::vector<double>{0.03, 0.03}, 0.05) == std::vector<bool>{false, false});
  CHECK(holm_rejected(std::vector<double>{}, 0.05).empty());
}

TEST_CASE("Hodges-Lehmann agrees with Hollander and Wolfe's depression scores") {
  // Nonparametric Statistical Methods, example 3.1 (Hamilton scale, nine patients, before minus after): estimate .46,
  // interval .010 to .786 at 96.1 %.
  const double before[] = {1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30};
  const double after[] = {0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29};
  std::vector<double> differences;
  for (int i = 0; i < 9; ++i) differences.push_back(before[i] - after[i]);
  const ShiftEstimate shift = hodges_lehmann(differences);
  CHECK(shift.shift == Approx(0.46));
  CHECK(shift.low == Approx(0.010));
  CHECK(shift.high == Approx(0.786));
}

TEST_CASE("Hodges-Lehmann finds a shift through outliers and its interval covers it") {
  std::mt19937_64 engine(4);
  std::normal_distribution<double> noise(0.10, 0.02);
  int covered = 0;
  for (int round = 0; round < 200; ++round) {
    std::vector<double> differences;
    for (int i = 0; i < 40; ++i) differences.push_back(i % 10 == 0 ? 5.0 : noise(engine));
    for (int i = 0; i < 4; ++i) differences[std::size_t(i) * 10] *= i % 2 ? 1 : -1;
    const ShiftEstimate shift = hodges_lehmann(differences);
    CHECK(shift.low <= shift.shift);
    CHECK(shift.shift <= shift.high);
    covered += shift.low <= 0.10 && 0.10 <= shift.high;
  }
  CHECK(covered >= 180);
}
