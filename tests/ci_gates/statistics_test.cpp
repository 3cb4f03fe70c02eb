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
