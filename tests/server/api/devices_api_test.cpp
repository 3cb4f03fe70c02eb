#include "tests/server/api/api_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

Json slots(std::int64_t seq, const Digest& manifest, const std::string& version, const std::string& rollout = "",
           const std::string& last_reason = "") {
  Json slot{{"version", version},
            {"counter", 1},
            {"manifest_sha256", manifest.hex()},
            {"variant", "fp32"},
            {"variant_reason", "the only one"},
            {"rollout", rollout},
            {"arm", "none"}};
  Json model{{"model", Publisher::model},
             {"active",
              {{"version", version},
               {"slot", "a"},
               {"counter", 1},
               {"manifest_sha256", manifest.hex()},
               {"variant", "fp32"},
               {"variant_reason", "the only one"},
               {"state", ""}}},
             {"slots", {{"a", slot}, {"b", nullptr}}},
             {"update", {{"state", "idle"}}},
             {"rejected", Json::array()},
             {"last_reason", last_reason},
             {"floor", 1}};
  return Json{{"seq", seq}, {"kind", "slots"}, {"detail", {{"models", Json::array({model})}}}};
}

std::vector<std::string> ids(const Answer& answer) {
  REQUIRE(answer.status() == 200);
  std::vector<std::string> list;
  const Json json = answer.json();
  for (const Json& item : json["items"]) list.push_back(item["id"].get<std::string>());
  return list;
}

}  // namespace

