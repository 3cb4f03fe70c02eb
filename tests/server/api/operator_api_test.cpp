// Every route of the operator listener: who may call it, and how it refuses what is not of its form.
#include "tests/server/api/api_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

struct Entry {
  const char* method;
  const char* target;
  Role least;
};

// docs/formats/operator-api.md, row by row.
const Entry table[] = {
    {"GET", "/api/v1/trust", Role::viewer},
    {"POST", "/api/v1/trust", Role::admin},
    {"PUT", "/api/v1/blobs/sha256/00", Role::publisher},
    {"HEAD", "/api/v1/blobs/sha256/00", Role::publisher},
    {"GET", "/api/v1/metadata/root.json", Role::publisher},
    {"POST", "/api/v1/releases", Role::publisher},
    {"GET", "/api/v1/models", Role::viewer},
    {"GET", "/api/v1/releases", Role::viewer},
    {"GET", "/api/v1/releases/m/1.0.0", Role::viewer},
    {"POST", "/api/v1/tokens", Role::operator_},
    {"GET", "/api/v1/tokens", Role::operator_},
    {"DELETE", "/api/v1/tokens/tok-1", Role::operator_},
    {"POST", "/api/v1/access-tokens", Role::admin},
    {"GET", "/api/v1/access-tokens", Role::admin},
    {"DELETE", "/api/v1/access-tokens/acc-1", Role::admin},
    {"GET", "/api/v1/devices", Role::viewer},
    {"GET", "/api/v1/devices/dev-1", Role::viewer},
    {"GET", "/api/v1/devices/dev-1/timeline", Role::viewer},
    {"PATCH", "/api/v1/devices/dev-1", Role::operator_},
    {"POST", "/api/v1/devices/dev-1:revoke", Role::admin},
    {"POST", "/api/v1/rollouts", Role::publisher},
    {"GET", "/api/v1/rollouts", Role::viewer},
    {"GET", "/api/v1/rollouts/ro-1", Role::viewer},
    {"GET", "/api/v1/rollouts/ro-1/devices", Role::viewer},
    {"POST", "/api/v1/rollouts/ro-1:pause", Role::operator_},
    {"POST", "/api/v1/rollouts/ro-1:resume", Role::operator_},
    {"POST", "/api/v1/rollouts/ro-1:abort", Role::operator_},
    {"POST", "/api/v1/rollouts/ro-1:promote", Role::operator_},
    {"GET", "/api/v1/overview", Role::viewer},
    {"GET", "/api/v1/telemetry?model=m", Role::viewer},
    {"GET", "/api/v1/telemetry/classes?model=m", Role::viewer},
    {"GET", "/api/v1/drift?model=m", Role::viewer},
    {"GET", "/api/v1/events", Role::viewer},
    {"GET", "/api/v1/session", Role::viewer},
    {"DELETE", "/api/v1/session", Role::viewer},
    {"GET", "/version", Role::anyone},
    {"GET", "/healthz", Role::anyone},
    {"GET", "/readyz", Role::anyone},
    {"GET", "/metrics", Role::anyone},
};

}  // namespace

TEST_CASE("every route is open to its role and to those above it, and to nobody below") {
  Server server;
  std::map<Role, std::string> tokens{{Role::admin, server.admin}};
  for (Role role : {Role::viewer, Role::publisher, Role::operator_})
    tokens[role] = server.token(std::string(to_string(role)));
  for (const Entry& entry : table) {
    INFO(entry.method << " " << entry.target);
    const int anonymous = server.ask(entry.method, entry.target, "").status();
    CHECK((anonymous == 401) == (entry.least != Role::anyone));
    CHECK((server.ask(entry.method, entry.target, "wrong").status() == 401) == (entry.least != Role::anyone));
    for (const auto& [role, token] : tokens) {
      INFO(to_string(role));
      const Answer answer = server.ask(entry.method, entry.target, token);
      CHECK((answer.status() == 403) == !allows(role, entry.least));
      CHECK(answer.status() != 405);
      CHECK(answer.status() < 500);
      if (answer.status() >= 400 && std::string_view(entry.method) != "HEAD") {
        CHECK(answer.header("Content-Type") == "application/problem+json");
        for (const char* member : {"type", "title", "status", "detail", "code"}) CHECK(answer.json().contains(member));
        CHECK(answer.json()["status"] == answer.status());
      }
    }
  }
}

TEST_CASE("bodies are bounded as documented: one MiB, 32 MiB to publish, two GiB for a blob on disk") {
  Server server;
  const auto limit = [&](const char* method, const char* path) {
    return need(server.operators().find(method, path)).route->body_bytes_max;
  };
  CHECK(limit("POST", "/api/v1/tokens") == 1024u * 1024);
  CHECK(limit("POST", "/api/v1/rollouts") == 1024u * 1024);
  CHECK(limit("PATCH", "/api/v1/devices/dev-1") == 1024u * 1024);
  CHECK(limit("POST", "/api/v1/trust") == 32u * 1024 * 1024);
  CHECK(limit("POST", "/api/v1/releases") == 32u * 1024 * 1024);
  const http::Route& blob = *need(server.operators().find("PUT", "/api/v1/blobs/sha256/00")).route;
  CHECK(blob.body_bytes_max == 2ull * 1024 * 1024 * 1024);
  CHECK(blob.body_directory == server.services().blobs.incoming());
  for (const Entry& entry : table) {
    const std::string target = entry.target;
    const http::Route& route = *need(server.operators().find(entry.method, target.substr(0, target.find('?')))).route;
    INFO(entry.method << " " << entry.target);
    CHECK((route.body_directory.empty() == (std::string_view(entry.method) != "PUT")));
  }
}

