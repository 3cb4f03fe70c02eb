// Limits kept over real check-ins: nobody too many on the way, at one site, outside the window, or out of luck too
// often.
#include "tests/server/core_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

bool offered(Core& core, const std::string& device, const std::string& rollout) {
  const Json answer = core.check_in(device);
  return std::any_of(answer["models"].begin(), answer["models"].end(),
                     [&](const Json& model) { return model["rollout"] == rollout; });
}

std::vector<std::string> offered(Core& core, const std::string& rollout) {
  std::vector<std::string> devices;
  for (const DevicePtr& device : core.fleet->all())
    if (offered(core, device->id, rollout)) devices.push_back(device->id);
  return devices;
}

struct Reporter {
  Core& core;
  std::map<std::string, std::int64_t> seq;
  void operator()(const std::string& device, const std::string& rollout, const char* state, const char* reason = "",
                  const char* version = "1.0.0") {
    core.tell(device, Core::update_event(++seq[device], rollout, version, state, reason));
  }
};

}  // namespace

TEST_CASE("no more devices are on the way than the policy allows, whoever checks in and however often") {
  Core core;
  core.add_devices(10);
  RolloutPolicy policy;
  policy.in_flight_max = 3;
  const std::string id = core.create("1.0.0", policy);
  Reporter tell{core, {}};
  std::size_t committed = 0;
  for (int round = 0; round < 100 && committed < 10; ++round) {
    core.clock.advance(1s);
    const auto first = offered(core, id);
    CHECK(offered(core, id) == first);  // before the next turn: places are held
    CHECK(first.size() - committed <= 3);
    if (round % 2 == 0) need(core.controller->turn());
    if (round % 5 == 4) core.restart();
    for (const std::string& device : first)
      if (core.rollout(id).progress_of(device) == Progress::offered && round % 3 == 0) {
        tell(device, id, "committed");
        ++committed;
      }
    CHECK(core.rollout(id).moving() <= 3);
  }
  CHECK(committed == 10);
  CHECK(core.rollout(id).head.status == RolloutStatus::done);
}

TEST_CASE("at one site so many devices are on the way at once; devices without the label are a site of their own") {
  Core core;
  for (const char* device : {"a-1", "a-2", "a-3"}) core.add_device(device, R"({"site": "oslo"})");
  for (const char* device : {"b-1", "b-2"}) core.add_device(device, R"({"site": "bergen"})");
  for (const char* device : {"c-1", "c-2"}) core.add_device(device);
  RolloutPolicy policy;
  policy.site_budget = SiteBudget{"site", 1};
  const std::string id = core.create("1.0.0", policy);
  Reporter tell{core, {}};
  std::size_t committed = 0;
  for (int round = 0; round < 10 && committed < 7; ++round) {
    core.clock.advance(1s);
    std::map<char, int> moving;
    std::vector<std::string> now;
    for (const std::string& device : offered(core, id))
      if (core.rollout(id).progress_of(device) != Progress::committed) {
        ++moving[device.front()];
        now.push_back(device);
      }
    for (const auto& [site, count] : moving) CHECK(count == 1);
    need(core.controller->turn());
    for (const std::string& device : now) {
      tell(device, id, "committed");
      ++committed;
    }
  }
  CHECK(committed == 7);
  CHECK(core.rollout(id).at_site.empty());
}

TEST_CASE("a site's place survives a restart of the server") {
  Core core;
  for (const char* device : {"a-1", "a-2"}) core.add_device(device, R"({"site": "oslo"})");
  RolloutPolicy policy;
  policy.site_budget = SiteBudget{"site", 1};
  const std::string id = core.create("1.0.0", policy);
  REQUIRE(offered(core, id).size() == 1);
  need(core.controller->turn());
  core.restart();
  CHECK(offered(core, id).size() == 1);
}

