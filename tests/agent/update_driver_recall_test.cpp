// A recall as the server's check-in orders it: the previous release answers again, the recalled one never comes back.
#include "tests/agent/driver_world.hpp"

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::agent::test;

namespace {

Recall recall_of(const ota::AssignedRelease& release, std::string reason = "gate.latency") {
  return {FerryServer::model, release.manifest_sha256, std::move(reason), "slower than its control group"};
}

// 1.0.0 was replaced by 1.1.0 through rollout "ro-1.1.0".
struct Updated {
  World world;
  ota::AssignedRelease first = world.server.publish("1.0.0", 1);
  ota::AssignedRelease second = world.server.publish("1.1.0", 2);
  Updated() {
    world.update_to(first);
    world.update_to(second);
    REQUIRE(world.active_version() == "1.1.0");
    world.activator.calls.clear();
  }
};

}  // namespace

TEST_CASE("a recalled release makes way for the previous one without the network, and the server hears of it") {
  Updated updated;
  World& world = updated.world;
  const std::size_t asked = world.server.asked("/device/v1/blobs");
  world.driver->recall(recall_of(updated.second));
  world.driver->assign(updated.first);
  world.settle();
  CHECK(world.active_version() == "1.0.0");
  CHECK(world.activator.serving == "1.0.0");
  CHECK(world.server.asked("/device/v1/blobs") == asked);
  CHECK(world.activator.calls.front() == "start 1.0.0");
  CHECK(world.told("1.1.0").back() == "rolled_back gate.latency");
  CHECK_FALSE(world.driver->state().b);
}

TEST_CASE("a recalled release is refused when it is offered again, also after a restart") {
  Updated updated;
  World& world = updated.world;
  world.driver->recall(recall_of(updated.second));
  world.driver->assign(updated.first);
  world.settle();
  world.restart();
  auto again = updated.second;
  again.rollout = "ro-later";
  world.update_to(again);
  CHECK(world.active_version() == "1.0.0");
  CHECK(world.told("1.1.0").back() == "refused release.rejected");
}

TEST_CASE("power lost between the decision and its effect: the way back is gone to its end") {
  Updated updated;
  World& world = updated.world;
  world.driver->recall(recall_of(updated.second));
  // One turn decides and acts; what a cut right after the decision leaves is the journal's "rolling back".
  auto decided = ota::step(world.driver->state(), ota::Recalled{updated.second.manifest_sha256, "gate.latency", "", 1});
  REQUIRE(std::holds_alternative<ota::RollingBack>(decided.state.update));
  ota::SlotStore store(world.data.root, FerryServer::model, world.log);
  REQUIRE(store.open());
  REQUIRE(store.save(decided.state));
  world.restart();
  world.settle();
  CHECK(world.active_version() == "1.0.0");
  CHECK(world.activator.serving == "1.0.0");
  CHECK(world.told("1.1.0").back() == "rolled_back gate.latency");
}

TEST_CASE("a recall of the only release waits until another is there, then erases it") {
  World world;
  auto only = world.server.publish("1.0.0", 1);
  world.update_to(only);
  world.driver->recall(recall_of(only));
  world.settle();
  CHECK(world.active_version() == "1.0.0");
  auto next = world.server.publish("1.1.0", 2);
  world.update_to(next);
  CHECK(world.active_version() == "1.1.0");
  CHECK_FALSE(world.driver->state().a);
  CHECK(world.told("1.0.0").back() == "rolled_back gate.latency");
}

TEST_CASE("a recall that is lifted before it could act changes nothing") {
  World world;
  auto only = world.server.publish("1.0.0", 1);
  world.update_to(only);
  world.driver->recall(recall_of(only));
  world.settle();
  world.driver->recall(std::nullopt);
  auto next = world.server.publish("1.1.0", 2);
  world.update_to(next);
  REQUIRE(world.driver->state().a);
  CHECK(world.driver->state().a->version == "1.0.0");
}
