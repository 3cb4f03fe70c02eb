#include "telemetry/judge_eprocess.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

using namespace ferry::telemetry;

namespace {

double binomial(int n, int k, double p) {
  return std::exp(std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0) + k * std::log(p) +
                  (n - k) * std::log1p(-p));
}

}  // namespace

TEST_CASE("the incomplete beta function is the binomial tail, on both sides of its continued fraction") {
  for (const int n : {1, 2, 7, 40, 300}) {
    for (const double p : {0.001, 0.05, 0.5, 0.83, 0.999}) {
      double tail = 0;
      for (int k = n; k >= 1; --k) {
        tail += binomial(n, k, p);
        if (tail < 1e-300) continue;
        REQUIRE(log_incomplete_beta(p, k, n - k + 1) == Approx(std::log(tail)).margin(1e-9));
      }
    }
  }
  CHECK(std::isinf(log_incomplete_beta(0, 2, 3)));
  CHECK(log_incomplete_beta(1, 2, 3) == 0);
}

TEST_CASE("the one-sided e-process has the published values") {
  const double kappa = kappa_for(30, 0.05);
  CHECK(kappa == Approx(3.7401904721).epsilon(1e-10));
  CHECK(kappa_for(10, 0.05) == Approx(0.58).epsilon(0.01));
  CHECK(kappa_for(1, 0.05) == 0.001);
  CHECK(log_e_up(8, 2, 0.5, kappa) == Approx(1.4158741199).epsilon(1e-9));
  CHECK(log_e_up(20, 980, 0.01, kappa_for(5'000, 0.05)) == Approx(2.5505690427).epsilon(1e-9));
  CHECK(log_e_up(30, 970, 0.01, kappa_for(5'000, 0.05)) == Approx(8.5514867658).epsilon(1e-9));
  CHECK(std::exp(log_e_up(6, 0, 0.5, kappa_for(10, 0.05))) == Approx(37.8).epsilon(0.01));
}

TEST_CASE("at the null the mean of the e-value is one after any number of observations, below it less") {
  for (const double p0 : {0.01, 0.3, 0.5, 0.9}) {
    for (const double kappa : {0.58, 3.74}) {
      for (int n = 0; n <= 14; ++n) {
        double at_null = 0, below = 0;
        for (int s = 0; s <= n; ++s) {
          const double e = std::exp(log_e_up(s, n - s, p0, kappa));
          at_null += binomial(n, s, p0) * e;
          below += binomial(n, s, 0.8 * p0) * e;
        }
        REQUIRE(at_null == Approx(1).epsilon(1e-8));
        REQUIRE(below <= 1 + 1e-9);
      }
    }
  }
}

TEST_CASE("no rule for when to stop, however clever, gains from a true null") {
  // The best a stopping rule can do, by going backwards from the last look: exactly what no stopping gives.
  constexpr int last = 40;
  for (const double p : {0.5, 0.4}) {
    std::vector<double> best(last + 1);
    for (int s = 0; s <= last; ++s) best[std::size_t(s)] = std::exp(log_e_up(s, last - s, 0.5, 0.58));
    for (int n = last - 1; n >= 0; --n) {
      for (int s = 0; s <= n; ++s) {
        const double go_on = p * best[std::size_t(s) + 1] + (1 - p) * best[std::size_t(s)];
        best[std::size_t(s)] = std::max(std::exp(log_e_up(s, n - s, 0.5, 0.58)), go_on);
      }
    }
    CHECK(best[0] <= 1 + 1e-9);
  }
}

TEST_CASE("looking after every observation crosses 1/alpha with at most the promised probability") {
  // Exact: the mass that has not crossed yet, by number of successes.
  constexpr double alpha = 0.05;
  for (const double kappa : {0.58, 3.74}) {
    std::vector<double> mass{1};
    double crossed = 0;
    for (int n = 1; n <= 300; ++n) {
      std::vector<double> next(std::size_t(n) + 1);
      for (std::size_t s = 0; s < mass.size(); ++s) {
        next[s] += mass[s] / 2;
        next[s + 1] += mass[s] / 2;
      }
      for (std::size_t s = 0; s < next.size(); ++s) {
        if (next[s] == 0 || log_e_up(double(s), n - double(s), 0.5, kappa) < std::log(1 / alpha)) continue;
        crossed += next[s];
        next[s] = 0;
      }
      mass = std::move(next);
    }
    CHECK(crossed > 0.001);
    CHECK(crossed <= alpha);
  }
}

TEST_CASE("evidence grows with every success and falls with every failure; down is the mirror of up") {
  for (int s = 0; s < 30; ++s) {
    for (int f = 0; f < 30; ++f) {
      REQUIRE(log_e_up(s + 1, f, 0.5, 0.58) > log_e_up(s, f, 0.5, 0.58));
      REQUIRE(log_e_up(s, f + 1, 0.5, 0.58) < log_e_up(s, f, 0.5, 0.58));
      REQUIRE(log_e_down(s, f, 0.2, 2) == log_e_up(f, s, 0.8, 2));
    }
  }
  CHECK(log_e_up(0, 0, 0.5, 0.58) == Approx(0).margin(1e-12));
  CHECK(log_e_up(200, 0, 0.5, 0.58) < 200 * std::log(2));  // 2^m is all that m pairs can say
  CHECK(std::isfinite(log_e_up(1e9, 1e9, 0.5, 3.74)));
}

TEST_CASE("graded scores: flipping the signs of any scores has mean one, exactly") {
  std::mt19937_64 engine(3);
  for (int round = 0; round < 50; ++round) {
    const int n = 1 + int(engine() % 8);
    std::vector<int> sizes;
    for (int i = 0; i < n; ++i) sizes.push_back(int(engine() % (score_max + 1)));
    double mean = 0;
    for (unsigned flips = 0; flips < 1u << n; ++flips) {
      ScoreCounts counts{};
      for (int i = 0; i < n; ++i) {
        const int score = flips >> i & 1 ? sizes[std::size_t(i)] : -sizes[std::size_t(i)];
        ++counts[std::size_t(score + score_max)];
      }
      mean += std::exp(log_e_scores(counts)) / double(1u << n);
    }
    REQUIRE(mean == Approx(1).epsilon(1e-9));
  }
}

TEST_CASE("graded scores: no rule for when to stop gains, even when pairs weigh differently") {
  // States: full plus, full minus, small plus, small minus; each next pair is full or small, plus or minus, by fair
  // coins.
  constexpr int last = 10;
  std::map<std::array<int, 4>, double> best;
  const std::function<double(std::array<int, 4>)> value = [&](std::array<int, 4> state) {
    if (const auto known = best.find(state); known != best.end()) return known->second;
    ScoreCounts counts{};
    counts[2 * score_max] = state[0];
    counts[0] = state[1];
    counts[score_max + 3] = state[2];
    counts[score_max - 3] = state[3];
    double stop = std::exp(log_e_scores(counts));
    if (state[0] + state[1] + state[2] + state[3] < last) {
      double go_on = 0;
      for (std::size_t next = 0; next < 4; ++next) {
        ++state[next];
        go_on += value(state) / 4;
        --state[next];
      }
      stop = std::max(stop, go_on);
    }
    return best[state] = stop;
  };
  CHECK(value({}) == Approx(1).epsilon(1e-9));
}

TEST_CASE("graded scores grow with any score, and full scores are the sign test") {
  std::mt19937_64 engine(4);
  for (int round = 0; round < 200; ++round) {
    ScoreCounts counts{};
    for (int i = 0; i < 12; ++i) ++counts[engine() % counts.size()];
    for (std::size_t i = 0; i + 1 < counts.size(); ++i) {
      if (counts[i] == 0) continue;
      ScoreCounts more = counts;
      --more[i];
      ++more[i + 1];
      REQUIRE(log_e_scores(more) > log_e_scores(counts));
    }
  }
  for (int s = 0; s <= 12; ++s) {
    ScoreCounts counts{};
    counts.back() = s;
    counts.front() = 12 - s;
    CHECK(log_e_scores(counts) == Approx(log_e_up(s, 12 - s, 0.5, 0.58)).margin(0.12));  // the grid's only difference
  }
  CHECK(log_e_scores({}) == Approx(0).margin(1e-12));
}

TEST_CASE(
    "bets: the mean is at most one when values average at most the margin; one value moves it by a bounded factor") {
  // Every sequence of three values from {-1, 0, 1} with probabilities that give the margin as mean.
  constexpr double margin = 0.1;
  const double values[] = {-1, 0, 1}, chances[] = {0.2, 0.5, 0.3};
  double mean = 0;
  for (int a = 0; a < 3; ++a) {
    for (int b = 0; b < 3; ++b) {
      for (int c = 0; c < 3; ++c) {
        const std::array sequence{values[a], values[b], values[c]};
        mean += chances[a] * chances[b] * chances[c] * std::exp(log_e_bets(sequence, margin));
      }
    }
  }
  CHECK(mean == Approx(1).epsilon(1e-12));
  const std::vector<double> many(1'000, 0.15);
  const double before = log_e_bets(many, margin);
  for (const double hostile : {-1.0, 0.0, 1.0}) {
    std::vector<double> with = many;
    with.push_back(hostile);
    CHECK(log_e_bets(with, margin) - before >= std::log(1.0 / 9) - 1e-9);
    CHECK(log_e_bets(with, margin) - before <= std::log(17.0 / 9) + 1e-9);
  }
  CHECK(log_e_bets({}, margin) == Approx(0).margin(1e-12));
  CHECK(std::isfinite(log_e_bets(std::vector<double>(100'000, -1), margin)));
}

TEST_CASE("means of e-values do not overflow") {
  const std::array huge{5'000.0, -5'000.0};
  CHECK(log_mean_exp(huge) == Approx(5'000 - std::log(2)));
  const std::array weights{3.0, 1.0}, logs{0.0, std::log(5)};
  CHECK(std::exp(log_weighted_mean_exp(logs, weights)) == Approx(2));
  CHECK(log_mean_exp({}) == 0);
}

namespace {

ExpHistogram latencies(std::mt19937_64& engine, int count, double factor) {
  std::lognormal_distribution<double> latency(std::log(0.01 * factor), 0.2);
  ExpHistogram made;
  for (int i = 0; i < count; ++i) made.record(latency(engine));
  return made;
}

double least_over_all_buckets(const ExpHistogram& older, const ExpHistogram& newer, double p, int margin,
                              double kappa) {
  double least = 1e300;
  for (int j = older.offset() - 1; j <= older.offset() + int(older.counts().size()); ++j) {
    const double below = double(older.count_up_to(j - 1)), within = double(newer.count_up_to(j + margin));
    least = std::min(least, log_e_up(below, double(older.count()) - below, p, kappa) +
                                log_e_down(within, double(newer.count()) - within, p, kappa));
  }
  return least;
}

}  // namespace

TEST_CASE("requests: the quantile test finds a slower release, and its short walk is the least over all buckets") {
  std::mt19937_64 engine(8);
  for (const double p : {0.5, 0.99}) {
    const double kappa = kappa_for(2'000, 0.05);
    for (const double factor : {0.8, 1.0, 1.03, 1.1, 1.5}) {
      const ExpHistogram older = latencies(engine, 1'500, 1), newer = latencies(engine, 1'500, factor);
      const double evidence = log_e_quantile_slower(older, newer, p, 2, kappa);
      REQUIRE(evidence == Approx(least_over_all_buckets(older, newer, p, 2, kappa)).epsilon(1e-12));
      if (factor == 1.5) CHECK(evidence > std::log(20));
      if (factor <= 1) CHECK(evidence < 0);
    }
  }
  CHECK(log_e_quantile_slower({}, latencies(engine, 100, 1), 0.5, 2, 1) == 0);
  CHECK(log_e_quantile_slower(latencies(engine, 100, 1), {}, 0.5, 2, 1) == 0);
}

TEST_CASE("requests: at the margin itself the quantile test's mean stays below one") {
  std::mt19937_64 engine(9);
  constexpr int runs = 300;
  double sum = 0;
  for (int run = 0; run < runs; ++run) {
    const ExpHistogram older = latencies(engine, 150, 1), newer = latencies(engine, 150, std::exp2(2.0 / 32));
    sum += std::exp(log_e_quantile_slower(older, newer, 0.5, 2, kappa_for(150, 0.05)));
  }
  CHECK(sum / runs <= 1);
}
