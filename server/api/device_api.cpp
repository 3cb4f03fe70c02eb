// What an enrolled device asks and tells: check-in, profile, events, metadata, targets, blobs, telemetry.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"

#include <fmt/format.h>
#include <charconv>
#include <cstdlib>

namespace ferry::server::api {
namespace {

Error unknown_device() { return Error{Errc::denied, "this certificate belongs to no device", "device_unknown"}; }

http::Response json_bytes(std::shared_ptr<const std::string> bytes) {
  http::Response response;
  response.headers["Content-Type"] = "application/json";
  response.shared_body = std::move(bytes);
  return response;
}

// Seconds; what makes no sense is UTC.
std::int64_t utc_offset_s_of(std::string_view text) {
  constexpr std::int64_t most_s = 18 * 3600;  // ISO 8601 zones end at 14 h
  std::int64_t seconds = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool whole = failed == std::errc{} && end == text.data() + text.size();
  return whole && std::abs(seconds) <= most_s ? seconds : 0;
}

}  // namespace

Result<http::Response> device_assignment(Services& services, const http::Request& request) {
  const DevicePtr device = device_of(services, request);
  if (!device) return unknown_device();
  const bool first = device->last_seen_ms == 0;
  services.fleet.seen(*device, services.now_ms());
  device->utc_offset_s = utc_offset_s_of(request.header("ferry-utc-offset"));
  const auto assignment = services.assignments.current(*device);
  http::Response response;
  response.headers["ETag"] = assignment->etag;
  response.headers["Cache-Control"] = "no-cache";
  response.headers["Ferry-Poll-After"] =
      fmt::format("{:.3f}", poll_after_s(device->id, services.config.poll_interval_s));
  if (first) services.hub->publish("devices", "changed", device->id);
  if (http::etag_matches(request.header("if-none-match"), assignment->etag)) {
    response.status = 304;
    return response;
  }
  response.headers["Content-Type"] = "application/json";
  response.shared_body = assignment->body;
  return response;
}

Result<http::Response> device_profile(Services& services, const http::Request& request) {
  const DevicePtr device = device_of(services, request);
  if (!device) return unknown_device();
  TRY_VOID(services.reports.put_profile(*device, request.body));
  http::Response response;
  response.status = 204;
  return response;
}

Result<http::Response> device_events(Services& services, const http::Request& request) {
  const DevicePtr device = device_of(services, request);
  if (!device) return unknown_device();
  TRY(auto applied, services.reports.apply_events(*device, request.body));
  // Taken at once: the answer to an operator who looks now is the present one, not that of the next turn.
  if (auto taken = services.rollouts.drain(); !taken)
    services.log.warn("events wait in the inbox", {{"error", taken.error().context}});
  services.hub->publish("overview", "changed", "");
  return http::json_response(Json{{"applied_seq", applied}});
}

Result<http::Response> device_metadata(Services& services, const http::Request& request) {
  TRY(auto bytes, services.trust.file(request.params.at("file")));
  return json_bytes(std::move(bytes));
}

Result<http::Response> device_target(Services& services, const http::Request& request) {
  TRY(auto digest, services.trust.target(request.params.at("path")));
  return http::file_response(request, services.blobs.path_of(digest), digest.hex(), "application/json");
}

Result<http::Response> device_blob(Services& services, const http::Request& request) {
  TRY(auto digest, Digest::from_hex(request.params.at("hex")));
  if (!services.blobs.has(digest)) return Error{Errc::not_found, "blob " + digest.hex() + ": not here"};
  return http::file_response(request, services.blobs.path_of(digest), digest.hex(), "application/octet-stream",
                             services.config.download_bytes_per_second);
}

}  // namespace ferry::server::api
