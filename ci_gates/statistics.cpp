#include "ci_gates/statistics.hpp"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/erf.hpp>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

namespace ferry::ci_gates {
namespace {

constexpr double discordant_for_normal = 25;

// Tango's score statistic (1998) of H0 "loss = d", with b and c the discordant pairs of n: falls as d rises.
double tango_score(double b, double c, double n, double d) {
  const double a = 2 * n;
  const double bb = -b - c + (2 * n - b + c) * d;
  const double cc = -c * d * (1 - d);
  const double q = (std::sqrt(std::max(0.0, bb * bb - 4 * a * cc)) - bb) / (2 * a);
  const double variance = n * (2 * q + d * (1 - d));
  return variance <= 0 ? 0.0 : (b - c - n * d) / std::sqrt(variance);
}

// The upper limit is the largest d whose score statistic does not exceed z; found by bisection.
double tango_upper(double b, double c, double n, double z) {
  double low = (b - c) / n, high = 1.0;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (tango_score(b, c, n, middle) > -z ? low : high) = middle;
  }
  return high;
}

double upper_loss(double b, double c, double n, double z) {
  if (b + c < discordant_for_normal) return tango_upper(b, c, n, z);
  return (b - c) / n + z * std::sqrt(b + c - (b - c) * (b - c) / n) / n;
}

double p_of(double score) { return std::erfc(score / std::numbers::sqrt2) / 2; }

}  // namespace

double proportion_lower_bound(std::uint64_t right, std::uint64_t total, double alpha) {
  if (right == 0 || total == 0) return 0;
  return boost::math::ibeta_inv(double(right), double(total - right) + 1.0, alpha);
}

double proportion_upper_bound(std::uint64_t right, std::uint64_t total, double alpha) {
  return 1 - proportion_lower_bound(total - right, total, alpha);
}

double normal_quantile(double alpha) { return std::numbers::sqrt2 * boost::math::erfc_inv(2 * alpha); }

PairedLoss paired_accuracy_loss(std::uint64_t baseline_only, std::uint64_t candidate_only, std::uint64_t total,
                                double z) {
  const double b = double(baseline_only), c = double(candidate_only), n = double(total);
  // What is a loss for one is a gain for the other: the lower bound is the other's upper one, mirrored.
  return {(b - c) / n, -upper_loss(c, b, n, z), upper_loss(b, c, n, z)};
}

std::uint64_t paired_samples_needed(double discordant_share, double margin, double alpha) {
  constexpr double power_missed = 0.2;
  const double z = normal_quantile(alpha), z_both = z + normal_quantile(power_missed);
  const double by_power = z_both * z_both * discordant_share / (margin * margin);
  const double without_any = z * z * (1 - margin) / margin;  // Tango's limit with b = c = 0 is z^2 / (n + z^2)
  return std::uint64_t(std::ceil(std::max(by_power, without_any)));
}

std::vector<bool> holm_rejected(std::span<const double> p_values, double alpha) {
  std::vector<std::size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  std::vector<bool> rejected(p_values.size(), false);
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (p_values[order[i]] > alpha / double(order.size() - i)) break;
    rejected[order[i]] = true;
  }
  return rejected;
}

double paired_p_not_inferior(std::uint64_t baseline_only, std::uint64_t candidate_only, std::uint64_t total,
                             double margin) {
  const double b = double(baseline_only), c = double(candidate_only), n = double(total);
  if (b + c < discordant_for_normal) return p_of(-tango_score(b, c, n, margin));
  const double error = std::sqrt(b + c - (b - c) * (b - c) / n) / n;
  return error > 0 ? p_of((margin - (b - c) / n) / error) : (b - c) / n < margin ? 0.0 : 1.0;
}

double paired_p_harm(std::uint64_t baseline_only, std::uint64_t candidate_only, std::uint64_t total, double margin) {
  // "loss <= margin" is "gain >= -margin": the mirror of the other test with its margin below zero.
  return paired_p_not_inferior(candidate_only, baseline_only, total, -margin);
}

std::int64_t early_stopping_overs(std::uint64_t samples, double percentile, double confidence) {
  // With t over-latency samples of q the statement holds when I_p(q - t, t + 1) <= 1 - c: falls with fewer overs.
  const auto holds = [&](std::uint64_t overs) {
    return overs < samples &&
           boost::math::ibeta(double(samples - overs), double(overs) + 1.0, percentile) <= 1 - confidence;
  };
  if (!holds(0)) return -1;
  std::uint64_t low = 0, high = samples;  // low holds, high does not
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (holds(middle) ? low : high) = middle;
  }
  return std::int64_t(low);
}

double early_stopping_estimate(std::span<const double> sorted, double percentile, double confidence) {
  const std::int64_t overs = early_stopping_overs(sorted.size(), percentile, confidence);
  // The single-stream rule drops the t - 1 slowest and reports the slowest that is left.
  if (overs < 1) return -1;
  return sorted[sorted.size() - std::size_t(overs)];
}

ShiftEstimate hodges_lehmann(std::span<const double> differences, double z) {
  const std::size_t n = differences.size();
  std::vector<double> walsh;
  walsh.reserve(n * (n + 1) / 2);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) walsh.push_back((differences[i] + differences[j]) / 2);
  }
  std::sort(walsh.begin(), walsh.end());
  const double m = double(n);
  const double rank = m * (m + 1) / 4 - z * std::sqrt(m * (m + 1) * (2 * m + 1) / 24);
  const auto low = std::size_t(std::max(0.0, std::floor(rank)));
  ShiftEstimate result;
  const std::size_t middle = walsh.size() / 2;
  result.shift = walsh.size() % 2 ? walsh[middle] : (walsh[middle - 1] + walsh[middle]) / 2;
  result.low = walsh[std::min(low, middle)];
  result.high = walsh[std::max(walsh.size() - 1 - low, middle)];
  return result;
}

}  // namespace ferry::ci_gates
