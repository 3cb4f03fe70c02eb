// The dashboard's first page: counts, what needs a person, what is under way, what happened last.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"
#include "server/api/views.hpp"

#include <fmt/format.h>
#include <algorithm>

namespace ferry::server::api {
namespace {

constexpr std::int64_t telemetry_window_s = 3600;
constexpr std::int64_t feed_items = 20;
constexpr std::size_t attention_items_max = 8;
constexpr std::int64_t trust_warning_ms = 14LL * 86'400'000;  // before an offline role expires

Json devices_json(Services& services, const std::vector<DevicePtr>& devices) {
  std::map<std::string_view, std::int64_t> states;
  std::int64_t online = 0;
  const std::int64_t now_ms = services.now_ms();
  const std::int64_t interval_s = services.config.poll_interval_s;
  for (const DevicePtr& device : devices) {
    ++states[to_string(state_of(*device, now_ms, interval_s))];
    online += is_online(*device, now_ms, interval_s) ? 1 : 0;
  }
  return Json{{"total", devices.size()},        {"online", online},
              {"updating", states["updating"]}, {"attention", states["attention"]},
              {"offline", states["offline"]},   {"new", states["new"]},
              {"revoked", states["revoked"]}};
}

Result<Json> telemetry_json(Services& services, const std::set<std::string>& models) {
  const std::int64_t now_ms = services.now_ms();
  const std::int64_t from_ms = (now_ms - telemetry_window_s * 1000) / minute_ms * minute_ms;
  telemetry::ReleaseWindow all;
  for (const std::string& model : models) {
    TRY(auto minutes, services.telemetry.minutes(model, from_ms, now_ms + telemetry_ahead_ms_max));
    for (const MinuteRow& row : minutes) {
      all.duration.merge(row.window.duration);
      for (const auto& [type, count] : row.window.errors) all.errors[type] += count;
    }
  }
  const Json summary = summary_of(all);
  return Json{{"inferences", summary["count"]}, {"errors", summary["errors"]}, {"p50_us", summary["p50_us"]},
              {"p95_us", summary["p95_us"]},    {"p99_us", summary["p99_us"]}, {"window_s", telemetry_window_s}};
}

struct Attention {
  bool error = false;
  std::int64_t since_ms = 0;
  Json json;
};

Attention attention(std::string_view kind, bool error, std::string subject, std::string text, std::int64_t since_ms,
                    std::string reason) {
  return {error, since_ms,
          Json{{"kind", kind},
               {"severity", error ? "error" : "warning"},
               {"subject", std::move(subject)},
               {"text", std::move(text)},
               {"since_ms", since_ms},
               {"reason", std::move(reason)}}};
}

std::string allowed_failures(const RolloutPolicy& policy) {
  return policy.failures_percent_max ? fmt::format("{} %", *policy.failures_percent_max)
                                     : fmt::format("{}", policy.failures_max);
}

// A failed rollout asks for a person until somebody starts another of its model.
void add_rollouts(Services& services, std::vector<Attention>& list) {
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [model, rollouts] : by_model) {
      if (rollouts.empty()) continue;
      const Rollout& newest = *rollouts.front();
      const std::string name = model + " " + newest.plan.version;
      if (newest.head.status == RolloutStatus::failed)
        list.push_back(
            attention("rollout_failed", true, "rollout:" + newest.plan.id,
                      fmt::format("{}: {} failed, {} allowed", name,
                                  newest.failures() == 1 ? "1 device" : fmt::format("{} devices", newest.failures()),
                                  allowed_failures(newest.plan.policy)),
                      newest.head.ended_ms, newest.head.reason));
      if (newest.head.status == RolloutStatus::awaiting_approval)
        list.push_back(attention(
            "rollout_approval", false, "rollout:" + newest.plan.id,
            fmt::format("{}: {} of {} approvals", name, newest.head.approvals.size(), newest.plan.policy.approvals),
            newest.plan.created_ms, ""));
      if (newest.head.status == RolloutStatus::paused)
        list.push_back(attention("rollout_paused", false, "rollout:" + newest.plan.id, name + ": paused",
                                 newest.head.phase_started_ms, newest.head.reason));
    }
  });
}

bool is_over(Services& services, const CohortKey& arm) {
  bool over = true;
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    const auto found = by_model.find(arm.model);
    if (found == by_model.end()) return;
    for (const Rollout* rollout : found->second)
      if (rollout->plan.id == arm.rollout) over = is_terminal(rollout->head.status);
  });
  return over;
}

// One line per model: its worst cohort. Arms of a rollout that is over compare nothing any more.
void add_drift(Services& services, std::vector<Attention>& list) {
  std::map<std::string, CohortView> worst;
  for (CohortView& view : services.drift.cohorts("", services.now_ms())) {
    if (view.state.level() < telemetry::DriftLevel::warn || view.members == 0) continue;
    if (!view.key.rollout.empty() && is_over(services, view.key)) continue;
    const auto [at, first] = worst.try_emplace(view.key.model, view);
    if (!first && view.state.level() > at->second.state.level()) at->second = std::move(view);
  }
  for (const auto& [model, view] : worst) {
    const bool critical = view.state.level() == telemetry::DriftLevel::critical;
    const std::string where =
        view.key.rollout.empty() ? view.key.hardware_class : view.key.arm + " devices of " + view.key.rollout;
    list.push_back(attention("drift", critical, "drift:" + model,
                             fmt::format("{} {}: predictions on {} are far from those in CI{}", model, view.key.version,
                                         where, critical ? ", and another sign says harm" : ""),
                             view.state.level_since_ms, std::string(reason_of(view.state.level()))));
  }
}

