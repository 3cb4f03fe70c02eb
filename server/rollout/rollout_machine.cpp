// One event after the other.
#include "server/rollout/rollout_machine.hpp"

#include "common/clock.hpp"
#include "common/overloaded.hpp"
#include "server/rollout/internal/turn.hpp"
#include "server/rollout/offers.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace ferry::server {
namespace {

// Devices may have been offered the release.
bool has_begun(RolloutStatus status) {
  return status != RolloutStatus::awaiting_approval && status != RolloutStatus::scheduled &&
         status != RolloutStatus::denied;
}

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

Decision on_reported(const Rollout& rollout, const Reported& event, const Selection& selection) {
  Turn turn(rollout, selection, event.at_ms);
  if (event.state == Progress::waiting || event.state == Progress::timed_out) return std::move(turn).finish();
  const Progress now = rollout.progress_of(event.device);
  const bool late_start = now == Progress::timed_out && on_the_way(event.state);
  if (!takes(now, event.state) || late_start) return std::move(turn).finish();
  turn.set(event.device, event.state, event.reason, event.site);
  if (turn.terminal()) return std::move(turn).finish();
  turn.stop_on_failures();
  if (!on_the_way(event.state)) turn.advance();
  return std::move(turn).finish();
}

void on(Turn& turn, const Ticked& event) {
  if (turn.head().status == RolloutStatus::scheduled && event.at_ms >= turn.policy().starts_ms) {
    turn.log("hold", "start", "its time has come");
    turn.start();
  }
  if (turn.terminal() || !has_begun(turn.head().status)) return;
  turn.time_out_silent();
  turn.stop_on_failures();
  turn.advance();
}

// Each action of a person changes something only in the states that allow it; check_action() says so in words.
void on(Turn& turn, const Paused& event) {
  if (!turn.running()) return;
  turn.log("hold", "pause", event.why.empty() ? "paused" : event.why, event.by);
  turn.become(RolloutStatus::paused, "");
}

void on(Turn& turn, const Resumed& event) {
  if (turn.head().status != RolloutStatus::paused) return;
  turn.log("hold", "resume", "resumed", event.by);
  turn.become(RolloutStatus::running, "");
  // Nothing was offered meanwhile: devices get their full time to come and fetch it.
  turn.head().phase_started_ms = event.at_ms;
}

void on(Turn& turn, const Aborted& event) {
  if (turn.terminal()) return;
  turn.log("hold", "abort", event.why.empty() ? "aborted" : event.why, event.by);
  turn.become(RolloutStatus::aborted, std::string(reason_operator_abort));
}

void on(Turn& turn, const RolledBack& event) {
  if (turn.head().recalled || !has_begun(turn.head().status)) return;
  turn.log("fail", "rollback", event.why.empty() ? "rolled back by a person" : event.why, event.by);
  turn.recall(RolloutStatus::aborted, std::string(reason_operator_rollback));
}

void on(Turn& turn, const Promoted& event) {
  // Too few successes wait for just this.
  const bool unsuccessful = turn.head().status == RolloutStatus::paused && turn.head().reason == reason_rollout_success;
  if (!turn.running() && !unsuccessful) return;
  if (unsuccessful) turn.become(RolloutStatus::running, "");
  turn.next_phase("hold", event.by.empty() ? "operator" : event.by, "promoted by a person");
}

void on(Turn& turn, const Approved& event) {
  RolloutHead& head = turn.head();
  if (head.status != RolloutStatus::awaiting_approval) return;
  head.approvals.push_back({event.by, event.at_ms});
  ++head.revision;
  const std::int64_t given = static_cast<std::int64_t>(head.approvals.size());
  turn.log(
      "hold", "approve",
      fmt::format("approval {} of {}{}{}", given, turn.policy().approvals, event.why.empty() ? "" : ": ", event.why),
      event.by);
  if (given >= turn.policy().approvals) turn.start();
}

void on(Turn& turn, const Denied& event) {
  if (turn.head().status != RolloutStatus::awaiting_approval) return;
  turn.log("hold", "deny", event.why.empty() ? "denied" : event.why, event.by);
  turn.become(RolloutStatus::denied, std::string(reason_operator_denied));
}

// Also after the rollout failed for too many failures: it goes on when few enough remain.
void on(Turn& turn, const Retried& event) {
  const RolloutStatus status = turn.head().status;
  const bool failed = status == RolloutStatus::failed && turn.head().reason == reason_rollout_failures;
  if (status != RolloutStatus::running && status != RolloutStatus::paused && !failed) return;
  const std::int64_t again = turn.retry();
  if (again == 0) return;
  turn.log("hold", "retry",
           fmt::format("{} device{} offered it once more{}{}", again, again == 1 ? " is" : "s are",
                       event.why.empty() ? "" : ": ", event.why),
           event.by);
  if (!failed) {
    ++turn.head().revision;
    return;
  }
  turn.become(RolloutStatus::running, "");
  turn.head().phase_started_ms = event.at_ms;
  turn.stop_on_failures();
}

void on(Turn& turn, const Judged& event) { turn.judged(event); }

void on(Turn& turn, const WorldChanged& event) {
  // Whoever resumed it knew of this change; the next one is news again.
  if (!turn.running() || !turn.gate_decides() || turn.head().world_since_ms == event.since_ms) return;
  turn.log("hold", "pause", event.detail);
  turn.head().world_since_ms = event.since_ms;
  turn.become(RolloutStatus::paused, std::string(reason_world_changed));
}

Decision on_offered(const Rollout& rollout, const Offered& event, const Selection& selection) {
  Turn turn(rollout, selection, event.at_ms);
  if (!turn.running() || rollout.progress_of(event.device) != Progress::waiting) return std::move(turn).finish();
  const std::uint64_t rank = rank_of(rollout.plan.salt, event.device);
  const Member* member = selection.find(rank, event.device);
  if (member != nullptr && takes_part(rollout, rollout.head, event.device, rank, member->label_phase))
    turn.set(event.device, Progress::offered, "", event.site);
  return std::move(turn).finish();
}

}  // namespace

