// One cohort as a value: who is in it, the window that is filling, the detector's state, and what an upload changes.
// Pure: time is an argument.
#pragma once
#include "server/drift/drift_pool.hpp"

#include <optional>

namespace ferry::server {

// A member that is silent for so long no longer holds up the cohort's window; what it said is dropped with it.
inline constexpr std::int64_t member_age_ms = 24LL * 3600 * 1000;
// A wrong label is news when there are this many more than the gate promised (share of the labels).
inline constexpr double label_margin = 0.02;
inline constexpr double label_horizon = 100;  // labels after which the test is tightest

inline constexpr std::string_view reason_drift_canaries = "drift.canaries";

// A release in one hardware class, or (with `rollout`) in one arm of a gated rollout.
struct CohortKey {
  std::string model, version, manifest_sha256;
  std::string hardware_class;  // "" for an arm
  std::string rollout;         // "" for a hardware class
  std::string arm = "none";    // canary | control
  auto operator<=>(const CohortKey&) const = default;
};
// The same key has the same id for ever: "dc-" and 16 hex digits.
std::string cohort_id(const CohortKey& key);

// What else is known than the distribution of predictions.
struct CohortWitness {
  bool accuracy = false;  // audited labels: wrong more often than on the gate's data
  bool operator==(const CohortWitness&) const = default;
};

// What outlives windows; stored as ferry.drift-cohort/1.
struct CohortState {
  telemetry::DriftState drift;
  // Audited labels, window by window: e-SR raises the witness, the product of the e-values (as in DriftState) holds it.
  double labels_sr = 0;   // [0, alarm_at)
  double labels_log = 0;  // 0 … ln hold_evidence
  CohortWitness witness;
  std::int64_t level_since_ms = 0;
  bool known_before = false;            // a control arm whose release drifted already when the rollout began
  telemetry::DriftLevel level() const;  // with its witnesses
  bool operator==(const CohortState&) const = default;
};
std::string print_cohort_state(const CohortState& state);
Result<CohortState> parse_cohort_state(std::string_view text);

// "" | drift.notice | drift.warn | drift.critical
std::string_view reason_of(telemetry::DriftLevel level);

struct CohortDevice {
  std::int64_t seen_ms = 0;   // its last upload; when it became a member
  std::int64_t since_ms = 0;  // its first upload in the open window; 0: nothing waits
  bool member = true;         // false: it has moved to another release, its part of the open window stays
  Contribution waiting;
  bool operator==(const CohortDevice&) const = default;
};
// Counts as stored: {"classes": […], "confidence": […], "mnlp": […], "labels": […]}, "" for none.
std::string print_contribution(const Contribution& contribution);
Result<Contribution> parse_contribution(std::string_view text);

struct Cohort {
  std::string id;
  CohortKey key;
  std::int64_t seen_ms = 0;
  CohortState state;
  std::map<std::string, CohortDevice> devices;

  std::int64_t open_since_ms() const;  // 0: nothing waits
};

// A closed window: everything that led to its verdict.
struct ClosedWindow {
  std::int64_t number = 0;  // from 1
  telemetry::DriftReport report;
  telemetry::DriftLevel level = telemetry::DriftLevel::ok;  // after it, with witnesses
  Pool pool;
  double labels_sr = 0;  // before a reset
  CohortWitness witness;
};
// docs/formats/drift.md, "Window on record".
std::string print_window(const ClosedWindow& window);

struct CohortStep {
  CohortState state;
  Pool pool;                           // what counted
  std::optional<ClosedWindow> window;  // absent: nothing in it could be tested
};
// Closes the open window when it is full, or old and not too small; nullopt: it goes on. A state that does not fit the
// reference starts anew.
std::optional<CohortStep> close_window(const Cohort& cohort, const telemetry::ReferenceProfile& reference,
                                       const telemetry::DriftPolicy& policy, std::int64_t now_ms);

// After a closed window: nobody has anything waiting, those that left are gone. Labels that did not count stay.
void start_window(Cohort& cohort, const Pool& counted);

}  // namespace ferry::server
