#include "telemetry/drift_window.hpp"

#include "telemetry/drift_math.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace ferry::telemetry {
namespace {

using Counts = std::vector<std::uint64_t>;

// Both samples in the bins that are compared.
struct Binned {
  std::vector<double> reference, window;
  double n_ref = 0, n = 0;
};

// Neighbours join until each bin expects `expected_min` of n predictions, by the reference alone.
Binned join_bins(const Counts& reference, const Counts& window, double expected_min, bool pairs) {
  Binned made;
  made.n_ref = double(sum_of_counts(reference));
  made.n = double(sum_of_counts(window));
  const std::size_t step = pairs ? 2 : 1;
  double in_reference = 0, in_window = 0;
  const auto close = [&] {
    made.reference.push_back(in_reference);
    made.window.push_back(in_window);
    in_reference = in_window = 0;
  };
  for (std::size_t at = 0; at < reference.size(); at += step) {
    for (std::size_t i = at; i < std::min(at + step, reference.size()); ++i) {
      in_reference += double(reference[i]);
      in_window += double(window[i]);
    }
    if (made.n * in_reference >= expected_min * made.n_ref) close();
  }
  if (made.reference.empty()) {
    close();
  } else {  // what is left is too thin to stand alone
    made.reference.back() += in_reference;
    made.window.back() += in_window;
  }
  return made;
}

double x_log_ratio(double x, double y) { return x > 0 ? x * std::log(x / y) : 0; }

struct Statistics {
  double pearson = 0, likelihood_ratio = 0;
};

Statistics two_sample(const Binned& binned, double window_scale) {
  const double n_ref = binned.n_ref, n = binned.n * window_scale;
  Statistics made;
  for (std::size_t i = 0; i < binned.reference.size(); ++i) {
    const double r = binned.reference[i], o = binned.window[i] * window_scale;
    const double share = (r + o) / (n_ref + n);
    if (!(share > 0)) continue;
    const double r_expected = n_ref * share, o_expected = n * share;
    made.pearson += (r - r_expected) * (r - r_expected) / r_expected + (o - o_expected) * (o - o_expected) / o_expected;
    made.likelihood_ratio += 2 * (x_log_ratio(r, r_expected) + x_log_ratio(o, o_expected));
  }
  made.likelihood_ratio = std::max(0.0, made.likelihood_ratio);
  return made;
}

// The part of X² that lies in the first `order` orthogonal polynomials of the rank; all of it when order is bins - 1.
double smooth_part(const Binned& binned, double window_scale, int order) {
  const double n_ref = binned.n_ref, n = binned.n * window_scale;
  const std::size_t bins = binned.reference.size();
  std::vector<double> share(bins), rank(bins);  // of both samples together; rank from -1 to 1
  double below = 0;
  for (std::size_t i = 0; i < bins; ++i) {
    share[i] = (binned.reference[i] + binned.window[i] * window_scale) / (n_ref + n);
    rank[i] = 2 * (below + share[i] / 2) - 1;
    below += share[i];
  }
  std::vector<std::vector<double>> basis{std::vector<double>(bins, 1.0)};  // orthonormal under `share`
  const auto product = [&](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < bins; ++i) sum += share[i] * a[i] * b[i];
    return sum;
  };
  double statistic = 0;
  for (int degree = 1; degree <= order; ++degree) {
    std::vector<double> next = basis.back();
    for (std::size_t i = 0; i < bins; ++i) next[i] *= rank[i];
    for (const auto& known : basis) {
      const double along = product(next, known);
      for (std::size_t i = 0; i < bins; ++i) next[i] -= along * known[i];
    }
    const double length = std::sqrt(product(next, next));
    if (!(length > 1e-9)) break;  // empty bins: fewer polynomials than asked for, and the test errs to the safe side
    double difference = 0;
    for (std::size_t i = 0; i < bins; ++i) {
      next[i] /= length;
      difference += next[i] * (binned.window[i] / binned.n - binned.reference[i] / n_ref);
    }
    statistic += difference * difference / (1 / n + 1 / n_ref);
    basis.push_back(std::move(next));
  }
  return statistic;
}

