// ferry.events/1 from bytes that a device sent: every field typed and bounded, nothing stored yet.
#include "server/fleet/event_batch.hpp"

#include "ota/manifest.hpp"

#include <algorithm>

namespace ferry::server {
namespace {

constexpr std::int64_t seq_max = 9'007'199'254'740'992;  // 2^53
constexpr std::size_t text_bytes_max = 256;
constexpr std::size_t install_bytes_max = 128;
constexpr std::size_t kind_bytes_max = 32;

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

Result<DeviceEvent> parse_event(const Json& item, std::int64_t now_ms) {
  DeviceEvent event;
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
  const auto text = [&](const char* key) { return event.body[key].get<std::string>(); };
  TRY_VOID(ota::check_model_name(text("model")));
  TRY(Progress state, parse_state(text("state")));
  std::string rollout = text("rollout");
  if (rollout.empty() && state == Progress::rolled_back && !text("manifest_sha256").empty())
    rollout = std::string(fact_by_release) + text("manifest_sha256");
  if (!rollout.empty())
    event.fact = InboxRow{.rollout = std::move(rollout), .state = state, .reason = text("reason"), .at_ms = now_ms};
  return event;
}

}  // namespace

Result<EventBatch> parse_event_batch(std::string_view body, std::int64_t now_ms) {
  TRY(Json document, parse_json(body, {.bytes_max = events_body_bytes_max}));
  TRY(auto format, string_at(document, "format", text_bytes_max));
  if (format != "ferry.events/1")
    return Error{Errc::unsupported, "format: found \"" + format + "\", expected ferry.events/1"};
  EventBatch batch;
  TRY(batch.install, string_at(document, "install", install_bytes_max));
  if (batch.install.empty()) return Error{Errc::bad_input, "install: empty"};
  TRY(auto events, array_at(document, "events", events_per_batch_max));
  for (std::size_t i = 0; i < events->size(); ++i) {
    auto event = parse_event((*events)[i], now_ms);
    if (!event) return std::move(event).error().within("events[" + std::to_string(i) + "]");
    batch.events.push_back(std::move(*event));
  }
  std::stable_sort(batch.events.begin(), batch.events.end(),
                   [](const DeviceEvent& a, const DeviceEvent& b) { return a.row.seq < b.row.seq; });
  return batch;
}

}  // namespace ferry::server
