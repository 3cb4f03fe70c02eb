#include "tests/sim/drift/population.hpp"

#include <algorithm>
#include <cmath>

namespace ferry::sim {
namespace {

using telemetry::DriftCounts;
using telemetry::DriftFeature;
using telemetry::DriftUse;

std::vector<double> in_pairs(const std::vector<std::uint64_t>& counts) {
  std::vector<double> made;
  double sum = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (i % 2 == 0) made.push_back(0);
    made.back() += double(counts[i]);
    sum += double(counts[i]);
  }
  for (double& share : made) share /= sum;
  return made;
}

std::vector<double> shares(const std::vector<std::uint64_t>& counts) {
  std::vector<double> made(counts.begin(), counts.end());
  double sum = 0;
  for (const double count : made) sum += count;
  for (double& share : made) share /= sum;
  return made;
}

double psi(const std::vector<double>& q, const std::vector<double>& p) {
  double sum = 0;
  for (std::size_t i = 0; i < q.size(); ++i) {
    const double a = std::max(p[i], 1e-4), b = std::max(q[i], 1e-4);
    sum += (a - b) * std::log(a / b);
  }
  return sum;
}

double jensen_shannon(const std::vector<double>& q, const std::vector<double>& p) {
  double sum = 0;
  for (std::size_t i = 0; i < q.size(); ++i) {
    const double middle = (p[i] + q[i]) / 2;
    if (p[i] > 0) sum += p[i] * std::log(p[i] / middle) / 2;
    if (q[i] > 0) sum += q[i] * std::log(q[i] / middle) / 2;
  }
  return std::sqrt(std::max(0.0, sum));
}

// Both samples rising.
double wasserstein_1(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0, at = std::min(a.front(), b.front());
  for (std::size_t i = 0, k = 0; i < a.size() || k < b.size();) {
    const double next = k == b.size() || (i < a.size() && a[i] <= b[k]) ? a[i] : b[k];
    sum += std::abs(double(i) / double(a.size()) - double(k) / double(b.size())) * (next - at);
    at = next;
    while (i < a.size() && a[i] <= at) ++i;
    while (k < b.size() && b[k] <= at) ++k;
  }
  return sum;
}

// Two-sided p of the two-sample Kolmogorov-Smirnov test, asymptotic with Stephens' correction. Both samples rising.
double kolmogorov_smirnov_p(const std::vector<double>& reference, const std::vector<double>& window) {
  const double n = double(window.size()), n_ref = double(reference.size());
  double d = 0;
  for (std::size_t i = 0; i < window.size(); ++i) {
    const auto upper = std::upper_bound(reference.begin(), reference.end(), window[i]) - reference.begin();
    const auto lower = std::lower_bound(reference.begin(), reference.end(), window[i]) - reference.begin();
    d = std::max(
        {d, std::abs(double(i + 1) / n - double(upper) / n_ref), std::abs(double(i) / n - double(lower) / n_ref)});
  }
  const double root = std::sqrt(n * n_ref / (n + n_ref)), lambda = (root + 0.12 + 0.11 / root) * d;
  double p = 0;
  for (int k = 1; k <= 100; ++k) p += (k % 2 == 1 ? 2 : -2) * std::exp(-2 * k * k * lambda * lambda);
  return lambda < 0.2 ? 1 : std::clamp(p, 0.0, 1.0);
}

}  // namespace

Predictions reweighted(const Predictions& clean, const DataSet& data, std::string name,
                       const std::vector<int>& weights) {
  Predictions made;
  made.name = std::move(name);
  for (std::size_t at = 0; at < clean.seen.size(); ++at) {
    for (int k = 0; k < weights[std::size_t(data.labels[at])]; ++k) {
      made.seen.push_back(clean.seen[at]);
      made.correct.push_back(clean.correct[at]);
    }
  }
  return made;
}