TEST_CASE("a body that is no JSON object is refused, whatever the route") {
  Server server;
  server.publish_trust();
  for (const char* target :
       {"/api/v1/trust", "/api/v1/releases", "/api/v1/tokens", "/api/v1/access-tokens", "/api/v1/rollouts"})
    for (const char* body : {"nonsense", "[]", "5", "{\"a\":1,\"a\":2}", "{} {}", "{\"a\": }", "\xff"}) {
      INFO(target << " " << body);
      const Answer answer = server.ask("POST", target, server.admin, body);
      CHECK(answer.status() == 400);
      CHECK(answer.code() == "bad_input");
      CHECK_FALSE(answer.detail().empty());
    }
}

TEST_CASE("unknown members are refused with the nearest known name") {
  Server server;
  server.publish_trust();
  const auto refused = [&](const std::string& method, const std::string& target, const Json& body,
                           const std::string& nearest) {
    const Answer answer = server.ask(method, target, server.admin, dump_json(body));
    INFO(target << " " << answer.body());
    CHECK(answer.status() == 400);
    CHECK(answer.code() == "bad_input");
    CHECK_THAT(answer.detail(), Catch::Contains("'" + nearest + "'"));
  };
  const auto device = server.enrol();
  refused("POST", "/api/v1/trust", {{"roots", "x"}}, "root");
  refused("POST", "/api/v1/releases", {{"manifests", "x"}}, "manifest");
  refused("POST", "/api/v1/tokens", {{"use", 1}}, "uses");
  refused("POST", "/api/v1/access-tokens", {{"nam", "x"}}, "name");
  refused("PATCH", "/api/v1/devices/" + device.id, {{"label", Json::object()}}, "labels");
  refused("POST", "/api/v1/rollouts", {{"select", "*"}}, "selector");
  refused("POST", "/api/v1/rollouts", {{"model", "m"}, {"version", "1.0.0"}, {"policy", {{"phase", 1}}}}, "phases");
  refused("POST", "/api/v1/rollouts/ro-1:pause", {{"reasons", "x"}}, "reason");
}

TEST_CASE("a page is limited, and a cursor that no list gave out is refused") {
  Server server;
  for (const char* target : {"/api/v1/devices", "/api/v1/tokens", "/api/v1/access-tokens", "/api/v1/rollouts",
                             "/api/v1/models", "/api/v1/releases"}) {
    INFO(target);
    const Answer answer = server.get(target);
    CHECK(answer.status() == 200);
    CHECK(answer.json()["items"].is_array());
    CHECK(answer.json()["next_cursor"] == "");
    for (const char* limit : {"0", "1001", "-1", "x", "1x", "99999999999999999999"}) {
      const Answer refused = server.get(std::string(target) + "?limit=" + limit);
      INFO(limit);
      CHECK(refused.status() == 400);
      CHECK_THAT(refused.detail(), Catch::Contains("limit"));
    }
    CHECK(server.get(std::string(target) + "?limit=1000").status() == 200);
  }
  for (const char* target : {"/api/v1/access-tokens", "/api/v1/rollouts", "/api/v1/models"})
    CHECK_THAT(server.get(std::string(target) + "?cursor=nonsense").detail(), Catch::Contains("cursor"));
}

TEST_CASE("a session gives a browser the caller's own rights, by a cookie that scripts cannot read") {
  Server server;
  const std::string token = server.token("operator");
  const Answer opened = server.ask("POST", "/api/v1/session", token);
  REQUIRE(opened.status() == 200);
  CHECK(opened.json()["name"] == "operator");
  CHECK(opened.json()["role"] == "operator");
  CHECK(opened.json()["expires_ms"] == to_unix_ms(server.clock.now()) + session_life_ms);
  const std::string set = opened.header("Set-Cookie");
  CHECK_THAT(set, Catch::StartsWith("__Host-ferry=") && Catch::Contains("HttpOnly") && Catch::Contains("Secure") &&
                      Catch::Contains("SameSite=Strict") && Catch::Contains("Path=/"));
  const Headers cookie{{"cookie", set.substr(0, set.find(';'))}};
  const Answer who = server.ask("GET", "/api/v1/session", "", "", cookie);
  CHECK(who.status() == 200);
  CHECK(who.json() == opened.json());
  CHECK(server.ask("POST", "/api/v1/session", "", "", cookie).status() == 401);  // a cookie cannot renew itself
  CHECK(server.ask("GET", "/api/v1/devices", "", "", cookie).status() == 200);
  CHECK(server.ask("POST", "/api/v1/tokens", "", "{}", cookie).status() == 403);
  Headers with_header = cookie;
  with_header["ferry-csrf"] = "1";
  CHECK(server.ask("POST", "/api/v1/tokens", "", "{}", with_header).code() == "trust_missing");  // past the guard
  CHECK(server.ask("GET", "/api/v1/access-tokens", "", "", with_header).status() == 403);
  const Answer closed = server.ask("DELETE", "/api/v1/session", "", "", with_header);
  CHECK(closed.status() == 204);
  CHECK_THAT(closed.header("Set-Cookie"), Catch::Contains("Max-Age=0"));
  CHECK(server.ask("GET", "/api/v1/session", "", "", cookie).status() == 401);
  CHECK(server.ask("POST", "/api/v1/session", "").status() == 401);
  CHECK(server.ask("GET", "/api/v1/session", token).json()["expires_ms"] == 0);
}

