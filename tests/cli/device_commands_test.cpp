// `ferry device` and `ferry token`.
#include "tests/cli/api_server.hpp"

using namespace ferry;
using namespace ferry::test;

namespace {

Json device() {
  return Json::parse(R"({
    "id": "dev-1", "state": "attention", "enrolled_ms": 0, "last_seen_ms": 1764054765000, "online": true,
    "labels": {"site": "oslo"}, "hardware_class": "x86_64-avx2-2c-16g-cpu",
    "models": [{"model": "fashion-mnist", "active": {"version": "1.1.0", "slot": "b", "variant": "int8"},
                "update": {"state": "idle"}, "last_reason": "trial.memory"},
               {"model": "keyword-spotter", "update": {"state": "downloading"}, "last_reason": ""}]})");
}

}  // namespace

TEST_CASE("device list and show print tables, or the API's own JSON") {
  ApiServer server;
  server.on("GET /devices", 200, items({device()}));
  server.on("GET /devices/dev-1", 200, device());
  const Ran list = server.ferry({"device", "list"});
  CHECK(list.code == 0);
  CHECK(list.out ==
        "DEVICE  STATE      HARDWARE                LABELS     LAST SEEN\n"
        "dev-1   attention  x86_64-avx2-2c-16g-cpu  site=oslo  2025-11-25T07:12:45Z\n");
  CHECK(server.ferry({"device", "list", "-o", "json"}).json() == Json::array({device()}));
  const Ran show = server.ferry({"device", "show", "dev-1"});
  CHECK(contains(show.out, "fashion-mnist    1.1.0  b     int8     idle         trial.memory"));
  CHECK(contains(show.out, "keyword-spotter  -      -     -        downloading  -"));
  CHECK(server.ferry({"device", "show", "dev-1", "-o", "json"}).json() == device());
  CHECK(server.ferry({"device", "show", "dev-9"}).code == 3);
}

TEST_CASE("device timeline shows the newest events, as many as asked for") {
  ApiServer server;
  const Json event = Json::parse(R"({"id": 412, "at_ms": 1764054765000, "kind": "update", "model": "fashion-mnist",
    "version": "1.3.0", "state": "rolled_back", "reason": "trial.memory", "variant": "int8", "slot": "b"})");
  server.on("GET /devices/dev-1/timeline", 200, items({event}, "412"));
  const Ran ran = server.ferry({"device", "timeline", "dev-1", "--limit", "1"});
  CHECK(ran.code == 0);
  CHECK(contains(ran.out, "rolled_back  trial.memory"));
  CHECK(server.asked() == std::vector<std::string>{"GET /devices/dev-1/timeline?limit=1"});
  CHECK(server.ferry({"device", "timeline", "dev-1", "--limit", "0"}).code == 2);
  CHECK(server.ferry({"device", "timeline", "dev-1", "--limit", "1", "-o", "json"}).json() == Json::array({event}));
}

TEST_CASE("device label sets and removes labels") {
  ApiServer server;
  server.on("PATCH /devices/dev-1", 200, device());
  const Ran ran = server.ferry({"device", "label", "dev-1", "site=oslo", "kind=a=b", "old-", "note="});
  INFO(ran.err);
  CHECK(ran.code == 0);
  CHECK(server.body_of("PATCH /devices/dev-1") ==
        Json::parse(R"({"labels": {"site": "oslo", "kind": "a=b", "old": null, "note": ""}})"));
  CHECK(server.ferry({"device", "label", "dev-1", "site=oslo", "-o", "json"}).json()["id"] == "dev-1");
  for (const char* bad : {"site", "=oslo", "-"}) {
    const Ran refused = server.ferry({"device", "label", "dev-1", "--", bad});
    INFO(bad << refused.err);
    CHECK(refused.code == 2);
  }
  CHECK(server.ferry({"device", "label", "dev-1"}).code == 2);
  CHECK(server.requests("PATCH /devices/dev-1").size() == 2);
}

TEST_CASE("device revoke says what it means; without the role it is exit 4") {
  ApiServer server;
  server.on("POST /devices/dev-1:revoke", 200, device());
  server.refuse("POST /devices/dev-2:revoke", 403, "denied", "role operator, expected admin");
  const Ran ran = server.ferry({"device", "revoke", "dev-1"});
  CHECK(ran.code == 0);
  CHECK(contains(ran.err, "its certificate is refused from now on"));
  const Ran refused = server.ferry({"device", "revoke", "dev-2"});
  CHECK(refused.code == 4);
  CHECK(contains(refused.err, "expected admin"));
  CHECK(contains(refused.err, "fix: check the token"));
}

TEST_CASE("token create prints the token alone on stdout; list shows what is open; revoke removes") {
  ApiServer server;
  server.on("POST /tokens", 201, Json{{"id", "tok-1"}, {"token", "ferry1.abc"}, {"expires_ms", 1764054765000}});
  server.on("GET /tokens", 200,
            items({Json::parse(R"({"id": "tok-1", "expires_ms": 1764054765000, "uses_left": 2, "uses_total": 3,
                                   "labels": {"site": "oslo"}})")}));
  server.on("DELETE /tokens/tok-1", 204);
  const Ran made = server.ferry(
      {"token", "create", "--uses", "3", "--ttl", "600", "--label", "site=oslo", "--label", "kind=camera"});
  CHECK(made.out == "ferry1.abc\n");
  CHECK(contains(made.err, "ferry-agent enroll --token"));
  CHECK(server.body_of("POST /tokens") ==
        Json::parse(R"({"uses": 3, "ttl_s": 600, "labels": {"site": "oslo", "kind": "camera"}})"));
  CHECK(server.ferry({"token", "create", "-o", "json"}).json()["token"] == "ferry1.abc");
  CHECK(contains(server.ferry({"token", "list"}).out, "tok-1  2          2025-11-25T07:12:45Z  site=oslo"));
  const Ran gone = server.ferry({"token", "revoke", "tok-1"});
  CHECK(gone.code == 0);
  CHECK(contains(gone.err, "revoked tok-1"));
  CHECK(server.ferry({"token", "revoke", "tok-2"}).code == 3);
}

TEST_CASE("a token that no server would make is refused before it is asked") {
  ApiServer server;
  for (const std::vector<std::string>& flags : {std::vector<std::string>{"--uses", "0"},
                                                {"--uses", "100001"},
                                                {"--ttl", "59"},
                                                {"--ttl", "31536001"},
                                                {"--label", "site"},
                                                {"--label", "site-"},
                                                {"--uses", "many"}}) {
    std::vector<std::string> arguments{"token", "create"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Ran ran = server.ferry(arguments);
    INFO(flags[0] << " " << flags[1] << ": " << ran.err);
    CHECK(ran.code == 2);
  }
  CHECK(server.asked().empty());
}
