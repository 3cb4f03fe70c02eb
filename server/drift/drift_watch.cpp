// The monitor's part in rollouts (their arms beside each other), and what time alone changes.
#include "server/drift/drift_monitor.hpp"

#include <algorithm>

namespace ferry::server {
namespace {

using telemetry::DriftCause;
using telemetry::DriftCounts;
using telemetry::DriftLevel;

constexpr std::int64_t compared_windows_max = 100;  // of an arm, newest: beyond the reference's size more say nothing

std::string_view reason_of_cause(DriftCause cause) {
  if (cause == DriftCause::world) return reason_world_changed;
  if (cause == DriftCause::model) return reason_drift_canaries;
  return "";
}

}  // namespace

Result<DriftCounts> DriftMonitor::counts_since(const Cohort& cohort, std::int64_t since_ms, std::int64_t windows_max) {
  DriftCounts sum;
  TRY(const auto bodies, store_.windows(cohort.id, since_ms, windows_max));
  for (const std::string& body : bodies) {
    TRY(const Json window, parse_json(body));
    TRY(const std::int64_t start_ms, integer_at(window, "start_ms"));
    if (start_ms < since_ms) continue;
    TRY(const DriftCounts counts, telemetry::drift_counts_at(window, "counts"));
    sum.add(counts);
  }
  return sum;
}

// The arms' cohorts, with the devices that were drawn as members from the start.
Result<> DriftMonitor::watch(const Rollout& rollout, Watch& watch, std::int64_t now_ms) {
  const RolloutPlan& plan = rollout.plan;
  const Reference* of_canary = reference_of(plan.model, plan.version, now_ms);
  const Reference* of_control = reference_of(plan.model, plan.from_version, now_ms);
  if (!of_canary || !of_control)
    return Error{Errc::not_found, "no reference profile of " + plan.version + " or " + plan.from_version};
  Cohort canary, control;
  canary.key = {plan.model, plan.version, of_canary->manifest_sha256, "", plan.id, "canary"};
  control.key = {plan.model, plan.from_version, of_control->manifest_sha256, "", plan.id, "control"};
  for (Cohort* arm : {&canary, &control}) {
    arm->id = cohort_id(arm->key);
    arm->seen_ms = now_ms;
    for (const Pair& pair : plan.pairs)
      arm->devices[arm == &canary ? pair.canary : pair.control] = CohortDevice{now_ms, 0, true, {}};
  }
  const RolloutDrift begin{plan.id, plan.version, plan.from_version, canary.id, control.id, DriftCause::not_enough, "",
                           "",      now_ms};
  if (cohorts_.contains(canary.id) && cohorts_.contains(control.id)) {  // since before a restart
    watch.last = begin;
    return {};
  }
  for (const auto& [id, cohort] : cohorts_)
    if (cohort.key.rollout.empty() && cohort.key.manifest_sha256 == control.key.manifest_sha256 &&
        cohort.key.model == plan.model && cohort.state.level() != DriftLevel::ok)
      control.state.known_before = true;
  TRY_VOID(database_.transaction([&](Database&) -> Result<> {
    for (const Cohort* arm : {&canary, &control}) {
      TRY_VOID(store_.put_cohort({arm->id, arm->key.model, arm->key.version, arm->key.manifest_sha256, "", plan.id,
                                  arm->key.arm, now_ms, print_cohort_state(arm->state)}));
      for (const auto& [name, device] : arm->devices) {
        TRY_VOID(store_.put_device({arm->id, name, device.seen_ms, 0, true, ""}));
      }
    }
    return {};
  }));
  for (Cohort* arm : {&canary, &control}) {
    for (const auto& [name, device] : arm->devices) places_.emplace(name, arm->id);
    cohorts_[arm->id] = std::move(*arm);
  }
  watch.last = begin;
  return {};
}

Result<> DriftMonitor::compare(const Rollout& rollout, Watch& watch, std::int64_t now_ms) {
  const Cohort& canary = cohorts_.at(watch.last.canary);
  const Cohort& control = cohorts_.at(watch.last.control);
  const Reference* of_canary = reference_of(canary.key.model, canary.key.version, now_ms);
  const Reference* of_control = reference_of(control.key.model, control.key.version, now_ms);
  if (!of_canary || !of_control) return Error{Errc::not_found, "the reference profiles are gone"};
  const std::int64_t from_ms =
      telemetry::drift_period_start(canary.state.drift, control.state.drift, rollout.plan.created_ms);
  const bool calm = canary.state.drift.level == DriftLevel::ok && control.state.drift.level == DriftLevel::ok;
  const std::int64_t windows_max = calm ? 1 : compared_windows_max;  // when calm: is there any?
  TRY(const DriftCounts in_canary, counts_since(canary, from_ms, windows_max));
  TRY(const DriftCounts in_control, counts_since(control, from_ms, windows_max));
  const auto compared =
      telemetry::compare_drift({*of_canary->profile, canary.state.drift.level, in_canary},
                               {*of_control->profile, control.state.drift.level, in_control}, policy_);
  if (compared.cause != watch.last.cause)
    log_.info(
        "drift of a rollout's arms",
        {{"rollout", rollout.plan.id}, {"cause", telemetry::to_string(compared.cause)}, {"text", compared.reason}});
  watch.last.cause = compared.cause;
  watch.last.reason = reason_of_cause(compared.cause);
  watch.last.text = compared.reason;
  watch.last.at_ms = now_ms;
  if (compared.cause == DriftCause::world && control.state.known_before)
    watch.last.text += " (known before the rollout began)";
  watch.news = false;
  return {};
}

std::optional<WorldNews> DriftMonitor::world_changed(const Rollout& rollout, std::int64_t now_ms) {
  if (!rollout.gated() || rollout.plan.pairs.empty() || is_terminal(rollout.head.status)) return std::nullopt;
  std::lock_guard lock(mutex_);
  const auto known = watches_.find(rollout.plan.id);
  if (known != watches_.end() && now_ms < known->second.retry_ms) return std::nullopt;
  Watch& watched = watches_[rollout.plan.id];
  Result<> done = reload();
  if (done && watched.last.canary.empty()) done = watch(rollout, watched, now_ms);
  if (done && watched.news) done = compare(rollout, watched, now_ms);
  if (!done) {
    watched.retry_ms = now_ms + reference_retry_ms;
    log_.warn("drift of a rollout's arms is not known",
              {{"rollout", rollout.plan.id}, {"error", done.error().context}});
    return std::nullopt;
  }
  const Cohort& control = cohorts_.at(watched.last.control);
  if (watched.last.cause != DriftCause::world || control.state.known_before) return std::nullopt;
  return WorldNews{control.state.drift.run_start_ms, watched.last.text};
}

std::optional<RolloutDrift> DriftMonitor::drift_of(const std::string& rollout) const {
  std::lock_guard lock(mutex_);
  const auto found = watches_.find(rollout);
  if (found == watches_.end() || found->second.last.canary.empty()) return std::nullopt;
  return found->second.last;
}

Result<> DriftMonitor::erase(const std::string& cohort) {
  TRY_VOID(database_.transaction([&](Database&) { return store_.erase_cohort(cohort); }));
  for (const auto& [name, device] : cohorts_.at(cohort).devices) forget_place(name, cohort);
  cohorts_.erase(cohort);
  return {};
}

Result<> DriftMonitor::forget_locked(const std::string& rollout) {
  std::vector<std::string> arms;
  for (const auto& [id, cohort] : cohorts_)
    if (!rollout.empty() && cohort.key.rollout == rollout) arms.push_back(id);
  for (const std::string& arm : arms) TRY_VOID(erase(arm));
  watches_.erase(rollout);
  return {};
}

Result<> DriftMonitor::forget(const std::string& rollout) {
  std::lock_guard lock(mutex_);
  TRY_VOID(reload());
  return forget_locked(rollout);
}

// Members that fell silent leave; a window that is old closes.
Result<> DriftMonitor::age(Cohort& cohort, std::int64_t now_ms) {
  std::vector<std::string> silent;
  for (const auto& [name, device] : cohort.devices)
    if (now_ms - device.seen_ms >= member_age_ms) silent.push_back(name);
  for (const std::string& name : silent) {
    TRY_VOID(store_.erase_device(cohort.id, name));
    cohort.devices.erase(name);
    forget_place(name, cohort.id);
  }
  const Reference* reference = reference_of(cohort.key.model, cohort.key.version, now_ms);
  if (!reference || reference->manifest_sha256 != cohort.key.manifest_sha256) return {};
  auto closed = close_window(cohort, *reference->profile, policy_, now_ms);
  if (!closed) return {};
  TRY_VOID(database_.transaction([&](Database&) { return store_closed(cohort, *closed, ""); }));
  keep_closed(cohort, *closed);
  return {};
}

Result<> DriftMonitor::housekeep(std::int64_t now_ms, const std::set<std::string>& under_way) {
  std::lock_guard lock(mutex_);
  TRY_VOID(reload());
  std::set<std::string> over;
  std::vector<std::string> old;
  for (auto& [id, cohort] : cohorts_) {
    if (!cohort.key.rollout.empty() && !under_way.contains(cohort.key.rollout)) {
      over.insert(cohort.key.rollout);
    } else if (cohort.devices.empty() && now_ms - cohort.seen_ms >= drift_keep_ms) {
      old.push_back(id);
    } else {
      TRY_VOID(age(cohort, now_ms));
    }
  }
  for (const std::string& rollout : over) TRY_VOID(forget_locked(rollout));
  for (const std::string& id : old) TRY_VOID(erase(id));
  return store_.forget_windows_before(now_ms - drift_keep_ms);
}

}  // namespace ferry::server
