// Drift by cohort: the dashboard's heatmap and the numbers behind each of its cells.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"

#include <algorithm>
#include <charconv>

namespace ferry::server::api {
namespace {

constexpr std::int64_t since_default_ms = 86'400'000;
constexpr std::int64_t windows_listed_max = 500;  // of each cohort, newest
constexpr std::size_t cohorts_listed_max = 200;

Result<std::int64_t> since_of(const http::Request& request, std::int64_t now_ms) {
  const std::string text = query_of(request, "since_ms");
  if (text.empty()) return std::max<std::int64_t>(0, now_ms - since_default_ms);
  std::int64_t since_ms = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), since_ms);
  if (failed != std::errc{} || end != text.data() + text.size() || since_ms < 0 || since_ms > now_ms)
    return Error{Errc::bad_input,
                 "since_ms: found \"" + text.substr(0, 20) + "\", expected 0 to now (" + std::to_string(now_ms) + ")"};
  return since_ms;
}

Json policy_json(const telemetry::DriftPolicy& policy) {
  return Json{{"window_samples", policy.window_samples},
              {"window_samples_min", policy.window_samples_min},
              {"window_age_max_ms", policy.window_age_max_ms},
              {"alarm_at", policy.alarm_at},
              {"tv_relevant", policy.tv_relevant},
              {"cbpe_drop_relevant", policy.cbpe_drop_relevant}};
}

// The record without what only a recomputation needs.
Result<Json> windows_json(Services& services, const std::string& cohort, std::int64_t since_ms) {
  TRY(const auto bodies, services.drift.windows(cohort, since_ms, windows_listed_max));
  Json list = Json::array();
  for (const std::string& body : bodies) {
    TRY(Json window, parse_json(body));
    for (const char* key : {"counts", "alarm_at", "number"}) window.erase(key);
    list.push_back(std::move(window));
  }
  return list;
}

Result<Json> cohort_json(Services& services, const CohortView& view, std::int64_t since_ms) {
  const CohortState& state = view.state;
  TRY(Json windows, windows_json(services, view.id, since_ms));
  return Json{
      {"id", view.id},
      {"version", view.key.version},
      {"manifest_sha256", view.key.manifest_sha256},
      {"hardware_class", view.key.hardware_class},
      {"rollout", view.key.rollout},
      {"arm", view.key.arm},
      {"level", telemetry::to_string(state.level())},
      {"reason", reason_of(state.level())},
      {"since_ms", state.level_since_ms},
      {"windows_total", state.drift.windows},
      {"alarms", state.drift.alarms},
      {"last_alarm_ms", state.drift.last_alarm_ms},
      {"sr", state.drift.sr},
      {"devices", view.members},
      {"reference_samples", view.reference_samples},
      {"open", {{"start_ms", view.open_since_ms}, {"samples", view.open_samples}, {"devices", view.open_devices}}},
      {"windows", std::move(windows)}};
}

Json rollout_json(const RolloutDrift& drift) {
  return Json{{"rollout", drift.rollout},
              {"version", drift.version},
              {"from_version", drift.from_version},
              {"cause", telemetry::to_string(drift.cause)},
              {"reason", drift.reason},
              {"at_ms", drift.at_ms},
              {"text", drift.text},
              {"canary", drift.canary},
              {"control", drift.control}};
}

// Newest release first, then hardware class, then arm.
Result<> sort_cohorts(Services& services, const std::string& model, std::vector<CohortView>& views) {
  TRY(const auto releases, services.releases.list(model, releases_listed_max));
  std::map<std::string, std::size_t> place;
  for (const ReleaseRow& row : releases) place.emplace(row.version, place.size());
  std::sort(views.begin(), views.end(), [&](const CohortView& a, const CohortView& b) {
    const auto key = [&](const CohortView& view) {
      const auto found = place.find(view.key.version);
      return std::tuple(found == place.end() ? place.size() : found->second, view.key.hardware_class, view.key.rollout,
                        view.key.arm);
    };
    return key(a) < key(b);
  });
  return {};
}

}  // namespace

Result<http::Response> get_drift(Services& services, const http::Request& request) {
  const std::string model = query_of(request, "model");
  if (model.empty()) return Error{Errc::bad_input, "model: missing; which one?"};
  const std::int64_t now_ms = services.now_ms();
  TRY(const std::int64_t since_ms, since_of(request, now_ms));
  std::set<std::string> under_way;
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    const auto found = by_model.find(model);
    if (found == by_model.end()) return;
    for (const Rollout* rollout : found->second)
      if (!is_terminal(rollout->head.status)) under_way.insert(rollout->plan.id);
  });
  auto views = services.drift.cohorts(model, now_ms);
  std::erase_if(views, [&](const CohortView& view) {  // arms of a rollout that has just ended
    return !view.key.rollout.empty() && !under_way.contains(view.key.rollout);
  });
  TRY_VOID(sort_cohorts(services, model, views));
  if (views.size() > cohorts_listed_max) views.resize(cohorts_listed_max);
  Json cohorts = Json::array(), rollouts = Json::array();
  for (const CohortView& view : views) {
    TRY(Json one, cohort_json(services, view, since_ms));
    cohorts.push_back(std::move(one));
  }
  for (const std::string& id : under_way)
    if (const auto drift = services.drift.drift_of(id)) rollouts.push_back(rollout_json(*drift));
  return http::json_response(Json{{"model", model},
                                  {"from_ms", since_ms},
                                  {"to_ms", now_ms},
                                  {"policy", policy_json(services.drift.policy())},
                                  {"cohorts", std::move(cohorts)},
                                  {"rollouts", std::move(rollouts)}});
}

}  // namespace ferry::server::api
