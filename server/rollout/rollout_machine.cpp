// Phases by rank, soak, failures, time-outs; and what each device is assigned.
#include "server/rollout/rollout_machine.hpp"

#include "common/overloaded.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace ferry::server {
namespace {

constexpr std::size_t named_failures_max = 3;  // in one log line

std::string devices_text(std::int64_t count) { return fmt::format("{} device{}", count, count == 1 ? "" : "s"); }

// Does this device take the release in the present phase? In a gated rollout the first phase are the canaries, and
// controls come last; everything else is a matter of rank.
bool takes_part(const Rollout& rollout, const RolloutHead& head, std::string_view device, std::uint64_t rank) {
  if (!head.sized) return false;
  if (!rollout.gated()) return rank <= head.threshold;
  const bool last = head.phase + 1 >= rollout.plan.policy.phases.size();
  switch (rollout.arm_of(device)) {
    case Arm::canary:
      return true;
    case Arm::control:
      return last;
    case Arm::none:
      return head.phase > 0 && rank <= head.threshold;
  }
  return false;
}

// One event's working copy: the rollout as it is, and what this event changes so far.
class Turn {
 public:
  Turn(const Rollout& rollout, const Selection& selection, std::int64_t at_ms)
      : rollout_(rollout), selection_(selection), at_ms_(at_ms), counts_(rollout.counts) {
    decision_.head = rollout.head;
  }

  RolloutHead& head() { return decision_.head; }
  bool running() const { return decision_.head.status == RolloutStatus::running; }
  bool terminal() const { return is_terminal(decision_.head.status); }
  Decision finish() && { return std::move(decision_); }

  // No entry yet, neither before nor in this turn.
  bool waits(std::string_view device) const {
    if (rollout_.devices.contains(device)) return false;
    return std::none_of(decision_.devices.begin(), decision_.devices.end(),
                        [&](const auto& e) { return e.first == device; });
  }

  void set(const std::string& device, Progress state, std::string reason) {
    DeviceProgress progress;
    if (const auto found = rollout_.devices.find(device); found != rollout_.devices.end()) {
      progress = found->second;
      --counts_[static_cast<std::size_t>(progress.state)];
    }
    if (progress.offered_ms == 0) progress.offered_ms = at_ms_;
    progress.state = state;
    progress.since_ms = at_ms_;
    progress.reason = std::move(reason);
    ++counts_[static_cast<std::size_t>(state)];
    decision_.devices.emplace_back(device, std::move(progress));
  }

  void log(std::string verdict, std::string decision, std::string detail, std::string by = {}) {
    decision_.log.push_back(
        {at_ms_, head().phase, std::move(verdict), std::move(decision), std::move(detail), std::move(by)});
  }

  void become(RolloutStatus status, std::string reason) {
    head().status = status;
    head().reason = std::move(reason);
    ++head().revision;
    if (is_terminal(status)) {
      head().ended_ms = at_ms_;
      head().soak_until_ms = 0;
    }
    decision_.assignments_changed = true;
  }

  // The phase grows with the fleet and never shrinks: nobody is un-offered because a neighbour left.
  void size_phase() {
    const std::size_t size = phase_size(selection_.members.size(), phase().percent);
    if (size == 0) return;
    const bool last = phase().percent == 100;
    const std::uint64_t wanted = last ? ~std::uint64_t{0} : selection_.members[size - 1].rank;
    if (head().sized && wanted <= head().threshold) return;
    head().threshold = std::max(head().threshold, wanted);
    head().sized = true;
    decision_.assignments_changed = true;
  }

  // A device that was offered the release and tells nothing more has failed: silence is not success.
  void time_out_silent() {
    const std::int64_t limit_ms = rollout_.plan.policy.device_timeout_s * 1000;
    if (moving() == 0) return;
    for (const auto& [device, progress] : rollout_.devices)
      if (on_the_way(progress.state) && at_ms_ - progress.offered_ms >= limit_ms)
        set(device, Progress::timed_out, std::string(reason_device_timeout));
  }

  // Controls wait until the last phase: from there on there is nothing to compare with, and the gate has spoken.
  bool gate_decides() const {
    return rollout_.gated() && decision_.head.phase + 1 < rollout_.plan.policy.phases.size();
  }

  // Ends the rollout and orders the release off every device that took it.
  void recall(RolloutStatus status, std::string reason) {
    become(status, std::move(reason));
    head().recalled = true;
  }

