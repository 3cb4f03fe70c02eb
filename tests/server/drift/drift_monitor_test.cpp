// From uploads to windows over a real database: what counts, how often, how much, and what a restart keeps.
#include "tests/server/drift/drift_world.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t four = 4;

// Four cameras that run 1.0.0.
struct Cameras : DriftWorld {
  explicit Cameras(std::size_t devices = four, bool on_disk = false) : DriftWorld(on_disk) {
    publish("1.0.0", drift_reference());
    add_devices(devices);
    cohort = class_cohort("1.0.0");
  }
  // Every device brings n predictions, a minute later.
  void round(std::size_t n, double off = 0, const std::string& version = "1.0.0") {
    pass(1min);
    for (std::size_t i = 0; i < fleet.size(); ++i) upload(id(i), version, n, off);
  }
  std::string cohort;
};

DriftCounts all_in_the_lowest(std::uint64_t n) {
  const ReferenceProfile reference = drift_reference();
  DriftCounts counts = telemetry::reference_counts(reference);
  for (const DriftFeature feature : telemetry::drift_features) {
    std::fill(counts[feature].begin(), counts[feature].end(), 0);
    counts[feature].front() = n;
  }
  return counts;
}

// As DriftWorld::window(), for counts too large to be recorded one by one.
telemetry::ReleaseWindow huge_window(DriftWorld& world, std::uint64_t n) {
  telemetry::ReleaseWindow window = world.window("1.0.0", all_in_the_lowest(1));
  std::uint64_t have = 1;
  telemetry::ReleaseWindow grown = window;
  while (have < n) {
    const telemetry::ReleaseWindow twice = grown;
    grown.merge(twice);
    have *= 2;
  }
  return grown;
}

}  // namespace