TEST_CASE("enrolment tokens are made, listed with their devices, and removed") {
  Server server;
  server.publish_trust();
  for (const Json& bad : {Json{{"uses", 0}}, Json{{"uses", 100'001}}, Json{{"ttl_s", 59}}, Json{{"ttl_s", 31'536'001}},
                          Json{{"uses", "1"}}, Json{{"labels", {{"Site", "x"}}}}, Json{{"labels", {{"site", 5}}}},
                          Json{{"labels", "site"}}}) {
    INFO(bad.dump());
    CHECK(server.post("/api/v1/tokens", bad).status() == 400);
  }
  const auto device = server.enrol({{"site", "oslo"}});
  const Json items = server.get("/api/v1/tokens").json()["items"];
  REQUIRE(items.size() == 1);
  CHECK(items[0]["uses_left"] == 0);
  CHECK(items[0]["uses_total"] == 1);
  CHECK(items[0]["labels"] == Json{{"site", "oslo"}});
  CHECK(items[0]["created_by"] == "admin");
  CHECK(items[0]["devices"] == Json::array({device.id}));
  CHECK_FALSE(items[0].contains("secret"));
  const std::string id = items[0]["id"].get<std::string>();
  CHECK(server.ask("DELETE", "/api/v1/tokens/" + id, server.admin).status() == 204);
  CHECK(server.ask("DELETE", "/api/v1/tokens/" + id, server.admin).status() == 404);
  CHECK(server.device_ask("GET", "/device/v1/assignment", device.peer).status() == 200);  // the device stays
  for (int i = 0; i < 3; ++i) server.enrolment_token();
  const Json page = server.get("/api/v1/tokens?limit=2").json();
  CHECK(page["items"].size() == 2);
  CHECK(server.get("/api/v1/tokens?limit=2&cursor=" + page["next_cursor"].get<std::string>()).json()["items"].size() ==
        1);
}

TEST_CASE("a device is shown with what it said last and what it is assigned") {
  Server server;
  server.publish_trust();
  const BuiltRelease built = server.publish("1.0.0", 1);
  const auto device = server.enrol({{"site", "oslo"}});
  const std::string rollout = server.rollout("1.0.0");
  Json shown = server.get("/api/v1/devices/" + device.id).json();
  CHECK(shown["state"] == "new");
  CHECK(shown["online"] == false);
  CHECK(shown["profile"].is_null());
  CHECK(shown["certificate"]["fingerprint"] == device.peer->fingerprint_hex);
  CHECK(shown["models"][0]["assigned"] == Json{{"version", "1.0.0"}, {"rollout", rollout}, {"arm", "canary"}});
  CHECK_FALSE(shown["models"][0].contains("active"));
  server.check_in(device);
  const Digest manifest = sha256(built.request.manifest);
  REQUIRE(server.tell(device, {slots(1, manifest, "1.0.0", rollout)}).status() == 200);
  shown = server.get("/api/v1/devices/" + device.id).json();
  CHECK(shown["state"] == "ok");
  CHECK(shown["online"] == true);
  CHECK(shown["models"][0]["active"]["version"] == "1.0.0");
  CHECK(shown["models"][0]["slots"]["a"]["variant_reason"] == "the only one");
  CHECK(shown["models"][0]["assigned"]["version"] == "1.0.0");
  CHECK(shown["rollouts"][0]["state"] == "committed");
  CHECK(server.get("/api/v1/releases/fashion-mnist/1.0.0").json()["devices"] ==
        *parse_json(R"({"running": 1, "total": 1})"));
  CHECK(server.get("/api/v1/releases/fashion-mnist/1.0.0").json()["variants"][0]["devices"] == 1);
  server.clock.advance(1h);
  CHECK(server.get("/api/v1/devices/" + device.id).json()["state"] == "offline");
  CHECK(server.get("/api/v1/devices/dev-unknown").status() == 404);
}

TEST_CASE("devices are found by text, model, version, state and label, sorted by id, page by page") {
  Server server;
  server.publish_trust();
  const BuiltRelease built = server.publish("1.0.0", 1);
  const auto a = server.enrol({{"site", "oslo"}}), b = server.enrol({{"site", "bergen"}}), c = server.enrol();
  server.check_in(a);
  server.check_in(b);
  server.tell(a, {slots(1, sha256(built.request.manifest), "1.0.0")});
  server.tell(b, {slots(1, sha256("old"), "0.9.0", "", "trial.memory")});
  const auto found = [&](const std::string& query) { return ids(server.get("/api/v1/devices?" + query)); };
  std::vector<std::string> all{a.id, b.id, c.id};
  std::sort(all.begin(), all.end());
  CHECK(found("") == all);
  CHECK(found("q=oslo") == std::vector{a.id});
  CHECK(found("q=" + c.id.substr(4)) == std::vector{c.id});
  CHECK(found("label=site:bergen") == std::vector{b.id});
  CHECK(found("version=1.0.0") == std::vector{a.id});
  CHECK(found("model=fashion-mnist").size() == 2);
  CHECK(found("model=fashion-mnist&version=0.9.0") == std::vector{b.id});
  CHECK(found("model=other").empty());
  CHECK(found("state=new") == std::vector{c.id});
  CHECK(found("state=ok") == std::vector{a.id});
  CHECK(found("state=attention") == std::vector{b.id});
  CHECK(server.get("/api/v1/devices?state=happy").status() == 400);
  CHECK(server.get("/api/v1/devices?label=site").status() == 400);
  const Json page = server.get("/api/v1/devices?limit=2").json();
  CHECK(ids(server.get("/api/v1/devices?limit=2")) == std::vector{all[0], all[1]});
  CHECK(found("limit=2&cursor=" + page["next_cursor"].get<std::string>()) == std::vector{all[2]});
}

TEST_CASE("labels are patched: set, removed, refused by name; the timeline tells who did it") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol({{"site", "oslo"}, {"old", "x"}});
  const auto patch = [&](const Json& body) {
    return server.ask("PATCH", "/api/v1/devices/" + device.id, server.admin, dump_json(body));
  };
  const Answer patched = patch({{"labels", {{"old", nullptr}, {"rack", "7"}}}});
  CHECK(patched.status() == 200);
  CHECK(patched.json()["labels"] == Json{{"site", "oslo"}, {"rack", "7"}});
  CHECK(patch({{"labels", {{"Bad", "x"}}}}).status() == 400);
  CHECK(patch({{"labels", {{"rack", 5}}}}).status() == 400);
  CHECK(patch({{"labels", 5}}).status() == 400);
  CHECK(patch(Json::object()).status() == 400);
  CHECK(server.ask("PATCH", "/api/v1/devices/dev-unknown", server.admin, R"({"labels": {}})").status() == 404);
  const Json newest = server.get("/api/v1/devices/" + device.id + "/timeline").json()["items"][0];
  CHECK(newest["kind"] == "labelled");
  CHECK(newest["detail"]["by"] == "admin");
}

TEST_CASE("the timeline is newest first, page by page, without slots events") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  std::vector<Json> events{slots(1, sha256("x"), "1.0.0")};
  for (int i = 2; i <= 6; ++i) events.push_back(Server::update(i, "", "1.0.0", "staged", "r" + std::to_string(i)));
  REQUIRE(server.tell(device, events).status() == 200);
  const std::string base = "/api/v1/devices/" + device.id + "/timeline";
  std::vector<std::string> reasons;
  std::string cursor;
  for (int pages = 0; pages < 10; ++pages) {
    const Json page = server.get(base + "?limit=2" + (cursor.empty() ? "" : "&cursor=" + cursor)).json();
    CHECK(page["items"].size() <= 2);
    for (const Json& item : page["items"]) reasons.push_back(item.value("reason", item["kind"].get<std::string>()));
    cursor = page["next_cursor"].get<std::string>();
    if (cursor.empty()) break;
  }
  CHECK(reasons == std::vector<std::string>{"r6", "r5", "r4", "r3", "r2", "enrolled"});
  const Json item = server.get(base).json()["items"][0];
  CHECK(item["state"] == "staged");
  CHECK(item["model"] == Publisher::model);
  CHECK(item["seq"] == 6);
  CHECK(item["received_ms"] == to_unix_ms(server.clock.now()));
  for (const char* bad : {"x", "0", "-1", "1x"}) CHECK(server.get(base + "?cursor=" + bad).status() == 400);
  CHECK(server.get("/api/v1/devices/dev-unknown/timeline").status() == 404);
}

