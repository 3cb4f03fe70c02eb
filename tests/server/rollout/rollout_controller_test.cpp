#include "server/rollout/rollout_controller.hpp"

#include "tests/server/core_fixture.hpp"

#include <thread>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

RolloutPolicy two_phases(std::int64_t soak_s = 0, std::int64_t failures_max = 0) {
  RolloutPolicy policy;
  policy.phases = {{50, soak_s}, {100, 0}};
  policy.failures_max = failures_max;
  return policy;
}

// The devices that a check-in offers the rollout now, by id.
std::vector<std::string> offered(Core& core, const std::string& rollout) {
  std::vector<std::string> devices;
  for (const DevicePtr& device : core.fleet->all()) {
    const Json answer = core.check_in(device->id);
    for (const Json& model : answer["models"])
      if (model["rollout"] == rollout) devices.push_back(device->id);
  }
  return devices;
}

bool same(const Rollout& a, const Rollout& b) {
  return a.head == b.head && a.devices == b.devices && a.counts == b.counts && to_json(a.plan) == to_json(b.plan);
}

}  // namespace

TEST_CASE("a created rollout is durable, has begun, and names the release that was current") {
  Core core;
  core.add_devices(4);
  const std::string first = core.create("1.0.0");
  Rollout rollout = core.rollout(first);
  CHECK(rollout.plan.from_version.empty());
  CHECK(rollout.plan.name == "fashion-mnist 1.0.0");
  CHECK(rollout.plan.target == "fashion-mnist/1.0.0/manifest.json");
  CHECK(rollout.head.sized);
  need(core.controller->act(first, Promoted{"ada", 1}, std::nullopt));
  core.restart();
  CHECK(core.rollout(first).head.status == RolloutStatus::done);
  CHECK(need(core.controller->log_of(first)).front().decision == "promote");
  const std::string second = core.create("1.1.0");
  CHECK(core.rollout(second).plan.from_version == "1.0.0");
  CHECK(core.rollout(second).plan.salt != rollout.plan.salt);
}

TEST_CASE("a second rollout of a model that has one under way is refused and names it") {
  Core core;
  core.add_devices(1);
  const std::string id = core.create("1.0.0");
  auto refused = core.controller->create(Core::wanted("1.1.0"), Core::release("1.1.0"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::conflict);
  CHECK(refused.error().reason == "rollout_active");
  CHECK_THAT(refused.error().context, Catch::Contains(id) && Catch::Contains("running"));
  need(core.controller->act(id, Paused{"ada", "", 1}, std::nullopt));
  CHECK(core.controller->create(Core::wanted("1.1.0"), Core::release("1.1.0")).error().reason == "rollout_active");
  need(core.controller->act(id, Aborted{"ada", "", 1}, std::nullopt));
  CHECK(core.controller->create(Core::wanted("1.1.0"), Core::release("1.1.0")));
}

TEST_CASE("a bad selector makes no rollout") {
  Core core;
  auto refused = core.controller->create(Core::wanted("1.0.0", {}, "site=oslo"), Core::release("1.0.0"));
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().context, Catch::Contains("selector"));
  core.create("1.0.0");
}

TEST_CASE("an action needs the present revision when it names one, and a state that allows it") {
  Core core;
  core.add_devices(2);
  const std::string id = core.create("1.0.0", two_phases());
  const std::int64_t revision = core.rollout(id).head.revision;
  auto stale = core.controller->act(id, Paused{"ada", "", 1}, revision + 1);
  REQUIRE_FALSE(stale);
  CHECK(stale.error().reason == "precondition_failed");
  CHECK(stale.error().code == Errc::conflict);
  CHECK(core.rollout(id).head.status == RolloutStatus::running);
  need(core.controller->act(id, Paused{"ada", "", 1}, revision));
  auto again = core.controller->act(id, Paused{"ada", "", 1}, std::nullopt);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == Errc::conflict);
  CHECK(again.error().reason.empty());
  CHECK_THAT(again.error().context, Catch::Contains("paused"));
  CHECK(core.controller->act("ro-nothing", Paused{"ada", "", 1}, std::nullopt).error().code == Errc::not_found);
}

