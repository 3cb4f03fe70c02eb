// Bearer and cookie checks.
#include "server/auth/access.hpp"

#include "common/bytes.hpp"

namespace ferry::server {
namespace {

constexpr std::size_t secret_bytes = 32;
constexpr std::size_t credential_bytes_max = 512;
constexpr std::string_view token_prefix = "ferryop.";

std::string bearer_of(const http::Request& request) {
  constexpr std::string_view scheme = "Bearer ";
  const std::string_view header = request.header("authorization");
  if (header.size() <= scheme.size() || header.size() > credential_bytes_max) return {};
  for (std::size_t i = 0; i < scheme.size(); ++i)  // the scheme is case-insensitive
    if ((header[i] | 0x20) != (scheme[i] | 0x20)) return {};
  return std::string(header.substr(scheme.size()));
}

std::string cookie_of(const http::Request& request) {
  std::string_view header = request.header("cookie");
  while (!header.empty()) {
    const std::size_t end = header.find(';');
    std::string_view pair = header.substr(0, end);
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    if (pair.size() > session_cookie.size() && pair.size() < credential_bytes_max && pair.starts_with(session_cookie) &&
        pair[session_cookie.size()] == '=')
      return std::string(pair.substr(session_cookie.size() + 1));
    if (end == std::string_view::npos) break;
    header.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::anyone:
      return "anyone";
    case Role::viewer:
      return "viewer";
    case Role::publisher:
      return "publisher";
    case Role::operator_:
      return "operator";
    case Role::admin:
      return "admin";
  }
  return "";
}

Result<Role> parse_role(std::string_view text) {
  for (Role role : {Role::viewer, Role::publisher, Role::operator_, Role::admin})
    if (to_string(role) == text) return role;
  return Error{Errc::bad_input, "role: found \"" + std::string(text.substr(0, 40)) +
                                    "\", expected viewer | publisher | operator | admin"};
}

bool allows(Role has, Role needs) { return static_cast<int>(has) >= static_cast<int>(needs); }

Result<> Access::load() {
  TRY(auto rows, store_.access_tokens());
  std::lock_guard lock(mutex_);
  for (const AccessTokenRow& row : rows) {
    TRY(Role role, parse_role(row.role));
    tokens_[row.secret_sha256.bytes()] = Caller{row.id, row.name, role, row.expires_ms, false};
  }
  return {};
}

std::optional<Caller> Access::valid(const Caller& known) const {
  if (known.expires_ms != 0 && known.expires_ms <= to_unix_ms(clock_.now())) return std::nullopt;
  return known;
}

std::optional<Caller> Access::identify(const http::Request& request) const {
  // A bearer token that is wrong is not made up for by a cookie.
  if (!request.header("authorization").empty()) {
    const std::string key = sha256(bearer_of(request)).bytes();
    std::lock_guard lock(mutex_);
    const auto found = tokens_.find(key);
    return found == tokens_.end() ? std::nullopt : valid(found->second);
  }
  const std::string cookie = cookie_of(request);
  if (cookie.empty()) return std::nullopt;
  const std::string key = sha256(cookie).bytes();
  std::lock_guard lock(mutex_);
  const auto found = sessions_.find(key);
  if (found == sessions_.end()) return std::nullopt;
  auto caller = valid(found->second);
  if (!caller) sessions_.erase(found);
  return caller;
}

std::optional<http::Response> Access::refuse(const http::Request& request, Role needs) const {
  if (needs == Role::anyone) return std::nullopt;
  const auto caller = identify(request);
  if (!caller) {
    http::Response response =
        http::problem(401, "denied", "no valid credential: send \"Authorization: Bearer <token>\" or sign in");
    response.headers["WWW-Authenticate"] = "Bearer realm=\"ferry\"";
    return response;
  }
  if (!allows(caller->role, needs))
    return http::problem(403, "denied",
                         "this needs the role " + std::string(to_string(needs)) + "; " + caller->name + " is " +
                             std::string(to_string(caller->role)));
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (caller->by_cookie && !reads && request.header(std::string(csrf_header)) != "1")
    return http::problem(403, "denied", "a write with the session cookie needs the header Ferry-CSRF: 1");
  return std::nullopt;
}

Result<Access::Created> Access::create(const std::string& name, Role role, std::int64_t ttl_s) {
  {
    std::lock_guard lock(mutex_);
    if (tokens_.size() >= access_tokens_max)
      return Error{Errc::conflict, "access tokens: " + std::to_string(access_tokens_max) + " exist, remove some first"};
  }
  Created created{random_.id("acc"), std::string(token_prefix) + to_base64url(random_.bytes(secret_bytes))};
  AccessTokenRow row{
      .id = created.id, .secret_sha256 = sha256(created.token), .name = name, .role = std::string(to_string(role))};
  row.created_ms = to_unix_ms(clock_.now());
  row.expires_ms = ttl_s == 0 ? 0 : row.created_ms + ttl_s * 1000;
  TRY_VOID(store_.insert(row));
  std::lock_guard lock(mutex_);
  tokens_[row.secret_sha256.bytes()] = Caller{row.id, name, role, row.expires_ms, false};
  return created;
}

Result<bool> Access::remove(const std::string& id) {
  TRY(bool removed, store_.remove_access(id));
  std::lock_guard lock(mutex_);
  std::erase_if(tokens_, [&](const auto& entry) { return entry.second.token == id; });
  std::erase_if(sessions_, [&](const auto& entry) { return entry.second.token == id; });
  return removed;
}

std::string Access::open_session(const Caller& caller) {
  const std::string cookie = to_base64url(random_.bytes(secret_bytes));
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  Caller session = caller;
  session.by_cookie = true;
  const std::int64_t end_ms = now_ms + session_life_ms;
  session.expires_ms = caller.expires_ms == 0 ? end_ms : std::min(end_ms, caller.expires_ms);
  std::lock_guard lock(mutex_);
  if (sessions_.size() >= sessions_max)
    std::erase_if(sessions_, [&](const auto& entry) { return entry.second.expires_ms <= now_ms; });
  if (sessions_.size() >= sessions_max) sessions_.erase(sessions_.begin());
  sessions_[sha256(cookie).bytes()] = std::move(session);
  return cookie;
}

void Access::close_session(const http::Request& request) {
  const std::string key = sha256(cookie_of(request)).bytes();
  std::lock_guard lock(mutex_);
  sessions_.erase(key);
}

}  // namespace ferry::server
