// A pair's evidence: what two devices, one with the new release and one without, have shown so far. Values are frozen
// the first time both have enough observations, so looking more often changes nothing.
#pragma once
#include "telemetry/exp_histogram.hpp"
#include "telemetry/judge_policy.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::telemetry {

// Counts of one device with one release. Only ExpHistogram and unsigned counts: nothing infinite, negative or NaN can
// be expressed. `audited_correct` above `audited` counts as `audited`.
struct DeviceCounts {
  ExpHistogram latency;                            // seconds, successful inferences
  std::uint64_t errors = 0;                        // failed inferences
  std::uint64_t audited = 0, audited_correct = 0;  // labels chosen before the outcome was known; no others
};

// The old release on both devices, closed before the canary's activation. Without enough observations of a metric the
// pair never counts for latency; for errors and accuracy the difference of the two devices alone is used.
struct PairBaseline {
  DeviceCounts canary, control;
};

// One look at one arm. `counts` are totals since the pair started: from the canary's activation and after its warm-up
// (the caller drops the first 50 inferences or 60 s), over the SAME span of time on both arms.
struct ArmLook {
  DeviceCounts counts;
  std::int64_t last_report_age_s = 0;
  bool failed = false;  // crashed, rolled back by itself or refused the release
};
struct PairLook {
  bool started = false;  // the canary runs the new release (or failed to); false: nothing else is read
  ArmLook canary, control;
};

struct LatencyComparison {
  std::int64_t quantile_ppm = 0, resolution = 0;
  // log2 of the quantile in seconds, micro-octaves, by log interpolation inside the bucket.
  std::int64_t canary_before = 0, canary_now = 0, control_before = 0, control_now = 0;
  std::string sources_sha256;  // of the four sketches (docs/formats/verdict.md)
  // How much more the canary slowed down than its control: (now - before) of the canary minus that of the control.
  std::int64_t difference() const { return (canary_now - canary_before) - (control_now - control_before); }
  bool operator==(const LatencyComparison&) const = default;
};

// Shares of failed inferences or wrong labels, ppm.
struct ShareComparison {
  std::int64_t resolution = 0;
  bool has_baseline = false;  // false: both `before` are 0 and mean nothing
  std::int64_t canary_before = 0, canary_now = 0, control_before = 0, control_now = 0;
  std::int64_t difference() const;  // as above, clipped to +-1'000'000
  bool operator==(const ShareComparison&) const = default;
};

// Who went silent or failed FIRST, frozen; `both`: at the same look, which says nothing about the release.
enum class FirstSilent { none, canary, control, both };
std::string_view to_string(FirstSilent value);

// Evidence from one canary's own past, for fleets too small for pairs (STATS.md §4.3); micro-nats, latest look.
struct WithinDevice {
  std::int64_t p50_unats = 0, p99_unats = 0;
  bool operator==(const WithinDevice&) const = default;
};

struct PairEvidence {
  std::string canary, control, stratum;  // device ids and the stratum's key, for people
  bool started = false;
  bool canary_silent = false, control_silent = false;  // at the latest look; silent or failed
  FirstSilent first_silent = FirstSilent::none;
  std::vector<LatencyComparison> latency;  // p50 by resolution, then p99
  std::vector<ShareComparison> errors, accuracy;
  std::optional<WithinDevice> within;  // only in small fleets
  bool operator==(const PairEvidence&) const = default;
};

// The evidence after one more look. Pure and idempotent: the same look twice gives the same. Whatever the telemetry
// says, only this pair's record changes. `small_fleet` adds the comparison with the canary's own past. `policy` is
// checked.
PairEvidence observe(PairEvidence so_far, const PairBaseline& baseline, const PairLook& look, const JudgePolicy& policy,
                     bool small_fleet);

// log2 of the quantile in micro-octaves, interpolated in log space inside its bucket; the lower end of the range for an
// empty sketch and for observations of zero.
std::int64_t log2_quantile_uoct(const ExpHistogram& sketch, std::int64_t quantile_ppm);

}  // namespace ferry::telemetry