TEST_CASE("an offer that a device was given is noted at the next turn, once, and survives a restart") {
  Core core;
  core.add_devices(4);
  const std::string id = core.create("1.0.0", two_phases());
  const auto devices = offered(core, id);
  REQUIRE(devices.size() == 2);
  CHECK(core.rollout(id).devices.empty());
  core.clock.advance(1s);
  CHECK(need(core.controller->turn()));
  CHECK(core.rollout(id).count(Progress::offered) == 2);
  const std::int64_t offered_ms = core.rollout(id).devices.at(devices[0]).offered_ms;
  CHECK(offered_ms == to_unix_ms(core.clock.now()));
  core.clock.advance(1s);
  CHECK(offered(core, id) == devices);
  CHECK_FALSE(need(core.controller->turn()));
  const Rollout before = core.rollout(id);
  core.restart();
  CHECK(same(core.rollout(id), before));
  CHECK(offered(core, id) == devices);
  CHECK_FALSE(need(core.controller->turn()));
}

TEST_CASE("an offer that a kill forgot is noted when the device comes again") {
  Core core;
  core.add_devices(1);
  const std::string id = core.create("1.0.0");
  CHECK(offered(core, id).size() == 1);
  core.restart();
  need(core.controller->turn());
  CHECK(core.rollout(id).devices.empty());
  CHECK(offered(core, id).size() == 1);
  need(core.controller->turn());
  CHECK(core.rollout(id).count(Progress::offered) == 1);
}

TEST_CASE("device events move the rollout, and it ends") {
  Core core;
  core.add_devices(2);
  const std::string id = core.create("1.0.0", two_phases(10));
  const std::string first = offered(core, id).at(0);
  std::int64_t seq = 0;
  for (const char* state : {"downloading", "staged", "trial", "committed"}) {
    core.tell(first, Core::update_event(++seq, id, "1.0.0", state));
    CHECK(core.rollout(id).progress_of(first) == *parse_progress(state));
  }
  CHECK(core.rollout(id).head.soak_until_ms != 0);
  core.clock.advance(10s);
  need(core.controller->turn());
  CHECK(core.rollout(id).head.phase == 1);
  const std::string second = first == "dev-000" ? "dev-001" : "dev-000";
  core.tell(second, Core::update_event(1, id, "1.0.0", "committed"));
  CHECK(core.rollout(id).head.status == RolloutStatus::done);
  CHECK(core.check_in(first)["models"][0]["rollout"] == "");
  CHECK(core.check_in(first)["models"][0]["arm"] == "none");
  CHECK(core.check_in(first)["models"][0]["version"] == "1.0.0");
}

TEST_CASE("a failing device stops the rollout at once: nobody else is offered the release") {
  Core core;
  core.add_devices(4);
  const std::string good = core.create("1.0.0");
  need(core.controller->act(good, Promoted{"ada", 1}, std::nullopt));
  const std::string bad = core.create("1.3.0", two_phases());
  const auto devices = offered(core, bad);
  REQUIRE(devices.size() == 2);
  core.tell(devices[0], Core::update_event(1, bad, "1.3.0", "rejected", "trial.memory"));
  CHECK(core.rollout(bad).head.status == RolloutStatus::failed);
  for (const DevicePtr& device : core.fleet->all()) CHECK(core.check_in(device->id)["models"][0]["version"] == "1.0.0");
  CHECK_THAT(need(core.controller->log_of(bad)).front().detail, Catch::Contains("trial.memory on " + devices[0]));
}

TEST_CASE("a device that runs the release already counts as committed, in one step") {
  Core core;
  core.add_devices(1);
  core.tell("dev-000", Core::events({Core::slots_event(1, "1.0.0", "")}));
  const std::string id = core.create("1.0.0");
  core.check_in("dev-000");
  need(core.controller->turn());
  CHECK(core.rollout(id).head.status == RolloutStatus::done);
}