DriftEffect effect_of(const Binned& binned) {
  constexpr double empty_share = 1e-4;  // the convention of those who alarm on PSI
  const double chance = 1 / binned.n + 1 / binned.n_ref;
  double psi = 0, js = 0, tv = 0, tv_by_chance = 0;
  for (std::size_t i = 0; i < binned.reference.size(); ++i) {
    const double q = binned.reference[i] / binned.n_ref, p = binned.window[i] / binned.n;
    const double q_filled = std::max(q, empty_share), p_filled = std::max(p, empty_share);
    psi += (p_filled - q_filled) * std::log(p_filled / q_filled);
    js += (x_log_ratio(p, (p + q) / 2) + x_log_ratio(q, (p + q) / 2)) / 2;
    tv += std::abs(p - q) / 2;
    const double share = (binned.reference[i] + binned.window[i]) / (binned.n_ref + binned.n);
    tv_by_chance += std::sqrt(2 * share * (1 - share) * chance / std::numbers::pi) / 2;  // E|N(0, v)| = sqrt(2 v / pi)
  }
  const double bins = double(binned.reference.size());
  return {std::max(0.0, psi - (bins - 1) * chance), std::sqrt(std::max(0.0, js)), std::max(0.0, tv - tv_by_chance)};
}

FeatureDrift test_feature(DriftFeature feature, const Counts& reference, const Counts& window,
                          const DriftPolicy& policy) {
  FeatureDrift made;
  made.n = sum_of_counts(window);
  made.n_ref = sum_of_counts(reference);
  const auto not_tested = [&](DriftUse why) {
    made.use = why;
    return made;
  };
  if (window.empty()) return not_tested(DriftUse::missing);
  if (window.size() != reference.size()) return not_tested(DriftUse::other_bins);
  if (made.n > drift_counts_max) return not_tested(DriftUse::impossible);
  if (made.n_ref < policy.reference_samples_min || made.n_ref > drift_counts_max) {
    return not_tested(DriftUse::no_reference);
  }
  if (made.n < policy.window_samples_min) return not_tested(DriftUse::too_few);
  const bool pairs = feature == DriftFeature::confidence;  // 20 bins serve the accuracy estimate, 10 the test
  const Binned binned = join_bins(reference, window, policy.expected_min, pairs);
  made.bins = int(binned.reference.size());
  if (made.bins < 2) return not_tested(DriftUse::one_bin);

  made.use = DriftUse::tested;
  const double scale = std::min(1.0, binned.n_ref / binned.n), n = binned.n * scale;
  const bool ordered = feature != DriftFeature::classes && made.bins - 1 > smooth_order;
  made.degrees = ordered ? smooth_order : made.bins - 1;
  const Statistics whole = two_sample(binned, scale);
  made.statistic = ordered ? smooth_part(binned, scale, smooth_order) : whole.pearson;
  made.p = chi_square_tail(made.statistic, made.degrees);
  // The statistic / (1 + n/N) is, given the reference, non-central with n/N times the reference's own distance.
  const double unlucky = chi_square_quantile(policy.reference_risk / double(drift_features.size()), made.degrees);
  const double thin = whole.pearson > 0 ? std::min(1.0, whole.likelihood_ratio / whole.pearson) : 1;
  const double careful = made.statistic * thin;
  const double given_reference =
      noncentral_chi_square_tail(careful * (1 + n / binned.n_ref), made.degrees, n / binned.n_ref * unlucky);
  made.e = e_value(std::max(given_reference, made.p));
  made.effect = effect_of(binned);
  return made;
}

}  // namespace

