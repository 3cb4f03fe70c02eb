// The update driver: whole lives, cut at every write.
#include "tests/agent/driver_world.hpp"

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::agent::test;
using namespace ferry::test;

TEST_CASE("a first release and a second one are fetched, proved, committed; the status and the events say so") {
  World world;
  auto first = world.server.publish("1.0.0", 1);
  world.update_to(first);
  CHECK(world.active_version() == "1.0.0");
  CHECK(world.activator.serving == "1.0.0");
  CHECK(world.told("1.0.0") == Told{"downloading", "staged", "trial", "committed"});
  // Without an active release there is nothing to shadow.
  CHECK(world.activator.calls == Told{"prove 1.0.0", "take over", "commit 1.0.0 ro-1.0.0"});
  CHECK_FALSE(std::filesystem::exists(world.data.root / "models" / FerryServer::model / "download"));

  world.activator.calls.clear();
  world.update_to(world.server.publish("1.1.0", 2));
  CHECK(world.activator.calls == Told{"prove 1.1.0", "shadow", "take over", "commit 1.1.0 ro-1.1.0"});
  Json model = world.status.document()["models"][0];
  CHECK(model["active"]["version"] == "1.1.0");
  CHECK(model["active"]["variant"] == "fp32");
  CHECK_FALSE(model["active"]["variant_reason"].get<std::string>().empty());
  CHECK(model["slots"]["a"]["version"] == "1.0.0");
  CHECK(model["slots"]["b"]["version"] == "1.1.0");
  CHECK(model["update"]["state"] == "idle");
}

TEST_CASE("going back to the release in the other slot downloads nothing and shadows nothing") {
  World world;
  auto first = world.server.publish("1.0.0", 1);
  world.update_to(first);
  world.update_to(world.server.publish("1.1.0", 2));
  world.activator.calls.clear();
  auto blobs = world.server.asked("/device/v1/blobs/sha256/" + world.server.model_digest["1.0.0"].hex());
  world.update_to(first);
  CHECK(world.active_version() == "1.0.0");
  CHECK(world.server.asked("/device/v1/blobs/sha256/" + world.server.model_digest["1.0.0"].hex()) == blobs);
  CHECK(world.activator.calls == Told{"prove 1.0.0", "take over", "commit 1.0.0 ro-1.0.0"});
}

TEST_CASE("a release that fails on the device is rejected, erased, remembered, and the old one answers on") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  auto bad = world.server.publish("1.3.0", 2);
  std::string expected = "rejected";
  SECTION("golden outputs differ") {
    world.activator.fail_prove.insert({"1.3.0", Error{Errc::gate_failed, "off by 3", "trial.golden"}});
  }
  SECTION("it does not load and says no reason") {
    world.activator.fail_prove.insert({"1.3.0", Error{Errc::io, "broken"}});
  }
  SECTION("memory, in shadow") {
    world.activator.shadow = {.mirrored = 7, .errors = 0, .crashes = 1, .reason = "trial.memory"};
  }
  SECTION("errors, in shadow") { world.activator.shadow = {.mirrored = 10, .errors = 5}; }
  SECTION("a crash, in probation") {
    world.activator.probation = {.requests = 3, .errors = 0, .crashes = 1, .reason = "trial.crash"};
    expected = "rolled_back";
  }
  world.update_to(bad);
  CHECK(world.active_version() == "1.0.0");
  CHECK(world.activator.serving == "1.0.0");
  REQUIRE(world.driver->state().rejection(bad.manifest_sha256));
  std::string reason = world.driver->state().rejection(bad.manifest_sha256)->reason;
  CHECK(reason.starts_with("trial."));
  CHECK(world.told("1.3.0") == Told{"downloading", "staged", "trial", expected + " " + reason});
  CHECK_FALSE(std::filesystem::exists(world.data.root / "models" / FerryServer::model / "b"));
  CHECK_FALSE(world.driver->state().b);

  // Offered again, by the same rollout and by another: refused without a download.
  auto asked = world.server.asked("/device/v1/blobs/");
  world.settle();
  bad.rollout = "ro-again";
  world.update_to(bad);
  CHECK(world.server.asked("/device/v1/blobs/") == asked);
  CHECK(world.told("1.3.0").back() == "refused release.rejected");
}

