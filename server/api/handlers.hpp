// Every handler, by resource; server/routes.cpp says at which address and for whom. A handler parses, calls a store or
// the rollout engine, and answers; it knows no socket. Errors become problem+json (api/common.hpp).
#pragma once
#include "server/services.hpp"

#include <boost/asio/awaitable.hpp>

namespace ferry::server::api {

using Handler = Result<http::Response> (*)(Services&, const http::Request&);

// --- devices speak (docs/formats/device-api.md) ---
Result<http::Response> est_cacerts(Services&, const http::Request&);
Result<http::Response> est_simpleenroll(Services&, const http::Request&);
Result<http::Response> est_simplereenroll(Services&, const http::Request&);
Result<http::Response> device_root(Services&, const http::Request&);
Result<http::Response> device_assignment(Services&, const http::Request&);  // never blocks
Result<http::Response> device_profile(Services&, const http::Request&);
Result<http::Response> device_events(Services&, const http::Request&);
Result<http::Response> device_metadata(Services&, const http::Request&);
Result<http::Response> device_target(Services&, const http::Request&);
Result<http::Response> device_blob(Services&, const http::Request&);
boost::asio::awaitable<http::Response> device_metrics(Services&, const http::Request&);  // waits for the disk

// --- people and CI ask (docs/formats/operator-api.md) ---
Result<http::Response> get_trust(Services&, const http::Request&);
Result<http::Response> post_trust(Services&, const http::Request&);
Result<http::Response> get_metadata(Services&, const http::Request&);
Result<http::Response> put_blob(Services&, const http::Request&);
Result<http::Response> head_blob(Services&, const http::Request&);
Result<http::Response> list_models(Services&, const http::Request&);
Result<http::Response> list_releases(Services&, const http::Request&);
Result<http::Response> get_release(Services&, const http::Request&);
Result<http::Response> post_release(Services&, const http::Request&);
Result<http::Response> list_tokens(Services&, const http::Request&);
Result<http::Response> post_token(Services&, const http::Request&);
Result<http::Response> delete_token(Services&, const http::Request&);
Result<http::Response> list_access_tokens(Services&, const http::Request&);
Result<http::Response> post_access_token(Services&, const http::Request&);
Result<http::Response> delete_access_token(Services&, const http::Request&);
Result<http::Response> get_session(Services&, const http::Request&);
Result<http::Response> post_session(Services&, const http::Request&);
Result<http::Response> delete_session(Services&, const http::Request&);
Result<http::Response> list_devices(Services&, const http::Request&);
Result<http::Response> get_device(Services&, const http::Request&);
Result<http::Response> get_device_timeline(Services&, const http::Request&);
Result<http::Response> patch_device(Services&, const http::Request&);
Result<http::Response> act_on_device(Services&, const http::Request&);
Result<http::Response> list_rollouts(Services&, const http::Request&);
Result<http::Response> get_rollout(Services&, const http::Request&);
Result<http::Response> list_rollout_devices(Services&, const http::Request&);
Result<http::Response> get_verdict(Services&, const http::Request&);
Result<http::Response> list_verdicts(Services&, const http::Request&);
Result<http::Response> post_rollout(Services&, const http::Request&);
Result<http::Response> act_on_rollout(Services&, const http::Request&);
Result<http::Response> get_overview(Services&, const http::Request&);
Result<http::Response> get_telemetry(Services&, const http::Request&);
Result<http::Response> get_telemetry_classes(Services&, const http::Request&);
Result<http::Response> get_drift(Services&, const http::Request&);
Result<http::Response> get_events(Services&, const http::Request&);
Result<http::Response> get_version(Services&, const http::Request&);
Result<http::Response> get_healthz(Services&, const http::Request&);
Result<http::Response> get_readyz(Services&, const http::Request&);
Result<http::Response> get_metrics(Services&, const http::Request&);

}  // namespace ferry::server::api
