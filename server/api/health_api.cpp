// What load balancers, Prometheus and the live stream ask.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"

#include <fmt/format.h>

namespace ferry::server::api {
namespace {

std::string gauge(std::string_view name, std::int64_t value) {
  return fmt::format("# TYPE {0} gauge\n{0} {1}\n", name, value);
}

// Evidence and level (0 ok … 3 critical) per cohort. Its id and its release are names of ours, never a device's.
std::string drift_gauges(Services& services) {
  std::string evidence = "# TYPE ferry_drift_esr gauge\n", levels = "# TYPE ferry_drift_level gauge\n";
  for (const CohortView& view : services.drift.cohorts("", services.now_ms())) {
    const std::string labels = fmt::format("{{cohort=\"{}\",model=\"{}\",version=\"{}\",arm=\"{}\"}}", view.id,
                                           view.key.model, view.key.version, view.key.arm);
    evidence += fmt::format("ferry_drift_esr{} {}\n", labels, view.state.drift.sr);
    levels += fmt::format("ferry_drift_level{} {}\n", labels, static_cast<int>(view.state.level()));
  }
  return evidence + levels;
}

}  // namespace

Result<http::Response> get_events(Services& services, const http::Request& request) {
  return EventHub::open(services.hub, request);
}

Result<http::Response> get_version(Services&, const http::Request&) {
  return http::json_response(Json{{"name", "ferryd"}, {"version", server_version}});
}

Result<http::Response> get_healthz(Services&, const http::Request&) { return http::text_response("ok\n"); }

// Asks what a request would need: the database answers, the blob folder can be written.
Result<http::Response> get_readyz(Services& services, const http::Request&) {
  const auto database = services.database.query("select 1");
  const Path probe = services.blobs.incoming() / ".readyz";
  const auto blobs = write_file_atomic(probe, "ok");
  const bool draining = services.draining;
  const bool ready = database && blobs && !draining;
  const Json checks{{"database", database ? "ok" : database.error().context},
                    {"blobs", blobs ? "ok" : blobs.error().context},
                    {"draining", draining}};
  return http::json_response(Json{{"ready", ready}, {"checks", checks}}, ready ? 200 : 503);
}

Result<http::Response> get_metrics(Services& services, const http::Request&) {
  std::string text = services.metrics.print();
  const std::int64_t now_ms = services.now_ms();
  std::map<DeviceState, std::int64_t> states;
  for (const DevicePtr& device : services.fleet.all())
    ++states[state_of(*device, now_ms, services.config.poll_interval_s)];
  text += "# TYPE ferry_devices gauge\n";
  for (DeviceState state : {DeviceState::fresh, DeviceState::ok, DeviceState::updating, DeviceState::attention,
                            DeviceState::offline, DeviceState::revoked})
    text += fmt::format("ferry_devices{{state=\"{}\"}} {}\n", to_string(state), states[state]);
  std::int64_t running = 0;
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [model, rollouts] : by_model)
      for (const Rollout* rollout : rollouts) running += rollout->head.status == RolloutStatus::running ? 1 : 0;
  });
  text += gauge("ferry_rollouts_running", running);
  text += gauge("ferry_event_streams", services.hub->streams());
  text += drift_gauges(services);
  return http::text_response(std::move(text), "text/plain; version=0.0.4; charset=utf-8");
}

}  // namespace ferry::server::api
