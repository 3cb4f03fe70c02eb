// What the handlers share: errors as problem+json, bodies, pages.
#pragma once
#include "server/services.hpp"

namespace ferry::server::api {

inline constexpr std::size_t page_items_max = 1000;
inline constexpr std::size_t page_items_default = 100;
inline constexpr std::size_t api_body_bytes_max = 1024 * 1024;
inline constexpr std::size_t publish_body_bytes_max = 32 * 1024 * 1024;

// problem+json of docs/formats/operator-api.md: a reason of the taxonomy (it has a dot) goes into "reason", any other
// into "code".
http::Response problem(const Error& error);
// The response of a handler that returns Result.
http::Response answer(Result<http::Response> result);

// An object; an empty body is {} when `optional`.
Result<Json> body_object(const http::Request& request, std::size_t bytes_max = api_body_bytes_max,
                         bool optional = false);
// A base64 member, decoded; "" when absent.
Result<std::string> base64_member(const Json& body, std::string_view key);

struct Page {
  std::size_t limit = page_items_default;
  std::string cursor;
};
Result<Page> page_of(const http::Request& request);
std::string query_of(const http::Request& request, const std::string& name);
http::Response list_response(Json items, const std::string& next_cursor);
// Cuts a whole list to a page; the cursor is the number of items before it.
Result<http::Response> list_page(const http::Request& request, Json items);

// The name to write into records: who is asking.
std::string caller_name(Services& services, const http::Request& request);
// "ro-1:pause" -> ("ro-1", "pause")
std::pair<std::string, std::string> split_action(const std::string& text);

// The device behind the connection; null when its certificate is no longer accepted.
DevicePtr device_of(Services& services, const http::Request& request);
// Lets a request in when its client certificate belongs to an accepted device.
std::optional<http::Response> refuse_device(Services& services, const http::Request& request);

// {"count", "errors", "p50_us", "p95_us", "p99_us", "mean_us", "labelled", "right"[, "accuracy_ppm"]}
Json summary_of(const telemetry::ReleaseWindow& window);

}  // namespace ferry::server::api