  void judged(const Judged& event) {
    if (!running() || !gate_decides()) return;
    const bool news = head().gate_reason != event.reason || (event.decision == "pass" && !head().gate_passed);
    head().gate_reason = event.reason;
    for (const std::string& device : event.silent) {
      const auto found = rollout_.devices.find(device);
      if (found != rollout_.devices.end() && found->second.state == Progress::committed && found->second.reason.empty())
        set(device, Progress::committed, std::string(reason_gate_silence));
    }
    if (event.decision == "fail" || event.expired) {
      log(event.decision, "rollback", event.detail);
      recall(RolloutStatus::failed, event.reason);
      return;
    }
    if (news) log(event.decision, "judge", event.detail);
    if (event.decision != "pass") return;
    head().gate_passed = true;
    advance();
  }

  void stop_on_failures() {
    if (terminal() || failures() <= rollout_.plan.policy.failures_max) return;
    log("fail", "stop",
        fmt::format("{} failed, {} {} allowed: {}", devices_text(failures()), rollout_.plan.policy.failures_max,
                    rollout_.plan.policy.failures_max == 1 ? "is" : "are", name_failures()));
    become(RolloutStatus::failed, std::string(reason_rollout_failures));
  }

  // Goes on as far as the facts allow: a phase that adds no device may end in the same turn.
  void advance() {
    for (std::size_t turns = 0; turns <= phases_max && running(); ++turns) {
      size_phase();
      if (!phase_ended()) {
        // A late joiner during the soak: the soak begins again when it is through.
        if (head().soak_until_ms != 0) head().soak_until_ms = 0;
        return;
      }
      if (phase().soak_s > 0 && head().soak_until_ms == 0) {
        head().soak_until_ms = at_ms_ + phase().soak_s * 1000;
        ++head().revision;
        log("hold", "soak",
            fmt::format("phase {} took the release; soaking for {} s", head().phase + 1, phase().soak_s));
      }
      if (at_ms_ < head().soak_until_ms) return;
      next_phase("pass", {}, fmt::format("{} committed, {} failed", count(Progress::committed), failures()));
    }
  }

  void next_phase(std::string verdict, std::string by, const std::string& detail) {
    const bool promoted = !by.empty();
    if (head().phase + 1 >= rollout_.plan.policy.phases.size()) {
      log(std::move(verdict), promoted ? "promote" : "finish", detail, std::move(by));
      become(RolloutStatus::done, "");
      return;
    }
    log(std::move(verdict), promoted ? "promote" : "advance",
        fmt::format("{}; on to {} %", detail, rollout_.plan.policy.phases[head().phase + 1].percent), std::move(by));
    ++head().phase;
    ++head().revision;
    head().phase_started_ms = at_ms_;
    head().soak_until_ms = 0;
    decision_.assignments_changed = true;
    size_phase();
  }

  std::int64_t failures() const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < progress_count; ++i)
      if (counts_as_failed(static_cast<Progress>(i))) sum += counts_[i];
    return sum;
  }

 private:
  const Phase& phase() const { return rollout_.plan.policy.phases[decision_.head.phase]; }
  std::int64_t count(Progress state) const { return counts_[static_cast<std::size_t>(state)]; }
  std::int64_t moving() const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < progress_count; ++i)
      if (on_the_way(static_cast<Progress>(i))) sum += counts_[i];
    return sum;
  }

  bool phase_ended() const {
    if (!decision_.head.sized || moving() > 0 || count(Progress::committed) == 0) return false;
    if (gate_decides() && !decision_.head.gate_passed) return false;
    // Devices which never came to fetch the release hold the phase up only for so long.
    if (at_ms_ - decision_.head.phase_started_ms >= rollout_.plan.policy.device_timeout_s * 1000) return true;
    if (rollout_.gated())
      return std::none_of(selection_.members.begin(), selection_.members.end(), [&](const Member& member) {
        return waits(member.device) && takes_part(rollout_, decision_.head, member.device, member.rank);
      });
    for (const Member& member : selection_.members) {
      if (member.rank > decision_.head.threshold) break;
      if (waits(member.device)) return false;
    }
    return true;
  }

  std::string name_failures() const {
    std::map<std::string, DeviceProgress, std::less<>> changed(decision_.devices.begin(), decision_.devices.end());
    std::string text;
    std::size_t named = 0;
    auto name = [&](const std::string& device, const DeviceProgress& progress) {
      if (!counts_as_failed(progress.state) || named == named_failures_max) return;
      text += (named++ ? ", " : "") +
              (progress.reason.empty() ? std::string(to_string(progress.state)) : progress.reason) + " on " + device;
    };
    for (const auto& [device, progress] : changed) name(device, progress);
    for (const auto& [device, progress] : rollout_.devices)
      if (!changed.contains(device)) name(device, progress);
    if (failures() > static_cast<std::int64_t>(named)) text += ", …";
    return text;
  }

  const Rollout& rollout_;
  const Selection& selection_;
  std::int64_t at_ms_;
  std::array<std::int64_t, progress_count> counts_;
  Decision decision_;
};

