// Devices for operators: find, look, label, revoke.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"
#include "server/api/views.hpp"

#include <algorithm>
#include <charconv>

namespace ferry::server::api {
namespace {

constexpr std::size_t rollouts_per_device_max = 20;

Error not_there(const std::string& id) { return Error{Errc::not_found, "device " + id.substr(0, 80) + ": not known"}; }

struct Filter {
  std::string text, model, version, state, label_key, label_value;
};

Result<Filter> filter_of(const http::Request& request) {
  Filter filter{query_of(request, "q"),
                query_of(request, "model"),
                query_of(request, "version"),
                query_of(request, "state"),
                "",
                ""};
  constexpr std::string_view states[] = {"", "new", "ok", "updating", "attention", "offline", "revoked"};
  if (std::find(std::begin(states), std::end(states), filter.state) == std::end(states))
    return Error{Errc::bad_input, "state: found \"" + filter.state.substr(0, 40) +
                                      "\", expected new | ok | updating | attention | offline | revoked"};
  const std::string label = query_of(request, "label");
  if (!label.empty()) {
    const std::size_t colon = label.find(':');
    if (colon == std::string::npos)
      return Error{Errc::bad_input, "label: found \"" + label.substr(0, 80) + "\", expected <name>:<value>"};
    filter.label_key = label.substr(0, colon);
    filter.label_value = label.substr(colon + 1);
  }
  return filter;
}

bool runs(const DeviceFacts& facts, const std::string& model, const std::string& version) {
  for (const Json& entry : facts.models) {
    if (!model.empty() && text_of(entry, "model") != model) continue;
    if (version.empty()) return true;
    const auto active = object_at(entry, "active");
    if (active && text_of(**active, "version") == version) return true;
  }
  return false;
}

bool has_text(const Device& device, const DeviceFacts& facts, const std::string& text) {
  if (device.id.find(text) != std::string::npos || facts.hardware_class.find(text) != std::string::npos) return true;
  return std::any_of(facts.labels.begin(), facts.labels.end(),
                     [&](const auto& label) { return label.second.find(text) != std::string::npos; });
}

bool wanted(Services& services, const Device& device, const Filter& filter) {
  const auto facts = device.facts();
  if (!filter.text.empty() && !has_text(device, *facts, filter.text)) return false;
  if ((!filter.model.empty() || !filter.version.empty()) && !runs(*facts, filter.model, filter.version)) return false;
  if (!filter.label_key.empty()) {
    const auto label = facts->labels.find(filter.label_key);
    if (label == facts->labels.end() || label->second != filter.label_value) return false;
  }
  if (filter.state.empty()) return true;
  return to_string(state_of(device, services.now_ms(), services.config.poll_interval_s)) == filter.state;
}

Json rollouts_of(Services& services, const Device& device) {
  std::vector<std::pair<std::int64_t, Json>> found;
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [model, rollouts] : by_model)
      for (const Rollout* rollout : rollouts) {
        const auto progress = rollout->devices.find(device.id);
        if (progress == rollout->devices.end()) continue;
        found.emplace_back(rollout->plan.created_ms, Json{{"id", rollout->plan.id},
                                                          {"model", model},
                                                          {"version", rollout->plan.version},
                                                          {"state", to_string(progress->second.state)},
                                                          {"reason", progress->second.reason}});
      }
  });
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  Json list = Json::array();
  for (auto& [at_ms, entry] : found)
    if (list.size() < rollouts_per_device_max) list.push_back(std::move(entry));
  return list;
}

Result<Json> detail_json(Services& services, const Device& device) {
  Json json = device_json(services, device);
  const auto facts = device.facts();
  json["profile"] = nullptr;
  if (auto profile = parse_json(facts->profile)) json["profile"] = std::move(*profile);
  json["certificate"] = nullptr;
  if (const auto certificates = services.fleet.certificates_of(device.id); !certificates.empty())
    json["certificate"] =
        Json{{"fingerprint", certificates.back().fingerprint}, {"not_after_ms", certificates.back().not_after_ms}};
  json["rollouts"] = rollouts_of(services, device);
  TRY(auto totals, services.telemetry.totals(device.id));
  Json telemetry = Json::array();
  for (const DeviceTotal& total : totals) {
    Json entry = summary_of(total.window);
    entry["model"] = total.window.key.model;
    entry["version"] = total.window.key.version;
    entry["last_window_ms"] = total.last_window_ms;
    telemetry.push_back(std::move(entry));
  }
  json["telemetry"] = std::move(telemetry);
  return json;
}

void tell(Services& services, const std::string& device) {
  services.hub->publish("devices", "changed", device);
  services.hub->publish("device:" + device, "changed", device);
  services.hub->publish("overview", "changed", "");
}

}  // namespace

Result<http::Response> list_devices(Services& services, const http::Request& request) {
  TRY(auto page, page_of(request));
  TRY(auto filter, filter_of(request));
  auto devices = services.fleet.page(page.cursor, page.limit + 1,
                                     [&](const Device& device) { return wanted(services, device, filter); });
  const bool more = devices.size() > page.limit;
  if (more) devices.pop_back();
  Json items = Json::array();
  for (const DevicePtr& device : devices) items.push_back(device_json(services, *device));
  return list_response(std::move(items), more ? devices.back()->id : "");
}

Result<http::Response> get_device(Services& services, const http::Request& request) {
  const DevicePtr device = services.fleet.find(request.params.at("id"));
  if (!device) return not_there(request.params.at("id"));
  TRY(auto json, detail_json(services, *device));
  return http::json_response(json);
}

Result<http::Response> get_device_timeline(Services& services, const http::Request& request) {
  const DevicePtr device = services.fleet.find(request.params.at("id"));
  if (!device) return not_there(request.params.at("id"));
  TRY(auto page, page_of(request));
  std::int64_t before = 0;
  if (!page.cursor.empty()) {
    const auto [end, failed] = std::from_chars(page.cursor.data(), page.cursor.data() + page.cursor.size(), before);
    if (failed != std::errc{} || end != page.cursor.data() + page.cursor.size() || before < 1)
      return Error{Errc::bad_input, "cursor: not one that this list gave out"};
  }
  DeviceStore store(services.database);
  TRY(auto rows, store.events(device->id, before, static_cast<std::int64_t>(page.limit) + 1));
  const bool more = rows.size() > page.limit;
  if (more) rows.pop_back();
  Json items = Json::array();
  for (const EventRow& row : rows) items.push_back(timeline_json(row));
  return list_response(std::move(items), more ? std::to_string(rows.back().id) : "");
}

Result<http::Response> patch_device(Services& services, const http::Request& request) {
  const DevicePtr device = services.fleet.find(request.params.at("id"));
  if (!device) return not_there(request.params.at("id"));
  TRY(auto body, body_object(request));
  TRY_VOID(only_known_fields(body, {"labels"}));
  TRY(auto changes, object_at(body, "labels"));
  TRY_VOID(services.reports.set_labels(*device, *changes, caller_name(services, request)));
  tell(services, device->id);
  return get_device(services, request);
}

Result<http::Response> act_on_device(Services& services, const http::Request& request) {
  const auto [id, action] = split_action(request.params.at("id"));
  if (action != "revoke")
    return Error{Errc::not_found, "device action \"" + action.substr(0, 40) + "\": expected <id>:revoke"};
  TRY_VOID(services.enrolment.revoke(id, caller_name(services, request)));
  services.log.info("device revoked", {{"device", id}, {"by", caller_name(services, request)}});
  tell(services, id);
  http::Request look = request;
  look.params["id"] = id;
  return get_device(services, look);
}

}  // namespace ferry::server::api
