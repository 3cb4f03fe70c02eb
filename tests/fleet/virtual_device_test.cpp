// A virtual device against a scripted server, in simulated time: it says what a real one would.
#include "tests/fleet/virtual_device.hpp"

#include "telemetry/otlp.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::fleet;

namespace {

constexpr const char* model = "fashion-mnist";

// Answers what the device asks for, and remembers it.
class World {
 public:
  explicit World(FleetPlan plan = quiet())
      : commons(std::move(plan)), device({0, "dev-1", "ins-1", "boot-1"}, commons, now_ms) {}

  static FleetPlan quiet() {
    FleetPlan plan;
    plan.devices = 1;
    plan.traffic.per_s = 10;
    return plan;
  }
  static FleetPlan with(ReleaseBehaviour behaviour) {
    FleetPlan plan = quiet();
    behaviour.version = "*";
    plan.releases = {std::move(behaviour)};
    return plan;
  }

  void publish(const std::string& version, std::int64_t counter) {
    ota::Manifest manifest;
    manifest.model = model;
    manifest.version = version;
    manifest.counter = counter;
    manifest.contract.task = "classification";
    manifest.contract.labels = {"a", "b"};
    manifest.contract.class_output = "logits";
    manifest.contract.inputs = {{"image", "FP32", {-1, 4}}};
    manifest.contract.outputs = {{"logits", "FP32", {-1, 2}}};
    ota::Variant variant;
    variant.name = "fp32";
    variant.precision = "fp32";
    variant.file = blob("model.onnx", "model " + version);
    variant.golden = blob("golden.bin", "golden " + version);
    manifest.variants = {variant};
    manifest.reference_profile = blob("reference.json", "reference " + version);
    manifests[version] = ota::print_manifest(manifest);
    counters[version] = counter;
  }
  void assign(const std::string& version, const std::string& rollout = "ro-1", const std::string& arm = "canary") {
    const std::string& manifest = manifests.at(version);
    models = Json::array(
        {Json{{"model", model},
              {"version", version},
              {"target", std::string(model) + "/" + version + "/manifest.json"},
              {"sha256", sha256(manifest).hex()},
              {"length", manifest.size()},
              {"counter", counters.at(version)},
              {"rollout", rollout},
              {"arm", arm},
              {"phase", 0},
              {"policy", ota::to_json(ota::TrialPolicy{.shadow_requests = 10, .probation_requests = 10})}}});
  }
  void recall(const std::string& version, const std::string& reason) {
    recalls = Json::array({Json{{"model", model},
                                {"manifest_sha256", sha256(manifests.at(version)).hex()},
                                {"reason", reason},
                                {"message", "called back"}}});
  }

  // Lets the time pass, jumping from what is due to what is due next.
  void pass(std::int64_t seconds) {
    const std::int64_t until_ms = now_ms + seconds * 1000;
    for (;;) {
      while (const auto ask = device.next(now_ms)) {
        asked.push_back(ask->method + " " + ask->path.substr(0, ask->path.find("/sha256/")));
        if (!reachable) {
          device.not_heard(now_ms);
          continue;
        }
        device.heard(answer(*ask), now_ms);
        now_ms += 1;
      }
      if (device.due_ms() > until_ms) break;
      now_ms = std::max(now_ms, device.due_ms());
    }
    now_ms = until_ms;
  }
  std::vector<std::string> states() const {
    std::vector<std::string> list;
    for (const Json& event : events)
      if (event["kind"] == "update") list.push_back(event["state"].get<std::string>());
    return list;
  }
  Json last_update() const {
    for (auto event = events.rbegin(); event != events.rend(); ++event)
      if ((*event)["kind"] == "update") return *event;
    return nullptr;
  }

  std::int64_t now_ms = 1'764'072'000'000;
  bool reachable = true;
  int check_in_status = 0;  // instead of the usual one
  std::map<std::string, std::string> manifests;
  std::map<std::string, std::int64_t> counters;
  std::map<std::string, std::string> blobs;  // by hex digest
  Json models = Json::array(), recalls = Json::array();
  Commons commons;
  VirtualDevice device;
  std::vector<std::string> asked;
  std::vector<Json> events;
  std::vector<telemetry::WindowReport> windows;