bool Decision::changes(const Rollout& rollout) const {
  return !(head == rollout.head) || !devices.empty() || !log.empty();
}

Decision begin(const RolloutPlan& plan, std::int64_t at_ms) {
  const RolloutPolicy& policy = plan.policy;
  Decision decision;
  RolloutHead& head = decision.head;
  std::string waits;
  if (policy.approvals > 0) {
    head.status = RolloutStatus::awaiting_approval;
    waits = fmt::format(", after {} approval{}", policy.approvals, policy.approvals == 1 ? "" : "s");
  } else if (policy.starts_ms > at_ms) {
    head.status = RolloutStatus::scheduled;
  }
  if (policy.starts_ms > at_ms) waits += ", not before " + to_rfc3339(from_unix_ms(policy.starts_ms));
  head.phase_started_ms = at_ms;
  decision.assignments_changed = true;
  decision.log.push_back({at_ms, 0, "hold", "start",
                          fmt::format("{} {} to {}, first {}{}", plan.model, plan.version, plan.selector.text(),
                                      describe(policy.phases.front()), waits),
                          plan.created_by});
  return decision;
}

Decision decide(const Rollout& rollout, const RolloutEvent& event, const Selection& selection) {
  return std::visit(overloaded{[&](const Reported& e) { return on_reported(rollout, e, selection); },
                               [&](const Offered& e) { return on_offered(rollout, e, selection); },
                               [&](const auto& e) {
                                 Turn turn(rollout, selection, e.at_ms);
                                 on(turn, e);
                                 return std::move(turn).finish();
                               }},
                    event);
}

Result<> check_action(const Rollout& rollout, const RolloutEvent& event) {
  if (const auto* approved = std::get_if<Approved>(&event);
      approved != nullptr && rollout.head.status == RolloutStatus::awaiting_approval) {
    if (approved->by == rollout.plan.created_by)
      return Error{Errc::denied,
                   "rollout " + rollout.plan.id + ": " + approved->by + " made it; somebody else must approve it"};
    for (const Approval& before : rollout.head.approvals)
      if (before.by == approved->by)
        return Error{Errc::conflict, "rollout " + rollout.plan.id + ": " + approved->by +
                                         " has approved it; one more person is needed"};
  }
  if (std::holds_alternative<Retried>(event) &&
      std::none_of(rollout.devices.begin(), rollout.devices.end(),
                   [](const auto& entry) { return may_be_retried(entry.second.state); }))
    return Error{Errc::conflict, "rollout " + rollout.plan.id +
                                     ": no device timed out or failed to install; those that tried the release and "
                                     "rejected it never take it again"};
  return {};
}

static void count(Rollout& rollout, const DeviceProgress& progress, std::int64_t by) {
  rollout.counts[static_cast<std::size_t>(progress.state)] += by;
  if (progress.site.empty() || !on_the_way(progress.state)) return;
  const auto place = rollout.at_site.try_emplace(progress.site).first;
  place->second += by;
  if (place->second == 0) rollout.at_site.erase(place);
}

void apply(Rollout& rollout, const Decision& decision) {
  rollout.head = decision.head;
  for (const auto& [device, progress] : decision.devices) {
    auto [entry, fresh] = rollout.devices.try_emplace(device);
    if (!fresh) count(rollout, entry->second, -1);
    entry->second = progress;
    count(rollout, progress, 1);
  }
}

Rollout step(Rollout rollout, const RolloutEvent& event, const Selection& selection) {
  apply(rollout, decide(rollout, event, selection));
  return rollout;
}

}  // namespace ferry::server