TEST_CASE("a device that tells late that it runs the release already is not timed out") {
  Core core;
  core.add_devices(1);
  const std::string id = core.create("1.0.0");
  core.check_in("dev-000");
  need(core.controller->turn());
  CHECK(core.rollout(id).count(Progress::offered) == 1);
  core.tell("dev-000", Core::events({Core::slots_event(1, "1.0.0", "ro-of-old")}));
  CHECK(core.rollout(id).count(Progress::offered) == 1);
  // It takes the rollout's name into its slot, which is all it has to report.
  core.tell("dev-000", Core::events({Core::slots_event(2, "1.0.0", id)}));
  CHECK(core.rollout(id).head.status == RolloutStatus::done);
}

TEST_CASE("facts about rollouts that are not known are dropped, and hold nothing up") {
  Core core;
  core.add_devices(1);
  const std::string id = core.create("1.0.0");
  core.tell("dev-000", Core::update_event(1, "ro-unknown", "1.0.0", "committed"));
  core.tell("dev-000", Core::update_event(2, id, "1.0.0", "committed"));
  CHECK(core.rollout(id).head.status == RolloutStatus::done);
  DeviceStore store(*core.database);
  CHECK(need(store.inbox(10)).empty());
}

TEST_CASE("a rollout that is over and called back counts the devices that go back, although they have forgotten it") {
  for (const bool aborted : {false, true}) {
    Core core;
    core.add_devices(2);
    RolloutPolicy policy;
    if (aborted) policy.phases = {Phase{.percent = 50, .soak_s = 3600}, Phase{}};
    const std::string id = core.create("1.1.0", policy);
    for (const char* device : {"dev-000", "dev-001"}) {
      if (core.check_in(device)["models"].empty()) continue;  // not in the first phase
      core.tell(device, Core::update_event(1, id, "1.1.0", "committed"));
    }
    if (aborted) need(core.controller->act(id, Aborted{"ada", "", 1}, std::nullopt));
    REQUIRE(core.rollout(id).head.status == (aborted ? RolloutStatus::aborted : RolloutStatus::done));
    const std::int64_t took_it = aborted ? 1 : 2;
    REQUIRE(core.rollout(id).count(Progress::committed) == took_it);
    need(core.controller->act(id, RolledBack{"ada", "", 1}, std::nullopt));
    for (const char* device : {"dev-000", "dev-001"})
      core.tell(device, Core::update_event(2, "", "1.1.0", "rolled_back", "operator.rollback"));
    CHECK(core.rollout(id).count(Progress::rolled_back) == took_it);  // nobody who never had it
    core.tell("dev-000", Core::update_event(3, "", "1.0.0", "rolled_back", "operator.rollback"));
    CHECK(core.rollout(id).count(Progress::rolled_back) == took_it);
  }
}

TEST_CASE("labels choose the devices; a device that is labelled later joins, one that is revoked is not waited for") {
  Core core;
  core.add_device("dev-a", R"({"site": "oslo"})");
  core.add_device("dev-b");
  core.add_device("dev-c", R"({"site": "oslo"})");
  RolloutPolicy policy;
  const std::string id = core.create("1.0.0", policy, "label.site=oslo");
  CHECK(offered(core, id) == std::vector<std::string>{"dev-a", "dev-c"});
  need(core.reports->set_labels(*core.fleet->find("dev-b"), Json{{"site", "oslo"}}, "ada"));
  CHECK(offered(core, id) == std::vector<std::string>{"dev-a", "dev-b", "dev-c"});
  // dev-c was shown the offer but is revoked before anybody noted it.
  core.restart();
  for (const char* device : {"dev-a", "dev-b"}) core.tell(device, Core::update_event(1, id, "1.0.0", "committed"));
  CHECK(core.rollout(id).head.status == RolloutStatus::running);
  core.fleet->find("dev-c")->revoked = true;
  core.fleet->membership_changed();
  need(core.controller->turn());
  CHECK(core.rollout(id).head.status == RolloutStatus::done);
}