 private:
  ota::BlobRef blob(const std::string& name, std::string bytes) {
    ota::BlobRef ref{name, sha256(bytes), bytes.size()};
    blobs[ref.sha256.hex()] = std::move(bytes);
    return ref;
  }
  Heard answer(const Ask& ask) {
    switch (ask.purpose) {
      case Purpose::profile:
        return {.status = 204};
      case Purpose::check_in:
        return check_in(ask);
      case Purpose::events: {
        const Json document = *parse_json(ask.body);
        CHECK(document["install"] == "ins-1");
        for (const Json& event : document["events"]) {
          CHECK(event["seq"] == static_cast<std::int64_t>(events.size()) + 1);
          events.push_back(event);
        }
        return {.status = 200, .body = R"({"applied_seq": 1})"};
      }
      case Purpose::telemetry:
        CHECK(ask.gzip);
        windows.push_back(*telemetry::decode_otlp(*telemetry::gunzip(ask.body)));
        return {.status = 200};
      case Purpose::manifest:
        for (const auto& [version, manifest] : manifests)
          if (ask.path ==
              "/device/v1/targets/fashion-mnist/" + version + "/" + sha256(manifest).hex() + ".manifest.json")
            return {.status = 200, .body = manifest, .body_bytes = manifest.size()};
        return {.status = 404};
      case Purpose::blob: {
        const auto found = blobs.find(ask.path.substr(ask.path.rfind('/') + 1));
        if (found == blobs.end()) return {.status = 404};
        Heard heard{.status = 200, .body_bytes = found->second.size()};
        if (ask.digest_only)
          heard.sha256 = sha256(found->second);
        else
          heard.body = found->second;
        return heard;
      }
    }
    return {};
  }
  Heard check_in(const Ask& ask) {
    if (check_in_status != 0) return {.status = check_in_status, .retry_after_s = 7};
    const Json document{{"format", "ferry.assignment/1"},
                        {"device", "dev-1"},
                        {"models", models},
                        {"recalls", recalls},
                        {"telemetry_interval_s", 10}};
    const std::string body = dump_json(document);
    const std::string etag = sha256(body).hex();
    Heard heard{.status = ask.if_none_match == etag ? 304 : 200, .etag = etag, .poll_after_s = 5};
    if (heard.status == 200) heard.body = body;
    return heard;
  }
};

using States = std::vector<std::string>;

}  // namespace

TEST_CASE("a device introduces itself, says that it started, and checks in as often as it is told") {
  World world;
  world.pass(60);
  CHECK(world.asked.at(0) == "PUT /device/v1/profile");
  CHECK(world.events.at(0)["kind"] == "started");
  CHECK(world.events.at(0)["detail"]["boot"] == "boot-1");
  CHECK(world.commons.counts.check_ins >= 11);
  CHECK(world.commons.counts.check_ins <= 13);
  CHECK(world.commons.counts.unchanged == world.commons.counts.check_ins - 1);
}

TEST_CASE("an assigned release is fetched whole, tried and committed, and every step is told") {
  World world;
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.pass(120);
  CHECK(world.states() == States{"downloading", "staged", "trial", "committed"});
  CHECK(world.device.running(model) == "1.0.0");
  CHECK(world.commons.counts.manifests == 1);
  CHECK(world.commons.counts.blobs ==
        4);  // the reference profile twice: to draw answers from it, and as the device would
  const Json slots = world.events.back();
  CHECK(slots["kind"] == "slots");
  const Json& entry = slots["detail"]["models"][0];
  CHECK(entry["active"]["version"] == "1.0.0");
  CHECK(entry["slots"]["a"]["rollout"] == "ro-1");
  CHECK(world.last_update()["rollout"] == "ro-1");
  CHECK(world.last_update()["variant"] == "fp32");
  CHECK(world.commons.counts.running.at("fashion-mnist 1.0.0") == 1);
}

