// Phases, soak, failures, time-outs.
#include "server/rollout/internal/turn.hpp"

#include "server/rollout/offers.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace ferry::server {
namespace {

constexpr std::size_t named_failures_max = 3;  // in one log line

std::string devices_text(std::int64_t count) { return fmt::format("{} device{}", count, count == 1 ? "" : "s"); }

}  // namespace

Turn::Turn(const Rollout& rollout, const Selection& selection, std::int64_t at_ms)
    : rollout_(rollout), selection_(selection), at_ms_(at_ms), counts_(rollout.counts) {
  decision_.head = rollout.head;
}

// No entry yet, or one that waits, before and in this turn.
bool Turn::waits(std::string_view device) const {
  const auto changed = std::find_if(decision_.devices.rbegin(), decision_.devices.rend(),
                                    [&](const auto& entry) { return entry.first == device; });
  if (changed != decision_.devices.rend()) return changed->second.state == Progress::waiting;
  return rollout_.progress_of(device) == Progress::waiting;
}

bool Turn::takes_part(const Member& member) const {
  return server::takes_part(rollout_, decision_.head, member.device, member.rank, member.label_phase);
}

void Turn::set(const std::string& device, Progress state, std::string reason, const std::string& site) {
  DeviceProgress progress;
  if (const auto found = rollout_.devices.find(device); found != rollout_.devices.end()) {
    progress = found->second;
    --counts_[static_cast<std::size_t>(progress.state)];
  }
  if (state == Progress::waiting) {
    ++progress.attempts;
    progress.offered_ms = 0;
  } else if (progress.offered_ms == 0) {
    progress.offered_ms = at_ms_;
    progress.site = site;
  }
  progress.state = state;
  progress.since_ms = at_ms_;
  progress.reason = std::move(reason);
  ++counts_[static_cast<std::size_t>(state)];
  decision_.devices.emplace_back(device, std::move(progress));
  if (!policy().throttled()) return;
  head().moved_ms = at_ms_;
  // A place is free: somebody who was held back may have it now.
  if (!on_the_way(state)) decision_.assignments_changed = true;
}

void Turn::log(std::string verdict, std::string decision, std::string detail, std::string by) {
  decision_.log.push_back(
      {at_ms_, head().phase, std::move(verdict), std::move(decision), std::move(detail), std::move(by)});
}

void Turn::become(RolloutStatus status, std::string reason) {
  head().status = status;
  head().reason = std::move(reason);
  ++head().revision;
  head().ended_ms = is_terminal(status) ? at_ms_ : 0;
  if (is_terminal(status)) head().soak_until_ms = 0;
  decision_.assignments_changed = true;
}

void Turn::start() {
  if (policy().starts_ms > at_ms_) {
    become(RolloutStatus::scheduled, "");
    return;
  }
  become(RolloutStatus::running, "");
  head().phase_started_ms = at_ms_;
}

void Turn::size_phase() {
  std::uint64_t wanted = head().threshold;
  bool anybody = head().sized;
  if (phase().selector) {
    anybody = anybody || std::any_of(selection_.members.begin(), selection_.members.end(),
                                     [&](const Member& member) { return member.label_phase <= head().phase; });
  } else {
    const std::size_t size = phase_size(selection_.members.size(), phase());
    if (size == 0) return;
    wanted = phase().percent == 100 ? ~std::uint64_t{0} : selection_.members[size - 1].rank;
    anybody = true;
  }
  if (anybody == head().sized && wanted <= head().threshold) return;
  head().threshold = std::max(head().threshold, wanted);
  head().sized = anybody;
  decision_.assignments_changed = true;
}

void Turn::time_out_silent() {
  if (moving() == 0) return;
  for (const auto& [device, progress] : rollout_.devices)
    if (on_the_way(progress.state) && at_ms_ - progress.offered_ms >= policy().patience_ms())
      set(device, Progress::timed_out, std::string(reason_device_timeout));
}

void Turn::recall(RolloutStatus status, std::string reason) {
  become(status, std::move(reason));
  head().recalled = true;
}