void add_devices(Services& services, const std::vector<DevicePtr>& devices, std::vector<Attention>& list) {
  for (const DevicePtr& device : devices) {
    if (state_of(*device, services.now_ms(), services.config.poll_interval_s) != DeviceState::attention) continue;
    const auto facts = device->facts();
    std::string reason;
    std::string text = "an alarm";
    for (const Json& model : facts->models) {
      if (text_of(model, "last_reason").empty()) continue;
      reason = text_of(model, "last_reason");
      text = text_of(model, "model") + ": its last update ended badly";
    }
    list.push_back(attention("device_attention", false, "device:" + device->id, device->id + ": " + text,
                             facts->alarm_ms, std::move(reason)));
    if (list.size() > 4 * attention_items_max) return;  // enough to choose from
  }
}

void add_trust(Services& services, std::vector<Attention>& list) {
  if (!services.trust.published()) {
    list.push_back(
        attention("trust_missing", true, "trust", "no trust root yet: ferry key init, ferry key publish", 0, ""));
    return;
  }
  const ota::RepositoryState state = services.trust.state();
  const auto check = [&](const std::string& role, const ota::Document& document) {
    const std::int64_t left_ms = to_unix_ms(document.expires) - services.now_ms();
    if (left_ms > trust_warning_ms) return;
    list.push_back(attention("trust_expiring", left_ms <= 0, "trust",
                             fmt::format("{} {} {}: sign a new version", role, left_ms <= 0 ? "expired" : "expires",
                                         to_rfc3339(document.expires)),
                             to_unix_ms(document.expires) - trust_warning_ms, ""));
  };
  if (auto root = ota::parse_root(state.root)) check("root", *root);
  if (auto targets = ota::parse_targets(state.targets)) check("targets", *targets);
  for (const auto& [model, bytes] : state.roles)
    if (auto role = ota::parse_targets(bytes)) check(model, *role);
}

Json attention_json(Services& services, const std::vector<DevicePtr>& devices) {
  std::vector<Attention> list;
  add_trust(services, list);
  add_rollouts(services, list);
  add_drift(services, list);
  add_devices(services, devices, list);
  std::stable_sort(list.begin(), list.end(), [](const Attention& a, const Attention& b) {
    return a.error != b.error ? a.error : a.since_ms > b.since_ms;
  });
  Json json = Json::array();
  for (Attention& one : list)
    if (json.size() < attention_items_max) json.push_back(std::move(one.json));
  return json;
}

Json distribution_json(const Census& census,
                       const std::map<std::string, std::map<std::string, std::string>>& versions) {
  Json list = Json::array();
  for (const auto& [model, total] : census.devices) {
    std::map<std::string, std::int64_t> by_version;
    std::int64_t running = 0;
    const auto known = versions.find(model);
    if (const auto releases = census.models.find(model); releases != census.models.end())
      for (const auto& [manifest, release] : releases->second) {
        const bool named = known != versions.end() && known->second.contains(manifest);
        by_version[named ? known->second.at(manifest) : manifest.substr(0, 12)] += release.running;
        running += release.running;
      }
    if (total > running) by_version[""] += total - running;
    Json releases = Json::array();
    for (const auto& [version, count] : by_version)
      releases.push_back(Json{{"version", version}, {"devices", count}, {"share_ppm", count * 1'000'000 / total}});
    list.push_back(Json{{"model", model}, {"total", total}, {"releases", std::move(releases)}});
  }
  return list;
}

Json active_rollouts_json(Services& services) {
  std::vector<Rollout> active;
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [model, rollouts] : by_model)
      for (const Rollout* rollout : rollouts)
        if (!is_terminal(rollout->head.status)) active.push_back(*rollout);
  });
  Json list = Json::array();
  for (const Rollout& rollout : active) list.push_back(rollout_json(services, rollout));
  return list;
}

}  // namespace

Result<http::Response> get_overview(Services& services, const http::Request&) {
  TRY(auto rows, services.releases.list("", releases_listed_max));
  std::set<std::string> models;
  std::map<std::string, std::map<std::string, std::string>> versions;  // model -> manifest -> version
  for (const ReleaseRow& row : rows) {
    models.insert(row.model);
    versions[row.model][row.manifest_sha256.hex()] = row.version;
  }
  const auto devices = services.fleet.all();
  TRY(auto telemetry, telemetry_json(services, models));
  DeviceStore store(services.database);
  TRY(auto events, store.events("", 0, feed_items));
  Json feed = Json::array();
  for (const EventRow& row : events) feed.push_back(timeline_json(row));
  return http::json_response(Json{{"at_ms", services.now_ms()},
                                  {"devices", devices_json(services, devices)},
                                  {"models", models.size()},
                                  {"releases", rows.size()},
                                  {"telemetry", std::move(telemetry)},
                                  {"attention", attention_json(services, devices)},
                                  {"rollouts", active_rollouts_json(services)},
                                  {"distribution", distribution_json(take_census(services), versions)},
                                  {"feed", std::move(feed)}});
}

}  // namespace ferry::server::api