TEST_CASE("the release is offered while it is night where the device is") {
  Core core;  // its clock starts at midnight UTC
  core.add_devices(2);
  core.fleet->find("dev-001")->utc_offset_s = 12 * 3600;  // noon there
  RolloutPolicy policy;
  policy.window = policy.trial.window = WeeklyWindow{0x7f, 0, 4 * 60};
  const std::string id = core.create("1.0.0", policy);
  CHECK(offered(core, "dev-000", id));
  CHECK_FALSE(offered(core, "dev-001", id));
  CHECK(core.controller->waits_for(core.rollout(id), "dev-001") == "device.window");
  CHECK(core.controller->waits_for(core.rollout(id), "dev-000").empty());
  core.clock.advance(12h);
  CHECK(offered(core, "dev-001", id));
  CHECK(core.check_in("dev-001")["models"][0]["policy"]["window"]["from"] == "00:00");
}

TEST_CASE(
    "a device that keeps failing with releases that are good elsewhere is left alone, and costs the release nothing") {
  Core core;
  core.add_devices(2);
  Reporter tell{core, {}};
  RolloutPolicy policy;
  policy.failures_max = 5;
  policy.penalty = Penalty{2, 3600};
  const char* versions[] = {"1.0.0", "1.1.0", "1.2.0"};
  for (const char* version : versions) {
    const std::string id = core.create(version, policy);
    const bool third = version == versions[2];
    CHECK(offered(core, "dev-000", id));
    CHECK(offered(core, "dev-001", id) != third);
    need(core.controller->turn());
    tell("dev-000", id, "committed", "", version);
    if (third) {
      CHECK(core.controller->waits_for(core.rollout(id), "dev-001") == "device.penalty");
      core.clock.advance(15min);
      need(core.controller->turn());
      CHECK(core.rollout(id).head.status == RolloutStatus::done);
      CHECK(core.rollout(id).failures() == 0);
      CHECK(core.check_in("dev-001")["models"] == Json::array());  // nor as the current release
      core.clock.advance(1h);
      CHECK_FALSE(core.check_in("dev-001")["models"].empty());  // long enough ago
      continue;
    }
    tell("dev-001", id, "failed", "install.io", version);
    CHECK(core.rollout(id).head.status == RolloutStatus::done);
  }
}

