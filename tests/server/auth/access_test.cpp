#include "server/auth/access.hpp"

#include "tests/server/store/store_fixture.hpp"
#include "tests/support/sim_clock.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

constexpr Role roles[] = {Role::anyone, Role::viewer, Role::publisher, Role::operator_, Role::admin};

struct World {
  std::unique_ptr<Database> database = memory_database();
  ferry::test::SimClock clock;
  SystemRandom random;
  TokenStore store{*database};
  Access access{store, clock, random};

  std::string token(Role role, std::int64_t ttl_s = 0) {
    return need(access.create(std::string(to_string(role)), role, ttl_s)).token;
  }
};

http::Request bearer(const std::string& token, const std::string& method = "GET") {
  http::Request request;
  request.method = method;
  request.headers["authorization"] = "Bearer " + token;
  return request;
}
http::Request cookie(const std::string& value, const std::string& method = "GET", const std::string& csrf = "") {
  http::Request request;
  request.method = method;
  request.headers["cookie"] = "other=1; __Host-ferry=" + value + "; more=2";
  if (!csrf.empty()) request.headers["ferry-csrf"] = csrf;
  return request;
}
int status(const std::optional<http::Response>& refused) { return refused ? refused->status : 200; }

}  // namespace

TEST_CASE("every role is let in where its own or a lower one is enough") {
  // As docs/formats/operator-api.md orders them.
  const bool allowed[5][5] = {
      // needs: anyone viewer publisher operator admin
      {true, false, false, false, false}, {true, true, false, false, false}, {true, true, true, false, false},
      {true, true, true, true, false},    {true, true, true, true, true},
  };
  World world;
  for (Role has : roles)
    for (Role needs : roles) {
      INFO(to_string(has) << " where " << to_string(needs) << " is needed");
      const bool expected = allowed[static_cast<int>(has)][static_cast<int>(needs)];
      CHECK(allows(has, needs) == expected);
      if (has == Role::anyone) continue;
      const auto refused = world.access.refuse(bearer(world.token(has)), needs);
      CHECK(status(refused) == (expected ? 200 : 403));
      if (refused) CHECK_THAT(refused->body, Catch::Contains(std::string(to_string(needs))));
    }
}

TEST_CASE("roles have names that read back, and there are no others") {
  for (Role role : roles)
    if (role != Role::anyone) CHECK(need(parse_role(to_string(role))) == role);
  for (const char* text : {"", "anyone", "Admin", "root", "operator_"})
    CHECK_THAT(parse_role(text).error().context, Catch::Contains("viewer | publisher | operator | admin"));
}

TEST_CASE("without a valid credential the answer is 401 and says how") {
  World world;
  const std::string good = world.token(Role::admin);
  for (const http::Request& request :
       {http::Request{}, bearer(""), bearer("wrong"), bearer(good + "x"), bearer(good.substr(1)), bearer(" " + good),
        bearer(std::string(10'000, 'x')), cookie("wrong"), cookie("")}) {
    const auto refused = world.access.refuse(request, Role::viewer);
    REQUIRE(refused);
    CHECK(refused->status == 401);
    CHECK(refused->headers.at("WWW-Authenticate").starts_with("Bearer"));
    CHECK_THAT(refused->body, Catch::Contains("\"denied\""));
    CHECK_FALSE(world.access.refuse(request, Role::anyone));
  }
  http::Request basic;
  basic.headers["authorization"] = "Basic " + good;
  CHECK(status(world.access.refuse(basic, Role::viewer)) == 401);
  http::Request lower;
  lower.headers["authorization"] = "bearer " + good;  // the scheme is case-insensitive
  CHECK(status(world.access.refuse(lower, Role::admin)) == 200);
}

TEST_CASE("a token ends when its time is over or when it is removed, and survives a restart till then") {
  World world;
  const auto created = need(world.access.create("ci", Role::publisher, 60));
  Access restarted(world.store, world.clock, world.random);
  need(restarted.load());
  const auto caller = restarted.identify(bearer(created.token));
  REQUIRE(caller);
  CHECK(caller->name == "ci");
  CHECK(caller->role == Role::publisher);
  CHECK(caller->token == created.id);
  CHECK_FALSE(caller->by_cookie);
  world.clock.advance(59s);
  CHECK(world.access.identify(bearer(created.token)));
  world.clock.advance(1s);
  CHECK_FALSE(world.access.identify(bearer(created.token)));
  CHECK_FALSE(restarted.identify(bearer(created.token)));
  const auto forever = need(world.access.create("ada", Role::admin, 0));
  world.clock.advance(std::chrono::hours{24 * 3650});
  CHECK(world.access.identify(bearer(forever.token)));
  CHECK(need(world.access.remove(forever.id)));
  CHECK_FALSE(world.access.identify(bearer(forever.token)));
  CHECK_FALSE(need(world.access.remove(forever.id)));
}

TEST_CASE("only the hash of a token is stored") {
  World world;
  const auto created = need(world.access.create("ci", Role::publisher, 0));
  const auto rows = need(world.access.list());
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].secret_sha256 == sha256(created.token));
  CHECK(created.token.starts_with("ferryop."));
  CHECK(created.token.size() == 8 + 43);
  CHECK(need(world.access.create("ci", Role::publisher, 0)).token != created.token);
}

TEST_CASE("a session reads by its cookie, and writes only with the header that no other site can send") {
  World world;
  const auto caller = world.access.identify(bearer(world.token(Role::operator_)));
  const std::string session = world.access.open_session(*caller);
  const auto found = world.access.identify(cookie(session));
  REQUIRE(found);
  CHECK(found->by_cookie);
  CHECK(found->name == "operator");
  for (const char* method : {"GET", "HEAD"})
    CHECK(status(world.access.refuse(cookie(session, method), Role::viewer)) == 200);
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE"}) {
    INFO(method);
    CHECK(status(world.access.refuse(cookie(session, method), Role::viewer)) == 403);
    CHECK(status(world.access.refuse(cookie(session, method, "0"), Role::viewer)) == 403);
    CHECK(status(world.access.refuse(cookie(session, method, "1"), Role::operator_)) == 200);
    CHECK(status(world.access.refuse(cookie(session, method, "1"), Role::admin)) == 403);
  }
  CHECK(status(world.access.refuse(bearer(world.token(Role::operator_), "POST"), Role::operator_)) == 200);
}