TEST_CASE("a device is revoked by name, once and for all") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  const Answer revoked = server.post("/api/v1/devices/" + device.id + ":revoke");
  CHECK(revoked.status() == 200);
  CHECK(revoked.json()["state"] == "revoked");
  CHECK(server.post("/api/v1/devices/dev-unknown:revoke").status() == 404);
  CHECK(server.post("/api/v1/devices/" + device.id + ":destroy").status() == 404);
  CHECK(server.post("/api/v1/devices/" + device.id).status() == 404);
  CHECK(ids(server.get("/api/v1/devices?state=revoked")) == std::vector{device.id});
}

TEST_CASE("the overview counts, warns and shows what happened") {
  Server server;
  Json overview = server.get("/api/v1/overview").json();
  CHECK(overview["attention"][0]["kind"] == "trust_missing");
  CHECK(overview["devices"]["total"] == 0);
  server.publish_trust();
  const BuiltRelease built = server.publish("1.0.0", 1);
  const auto a = server.enrol(), b = server.enrol();
  server.check_in(a);
  server.tell(a, {slots(1, sha256(built.request.manifest), "1.0.0")});
  const std::string rollout = server.rollout("1.0.0");
  overview = server.get("/api/v1/overview").json();
  CHECK(overview["at_ms"] == to_unix_ms(server.clock.now()));
  CHECK(
      overview["devices"] ==
      *parse_json(R"({"total": 2, "online": 1, "updating": 0, "attention": 0, "offline": 0, "new": 1, "revoked": 0})"));
  CHECK(overview["models"] == 1);
  CHECK(overview["releases"] == 1);
  CHECK(overview["attention"] == Json::array());
  CHECK(overview["rollouts"][0]["id"] == rollout);
  CHECK(overview["distribution"] ==
        *parse_json(
            R"([{"model": "fashion-mnist", "total": 2, "releases": [{"version": "", "devices": 1, "share_ppm": 500000},
                        {"version": "1.0.0", "devices": 1, "share_ppm": 500000}]}])"));
  CHECK(overview["feed"].size() == 2);
  CHECK(overview["feed"][0]["device"] == b.id);
  server.clock.advance(std::chrono::hours{24 * 80});
  overview = server.get("/api/v1/overview").json();
  CHECK(overview["attention"][0]["kind"] == "trust_expiring");
  CHECK_THAT(overview["attention"][0]["text"].get<std::string>(), Catch::Contains("fashion-mnist"));
  CHECK(overview["devices"]["offline"] == 1);
}

TEST_CASE("telemetry asks for a model and a window") {
  Server server;
  const Json empty = server.get("/api/v1/telemetry?model=fashion-mnist").json();
  CHECK(empty["releases"] == Json::array());
  CHECK(empty["step_s"] == 60);
  CHECK(empty["to_ms"].get<std::int64_t>() - empty["from_ms"].get<std::int64_t>() == 3'600'000);
  const auto step = [&](const char* seconds) {
    return server.get(std::string("/api/v1/telemetry?model=m&window_s=") + seconds).json()["step_s"];
  };
  CHECK(step("7200") == 60);
  CHECK(step("7201") == 900);
  CHECK(step("172800") == 900);
  CHECK(step("172801") == 3600);
  for (const char* bad : {"59", "2592001", "x", "1e3", "-60"})
    CHECK(server.get(std::string("/api/v1/telemetry?model=m&window_s=") + bad).status() == 400);
  CHECK(server.get("/api/v1/telemetry").status() == 400);
  CHECK_THAT(server.get("/api/v1/telemetry?model=../x").detail(), Catch::StartsWith("model"));
}
