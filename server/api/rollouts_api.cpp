// Rollouts: create, look, steer.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"
#include "server/api/views.hpp"

#include <algorithm>
#include <charconv>

namespace ferry::server::api {
namespace {

constexpr std::size_t action_reason_bytes_max = 500;

std::string etag_of(std::int64_t revision) { return "\"" + std::to_string(revision) + "\""; }

Result<http::Response> show(Services& services, const std::string& id, int status) {
  TRY(auto rollout, services.rollouts.find(id));
  TRY(auto log, services.rollouts.log_of(id));
  if (log.size() > static_cast<std::size_t>(rollout_log_shown_max))
    log.resize(static_cast<std::size_t>(rollout_log_shown_max));
  http::Response response = http::json_response(rollout_detail_json(services, rollout, log), status);
  response.headers["ETag"] = etag_of(rollout.head.revision);
  return response;
}

// `If-Match: "7"` -> 7; nullopt when absent or "*".
Result<std::optional<std::int64_t>> revision_of(const http::Request& request) {
  std::string_view text = request.header("if-match");
  if (text.empty() || text == "*") return std::optional<std::int64_t>();
  std::int64_t revision = 0;
  if (text.size() > 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), revision);
    if (failed == std::errc{} && end == text.data() + text.size()) return std::optional<std::int64_t>(revision);
  }
  return Error{Errc::bad_input, "If-Match: expected the ETag of the rollout, for example \"5\" with its quotes"};
}

Result<RolloutEvent> event_of(const std::string& action, const std::string& by, const std::string& why,
                              std::int64_t at_ms) {
  if (action == "pause") return RolloutEvent(Paused{by, why, at_ms});
  if (action == "resume") return RolloutEvent(Resumed{by, at_ms});
  if (action == "abort") return RolloutEvent(Aborted{by, why, at_ms});
  if (action == "promote") return RolloutEvent(Promoted{by, at_ms});
  if (action == "rollback") return RolloutEvent(RolledBack{by, why, at_ms});
  if (action == "approve") return RolloutEvent(Approved{by, why, at_ms});
  if (action == "deny") return RolloutEvent(Denied{by, why, at_ms});
  if (action == "retry") return RolloutEvent(Retried{by, why, at_ms});
  return Error{Errc::not_found, "rollout action \"" + action.substr(0, 40) +
                                    "\": expected <id>:approve, :deny, :pause, :resume, :promote, :retry, :abort or "
                                    ":rollback"};
}

}  // namespace

Result<http::Response> list_rollouts(Services& services, const http::Request& request) {
  const std::string model = query_of(request, "model");
  const std::string state = query_of(request, "state");
  if (!state.empty()) {
    TRY(auto parsed, parse_rollout_status(state));
    (void)parsed;
  }
  std::vector<Rollout> found;
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [name, rollouts] : by_model) {
      if (!model.empty() && name != model) continue;
      for (const Rollout* rollout : rollouts)
        if (state.empty() || to_string(rollout->head.status) == state) found.push_back(*rollout);
    }
  });
  std::sort(found.begin(), found.end(),
            [](const Rollout& a, const Rollout& b) { return a.plan.created_ms > b.plan.created_ms; });
  Json items = Json::array();
  for (const Rollout& rollout : found) items.push_back(rollout_json(services, rollout));
  return list_page(request, std::move(items));
}

Result<http::Response> get_rollout(Services& services, const http::Request& request) {
  return show(services, request.params.at("id"), 200);
}

