// What the drift tests share: a reference of round numbers, windows drawn from it, windows that are off.
#pragma once
#include "telemetry/drift.hpp"

#include <cstdint>
#include <random>
#include <vector>

namespace ferry::test {

inline telemetry::ReferenceProfile drift_reference(std::uint64_t n_ref = 10'000, std::size_t classes = 10) {
  telemetry::ReferenceProfile reference;
  reference.samples = n_ref;
  reference.classes.assign(classes, n_ref / classes);
  std::vector<double> confidence, mnlp;
  for (int k = 1; k < 20; ++k) confidence.push_back(k / 20.0);
  for (int k = 1; k < 10; ++k) mnlp.push_back(k);
  reference.confidence = telemetry::BoundedHistogram(confidence);
  reference.mnlp = telemetry::BoundedHistogram(mnlp);
  for (auto& count : reference.confidence.counts) count = n_ref / 20;
  for (auto& count : reference.mnlp.counts) count = n_ref / 10;
  for (int k = 0; k < 20; ++k) reference.accuracy_by_confidence_ppm.push_back(500'000 + 25'000 * k);
  return reference;
}

// Draws without help from the standard library's distributions, whose results differ between implementations.
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return double(engine_() >> 11) * 0x1p-53; }
  std::size_t below(std::size_t bound) { return std::size_t(uniform() * double(bound)); }
  std::vector<std::uint64_t> multinomial(std::size_t n, const std::vector<double>& shares) {
    std::vector<std::uint64_t> counts(shares.size());
    for (std::size_t i = 0; i < n; ++i) {
      double left = uniform();
      std::size_t bin = 0;
      while (bin + 1 < shares.size() && left >= shares[bin]) left -= shares[bin++];
      ++counts[bin];
    }
    return counts;
  }

 private:
  std::mt19937_64 engine_;
};

// n predictions as the reference expects them, except that `off` (0 … 1) of the confidence lies in the lowest bins.
inline telemetry::DriftCounts drift_window(Draws& draws, const telemetry::ReferenceProfile& reference, std::size_t n,
                                           double off = 0) {
  telemetry::DriftCounts counts;
  const auto shares = [](std::size_t bins) { return std::vector<double>(bins, 1.0 / double(bins)); };
  std::vector<double> confidence = shares(reference.confidence.counts.size());
  for (double& share : confidence) share *= 1 - off;
  confidence[0] += off / 2;
  confidence[1] += off / 2;
  counts[telemetry::DriftFeature::classes] = draws.multinomial(n, shares(reference.classes.size()));
  counts[telemetry::DriftFeature::confidence] = draws.multinomial(n, confidence);
  counts[telemetry::DriftFeature::mnlp] = draws.multinomial(n, shares(reference.mnlp.counts.size()));
  return counts;
}

// The same counts as a device sends them.
inline telemetry::ReleaseWindow as_release_window(const telemetry::ReferenceProfile& reference,
                                                  const telemetry::DriftCounts& counts) {
  telemetry::ReleaseWindow window;
  window.classes = counts[telemetry::DriftFeature::classes];
  window.confidence = reference.confidence;
  window.confidence.counts = counts[telemetry::DriftFeature::confidence];
  window.mnlp = reference.mnlp;
  window.mnlp.counts = counts[telemetry::DriftFeature::mnlp];
  for (std::uint64_t i = 0; i < counts.samples(); ++i) window.duration.record(0.01);
  return window;
}

}  // namespace ferry::test