std::string_view to_string(DriftFeature feature) {
  constexpr std::array<std::string_view, 3> names{"classes", "confidence", "mnlp"};
  return names[std::size_t(feature)];
}

std::string_view to_string(DriftUse use) {
  constexpr std::array<std::string_view, 7> names{"tested",  "missing",      "other_bins", "impossible",
                                                  "too_few", "no_reference", "one_bin"};
  return names[std::size_t(use)];
}

std::uint64_t sum_of_counts(const std::vector<std::uint64_t>& counts) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t sum = 0;
  for (const std::uint64_t count : counts) sum = count > most - sum ? most : sum + count;
  return sum;
}

std::uint64_t DriftCounts::total(DriftFeature feature) const { return sum_of_counts((*this)[feature]); }

std::uint64_t DriftCounts::samples() const {
  std::uint64_t most = 0;
  for (const DriftFeature feature : drift_features) most = std::max(most, total(feature));
  return most;
}

void DriftCounts::add(const DriftCounts& other) {
  for (const DriftFeature feature : drift_features) {
    const Counts& from = other[feature];
    Counts& to = (*this)[feature];
    const std::uint64_t had = sum_of_counts(to), more = sum_of_counts(from);
    if (from.empty() || more > drift_counts_max || had > drift_counts_max - more) continue;
    if (to.empty()) to.resize(from.size());
    if (to.size() != from.size()) continue;
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  }
}

DriftCounts reference_counts(const ReferenceProfile& reference) {
  DriftCounts made;
  made[DriftFeature::classes] = reference.classes;
  made[DriftFeature::confidence] = reference.confidence.counts;
  made[DriftFeature::mnlp] = reference.mnlp.counts;
  return made;
}

DriftReading read_drift_counts(const ReferenceProfile& reference, const ReleaseWindow& window) {
  DriftReading made;
  const auto read = [&](DriftFeature feature, const Counts& expected, const Counts& found, bool same_bounds) {
    const std::uint64_t n = sum_of_counts(found);
    DriftUse& use = made.use[std::size_t(feature)];
    if (n == 0) {
      use = DriftUse::missing;
    } else if (!same_bounds || found.size() != expected.size() || found.size() > drift_bins_max) {
      use = DriftUse::other_bins;
    } else if (n > drift_counts_max || n > window.duration.count()) {
      use = DriftUse::impossible;
    } else {
      use = DriftUse::tested;
      made.counts[feature] = found;
    }
  };
  read(DriftFeature::classes, reference.classes, window.classes, true);
  read(DriftFeature::confidence, reference.confidence.counts, window.confidence.counts,
       reference.confidence.bounds == window.confidence.bounds);
  read(DriftFeature::mnlp, reference.mnlp.counts, window.mnlp.counts, reference.mnlp.bounds == window.mnlp.bounds);
  return made;
}

DriftCounts pool_devices(std::span<const DriftCounts> devices) {
  DriftCounts pooled;
  for (const DriftFeature feature : drift_features) {
    std::vector<std::uint64_t> totals;
    for (const DriftCounts& device : devices) {
      if (const std::uint64_t total = device.total(feature); total > 0) totals.push_back(total);
    }
    if (totals.empty()) continue;
    const auto middle = totals.begin() + std::ptrdiff_t((totals.size() - 1) / 2);  // of two: the smaller
    std::nth_element(totals.begin(), middle, totals.end());
    const double most = 2 * double(*middle);
    for (const DriftCounts& device : devices) {
      const double scale = std::min(1.0, most / double(std::max<std::uint64_t>(1, device.total(feature))));
      DriftCounts part;
      for (const std::uint64_t count : device[feature]) {
        part[feature].push_back(scale < 1 ? std::uint64_t(double(count) * scale) : count);
      }
      pooled.add(part);
    }
  }
  return pooled;
}