// A report may only bring a device forward, or out of a verdict that turned out wrong (it was slow, not dead).
bool takes(Progress now, Progress reported) {
  if (now == reported) return false;
  switch (now) {
    case Progress::waiting:
    case Progress::offered:
    case Progress::timed_out:
      return true;
    case Progress::downloading:
    case Progress::staged:
    case Progress::trial:
      return true;  // an interrupted install starts again
    case Progress::committed:
      return reported == Progress::rolled_back;
    case Progress::rolled_back:
    case Progress::rejected:
    case Progress::failed:
    case Progress::refused:
      return reported == Progress::committed;
  }
  return false;
}

// It had its say about the release itself. One that timed out, or could not be installed, may be asked again.
bool refused_by_device(Progress progress) {
  return progress == Progress::rolled_back || progress == Progress::rejected || progress == Progress::refused;
}

Decision on_reported(const Rollout& rollout, const Reported& event, const Selection& selection) {
  Turn turn(rollout, selection, event.at_ms);
  if (event.state == Progress::waiting || event.state == Progress::timed_out) return std::move(turn).finish();
  const Progress now = rollout.progress_of(event.device);
  const bool late_start = now == Progress::timed_out && on_the_way(event.state);
  if (!takes(now, event.state) || late_start) return std::move(turn).finish();
  turn.set(event.device, event.state, event.reason);
  if (turn.terminal()) return std::move(turn).finish();
  turn.stop_on_failures();
  if (!on_the_way(event.state)) turn.advance();
  return std::move(turn).finish();
}

Decision on_ticked(const Rollout& rollout, const Ticked& event, const Selection& selection) {
  Turn turn(rollout, selection, event.at_ms);
  if (turn.terminal()) return std::move(turn).finish();
  turn.time_out_silent();
  turn.stop_on_failures();
  turn.advance();
  return std::move(turn).finish();
}

}  // namespace

std::size_t phase_size(std::size_t selected, std::int64_t percent) {
  return (selected * static_cast<std::size_t>(percent) + 99) / 100;
}

Selection make_selection(std::string_view salt, std::vector<std::string> devices) {
  Selection selection;
  selection.members.reserve(devices.size());
  for (std::string& device : devices) {
    const std::uint64_t rank = rank_of(salt, device);
    selection.members.push_back(Member{rank, std::move(device)});
  }
  std::sort(selection.members.begin(), selection.members.end(),
            [](const Member& a, const Member& b) { return a.rank != b.rank ? a.rank < b.rank : a.device < b.device; });
  return selection;
}

bool Decision::changes(const Rollout& rollout) const {
  return !(head == rollout.head) || !devices.empty() || !log.empty();
}

Decision begin(const RolloutPlan& plan, std::int64_t at_ms) {
  Decision decision;
  decision.head.phase_started_ms = at_ms;
  decision.assignments_changed = true;
  decision.log.push_back({at_ms, 0, "hold", "start",
                          fmt::format("{} {} to {}, first {} %", plan.model, plan.version, plan.selector.text(),
                                      plan.policy.phases.front().percent),
                          plan.created_by});
  return decision;
}

Decision decide(const Rollout& rollout, const RolloutEvent& event, const Selection& selection) {
  return std::visit(
      overloaded{
          [&](const Ticked& e) { return on_ticked(rollout, e, selection); },
          [&](const Reported& e) { return on_reported(rollout, e, selection); },
          [&](const Offered& e) {
            Turn turn(rollout, selection, e.at_ms);
            if (turn.running() && rollout.progress_of(e.device) == Progress::waiting && in_phase(rollout, e.device))
              turn.set(e.device, Progress::offered, "");
            return std::move(turn).finish();
          },
          [&](const Paused& e) {
            Turn turn(rollout, selection, e.at_ms);
            if (turn.running()) {
              turn.log("hold", "pause", e.why.empty() ? "paused" : e.why, e.by);
              turn.become(RolloutStatus::paused, "");
            }
            return std::move(turn).finish();
          },
          [&](const Resumed& e) {
            Turn turn(rollout, selection, e.at_ms);
            if (turn.head().status == RolloutStatus::paused) {
              turn.log("hold", "resume", "resumed", e.by);
              turn.become(RolloutStatus::running, "");
              // Nothing was offered meanwhile: devices get their full time to come and fetch it.
              turn.head().phase_started_ms = e.at_ms;
            }
            return std::move(turn).finish();
          },
          [&](const Aborted& e) {
            Turn turn(rollout, selection, e.at_ms);
            if (!turn.terminal()) {
              turn.log("hold", "abort", e.why.empty() ? "aborted" : e.why, e.by);
              turn.become(RolloutStatus::aborted, std::string(reason_operator_abort));
            }
            return std::move(turn).finish();
          },
          [&](const RolledBack& e) {
            Turn turn(rollout, selection, e.at_ms);
            if (turn.head().recalled) return std::move(turn).finish();
            turn.log("fail", "rollback", e.why.empty() ? "rolled back by a person" : e.why, e.by);
            turn.recall(RolloutStatus::aborted, std::string(reason_operator_rollback));
            return std::move(turn).finish();
          },
          [&](const Judged& e) {
            Turn turn(rollout, selection, e.at_ms);
            turn.judged(e);
            return std::move(turn).finish();
          },
          [&](const Promoted& e) {
            Turn turn(rollout, selection, e.at_ms);
            if (turn.running()) turn.next_phase("hold", e.by.empty() ? "operator" : e.by, "promoted by a person");
            return std::move(turn).finish();
          },
      },
      event);
}

