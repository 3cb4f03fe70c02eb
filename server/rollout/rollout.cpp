// Names and JSON forms of rollouts.
#include "server/rollout/rollout.hpp"

#include <nlohmann/json.hpp>

namespace ferry::server {
namespace {

constexpr std::array<std::string_view, 8> status_names{
    "awaiting_approval", "scheduled", "running", "paused", "done", "failed", "aborted", "denied"};
constexpr std::array<std::string_view, progress_count> progress_names{"waiting", "offered",   "downloading", "staged",
                                                                      "trial",   "committed", "rolled_back", "rejected",
                                                                      "failed",  "refused",   "timed_out"};

}  // namespace

std::string_view to_string(RolloutStatus status) { return status_names[static_cast<std::size_t>(status)]; }
std::string_view to_string(Progress progress) { return progress_names[static_cast<std::size_t>(progress)]; }

Result<RolloutStatus> parse_rollout_status(std::string_view text) {
  for (std::size_t i = 0; i < status_names.size(); ++i)
    if (status_names[i] == text) return static_cast<RolloutStatus>(i);
  return Error{Errc::bad_input, "state: found \"" + std::string(text.substr(0, 40)) +
                                    "\", expected awaiting_approval | scheduled | running | paused | done | failed | "
                                    "aborted | denied"};
}

Result<Progress> parse_progress(std::string_view text) {
  for (std::size_t i = 0; i < progress_names.size(); ++i)
    if (progress_names[i] == text) return static_cast<Progress>(i);
  return Error{Errc::bad_input,
               "state: \"" + std::string(text.substr(0, 40)) + "\" is no state of a device in a rollout"};
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

Json approvals_json(const std::vector<Approval>& approvals) {
  Json list = Json::array();
  for (const Approval& approval : approvals) list.push_back({{"by", approval.by}, {"at_ms", approval.at_ms}});
  return list;
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
              {"recalled", head.recalled},
              {"approvals", approvals_json(head.approvals)},
              {"moved_ms", head.moved_ms},
              {"world_since_ms", head.world_since_ms}};
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
  TRY(head.moved_ms, integer_or(value, "moved_ms", 0));
  TRY(head.world_since_ms, integer_or(value, "world_since_ms", 0));
  if (!value.contains("approvals")) return head;  // written by an older server
  TRY(auto approvals, array_at(value, "approvals", approvals_max));
  for (const Json& item : *approvals) {
    Approval approval;
    TRY(approval.by, string_at(item, "by"));
    TRY(approval.at_ms, integer_at(item, "at_ms"));
    head.approvals.push_back(std::move(approval));
  }
  return head;
}

std::uint64_t rank_of(std::string_view salt, std::string_view device) { return hash_rank(salt, device); }

}  // namespace ferry::server
