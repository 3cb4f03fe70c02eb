// The maintenance window on the device: bytes come at any time, the release changes only inside the window.
#include "tests/agent/driver_world.hpp"

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::agent::test;

namespace {

// The simulated clock starts at midnight UTC, 2026-11-23, a Monday.
ota::AssignedRelease inside(ota::AssignedRelease release, const char* window) {
  release.policy.window = *parse_weekly_window(*parse_json(window));
  return release;
}

std::string state_of(const World& world) { return std::string(name_of(world.driver->state().update)); }

// Turns until the update waits for something other than itself.
void turn_until_staged(World& world) {
  for (int turn = 0; turn < 20 && state_of(world) != "staged"; ++turn) world.driver->turn();
  REQUIRE(state_of(world) == "staged");
}

void pass(World& world, Duration time) {
  world.clock.advance(time);
  world.driver->turn();
}

}  // namespace

TEST_CASE("a release is fetched at once and tried when the device's window opens, in its local time") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  world.clock.set_utc_offset_s(2 * 3600);  // 02:00 here
  world.driver->assign(inside(world.server.publish("1.1.0", 2), R"({"from": "03:00", "to": "04:00"})"));
  turn_until_staged(world);
  CHECK(world.active_version() == "1.0.0");
  pass(world, std::chrono::minutes{50});
  CHECK(state_of(world) == "staged");
  CHECK(world.activator.serving == "1.0.0");
  pass(world, std::chrono::minutes{15});
  world.settle();
  CHECK(world.active_version() == "1.1.0");
  CHECK(world.told("1.1.0") == Told{"downloading", "staged", "trial", "committed"});
}

TEST_CASE("a restart while the release waits for its window goes on waiting") {
  World world;
  world.update_to(world.server.publish("1.0.0", 1));
  world.driver->assign(
      inside(world.server.publish("1.1.0", 2), R"({"days": ["tue"], "from": "01:00", "to": "02:00"})"));
  turn_until_staged(world);
  world.restart();
  world.driver->turn();
  CHECK(state_of(world) == "staged");
  CHECK(world.activator.serving == "1.0.0");
  pass(world, std::chrono::hours{24 + 1});
  world.settle();
  CHECK(world.active_version() == "1.1.0");
}

TEST_CASE("a recall and another assignment are heard while the window is shut") {
  World world;
  const auto first = world.server.publish("1.0.0", 1);
  const auto second = world.server.publish("1.1.0", 2);
  world.update_to(first);
  world.update_to(second);
  world.driver->assign(
      inside(world.server.publish("1.2.0", 3), R"({"days": ["sun"], "from": "01:00", "to": "02:00"})"));
  turn_until_staged(world);
  SECTION("recall of the waiting release") {
    world.driver->recall(
        Recall{FerryServer::model, world.driver->state().report.manifest_sha256, "operator.rollback", ""});
    world.driver->assign(second);
    pass(world, std::chrono::seconds{5});
    world.settle();
    CHECK(world.active_version() == "1.1.0");
    CHECK(state_of(world) == "idle");
    CHECK_FALSE(world.told("1.2.0").back() == "committed");
  }
  SECTION("another release without a window") {
    world.driver->assign(world.server.publish("1.3.0", 4));
    world.settle();
    CHECK(world.active_version() == "1.3.0");
  }
}
