#include "telemetry/drift.hpp"

#include <algorithm>
#include <cmath>

namespace ferry::telemetry {
namespace {

constexpr std::int64_t time_max_ms = 1LL << 53;

bool fits(const DriftCounts& counts, const DriftCounts& reference) {
  return std::all_of(drift_features.begin(), drift_features.end(), [&](DriftFeature feature) {
    return counts[feature].empty() || counts[feature].size() == reference[feature].size();
  });
}

DriftUse use_of(const std::vector<std::uint64_t>& counts, const std::vector<std::uint64_t>& reference,
                const DriftPolicy& policy) {
  const std::uint64_t n = sum_of_counts(counts), n_ref = sum_of_counts(reference);
  if (n == 0) return DriftUse::missing;
  if (counts.size() != reference.size() || counts.size() > drift_bins_max) return DriftUse::other_bins;
  if (n > drift_counts_max) return DriftUse::impossible;
  if (n_ref < policy.reference_samples_min || n_ref > drift_counts_max) return DriftUse::no_reference;
  return DriftUse::tested;
}

// The pending counts of those features that have enough; they leave `pending`.
DriftCounts take_window(DriftCounts& pending, std::uint64_t samples_min) {
  DriftCounts taken;
  for (const DriftFeature feature : drift_features) {
    if (pending.total(feature) < samples_min) continue;
    taken[feature] = std::move(pending[feature]);
    pending[feature].clear();
  }
  return taken;
}

// Whether the product of the e-values is still at least 1; if not, the run is cut here.
bool follow_run(DriftState& state, const DriftPolicy& policy, const DriftCounts& window, const DriftReport& report) {
  const double log_product = state.run_log + std::log(report.window.e);
  if (log_product < 0) {
    state.run = {};
    state.run_log = 0;
    state.run_start_ms = report.end_ms;
    return false;
  }
  if (state.run.samples() == 0) state.run_start_ms = report.start_ms;
  state.run_log = std::min(log_product, std::log(policy.hold_evidence));
  state.run.add(window);
  return true;
}

// The size of the shift, from the run; nothing when this window has just ended it.
void measure_shift(const ReferenceProfile& reference, const DriftPolicy& policy, const DriftCounts& run,
                   DriftReport& report) {
  const WindowDrift drift = test_drift_window(reference, run, policy);
  double tv = 0;
  for (const DriftFeature feature : drift_features) {
    report.shift[std::size_t(feature)] = drift[feature].effect;
    tv = std::max(tv, drift[feature].effect.tv);
  }
  report.accuracy = estimate_accuracy(reference, run[DriftFeature::confidence]);
  report.median_extreme = median_is_extreme(reference.mnlp, run[DriftFeature::mnlp]);
  report.relevant = tv >= policy.tv_relevant || report.median_extreme ||
                    report.accuracy.reference - report.accuracy.now >= policy.cbpe_drop_relevant;
}

void settle_level(DriftState& state, const DriftReport& report, bool run_goes_on) {
  if (report.alarm) {
    state.level = std::max(state.level, DriftLevel::notice);
  } else if (!run_goes_on) {
    state.level = DriftLevel::ok;
  }
  if (state.level == DriftLevel::notice && report.relevant) state.level = DriftLevel::warn;
}

Result<> check_times(std::int64_t start_ms, std::int64_t end_ms) {
  if (start_ms < 0 || start_ms > time_max_ms || end_ms < start_ms || end_ms > time_max_ms) {
    return Error{Errc::bad_input, "drift: times: expected 0 <= start <= end <= 2^53 ms, got " +
                                      std::to_string(start_ms) + " and " + std::to_string(end_ms)};
  }
  return {};
}

}  // namespace

std::string_view to_string(DriftLevel level) {
  constexpr std::array<std::string_view, 4> names{"ok", "notice", "warn", "critical"};
  return names[std::size_t(level)];
}

DriftLevel with_witness(DriftLevel level, const DriftWitness& witness) {
  const bool any = witness.accuracy_fell || witness.disagreement || witness.input_broken;
  return level == DriftLevel::warn && any ? DriftLevel::critical : level;
}

Result<DriftStep> drift_step(const ReferenceProfile& reference, const DriftPolicy& policy, DriftState state,
                             const ReleaseWindow& window, std::int64_t start_ms, std::int64_t end_ms) {
  const DriftReading reading = read_drift_counts(reference, window);
  TRY(DriftStep step, drift_step(reference, policy, std::move(state), reading.counts, start_ms, end_ms));
  for (const DriftFeature feature : drift_features) {
    const DriftUse why = reading.use[std::size_t(feature)];  // more exact than "no counts"
    if (why != DriftUse::tested) step.read[std::size_t(feature)] = why;
  }
  return step;
}

Result<DriftStep> drift_step(const ReferenceProfile& reference, const DriftPolicy& policy, DriftState state,
                             const DriftCounts& counts, std::int64_t start_ms, std::int64_t end_ms) {
  TRY_VOID(check_drift_policy(policy));
  TRY_VOID(check_times(start_ms, end_ms));
  const DriftCounts expected = reference_counts(reference);
  if (!fits(state.pending, expected) || !fits(state.run, expected)) {
    return Error{Errc::conflict, "drift: the state belongs to another reference profile; start with an empty state"};
  }
  DriftStep step;
  DriftCounts usable;
  for (const DriftFeature feature : drift_features) {
    DriftUse& use = step.read[std::size_t(feature)];
    use = use_of(counts[feature], expected[feature], policy);
    if (use == DriftUse::tested) usable[feature] = counts[feature];
  }
  step.state = std::move(state);
  DriftState& next = step.state;
  if (next.pending.samples() == 0) next.pending_start_ms = start_ms;
  next.pending_start_ms = std::min(next.pending_start_ms, start_ms);
  next.pending.add(usable);

  const std::uint64_t waiting = next.pending.samples();
  const bool full = waiting >= policy.window_samples;
  const bool old = end_ms - next.pending_start_ms >= policy.window_age_max_ms && waiting >= policy.window_samples_min;
  if (!full && !old) return step;

  DriftReport report{.start_ms = next.pending_start_ms, .end_ms = end_ms};
  const DriftCounts taken = take_window(next.pending, policy.window_samples_min);
  next.pending_start_ms = end_ms;
  report.window = test_drift_window(reference, taken, policy);
  if (report.window.tested == 0) return step;  // nothing in it can be tested: as if it had not been seen

  ++next.windows;
  report.alarm_at = policy.alarm_at;
  report.sr = (1 + next.sr) * report.window.e;
  report.alarm = report.sr >= policy.alarm_at;
  next.sr = report.alarm ? 0 : report.sr;
  if (report.alarm) {
    ++next.alarms;
    next.last_alarm_ms = end_ms;
  }
  const bool run_goes_on = follow_run(next, policy, taken, report);
  measure_shift(reference, policy, next.run, report);
  settle_level(next, report, run_goes_on);
  report.level = next.level;
  step.report = std::move(report);
  return step;
}

}  // namespace ferry::telemetry
