// Names and JSON forms of rollouts.
#include "server/rollout/rollout.hpp"

#include <nlohmann/json.hpp>

namespace ferry::server {
namespace {

constexpr std::array<std::string_view, 5> status_names{"running", "paused", "done", "failed", "aborted"};
constexpr std::array<std::string_view, progress_count> progress_names{"waiting", "offered",   "downloading", "staged",
                                                                      "trial",   "committed", "rolled_back", "rejected",
                                                                      "failed",  "refused",   "timed_out"};

Result<std::vector<Phase>> parse_phases(const Json& list) {
  std::vector<Phase> phases;
  std::int64_t before = 0;
  for (std::size_t index = 0; index < list.size(); ++index) {
    auto parse = [&]() -> Result<Phase> {
      TRY_VOID(only_known_fields(list[index], {"percent", "soak_s"}));
      Phase phase;
      TRY(phase.percent, integer_at(list[index], "percent", 1, 100));
      TRY(phase.soak_s, integer_or(list[index], "soak_s", 0, 0, soak_s_max));
      if (phase.percent <= before)
        return Error{Errc::bad_input, "percent: found " + std::to_string(phase.percent) +
                                          ", expected more than the phase before (" + std::to_string(before) + ")"};
      return phase;
    };
    auto phase = parse();
    if (!phase) return std::move(phase).error().within("policy: phases[" + std::to_string(index) + "]");
    before = phase->percent;
    phases.push_back(*phase);
  }
  if (before != 100) return Error{Errc::bad_input, "policy: phases: the last percent must be 100"};
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

}  // namespace

std::string_view to_string(RolloutStatus status) { return status_names[static_cast<std::size_t>(status)]; }
std::string_view to_string(Progress progress) { return progress_names[static_cast<std::size_t>(progress)]; }

Result<RolloutStatus> parse_rollout_status(std::string_view text) {
  for (std::size_t i = 0; i < status_names.size(); ++i)
    if (status_names[i] == text) return static_cast<RolloutStatus>(i);
  return Error{Errc::bad_input,
               "state: found \"" + std::string(text) + "\", expected running | paused | done | failed | aborted"};
}

Result<Progress> parse_progress(std::string_view text) {
  for (std::size_t i = 0; i < progress_names.size(); ++i)
    if (progress_names[i] == text) return static_cast<Progress>(i);
  return Error{Errc::bad_input,
               "state: \"" + std::string(text.substr(0, 40)) + "\" is no state of a device in a rollout"};
}

Result<RolloutPolicy> parse_rollout_policy(const Json& value) {
  RolloutPolicy policy;
  if (value.is_null()) return policy;
  if (!value.is_object()) return Error{Errc::bad_input, "policy: expected an object"};
  auto parse = [&]() -> Result<> {
    TRY_VOID(only_known_fields(value, {"phases", "failures_max", "device_timeout_s", "trial", "gate"}));
    TRY(policy.failures_max, integer_or(value, "failures_max", policy.failures_max, 0, failures_max_max));
    TRY(policy.device_timeout_s,
        integer_or(value, "device_timeout_s", policy.device_timeout_s, 1, device_timeout_s_max));
    if (auto trial = value.find("trial"); trial != value.end() && !trial->is_null()) {
      auto read = parse_trial(*trial);
      if (!read) return std::move(read).error().within("trial");
      policy.trial = *read;
    }
    if (auto gate = value.find("gate"); gate != value.end() && !gate->is_null()) {
      auto read = parse_live_gate_policy(*gate);
      if (!read) return std::move(read).error().within("gate");
      policy.gate = std::move(*read);
    }
    return {};
  };
  if (auto parsed = parse(); !parsed) return std::move(parsed).error().within("policy");
  if (auto phases = value.find("phases"); phases != value.end() && !phases->is_null()) {
    auto list = array_at(value, "phases", phases_max);
    if (!list) return std::move(list).error().within("policy");
    TRY(policy.phases, parse_phases(**list));
  }
  if (policy.gate && (policy.phases.size() < 2 || policy.phases.front().percent > gated_percent_max))
    return Error{Errc::bad_input, "policy: phases: a live gate needs at least two, the first of at most " +
                                      std::to_string(gated_percent_max) +
                                      " percent: every canary needs a control that waits"};
  return policy;
}

Json to_json(const RolloutPolicy& policy) {
  Json phases = Json::array();
  for (const Phase& phase : policy.phases) phases.push_back({{"percent", phase.percent}, {"soak_s", phase.soak_s}});
  Json json{{"phases", std::move(phases)},
            {"failures_max", policy.failures_max},
            {"device_timeout_s", policy.device_timeout_s},
            {"trial", ota::to_json(policy.trial)}};
  if (policy.gate) json["gate"] = to_json(*policy.gate);
  return json;
}

Arm Rollout::arm_of(std::string_view device) const {
  const auto found = arms.find(device);
  return found == arms.end() ? Arm::none : found->second;
}

void index_pairs(Rollout& rollout) {
  rollout.arms.clear();
  for (const Pair& pair : rollout.plan.pairs) {
    rollout.arms[pair.canary] = Arm::canary;
    rollout.arms[pair.control] = Arm::control;
  }
}

Progress Rollout::progress_of(std::string_view device) const {
  const auto found = devices.find(device);
  return found == devices.end() ? Progress::waiting : found->second.state;
}

std::int64_t Rollout::failures() const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < progress_count; ++i)
    if (counts_as_failed(static_cast<Progress>(i))) sum += counts[i];
  return sum;
}

