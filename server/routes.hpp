// The two listeners' routes as tables: what exists, who may call it, how its body is taken.
#pragma once
#include "common/http/router.hpp"
#include "server/services.hpp"

namespace ferry::server {

// Devices: mutual TLS. `services` must outlive the router.
http::Router device_routes(Services& services);
// People, CI and the dashboard: bearer tokens, sessions.
http::Router operator_routes(Services& services);

}  // namespace ferry::server