TEST_CASE("what devices upload becomes windows on record, with the numbers that led to their level") {
  Cameras world;
  world.round(49);
  REQUIRE(world.view(world.cohort));
  CHECK(world.view(world.cohort)->members == 4);
  CHECK(world.view(world.cohort)->open_samples == 196);
  CHECK(world.view(world.cohort)->open_devices == 4);
  CHECK(world.view(world.cohort)->reference_samples == 10'000);
  CHECK(world.windows(world.cohort).empty());
  const std::int64_t first_ms = world.now_ms();
  world.round(10);
  const auto windows = world.windows(world.cohort);
  REQUIRE(windows.size() == 1);
  CHECK(windows[0]["start_ms"] == first_ms);
  CHECK(windows[0]["samples"] == 206);  // the first of the second round closed it
  CHECK(windows[0]["devices"] == 4);
  CHECK(windows[0]["level"] == "ok");
  CHECK(world.view(world.cohort)->open_devices == 3);
  CHECK(world.view(world.cohort)->state.drift.windows == 1);
}

TEST_CASE("an upload that is sent again counts once") {
  Cameras world;
  const auto report = world.report({world.window("1.0.0", drift_window(world.draws, drift_reference(), 49))});
  CHECK(need(world.send("dev-000", report)) == UploadVerdict::applied);
  const std::string after = world.dump();
  CHECK(need(world.send("dev-000", report)) == UploadVerdict::repeat);
  CHECK(world.dump() == after);
  CHECK(world.view(world.cohort)->open_samples == 49);
  world.restart();
  CHECK(need(world.send("dev-000", report)) == UploadVerdict::repeat);
  CHECK(world.dump() == after);
}

TEST_CASE("a restart between any two uploads changes nothing") {
  const auto play = [](bool restarts) {
    Cameras world(four, true);
    for (int i = 0; i < 12; ++i) {
      world.pass(1min);
      for (std::size_t device = 0; device < four; ++device) {
        world.upload(DriftWorld::id(device), "1.0.0", 20 + 17 * device, i < 4 ? 0 : 0.3);
        if (restarts) world.restart();
      }
    }
    CHECK(world.view(world.cohort)->state.drift.windows > 8);
    CHECK(world.level(world.cohort) == DriftLevel::warn);
    return world.dump();
  };
  CHECK(play(true) == play(false));
}

TEST_CASE("killed at any step of an upload, it goes on with all of it or nothing") {
  const auto prepare = [](Cameras& world) {
    world.publish("1.1.0", drift_reference());
    world.round(49);
    world.pass(1min);
  };
  const auto last_report = [](Cameras& world) {  // closes a window of 1.0.0, opens 1.1.0, leaves the former
    return world.report({world.window("1.1.0", drift_window(world.draws, drift_reference(), 30))});
  };
  Cameras whole;
  prepare(whole);
  const std::string before = whole.dump();
  const auto report = last_report(whole);
  const std::int64_t steps_before = whole.database->steps_done;
  REQUIRE(need(whole.send("dev-000", report)) == UploadVerdict::applied);
  const std::string after = whole.dump();
  const std::int64_t steps = whole.database->steps_done - steps_before;
  REQUIRE(steps > 8);
  for (std::int64_t step = 0; step < steps; ++step) {
    INFO("step " << step);
    Cameras world;
    prepare(world);
    const auto same = last_report(world);
    world.database->steps_left = step;
    CHECK_FALSE(world.send("dev-000", same));
    const bool durable = step == steps - 1;  // it died after the commit
    CHECK(world.dump() == (durable ? after : before));
    world.database->steps_left = MortalDatabase::for_ever;
    if (!durable) {  // memory was taken back as well: the same process may go on
      CHECK(need(world.send("dev-000", same)) == UploadVerdict::applied);
      CHECK(world.dump() == after);
    }
    world.restart();
    CHECK(need(world.send("dev-000", same)) == UploadVerdict::repeat);
    CHECK(world.dump() == after);
  }
}

TEST_CASE("one device that lies cannot move its cohort by more than its weight") {
  Cameras world(20);
  const auto lie = [&] {
    REQUIRE(need(world.send("dev-019", world.report({huge_window(world, 1'000'000)}))) == UploadVerdict::applied);
  };
  world.round(10);  // twenty members
  lie();            // and waits for the others
  lie();
  for (int round = 0; round < 20; ++round) {
    world.pass(1min);
    lie();
    for (std::size_t i = 0; i < 19; ++i) world.upload(DriftWorld::id(i), "1.0.0", 30);
  }
  const auto windows = world.windows(world.cohort);
  REQUIRE(windows.size() >= 20);
  for (const Json& window : windows) {
    CHECK(window["limited"].get<int>() <= 2);
    const auto counts = need(telemetry::drift_counts_at(window, "counts"));
    for (const DriftFeature feature : telemetry::drift_features) {
      const double n = double(counts.total(feature)), bins = double(counts[feature].size());
      const double lied = double(counts[feature].front()) - n / bins;  // beyond what the honest bring
      CHECK(lied <= 2 * n / 20 + 5 * std::sqrt(n / bins));
    }
    CHECK(window["tv"].get<double>() < 0.1);  // a tenth of the fleet, at most
  }
}

TEST_CASE("a device that is alone with what it says closes no window of a cohort of many") {
  Cameras world(20);
  world.round(10);
  const auto before = world.windows(world.cohort).size();
  for (int i = 0; i < 50; ++i)
    REQUIRE(need(world.send("dev-019", world.report({huge_window(world, 100'000)}))) == UploadVerdict::applied);
  CHECK(world.windows(world.cohort).size() == before);
  CHECK(world.level(world.cohort) == DriftLevel::ok);
}

TEST_CASE("a clean cohort stays ok for a thousand windows") {
  Cameras world(1);
  for (int i = 0; i < 1'000; ++i) world.round(200);
  const auto view = world.view(world.cohort);
  CHECK(view->state.drift.windows == 1'000);
  CHECK(view->state.drift.alarms == 0);
  CHECK(view->state.level() == DriftLevel::ok);
  CHECK(world.windows(world.cohort).size() == 1'000);
}

TEST_CASE("a shifted stream is noticed within the windows that the simulation promises, and a large one warns") {
  struct Case {
    double off;
    int windows_max;  // to the alarm, at n = 200
    DriftLevel level;
  };
  // `scripts/sim drift`, table 4: median 1 window for shifts of this size (total variation 0.27), 2 for half of it; the
  // smallest is at the edge of what matters.
  for (const Case& one :
       {Case{0.3, 2, DriftLevel::warn}, Case{0.15, 5, DriftLevel::warn}, Case{0.07, 40, DriftLevel::notice}}) {
    INFO(one.off);
    Cameras world;
    for (int i = 0; i < 20; ++i) world.round(50);
    REQUIRE(world.level(world.cohort) == DriftLevel::ok);
    int windows = 0;
    while (world.level(world.cohort) == DriftLevel::ok && windows < 100) {
      world.round(50, one.off);
      ++windows;
    }
    CHECK(windows <= one.windows_max);
    for (int i = 0; i < 20; ++i) world.round(50, one.off);
    CHECK(world.level(world.cohort) >= one.level);
    for (int i = 0; i < 60; ++i) world.round(50);
    CHECK(world.level(world.cohort) == DriftLevel::ok);
  }
}

TEST_CASE("hardware classes are judged apart") {
  Cameras world;
  for (std::size_t i = 0; i < four; ++i) world.add_device(fmt::format("gate-{}", i), "gate");
  for (int round = 0; round < 10; ++round) {
    world.pass(1min);
    for (std::size_t i = 0; i < four; ++i) {
      world.upload(DriftWorld::id(i), "1.0.0", 50);
      world.upload(fmt::format("gate-{}", i), "1.0.0", 50, 0.4);
    }
  }
  CHECK(world.level(world.cohort) == DriftLevel::ok);
  CHECK(world.level(world.class_cohort("1.0.0", "gate")) == DriftLevel::warn);
}

TEST_CASE("hardware classes that a device makes up share one cohort beyond a number") {
  Cameras world(1);
  for (std::size_t i = 0; i < hardware_classes_per_release_max + 19; ++i) {
    world.set_class("dev-000", fmt::format("made-up-{}", i));
    world.upload("dev-000", "1.0.0", 10);
  }
  CHECK(world.monitor->cohorts("", world.now_ms()).size() == hardware_classes_per_release_max + 1);
  CHECK(world.view(world.class_cohort("1.0.0", "other"))->open_samples == 190);
}

TEST_CASE("a device that has moved to another release no longer holds up the cohort it left") {
  Cameras world;
  world.publish("1.1.0", drift_reference());
  world.round(10);
  world.pass(1min);
  for (std::size_t i = 0; i < 3; ++i) world.upload(DriftWorld::id(i), "1.1.0", 10);
  CHECK(world.view(world.cohort)->members == 1);
  CHECK(world.view(world.class_cohort("1.1.0"))->members == 3);
  world.upload("dev-003", "1.0.0", 60);
  CHECK(world.windows(world.cohort).empty());  // 40 that waited, 60 more: too few
  world.upload("dev-003", "1.0.0", 200);
  CHECK(world.windows(world.cohort).size() == 1);
  CHECK(world.view(world.cohort)->members == 1);
  world.restart();
  CHECK(world.view(world.cohort)->members == 1);
  world.upload("dev-003", "1.0.0", 200);
  CHECK(world.windows(world.cohort).size() == 2);
}

TEST_CASE("one report of two releases counts for both") {
  Cameras world(1);
  world.publish("1.1.0", drift_reference());
  const auto& reference = drift_reference();
  need(world.send("dev-000", world.report({world.window("1.0.0", drift_window(world.draws, reference, 30)),
                                           world.window("1.1.0", drift_window(world.draws, reference, 40))})));
  CHECK(world.view(world.cohort)->open_samples == 30);
  CHECK(world.view(world.class_cohort("1.1.0"))->open_samples == 40);
  CHECK(world.view(world.cohort)->members == 1);
}

TEST_CASE("what belongs to no published release, or to other bytes of it, is left out") {
  Cameras world(1);
  auto unknown = world.window("1.0.0", all_in_the_lowest(50));
  unknown.key.version = "9.9.9";
  auto forged = world.window("1.0.0", all_in_the_lowest(50));
  forged.key.manifest_sha256 = std::string(64, 'a');
  CHECK(need(world.send("dev-000", world.report({unknown, forged}))) == UploadVerdict::applied);
  CHECK(world.monitor->cohorts("", world.now_ms()).empty());
}

TEST_CASE("a release whose reference is too small, or none, has no cohorts and loses no telemetry") {
  DriftWorld world;
  world.publish("1.0.0", drift_reference(1'000));
  world.add_devices(1);
  world.upload("dev-000", "1.0.0", 300);
  CHECK(world.monitor->cohorts("", world.now_ms()).empty());
  CHECK(need(world.telemetry->totals("dev-000")).size() == 1);
}

TEST_CASE("predictions of two days ago say nothing about today") {
  Cameras world(1);
  auto report = world.report({world.window("1.0.0", all_in_the_lowest(300))});
  report.end_unix_ms -= 2 * 86'400'000;
  report.start_unix_ms = report.end_unix_ms - 10'000;
  CHECK(need(world.send("dev-000", report)) == UploadVerdict::applied);
  CHECK(world.monitor->cohorts("", world.now_ms()).empty());
}

TEST_CASE("time alone closes an old window, and lets silent members go") {
  Cameras world;
  world.round(30);
  world.pass(23h);
  world.upload("dev-000", "1.0.0", 1);
  need(world.monitor->housekeep(world.now_ms(), {}));
  CHECK(world.windows(world.cohort).empty());
  CHECK(world.view(world.cohort)->members == 4);
  world.upload("dev-001", "1.0.0", 1);
  world.upload("dev-002", "1.0.0", 1);
  world.pass(1h);
  need(world.monitor->housekeep(world.now_ms(), {}));
  CHECK(world.view(world.cohort)->members == 3);  // dev-003 was heard a day ago, what it said is gone
  const auto windows = world.windows(world.cohort);
  REQUIRE(windows.empty());  // 93 are too few
  world.upload("dev-000", "1.0.0", 20);
  CHECK(world.windows(world.cohort).size() == 1);  // a day old, and 113
  const std::string before = world.dump();
  world.restart();
  CHECK(world.dump() == before);
  CHECK(world.view(world.cohort)->members == 3);
}

TEST_CASE("records older than the retention are deleted, and a cohort that nobody reports to") {
  Cameras world;
  world.round(50);
  REQUIRE(world.windows(world.cohort).size() == 1);
  world.pass(24h * 10);
  need(world.monitor->housekeep(world.now_ms(), {}));
  CHECK(world.windows(world.cohort).size() == 1);
  CHECK(world.view(world.cohort)->members == 0);
  world.pass(24h * 26);
  need(world.monitor->housekeep(world.now_ms(), {}));
  CHECK_FALSE(world.view(world.cohort));
  CHECK(world.dump().empty());
  world.restart();
  CHECK(world.monitor->cohorts("", world.now_ms()).empty());
  world.round(50);
  CHECK(world.windows(world.cohort).size() == 1);
}

TEST_CASE("a cohort's damaged row costs its state, never the start or an upload") {
  Cameras world;
  for (int i = 0; i < 5; ++i) world.round(50, 0.3);
  need(world.database->query("update drift_cohorts set state = '{}'", {}));
  need(world.database->query("update drift_devices set counts = 'x' where device = 'dev-001'", {}));
  world.restart();
  CHECK(world.level(world.cohort) == DriftLevel::ok);
  world.round(50, 0.3);
  CHECK(world.windows(world.cohort).size() == 6);
  CHECK(world.windows(world.cohort).back()["number"] == 6);
}

TEST_CASE("a closed window is a hint on the drift topic") {
  Cameras world;
  std::uint64_t cursor = world.hub->newest();
  world.round(49);
  CHECK(world.hub->next(cursor, {"drift"}).empty());
  world.round(1);
  CHECK_THAT(world.hub->next(cursor, {"drift"}), Catch::Contains(R"("topic":"drift")") && Catch::Contains(world.model));
}
