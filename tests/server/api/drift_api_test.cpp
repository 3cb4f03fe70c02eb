// Drift over the API: from uploads to the heatmap, the attention list, the metrics and the hints.
#include "telemetry/drift.hpp"
#include "telemetry/otlp.hpp"
#include "tests/server/api/api_fixture.hpp"
#include "tests/telemetry/drift_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

// One device that runs a release whose reference has two classes, as Publisher's manifest.
struct Field {
  Field() {
    server.publish_trust();
    server.publisher->reference = telemetry::print_reference_profile(reference);
    publish("1.0.0", 1);
    device.emplace(server.enrol());
  }
  void publish(const std::string& version, std::int64_t counter) {
    manifests[version] = sha256(server.publish(version, counter).request.manifest).hex();
  }
  telemetry::WindowReport report(const std::string& version, std::size_t n, double off) {
    telemetry::WindowReport made;
    made.install = "in-1";
    made.boot = "boot-1";
    made.seq = ++sequence;
    made.agent_version = "0.1.0";
    made.end_unix_ms = to_unix_ms(server.clock.now());
    made.start_unix_ms = made.end_unix_ms - 10'000;
    auto window = ferry::test::as_release_window(reference, ferry::test::drift_window(draws, reference, n, off));
    window.key = {Publisher::model, version, manifests.at(version), "a", "", "none"};
    made.releases = {window};
    return made;
  }
  void upload(std::size_t n, double off = 0, const std::string& version = "1.0.0") {
    server.clock.advance(60s);
    const Answer answer =
        server.device_ask("POST", "/v1/metrics", device->peer, telemetry::encode_otlp(report(version, n, off)),
                          {{"content-type", "application/x-protobuf"}});
    INFO(answer.body());
    REQUIRE(answer.status() == 200);
  }
  Json drift(const std::string& more = "") {
    const Answer answer = server.get(std::string("/api/v1/drift?model=") + Publisher::model + more);
    INFO(answer.body());
    REQUIRE(answer.status() == 200);
    return answer.json();
  }

  Server server;
  telemetry::ReferenceProfile reference = ferry::test::drift_reference(10'000, 2);
  ferry::test::Draws draws{17};
  std::map<std::string, std::string> manifests;
  std::optional<Server::DeviceSide> device;
  std::uint64_t sequence = 0;
};

}  // namespace

