// Composes ferry.assignment/1.
#include "server/fleet/assignments.hpp"

namespace ferry::server {
namespace {

constexpr double poll_jitter_share = 0.1;

// Under a live gate only the frozen canaries are canaries; without one, everybody whom a rollout moves.
std::string_view arm_in(const Rollout& rollout, std::string_view device) {
  return rollout.gated() ? to_string(rollout.arm_of(device)) : to_string(Arm::canary);
}

Json entry_of(const Rollout& rollout, std::string_view device, bool by_rollout) {
  const RolloutPlan& plan = rollout.plan;
  return Json{{"model", plan.model},
              {"version", plan.version},
              {"target", plan.target},
              {"sha256", plan.manifest_sha256.hex()},
              {"length", plan.manifest_length},
              {"counter", plan.counter},
              {"rollout", by_rollout ? plan.id : ""},
              {"arm", by_rollout ? arm_in(rollout, device) : to_string(Arm::none)},
              {"phase", by_rollout ? rollout.head.phase : 0},
              {"policy", ota::to_json(plan.policy.trial)}};
}

Json recall_of(const Rollout& rollout) {
  return Json{{"model", rollout.plan.model},
              {"manifest_sha256", rollout.plan.manifest_sha256.hex()},
              {"reason", rollout.head.reason},
              {"message", rollout.plan.version + " was called back by rollout " + rollout.plan.id}};
}

// The running gated rollout in which this device is a control; null: none.
const Rollout* control_in(std::string_view device, const ModelRollouts& rollouts) {
  for (const Rollout* rollout : rollouts)
    if (!is_terminal(rollout->head.status) && !rollout->in_last_phase() && rollout->arm_of(device) == Arm::control)
      return rollout;
  return nullptr;
}

}  // namespace

double poll_after_s(const std::string& device, std::int64_t interval_s) {
  const double share = static_cast<double>(rank_of("poll", device) >> 11) * 0x1p-53;
  const double seconds = static_cast<double>(interval_s) * (1 - poll_jitter_share * share);
  return std::max(0.1, static_cast<double>(static_cast<std::int64_t>(seconds * 1000)) / 1000);
}

// Inside read(). A rollout that makes the device wait is passed over: what came before it still holds.
std::optional<Choice> Assignments::choose(const Device& device, const Labels& labels, const ModelRollouts& rollouts,
                                          Reserve reserve, bool& held_back) const {
  if (rollouts.empty()) return std::nullopt;
  const Digest running = device.running(rollouts.front()->plan.model);
  ModelRollouts without;
  while (true) {
    auto choice = assignment_for(device.id, labels, running, rollouts, without);
    if (!choice || controller_.holds_back(*choice, device, rollouts, reserve) == HoldBack::none) return choice;
    held_back = true;
    without.push_back(choice->rollout);
  }
}

CachedAssignment Assignments::compose(const Device& device) const {
  CachedAssignment answer;
  Json models = Json::array();
  Json recalls = Json::array();
  const auto facts = device.facts();
  controller_.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [model, rollouts] : by_model) {
      const Digest running = device.running(model);
      if (const auto recalled = recalls_for(device.id, running, rollouts); !recalled.empty())
        recalls.push_back(recall_of(*recalled.front()));
      const auto choice = choose(device, facts->labels, rollouts, Reserve::yes, answer.held_back);
      if (!choice) continue;
      models.push_back(entry_of(*choice->rollout, device.id, choice->by_rollout));
      if (choice->to_be_noted) answer.offers.push_back(choice->rollout->plan.id);
    }
  });
  Json assignment{{"format", "ferry.assignment/1"},
                  {"device", device.id},
                  {"models", std::move(models)},
                  {"telemetry_interval_s", telemetry_interval_s_}};
  if (!recalls.empty()) assignment["recalls"] = std::move(recalls);
  auto body = std::make_shared<const std::string>(dump_json(assignment));
  answer.etag = "\"" + sha256(*body).hex().substr(0, 32) + "\"";
  answer.body = std::move(body);
  return answer;
}

std::shared_ptr<const CachedAssignment> Assignments::current(Device& device) {
  // Read before composing: a change in between makes the answer stale at once, never fresh by mistake.
  const std::uint64_t generation = controller_.generation();
  const std::uint64_t version = device.version;
  auto cached = device.cached.load();
  if (!cached || cached->held_back || cached->generation != generation || cached->version != version) {
    CachedAssignment fresh = compose(device);
    fresh.generation = generation;
    fresh.version = version;
    cached = std::make_shared<const CachedAssignment>(std::move(fresh));
    device.cached.store(cached);
  }
  for (const std::string& rollout : cached->offers) controller_.note_offer(rollout, device.id);
  return cached;
}

std::vector<AssignedModel> Assignments::assigned(const Device& device) const {
  std::vector<AssignedModel> list;
  if (device.revoked) return list;
  const auto facts = device.facts();
  controller_.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [model, rollouts] : by_model) {
      bool held_back = false;
      const auto choice = choose(device, facts->labels, rollouts, Reserve::no, held_back);
      if (!choice) continue;
      AssignedModel assigned{model, choice->rollout->plan.version, "", std::string(to_string(Arm::none))};
      const Rollout* rollout = choice->by_rollout ? choice->rollout : control_in(device.id, rollouts);
      if (rollout) {
        assigned.rollout = rollout->plan.id;
        assigned.arm = arm_in(*rollout, device.id);
      }
      list.push_back(std::move(assigned));
    }
  });
  return list;
}

}  // namespace ferry::server
