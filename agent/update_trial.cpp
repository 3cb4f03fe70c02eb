// The update driver's commands that talk to the activator: prove, shadow, take over, commit, go back, serve.
#include "agent/trial_judge.hpp"
#include "agent/update_driver.hpp"

namespace ferry::agent {

// Bytes may come at any time; what the device does with its model it does inside the window.
UpdateDriver::CommandResult UpdateDriver::run_one(const ota::BeginTrial&) {
  const auto* staged = std::get_if<ota::Staged>(&state_.update);
  if (staged != nullptr && staged->release.policy.window) {
    const Instant now = ports_.clock.now();
    if (!is_open(*staged->release.policy.window, to_unix_ms(now), ports_.clock.utc_offset_s(now)))
      return CommandResult::again_later;
  }
  feed(ota::TrialBegan{now_ms()});
  return CommandResult::done;
}

UpdateDriver::CommandResult UpdateDriver::run_one(const ota::Prove&) {
  const auto* trial = std::get_if<ota::Trial>(&state_.update);
  if (trial == nullptr) return CommandResult::done;
  auto release = candidate();
  if (!release) {
    feed(ota::SlotDamaged{trial->slot, release.error().context, now_ms()});
    return CommandResult::done;
  }
  Duration limit{std::max<std::int64_t>(1, trial->deadline_ms - now_ms())};
  begin_busy(trial->release.manifest_sha256);
  auto proved =
      interrupted() ? Result<>(Error{Errc::cancelled, "cancelled"}) : ports_.activator.prove(*release, limit, cancel_);
  end_busy();
  latency_p99_us_max_.reset();
  if (proved) {
    if (const auto* variant = release->manifest->variant(release->variant))
      latency_p99_us_max_ = variant->budget.latency_p99_us;
    feed(ota::Ticked{now_ms()});  // a proof that came too late is none
    feed(ota::Proved{});
  } else if (proved.error().code == Errc::cancelled) {
    return sleeper_.stopped() ? CommandResult::interrupted : CommandResult::again_later;
  } else {
    trial_failed(proved.error(), proved.error().code == Errc::timeout ? "trial.deadline" : "trial.load");
  }
  return CommandResult::done;
}

UpdateDriver::CommandResult UpdateDriver::run_one(const ota::Shadow&) {
  auto begun = ports_.activator.begin_shadow(model_);
  if (!begun) trial_failed(begun.error(), "trial.crash");
  stage_began_ = ports_.clock.monotonic();
  return CommandResult::done;
}

UpdateDriver::CommandResult UpdateDriver::run_one(const ota::TakeOver&) {
  auto taken = ports_.activator.take_over(model_);
  if (!taken) trial_failed(taken.error(), "trial.crash");
  stage_began_ = ports_.clock.monotonic();
  return CommandResult::done;
}

UpdateDriver::CommandResult UpdateDriver::run_one(const ota::Commit& commit) {
  if (state_.active != commit.slot) return CommandResult::done;
  auto release = active();
  if (!release) {
    feed(ota::SlotDamaged{commit.slot, release.error().context, now_ms()});
    return CommandResult::done;
  }
  if (auto committed = ports_.activator.commit(*release); !committed)
    ports_.log.error("the active release does not serve", {{"model", model_}, {"error", committed.error().context}});
  return CommandResult::done;
}

UpdateDriver::CommandResult UpdateDriver::run_one(const ota::GoBack& back) {
  ports_.activator.fall_back(model_);
  if (auto erased = store_.erase(back.slot); !erased) {
    ports_.log.error("slot not erased", {{"model", model_}, {"error", erased.error().context}});
    return CommandResult::again_later;
  }
  feed(ota::RolledBack{now_ms()});
  return CommandResult::done;
}

UpdateDriver::CommandResult UpdateDriver::run_one(const ota::Serve& serve) {
  if (!serve.slot) {
    ports_.activator.stop(model_);
    return CommandResult::done;
  }
  auto release = active();
  if (!release) {
    feed(ota::SlotDamaged{*serve.slot, release.error().context, now_ms()});
    return CommandResult::done;
  }
  if (auto started = ports_.activator.start(*release); !started)
    ports_.log.error("the active release does not start", {{"model", model_}, {"error", started.error().context}});
  return CommandResult::done;
}

void UpdateDriver::trial_failed(const Error& error, std::string_view absent_reason) {
  std::string reason = error.reason.empty() ? std::string(absent_reason) : error.reason;
  feed(ota::TrialFailed{std::move(reason), error.context, now_ms()});
}

void UpdateDriver::watch_trial() {
  const auto* trial = std::get_if<ota::Trial>(&state_.update);
  if (trial == nullptr || sleeper_.stopped()) return;
  auto elapsed = std::chrono::duration_cast<Duration>(ports_.clock.monotonic() - stage_began_);
  TrialJudgement judgement;
  if (trial->stage == ota::TrialStage::shadow) {
    judgement =
        judge_shadow(trial->release.policy, ports_.activator.shadow_report(model_), elapsed, latency_p99_us_max_);
  } else if (trial->stage == ota::TrialStage::probation) {
    judgement = judge_probation(trial->release.policy, ports_.activator.probation_report(model_), elapsed);
  }
  // What went wrong says more than the deadline; what went well counts only before it.
  if (judgement.verdict == TrialVerdict::fail) feed(ota::TrialFailed{judgement.reason, judgement.message, now_ms()});
  feed(ota::Ticked{now_ms()});
  if (judgement.verdict != TrialVerdict::pass) return;
  if (trial->stage == ota::TrialStage::shadow)
    feed(ota::Shadowed{});
  else
    feed(ota::ProbationPassed{now_ms()});
}

}  // namespace ferry::agent