TEST_CASE("no request at all ends shadow and probation by time, not in silence for ever") {
  World world;
  world.activator.shadow = {};
  world.activator.probation = {};
  world.update_to(world.server.publish("1.0.0", 1));
  auto before = world.clock.monotonic();
  world.update_to(world.server.publish("1.1.0", 2));
  CHECK(world.active_version() == "1.1.0");
  auto took = world.clock.monotonic() - before;
  CHECK(took >= std::chrono::seconds{90});
  CHECK(took < std::chrono::seconds{600});
}

TEST_CASE("a proof that hangs until the deadline is rejected for it") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  auto slow = world.server.publish("1.1.0", 2);
  slow.policy.trial_deadline_s = 100;
  world.activator.on_prove = [&](const SlotContents&) { world.clock.advance(std::chrono::seconds{101}); };
  world.update_to(slow);
  CHECK(world.active_version() == "1.0.0");
  CHECK(world.told("1.1.0").back() == "rejected trial.deadline");
}

TEST_CASE(
    "what is not signed, not attested, or not for this device is refused with its reason, before any model byte") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  FerryServer::Options options;
  std::string reason;
  ota::AssignedRelease assigned;
  SECTION("gate failed") {
    options.gate_result = "FAILED";
    assigned = world.server.publish("1.1.0", 2, options);
    reason = "trust.attestation_failed";
  }
  SECTION("gate signed by the release key") {
    options.forged_gate = true;
    assigned = world.server.publish("1.1.0", 2, options);
    reason = "trust.attestation_invalid";
  }
  SECTION("another architecture") {
    options.architectures = {"riscv64"};
    assigned = world.server.publish("1.1.0", 2, options);
    reason = "variant.none";
  }
  SECTION("a manifest digest the server made up") {
    assigned = world.server.publish("1.1.0", 2);
    assigned.manifest_sha256 = sha256("forged");
    reason = "trust.metadata";
  }
  SECTION("a counter the server made up") {
    assigned = world.server.publish("1.1.0", 2);
    assigned.counter = 3;
    reason = "trust.metadata";
  }
  SECTION("a length the server made up") {
    assigned = world.server.publish("1.1.0", 2);
    assigned.length += 1;
    reason = "trust.metadata";
  }
  SECTION("below the signed floor") {
    assigned = world.server.publish("1.1.0", 2);
    world.server.publish("1.2.0", 3);
    world.server.raise_floor(3);
    reason = "trust.counter_below_floor";
  }
  SECTION("metadata that expired") {
    assigned = world.server.publish("1.1.0", 2);
    world.clock.set_now(world.clock.now() + std::chrono::hours{24 * 30});
    reason = "trust.metadata";
  }
  world.update_to(assigned);
  CHECK(world.active_version() == "1.0.0");
  CHECK(world.told("1.1.0") == Told{"downloading", "refused " + reason});
  if (auto model = world.server.model_digest.find("1.1.0"); model != world.server.model_digest.end())
    CHECK(world.server.asked("/device/v1/blobs/sha256/" + model->second.hex()) == 0);
}

TEST_CASE("a floor once seen is kept even when the server goes back to metadata without it") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  world.server.publish("1.1.0", 2);
  world.server.raise_floor(2);
  world.update_to(world.server.publish("1.2.0", 3));
  CHECK(world.driver->state().floor == 2);
  auto old_release = world.server.publish("1.0.1", 2);
  old_release.counter = 1;
  auto asked = world.server.asked("/");
  world.update_to(old_release);
  CHECK(world.server.asked("/") == asked);
  CHECK(world.told("1.0.1") == Told{"refused trust.counter_below_floor"});
}

