// One window of predictions against the reference profile of its release: is it drawn from the same distribution, and
// how far is it off? Formulas: STATS.md §2.4. Pure: no clock, no I/O.
#pragma once
#include "telemetry/reference_profile.hpp"
#include "telemetry/window.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace ferry::telemetry {

enum class DriftFeature { classes, confidence, mnlp };
constexpr std::array drift_features{DriftFeature::classes, DriftFeature::confidence, DriftFeature::mnlp};
std::string_view to_string(DriftFeature feature);

// What became of a feature. Only `tested` has statistics; the others say why not.
enum class DriftUse {
  tested,
  missing,       // no counts
  other_bins,    // other bounds or another number of bins than the reference's
  impossible,    // more predictions than inferences, or more than counts_max
  too_few,       // under window_samples_min: carried over to the next window
  no_reference,  // the reference has fewer than reference_samples_min
  one_bin,       // fewer than two bins with enough expected predictions: nothing could be seen
};
std::string_view to_string(DriftUse use);

// Sums above this are a lie, not a window; it keeps all arithmetic exact in a double.
constexpr std::uint64_t drift_counts_max = 1'000'000'000'000;
constexpr std::size_t drift_bins_max = 10'000;

// Location, spread, skewness and tails of an ordered histogram; the usual choice (Rayner and Best, 1989).
constexpr int smooth_order = 4;

// Stops at the largest uint64: hostile counts do not wrap around.
std::uint64_t sum_of_counts(const std::vector<std::uint64_t>& counts);

// Counts per bin of the reference, without bounds; an empty list: nothing yet.
struct DriftCounts {
  std::array<std::vector<std::uint64_t>, drift_features.size()> bins;

  std::vector<std::uint64_t>& operator[](DriftFeature feature) { return bins[std::size_t(feature)]; }
  const std::vector<std::uint64_t>& operator[](DriftFeature feature) const { return bins[std::size_t(feature)]; }
  std::uint64_t total(DriftFeature feature) const;
  std::uint64_t samples() const;  // of the feature that has most
  // Adds feature by feature. A feature of another length, or whose sum would pass drift_counts_max, stays as it is.
  void add(const DriftCounts& other);
  bool operator==(const DriftCounts&) const = default;
};

// The reference's own counts. Its file was already checked (parse_reference_profile); its sums are not trusted here.
DriftCounts reference_counts(const ReferenceProfile& reference);

// What of a device's (or a merged group's) window may be compared with `reference`. A feature that may not is left
// empty and `use` says why (missing, other_bins, impossible); `tested` means usable here. Nothing of it is trusted.
struct DriftReading {
  DriftCounts counts;
  std::array<DriftUse, drift_features.size()> use{};
};
DriftReading read_drift_counts(const ReferenceProfile& reference, const ReleaseWindow& window);

// The devices of a group as one, none with more than twice the median device's predictions (larger counts are scaled
// down, rounding down), so that no device outvotes the others whatever it reports. All `devices` fit one reference.
DriftCounts pool_devices(std::span<const DriftCounts> devices);

struct DriftPolicy {
  double alarm_at = 1'000;  // A: windows between false alarms, on average at least; 10 … 1e9
  // Hysteresis: after an alarm, back to ok when the product of the e-values, counted up to this, has fallen below 1.
  double hold_evidence = 100;              // 2 … alarm_at; larger: slower to return
  std::uint64_t window_samples = 200;      // a window closes at so many predictions …
  std::uint64_t window_samples_min = 100;  // … or at window_age_max_ms with at least so many (20 …)
  std::int64_t window_age_max_ms = 24LL * 3600 * 1000;
  std::uint64_t reference_samples_min = 2'000;  // 100 …
  double expected_min = 5;                      // predictions a bin must expect, else it joins its neighbour; 5 …
  // The share of references that may be so unlucky that the run-length promise does not hold for them; [1e-6, 0.5].
  double reference_risk = 0.01;
  double tv_relevant = 0.10;         // total variation distance that is worth a warning
  double cbpe_drop_relevant = 0.02;  // fall of the estimated accuracy (0 … 1) that is worth a warning
  bool operator==(const DriftPolicy&) const = default;
};
// bad_input naming the field and its range.
Result<> check_drift_policy(const DriftPolicy& policy);

// How far a window is from the reference, whatever its size. All 0 when nothing could be compared.
struct DriftEffect {
  double psi = 0;  // population stability index, less what chance adds: (bins-1)(1/n+1/N); empty bins count as 1e-4
  double js = 0;   // Jensen-Shannon distance, natural logarithm, [0, 0.833]
  double tv = 0;   // total variation distance less what chance adds, [0, 1]
  bool operator==(const DriftEffect&) const = default;
};

struct FeatureDrift {
  DriftUse use = DriftUse::missing;
  std::uint64_t n = 0;  // predictions in the window
  std::uint64_t n_ref = 0;
  int bins = 0;          // after joining neighbours
  int degrees = 0;       // of freedom of the statistic
  double statistic = 0;  // two-sample chi-square X², or its smooth part S
  double p = 1;          // P(X² as large | no drift), on average over references; [0, 1]
  double e = 1;          // e-value, mean at most 1 without drift whatever this reference is; [0.5, 5240]
  DriftEffect effect;
  bool operator==(const FeatureDrift&) const = default;
};

struct WindowDrift {
  std::array<FeatureDrift, drift_features.size()> features;
  int tested = 0;  // features
  double e = 1;    // mean of the tested features' e-values; 1 when none was tested
  const FeatureDrift& operator[](DriftFeature feature) const { return features[std::size_t(feature)]; }
};

// Neighbours join (confidence first in pairs) until each bin expects `expected_min` by the *reference* (so that the
// window's content cannot choose the bins). Classes: X², the two-sample statistic of STATS.md §2.4. Confidence and mnlp
// have an order, and a shift moves neighbours alike: S, of X²'s partition into orthogonal polynomials of the rank the
// first `smooth_order` (Neyman, "Smooth test", 1937; docs/adr/0011); with no more bins than that S is X². p is the
// chi-square tail. e is e_value() of a more careful tail, since p is not good enough for a test that is repeated for
// months:
// - of the smaller of X² and the likelihood ratio G (S shrinks as X² does): X² is too large when a thin bin is
//   over-full (measured: mean of e up to 1.5), G when one is empty, never both (measured: at most 0.95);
// - given this reference instead of averaged over references, as every window meets the same one: non-central with
//   the non-centrality that only `reference_risk` of all references exceed (divided among the features).
// Predictions beyond n = N count as n = N: a reference cannot testify to more. Huge, zero and odd counts are safe;
// no NaN or infinity comes out. `counts` must fit `reference` (else other_bins).
WindowDrift test_drift_window(const ReferenceProfile& reference, const DriftCounts& counts, const DriftPolicy& policy);

// Label-free accuracy by calibrated confidence, STATS.md §3.2. An indicator, never a proof.
struct EstimatedAccuracy {
  double reference = 0;       // [0, 1]
  double now = 0;             // [0, 1]
  double standard_error = 0;  // of `now`
  bool operator==(const EstimatedAccuracy&) const = default;
};
// All 0 when `confidence` is empty or does not fit the reference.
EstimatedAccuracy estimate_accuracy(const ReferenceProfile& reference, const std::vector<std::uint64_t>& confidence);

// The median lies in the outermost tenth of the reference on either side. (STATS.md §2.5 says 5 %; the release carries
// tenths.) False when `mnlp` is empty or does not fit.
bool median_is_extreme(const BoundedHistogram& reference, const std::vector<std::uint64_t>& mnlp);

}  // namespace ferry::telemetry
