#include "server/fleet/assignments.hpp"

#include "tests/server/core_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

std::string etag(Core& core, const std::string& device) {
  return core.assignments->current(*core.fleet->find(device))->etag;
}

}  // namespace

TEST_CASE("a device that nothing is assigned to gets an empty list") {
  Core core;
  core.add_device("dev-1");
  const Json answer = core.check_in("dev-1");
  CHECK(answer["format"] == "ferry.assignment/1");
  CHECK(answer["device"] == "dev-1");
  CHECK(answer["models"] == Json::array());
  CHECK(answer["telemetry_interval_s"] == 60);
}

TEST_CASE("an assignment says all that a device needs to find and judge the release") {
  Core core;
  core.add_device("dev-1");
  RolloutPolicy policy;
  policy.trial.shadow_requests = 7;
  const std::string id = core.create("1.1.0", policy);
  const Json model = core.check_in("dev-1")["models"][0];
  CHECK(model["model"] == "fashion-mnist");
  CHECK(model["version"] == "1.1.0");
  CHECK(model["target"] == "fashion-mnist/1.1.0/manifest.json");
  CHECK(model["sha256"] == sha256("manifest of 1.1.0").hex());
  CHECK(model["length"] == 1234);
  CHECK(model["counter"] == 2);
  CHECK(model["rollout"] == id);
  CHECK(model["arm"] == "canary");
  CHECK(model["phase"] == 0);
  CHECK(model["policy"]["shadow_requests"] == 7);
  CHECK(*ota::trial_policy_from_json(model["policy"]) == policy.trial);
}

TEST_CASE("the answer is composed once and shared until something changes for this device") {
  Core core;
  core.add_devices(2);
  const std::string id = core.create("1.1.0");
  const auto first = core.assignments->current(*core.fleet->find("dev-000"));
  CHECK(core.assignments->current(*core.fleet->find("dev-000")) == first);
  need(core.controller->turn());  // the offer is noted: composed anew, with the same bytes
  const auto second = core.assignments->current(*core.fleet->find("dev-000"));
  CHECK(second != first);
  CHECK(second->etag == first->etag);
  CHECK(*second->body == *first->body);
  CHECK(first->offers == std::vector<std::string>{id});
  CHECK(second->offers.empty());
  // Progress of the neighbour is nothing to this device.
  const std::uint64_t generation = core.controller->generation();
  core.tell("dev-001", Core::update_event(1, id, "1.1.0", "downloading"));
  CHECK(core.controller->generation() == generation);
  CHECK(core.assignments->current(*core.fleet->find("dev-000")) == second);
}

TEST_CASE("the ETag stays over everything that assigns nothing else, and over a restart") {
  Core core;
  core.add_devices(2);
  const std::string id = core.create("1.1.0");
  const std::string before = etag(core, "dev-000");
  CHECK(before.size() == 34);
  CHECK(before.front() == '"');
  CHECK(before.back() == '"');
  CHECK(etag(core, "dev-001") != before);
  need(core.controller->turn());
  core.tell("dev-000", Core::update_event(1, id, "1.1.0", "downloading"));
  core.tell("dev-000", Core::update_event(2, id, "1.1.0", "committed"));
  need(core.reports->set_labels(*core.fleet->find("dev-000"), Json{{"site", "oslo"}}, "ada"));
  CHECK(etag(core, "dev-000") == before);
  core.restart();
  CHECK(etag(core, "dev-000") == before);
}

TEST_CASE("the ETag changes when the assignment does") {
  Core core;
  core.add_devices(2);
  const std::string nothing = etag(core, "dev-000");
  const std::string id = core.create("1.1.0");
  const std::string canary = etag(core, "dev-000");
  CHECK(canary != nothing);
  need(core.controller->act(id, Paused{"ada", "", 1}, std::nullopt));
  CHECK(etag(core, "dev-000") == nothing);
  need(core.controller->act(id, Resumed{"ada", 1}, std::nullopt));
  CHECK(etag(core, "dev-000") == canary);
  need(core.controller->act(id, Promoted{"ada", 1}, std::nullopt));
  const std::string current = etag(core, "dev-000");
  CHECK(current != canary);
  CHECK(core.check_in("dev-000")["models"][0]["rollout"] == "");
}

TEST_CASE("several models are assigned side by side") {
  Core core;
  core.add_device("dev-1");
  core.create("1.1.0");
  NewRollout other = Core::wanted("2.0.0");
  other.model = "keyword-spotter";
  need(core.controller->create(other, Core::release("2.0.0", "keyword-spotter")));
  const Json models = core.check_in("dev-1")["models"];
  REQUIRE(models.size() == 2);
  CHECK(models[0]["model"] == "fashion-mnist");
  CHECK(models[1]["model"] == "keyword-spotter");
  const auto assigned = core.assignments->assigned(*core.fleet->find("dev-1"));
  REQUIRE(assigned.size() == 2);
  CHECK(assigned[1].version == "2.0.0");
  CHECK(assigned[1].arm == "canary");
  core.fleet->find("dev-1")->revoked = true;
  CHECK(core.assignments->assigned(*core.fleet->find("dev-1")).empty());
}

TEST_CASE("looking at what is assigned notes no offer") {
  Core core;
  core.add_device("dev-1");
  const std::string id = core.create("1.1.0");
  CHECK(core.assignments->assigned(*core.fleet->find("dev-1")).at(0).rollout == id);
  need(core.controller->turn());
  CHECK(core.rollout(id).devices.empty());
}

TEST_CASE("devices poll within ten per cent before the interval, each at its own time") {
  double least = 1e9, most = 0;
  std::set<double> distinct;
  for (int i = 0; i < 2000; ++i) {
    const double seconds = poll_after_s("dev-" + std::to_string(i), 30);
    CHECK(seconds == poll_after_s("dev-" + std::to_string(i), 30));
    least = std::min(least, seconds);
    most = std::max(most, seconds);
    distinct.insert(seconds);
  }
  CHECK(least >= 27.0);
  CHECK(least < 27.1);
  CHECK(most <= 30.0);
  CHECK(most > 29.9);
  CHECK(distinct.size() > 1000);
  CHECK(poll_after_s("dev-1", 1) >= 0.9);
  CHECK(poll_after_s("dev-1", 0) == Approx(0.1));
}