Reference draw_reference(const Predictions& population, std::size_t n_ref, Dice& dice) {
  std::vector<telemetry::ReferenceSample> samples;
  Reference made;
  for (std::size_t i = 0; i < n_ref; ++i) {
    const std::size_t at = dice.below(population.seen.size());
    samples.push_back({population.seen[at], population.correct[at]});
    made.confidences.push_back(population.seen[at].confidence);
  }
  made.profile = telemetry::make_reference_profile(samples, 10);
  std::sort(made.confidences.begin(), made.confidences.end());
  double sum = 0, squares = 0;
  for (const double value : made.confidences) {
    sum += value;
    squares += value * value;
  }
  const double mean = sum / double(n_ref);
  made.confidence_sd = std::sqrt(squares / double(n_ref) - mean * mean);
  return made;
}

Source::Source(const Predictions& population, const Reference& reference) {
  const auto bin_of = [](const telemetry::BoundedHistogram& histogram, double value) {
    return std::uint32_t(std::lower_bound(histogram.bounds.begin(), histogram.bounds.end(), value) -
                         histogram.bounds.begin());
  };
  const telemetry::ReferenceProfile& profile = reference.profile;
  sizes_[0] = profile.classes.size();
  sizes_[1] = profile.confidence.counts.size();
  sizes_[2] = profile.mnlp.counts.size();
  for (const telemetry::Prediction& one : population.seen) {
    items_.push_back({{std::uint32_t(one.top_class), bin_of(profile.confidence, one.confidence),
                       bin_of(profile.mnlp, one.mnlp_bits)},
                      one.confidence});
  }
}

Window Source::draw(std::size_t n, Dice& dice, bool raw) const {
  Window made;
  for (std::size_t f = 0; f < 3; ++f) made.counts.bins[f].resize(sizes_[f]);
  for (std::size_t i = 0; i < n; ++i) {
    const Item& item = items_[dice.below(items_.size())];
    for (std::size_t f = 0; f < 3; ++f) ++made.counts.bins[f][item.bins[f]];
    if (raw) made.confidences.push_back(item.confidence);
  }
  std::sort(made.confidences.begin(), made.confidences.end());
  return made;
}

const char* to_string(Rule rule) {
  constexpr std::array<const char*, rules> names{"PSI>.10",  "PSI>.25",   "JS class", "JS conf", "W1/sd>.1",
                                                 "KS p<.05", "chi class", "S conf",   "S mnlp",  "Ferry"};
  return names[std::size_t(rule)];
}

Flags judge_window(const Reference& reference, const Window& window) {
  Flags flags{};
  const auto set = [&](Rule rule, bool flag) { flags[std::size_t(rule)] = flag; };
  const auto& profile = reference.profile;
  const std::vector<double> q = in_pairs(profile.confidence.counts);
  const std::vector<double> p = in_pairs(window.counts[DriftFeature::confidence]);
  const double confidence_psi = psi(q, p);
  set(Rule::psi_10, confidence_psi > 0.1);
  set(Rule::psi_25, confidence_psi > 0.25);
  set(Rule::js_confidence, jensen_shannon(q, p) > 0.1);
  set(Rule::js_class, jensen_shannon(shares(profile.classes), shares(window.counts[DriftFeature::classes])) > 0.1);
  set(Rule::wasserstein, wasserstein_1(reference.confidences, window.confidences) / reference.confidence_sd > 0.1);
  set(Rule::ks, kolmogorov_smirnov_p(reference.confidences, window.confidences) < 0.05);

  telemetry::DriftPolicy policy;
  policy.window_samples_min = std::min<std::uint64_t>(policy.window_samples_min, window.confidences.size());
  const telemetry::WindowDrift drift = telemetry::test_drift_window(profile, window.counts, policy);
  double smallest = 1;
  for (const DriftFeature feature : telemetry::drift_features) smallest = std::min(smallest, drift[feature].p);
  set(Rule::chi_class, drift[DriftFeature::classes].p < 0.05);
  set(Rule::chi_confidence, drift[DriftFeature::confidence].p < 0.05);
  set(Rule::chi_mnlp, drift[DriftFeature::mnlp].p < 0.05);
  set(Rule::ferry, smallest * drift.tested < 0.05);
  return flags;
}

}  // namespace ferry::sim
