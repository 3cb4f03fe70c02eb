// Drift of one release in one cohort (a device, or a group of like devices), window after window: the e-SR detector and
// the level an operator sees. STATS.md §2.4 and §2.5. Pure: time is an argument, the state is a value that can be
// stored and continued.
#pragma once
#include "telemetry/drift_window.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ferry::telemetry {

// Drift alone never rolls anything back: `critical` needs a second witness.
enum class DriftLevel {
  ok,
  notice,    // the detector alarmed: predictions are not distributed as in CI
  warn,      // … and the difference is large enough to matter
  critical,  // … and something else says that the release does harm (with_witness)
};
std::string_view to_string(DriftLevel level);

// What a cohort remembers between windows. Bounded: twice the reference's bins and nine numbers.
struct DriftState {
  DriftCounts pending;  // predictions that wait for a full window
  std::int64_t pending_start_ms = 0;
  // Predictions since the estimated change (since the product of the e-values last fell below 1): the sample from
  // which the size of the shift is read, and the period to compare canary and control over.
  DriftCounts run;
  std::int64_t run_start_ms = 0;
  double run_log = 0;                 // natural logarithm of that product, 0 … ln hold_evidence
  double sr = 0;                      // M of e-SR, [0, alarm_at)
  DriftLevel level = DriftLevel::ok;  // ok, notice or warn
  std::uint64_t windows = 0;          // tested
  std::uint64_t alarms = 0;
  std::int64_t last_alarm_ms = 0;
  bool operator==(const DriftState&) const = default;
};

// One tested window with everything that led to its verdict; enough to compute it again.
struct DriftReport {
  std::int64_t start_ms = 0, end_ms = 0;  // Unix time
  WindowDrift window;
  double sr = 0;  // M before a reset; an alarm is sr >= alarm_at
  double alarm_at = 0;
  bool alarm = false;
  DriftLevel level = DriftLevel::ok;  // after this window
  // Of the predictions since the estimated change:
  std::array<DriftEffect, drift_features.size()> shift;
  EstimatedAccuracy accuracy;
  bool median_extreme = false;
  bool relevant = false;  // the largest tv, the fall of accuracy or the median is beyond the policy's bound
};

struct DriftStep {
  DriftState state;
  std::array<DriftUse, drift_features.size()> read{};  // what became of the new window's features
  std::optional<DriftReport> report;                   // absent: still collecting
};

// Takes one more telemetry window [start_ms, end_ms] (Unix time, 0 … 2^53, start <= end) of the cohort. Collects until
// window_samples (or window_age_max_ms, with window_samples_min), then tests once:
//     M = (1 + M) * e;  M >= alarm_at: alarm, M = 0
// e-SR of Shin, Ramdas and Rinaldo, "E-detectors" (2024): without drift the mean number of windows to an alarm is at
// least alarm_at, if windows are independent draws of what the reference was drawn from. Daily cycles, or a cohort of
// few devices that each see their own kind of input, break that: compare with a control group (drift_cause.hpp).
//
// Level: an alarm raises it to notice, and to warn as soon as the shift is relevant. It never falls but to ok, when the
// evidence is gone: the product of the e-values, which counts up to hold_evidence, is below 1 again. So a lasting shift
// keeps its level between alarms, and a level does not flicker.
//
// Errors: bad_input for a policy or times out of range (naming the field); conflict for a state of another reference
// (another number of bins). Hostile windows are no error: features that cannot be compared are left out (`read`).
Result<DriftStep> drift_step(const ReferenceProfile& reference, const DriftPolicy& policy, DriftState state,
                             const ReleaseWindow& window, std::int64_t start_ms, std::int64_t end_ms);
// The same for counts that were read (read_drift_counts) and pooled (pool_devices) before.
Result<DriftStep> drift_step(const ReferenceProfile& reference, const DriftPolicy& policy, DriftState state,
                             const DriftCounts& counts, std::int64_t start_ms, std::int64_t end_ms);

// What else is known about the same release and cohort.
struct DriftWitness {
  bool accuracy_fell = false;  // the labelled-accuracy e-process fired
  bool disagreement = false;   // with the previous release, above its margin
  bool input_broken = false;   // NaN, constant or out-of-range inputs
};
// warn with any witness is critical; other levels stay.
DriftLevel with_witness(DriftLevel level, const DriftWitness& witness);

constexpr std::size_t drift_state_bytes_max = 1024 * 1024;
// docs/formats/drift.md. print then parse gives the same state, bit by bit.
std::string print_drift_state(const DriftState& state);
// Anything malformed or out of range: bad_input naming the field; another format: unsupported.
Result<DriftState> parse_drift_state(std::string_view bytes);
// {"classes": [...], "confidence": [...], "mnlp": [...]}, and back: a member of `object`, checked like the state's.
Json drift_counts_json(const DriftCounts& counts);
Result<DriftCounts> drift_counts_at(const Json& object, std::string_view key);
// The evidence of a verdict, for logs, API and dashboard.
Json drift_report_json(const DriftReport& report);

}  // namespace ferry::telemetry