TEST_CASE("wrong bytes are tried as often as the policy allows, then the update failed and the device runs on") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  auto assigned = world.server.publish("1.1.0", 2);
  assigned.policy.download_attempts_max = 3;
  const Digest digest = world.server.model_digest["1.1.0"];
  const std::string good = world.server.blob(digest);
  world.server.set_blob(digest, std::string(good.size(), 'x'));
  world.update_to(assigned);
  CHECK(world.told("1.1.0") == Told{"downloading", "failed download.digest"});
  CHECK(world.server.asked("/device/v1/blobs/sha256/" + digest.hex()) == 3);
  CHECK(world.driver->state().rejected.empty());
  // Held back for a while, then tried again, and now the bytes are right.
  world.server.set_blob(digest, good);
  world.clock.advance(std::chrono::seconds{61});
  world.settle();
  CHECK(world.active_version() == "1.1.0");
}

TEST_CASE("a server in trouble costs time and no attempt, at every request of an update") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  auto assigned = world.server.publish("1.1.0", 2);
  assigned.policy.download_attempts_max = 1;
  std::map<std::string, int> seen;
  world.server.intercept([&](const ScriptedRequest& request) -> std::optional<ScriptedAnswer> {
    switch (++seen[request.path()]) {
      case 1:
        return ScriptedAnswer{503, "Retry-After: 7\r\n", "", {}, {}};
      case 2:
        return ScriptedAnswer{429, "", "", {}, {}};
      case 3:
        return ScriptedAnswer{200, "", "cut off", 0, 5000};
      default:
        return std::nullopt;
    }
  });
  world.update_to(assigned);
  CHECK(world.active_version() == "1.1.0");
  CHECK(world.told("1.1.0") == Told{"downloading", "staged", "trial", "committed"});
}

TEST_CASE("another assignment cuts a download; the same one under another rollout does not") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  auto wanted = world.server.publish("1.1.0", 2);
  auto other = world.server.publish("1.2.0", 3);
  const std::string path = "/device/v1/blobs/sha256/" + world.server.model_digest["1.1.0"].hex();
  auto renamed = wanted;
  renamed.rollout = "ro-new";
  bool cut = GENERATE(true, false);
  bool done = false;
  world.server.intercept([&](const ScriptedRequest& request) -> std::optional<ScriptedAnswer> {
    if (request.path() != path || std::exchange(done, true)) return std::nullopt;
    world.driver->assign(cut ? other : renamed);
    return ScriptedAnswer{503, "Retry-After: 1\r\n", "", {}, {}};
  });
  world.update_to(wanted);
  if (cut) {
    CHECK(world.active_version() == "1.2.0");
    CHECK(world.told("1.1.0") == Told{"downloading", "failed operator.abort"});
  } else {
    CHECK(world.active_version() == "1.1.0");
    CHECK(world.driver->state().active_entry()->rollout == "ro-new");
  }
}

TEST_CASE("an order to go elsewhere during the trial brings the old release back without blaming the new one") {
  World world;
  auto first = world.server.publish("1.0.0", 1);
  world.update_to(first);
  auto candidate = world.server.publish("1.1.0", 2);
  world.activator.probation = {};
  world.driver->assign(candidate);
  while (!(std::holds_alternative<ota::Trial>(world.driver->state().update) &&
           std::get<ota::Trial>(world.driver->state().update).stage == ota::TrialStage::probation))
    world.clock.advance(world.driver->turn());
  CHECK(world.activator.serving == "1.1.0");
  world.update_to(first);
  CHECK(world.activator.serving == "1.0.0");
  CHECK(world.told("1.1.0").back() == "rolled_back operator.abort");
  CHECK(world.driver->state().rejected.empty());
}

