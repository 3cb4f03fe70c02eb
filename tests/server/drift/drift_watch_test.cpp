// Canaries beside controls: when the world has changed, a rollout hears of it; what only the canaries show is no news.
#include "tests/server/drift/drift_world.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;
using telemetry::DriftCause;

namespace {

constexpr std::size_t pairs = 4;

// 1.1.0 is rolled out to four of eight devices that run 1.0.0, the other four are their controls.
struct Arms : DriftWorld {
  explicit Arms(bool on_disk = false) : DriftWorld(on_disk) {
    publish("1.0.0", drift_reference());
    publish("1.1.0", drift_reference(9'000));
    add_devices(2 * pairs);
    rollout.plan.id = "ro-1";
    rollout.plan.model = model;
    rollout.plan.version = "1.1.0";
    rollout.plan.from_version = "1.0.0";
    rollout.plan.policy.gate = LiveGatePolicy{};
    rollout.plan.created_ms = now_ms();
    for (std::size_t i = 0; i < pairs; ++i) rollout.plan.pairs.push_back({id(i), id(pairs + i), "camera"});
  }
  std::optional<WorldNews> ask() { return monitor->world_changed(rollout, now_ms()); }
  void round(double canary_off, double control_off) {
    pass(1min);
    for (std::size_t i = 0; i < pairs; ++i) {
      upload(id(i), "1.1.0", 50, canary_off);
      upload(id(pairs + i), "1.0.0", 50, control_off);
    }
  }
  // Rounds until there is news, at most `most`; how many it took, 0 for none.
  int rounds_to_news(double canary_off, double control_off, int most) {
    for (int i = 1; i <= most; ++i) {
      round(canary_off, control_off);
      if (ask()) return i;
    }
    return 0;
  }
  DriftCause cause() { return monitor->drift_of("ro-1").value().cause; }
  Rollout rollout;
};

}  // namespace

TEST_CASE("arms that stay as in CI are no news") {
  Arms world;
  CHECK_FALSE(world.ask());
  CHECK(world.cause() == DriftCause::not_enough);
  CHECK(world.rounds_to_news(0, 0, 60) == 0);
  CHECK(world.cause() == DriftCause::none);
  const auto drift = world.monitor->drift_of("ro-1").value();
  CHECK(drift.reason.empty());
  CHECK(drift.canary == world.arm_cohort("1.1.0", "ro-1", "canary"));
  CHECK(drift.control == world.arm_cohort("1.0.0", "ro-1", "control"));
  CHECK(world.view(drift.canary)->state.drift.windows == 60);
}

TEST_CASE("both arms shifted: the world changed, and it is the same news until it has changed back") {
  Arms world;
  world.ask();
  CHECK(world.rounds_to_news(0, 0, 10) == 0);
  const std::int64_t before_ms = world.now_ms();
  const int rounds = world.rounds_to_news(0.4, 0.4, 10);
  CHECK(rounds >= 1);
  CHECK(rounds <= 3);
  const WorldNews news = world.ask().value();
  CHECK(news.since_ms >= before_ms);
  CHECK_THAT(news.detail, Catch::Contains("the world changed"));
  CHECK(world.monitor->drift_of("ro-1")->reason == "drift.world_changed");
  for (int i = 0; i < 20; ++i) {
    world.round(0.4, 0.4);
    REQUIRE(world.ask());
    CHECK(world.ask()->since_ms == news.since_ms);
  }
  for (int i = 0; i < 80 && world.ask(); ++i) world.round(0, 0);
  CHECK_FALSE(world.ask());
}

TEST_CASE("only the canaries shifted: evidence about the release, and no news") {
  Arms world;
  world.ask();
  CHECK(world.rounds_to_news(0, 0, 5) == 0);
  CHECK(world.rounds_to_news(0.4, 0, 40) == 0);
  CHECK(world.cause() == DriftCause::model);
  CHECK(world.monitor->drift_of("ro-1")->reason == "drift.canaries");
  CHECK(world.level(world.arm_cohort("1.1.0", "ro-1", "canary")) == DriftLevel::warn);
  CHECK(world.level(world.arm_cohort("1.0.0", "ro-1", "control")) == DriftLevel::ok);
}

TEST_CASE("the controls' shift is the world's, whatever the canaries show: their release did not change") {
  Arms world;
  world.ask();
  CHECK(world.rounds_to_news(0, 0.4, 5) >= 1);
}

TEST_CASE("a release that drifted before the rollout began does not stop the one that may mend it") {
  Arms world;
  for (int i = 0; i < 5; ++i) {
    world.pass(1min);
    for (std::size_t k = 0; k < 2 * pairs; ++k) world.upload(DriftWorld::id(k), "1.0.0", 50, 0.4);
  }
  REQUIRE(world.level(world.class_cohort("1.0.0")) == DriftLevel::warn);
  CHECK_FALSE(world.ask());
  CHECK(world.rounds_to_news(0, 0.4, 20) == 0);
  CHECK(world.cause() == DriftCause::world);
  CHECK_THAT(world.monitor->drift_of("ro-1")->text, Catch::Contains("known before"));
  world.restart();
  CHECK_FALSE(world.ask());
}

TEST_CASE("a restart between any two uploads changes neither arm nor answer") {
  const auto play = [](bool restarts) {
    Arms world(true);
    std::string answers;
    for (int i = 0; i < 12; ++i) {
      const auto news = world.ask();
      answers += news ? std::to_string(news->since_ms) + news->detail : "-";
      world.round(i < 4 ? 0 : 0.4, i < 4 ? 0 : 0.4);
      if (restarts) world.restart();
    }
    CHECK_THAT(answers, Catch::Contains("world changed"));
    return answers + world.dump();
  };
  CHECK(play(true) == play(false));
}

TEST_CASE("one canary that lies shifts its arm by its weight only, and is not the world") {
  Arms world;
  world.ask();
  DriftCounts lie = telemetry::reference_counts(drift_reference(9'000));
  for (const DriftFeature feature : telemetry::drift_features)
    for (std::size_t bin = 1; bin < lie[feature].size(); ++bin) lie[feature][bin] = 0;
  for (int i = 0; i < 20; ++i) {
    world.pass(1min);
    world.upload(DriftWorld::id(0), "1.1.0", lie);
    for (std::size_t k = 1; k < 2 * pairs; ++k) world.upload(DriftWorld::id(k), k < pairs ? "1.1.0" : "1.0.0", 50);
    CHECK_FALSE(world.ask());
  }
  CHECK(world.level(world.arm_cohort("1.0.0", "ro-1", "control")) == DriftLevel::ok);
}

TEST_CASE("a rollout without a gate, or one that is over, is not watched") {
  Arms world;
  world.rollout.plan.policy.gate.reset();
  CHECK_FALSE(world.ask());
  CHECK_FALSE(world.monitor->drift_of("ro-1"));
  world.rollout.plan.policy.gate = LiveGatePolicy{};
  world.rollout.head.status = RolloutStatus::failed;
  CHECK_FALSE(world.ask());
  CHECK_FALSE(world.monitor->drift_of("ro-1"));
}

TEST_CASE("a rollout of a release without a reference is not watched, and asked again later") {
  Arms world;
  world.publish("1.2.0", drift_reference(100));
  world.rollout.plan.version = "1.2.0";
  CHECK_FALSE(world.ask());
  CHECK_FALSE(world.ask());
  CHECK_FALSE(world.monitor->drift_of("ro-1"));
  world.rollout.plan.version = "1.1.0";
  world.pass(std::chrono::milliseconds{reference_retry_ms});
  CHECK_FALSE(world.ask());
  CHECK(world.monitor->drift_of("ro-1"));
}

TEST_CASE("the arms of a rollout that is over go, those of one under way stay") {
  Arms world;
  world.ask();
  world.round(0, 0);
  const std::string canary = world.arm_cohort("1.1.0", "ro-1", "canary");
  need(world.monitor->housekeep(world.now_ms(), {"ro-1"}));
  CHECK(world.view(canary));
  need(world.monitor->housekeep(world.now_ms(), {}));
  CHECK_FALSE(world.view(canary));
  CHECK_FALSE(world.monitor->drift_of("ro-1"));
  CHECK(world.view(world.class_cohort("1.1.0")));
  world.round(0, 0);
  CHECK_FALSE(world.view(canary));
  world.ask();
  CHECK(world.view(canary));
  need(world.monitor->forget("ro-1"));
  CHECK_FALSE(world.view(canary));
  CHECK_THAT(world.dump(), !Catch::Contains("ro-1"));
}
