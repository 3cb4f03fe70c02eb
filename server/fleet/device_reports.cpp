// Parses ferry.events/1 and ferry.profile/1, stores what is new.
#include "server/fleet/device_reports.hpp"

#include "ota/manifest.hpp"

#include <functional>

namespace ferry::server {
namespace {

constexpr std::int64_t seq_max = 9'007'199'254'740'992;  // 2^53
constexpr std::size_t text_bytes_max = 256;
constexpr std::size_t install_bytes_max = 128;
constexpr std::size_t kind_bytes_max = 32;

struct Event {
  EventRow row;
  Json body;                     // as stored
  std::optional<InboxRow> fact;  // for a rollout
};

struct Batch {
  std::string install;
  std::vector<Event> events;  // by rising seq
};

// The server's own kinds (enrolled, revoked …) are not for a device to write into its timeline.
Result<> check_kind(const std::string& kind) {
  if (kind == "update" || kind == "slots" || kind == "started" || kind == "alarm") return {};
  return Error{Errc::bad_input, "kind: found \"" + kind + "\", expected update | slots | started | alarm"};
}

// `state` of an update event; the agent's words are the rollout's.
Result<Progress> parse_state(const std::string& text) {
  auto state = parse_progress(text);
  if (!state || *state < Progress::downloading || *state > Progress::refused)
    return Error{
        Errc::bad_input,
        "state: found \"" + text.substr(0, 40) +
            "\", expected downloading | staged | trial | committed | rolled_back | rejected | failed | refused"};
  return state;
}

Result<> check_slots(const Json& detail) {
  TRY(auto models, array_at(detail, "models", models_per_device_max));
  for (std::size_t i = 0; i < models->size(); ++i) {
    auto name = string_at((*models)[i], "model", text_bytes_max);
    auto checked = name ? ota::check_model_name(*name) : Result<>(std::move(name).error());
    if (!checked) return std::move(checked).error().within("models[" + std::to_string(i) + "]");
  }
  return {};
}

Result<Event> parse_event(const Json& item, std::int64_t now_ms) {
  Event event;
  TRY(event.row.seq, integer_at(item, "seq", 1, seq_max));
  TRY(event.row.at_ms, integer_or(item, "at_ms", 0, 0, seq_max));
  TRY(event.row.kind, string_at(item, "kind", kind_bytes_max));
  TRY_VOID(check_kind(event.row.kind));
  event.row.received_ms = now_ms;
  event.body = Json::object();
  for (const char* key : {"model", "version", "manifest_sha256", "rollout", "state", "reason", "variant", "slot"}) {
    TRY(std::string text, string_or(item, key, "", text_bytes_max));
    event.body[key] = std::move(text);
  }
  Json detail = Json::object();
  if (const auto given = item.find("detail"); given != item.end() && given->is_object()) detail = *given;
  const std::size_t limit = event.row.kind == "slots" ? slots_detail_bytes_max : event_detail_bytes_max;
  if (dump_json(detail).size() > limit)
    return Error{Errc::bad_input, "detail: longer than " + std::to_string(limit) + " bytes"};
  if (event.row.kind == "slots") {
    if (auto checked = check_slots(detail); !checked) return std::move(checked).error().within("detail");
  }
  event.body["detail"] = std::move(detail);
  if (event.row.kind != "update") return event;
  TRY_VOID(ota::check_model_name(text_of(event.body, "model")));
  TRY(Progress state, parse_state(text_of(event.body, "state")));
  if (const std::string rollout = text_of(event.body, "rollout"); !rollout.empty())
    event.fact = InboxRow{.rollout = rollout, .state = state, .reason = text_of(event.body, "reason"), .at_ms = now_ms};
  return event;
}

Result<Batch> parse_batch(std::string_view body, std::int64_t now_ms) {
  TRY(Json document, parse_json(body, {.bytes_max = events_body_bytes_max}));
  TRY(auto format, string_at(document, "format", text_bytes_max));
  if (format != "ferry.events/1")
    return Error{Errc::unsupported, "format: found \"" + format + "\", expected ferry.events/1"};
  Batch batch;
  TRY(batch.install, string_at(document, "install", install_bytes_max));
  if (batch.install.empty()) return Error{Errc::bad_input, "install: empty"};
  TRY(auto events, array_at(document, "events", events_per_batch_max));
  for (std::size_t i = 0; i < events->size(); ++i) {
    auto event = parse_event((*events)[i], now_ms);
    if (!event) return std::move(event).error().within("events[" + std::to_string(i) + "]");
    batch.events.push_back(std::move(*event));
  }
  std::stable_sort(batch.events.begin(), batch.events.end(),
                   [](const Event& a, const Event& b) { return a.row.seq < b.row.seq; });
  return batch;
}

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
  TRY(Batch batch, parse_batch(body, now_ms));
  std::lock_guard lock(locks_[std::hash<std::string>{}(device.id) % reports_locks]);
  TRY(std::int64_t applied, store_.applied_seq(device.id, batch.install));
  std::vector<EventRow> rows;
  std::vector<InboxRow> facts;
  Json models;
  std::int64_t alarm_ms = 0;
  const auto before = device.facts();
  for (Event& event : batch.events) {
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
