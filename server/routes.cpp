// Role, address, handler: one line each. Guards run before a body is read.
#include "server/routes.hpp"

#include "server/api/common.hpp"
#include "server/api/handlers.hpp"

#include "telemetry/otlp.hpp"

namespace ferry::server {
namespace {

using namespace api;

// How a handler runs and how large a body it takes.
struct How {
  bool quick = false;  // on the connection's thread: it must not block
  std::size_t body_bytes_max = api_body_bytes_max;
};
constexpr How quick{true, 4096};
constexpr How blocking{};

enum class Who { anyone, device };  // on the device listener

struct DeviceRoute {
  const char* method;
  const char* pattern;
  Who who;
  Handler handler;
  How how;
};

constexpr DeviceRoute device_table[] = {
    {"GET", "/.well-known/est/cacerts", Who::anyone, est_cacerts, blocking},
    {"GET", "/device/v1/root.json", Who::anyone, device_root, quick},
    {"POST", "/.well-known/est/simpleenroll", Who::anyone, est_simpleenroll, {false, csr_bytes_max}},
    {"POST", "/.well-known/est/simplereenroll", Who::device, est_simplereenroll, {false, csr_bytes_max}},
    {"GET", "/device/v1/assignment", Who::device, device_assignment, quick},
    {"PUT", "/device/v1/profile", Who::device, device_profile, {false, profile_bytes_max}},
    {"POST", "/device/v1/events", Who::device, device_events, {false, events_body_bytes_max}},
    {"GET", "/device/v1/metadata/{file}", Who::device, device_metadata, blocking},
    {"GET", "/device/v1/targets/{path...}", Who::device, device_target, blocking},
    {"GET", "/device/v1/blobs/sha256/{hex}", Who::device, device_blob, blocking},
};

struct OperatorRoute {
  const char* method;
  const char* pattern;
  Role role;
  Handler handler;
  How how;
};

constexpr How publication{false, publish_body_bytes_max};

constexpr OperatorRoute operator_table[] = {
    {"GET", "/api/v1/trust", Role::viewer, get_trust, blocking},
    {"POST", "/api/v1/trust", Role::admin, post_trust, publication},
    {"GET", "/api/v1/metadata/{file}", Role::publisher, get_metadata, blocking},
    {"HEAD", "/api/v1/blobs/sha256/{hex}", Role::publisher, head_blob, blocking},
    {"GET", "/api/v1/models", Role::viewer, list_models, blocking},
    {"GET", "/api/v1/releases", Role::viewer, list_releases, blocking},
    {"POST", "/api/v1/releases", Role::publisher, post_release, publication},
    {"GET", "/api/v1/releases/{model}/{version}", Role::viewer, get_release, blocking},
    {"GET", "/api/v1/tokens", Role::operator_, list_tokens, blocking},
    {"POST", "/api/v1/tokens", Role::operator_, post_token, blocking},
    {"DELETE", "/api/v1/tokens/{id}", Role::operator_, delete_token, blocking},
    {"GET", "/api/v1/access-tokens", Role::admin, list_access_tokens, blocking},
    {"POST", "/api/v1/access-tokens", Role::admin, post_access_token, blocking},
    {"DELETE", "/api/v1/access-tokens/{id}", Role::admin, delete_access_token, blocking},
    {"GET", "/api/v1/session", Role::viewer, get_session, quick},
    {"POST", "/api/v1/session", Role::anyone, post_session, quick},
    {"DELETE", "/api/v1/session", Role::viewer, delete_session, quick},
    {"GET", "/api/v1/devices", Role::viewer, list_devices, blocking},
    {"GET", "/api/v1/devices/{id}", Role::viewer, get_device, blocking},
    {"PATCH", "/api/v1/devices/{id}", Role::operator_, patch_device, blocking},
    {"POST", "/api/v1/devices/{id}", Role::admin, act_on_device, blocking},
    {"GET", "/api/v1/devices/{id}/timeline", Role::viewer, get_device_timeline, blocking},
    {"GET", "/api/v1/rollouts", Role::viewer, list_rollouts, blocking},
    {"POST", "/api/v1/rollouts", Role::publisher, post_rollout, blocking},
    {"GET", "/api/v1/rollouts/{id}", Role::viewer, get_rollout, blocking},
    {"POST", "/api/v1/rollouts/{id}", Role::operator_, act_on_rollout, blocking},
    {"GET", "/api/v1/rollouts/{id}/devices", Role::viewer, list_rollout_devices, blocking},
    {"GET", "/api/v1/rollouts/{id}/verdict", Role::viewer, get_verdict, blocking},
    {"GET", "/api/v1/rollouts/{id}/verdicts", Role::viewer, list_verdicts, blocking},
    {"GET", "/api/v1/overview", Role::viewer, get_overview, blocking},
    {"GET", "/api/v1/telemetry", Role::viewer, get_telemetry, blocking},
    {"GET", "/api/v1/telemetry/classes", Role::viewer, get_telemetry_classes, blocking},
    {"GET", "/api/v1/drift", Role::viewer, get_drift, blocking},
    {"GET", "/api/v1/events", Role::viewer, get_events, quick},
    {"GET", "/version", Role::anyone, get_version, quick},
    {"GET", "/healthz", Role::anyone, get_healthz, quick},
    {"GET", "/readyz", Role::anyone, get_readyz, blocking},
    {"GET", "/metrics", Role::anyone, get_metrics, blocking},
};

http::Route route_of(Services& services, const char* method, const char* pattern, Handler handler, const How& how) {
  http::Route route;
  route.method = method;
  route.pattern = pattern;
  route.body_bytes_max = how.body_bytes_max;
  auto run = [&services, handler](const http::Request& request) { return answer(handler(services, request)); };
  if (how.quick)
    route.quick = std::move(run);
  else
    route.blocking = std::move(run);
  return route;
}

}  // namespace

http::Router device_routes(Services& services) {
  http::Router router;
  for (const DeviceRoute& entry : device_table) {
    http::Route route = route_of(services, entry.method, entry.pattern, entry.handler, entry.how);
    if (entry.who == Who::device)
      route.guard = [&services](const http::Request& request) { return refuse_device(services, request); };
    router.add(std::move(route));
  }
  // Many devices' uploads are on their way to one disk: they wait there, not on threads.
  http::Route metrics;
  metrics.method = "POST";
  metrics.pattern = "/v1/metrics";
  metrics.body_bytes_max = telemetry::upload_bytes_max;
  metrics.guard = [&services](const http::Request& request) { return refuse_device(services, request); };
  metrics.async = [&services](const http::Request& request) { return device_metrics(services, request); };
  router.add(std::move(metrics));
  return router;
}

http::Router operator_routes(Services& services) {
  http::Router router;
  const auto guarded = [&services](Role role) {
    return [&services, role](const http::Request& request) { return services.access.refuse(request, role); };
  };
  for (const OperatorRoute& entry : operator_table) {
    http::Route route = route_of(services, entry.method, entry.pattern, entry.handler, entry.how);
    route.guard = guarded(entry.role);
    router.add(std::move(route));
  }
  // A blob goes to disk while it comes in, never into memory.
  http::Route blob = route_of(services, "PUT", "/api/v1/blobs/sha256/{hex}", put_blob, {false, ota::file_bytes_max});
  blob.guard = guarded(Role::publisher);
  blob.body_directory = services.blobs.incoming();
  router.add(std::move(blob));
  http::Route ui;
  ui.method = "GET";
  ui.pattern = "/{path...}";
  ui.label = "dashboard";
  ui.quick = [&services](const http::Request& request) { return services.ui.answer(request); };
  router.add(std::move(ui));
  return router;
}

}  // namespace ferry::server