TEST_CASE("rollouts that left the memory are still found, and cannot be acted upon") {
  Core core;
  core.add_devices(1);
  std::vector<std::string> ids;
  for (std::int64_t i = 0; i < rollouts_in_memory_per_model + 2; ++i) {
    ids.push_back(core.create(fmt::format("1.0.{}", i)));
    need(core.controller->act(ids.back(), Aborted{"ada", "", 1}, std::nullopt));
  }
  std::size_t in_memory = 0;
  core.controller->read([&](const auto& by_model) { in_memory = by_model.at("fashion-mnist").size(); });
  CHECK(in_memory == static_cast<std::size_t>(rollouts_in_memory_per_model));
  CHECK(core.rollout(ids.front()).head.status == RolloutStatus::aborted);
  CHECK(core.controller->act(ids.front(), Resumed{"ada", 1}, std::nullopt).error().code == Errc::conflict);
  // Made within one millisecond, they still have an order, also after a restart.
  core.restart();
  core.controller->read([&](const auto& by_model) {
    const ModelRollouts& newest = by_model.at("fashion-mnist");
    REQUIRE(newest.size() == in_memory);
    for (std::size_t i = 0; i < in_memory; ++i) CHECK(newest[i]->plan.id == ids[ids.size() - 1 - i]);
  });
}

TEST_CASE("what a rollout does is hinted to whoever listens") {
  Core core;
  core.add_devices(1);
  std::uint64_t cursor = core.hub->newest();
  const std::string id = core.create("1.0.0");
  const std::string created = core.hub->next(cursor, {});
  CHECK_THAT(created, Catch::Contains("\"rollout:" + id + "\"") && Catch::Contains("\"overview\""));
  core.tell("dev-000", Core::update_event(1, id, "1.0.0", "committed"));
  CHECK_THAT(core.hub->next(cursor, {"releases"}), Catch::Contains("fashion-mnist/1.0.0"));
}

namespace {

// One life of a small rollout as the outside sees it: check-ins, events, time. Each deed is repeated until it is
// answered, as devices do; a deed that meets a dead server brings it up again.
struct Story {
  explicit Story(Core& c, std::string rollout) : core(c), id(std::move(rollout)) {}
  Core& core;
  std::string id;
  int deaths = 0;

  template <class Deed>
  void until_answered(Deed deed) {
    for (int tries = 0; tries < 3; ++tries) {
      if (deed()) return;
      ++deaths;
      core.restart();
    }
    FAIL("a fresh server did not answer");
  }
  // Devices check in again and again; what a kill forgot of their offers is noted then.
  void turn() {
    until_answered([&] {
      for (const DevicePtr& device : core.fleet->all()) core.check_in(device->id);
      return bool(core.controller->turn());
    });
  }
  void events(const std::string& device, const std::string& body) {
    until_answered([&] { return core.send(device, body) && core.controller->drain(); });
  }
  void play() {
    turn();
    std::int64_t seq = 0;
    for (const char* state : {"downloading", "trial", "committed"}) {
      core.clock.advance(1s);
      ++seq;
      for (const char* device : {"dev-000", "dev-001", "dev-002"})
        if (core.rollout(id).progress_of(device) != Progress::waiting || seq > 1)
          if (in_phase(core.rollout(id), device)) events(device, Core::update_event(seq, id, "1.1.0", state));
    }
    core.clock.advance(20s);
    turn();
    turn();
    events("dev-003", Core::events({Core::slots_event(1, "1.0.0", "")}));
    for (const DevicePtr& device : core.fleet->all())
      if (core.rollout(id).progress_of(device->id) != Progress::committed)
        events(device->id, Core::update_event(9, id, "1.1.0", "rejected", "trial.memory"));
    turn();
  }
};

struct Outcome {
  Rollout rollout;
  std::vector<Verdict> log;
  std::size_t timeline = 0;
  std::int64_t steps = 0;
  int deaths = 0;
};

Outcome live(std::int64_t dies_after) {
  Core core;
  core.add_devices(4);
  const std::string id = core.create("1.1.0", two_phases(15, 1));
  core.database->steps_done = 0;
  core.database->steps_left = dies_after;
  Story story(core, id);
  story.play();
  Outcome outcome;
  outcome.steps = core.database->steps_done;
  outcome.deaths = story.deaths;
  core.restart();
  outcome.rollout = core.rollout(id);
  outcome.log = need(core.controller->log_of(id));
  DeviceStore store(*core.database);
  outcome.timeline = need(store.events("", 0, 1000)).size();
  CHECK(need(store.inbox(10)).empty());
  return outcome;
}

}  // namespace