void apply(Rollout& rollout, const Decision& decision) {
  rollout.head = decision.head;
  for (const auto& [device, progress] : decision.devices) {
    auto [entry, fresh] = rollout.devices.try_emplace(device);
    if (!fresh) --rollout.counts[static_cast<std::size_t>(entry->second.state)];
    entry->second = progress;
    ++rollout.counts[static_cast<std::size_t>(progress.state)];
  }
}

Rollout step(Rollout rollout, const RolloutEvent& event, const Selection& selection) {
  apply(rollout, decide(rollout, event, selection));
  return rollout;
}

bool in_phase(const Rollout& rollout, std::string_view device) {
  return rollout.head.sized && takes_part(rollout, rollout.head, device, rank_of(rollout.plan.salt, device));
}

bool quarantined(const Digest& manifest, const std::vector<const Rollout*>& rollouts) {
  for (const Rollout* rollout : rollouts) {
    if (rollout->plan.manifest_sha256 != manifest) continue;
    // The newest that names it decides.
    return rollout->head.status == RolloutStatus::failed || rollout->head.recalled;
  }
  return false;
}

std::vector<const Rollout*> recalls_for(std::string_view device, const Digest& running_manifest,
                                        const std::vector<const Rollout*>& rollouts) {
  std::vector<const Rollout*> recalls;
  std::vector<Digest> named;  // by a newer rollout
  for (const Rollout* rollout : rollouts) {
    const Digest& manifest = rollout->plan.manifest_sha256;
    if (std::find(named.begin(), named.end(), manifest) != named.end()) continue;
    named.push_back(manifest);
    if (!rollout->head.recalled) continue;
    const Progress progress = rollout->progress_of(device);
    if (progress == Progress::committed || on_the_way(progress) || running_manifest == manifest)
      recalls.push_back(rollout);
  }
  return recalls;
}

std::optional<Choice> assignment_for(std::string_view device, const Labels& labels, const Digest& running_manifest,
                                     const std::vector<const Rollout*>& rollouts) {
  std::vector<Digest> refused;  // by this device, in newer rollouts: an older one must not bring it back
  for (const Rollout* rollout : rollouts) {
    const Digest& manifest = rollout->plan.manifest_sha256;
    if (std::find(refused.begin(), refused.end(), manifest) != refused.end()) continue;
    const Progress progress = rollout->progress_of(device);
    if (refused_by_device(progress)) {
      refused.push_back(manifest);
      continue;
    }
    if (rollout->head.recalled) {
      refused.push_back(manifest);  // nor does an older rollout of the same release
      continue;
    }
    if (progress == Progress::committed) {
      return Choice{rollout, !is_terminal(rollout->head.status), false};  // what it proved it keeps
    }
    switch (rollout->head.status) {
      case RolloutStatus::running:
        if (on_the_way(progress)) return Choice{rollout, true, false};
        if (progress == Progress::waiting && rollout->plan.selector.matches(labels) && in_phase(*rollout, device))
          return Choice{rollout, true, true};
        break;
      case RolloutStatus::paused:  // nobody new; who has begun goes on
        if (on_the_way(progress)) return Choice{rollout, true, false};
        break;
      case RolloutStatus::done: {
        if (on_the_way(progress)) return Choice{rollout, true, false};  // promoted past it: let it end
        if (!rollout->plan.selector.matches(labels)) break;
        if (running_manifest != manifest && quarantined(manifest, rollouts)) break;
        return Choice{rollout, false, false};
      }
      case RolloutStatus::failed:
      case RolloutStatus::aborted:
        break;
    }
  }
  return std::nullopt;
}

}  // namespace ferry::server
