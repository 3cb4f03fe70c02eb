// Predictions as a population to draw from: references, windows, and what each detector says about a window.
#pragma once
#include "telemetry/drift.hpp"
#include "tests/sim/drift/fashion.hpp"

#include <random>
#include <vector>

namespace ferry::sim {

// Seeded; the same numbers with every compiler and library.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::size_t below(std::size_t bound) { return std::size_t(double(engine_() >> 11) * 0x1p-53 * double(bound)); }

 private:
  std::mt19937_64 engine_;
};

// The same predictions with other class frequencies: those of true class k appear weights[k] times.
Predictions reweighted(const Predictions& clean, const DataSet& data, std::string name,
                       const std::vector<int>& weights);

// A release's reference profile from n_ref predictions drawn from a population, with what the baselines need beside it.
struct Reference {
  telemetry::ReferenceProfile profile;
  std::vector<double> confidences;  // rising
  double confidence_sd = 0;
};
Reference draw_reference(const Predictions& population, std::size_t n_ref, Dice& dice);

struct Window {
  telemetry::DriftCounts counts;
  std::vector<double> confidences;  // rising; empty unless asked for
};

// A population as one reference's bins see it, so that drawing a window costs one step per prediction.
class Source {
 public:
  Source(const Predictions& population, const Reference& reference);
  Window draw(std::size_t n, Dice& dice, bool raw = false) const;

 private:
  struct Item {
    std::uint32_t bins[3];
    double confidence;
  };
  std::vector<Item> items_;
  std::size_t sizes_[3];
};

// The rules in common use, as their tools apply them by default.
enum class Rule {
  psi_10,         // PSI of the confidence in 10 bins > 0.1 (customary; empty bins 1e-4)
  psi_25,         // … > 0.25
  js_class,       // Jensen-Shannon distance of the classes > 0.1 (Evidently, categories)
  js_confidence,  // … of the confidence in 10 bins > 0.1
  wasserstein,    // W1 of the confidence / standard deviation of the reference > 0.1 (Evidently, numbers)
  ks,             // Kolmogorov-Smirnov on raw confidences, p < 0.05 (needs raw data)
  chi_class,      // ours, one feature alone: p < 0.05
  chi_confidence,
  chi_mnlp,
  ferry,  // ours: three features, Bonferroni, p < 0.05
};
constexpr int rules = 10;
const char* to_string(Rule rule);

using Flags = std::array<bool, rules>;
// `window` drawn with raw = true; n may be under the policy's minimum.
Flags judge_window(const Reference& reference, const Window& window);

}  // namespace ferry::sim
