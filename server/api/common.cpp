// Shared pieces of the handlers.
#include "server/api/common.hpp"

#include "common/bytes.hpp"

#include <charconv>
#include <cmath>

namespace ferry::server::api {
namespace {

int status_of(const Error& error) {
  if (error.reason == "precondition_failed") return 412;
  if (error.reason == "body_too_large") return 413;
  switch (error.code) {
    case Errc::expired:
    case Errc::gate_hold:
      return 422;
    case Errc::rollback_refused:
      return 409;
    case Errc::unsupported:
      return 400;
    default:
      return http::problem(error).status;
  }
}

}  // namespace

http::Response problem(const Error& error) {
  const bool taxonomy = error.reason.find('.') != std::string::npos;
  const std::string code = error.reason.empty() || taxonomy ? std::string(to_string(error.code)) : error.reason;
  http::Response response = http::problem(status_of(error), code, error.context);
  if (taxonomy) {
    if (auto body = parse_json(response.body)) {
      (*body)["reason"] = error.reason;
      response.body = dump_json(*body);
    }
  }
  return response;
}

http::Response answer(Result<http::Response> result) {
  if (!result) return problem(result.error());
  return std::move(*result);
}

Result<Json> body_object(const http::Request& request, std::size_t bytes_max, bool optional) {
  if (optional && request.body.empty()) return Json(Json::object());
  auto body = parse_json(request.body, {.bytes_max = bytes_max});
  if (!body) return std::move(body).error().within("body");
  if (!body->is_object()) return Error{Errc::bad_input, "body: expected a JSON object"};
  return body;
}

Result<std::string> base64_member(const Json& body, std::string_view key) {
  TRY(auto text, string_or(body, key, "", publish_body_bytes_max));
  auto bytes = from_base64(text);
  if (!bytes) return std::move(bytes).error().within(key);
  return bytes;
}

std::string query_of(const http::Request& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? std::string() : found->second;
}

Result<Page> page_of(const http::Request& request) {
  Page page;
  page.cursor = query_of(request, "cursor");
  const std::string limit = query_of(request, "limit");
  if (!limit.empty()) {
    const auto [end, failed] = std::from_chars(limit.data(), limit.data() + limit.size(), page.limit);
    if (failed != std::errc{} || end != limit.data() + limit.size() || page.limit < 1 || page.limit > page_items_max)
      return Error{Errc::bad_input,
                   "limit: found \"" + limit.substr(0, 20) + "\", expected 1 to " + std::to_string(page_items_max)};
  }
  return page;
}

http::Response list_response(Json items, const std::string& next_cursor) {
  return http::json_response(Json{{"items", std::move(items)}, {"next_cursor", next_cursor}});
}

Result<http::Response> list_page(const http::Request& request, Json items) {
  TRY(auto page, page_of(request));
  std::size_t begin = 0;
  if (!page.cursor.empty()) {
    const auto [end, failed] = std::from_chars(page.cursor.data(), page.cursor.data() + page.cursor.size(), begin);
    if (failed != std::errc{} || end != page.cursor.data() + page.cursor.size())
      return Error{Errc::bad_input, "cursor: not one that this list gave out"};
  }
  Json some = Json::array();
  for (std::size_t i = begin; i < items.size() && i - begin < page.limit; ++i) some.push_back(std::move(items[i]));
  const std::size_t next = begin + some.size();
  return list_response(std::move(some), next < items.size() ? std::to_string(next) : "");
}

std::string caller_name(Services& services, const http::Request& request) {
  const auto caller = services.access.identify(request);
  return caller ? caller->name : "";
}

std::pair<std::string, std::string> split_action(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

DevicePtr device_of(Services& services, const http::Request& request) {
  if (!request.peer) return nullptr;
  DevicePtr device = services.fleet.find_by_fingerprint(request.peer->fingerprint_hex);
  if (!device || device->revoked) return nullptr;
  return device;
}

std::optional<http::Response> refuse_device(Services& services, const http::Request& request) {
  if (!request.peer)
    return http::problem(403, "device_unknown", "no client certificate: enrol first (ferry-agent enroll --token …)");
  const DevicePtr device = services.fleet.find_by_fingerprint(request.peer->fingerprint_hex);
  if (!device)
    return http::problem(403, "device_unknown", "this certificate belongs to no device of this server; enrol again");
  if (device->revoked) return http::problem(403, "device_revoked", device->id + " was revoked");
  // A certificate is checked when the connection is made; a connection may outlive it.
  if (request.peer->not_after_unix_s != 0 && request.peer->not_after_unix_s * 1000 < services.now_ms())
    return http::problem(403, "device_unknown", "this certificate has expired; enrol again");
  return std::nullopt;
}

Json summary_of(const telemetry::ReleaseWindow& window) {
  const auto microseconds = [](double seconds) { return static_cast<std::int64_t>(std::llround(seconds * 1e6)); };
  const auto& duration = window.duration;
  Json summary{
      {"count", duration.count()},
      {"errors", window.error_count()},
      {"p50_us", microseconds(duration.quantile(0.50))},
      {"p95_us", microseconds(duration.quantile(0.95))},
      {"p99_us", microseconds(duration.quantile(0.99))},
      {"mean_us", duration.count() == 0 ? 0 : microseconds(duration.sum() / static_cast<double>(duration.count()))}};
  std::uint64_t labelled = 0;
  std::uint64_t right = 0;
  for (const auto& [key, count] : window.labels) {
    labelled += count;
    if (key.correct) right += count;
  }
  summary["labelled"] = labelled;
  summary["right"] = right;
  if (labelled > 0)
    summary["accuracy_ppm"] =
        static_cast<std::int64_t>(static_cast<double>(right) / static_cast<double>(labelled) * 1e6 + 0.5);
  return summary;
}

}  // namespace ferry::server::api