TEST_CASE("access tokens are made, listed without their secret, and removed with all their power") {
  Server server;
  const Answer made = server.post("/api/v1/access-tokens", {{"name", "ci"}, {"role", "publisher"}, {"ttl_s", 60}});
  REQUIRE(made.status() == 201);
  const std::string id = made.json()["id"].get<std::string>(), token = made.json()["token"].get<std::string>();
  const Json list = server.get("/api/v1/access-tokens").json()["items"];
  REQUIRE(list.size() == 2);
  for (const Json& item : list) {
    CHECK_FALSE(item.contains("token"));
    if (item["id"] != id) continue;
    CHECK(item["name"] == "ci");
    CHECK(item["role"] == "publisher");
    CHECK(item["expires_ms"] == to_unix_ms(server.clock.now()) + 60'000);
  }
  server.restart();
  CHECK(server.ask("GET", "/api/v1/devices", token).status() == 200);
  CHECK(server.ask("DELETE", "/api/v1/access-tokens/" + id, server.admin).status() == 204);
  CHECK(server.ask("GET", "/api/v1/devices", token).status() == 401);
  CHECK(server.ask("DELETE", "/api/v1/access-tokens/" + id, server.admin).status() == 404);
  for (const Json& bad :
       {Json{{"role", "viewer"}}, Json{{"name", ""}, {"role", "viewer"}}, Json{{"name", "x"}, {"role", "root"}},
        Json{{"name", "x"}}, Json{{"name", "x"}, {"role", "viewer"}, {"ttl_s", -1}},
        Json{{"name", 5}, {"role", "viewer"}}, Json{{"name", std::string(101, 'x')}, {"role", "viewer"}}}) {
    const Answer refused = server.post("/api/v1/access-tokens", bad);
    INFO(bad.dump());
    CHECK(refused.status() == 400);
  }
}

TEST_CASE("version, health and metrics are for anyone; readiness says what is wrong") {
  Server server;
  CHECK(server.ask("GET", "/version", "").json() == Json{{"name", "ferryd"}, {"version", server_version}});
  CHECK(server.ask("GET", "/healthz", "").status() == 200);
  const Answer ready = server.ask("GET", "/readyz", "");
  CHECK(ready.status() == 200);
  CHECK(ready.json() ==
        *parse_json(R"({"ready": true, "checks": {"database": "ok", "blobs": "ok", "draining": false}})"));
  const Answer metrics = server.ask("GET", "/metrics", "");
  CHECK_THAT(metrics.body(), Catch::Contains("ferry_devices{state=\"ok\"} 0\n") &&
                                 Catch::Contains("ferry_rollouts_running 0\n") &&
                                 Catch::Contains("ferry_event_streams 0\n"));
  std::filesystem::remove_all(server.services().blobs.incoming());
  const Answer broken = server.ask("GET", "/readyz", "");
  CHECK(broken.status() == 503);
  CHECK(broken.json()["ready"] == false);
  CHECK(broken.json()["checks"]["blobs"] != "ok");
  server.services().draining = true;
  CHECK(server.ask("GET", "/readyz", "").json()["checks"]["draining"] == true);
}

TEST_CASE("what no route answers is the dashboard's, except below the API") {
  Server server;
  CHECK(server.get("/").status() == 200);
  CHECK_THAT(server.get("/devices/dev-1").body(), Catch::Contains("dashboard is not installed"));
  CHECK(server.get("/api/v1/nonsense").status() == 404);
  CHECK(server.get("/device/v1/assignment").status() == 404);
  CHECK(server.ask("DELETE", "/api/v1/devices", server.admin).status() == 405);
}

TEST_CASE("the event stream needs a viewer, and names its topics") {
  Server server;
  const Answer stream = server.get("/api/v1/events?topics=overview,devices");
  CHECK(stream.status() == 200);
  CHECK(stream.header("Content-Type") == "text/event-stream");
  CHECK(stream.response.stream);
  CHECK(server.get("/api/v1/events?topics=nonsense").status() == 400);
}