Result<http::Response> list_rollout_devices(Services& services, const http::Request& request) {
  TRY(auto rollout, services.rollouts.find(request.params.at("id")));
  const std::string wanted = query_of(request, "state");
  if (!wanted.empty()) {
    TRY(auto parsed, parse_progress(wanted));
    (void)parsed;
  }
  const Selection selection = services.rollouts.selection_of(rollout);
  Json items = Json::array();
  const auto add = [&](const std::string& device, const DeviceProgress& progress, std::size_t phase) {
    const std::string_view state = to_string(progress.state);
    if (!wanted.empty() && state != wanted) return;
    const bool waits = progress.state == Progress::waiting;
    items.push_back(Json{{"device", device},
                         {"state", state},
                         {"reason", waits ? services.rollouts.waits_for(rollout, device) : progress.reason},
                         {"since_ms", progress.since_ms},
                         {"phase", phase}});
  };
  std::set<std::string> shown;
  for (std::size_t i = 0; i < selection.members.size(); ++i) {
    const std::string& device = selection.members[i].device;
    const auto known = rollout.devices.find(device);
    add(device, known == rollout.devices.end() ? DeviceProgress{} : known->second, phase_of(rollout, selection, i));
    shown.insert(device);
  }
  // Those that took part and are no longer selected (relabelled, revoked).
  for (const auto& [device, progress] : rollout.devices)
    if (!shown.contains(device)) add(device, progress, rollout.head.phase);
  return list_page(request, std::move(items));
}

namespace {

Result<NewRollout> parse_wanted(Services& services, const http::Request& request) {
  TRY(auto body, body_object(request));
  TRY_VOID(only_known_fields(body, {"model", "version", "selector", "name", "policy", "lift_quarantine"}));
  NewRollout wanted;
  TRY(wanted.model, string_at(body, "model"));
  TRY(wanted.version, string_at(body, "version"));
  TRY(wanted.selector, string_or(body, "selector", "*", selector_bytes_max));
  TRY(wanted.name, string_or(body, "name", "", rollout_name_bytes_max));
  TRY(wanted.lift_quarantine, bool_or(body, "lift_quarantine", false));
  TRY(wanted.policy, parse_rollout_policy(body.contains("policy") ? body["policy"] : Json()));
  wanted.by = caller_name(services, request);
  return wanted;
}

}  // namespace

Result<http::Response> post_rollout(Services& services, const http::Request& request) {
  const std::string dry_run = query_of(request, "dry_run");
  if (!dry_run.empty() && dry_run != "true" && dry_run != "false")
    return Error{Errc::bad_input, "dry_run: found \"" + dry_run.substr(0, 40) + "\", expected true or false"};
  TRY(const NewRollout wanted, parse_wanted(services, request));
  TRY(auto release, services.releases.find(wanted.model, wanted.version));
  if (!release)
    return Error{Errc::not_found, "release " + wanted.model.substr(0, 80) + " " + wanted.version.substr(0, 80) +
                                      ": not published (ferry release list shows what is)"};
  // The gate's word is asked again: a key may have left the policy, or the report may have become too old.
  TRY(auto attestations, services.blobs.read(release->attestations_sha256, ota::attestations_bytes_max));
  TRY(auto policy, services.trust.gate_policy());
  auto gate = ota::check_attestations(policy, {.manifest_sha256 = release->manifest_sha256}, attestations,
                                      services.clock.now());
  if (!gate) return http::problem(422, "release_not_gated", gate.error().context);
  if (dry_run == "true") {
    TRY(auto preview, services.rollouts.preview(wanted, *release));
    TRY(Json shown, preview_json(services, preview));
    return http::json_response(shown);
  }
  TRY(auto id, services.rollouts.create(wanted, *release));
  return show(services, id, 201);
}

Result<http::Response> act_on_rollout(Services& services, const http::Request& request) {
  const auto [id, action] = split_action(request.params.at("id"));
  TRY(auto body, body_object(request, api_body_bytes_max, true));
  TRY_VOID(only_known_fields(body, {"reason"}));
  TRY(auto why, string_or(body, "reason", "", action_reason_bytes_max));
  TRY(auto revision, revision_of(request));
  TRY(auto event, event_of(action, caller_name(services, request), why, services.now_ms()));
  TRY_VOID(services.rollouts.act(id, event, revision));
  return show(services, id, 200);
}

}  // namespace ferry::server::api
