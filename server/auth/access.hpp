// Who may do what: bearer tokens of people and CI, dashboard sessions, roles.
#pragma once
#include "common/clock.hpp"
#include "common/http/message.hpp"
#include "common/random.hpp"
#include "server/store/tokens.hpp"

#include <mutex>
#include <optional>
#include <unordered_map>

namespace ferry::server {

inline constexpr std::size_t sessions_max = 10'000;
inline constexpr std::int64_t session_life_ms = 12 * 3'600'000;
inline constexpr std::size_t access_tokens_max = 10'000;
inline constexpr std::string_view session_cookie = "__Host-ferry";
inline constexpr std::string_view csrf_header = "ferry-csrf";

enum class Role { anyone, viewer, publisher, operator_, admin };
std::string_view to_string(Role role);
Result<Role> parse_role(std::string_view text);  // viewer | publisher | operator | admin
// operator and admin include publisher, everybody includes viewer.
bool allows(Role has, Role needs);

struct Caller {
  std::string token;  // id of the access token behind it
  std::string name;
  Role role = Role::viewer;
  std::int64_t expires_ms = 0;  // 0: never
  bool by_cookie = false;
};

// Thread-safe. Checks are answered from memory; only tokens' creation and removal block on the database.
class Access {
 public:
  Access(TokenStore& store, Clock& clock, Random& random) : store_(store), clock_(clock), random_(random) {}
  Result<> load();

  // nullopt: no valid credential.
  std::optional<Caller> identify(const http::Request& request) const;
  // nullopt lets the request in; else 401 or 403. A write with the cookie needs the header Ferry-CSRF: 1.
  std::optional<http::Response> refuse(const http::Request& request, Role needs) const;

  struct Created {
    std::string id;
    std::string token;  // shown once
  };
  Result<Created> create(const std::string& name, Role role, std::int64_t ttl_s);
  Result<std::vector<AccessTokenRow>> list() { return store_.access_tokens(); }
  Result<bool> remove(const std::string& id);

  // The cookie's value; replaces nothing. The session ends with the token's own expiry at the latest.
  std::string open_session(const Caller& caller);
  void close_session(const http::Request& request);

 private:
  std::optional<Caller> valid(const Caller& known) const;

  TokenStore& store_;
  Clock& clock_;
  Random& random_;
  mutable std::mutex mutex_;                        // guards the maps
  std::unordered_map<std::string, Caller> tokens_;  // by SHA-256 of the token: looking up tells nothing by its time
  mutable std::unordered_map<std::string, Caller> sessions_;
};

}  // namespace ferry::server
