// The trial gate's verdicts over what the activator counted: pure functions.
#pragma once
#include "agent/activator.hpp"
#include "ota/slot_state.hpp"

namespace ferry::agent {

enum class TrialVerdict { wait, pass, fail };
struct TrialJudgement {
  TrialVerdict verdict = TrialVerdict::wait;
  std::string reason;  // reasons.md, when it failed
  std::string message;
};

// A median above the p99 budget is slowness, not noise, from so many copies on.
inline constexpr std::uint64_t shadow_latency_samples_min = 20;

// Fails at once on a crash, and when errors exceed the share even if every request still missing went well.
TrialJudgement judge_shadow(const ota::TrialPolicy& policy, const ShadowReport& report, Duration elapsed,
                            std::optional<std::int64_t> latency_p99_us_max);
TrialJudgement judge_probation(const ota::TrialPolicy& policy, const ProbationReport& report, Duration elapsed);

}  // namespace ferry::agent