TEST_CASE("a wrong bearer token is not made up for by a good cookie") {
  World world;
  const std::string session = world.access.open_session(*world.access.identify(bearer(world.token(Role::admin))));
  http::Request both = cookie(session);
  both.headers["authorization"] = "Bearer wrong";
  CHECK_FALSE(world.access.identify(both));
}

TEST_CASE("a session ends by itself, with its token, or when it is closed") {
  World world;
  const auto token = need(world.access.create("ada", Role::admin, 0));
  const auto caller = *world.access.identify(bearer(token.token));
  const std::string closed = world.access.open_session(caller);
  const std::string kept = world.access.open_session(caller);
  CHECK(closed != kept);
  world.access.close_session(cookie(closed));
  CHECK_FALSE(world.access.identify(cookie(closed)));
  CHECK(world.access.identify(cookie(kept)));
  world.clock.advance(Duration{session_life_ms - 1});
  CHECK(world.access.identify(cookie(kept)));
  world.clock.advance(1ms);
  CHECK_FALSE(world.access.identify(cookie(kept)));
  const std::string orphan = world.access.open_session(caller);
  CHECK(need(world.access.remove(token.id)));
  CHECK_FALSE(world.access.identify(cookie(orphan)));
  const auto brief = *world.access.identify(bearer(world.token(Role::viewer, 60)));
  const std::string shorter = world.access.open_session(brief);
  world.clock.advance(60s);
  CHECK_FALSE(world.access.identify(cookie(shorter)));
}

TEST_CASE("sessions are bounded: the memory does not grow with those who sign in") {
  World world;
  const auto caller = *world.access.identify(bearer(world.token(Role::viewer)));
  std::vector<std::string> sessions;
  for (std::size_t i = 0; i < sessions_max + 5; ++i) sessions.push_back(world.access.open_session(caller));
  const auto alive = std::count_if(sessions.begin(), sessions.end(),
                                   [&](const auto& session) { return world.access.identify(cookie(session)); });
  CHECK(alive == static_cast<std::ptrdiff_t>(sessions_max));
  CHECK(world.access.identify(cookie(sessions.back())));
}

TEST_CASE("a cookie of a similar name is not ours") {
  World world;
  const std::string session = world.access.open_session(*world.access.identify(bearer(world.token(Role::viewer))));
  http::Request request;
  for (const std::string& header : {"__Host-ferry2=" + session, "x__Host-ferry=" + session, "__Host-ferry;=" + session,
                                    std::string("__Host-ferry"), std::string(";;;"), std::string("=")}) {
    request.headers["cookie"] = header;
    INFO(header);
    CHECK_FALSE(world.access.identify(request));
  }
  request.headers["cookie"] = "__Host-ferry=" + session;
  CHECK(world.access.identify(request));
}
