// A verdict in sentences, for `ferry rollout explain` and the dashboard.
#include "telemetry/judge_record.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ferry::telemetry {
namespace {

std::string percent(std::int64_t uoct) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f %%", 100 * (std::exp2(double(uoct) / 1e6) - 1));
  return text;
}

// exp(1e6 nats) does not print; beyond a million the number says nothing more to a person.
std::string e_value(std::int64_t unats) {
  const double nats = double(unats) / 1e6;
  if (nats > std::log(1e6)) return "over 1000000";
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", std::exp(nats));
  return text;
}

std::string pairs_text(std::int64_t pairs) { return std::to_string(pairs) + (pairs == 1 ? " pair" : " pairs"); }

const EComponent& strongest(const EGroup& group) {
  return *std::max_element(group.parts.begin(), group.parts.end(),
                           [](const EComponent& a, const EComponent& b) { return a.log_e_unats < b.log_e_unats; });
}

std::string harm_text(const Verdict& verdict, std::string_view group_name) {
  for (const EGroup& group : verdict.groups) {
    if (group.name != group_name) continue;
    const EComponent& part = strongest(group);
    return std::string(group_name) + ": strongest in " + part.name + ", where " + std::to_string(part.up) +
           " canaries did worse than their control beyond the margin and " + std::to_string(part.down) +
           " did not (e-value " + e_value(part.log_e_unats) + ")";
  }
  return std::string(group_name);
}

std::string reason_text(GateReason reason, const VerdictRecord& record) {
  const Verdict& verdict = record.verdict;
  const JudgePolicy& policy = record.evidence.policy;
  const PairCounts& pairs = verdict.pairs;
  switch (reason) {
    case GateReason::latency:
      return harm_text(verdict, "latency");
    case GateReason::errors:
      return harm_text(verdict, "errors");
    case GateReason::accuracy:
      return harm_text(verdict, "accuracy");
    case GateReason::silence:
      return harm_text(verdict, "silence");
    case GateReason::hand_picked:
      return "the canaries were chosen by hand, so a difference may be theirs and not the release's: a person decides";
    case GateReason::small_fleet:
      return pairs_text(pairs.planned) + " planned, fewer than " + std::to_string(policy.pairs_min) +
             ": no test on so few pairs can reach the level, whatever happens; a person decides";
    case GateReason::silent_canaries:
      return std::to_string(pairs.silent_canaries) + " of " + std::to_string(pairs.started) +
             " canaries are silent or failed, more than the policy allows";
    case GateReason::world_changed:
      return "canaries and controls moved alike: the inputs changed, not only the release";
    case GateReason::few_pairs:
      return std::to_string(pairs.complete) + " complete pairs, " + std::to_string(pairs.required) + " needed";
    case GateReason::too_young:
      return "watched for " + std::to_string(record.evidence.age_s) + " s, " + std::to_string(policy.age_pass_min_s) +
             " s needed";
    case GateReason::certified:
      return "every guarded metric is certified within its margin";
    case GateReason::no_harm_found:
      return "no harm found on " + pairs_text(pairs.complete);
  }
  return {};
}

void explain_small_fleet(const VerdictRecord& record, std::vector<std::string>& text) {
  for (const PairEvidence& pair : record.evidence.pairs) {
    if (!pair.within) continue;
    text.push_back(pair.canary + " against its own past, slower by more than " +
                   percent(record.evidence.policy.within_device_margin_uoct) + ": e-value " +
                   e_value(pair.within->p50_unats) + " at the median, " + e_value(pair.within->p99_unats) +
                   " at p99 (20 or more is strong evidence, of this device's hour as much as of the release)");
  }
}

}  // namespace

std::vector<std::string> explain(const VerdictRecord& record) {
  const Verdict& verdict = record.verdict;
  std::vector<std::string> text{std::string(to_string(verdict.decision)) + ": evidence of harm has e-value " +
                                e_value(verdict.log_e_unats) + ", harm from " + e_value(verdict.threshold_unats) +
                                " on"};
  for (const GateReason reason : verdict.reasons)
    text.push_back(std::string(to_string(reason)) + ": " + reason_text(reason, record));
  if (verdict.smallest_effect_uoct > 0) {
    text.push_back("had every canary been " + percent(verdict.smallest_effect_uoct) +
                   " slower, this evidence would have failed the release");
  }
  if (verdict.expired) text.push_back("the policy's time limit has passed: the rollout ends undecided");
  for (const PairEvidence& pair : record.evidence.pairs) {
    if (pair.started && pair.canary_silent) text.push_back(pair.canary + " is silent or failed since the update");
  }
  if (verdict.pairs.planned < record.evidence.policy.pairs_min) explain_small_fleet(record, text);
  return text;
}

}  // namespace ferry::telemetry
