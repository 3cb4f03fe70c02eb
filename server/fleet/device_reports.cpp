// Stores what is new in ferry.events/1, takes over ferry.profile/1.
#include "server/fleet/device_reports.hpp"

#include <functional>

namespace ferry::server {
namespace {

constexpr std::size_t text_bytes_max = 256;

// The rollout by which the active release of a status entry came, and its manifest; empty when none serves.
std::pair<std::string, std::string> active_of(const Json& model) {
  const auto active = object_at(model, "active");
  const auto slots = object_at(model, "slots");
  if (!active || !slots) return {};
  const auto slot = object_at(**slots, text_of(**active, "slot"));
  if (!slot) return {};
  return {text_of(**slot, "rollout"), text_of(**active, "manifest_sha256")};
}

// A device that says it runs a release committed through a rollout has committed it, whatever event was lost. Also one
// that ran the release before and was then given it by a rollout: it has nothing else to report.
std::vector<InboxRow> facts_of_slots(const Json& models, const DeviceFacts& before, std::int64_t now_ms) {
  std::vector<InboxRow> facts;
  for (const Json& model : models) {
    const auto active = active_of(model);
    if (active.first.empty()) continue;
    const bool known = std::any_of(before.models.begin(), before.models.end(), [&](const Json& old) {
      return text_of(old, "model") == text_of(model, "model") && active_of(old) == active;
    });
    if (!known) facts.push_back(InboxRow{.rollout = active.first, .state = Progress::committed, .at_ms = now_ms});
  }
  return facts;
}

}  // namespace

Result<std::int64_t> DeviceReports::apply_events(Device& device, std::string_view body) {
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  TRY(EventBatch batch, parse_event_batch(body, now_ms));
  std::lock_guard lock(locks_[std::hash<std::string>{}(device.id) % reports_locks]);
  TRY(std::int64_t applied, store_.applied_seq(device.id, batch.install));
  std::vector<EventRow> rows;
  std::vector<InboxRow> facts;
  Json models;
  std::int64_t alarm_ms = 0;
  const auto before = device.facts();
  for (DeviceEvent& event : batch.events) {
    if (event.row.seq <= applied) continue;  // also a sequence that is twice in one batch
    applied = event.row.seq;
    if (event.fact) facts.push_back(*event.fact);
    if (event.row.kind == "alarm") alarm_ms = now_ms;
    if (event.row.kind == "slots") {
      models = event.body["detail"]["models"];
      for (InboxRow& fact : facts_of_slots(models, *before, now_ms)) facts.push_back(std::move(fact));
      continue;
    }
    event.row.body = dump_json(event.body);
    rows.push_back(std::move(event.row));
  }
  for (InboxRow& fact : facts) fact.device = device.id;
  if (rows.empty() && models.is_null()) return applied;
  const std::string models_text = models.is_null() ? "" : dump_json(models);
  TRY_VOID(database_.transaction([&](Database&) -> Result<> {
    TRY_VOID(store_.add_events(device.id, std::move(rows)));
    TRY_VOID(store_.add_inbox(std::move(facts)));
    if (!models_text.empty()) TRY_VOID(store_.set_models(device.id, models_text));
    if (alarm_ms != 0) TRY_VOID(store_.set_alarm(device.id, alarm_ms));
    return store_.set_applied_seq(device.id, batch.install, applied, now_ms);
  }));
  device.change([&](DeviceFacts& changed) {
    if (!models.is_null()) changed.models = std::move(models);
    if (alarm_ms != 0) changed.alarm_ms = alarm_ms;
  });
  hub_.publish("devices", "changed", device.id);
  hub_.publish("device:" + device.id, "changed", device.id);
  return applied;
}

Result<> DeviceReports::put_profile(Device& device, std::string_view body) {
  TRY(Json profile, parse_json(body, {.bytes_max = profile_bytes_max}));
  TRY(auto format, string_at(profile, "format", text_bytes_max));
  if (format != "ferry.profile/1")
    return Error{Errc::unsupported, "format: found \"" + format + "\", expected ferry.profile/1"};
  TRY(auto hardware_class, string_at(profile, "hardware_class", text_bytes_max));
  TRY(auto architecture, string_at(profile, "architecture", text_bytes_max));
  TRY(auto agent_version, string_or(profile, "agent_version", "", text_bytes_max));
  if (hardware_class.empty() || !hardware_class.starts_with(architecture))
    return Error{Errc::bad_input, "hardware_class: found \"" + hardware_class +
                                      "\", expected one that begins with architecture (\"" + architecture + "\")"};
  const std::string text = dump_json(profile);
  if (device.facts()->profile == text) return {};
  TRY_VOID(store_.set_profile(device.id, text));
  device.change([&](DeviceFacts& facts) {
    facts.profile = text;
    facts.hardware_class = hardware_class;
    facts.agent_version = agent_version;
  });
  hub_.publish("devices", "changed", device.id);
  hub_.publish("device:" + device.id, "changed", device.id);
  return {};
}

Result<> DeviceReports::set_labels(Device& device, const Json& changes, const std::string& by) {
  std::lock_guard lock(locks_[std::hash<std::string>{}(device.id) % reports_locks]);
  Labels labels = device.facts()->labels;
  for (const auto& [key, value] : changes.items()) {
    if (value.is_null()) {
      labels.erase(key);
      continue;
    }
    if (!value.is_string()) return Error{Errc::bad_input, "labels: " + key.substr(0, 80) + ": expected a text or null"};
    const std::string text = value.get<std::string>();
    if (auto checked = check_label(key, text); !checked) return std::move(checked).error().within("labels");
    labels[key] = text;
  }
  if (labels.size() > labels_per_device_max)
    return Error{Errc::bad_input, "labels: more than " + std::to_string(labels_per_device_max)};
  if (labels == device.facts()->labels) return {};
  TRY_VOID(database_.transaction([&](Database&) -> Result<> {
    TRY_VOID(store_.set_labels(device.id, dump_json(Json(labels))));
    return note(device.id, "labelled", Json{{"labels", labels}, {"by", by}});
  }));
  device.change([&](DeviceFacts& facts) { facts.labels = std::move(labels); });
  fleet_.membership_changed();
  return {};
}

Result<> DeviceReports::note(const std::string& device, const std::string& kind, Json detail) {
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  EventRow row{.device = device, .at_ms = now_ms, .received_ms = now_ms, .kind = kind};
  row.body = dump_json(Json{{"detail", std::move(detail)}});
  std::vector<EventRow> rows{std::move(row)};
  return store_.add_events(device, std::move(rows));
}

}  // namespace ferry::server
