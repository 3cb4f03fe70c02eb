// Shadow and probation verdicts.
#include "agent/trial_judge.hpp"

namespace ferry::agent {
namespace {

TrialJudgement failed(std::string reason, std::string_view absent, std::string message) {
  return {TrialVerdict::fail, reason.empty() ? std::string(absent) : std::move(reason), std::move(message)};
}

// The share is of the requests that the policy waits for, so that one early error is no verdict; but of no more than
// these: a release that fails on everything is not tried a million times.
constexpr double error_horizon_requests_max = 1000;

bool too_many_errors(const ota::TrialPolicy& policy, std::uint64_t errors, std::uint64_t asked, std::int64_t wanted) {
  if (errors == 0) return false;
  auto of = std::max(static_cast<double>(asked), std::min(static_cast<double>(wanted), error_horizon_requests_max));
  return static_cast<double>(errors) * 1e6 > static_cast<double>(policy.error_share_max_ppm) * of;
}

std::string error_words(std::uint64_t errors, std::uint64_t asked, const std::string& message) {
  return std::to_string(errors) + " of " + std::to_string(asked) + " requests failed" +
         (message.empty() ? "" : ": " + message);
}

bool over(std::uint64_t asked, std::int64_t wanted, Duration elapsed, std::int64_t limit_s) {
  return asked >= static_cast<std::uint64_t>(wanted) || elapsed >= std::chrono::seconds{limit_s};
}

}  // namespace

TrialJudgement judge_shadow(const ota::TrialPolicy& policy, const ShadowReport& report, Duration elapsed,
                            std::optional<std::int64_t> latency_p99_us_max) {
  if (report.crashes > 0)
    return failed(report.reason, "trial.crash",
                  "in shadow, after " + std::to_string(report.mirrored) + " requests: " + report.message);
  if (too_many_errors(policy, report.errors, report.mirrored, policy.shadow_requests))
    return failed(report.reason, "trial.errors",
                  "in shadow: " + error_words(report.errors, report.mirrored, report.message));
  if (latency_p99_us_max && report.mirrored >= shadow_latency_samples_min &&
      report.latency_p50_us > static_cast<std::uint64_t>(*latency_p99_us_max))
    return failed("trial.latency", "",
                  "in shadow the median of " + std::to_string(report.mirrored) + " requests was " +
                      std::to_string(report.latency_p50_us) + " us, the budget's p99 is " +
                      std::to_string(*latency_p99_us_max) + " us");
  if (over(report.mirrored, policy.shadow_requests, elapsed, policy.shadow_s_max)) return {TrialVerdict::pass, "", ""};
  return {};
}

TrialJudgement judge_probation(const ota::TrialPolicy& policy, const ProbationReport& report, Duration elapsed) {
  if (report.crashes > 0)
    return failed(report.reason, "trial.crash",
                  "in probation, after " + std::to_string(report.requests) + " requests: " + report.message);
  if (too_many_errors(policy, report.errors, report.requests, policy.probation_requests))
    return failed(report.reason, "trial.errors",
                  "in probation: " + error_words(report.errors, report.requests, report.message));
  if (over(report.requests, policy.probation_requests, elapsed, policy.probation_s))
    return {TrialVerdict::pass, "", ""};
  return {};
}

}  // namespace ferry::agent