std::int64_t Rollout::moving() const {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < progress_count; ++i)
    if (on_the_way(static_cast<Progress>(i))) sum += counts[i];
  return sum;
}

Json to_json(const RolloutPlan& plan) {
  return Json{{"id", plan.id},
              {"name", plan.name},
              {"model", plan.model},
              {"version", plan.version},
              {"target", plan.target},
              {"manifest_sha256", plan.manifest_sha256.hex()},
              {"manifest_length", plan.manifest_length},
              {"counter", plan.counter},
              {"from_version", plan.from_version},
              {"selector", plan.selector.text()},
              {"policy", to_json(plan.policy)},
              {"pairs", to_json(plan.pairs)},
              {"salt", plan.salt},
              {"created_ms", plan.created_ms},
              {"created_by", plan.created_by}};
}

Result<RolloutPlan> rollout_plan_from_json(const Json& value) {
  RolloutPlan plan;
  TRY(plan.id, string_at(value, "id"));
  TRY(plan.name, string_at(value, "name"));
  TRY(plan.model, string_at(value, "model"));
  TRY(plan.version, string_at(value, "version"));
  TRY(plan.target, string_at(value, "target"));
  TRY(auto digest, string_at(value, "manifest_sha256"));
  TRY(plan.manifest_sha256, Digest::from_hex(digest));
  TRY(auto length, integer_at(value, "manifest_length", 0));
  plan.manifest_length = static_cast<std::uint64_t>(length);
  TRY(plan.counter, integer_at(value, "counter"));
  TRY(plan.from_version, string_at(value, "from_version"));
  TRY(auto selector, string_at(value, "selector"));
  TRY(plan.selector, Selector::parse(selector));
  TRY(auto policy, object_at(value, "policy"));
  TRY(plan.policy, parse_rollout_policy(*policy));
  if (const auto pairs = value.find("pairs"); pairs != value.end()) {
    TRY(plan.pairs, pairs_from_json(*pairs));
  }
  TRY(plan.salt, string_at(value, "salt"));
  TRY(plan.created_ms, integer_at(value, "created_ms"));
  TRY(plan.created_by, string_at(value, "created_by"));
  return plan;
}

Json to_json(const RolloutHead& head) {
  return Json{{"status", to_string(head.status)},
              {"reason", head.reason},
              {"revision", head.revision},
              {"phase", head.phase},
              {"phase_started_ms", head.phase_started_ms},
              {"soak_until_ms", head.soak_until_ms},
              {"threshold", head.threshold},
              {"sized", head.sized},
              {"ended_ms", head.ended_ms},
              {"gate_passed", head.gate_passed},
              {"gate_reason", head.gate_reason},
              {"recalled", head.recalled}};
}

Result<RolloutHead> rollout_head_from_json(const Json& value) {
  RolloutHead head;
  TRY(auto status, string_at(value, "status"));
  TRY(head.status, parse_rollout_status(status));
  TRY(head.reason, string_at(value, "reason"));
  TRY(head.revision, integer_at(value, "revision"));
  TRY(auto phase, integer_at(value, "phase", 0, phases_max));
  head.phase = static_cast<std::size_t>(phase);
  TRY(head.phase_started_ms, integer_at(value, "phase_started_ms"));
  TRY(head.soak_until_ms, integer_at(value, "soak_until_ms"));
  const auto threshold = value.find("threshold");
  if (threshold == value.end() || !threshold->is_number_integer())
    return Error{Errc::bad_input, "threshold: expected an integer"};
  head.threshold = threshold->get<std::uint64_t>();
  TRY(head.sized, bool_at(value, "sized"));
  TRY(head.ended_ms, integer_at(value, "ended_ms"));
  TRY(head.gate_passed, bool_or(value, "gate_passed", false));
  TRY(head.gate_reason, string_or(value, "gate_reason", ""));
  TRY(head.recalled, bool_or(value, "recalled", false));
  return head;
}

std::uint64_t rank_of(std::string_view salt, std::string_view device) { return hash_rank(salt, device); }

}  // namespace ferry::server