TEST_CASE("telemetry windows name release, slot and arm, and their sequence has no holes") {
  World world;
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.pass(300);
  REQUIRE(world.windows.size() > 20);
  for (std::size_t i = 0; i < world.windows.size(); ++i) {
    CHECK(world.windows[i].seq == i + 1);
    CHECK(world.windows[i].boot == "boot-1");
  }
  const auto& key = world.windows.back().releases.at(0).key;
  CHECK(key.version == "1.0.0");
  CHECK(key.slot == "a");
  CHECK(key.arm == "canary");
  const double seconds = 10;
  CHECK(static_cast<double>(world.windows.back().releases[0].duration.count()) == Approx(10 * seconds).margin(50));
}

TEST_CASE("an update in the middle of a window leaves two releases in it") {
  World world;
  world.publish("1.0.0", 1);
  world.publish("1.1.0", 2);
  world.assign("1.0.0");
  world.pass(100);
  world.assign("1.1.0", "ro-2");
  world.pass(100);
  CHECK(std::any_of(world.windows.begin(), world.windows.end(),
                    [](const auto& window) { return window.releases.size() == 2; }));
  CHECK(world.commons.counts.running.at("fashion-mnist 1.0.0") == 0);
  CHECK(world.commons.counts.running.at("fashion-mnist 1.1.0") == 1);
}

TEST_CASE("each planned outcome is told with its state and reason") {
  struct Case {
    ReleaseBehaviour behaviour;
    States states;
    std::string reason;
  };
  const Case cases[] = {
      {{.fails = 1}, {"downloading", "failed"}, "install.no_space"},
      {{.rejects = 1}, {"downloading", "staged", "trial", "rejected"}, "trial.golden"},
      {{.rolls_back = 1}, {"downloading", "staged", "trial", "rolled_back"}, "trial.errors"},
      {{.rolls_back = 1, .reason = "trial.memory"}, {"downloading", "staged", "trial", "rolled_back"}, "trial.memory"},
  };
  for (const Case& one : cases) {
    World world(World::with(one.behaviour));
    world.publish("1.0.0", 1);
    world.assign("1.0.0");
    world.pass(40);
    INFO(one.reason);
    CHECK(world.states() == one.states);
    CHECK(world.last_update()["reason"] == one.reason);
    CHECK(world.device.running(model).empty());
  }
}

