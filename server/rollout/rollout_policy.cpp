// The policy's JSON, checked field by field.
#include "server/rollout/rollout_policy.hpp"

#include "common/clock.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ferry::server {
namespace {

// The phase before, of the same kind: a phase that holds no device more is a mistake.
struct Before {
  std::int64_t percent = 0;
  std::int64_t devices = 0;
};

Result<std::int64_t> rising(const Json& value, std::string_view key, std::int64_t most, std::int64_t before) {
  TRY(const std::int64_t number, integer_at(value, key, 1, most));
  if (number > before) return number;
  return Error{Errc::bad_input,
               fmt::format("{}: found {}, expected more than the phase before ({})", key, number, before)};
}

Result<Phase> parse_phase(const Json& value, Before& before) {
  TRY_VOID(only_known_fields(value, {"percent", "devices", "selector", "soak_s"}));
  const int kinds = int{value.contains("percent")} + int{value.contains("devices")} + int{value.contains("selector")};
  if (kinds != 1) return Error{Errc::bad_input, "expected one of percent, devices and selector"};
  Phase phase;
  TRY(phase.soak_s, integer_or(value, "soak_s", 0, 0, soak_s_max));
  if (value.contains("percent")) {
    TRY(phase.percent, rising(value, "percent", 100, before.percent));
    before.percent = phase.percent;
  } else if (value.contains("devices")) {
    TRY(phase.devices, rising(value, "devices", phase_devices_max, before.devices));
    before.devices = phase.devices;
  } else {
    TRY(const std::string text, string_at(value, "selector", selector_bytes_max));
    TRY(phase.selector, Selector::parse(text));
    if (phase.selector->everything())
      return Error{Errc::bad_input, "selector: \"*\" is every device; write percent = 100"};
  }
  return phase;
}

Result<std::vector<Phase>> parse_phases(const Json& list) {
  std::vector<Phase> phases;
  Before before;
  for (std::size_t index = 0; index < list.size(); ++index) {
    auto phase = parse_phase(list[index], before);
    if (!phase) return std::move(phase).error().within("phases[" + std::to_string(index) + "]");
    if (!phases.empty() && phases.back().percent == 100)
      return Error{Errc::bad_input, "phases[" + std::to_string(index) + "]: comes after the one of 100 percent"};
    phases.push_back(std::move(*phase));
  }
  if (before.percent != 100) return Error{Errc::bad_input, "phases: the last percent must be 100"};
  return phases;
}

// What is left out is as by default.
Result<ota::TrialPolicy> parse_trial(const Json& given) {
  TRY_VOID(only_known_fields(given, {"trial_deadline_s", "shadow_requests", "shadow_s_max", "probation_requests",
                                     "probation_s", "error_share_max_ppm", "download_attempts_max"}));
  Json whole = ota::to_json(ota::TrialPolicy{});
  whole.update(given);
  return ota::trial_policy_from_json(whole);
}

Result<SiteBudget> parse_site_budget(const Json& value) {
  TRY_VOID(only_known_fields(value, {"label", "devices_max"}));
  SiteBudget budget;
  TRY(budget.label, string_at(value, "label", label_key_bytes_max));
  TRY_VOID(check_label(budget.label, ""));
  TRY(budget.devices_max, integer_or(value, "devices_max", budget.devices_max, 1, in_flight_max_max));
  return budget;
}

Result<Penalty> parse_penalty(const Json& value) {
  TRY_VOID(only_known_fields(value, {"failures", "within_s"}));
  Penalty penalty;
  TRY(penalty.failures, integer_or(value, "failures", penalty.failures, 1, penalty_failures_max));
  TRY(penalty.within_s, integer_or(value, "within_s", penalty.within_s, 1, penalty_s_max));
  return penalty;
}

// Reads a member that may be absent or null into an optional or plain value.
template <class Into, class Parse>
Result<> read_part(const Json& value, const char* key, Into& into, Parse parse) {
  const auto member = value.find(key);
  if (member == value.end() || member->is_null()) return {};
  if (!member->is_object()) return Error{Errc::bad_input, std::string(key) + ": expected an object"};
  auto read = parse(*member);
  if (!read) return std::move(read).error().within(key);
  into = std::move(*read);
  return {};
}

Result<> read_limits(const Json& value, RolloutPolicy& policy) {
  if (const auto share = value.find("failures_percent_max"); share != value.end() && !share->is_null()) {
    TRY(policy.failures_percent_max, integer_at(value, "failures_percent_max", 0, 99));
    policy.failures_max = failures_max_max;  // the share decides, unless the number is told too
  }
  TRY(policy.failures_max, integer_or(value, "failures_max", policy.failures_max, 0, failures_max_max));
  TRY(policy.executed_min, integer_or(value, "executed_min", policy.executed_min, 1, phase_devices_max));
  TRY(policy.success_percent_min, integer_or(value, "success_percent_min", policy.success_percent_min, 0, 100));
  TRY(policy.device_timeout_s, integer_or(value, "device_timeout_s", policy.device_timeout_s, 1, device_timeout_s_max));
  TRY(policy.in_flight_max, integer_or(value, "in_flight_max", policy.in_flight_max, 0, in_flight_max_max));
  TRY(policy.approvals, integer_or(value, "approvals", policy.approvals, 0, approvals_max));
  TRY(const std::string starts_at, string_or(value, "starts_at", "", 32));
  if (starts_at.empty()) return {};
  auto starts = from_rfc3339(starts_at);
  if (!starts) return std::move(starts).error().within("starts_at");
  policy.starts_ms = to_unix_ms(*starts);
  return {};
}

Result<> check_gate(const RolloutPolicy& policy) {
  if (!policy.gate) return {};
  const Phase& first = policy.phases.front();
  if (policy.phases.size() >= 2 && first.percent <= gated_percent_max) return {};
  return Error{Errc::bad_input, "phases: a live gate needs at least two, the first of at most " +
                                    std::to_string(gated_percent_max) +
                                    " percent: every canary needs a control that waits"};
}

}  // namespace