Result<> check_drift_policy(const DriftPolicy& policy) {
  const auto bad = [](std::string_view field, std::string_view range) {
    return Error{Errc::bad_input, "drift policy: " + std::string(field) + ": expected " + std::string(range)};
  };
  const auto within = [](double value, double low, double high) { return value >= low && value <= high; };
  if (!within(policy.alarm_at, 10, 1e9)) return bad("alarm_at", "10 to 1e9 windows");
  if (!within(policy.hold_evidence, 2, policy.alarm_at)) return bad("hold_evidence", "2 to alarm_at");
  if (policy.window_samples_min < 20) return bad("window_samples_min", "at least 20");
  if (policy.window_samples < policy.window_samples_min || policy.window_samples > drift_counts_max) {
    return bad("window_samples", "at least window_samples_min, at most 1e12");
  }
  if (policy.window_age_max_ms < 1'000) return bad("window_age_max_ms", "at least 1000");
  if (policy.reference_samples_min < 100) return bad("reference_samples_min", "at least 100");
  if (!within(policy.expected_min, 5, 1e6)) return bad("expected_min", "5 to 1e6");
  if (!within(policy.reference_risk, 1e-6, 0.5)) return bad("reference_risk", "1e-6 to 0.5");
  if (!within(policy.tv_relevant, 0, 1)) return bad("tv_relevant", "0 to 1");
  if (!within(policy.cbpe_drop_relevant, 0, 1)) return bad("cbpe_drop_relevant", "0 to 1");
  return {};
}

WindowDrift test_drift_window(const ReferenceProfile& reference, const DriftCounts& counts, const DriftPolicy& policy) {
  WindowDrift made;
  const DriftCounts expected = reference_counts(reference);
  double sum = 0;
  for (const DriftFeature feature : drift_features) {
    FeatureDrift& one = made.features[std::size_t(feature)];
    one = test_feature(feature, expected[feature], counts[feature], policy);
    if (one.use != DriftUse::tested) continue;
    ++made.tested;
    sum += one.e;
  }
  if (made.tested > 0) made.e = sum / made.tested;
  return made;
}

EstimatedAccuracy estimate_accuracy(const ReferenceProfile& reference, const std::vector<std::uint64_t>& confidence) {
  const Counts& expected = reference.confidence.counts;
  const double n = double(sum_of_counts(confidence)), n_ref = double(sum_of_counts(expected));
  if (!(n > 0) || !(n_ref > 0) || confidence.size() != expected.size() ||
      reference.accuracy_by_confidence_ppm.size() != expected.size()) {
    return {};
  }
  EstimatedAccuracy made;
  double variance = 0;
  for (std::size_t bin = 0; bin < expected.size(); ++bin) {
    const double right = std::clamp(double(reference.accuracy_by_confidence_ppm[bin]) / 1e6, 0.0, 1.0);
    const double share = double(confidence[bin]) / n;
    made.reference += double(expected[bin]) / n_ref * right;
    made.now += share * right;
    variance += share * right * (1 - right) / n;
    if (expected[bin] > 0) variance += share * share * right * (1 - right) / double(expected[bin]);
  }
  made.standard_error = std::sqrt(variance);
  return made;
}

bool median_is_extreme(const BoundedHistogram& reference, const std::vector<std::uint64_t>& mnlp) {
  const double n = double(sum_of_counts(mnlp)), n_ref = double(sum_of_counts(reference.counts));
  if (!(n > 0) || !(n_ref > 0) || mnlp.size() != reference.counts.size()) return false;
  double below = 0, reference_below = 0;
  for (std::size_t bin = 0; bin < mnlp.size(); ++bin) {
    const double reference_through = reference_below + double(reference.counts[bin]);
    below += double(mnlp[bin]);
    if (2 * below >= n) {  // the bin of the median; a quarter covers edges that rounding and ties have moved
      return reference_through <= 0.125 * n_ref || reference_below >= 0.875 * n_ref;
    }
    reference_below = reference_through;
  }
  return false;
}

}  // namespace ferry::telemetry
