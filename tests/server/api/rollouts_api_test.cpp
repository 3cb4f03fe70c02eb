#include "tests/server/api/api_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

struct World : Server {
  World() {
    publish_trust();
    publish("1.0.0", 1);
    publish("1.1.0", 2);
  }
  std::vector<DeviceSide> fleet;
  void enrol_fleet(int count) {
    for (int i = 0; i < count; ++i) {
      const Answer answer = enrol_with(enrolment_token(), test_key("device"));
      REQUIRE(answer.status() == 200);
      const Certificate certificate = certificate_of(answer);
      fleet.push_back({certificate.common_name, test_key("device"), peer_of(certificate)});
    }
  }
  // The devices that are offered the rollout when all check in, and have that noted.
  std::vector<DeviceSide> offered(const std::string& id) {
    std::vector<DeviceSide> list;
    for (const DeviceSide& device : fleet) {
      const Json answer = check_in(device);
      for (const Json& model : answer["models"])
        if (model["rollout"] == id) list.push_back(device);
    }
    turn();
    return list;
  }
  Answer act(const std::string& id, const std::string& action, const Headers& headers = {},
             const Json& body = Json::object()) {
    return post("/api/v1/rollouts/" + id + ":" + action, body, headers);
  }
  Json show(const std::string& id) { return get("/api/v1/rollouts/" + id).json(); }
};

Json two_phases() { return *parse_json(R"({"phases": [{"percent": 50, "soak_s": 10}, {"percent": 100}]})"); }

}  // namespace

TEST_CASE("a rollout is created with defaults, answered whole, and found again") {
  World world;
  const Answer made = world.post("/api/v1/rollouts", {{"model", Publisher::model}, {"version", "1.0.0"}});
  REQUIRE(made.status() == 201);
  const Json rollout = made.json();
  CHECK(rollout["state"] == "running");
  CHECK(rollout["selector"] == "*");
  CHECK(rollout["created_by"] == "admin");
  CHECK(rollout["from_version"] == "");
  CHECK(rollout["policy"]["phases"] == *parse_json(R"([{"percent": 100, "soak_s": 0}])"));
  CHECK(rollout["policy"]["failures_max"] == 0);
  CHECK(rollout["policy"]["device_timeout_s"] == 900);
  CHECK(rollout["policy"]["trial"]["shadow_requests"] == 50);
  CHECK(rollout["phases"][0]["state"] == "running");
  CHECK(rollout["failures"] == Json::array());
  CHECK(rollout["log"][0]["decision"] == "start");
  CHECK(rollout["devices"]["selected"] == 0);
  for (std::size_t i = 0; i < progress_count; ++i)
    CHECK(rollout["devices"].contains(std::string(to_string(static_cast<Progress>(i)))));
  const std::string id = rollout["id"].get<std::string>();
  const Answer shown = world.get("/api/v1/rollouts/" + id);
  CHECK(shown.json() == rollout);
  CHECK(shown.header("ETag") == "\"" + rollout["revision"].dump() + "\"");
  CHECK(made.header("ETag") == shown.header("ETag"));
  const Json list = world.get("/api/v1/rollouts").json()["items"];
  REQUIRE(list.size() == 1);
  CHECK(list[0]["id"] == id);
  for (const char* left_out : {"log", "phases", "failures"}) CHECK_FALSE(list[0].contains(left_out));
  CHECK(world.get("/api/v1/rollouts/ro-nothing").status() == 404);
}

TEST_CASE("what cannot be rolled out is refused with its code") {
  World world;
  const auto post = [&](Json body) { return world.post("/api/v1/rollouts", body); };
  const Answer unknown = post({{"model", Publisher::model}, {"version", "9.9.9"}});
  CHECK(unknown.status() == 404);
  CHECK(unknown.code() == "not_found");
  CHECK_THAT(post({{"version", "1.0.0"}}).detail(), Catch::Contains("model"));
  CHECK_THAT(post({{"model", Publisher::model}}).detail(), Catch::Contains("version"));
  const Json good{{"model", Publisher::model}, {"version", "1.0.0"}};
  const auto with = [&](const char* key, const Json& value) {
    Json body = good;
    body[key] = value;
    return post(body);
  };
  CHECK_THAT(with("selector", "oslo").detail(), Catch::Contains("selector"));
  CHECK_THAT(with("selector", 5).detail(), Catch::Contains("selector"));
  CHECK_THAT(with("name", std::string(201, 'x')).detail(), Catch::Contains("name"));
  CHECK_THAT(with("policy", *parse_json(R"({"phases": [{"percent": 50}]})")).detail(), Catch::Contains("100"));
  CHECK_THAT(with("policy", *parse_json(R"({"failures_max": -1})")).detail(), Catch::Contains("failures_max"));
  CHECK(world.get("/api/v1/rollouts").json()["items"].empty());
  REQUIRE(post(good).status() == 201);
  const Answer second = with("version", "1.1.0");
  CHECK(second.status() == 409);
  CHECK(second.code() == "rollout_active");
}

