// One arm per row of docs/state-machines/update.md; everything else stays.
#include "ota/update_machine.hpp"

#include "common/overloaded.hpp"

namespace ferry::ota {
namespace {

constexpr std::int64_t ms_per_s = 1000;

std::string cut(std::string text) {
  if (text.size() > message_bytes_max) text.resize(message_bytes_max);
  return text;
}

void report(SlotState& state, const AssignedRelease& release, ReportState what, std::int64_t at_ms,
            std::string reason = {}, std::string message = {}) {
  Report next;
  next.number = state.report.number + 1;
  next.state = what;
  next.version = release.version;
  next.manifest_sha256 = release.manifest_sha256;
  next.rollout = release.rollout;
  next.reason = std::move(reason);
  next.message = cut(std::move(message));
  next.at_ms = at_ms;
  state.report = std::move(next);
}

void report_in_slot(SlotState& state, const AssignedRelease& release, ReportState what, std::int64_t at_ms,
                    SlotName slot, const std::string& variant, std::string reason = {}, std::string message = {}) {
  report(state, release, what, at_ms, std::move(reason), std::move(message));
  state.report.slot = to_string(slot);
  state.report.variant = variant;
}

Step stay(const SlotState& state) { return {state, {}}; }

// A refusal that was told already is not told again at every check-in; nor is a rejection that this rollout has heard
// of followed by a refusal, which would hide its reason.
Step refuse(SlotState next, const AssignedRelease& release, std::int64_t at_ms, std::string reason,
            std::string message) {
  const Report& last = next.report;
  bool same = last.number > 0 && last.manifest_sha256 == release.manifest_sha256 && last.rollout == release.rollout;
  bool rejected = last.state == ReportState::rejected || last.state == ReportState::rolled_back;
  bool told = same && ((rejected && reason == "release.rejected") ||
                       (last.state == ReportState::refused && last.reason == reason));
  if (!told) report(next, release, ReportState::refused, at_ms, std::move(reason), std::move(message));
  next.update = Idle{};
  return {std::move(next), {}};
}

void reject(SlotState& state, const Digest& manifest, const std::string& version, const std::string& reason,
            std::int64_t at_ms) {
  if (state.rejection(manifest)) return;
  if (state.rejected.size() == rejected_max) state.rejected.erase(state.rejected.begin());
  state.rejected.push_back({manifest, version, reason, at_ms});
}

// The decision to reject is durable in the same write that starts the way back.
Step roll_back(const SlotState& state, const Trial& trial, std::string reason, std::string message,
               std::int64_t at_ms) {
  SlotState next = state;
  if (remembered(reason)) reject(next, trial.release.manifest_sha256, trial.release.version, reason, at_ms);
  RollingBack back;
  back.release = trial.release;
  back.slot = trial.slot;
  back.variant = trial.variant;
  back.reason = std::move(reason);
  back.message = cut(std::move(message));
  back.took_over = trial.took_over;
  next.update = std::move(back);
  return {std::move(next), {GoBack{trial.slot}}};
}

Step roll_back(const SlotState& state, const Staged& staged, std::string reason, std::string message,
               std::int64_t at_ms) {
  Trial trial;
  trial.release = staged.release;
  trial.slot = staged.slot;
  trial.variant = staged.variant;
  return roll_back(state, trial, std::move(reason), std::move(message), at_ms);
}

// Same release, new words around it (rollout, arm, policy): taken over without a fuss.
template <class Busy>
Step refresh(const SlotState& state, const Busy& busy, const AssignedRelease& release) {
  if (busy.release == release) return stay(state);
  SlotState next = state;
  std::get<Busy>(next.update).release = release;
  return {std::move(next), {}};
}

Step assigned_while_idle(const SlotState& state, const Assigned& event) {
  const AssignedRelease& release = event.release;
  SlotState next = state;
  if (const auto* entry = state.active_entry(); entry && entry->manifest_sha256 == release.manifest_sha256) {
    if (entry->rollout == release.rollout && entry->arm == release.arm) return stay(state);
    auto& changed = *next.slot(*state.active);
    changed.rollout = release.rollout;
    changed.arm = release.arm;
    return {std::move(next), {Commit{*state.active}}};
  }
  if (const auto* before = state.rejection(release.manifest_sha256))
    return refuse(std::move(next), release, event.at_ms, "release.rejected",
                  "this device rejected release " + release.version + " before: " + before->reason);
  if (release.counter < state.floor)
    return refuse(std::move(next), release, event.at_ms, "trust.counter_below_floor",
                  "release counter " + std::to_string(release.counter) + " is below the signed floor " +
                      std::to_string(state.floor));
  next.update = Downloading{release, 1, event.at_ms};
  report(next, release, ReportState::downloading, event.at_ms);
  return {std::move(next), {Fetch{release, state.inactive(), 1}}};
}

Step assigned_while_downloading(const SlotState& state, const Downloading& downloading, const Assigned& event) {
  if (downloading.release.manifest_sha256 == event.release.manifest_sha256)
    return refresh(state, downloading, event.release);
  SlotState next = state;
  next.update = Idle{};
  report(next, downloading.release, ReportState::failed, event.at_ms, "operator.abort",
         "the server assigned release " + event.release.version + " instead");
  return {std::move(next), {}};
}

template <class Busy>
Step assigned_while_on_trial(const SlotState& state, const Busy& busy, const Assigned& event) {
  if (busy.release.manifest_sha256 == event.release.manifest_sha256) return refresh(state, busy, event.release);
  return roll_back(state, busy, "operator.abort", "the server assigned release " + event.release.version + " instead",
                   event.at_ms);
}

Step downloaded(const SlotState& state, const Downloading& downloading, const Downloaded& event) {
  if (event.slot != state.inactive())  // the active slot changed meanwhile: fetch into the right one
    return {state, {Fetch{downloading.release, state.inactive(), downloading.attempt}}};
  SlotState next = state;
  next.slot(event.slot).reset();
  next.update = Staged{downloading.release, event.slot, event.variant, cut(event.variant_reason)};
  report_in_slot(next, downloading.release, ReportState::staged, event.at_ms, event.slot, event.variant, {},
                 event.variant_reason);
  return {std::move(next), {BeginTrial{}}};
}

Step download_failed(const SlotState& state, const Downloading& downloading, const DownloadFailed& event) {
  SlotState next = state;
  if (event.again && downloading.attempt < downloading.release.policy.download_attempts_max) {
    auto& again = std::get<Downloading>(next.update);
    ++again.attempt;
    Fetch fetch{again.release, state.inactive(), again.attempt};  // before `next`, which `again` lies in, is moved
    return {std::move(next), {std::move(fetch)}};
  }
  next.update = Idle{};
  report(next, downloading.release, ReportState::failed, event.at_ms, event.reason,
         event.message + " (attempt " + std::to_string(downloading.attempt) + ")");
  return {std::move(next), {}};
}

Step trial_began(const SlotState& state, const Staged& staged, const TrialBegan& event) {
  SlotState next = state;
  Trial trial;
  trial.release = staged.release;
  trial.slot = staged.slot;
  trial.variant = staged.variant;
  trial.variant_reason = staged.variant_reason;
  trial.deadline_ms = event.at_ms + staged.release.policy.trial_deadline_s * ms_per_s;
  next.update = std::move(trial);
  report_in_slot(next, staged.release, ReportState::trial, event.at_ms, staged.slot, staged.variant);
  return {std::move(next), {Prove{}}};
}

Step enter_probation(const SlotState& state) {
  SlotState next = state;
  auto& trial = std::get<Trial>(next.update);
  trial.stage = TrialStage::probation;
  trial.took_over = true;
  return {std::move(next), {TakeOver{}}};
}

// A shadow run compares with the active release: pointless without one, and when going back to an older release the
// active one is what is wrong.
bool worth_shadowing(const SlotState& state, const Trial& trial) {
  const auto* active = state.active_entry();
  return active && active->counter <= trial.release.counter && trial.release.policy.shadow_s_max > 0 &&
         trial.release.policy.shadow_requests > 0;
}

Step proved(const SlotState& state, const Trial& trial) {
  if (trial.stage != TrialStage::prove) return stay(state);
  if (!worth_shadowing(state, trial)) return enter_probation(state);
  SlotState next = state;
  std::get<Trial>(next.update).stage = TrialStage::shadow;
  return {std::move(next), {Shadow{}}};
}

Step probation_passed(const SlotState& state, const Trial& trial, const ProbationPassed& event) {
  if (trial.stage != TrialStage::probation) return stay(state);
  SlotState next = state;
  SlotEntry entry;
  entry.version = trial.release.version;
  entry.counter = trial.release.counter;
  entry.manifest_sha256 = trial.release.manifest_sha256;
  entry.variant = trial.variant;
  entry.variant_reason = trial.variant_reason;
  entry.rollout = trial.release.rollout;
  entry.arm = trial.release.arm;
  next.slot(trial.slot) = std::move(entry);
  next.active = trial.slot;
  next.update = Idle{};
  report_in_slot(next, trial.release, ReportState::committed, event.at_ms, trial.slot, trial.variant);
  return {std::move(next), {Commit{trial.slot}}};
}

// The other slot's release answers again, without a download and without a trial: it proved itself here before. With
// nothing to go back to the device goes on: an answer in doubt is better than none, and the next assignment replaces
// it. Below the signed floor there is nothing to go back to: the server's order is no signature.
Step recalled(const SlotState& state, const Recalled& event) {
  for (SlotName slot : {SlotName::a, SlotName::b}) {
    const auto& entry = state.slot(slot);
    if (!entry || entry->manifest_sha256 != event.manifest_sha256) continue;
    const bool serves = state.active == slot;
    const auto& before = state.slot(other(slot));
    if (serves && (!before || before->counter < state.floor)) return stay(state);
    SlotState next = state;
    if (remembered(event.reason)) reject(next, entry->manifest_sha256, entry->version, event.reason, event.at_ms);
    RollingBack back;
    back.release.version = entry->version;
    back.release.counter = entry->counter;
    back.release.manifest_sha256 = entry->manifest_sha256;
    back.release.rollout = entry->rollout;
    back.release.arm = entry->arm;
    back.slot = slot;
    back.variant = entry->variant;
    back.reason = event.reason;
    back.message = cut(event.message);
    back.took_over = true;
    next.slot(slot).reset();
    next.update = std::move(back);
    if (!serves) return {std::move(next), {GoBack{slot}}};
    next.active = other(slot);
    Serve serve{next.active};
    return {std::move(next), {serve, GoBack{slot}}};
  }
  return stay(state);
}

Step rolled_back(const SlotState& state, const RollingBack& back, const RolledBack& event) {
  SlotState next = state;
  next.update = Idle{};
  auto told = back.took_over ? ReportState::rolled_back
                             : (remembered(back.reason) ? ReportState::rejected : ReportState::failed);
  report_in_slot(next, back.release, told, event.at_ms, back.slot, back.variant, back.reason, back.message);
  return {std::move(next), {}};
}

Step restarted(const SlotState& state, const Restarted& event) {
  return std::visit(
      overloaded{
          [&](const Idle&) -> Step { return stay(state); },
          [&](const Downloading& downloading) -> Step {
            return {state, {Fetch{downloading.release, state.inactive(), downloading.attempt}}};
          },
          [&](const Staged&) -> Step {
            return {state, {BeginTrial{}}};
          },
          [&](const Trial& trial) -> Step {
            if (trial.boots_left <= 1)
              return roll_back(state, trial, "trial.interrupted",
                               "restarted " + std::to_string(trial_boots_max) + " times during the trial", event.at_ms);
            SlotState next =
                state;  // the worker is gone: prove again, under a new deadline (the clock may have jumped)
            auto& again = std::get<Trial>(next.update);
            again.stage = TrialStage::prove;
            again.boots_left = trial.boots_left - 1;
            again.deadline_ms = event.at_ms + trial.release.policy.trial_deadline_s * ms_per_s;
            return {std::move(next), {Prove{}}};
          },
          [&](const RollingBack& back) -> Step {
            return {state, {GoBack{back.slot}}};
          },
      },
      state.update);
}

// The other slot takes over only when a committed release lies there; a candidate or an erased slot has no entry.
Step slot_damaged(const SlotState& state, const SlotDamaged& event) {
  if (!state.slot(event.slot)) {
    if (const auto* trial = std::get_if<Trial>(&state.update); trial && trial->slot == event.slot)
      return roll_back(state, *trial, "slot.corrupt", event.message, event.at_ms);
    if (const auto* staged = std::get_if<Staged>(&state.update); staged && staged->slot == event.slot)
      return roll_back(state, *staged, "slot.corrupt", event.message, event.at_ms);
    return stay(state);
  }
  SlotState next = state;
  AssignedRelease lost;
  lost.version = state.slot(event.slot)->version;
  lost.manifest_sha256 = state.slot(event.slot)->manifest_sha256;
  lost.rollout = state.slot(event.slot)->rollout;
  report_in_slot(next, lost, ReportState::slot_lost, event.at_ms, event.slot, state.slot(event.slot)->variant,
                 "slot.corrupt", event.message);
  next.slot(event.slot).reset();
  if (state.active != event.slot) return {std::move(next), {}};
  next.active = next.slot(other(event.slot)) ? std::optional(other(event.slot)) : std::nullopt;
  Serve serve{next.active};
  return {std::move(next), {serve}};
}

}  // namespace

bool remembered(std::string_view reason) {
  return reason.starts_with("trial.") || reason.starts_with("gate.") || reason == "contract.mismatch";
}

Step step(const SlotState& state, const Event& event) {
  return std::visit(
      overloaded{
          // in any state
          [&](const auto&, const FloorSeen& e) -> Step {
            SlotState next = state;
            next.floor = std::max(next.floor, e.floor);
            return {std::move(next), {}};
          },
          [&](const auto&, const SlotDamaged& e) -> Step { return slot_damaged(state, e); },
          [&](const auto&, const Restarted& e) -> Step { return restarted(state, e); },
          // idle
          [&](const Idle&, const Assigned& e) -> Step { return assigned_while_idle(state, e); },
          [&](const Idle&, const Recalled& e) -> Step { return recalled(state, e); },
          // downloading
          [&](const Downloading& d, const Assigned& e) -> Step { return assigned_while_downloading(state, d, e); },
          [&](const Downloading&, const InstallBegan& e) -> Step {
            if (e.slot != state.inactive()) return stay(state);
            SlotState next = state;
            next.slot(e.slot).reset();
            return {std::move(next), {}};
          },
          [&](const Downloading& d, const Downloaded& e) -> Step { return downloaded(state, d, e); },
          [&](const Downloading& d, const DownloadFailed& e) -> Step { return download_failed(state, d, e); },
          // The active one is looked at again when the download is over: until then it is the only one to answer.
          [&](const Downloading& d, const Recalled& e) -> Step {
            if (d.release.manifest_sha256 != e.manifest_sha256) return stay(state);
            SlotState next = state;
            if (remembered(e.reason)) reject(next, e.manifest_sha256, d.release.version, e.reason, e.at_ms);
            next.update = Idle{};
            report(next, d.release, ReportState::failed, e.at_ms, e.reason, e.message);
            return {std::move(next), {}};
          },
          [&](const Downloading& d, const Refused& e) -> Step {
            return refuse(state, d.release, e.at_ms, e.reason, e.message);
          },
          // staged
          [&](const Staged& s, const Assigned& e) -> Step { return assigned_while_on_trial(state, s, e); },
          [&](const Staged& s, const TrialBegan& e) -> Step { return trial_began(state, s, e); },
          [&](const Staged& s, const TrialFailed& e) -> Step {
            return roll_back(state, s, e.reason, e.message, e.at_ms);
          },
          [&](const Staged& s, const Recalled& e) -> Step {
            if (s.release.manifest_sha256 != e.manifest_sha256) return stay(state);
            return roll_back(state, s, e.reason, e.message, e.at_ms);
          },
          // trial
          [&](const Trial& t, const Recalled& e) -> Step {
            if (t.release.manifest_sha256 != e.manifest_sha256) return stay(state);
            return roll_back(state, t, e.reason, e.message, e.at_ms);
          },
          [&](const Trial& t, const Assigned& e) -> Step { return assigned_while_on_trial(state, t, e); },
          [&](const Trial& t, const Proved&) -> Step { return proved(state, t); },
          [&](const Trial& t, const Shadowed&) -> Step {
            return t.stage == TrialStage::shadow ? enter_probation(state) : stay(state);
          },
          [&](const Trial& t, const ProbationPassed& e) -> Step { return probation_passed(state, t, e); },
          [&](const Trial& t, const TrialFailed& e) -> Step {
            return roll_back(state, t, e.reason, e.message, e.at_ms);
          },
          [&](const Trial& t, const Ticked& e) -> Step {
            if (e.at_ms < t.deadline_ms) return stay(state);
            return roll_back(state, t, "trial.deadline",
                             "not proved within " + std::to_string(t.release.policy.trial_deadline_s) +
                                 " s, in stage " + std::string(to_string(t.stage)),
                             e.at_ms);
          },
          // rolling back
          [&](const RollingBack& r, const RolledBack& e) -> Step { return rolled_back(state, r, e); },
          // a late or repeated fact
          [&](const auto&, const auto&) -> Step { return stay(state); },
      },
      state.update, event);
}

std::string_view name_of(const Command& command) {
  static constexpr std::array<std::string_view, 8> names{"fetch",     "begin trial", "prove",   "shadow",
                                                         "take over", "commit",      "go back", "serve"};
  return names[command.index()];
}

std::string_view name_of(const Event& event) {
  static constexpr std::array<std::string_view, 16> names{
      "assigned",    "floor seen",   "install began", "downloaded",       "download failed", "refused",
      "trial began", "proved",       "shadowed",      "probation passed", "trial failed",    "ticked",
      "rolled back", "slot damaged", "recalled",      "restarted"};
  return names[event.index()];
}

}  // namespace ferry::ota