TEST_CASE("killed at any step, the server goes on from what is durable: every fact counts exactly once") {
  const Outcome whole = live(MortalDatabase::for_ever);
  REQUIRE(whole.deaths == 0);
  REQUIRE(whole.rollout.head.status == RolloutStatus::failed);
  REQUIRE(whole.steps > 40);
  for (std::int64_t step = 0; step < whole.steps; ++step) {
    INFO("killed after " << step << " steps");
    const Outcome cut = live(step);
    CHECK(cut.deaths == 1);
    CHECK(cut.rollout.head == whole.rollout.head);
    CHECK(cut.rollout.devices == whole.rollout.devices);
    CHECK(cut.rollout.counts == whole.rollout.counts);
    CHECK(cut.log == whole.log);
    CHECK(cut.timeline == whole.timeline);
  }
}

TEST_CASE("reload decides as the memory did: after every turn of a random rollout") {
  Core core;
  core.add_devices(8);
  const std::string id = core.create("1.1.0", two_phases(5, 3));
  std::map<std::string, std::int64_t> seq;
  for (int i = 0; i < 60 && !is_terminal(core.rollout(id).head.status); ++i) {
    core.clock.advance(Duration(1000 * static_cast<std::int64_t>(core.random.next() % 30)));
    const std::string device = fmt::format("dev-{:03}", core.random.next() % 8);
    const char* states[] = {"downloading", "trial", "committed", "committed", "rejected"};
    core.check_in(device);
    if (core.random.next() % 3 == 0) need(core.controller->turn());
    if (in_phase(core.rollout(id), device))
      core.tell(device, Core::update_event(++seq[device], id, "1.1.0", states[core.random.next() % 5]));
    const Rollout before = core.rollout(id);
    std::map<std::string, Json> assigned;
    for (const DevicePtr& known : core.fleet->all()) assigned[known->id] = core.check_in(known->id);
    core.restart();
    CHECK(same(core.rollout(id), before));
    for (const DevicePtr& known : core.fleet->all()) CHECK(core.check_in(known->id) == assigned[known->id]);
  }
}

TEST_CASE("readers see whole rollouts while facts come in from many threads") {
  Core core;
  core.add_devices(8);
  RolloutPolicy policy;
  policy.failures_max = 100;
  const std::string id = core.create("1.1.0", policy);
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop)
      core.controller->read([&](const auto& by_model) {
        for (const Rollout* rollout : by_model.at("fashion-mnist")) {
          std::int64_t sum = 0;
          for (std::int64_t count : rollout->counts) sum += count;
          if (sum != static_cast<std::int64_t>(rollout->devices.size())) std::abort();
        }
      });
  });
  std::vector<std::thread> devices;
  for (int i = 0; i < 8; ++i)
    devices.emplace_back([&, i] {
      const std::string device = fmt::format("dev-{:03}", i);
      std::int64_t seq = 0;
      for (const char* state : {"downloading", "staged", "trial", "committed"}) {
        auto current = core.assignments->current(*core.fleet->find(device));
        auto sent = core.send(device, Core::update_event(++seq, id, "1.1.0", state));
        auto taken = core.controller->drain();
        if (!current || !sent || !taken) std::abort();
      }
    });
  for (std::thread& device : devices) device.join();
  stop = true;
  reader.join();
  CHECK(core.rollout(id).count(Progress::committed) == 8);
  CHECK(core.rollout(id).head.status == RolloutStatus::done);
}