TEST_CASE("a rollout goes from check-ins and events through its phases to done") {
  World world;
  world.enrol_fleet(4);
  const std::string id = world.rollout("1.0.0", two_phases());
  const auto canaries = world.offered(id);
  REQUIRE(canaries.size() == 2);
  CHECK(world.show(id)["devices"]["offered"] == 2);
  CHECK(world.show(id)["phases"][0]["devices"] == 2);
  for (const auto& device : canaries)
    REQUIRE(world.tell(device, {Server::update(1, id, "1.0.0", "committed")}).status() == 200);
  Json shown = world.show(id);
  CHECK(shown["phases"][0]["state"] == "soaking");
  CHECK(shown["soak_until_ms"] == to_unix_ms(world.clock.now()) + 10'000);
  CHECK(shown["phases"][0]["counts"] == Json{{"committed", 2}});
  world.clock.advance(10s);
  world.turn();
  shown = world.show(id);
  CHECK(shown["phase"] == 1);
  CHECK(shown["phases"][0]["state"] == "done");
  CHECK(shown["phases"][1]["state"] == "running");
  CHECK(shown["phases"][1]["counts"] == *parse_json(R"({"committed": 2, "waiting": 2})"));
  for (const auto& device : world.offered(id)) world.tell(device, {Server::update(2, id, "1.0.0", "committed")});
  shown = world.show(id);
  CHECK(shown["state"] == "done");
  CHECK(shown["devices"]["committed"] == 4);
  CHECK(shown["log"][0]["decision"] == "finish");
  CHECK(shown["ended_ms"] == to_unix_ms(world.clock.now()));
  const Json after = world.check_in(world.fleet[0]);
  CHECK(after["models"][0]["rollout"] == "");
  CHECK(world.get("/api/v1/rollouts?state=done").json()["items"].size() == 1);
  CHECK(world.get("/api/v1/rollouts?state=running").json()["items"].empty());
  CHECK(world.get("/api/v1/rollouts?model=other").json()["items"].empty());
  CHECK(world.get("/api/v1/rollouts?state=dancing").status() == 400);
}

TEST_CASE("a device that rejects the release stops the rollout, with its reason on record") {
  World world;
  world.enrol_fleet(2);
  const std::string good = world.rollout("1.0.0");
  for (const auto& device : world.offered(good)) world.tell(device, {Server::update(1, good, "1.0.0", "committed")});
  const std::string bad = world.rollout("1.1.0", two_phases());
  CHECK(world.show(bad)["from_version"] == "1.0.0");
  const auto canaries = world.offered(bad);
  REQUIRE(canaries.size() == 1);
  world.tell(canaries[0], {Server::update(2, bad, "1.1.0", "rejected", "trial.memory")});
  const Json shown = world.show(bad);
  CHECK(shown["state"] == "failed");
  CHECK(shown["reason"] == "rollout.failures");
  CHECK(shown["phases"][0]["state"] == "failed");
  CHECK(shown["failures"] ==
        Json::array({Json{{"reason", "trial.memory"}, {"count", 1}, {"devices", {canaries[0].id}}}}));
  CHECK(shown["log"][0]["verdict"] == "fail");
  CHECK(shown["log"][0]["decision"] == "stop");
  CHECK_THAT(shown["log"][0]["detail"].get<std::string>(), Catch::Contains("trial.memory on " + canaries[0].id));
  for (const auto& device : world.fleet) CHECK(world.check_in(device)["models"][0]["version"] == "1.0.0");
  CHECK(world.get("/api/v1/releases/fashion-mnist/1.1.0").json()["state"] == "quarantined");
  const Json overview = world.get("/api/v1/overview").json();
  CHECK(overview["attention"][0]["kind"] == "rollout_failed");
  CHECK(overview["attention"][0]["subject"] == "rollout:" + bad);
  const Json device = world.get("/api/v1/devices/" + canaries[0].id).json();
  CHECK(device["rollouts"][0] == Json{{"id", bad},
                                      {"model", Publisher::model},
                                      {"version", "1.1.0"},
                                      {"state", "rejected"},
                                      {"reason", "trial.memory"}});
}

TEST_CASE("people steer a rollout; the revision they saw guards them") {
  World world;
  world.enrol_fleet(2);
  const std::string id = world.rollout("1.0.0", two_phases());
  const std::string etag = world.get("/api/v1/rollouts/" + id).header("ETag");
  const Answer paused = world.act(id, "pause", {{"if-match", etag}}, {{"reason", "lunch"}});
  REQUIRE(paused.status() == 200);
  CHECK(paused.json()["state"] == "paused");
  CHECK(paused.json()["log"][0]["detail"] == "lunch");
  CHECK(paused.json()["log"][0]["by"] == "admin");
  CHECK(paused.header("ETag") != etag);
  const Answer stale = world.act(id, "abort", {{"if-match", etag}});
  CHECK(stale.status() == 412);
  CHECK(stale.code() == "precondition_failed");
  for (const char* malformed : {"5", "\"x\"", "\"\"", "W/\"1\""})
    CHECK(world.act(id, "abort", {{"if-match", malformed}}).status() == 400);
  CHECK(world.show(id)["state"] == "paused");
  const Answer again = world.act(id, "pause");
  CHECK(again.status() == 409);
  CHECK(again.code() == "conflict");
  CHECK(world.act(id, "resume", {{"if-match", "*"}}).json()["state"] == "running");
  CHECK(world.act(id, "promote").json()["phase"] == 1);
  CHECK(world.act(id, "abort", {}, {{"reason", "wrong one"}}).json()["state"] == "aborted");
  for (const char* action : {"pause", "resume", "abort", "promote"}) CHECK(world.act(id, action).status() == 409);
  CHECK(world.act(id, "dance").status() == 404);
  CHECK(world.post("/api/v1/rollouts/" + id).status() == 404);
  CHECK(world.act("ro-nothing", "pause").status() == 404);
  CHECK(world.act(id, "pause", {}, {{"reason", std::string(501, 'x')}}).status() == 400);
  // An empty body is as good as {}.
  CHECK(world.ask("POST", "/api/v1/rollouts/" + id + ":pause", world.admin).status() == 409);
}

TEST_CASE("the devices of a rollout are listed with their place, by state and page") {
  World world;
  world.enrol_fleet(5);
  const std::string id = world.rollout("1.0.0", two_phases());
  const auto canaries = world.offered(id);
  REQUIRE(canaries.size() == 3);
  world.tell(canaries[0], {Server::update(1, id, "1.0.0", "committed")});
  const std::string base = "/api/v1/rollouts/" + id + "/devices";
  const Json all = world.get(base).json()["items"];
  REQUIRE(all.size() == 5);
  std::map<std::string, int> states;
  for (const Json& item : all) {
    ++states[item["state"].get<std::string>()];
    CHECK(item["phase"] == (item["state"] == "waiting" ? 1 : 0));
  }
  CHECK(states == std::map<std::string, int>{{"committed", 1}, {"offered", 2}, {"waiting", 2}});
  const Json committed = world.get(base + "?state=committed").json()["items"];
  REQUIRE(committed.size() == 1);
  CHECK(committed[0]["device"] == canaries[0].id);
  CHECK(committed[0]["since_ms"] == to_unix_ms(world.clock.now()));
  CHECK(world.get(base + "?state=nonsense").status() == 400);
  const Json page = world.get(base + "?limit=3").json();
  CHECK(page["items"].size() == 3);
  const Json rest = world.get(base + "?limit=3&cursor=" + page["next_cursor"].get<std::string>()).json();
  CHECK(rest["items"].size() == 2);
  CHECK(rest["next_cursor"] == "");
  CHECK(world.get("/api/v1/rollouts/ro-nothing/devices").status() == 404);
}

TEST_CASE("a server that is killed in a rollout goes on with it") {
  World world;
  world.enrol_fleet(2);
  const std::string id = world.rollout("1.0.0", two_phases());
  const auto canaries = world.offered(id);
  REQUIRE(canaries.size() == 1);
  world.tell(canaries[0], {Server::update(1, id, "1.0.0", "downloading")});
  const Json before = world.show(id);
  world.restart();
  CHECK(world.show(id) == before);
  CHECK(world.check_in(canaries[0])["models"][0]["rollout"] == id);
  world.tell(canaries[0], {Server::update(1, id, "1.0.0", "downloading"), Server::update(2, id, "1.0.0", "committed")});
  CHECK(world.show(id)["phases"][0]["state"] == "soaking");
}

TEST_CASE("a dry run says which device would take the release when and in which variant, and makes nothing") {
  World world;
  world.enrol_fleet(3);
  const Json profile{{"format", "ferry.profile/1"},
                     {"architecture", "x86_64"},
                     {"hardware_class", "x86_64-avx2-2c-16g-cpu"},
                     {"memory_bytes", 16'000'000'000}};
  REQUIRE(world.device_ask("PUT", "/device/v1/profile", world.fleet[0].peer, dump_json(profile)).status() == 204);
  const Json body{{"model", Publisher::model}, {"version", "1.0.0"}, {"policy", two_phases()}};
  const Answer answer = world.post("/api/v1/rollouts?dry_run=true", body);
  REQUIRE(answer.status() == 200);
  const Json preview = answer.json();
  CHECK(preview["selected"] == 3);
  CHECK(preview["phases"][0]["devices"] == 2);
  CHECK(preview["phases"][0]["size"] == "50 %");
  CHECK(preview["phases"][1]["devices"] == 3);
  REQUIRE(preview["items"].size() == 3);
  CHECK(preview["items"][0]["phase"] == 0);
  CHECK(preview["items"][2]["phase"] == 1);
  int told = 0, unknown = 0;
  for (const Json& item : preview["items"]) {
    told += item["variant"] != "" ? 1 : 0;
    unknown += item["reason"] == "the device has not told its hardware profile" ? 1 : 0;
  }
  CHECK(told == 1);
  CHECK(unknown == 2);
  CHECK(world.get("/api/v1/rollouts").json()["items"].empty());
  CHECK(world.post("/api/v1/rollouts?dry_run=maybe", body).status() == 400);
}

TEST_CASE("a rollout that needs approval shows who has to act, and who did") {
  World world;
  world.enrol_fleet(1);
  const Json policy{{"approvals", 1}, {"starts_at", "2030-01-01T00:00:00Z"}};
  const Answer made =
      world.post("/api/v1/rollouts", {{"model", Publisher::model}, {"version", "1.0.0"}, {"policy", policy}});
  REQUIRE(made.status() == 201);
  const std::string id = made.json()["id"].get<std::string>();
  CHECK(made.json()["state"] == "awaiting_approval");
  CHECK(made.json()["approvals_needed"] == 1);
  CHECK(world.get("/api/v1/overview").json()["attention"][0]["kind"] == "rollout_approval");
  CHECK(world.offered(id).empty());
  const Answer own = world.act(id, "approve");
  CHECK(own.status() == 403);
  CHECK_THAT(own.detail(), Catch::Contains("somebody else"));
  const Answer approved =
      world.ask("POST", "/api/v1/rollouts/" + id + ":approve", world.token("operator"), R"({"reason": "ok"})");
  REQUIRE(approved.status() == 200);
  CHECK(approved.json()["state"] == "scheduled");
  CHECK(approved.json()["approvals"][0]["by"] == "operator");
  CHECK(approved.json()["log"][0]["decision"] == "approve");
  CHECK(world.act(id, "retry").status() == 409);
  CHECK(world.act(id, "abort").json()["state"] == "aborted");
}

TEST_CASE("a release that failed needs a word to be rolled out again") {
  World world;
  world.enrol_fleet(1);
  const Json body{{"model", Publisher::model}, {"version", "1.0.0"}};
  const std::string id = world.post("/api/v1/rollouts", body).json()["id"].get<std::string>();
  REQUIRE(world.act(id, "rollback").status() == 200);
  const Answer refused = world.post("/api/v1/rollouts", body);
  CHECK(refused.status() == 409);
  CHECK(refused.code() == "release_quarantined");
  Json lifted = body;
  lifted["lift_quarantine"] = true;
  CHECK(world.post("/api/v1/rollouts", lifted).status() == 201);
}
