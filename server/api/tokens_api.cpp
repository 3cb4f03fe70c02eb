// Credentials: enrolment tokens of devices, access tokens of people and CI, dashboard sessions.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"

#include "common/bytes.hpp"

#include <fmt/format.h>

namespace ferry::server::api {
namespace {

constexpr std::int64_t token_devices_listed_max = 20;
constexpr std::size_t token_name_bytes_max = 100;
constexpr std::int64_t access_ttl_s_max = 10LL * 365 * 86'400;

http::Response no_content() {
  http::Response response;
  response.status = 204;
  return response;
}

Result<Labels> labels_of(const Json& body) {
  Labels labels;
  const auto given = body.find("labels");
  if (given == body.end() || given->is_null()) return labels;
  if (!given->is_object()) return Error{Errc::bad_input, "labels: expected an object of texts"};
  for (const auto& [key, value] : given->items()) {
    if (!value.is_string()) return Error{Errc::bad_input, "labels: " + key.substr(0, 80) + ": expected a text"};
    labels[key] = value.get<std::string>();
  }
  return labels;
}

Json session_json(const Caller& caller) {
  return Json{{"name", caller.name}, {"role", to_string(caller.role)}, {"expires_ms", caller.expires_ms}};
}

}  // namespace

Result<http::Response> list_tokens(Services& services, const http::Request& request) {
  TRY(auto page, page_of(request));
  TokenStore& store = services.enrolment.tokens();
  TRY(auto rows, store.list(page.cursor, static_cast<std::int64_t>(page.limit) + 1));
  const bool more = rows.size() > page.limit;
  if (more) rows.pop_back();
  Json items = Json::array();
  for (const EnrolmentTokenRow& row : rows) {
    TRY(auto labels, parse_json(row.labels));
    TRY(auto devices, store.devices_of(row.id, token_devices_listed_max));
    items.push_back(Json{{"id", row.id},
                         {"created_ms", row.created_ms},
                         {"expires_ms", row.expires_ms},
                         {"uses_left", row.uses_left},
                         {"uses_total", row.uses_total},
                         {"labels", std::move(labels)},
                         {"created_by", row.created_by},
                         {"devices", devices}});
  }
  return list_response(std::move(items), more ? rows.back().id : "");
}

Result<http::Response> post_token(Services& services, const http::Request& request) {
  TRY(auto body, body_object(request, api_body_bytes_max, true));
  TRY_VOID(only_known_fields(body, {"uses", "ttl_s", "labels"}));
  EnrolmentTokenSpec spec;
  TRY(spec.uses, integer_or(body, "uses", spec.uses, 1, token_uses_max));
  TRY(spec.ttl_s, integer_or(body, "ttl_s", spec.ttl_s, token_ttl_s_min, token_ttl_s_max));
  TRY(spec.labels, labels_of(body));
  spec.by = caller_name(services, request);
  const std::string root = services.trust.pinned_root();
  if (root.empty())
    return Error{Errc::conflict, "a token pins root.json: publish the trust root first (ferry key publish)",
                 "trust_missing"};
  TRY(auto token, services.enrolment.create_token(spec, services.device_url, sha256(root)));
  services.log.info("enrolment token created", {{"token", token.id}, {"uses", spec.uses}, {"by", spec.by}});
  return http::json_response(Json{{"id", token.id}, {"token", token.text}, {"expires_ms", token.expires_ms}}, 201);
}

Result<http::Response> delete_token(Services& services, const http::Request& request) {
  const std::string& id = request.params.at("id");
  TRY(bool removed, services.enrolment.tokens().remove(id));
  if (!removed) return Error{Errc::not_found, "token " + id.substr(0, 80) + ": not known"};
  return no_content();
}

Result<http::Response> list_access_tokens(Services& services, const http::Request& request) {
  TRY(auto rows, services.access.list());
  Json items = Json::array();
  for (const AccessTokenRow& row : rows)
    items.push_back(Json{{"id", row.id},
                         {"name", row.name},
                         {"role", row.role},
                         {"created_ms", row.created_ms},
                         {"expires_ms", row.expires_ms}});
  return list_page(request, std::move(items));
}

Result<http::Response> post_access_token(Services& services, const http::Request& request) {
  TRY(auto body, body_object(request));
  TRY_VOID(only_known_fields(body, {"name", "role", "ttl_s"}));
  TRY(auto name, string_at(body, "name", token_name_bytes_max));
  if (name.empty()) return Error{Errc::bad_input, "name: empty"};
  TRY(auto role_text, string_at(body, "role"));
  TRY(Role role, parse_role(role_text));
  TRY(auto ttl_s, integer_or(body, "ttl_s", 0, 0, access_ttl_s_max));
  TRY(auto created, services.access.create(name, role, ttl_s));
  services.log.info("access token created",
                    {{"id", created.id}, {"name", name}, {"role", role_text}, {"by", caller_name(services, request)}});
  return http::json_response(Json{{"id", created.id}, {"token", created.token}}, 201);
}

Result<http::Response> delete_access_token(Services& services, const http::Request& request) {
  const std::string& id = request.params.at("id");
  TRY(bool removed, services.access.remove(id));
  if (!removed) return Error{Errc::not_found, "access token " + id.substr(0, 80) + ": not known"};
  services.log.info("access token removed", {{"id", id}, {"by", caller_name(services, request)}});
  return no_content();
}

Result<http::Response> get_session(Services& services, const http::Request& request) {
  const auto caller = services.access.identify(request);
  if (!caller) return Error{Errc::denied, "nobody is signed in"};
  return http::json_response(session_json(*caller));
}

// The cookie is Secure, HttpOnly and bound to this host ("__Host-"): scripts never see the token again.
Result<http::Response> post_session(Services& services, const http::Request& request) {
  const auto caller = services.access.identify(request);
  if (!caller || caller->by_cookie)
    return http::problem(401, "denied", "send the access token: \"Authorization: Bearer <token>\"");
  const std::string cookie = services.access.open_session(*caller);
  Caller session = *caller;
  const std::int64_t end_ms = services.now_ms() + session_life_ms;
  session.expires_ms = caller->expires_ms == 0 ? end_ms : std::min(end_ms, caller->expires_ms);
  http::Response response = http::json_response(session_json(session));
  response.headers["Set-Cookie"] = fmt::format("{}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict",
                                               session_cookie, cookie, (session.expires_ms - services.now_ms()) / 1000);
  response.headers["Cache-Control"] = "no-store";
  return response;
}

Result<http::Response> delete_session(Services& services, const http::Request& request) {
  services.access.close_session(request);
  http::Response response = no_content();
  response.headers["Set-Cookie"] =
      fmt::format("{}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict", session_cookie);
  return response;
}

}  // namespace ferry::server::api