TEST_CASE("a device that stalls tells that it downloads, goes on checking in, and tells nothing more") {
  World world(World::with({.stalls = 1}));
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.pass(3'000);
  CHECK(world.states() == States{"downloading"});
  CHECK(world.commons.counts.check_ins > 400);
}

TEST_CASE("a device that goes silent has said that it committed, and is never heard of again") {
  World world(World::with({.goes_silent = 1}));
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.pass(600);
  CHECK(world.states().back() == "committed");
  CHECK(world.device.silent());
  const auto asked = world.asked.size();
  world.pass(600);
  CHECK(world.asked.size() == asked);
}

TEST_CASE("an outcome that befalls a device once is overcome the next time") {
  World world(World::with({.fails = 1, .times = 1}));
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.pass(40);
  CHECK(world.states().back() == "failed");
  world.pass(60);  // held for a minute, then tried again
  CHECK(world.states() == States{"downloading", "failed", "downloading", "staged", "trial", "committed"});
}

TEST_CASE("a rejected release is not tried again; another rollout of it is refused") {
  World world(World::with({.rejects = 1}));
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.pass(100);
  world.assign("1.0.0", "ro-2");
  world.pass(100);
  CHECK(world.states().back() == "refused");
  CHECK(world.last_update()["reason"] == "release.rejected");
}

TEST_CASE("a recalled release makes place for the one before at once") {
  World world;
  world.publish("1.0.0", 1);
  world.publish("1.1.0", 2);
  world.assign("1.0.0", "ro-1");
  world.pass(60);
  world.assign("1.1.0", "ro-2");
  world.pass(60);
  world.recall("1.1.0", "gate.latency");
  world.assign("1.0.0", "");
  world.pass(30);
  CHECK(world.device.running(model) == "1.0.0");
  CHECK(world.states().back() == "rolled_back");
  CHECK(world.last_update()["reason"] == "gate.latency");
  CHECK(world.last_update()["rollout"] == "ro-2");
}

TEST_CASE("a server that is away costs waiting and nothing else") {
  World world;
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.reachable = false;
  world.pass(100);
  CHECK(world.asked.size() < 15);  // it waits longer each time
  world.reachable = true;
  world.pass(200);
  CHECK(world.states() == States{"downloading", "staged", "trial", "committed"});
}

TEST_CASE("a server that is busy is asked again no sooner than it says") {
  World world;
  world.pass(1);
  world.check_in_status = 503;
  const auto before = world.asked.size();
  world.pass(30);
  CHECK(world.asked.size() - before <= 5);
  CHECK(world.commons.counts.trouble >= 2);
}

TEST_CASE("damaged bytes are not installed") {
  World world;
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  for (auto& [digest, bytes] : world.blobs) bytes += "!";
  world.pass(60);
  CHECK(world.states() == States{"downloading", "failed"});
  CHECK(world.last_update()["reason"] == "download.digest");
}

TEST_CASE("a device without a variant refuses, with the reason") {
  FleetPlan plan = World::quiet();
  plan.hardware = {{"aarch64-neon-4c-4g-cpu", 1}};
  World world(plan);
  world.publish("1.0.0", 1);
  ota::Manifest manifest = *ota::parse_manifest(world.manifests.at("1.0.0"));
  manifest.variants[0].needs.architectures = {"x86_64"};
  world.manifests["1.0.0"] = ota::print_manifest(manifest);
  world.assign("1.0.0");
  world.pass(60);
  CHECK(world.states() == States{"downloading", "refused"});
  CHECK(world.last_update()["reason"] == "variant.none");
}

TEST_CASE("a release waits, staged, for the maintenance window in the device's local time") {
  FleetPlan plan = World::quiet();
  plan.utc_offset_s = 3'600;
  World world(plan);  // it is 12:00 UTC, 13:00 on the device
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.models[0]["policy"]["window"] = Json{{"from", "13:10"}, {"to", "14:00"}};
  world.pass(9 * 60);
  CHECK(world.states() == States{"downloading", "staged"});
  world.pass(2 * 60);
  CHECK(world.states() == States{"downloading", "staged", "trial", "committed"});
}

TEST_CASE("speed divides every wait and multiplies the traffic") {
  FleetPlan plan = World::quiet();
  plan.speed = 10;
  World world(plan);
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.pass(60);
  CHECK(world.commons.counts.check_ins > 100);
  REQUIRE(world.windows.size() > 40);
  CHECK(world.windows.back().end_unix_ms - world.windows.back().start_unix_ms == Approx(1'000).margin(20));
  CHECK(static_cast<double>(world.windows.back().releases.at(0).duration.count()) == Approx(100).margin(50));
}

TEST_CASE("a device that is away at times keeps its windows and brings them when it is back") {
  FleetPlan plan = World::quiet();
  plan.offline = 1;
  plan.offline_s = 100;
  plan.offline_every_s = 200;
  World world(plan);
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.pass(2'000);
  CHECK(world.commons.counts.check_ins < 260);  // half of what it would be
  CHECK(world.commons.counts.check_ins > 150);
  CHECK(world.windows.size() > 180);
  CHECK(world.commons.counts.windows_dropped == 0);
}

TEST_CASE("an absent device enrols and says nothing") {
  FleetPlan plan = World::quiet();
  plan.absent = 1;
  World world(plan);
  world.pass(1'000);
  CHECK(world.asked.empty());
}

TEST_CASE("a fleet that does not download learns each release once") {
  FleetPlan plan = World::quiet();
  plan.download = false;
  World world(plan);
  world.publish("1.0.0", 1);
  world.assign("1.0.0");
  world.pass(60);
  CHECK(world.states().back() == "committed");
  CHECK(world.commons.counts.manifests == 1);
  CHECK(world.commons.counts.blobs == 1);
  CHECK(world.commons.known(sha256(world.manifests.at("1.0.0"))) != nullptr);
}
