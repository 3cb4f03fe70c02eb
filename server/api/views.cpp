// Puts the views together; nothing here decides.
#include "server/api/views.hpp"

namespace ferry::server::api {

std::int64_t Census::running(const std::string& model, const Digest& manifest) const {
  const auto found = models.find(model);
  if (found == models.end()) return 0;
  const auto release = found->second.find(manifest.hex());
  return release == found->second.end() ? 0 : release->second.running;
}

std::int64_t Census::running(const std::string& model, const Digest& manifest, const std::string& variant) const {
  const auto found = models.find(model);
  if (found == models.end()) return 0;
  const auto release = found->second.find(manifest.hex());
  if (release == found->second.end()) return 0;
  const auto count = release->second.by_variant.find(variant);
  return count == release->second.by_variant.end() ? 0 : count->second;
}

Census take_census(Services& services) {
  Census census;
  for (const DevicePtr& device : services.fleet.all()) {
    if (device->revoked) continue;
    ++census.total;
    std::set<std::string> concerned;
    const auto facts = device->facts();
    for (const Json& entry : facts->models) {
      const std::string model = text_of(entry, "model");
      concerned.insert(model);
      const auto active = object_at(entry, "active");
      if (!active) continue;
      Census::Release& release = census.models[model][text_of(**active, "manifest_sha256")];
      ++release.running;
      ++release.by_variant[text_of(**active, "variant")];
    }
    for (const AssignedModel& assigned : services.assignments.assigned(*device)) concerned.insert(assigned.model);
    for (const std::string& model : concerned) ++census.devices[model];
  }
  return census;
}

std::string_view release_state(const Digest& manifest, const std::vector<const Rollout*>& rollouts) {
  bool newest_done_seen = false;
  bool was_done = false;
  for (const Rollout* rollout : rollouts) {
    const bool same = rollout->plan.manifest_sha256 == manifest;
    const RolloutStatus status = rollout->head.status;
    if (same && !is_terminal(status)) return "rolling_out";
    if (status != RolloutStatus::done) continue;
    if (same && !newest_done_seen && !quarantined(manifest, rollouts)) return "current";
    was_done = was_done || same;
    newest_done_seen = true;
  }
  if (quarantined(manifest, rollouts)) return "quarantined";
  return was_done ? "superseded" : "published";
}

Json timeline_json(const EventRow& row) {
  Json item{{"id", row.id},     {"seq", row.seq},      {"at_ms", row.at_ms}, {"received_ms", row.received_ms},
            {"kind", row.kind}, {"device", row.device}};
  if (auto body = parse_json(row.body); body && body->is_object()) item.update(*body);
  return item;
}

namespace {

// What the device said last, with what the server assigned; models that are only assigned come along too.
Json models_json(Services& services, const Device& device, const DeviceFacts& facts) {
  std::map<std::string, AssignedModel> assigned;
  for (AssignedModel& model : services.assignments.assigned(device)) assigned.emplace(model.model, std::move(model));
  const auto assigned_json = [&](const std::string& model) -> Json {
    const auto found = assigned.find(model);
    if (found == assigned.end()) return nullptr;
    return Json{{"version", found->second.version}, {"rollout", found->second.rollout}, {"arm", found->second.arm}};
  };
  Json models = Json::array();
  for (const Json& known : facts.models) {
    Json entry = known;
    const std::string model = text_of(entry, "model");
    entry["assigned"] = assigned_json(model);
    assigned.erase(model);
    models.push_back(std::move(entry));
  }
  for (const auto& [model, ignored] : assigned)
    models.push_back(Json{{"model", model},
                          {"slots", {{"a", nullptr}, {"b", nullptr}}},
                          {"update", {{"state", "idle"}}},
                          {"rejected", Json::array()},
                          {"last_reason", ""},
                          {"floor", 0},
                          {"assigned", assigned_json(model)}});
  return models;
}

Json counts_json(const std::array<std::int64_t, progress_count>& counts) {
  Json json = Json::object();
  for (std::size_t i = 0; i < progress_count; ++i) json[std::string(to_string(static_cast<Progress>(i)))] = counts[i];
  return json;
}

std::string_view phase_state(const RolloutHead& head, std::size_t phase) {
  if (phase < head.phase) return "done";
  if (phase > head.phase) return "waiting";
  switch (head.status) {
    case RolloutStatus::awaiting_approval:
    case RolloutStatus::scheduled:
    case RolloutStatus::denied:
      return "waiting";
    case RolloutStatus::done:
      return "done";
    case RolloutStatus::failed:
      return "failed";
    case RolloutStatus::aborted:
      return "aborted";
    case RolloutStatus::paused:
      return "paused";
    case RolloutStatus::running:
      break;
  }
  return head.soak_until_ms != 0 ? "soaking" : "running";
}

// Cumulative: a phase holds the devices of those before it.
Json phases_json(const Rollout& rollout, const Selection& selection) {
  using Counts = std::array<std::int64_t, progress_count>;
  std::vector<Counts> own(rollout.plan.policy.phases.size());
  for (std::size_t rank = 0; rank < selection.members.size(); ++rank)
    ++own[phase_of(rollout, selection, rank)]
         [static_cast<std::size_t>(rollout.progress_of(selection.members[rank].device))];
  Json phases = Json::array();
  Counts counts{};
  for (std::size_t i = 0; i < own.size(); ++i) {
    const Phase& phase = rollout.plan.policy.phases[i];
    std::int64_t devices = 0;
    Json present = Json::object();
    for (std::size_t state = 0; state < progress_count; ++state) {
      counts[state] += own[i][state];
      devices += counts[state];
      if (counts[state] != 0) present[std::string(to_string(static_cast<Progress>(state)))] = counts[state];
    }
    phases.push_back(Json{{"percent", phase.percent},
                          {"size", describe(phase)},
                          {"soak_s", phase.soak_s},
                          {"state", phase_state(rollout.head, i)},
                          {"devices", devices},
                          {"counts", std::move(present)}});
  }
  return phases;
}

constexpr std::size_t failed_devices_named_max = 20;

Json failures_json(const Rollout& rollout) {
  std::map<std::string, std::pair<std::int64_t, Json>> by_reason;
  const auto count = [&](const std::string& reason, const std::string& device) {
    auto& [number, devices] = by_reason[reason];
    if (devices.is_null()) devices = Json::array();
    if (++number <= static_cast<std::int64_t>(failed_devices_named_max)) devices.push_back(device);
  };
  // A canary that committed and then fell silent keeps its state and has a reason.
  for (const auto& [device, progress] : rollout.devices)
    if (counts_as_failed(progress.state) || progress.reason == reason_gate_silence) count(progress.reason, device);
  Json failures = Json::array();
  for (auto& [reason, entry] : by_reason)
    failures.push_back(Json{{"reason", reason}, {"count", entry.first}, {"devices", std::move(entry.second)}});
  return failures;
}

// null without a live gate
Json gate_json(const Rollout& rollout) {
  if (!rollout.gated()) return nullptr;
  return Json{
      {"pairs", rollout.plan.pairs.size()}, {"passed", rollout.head.gate_passed}, {"reason", rollout.head.gate_reason}};
}

Json base_json(const Rollout& rollout, const Selection& selection) {
  const RolloutPlan& plan = rollout.plan;
  const RolloutHead& head = rollout.head;
  std::array<std::int64_t, progress_count> counts = rollout.counts;
  std::int64_t waiting = 0;
  for (const Member& member : selection.members)
    waiting += rollout.progress_of(member.device) == Progress::waiting ? 1 : 0;
  counts[static_cast<std::size_t>(Progress::waiting)] = waiting;
  Json devices = counts_json(counts);
  devices["selected"] = selection.members.size();
  return Json{{"id", plan.id},
              {"name", plan.name},
              {"model", plan.model},
              {"version", plan.version},
              {"manifest_sha256", plan.manifest_sha256.hex()},
              {"from_version", plan.from_version},
              {"selector", plan.selector.text()},
              {"state", to_string(head.status)},
              {"reason", head.reason},
              {"revision", head.revision},
              {"created_ms", plan.created_ms},
              {"created_by", plan.created_by},
              {"ended_ms", head.ended_ms},
              {"phase", head.phase},
              {"phase_started_ms", head.phase_started_ms},
              {"soak_until_ms", head.soak_until_ms},
              {"policy", to_json(plan.policy)},
              {"starts_ms", plan.policy.starts_ms},
              {"approvals", approvals_json(head.approvals)},
              {"approvals_needed", plan.policy.approvals},
              {"recalled", head.recalled},
              {"gate", gate_json(rollout)},
              {"devices", std::move(devices)}};
}

}  // namespace

Json device_json(Services& services, const Device& device) {
  const auto facts = device.facts();
  const std::int64_t now_ms = services.now_ms();
  const std::int64_t interval_s = services.config.poll_interval_s;
  return Json{{"id", device.id},
              {"state", to_string(state_of(device, now_ms, interval_s))},
              {"enrolled_ms", device.enrolled_ms},
              {"last_seen_ms", device.last_seen_ms.load()},
              {"online", is_online(device, now_ms, interval_s)},
              {"labels", facts->labels},
              {"hardware_class", facts->hardware_class},
              {"agent_version", facts->agent_version},
              {"models", models_json(services, device, *facts)}};
}

Json rollout_json(Services& services, const Rollout& rollout) {
  return base_json(rollout, services.rollouts.selection_of(rollout));
}

Json rollout_detail_json(Services& services, const Rollout& rollout, const std::vector<Verdict>& log) {
  const Selection selection = services.rollouts.selection_of(rollout);
  Json json = base_json(rollout, selection);
  json["phases"] = phases_json(rollout, selection);
  json["failures"] = failures_json(rollout);
  Json entries = Json::array();
  for (const Verdict& entry : log)
    entries.push_back(Json{{"at_ms", entry.at_ms},
                           {"phase", entry.phase},
                           {"verdict", entry.verdict},
                           {"decision", entry.decision},
                           {"detail", entry.detail},
                           {"by", entry.by}});
  json["log"] = std::move(entries);
  return json;
}

std::size_t phase_of(const Rollout& rollout, const Selection& selection, std::size_t rank_index) {
  const auto& phases = rollout.plan.policy.phases;
  const Member& member = selection.members[rank_index];
  const Arm arm = rollout.arm_of(member.device);
  if (arm == Arm::canary) return 0;
  if (arm == Arm::control) return phases.size() - 1;
  // Under a live gate the first phase are the canaries alone.
  for (std::size_t i = rollout.gated() ? 1 : 0; i < phases.size(); ++i) {
    if (member.label_phase <= i) return i;
    if (!phases[i].selector && rank_index < phase_size(selection.members.size(), phases[i])) return i;
  }
  return phases.size() - 1;
}

}  // namespace ferry::server::api