Result<RolloutPolicy> parse_rollout_policy(const Json& value) {
  RolloutPolicy policy;
  if (value.is_null()) return policy;
  if (!value.is_object()) return Error{Errc::bad_input, "policy: expected an object"};
  auto parse = [&]() -> Result<> {
    TRY_VOID(only_known_fields(value, {"phases", "failures_max", "failures_percent_max", "executed_min",
                                       "success_percent_min", "device_timeout_s", "in_flight_max", "site_budget",
                                       "window", "penalty", "starts_at", "approvals", "trial", "gate"}));
    TRY_VOID(read_limits(value, policy));
    TRY_VOID(read_part(value, "site_budget", policy.site_budget, parse_site_budget));
    TRY_VOID(read_part(value, "window", policy.window, parse_weekly_window));
    TRY_VOID(read_part(value, "penalty", policy.penalty, parse_penalty));
    TRY_VOID(read_part(value, "trial", policy.trial, parse_trial));
    TRY_VOID(read_part(value, "gate", policy.gate, parse_live_gate_policy));
    if (auto phases = value.find("phases"); phases != value.end() && !phases->is_null()) {
      TRY(auto list, array_at(value, "phases", phases_max));
      TRY(policy.phases, parse_phases(*list));
    }
    policy.trial.window = policy.window;  // the device keeps to it too
    return check_gate(policy);
  };
  if (auto parsed = parse(); !parsed) return std::move(parsed).error().within("policy");
  return policy;
}

Json to_json(const RolloutPolicy& policy) {
  Json phases = Json::array();
  for (const Phase& phase : policy.phases) {
    Json item{{"soak_s", phase.soak_s}};
    if (phase.selector)
      item["selector"] = phase.selector->text();
    else if (phase.devices != 0)
      item["devices"] = phase.devices;
    else
      item["percent"] = phase.percent;
    phases.push_back(std::move(item));
  }
  Json trial = ota::to_json(policy.trial);
  trial.erase("window");
  Json json{{"phases", std::move(phases)},
            {"failures_max", policy.failures_max},
            {"executed_min", policy.executed_min},
            {"success_percent_min", policy.success_percent_min},
            {"device_timeout_s", policy.device_timeout_s},
            {"in_flight_max", policy.in_flight_max},
            {"approvals", policy.approvals},
            {"trial", std::move(trial)}};
  if (policy.failures_percent_max) json["failures_percent_max"] = *policy.failures_percent_max;
  if (policy.site_budget)
    json["site_budget"] = {{"label", policy.site_budget->label}, {"devices_max", policy.site_budget->devices_max}};
  if (policy.window) json["window"] = to_json(*policy.window);
  if (policy.penalty)
    json["penalty"] = {{"failures", policy.penalty->failures}, {"within_s", policy.penalty->within_s}};
  if (policy.starts_ms != 0) json["starts_at"] = to_rfc3339(from_unix_ms(policy.starts_ms));
  if (policy.gate) json["gate"] = to_json(*policy.gate);
  return json;
}

std::string describe(const Phase& phase) {
  if (phase.selector) return phase.selector->text();
  if (phase.devices != 0) return fmt::format("{} device{}", phase.devices, phase.devices == 1 ? "" : "s");
  return fmt::format("{} %", phase.percent);
}

}  // namespace ferry::server