void Turn::judged(const Judged& event) {
  if (!gate_decides()) return;
  // A pause offers the release to nobody new; those that took it are watched on, and harm brings them back.
  if (head().status == RolloutStatus::paused && event.decision == "fail") {
    head().gate_reason = event.reason;
    log(event.decision, "rollback", event.detail);
    recall(RolloutStatus::failed, event.reason);
    return;
  }
  if (!running()) return;
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

std::int64_t Turn::retry() {
  std::int64_t again = 0;
  for (const auto& [device, progress] : rollout_.devices) {
    if (!may_be_retried(progress.state)) continue;
    set(device, Progress::waiting, "");
    ++again;
  }
  return again;
}

// The share is of those that have an outcome: devices that are away can neither hide a failure nor make one.
std::optional<std::string> Turn::too_many_failures() const {
  const std::int64_t failed = failures();
  const RolloutPolicy& wanted = policy();
  if (failed > wanted.failures_max)
    return fmt::format("{} failed, {} {} allowed: {}", devices_text(failed), wanted.failures_max,
                       wanted.failures_max == 1 ? "is" : "are", name_failures());
  const std::int64_t executed = failed + count(Progress::committed);
  if (!wanted.failures_percent_max || executed < wanted.executed_min) return std::nullopt;
  if (failed * 100 <= *wanted.failures_percent_max * executed) return std::nullopt;
  return fmt::format("{} of {} failed, {} % are allowed: {}", failed, devices_text(executed),
                     *wanted.failures_percent_max, name_failures());
}

void Turn::stop_on_failures() {
  if (terminal()) return;
  const auto why = too_many_failures();
  if (!why) return;
  log("fail", "stop", *why);
  become(RolloutStatus::failed, std::string(reason_rollout_failures));
}

std::optional<std::string> Turn::too_little_success() const {
  if (policy().success_percent_min == 0) return std::nullopt;
  const auto part = std::count_if(selection_.members.begin(), selection_.members.end(),
                                  [&](const Member& member) { return takes_part(member); });
  if (count(Progress::committed) * 100 >= policy().success_percent_min * part) return std::nullopt;
  return fmt::format("{} of the phase's {} run the release, {} % are needed: retry, promote or abort",
                     count(Progress::committed), devices_text(part), policy().success_percent_min);
}

void Turn::advance() {
  for (std::size_t turns = 0; turns <= phases_max && running(); ++turns) {
    size_phase();
    if (!phase_ended()) {
      // A late joiner during the soak: the soak begins again when it is through.
      if (head().soak_until_ms != 0) head().soak_until_ms = 0;
      return;
    }
    if (const auto why = too_little_success()) {
      log("hold", "pause", *why);
      become(RolloutStatus::paused, std::string(reason_rollout_success));
      return;
    }
    if (phase().soak_s > 0 && head().soak_until_ms == 0) {
      head().soak_until_ms = at_ms_ + phase().soak_s * 1000;
      ++head().revision;
      log("hold", "soak", fmt::format("phase {} took the release; soaking for {} s", head().phase + 1, phase().soak_s));
    }
    if (at_ms_ < head().soak_until_ms) return;
    next_phase("pass", {}, fmt::format("{} committed, {} failed", count(Progress::committed), failures()));
  }
}

void Turn::next_phase(std::string verdict, std::string by, const std::string& detail) {
  const bool promoted = !by.empty();
  if (head().phase + 1 >= policy().phases.size()) {
    log(std::move(verdict), promoted ? "promote" : "finish", detail, std::move(by));
    become(RolloutStatus::done, "");
    return;
  }
  log(std::move(verdict), promoted ? "promote" : "advance",
      fmt::format("{}; on to {}", detail, describe(policy().phases[head().phase + 1])), std::move(by));
  ++head().phase;
  ++head().revision;
  head().phase_started_ms = at_ms_;
  head().soak_until_ms = 0;
  decision_.assignments_changed = true;
  size_phase();
}

std::int64_t Turn::failures() const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < progress_count; ++i)
    if (counts_as_failed(static_cast<Progress>(i))) sum += counts_[i];
  return sum;
}

std::int64_t Turn::moving() const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < progress_count; ++i)
    if (on_the_way(static_cast<Progress>(i))) sum += counts_[i];
  return sum;
}

bool Turn::phase_ended() const {
  if (!decision_.head.sized || moving() > 0 || count(Progress::committed) == 0) return false;
  if (gate_decides() && !decision_.head.gate_passed) return false;
  // Devices which never came to fetch the release hold the phase up only for so long; while others have to make way
  // for them first, the time counts from the last that did.
  const std::int64_t since_ms = std::max(decision_.head.phase_started_ms, decision_.head.moved_ms);
  if (at_ms_ - since_ms >= policy().patience_ms()) return true;
  return std::none_of(selection_.members.begin(), selection_.members.end(),
                      [&](const Member& member) { return takes_part(member) && waits(member.device); });
}

std::string Turn::name_failures() const {
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

}  // namespace ferry::server