TEST_CASE("a release that failed is quarantined by its digest until a person lifts that") {
  Core core;
  core.add_devices(2);
  Reporter tell{core, {}};
  const std::string id = core.create("1.0.0");
  const std::string device = offered(core, id).front();
  tell(device, id, "rejected", "trial.memory");
  REQUIRE(core.rollout(id).head.status == RolloutStatus::failed);
  auto refused = core.controller->create(Core::wanted("1.0.0"), Core::release("1.0.0"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == "release_quarantined");
  ReleaseRow renamed = Core::release("1.0.1");
  renamed.manifest_sha256 = Core::release("1.0.0").manifest_sha256;  // the same bytes under another version
  CHECK(core.controller->create(Core::wanted("1.0.1"), renamed).error().reason == "release_quarantined");
  NewRollout lifted = Core::wanted("1.0.0");
  lifted.lift_quarantine = true;
  CHECK(core.controller->create(lifted, Core::release("1.0.0")));
}

TEST_CASE("a failed rollout goes on after a retry, over a restart, and only while it is the newest of its model") {
  Core core;
  core.add_devices(2);
  Reporter tell{core, {}};
  const std::string id = core.create("1.0.0");
  REQUIRE(offered(core, id).size() == 2);
  need(core.controller->turn());
  tell("dev-000", id, "committed");
  tell("dev-001", id, "failed", "install.no_space");
  REQUIRE(core.rollout(id).head.status == RolloutStatus::failed);
  CHECK_FALSE(offered(core, "dev-001", id));
  need(core.controller->act(id, Retried{"ada", "", to_unix_ms(core.clock.now())}, std::nullopt));
  CHECK(core.rollout(id).head.status == RolloutStatus::running);
  core.restart();
  CHECK(core.rollout(id).devices.at("dev-001").attempts == 2);
  CHECK(offered(core, "dev-001", id));
  need(core.controller->turn());
  tell("dev-001", id, "failed", "install.no_space");
  REQUIRE(core.rollout(id).head.status == RolloutStatus::failed);
  const std::string newer = core.create("1.1.0");
  auto late = core.controller->act(id, Retried{"ada", "", 1}, std::nullopt);
  REQUIRE_FALSE(late);
  CHECK_THAT(late.error().context, Catch::Contains(newer));
}

TEST_CASE("a dry run draws phases and makes nothing") {
  Core core;
  core.add_devices(10);
  RolloutPolicy policy;
  policy.phases = {{.devices = 2}, {50, 0}, {100, 0}};
  const auto preview = need(core.controller->preview(Core::wanted("1.0.0", policy), Core::release("1.0.0")));
  CHECK(preview.selection.members.size() == 10);
  CHECK(preview.rollout.plan.version == "1.0.0");
  core.controller->read([](const auto& by_model) { CHECK(by_model.empty()); });
  core.restart();
  core.controller->read([](const auto& by_model) { CHECK(by_model.empty()); });
  // The same refusals as the real thing.
  core.create("1.1.0");
  CHECK(core.controller->preview(Core::wanted("1.0.0"), Core::release("1.0.0")).error().reason == "rollout_active");
}

TEST_CASE("the world's change, as the watch tells it, pauses a gated rollout at the next turn") {
  Core core;
  core.add_devices(4);
  const std::string first = core.create("1.0.0");
  Reporter tell{core, {}};
  for (const std::string& device : offered(core, first)) {
    tell(device, first, "committed");
    core.tell(device, Core::events({Core::slots_event(++tell.seq[device], "1.0.0", first)}));
  }
  REQUIRE(core.rollout(first).head.status == RolloutStatus::done);
  int asked = 0;
  core.controller->watch_world([&](const Rollout& rollout, std::int64_t now_ms) -> std::optional<WorldChanged> {
    ++asked;
    CHECK(rollout.gated());
    return asked < 3 ? std::nullopt : std::optional(WorldChanged{"both arms", 77, now_ms});
  });
  RolloutPolicy policy;
  policy.phases = {{50, 0}, {100, 0}};
  policy.gate = LiveGatePolicy{};
  const std::string id = core.create("1.1.0", policy);
  for (int turn = 0; turn < 2; ++turn) need(core.controller->turn());
  CHECK(core.rollout(id).head.status == RolloutStatus::running);
  need(core.controller->turn());
  CHECK(core.rollout(id).head.status == RolloutStatus::paused);
  CHECK(core.rollout(id).head.reason == "drift.world_changed");
  need(core.controller->turn());
  CHECK(asked == 3);  // a paused rollout asks nothing
}

TEST_CASE("hand-picked canaries get controls of their stratum by lot, and the gate knows that a person chose") {
  Core core;
  for (int i = 0; i < 3; ++i) core.add_device(fmt::format("early-{}", i), R"({"ring": "early"})");
  for (int i = 0; i < 5; ++i) core.add_device(fmt::format("other-{}", i));
  const std::string first = core.create("1.0.0");
  Reporter tell{core, {}};
  for (const std::string& device : offered(core, first)) {
    tell(device, first, "committed");
    core.tell(device, Core::events({Core::slots_event(++tell.seq[device], "1.0.0", first)}));
  }
  RolloutPolicy policy;
  policy.phases = {{.selector = *Selector::parse("label.ring=early")}, {100, 0}};
  policy.gate = LiveGatePolicy{};
  const std::string id = core.create("1.1.0", policy);
  const Rollout rollout = core.rollout(id);
  REQUIRE(rollout.plan.pairs.size() == 3);
  std::set<std::string> controls;
  for (const Pair& pair : rollout.plan.pairs) {
    CHECK(pair.canary.starts_with("early-"));
    CHECK(pair.control.starts_with("other-"));
    controls.insert(pair.control);
  }
  CHECK(controls.size() == 3);
  need(core.controller->turn());
  const auto look = core.controller->gates().latest(id);
  REQUIRE(look);
  CHECK_FALSE(look->evidence.randomised);
  CHECK(look->verdict.decision == telemetry::Decision::hold);
}