TEST_CASE("a control device is relabelled without an update") {
  World world;
  auto first = world.server.publish("1.0.0", 1);
  world.update_to(first);
  world.activator.calls.clear();
  first.rollout = "ro-77";
  first.arm = "control";
  world.update_to(first);
  CHECK(world.activator.calls == Told{"commit 1.0.0 ro-77"});
  CHECK(world.driver->state().active_entry()->arm == "control");
}

TEST_CASE(
    "restarted in any state of an update, the device ends where it should, with one release answering throughout") {
  // Every journal write of a whole update is a place to lose power: the n-th life ends after n turns.
  for (bool good : {true, false}) {
    for (int turns = 0; turns < 12; ++turns) {
      World world;
      world.update_to(world.server.publish("1.0.0", 1));
      auto next = world.server.publish("1.1.0", 2);
      if (!good) world.activator.shadow = {.mirrored = 3, .errors = 0, .crashes = 1, .reason = "trial.crash"};
      world.activator.on_prove = [&](const SlotContents&) { CHECK(world.activator.serving == "1.0.0"); };
      world.driver->assign(next);
      for (int turn = 0; turn < turns; ++turn) world.clock.advance(world.driver->turn());
      INFO((good ? "good" : "bad") << " release, restarted after " << turns << " turns in "
                                   << ota::update_to_json(world.driver->state().update).dump());
      bool over = turns > 0 && std::holds_alternative<ota::Idle>(world.driver->state().update);
      std::string before = world.active_version();
      world.restart();
      CHECK(world.activator.serving == before);  // what was committed answers at once, whatever the trial was doing
      world.update_to(next);
      CHECK(world.active_version() == (good ? "1.1.0" : "1.0.0"));
      auto told = world.told("1.1.0");
      CHECK(std::count(told.begin(), told.end(), good ? "committed" : "rejected trial.crash") == 1);
      if (over) break;
    }
  }
}

TEST_CASE("a device that restarts again and again during a trial gives the release up") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  auto next = world.server.publish("1.1.0", 2);
  world.activator.shadow = {};
  world.driver->assign(next);
  while (!std::holds_alternative<ota::Trial>(world.driver->state().update)) world.clock.advance(world.driver->turn());
  for (int boot = 0; boot < ota::trial_boots_max; ++boot) {
    world.restart();
    world.driver->turn();
  }
  world.update_to(next);
  CHECK(world.active_version() == "1.0.0");
  CHECK(world.told("1.1.0").back() == "rejected trial.interrupted");
  CHECK(world.driver->state().rejected.back().reason == "trial.interrupted");
}

TEST_CASE("bit-rot of the active slot: the other committed release answers, and the lost one is fetched again") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  world.update_to(world.server.publish("1.1.0", 2));
  Path model = world.data.root / "models" / FerryServer::model / "b" / "model.onnx";
  std::string bytes = *read_file(model, 1 << 20);
  bytes[1000] = static_cast<char>(bytes[1000] ^ 1);
  REQUIRE(write_file_atomic(model, bytes));
  world.activator.calls.clear();
  SECTION("found when its worker cannot load it") { world.driver->signal(ActivatorSignal::active_unloadable); }
  SECTION("found by the daily scrub") { world.clock.advance(std::chrono::hours{25}); }
  world.server.now = world.clock.now();
  world.server.raise_floor(1);  // signs again: a day later the old timestamp has expired
  world.driver->turn();
  CHECK(world.activator.calls.front() == "start 1.0.0");
  world.settle();
  CHECK(world.active_version() == "1.1.0");  // still assigned, so repaired
  auto batch = Json::parse(world.spool->batch("ins-1")->body);
  bool alarmed = false;
  for (const auto& event : batch["events"])
    alarmed = alarmed || (event["kind"] == "alarm" && event["reason"] == "slot.corrupt");
  CHECK(alarmed);
}