TEST_CASE("the heatmap shows each cohort's windows with state and numbers") {
  Field field;
  for (int i = 0; i < 3; ++i) field.upload(200);
  field.upload(50);
  const Json shown = field.drift();
  CHECK(shown["model"] == Publisher::model);
  CHECK(shown["to_ms"] == to_unix_ms(field.server.clock.now()));
  CHECK(shown["policy"]["window_samples"] == 200);
  CHECK(shown["policy"]["alarm_at"] == 1'000);
  CHECK(shown["rollouts"].empty());
  REQUIRE(shown["cohorts"].size() == 1);
  const Json& cohort = shown["cohorts"][0];
  CHECK(cohort["version"] == "1.0.0");
  CHECK(cohort["manifest_sha256"] == field.manifests["1.0.0"]);
  CHECK(cohort["hardware_class"] == "unknown");  // it has sent no profile
  CHECK(cohort["rollout"] == "");
  CHECK(cohort["arm"] == "none");
  CHECK(cohort["level"] == "ok");
  CHECK(cohort["reason"] == "");
  CHECK(cohort["devices"] == 1);
  CHECK(cohort["reference_samples"] == 10'000);
  CHECK(cohort["windows_total"] == 3);
  CHECK(cohort["open"]["samples"] == 50);
  REQUIRE(cohort["windows"].size() == 3);
  const Json& window = cohort["windows"][0];
  CHECK(window["samples"] == 200);
  CHECK(window["devices"] == 1);
  CHECK(window["limited"] == 0);
  CHECK(window["features"]["mnlp"]["use"] == "tested");
  CHECK(window["features"]["confidence"]["n_ref"] == 10'000);
  CHECK(window["witness"].empty());
  CHECK(window["labels"]["right"] == 0);
  CHECK_FALSE(window.contains("counts"));
  CHECK(cohort["windows"][2]["end_ms"].get<std::int64_t>() > window["end_ms"].get<std::int64_t>());
}

TEST_CASE("since_ms bounds the windows, and the last day is the default") {
  Field field;
  field.upload(200);
  field.server.clock.advance(30h);
  field.upload(200);
  field.upload(200);
  CHECK(field.drift()["cohorts"][0]["windows"].size() == 2);
  CHECK(field.drift("&since_ms=0")["cohorts"][0]["windows"].size() == 3);
  const auto now = std::to_string(to_unix_ms(field.server.clock.now()));
  CHECK(field.drift("&since_ms=" + now)["cohorts"][0]["windows"].size() == 1);
  for (const char* bad : {"-1", "x", "99999999999999999", "1.5"}) {
    const Answer refused = field.server.get(std::string("/api/v1/drift?model=m&since_ms=") + bad);
    CHECK(refused.status() == 400);
    CHECK_THAT(refused.detail(), Catch::StartsWith("since_ms:"));
  }
  CHECK(field.server.get("/api/v1/drift").status() == 400);
  const Json nothing = field.server.get("/api/v1/drift?model=nobody").json();
  CHECK(nothing["cohorts"].empty());
}

TEST_CASE("a cohort that warns asks for attention, once per model, and is a gauge") {
  Field field;
  for (int i = 0; i < 5; ++i) field.upload(200);
  CHECK(field.server.get("/api/v1/overview").json()["attention"].empty());
  for (int i = 0; i < 5; ++i) field.upload(200, 0.4);
  const Json cohort = field.drift()["cohorts"][0];
  CHECK(cohort["level"] == "warn");
  CHECK(cohort["reason"] == "drift.warn");
  CHECK(cohort["alarms"].get<int>() >= 1);
  CHECK(cohort["since_ms"].get<std::int64_t>() > 0);
  CHECK(cohort["windows"].back()["tv"].get<double>() > 0.2);
  const Json& accuracy = cohort["windows"].back()["estimated_accuracy"];
  CHECK(accuracy["reference"].get<double>() == Approx(0.7375));
  CHECK(accuracy["now"].get<double>() < 0.7);
  const Json attention = field.server.get("/api/v1/overview").json()["attention"];
  REQUIRE(attention.size() == 1);
  CHECK(attention[0]["kind"] == "drift");
  CHECK(attention[0]["severity"] == "warning");
  CHECK(attention[0]["subject"] == std::string("drift:") + Publisher::model);
  CHECK(attention[0]["reason"] == "drift.warn");
  CHECK(attention[0]["since_ms"] == cohort["since_ms"]);
  const std::string metrics = field.server.ask("GET", "/metrics", "").body();
  CHECK_THAT(metrics, Catch::Contains("ferry_drift_level{cohort=\"" + cohort["id"].get<std::string>() +
                                      "\",model=\"fashion-mnist\",version=\"1.0.0\",arm=\"none\"} 2\n"));
  field.server.restart();
  CHECK(field.drift()["cohorts"][0]["level"] == "warn");
  for (int i = 0; i < 40; ++i) field.upload(200);
  CHECK(field.server.get("/api/v1/overview").json()["attention"].empty());
}

TEST_CASE("cohorts come newest release first, and one report counts once over the API too") {
  Field field;
  field.upload(200);
  field.server.clock.advance(1s);
  field.publish("1.1.0", 2);
  field.upload(200, 0, "1.1.0");
  const Json cohorts = field.drift()["cohorts"];
  REQUIRE(cohorts.size() == 2);
  CHECK(cohorts[0]["version"] == "1.1.0");
  CHECK(cohorts[1]["version"] == "1.0.0");
  CHECK(cohorts[1]["devices"] == 0);  // its only device has moved on
  const std::string body = telemetry::encode_otlp(field.report("1.1.0", 60, 0));
  for (int i = 0; i < 5; ++i)
    CHECK(field.server
              .device_ask("POST", "/v1/metrics", field.device->peer, body, {{"content-type", "application/x-protobuf"}})
              .status() == 200);
  CHECK(field.drift()["cohorts"][0]["open"]["samples"] == 60);
}

TEST_CASE("names that a device made up cannot reach the metrics") {
  Field field;
  field.server.services().fleet.find(field.device->id)->change([](DeviceFacts& facts) {
    facts.hardware_class = "x\"} 1\nferry_fake";
  });
  field.upload(200);
  CHECK_THAT(field.server.ask("GET", "/metrics", "").body(), !Catch::Contains("ferry_fake"));
  CHECK(field.drift()["cohorts"][0]["hardware_class"] == "x\"} 1\nferry_fake");  // JSON says it as it is
}

TEST_CASE("the drift topic can be listened to") {
  Server server;
  CHECK(server.get("/api/v1/events?topics=drift,overview").status() == 200);
  CHECK(server.get("/api/v1/events?topics=drift:x").status() == 400);
}

namespace {

// Four devices that run 1.0.0, two of which are canaries of 1.1.0.
struct FourDevices : Field {
  FourDevices() {
    devices = {*device, server.enrol(), server.enrol(), server.enrol()};
    publish("1.1.0", 2);
    const std::string first = server.rollout("1.0.0");
    for (const auto& one : devices) take(one, first, "1.0.0");
    server.turn();
    rollout = server.rollout(
        "1.1.0", {{"phases", Json::array({{{"percent", 50}}, {{"percent", 100}}})}, {"gate", {{"warm_up_s", 0}}}});
    server.turn();
    for (const auto& one : devices)
      if (assigned(one) == "1.1.0") take(one, rollout, "1.1.0");
    server.turn();
  }
  std::string assigned(const Server::DeviceSide& one) {
    return server.check_in(one)["models"][0]["version"].get<std::string>();
  }
  void take(const Server::DeviceSide& one, const std::string& by, const std::string& version) {
    const Json slot{{"version", version}, {"counter", 1}, {"manifest_sha256", manifests.at(version)}, {"rollout", by}};
    Json active = slot;
    active["slot"] = "a";
    const Json model{{"model", Publisher::model},
                     {"active", active},
                     {"slots", {{"a", slot}, {"b", nullptr}}},
                     {"update", {{"state", "idle"}}}};
    Json committed = Server::update(++events, by, version, "committed");
    const Json now{{"seq", ++events}, {"kind", "slots"}, {"detail", {{"models", Json::array({model})}}}};
    REQUIRE(server.tell(one, {committed, now}).status() == 200);
    running[one.id] = version;
  }
  void round(double off) {
    for (const auto& one : devices) {
      device = one;
      upload(100, off, running.at(one.id));
    }
    server.turn();
  }
  Json shown() { return server.get("/api/v1/rollouts/" + rollout).json(); }

  std::vector<Server::DeviceSide> devices;
  std::map<std::string, std::string> running;
  std::string rollout;
  std::int64_t events = 0;
};

}  // namespace

TEST_CASE("a gated rollout under which the world changes is paused once, and a person resumes it") {
  FourDevices fleet;
  for (int i = 0; i < 5; ++i) fleet.round(0);
  CHECK(fleet.shown()["state"] == "running");
  Json drift = fleet.drift();
  CHECK(drift["cohorts"].size() == 4);  // two releases, two arms
  REQUIRE(drift["rollouts"].size() == 1);
  CHECK(drift["rollouts"][0]["cause"] == "none");
  for (int i = 0; i < 5; ++i) fleet.round(0.4);
  CHECK(fleet.shown()["state"] == "paused");
  CHECK(fleet.shown()["reason"] == "drift.world_changed");
  drift = fleet.drift();
  CHECK(drift["rollouts"][0]["cause"] == "world");
  CHECK(drift["rollouts"][0]["reason"] == "drift.world_changed");
  for (const Json& cohort : drift["cohorts"]) CHECK(cohort["level"] == "warn");
  const Json attention = fleet.server.get("/api/v1/overview").json()["attention"];
  std::set<std::string> kinds;
  for (const Json& item : attention) kinds.insert(item["kind"].get<std::string>());
  CHECK(kinds == std::set<std::string>{"rollout_paused", "drift"});
  CHECK(attention.size() == 2);  // the worst of four cohorts
  REQUIRE(fleet.server.post("/api/v1/rollouts/" + fleet.rollout + ":resume").status() == 200);
  for (int i = 0; i < 5; ++i) fleet.round(0.4);
  CHECK(fleet.shown()["state"] == "running");
  fleet.server.restart();
  for (int i = 0; i < 3; ++i) fleet.round(0.4);
  CHECK(fleet.shown()["state"] == "running");
  REQUIRE(fleet.server.post("/api/v1/rollouts/" + fleet.rollout + ":abort").status() == 200);
  CHECK(fleet.drift()["rollouts"].empty());
  CHECK(fleet.drift()["cohorts"].size() == 2);
}
