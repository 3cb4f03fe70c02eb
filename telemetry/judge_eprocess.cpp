#include "telemetry/judge_eprocess.hpp"

#include <math.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace ferry::telemetry {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double log_gamma(double x) {
  int sign = 0;  // std::lgamma writes a global; two judges may run at once
  return ::lgamma_r(x, &sign);
}

double log_beta(double a, double b) { return log_gamma(a) + log_gamma(b) - log_gamma(a + b); }

// The continued fraction of I_x(a, b) without its front factor, by Lentz's method (DLMF 8.17.22). Converges fast for
// x < (a + 1) / (a + b + 2), in about sqrt(max(a, b)) steps.
double beta_fraction(double x, double a, double b) {
  constexpr double tiny = 1e-300;
  constexpr int steps_max = 50'000;
  const auto nonzero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1, d = 1 / nonzero(1 - (a + b) * x / (a + 1)), result = d;
  for (int m = 1; m <= steps_max; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonzero(1 + even * d);
    c = nonzero(1 + even / c);
    result *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonzero(1 + odd * d);
    c = nonzero(1 + odd / c);
    const double factor = d * c;
    result *= factor;
    if (std::abs(factor - 1) < 1e-14) break;
  }
  return result;
}

constexpr int bets_on_scores = 32;

struct ScoreBets {
  std::array<double, bets_on_scores> weights{};
  std::array<std::array<double, 2 * score_max + 1>, bets_on_scores> log_factors{};  // ln(1 + lambda * score / 8)
};

const ScoreBets& score_bets() {
  static const ScoreBets made = [] {
    constexpr double kappa = 0.58;  // kappa_for(10, 0.05): tightest at about ten pairs
    ScoreBets bets;
    for (int j = 0; j < bets_on_scores; ++j) {
      // With lambda = sin(phi) the Beta(kappa/2, kappa/2) prior of (1 + lambda)/2 has density cos(phi)^(kappa - 1).
      const double phi = (j + 0.5) * std::numbers::pi / (2 * bets_on_scores);
      bets.weights[std::size_t(j)] = std::pow(std::cos(phi), kappa - 1);
      for (int score = -score_max; score <= score_max; ++score) {
        bets.log_factors[std::size_t(j)][std::size_t(score + score_max)] =
            std::log1p(std::sin(phi) * score / score_max);
      }
    }
    return bets;
  }();
  return made;
}

}  // namespace

double log_incomplete_beta(double x, double a, double b) {
  if (x <= 0) return -infinity;
  if (x >= 1) return 0;
  const double front = a * std::log(x) + b * std::log1p(-x) - log_beta(a, b);
  if (x < (a + 1) / (a + b + 2)) return front - std::log(a) + std::log(beta_fraction(x, a, b));
  const double rest = front - std::log(b) + std::log(beta_fraction(1 - x, b, a));  // ln I_{1-x}(b, a)
  return rest >= 0 ? -infinity : std::log1p(-std::exp(rest));
}

double kappa_for(double observations, double alpha) {
  const double twice = 2 * std::log(1 / (2 * alpha));
  return std::max(0.001, observations / (twice + std::log1p(twice)) - 1);
}

double log_e_up(double successes, double failures, double p0, double kappa) {
  const double a = kappa * p0, b = kappa * (1 - p0);
  // ln(1 - I_p0(a, b)) is taken as ln I_{1-p0}(b, a): the tail itself, without cancellation.
  const double posterior =
      log_beta(a + successes, b + failures) + log_incomplete_beta(1 - p0, b + failures, a + successes);
  const double prior = log_beta(a, b) + log_incomplete_beta(1 - p0, b, a);
  return posterior - prior - successes * std::log(p0) - failures * std::log1p(-p0);
}

double log_e_down(double successes, double failures, double p0, double kappa) {
  return log_e_up(failures, successes, 1 - p0, kappa);
}

double log_weighted_mean_exp(std::span<const double> logs, std::span<const double> weights) {
  double top = -infinity, total = 0, sum = 0;
  for (const double value : logs) top = std::max(top, value);
  if (top == -infinity) return logs.empty() ? 0 : -infinity;
  for (std::size_t i = 0; i < logs.size(); ++i) {
    total += weights[i];
    sum += weights[i] * std::exp(logs[i] - top);
  }
  return top + std::log(sum / total);
}

double log_mean_exp(std::span<const double> logs) {
  const std::vector<double> equal(logs.size(), 1.0);
  return log_weighted_mean_exp(logs, equal);
}

double log_e_scores(const ScoreCounts& counts) {
  const ScoreBets& bets = score_bets();
  std::array<double, bets_on_scores> logs{};
  for (std::size_t j = 0; j < logs.size(); ++j) {
    for (std::size_t i = 0; i < counts.size(); ++i) logs[j] += double(counts[i]) * bets.log_factors[j][i];
  }
  return log_weighted_mean_exp(logs, bets.weights);
}

double log_e_bets(std::span<const double> values, double margin) {
  constexpr int bets = 8;
  std::array<double, bets> logs{};
  for (int g = 1; g <= bets; ++g) {
    const double lambda = double(g) / (bets + 1) / (1 + margin);
    // Products of a few factors between 1/9 and 17/9 neither under- nor overflow; one logarithm per batch keeps a
    // thousand pairs cheap.
    constexpr std::size_t batch = 128;
    double log_product = 0;
    for (std::size_t start = 0; start < values.size(); start += batch) {
      double product = 1;
      const std::size_t end = std::min(values.size(), start + batch);
      for (std::size_t i = start; i < end; ++i) product *= 1 + lambda * (values[i] - margin);
      log_product += std::log(product);
    }
    logs[std::size_t(g - 1)] = log_product;
  }
  return log_mean_exp(logs);
}

double log_e_quantile_slower(const ExpHistogram& older, const ExpHistogram& newer, double p, int margin_buckets,
                             double kappa) {
  if (older.count() == 0 || newer.count() == 0) return 0;
  const double n_old = double(older.count()), n_new = double(newer.count());
  const auto too_high = [&](int bucket) {  // evidence that the old quantile lies below this bucket; grows with it
    const double below = double(older.count_up_to(bucket - 1));
    return log_e_up(below, n_old - below, p, kappa);
  };
  const auto slower = [&](int bucket) {  // evidence that the new quantile lies beyond bucket + margin; falls with it
    const double within = double(newer.count_up_to(bucket + margin_buckets));
    return log_e_down(within, n_new - within, p, kappa);
  };
  // The old quantile's true bucket is unknown: the least over all buckets is a safe value. Walking outwards from the
  // observed one, the rest can be left out once even the least of the other factor cannot bring the sum down.
  const int first = older.offset() - 1, last = older.offset() + int(older.counts().size());
  const int start = std::clamp(ExpHistogram::index_of(std::max(older.quantile(p), 1e-9)), first, last);
  const double least_slower = slower(last), least_too_high = too_high(first);
  double least = infinity;
  for (int bucket = start; bucket <= last; ++bucket) {
    const double high = too_high(bucket);
    if (high + least_slower >= least) break;
    least = std::min(least, high + slower(bucket));
  }
  for (int bucket = start - 1; bucket >= first; --bucket) {
    const double evidence = slower(bucket);
    if (evidence + least_too_high >= least) break;
    least = std::min(least, evidence + too_high(bucket));
  }
  return least;
}

}  // namespace ferry::telemetry
