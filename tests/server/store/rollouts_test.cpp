#include "server/store/rollouts.hpp"

#include "tests/server/rollout/rollout_fixture.hpp"
#include "tests/server/store/store_fixture.hpp"

#include <random>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

TEST_CASE("a rollout is loaded as it was saved, after every step of a random life") {
  auto database = memory_database();
  RolloutStore store(*database);
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    std::mt19937_64 dice(seed);
    Play play(phases({{30, 10}, {60, 0}, {100, 5}}, 2), 6, "1.1.0");
    play.rollout.plan.id = "ro-" + std::to_string(seed);
    need(store.insert(play.rollout.plan, begin(play.rollout.plan, play.at_ms)));
    for (int i = 0; i < 40; ++i) {
      play.at_ms += static_cast<std::int64_t>(dice() % 60) * 1000;
      const std::string device = play.device(dice() % 6);
      RolloutEvent event = Ticked{play.at_ms};
      if (dice() % 3 == 0) event = Offered{device, play.at_ms};
      if (dice() % 3 == 0)
        event = Reported{device, static_cast<Progress>(1 + dice() % (progress_count - 1)), "why", play.at_ms};
      const Decision decision = decide(play.rollout, event, play.selection);
      need(store.save(play.rollout.plan.id, decision));
      play.feed_decision(decision);
      const Rollout loaded = need(store.load(play.rollout.plan.id));
      INFO("seed " << seed << ", step " << i);
      CHECK(loaded.head == play.rollout.head);
      CHECK(loaded.devices == play.rollout.devices);
      CHECK(loaded.counts == play.rollout.counts);
      CHECK(to_json(loaded.plan) == to_json(play.rollout.plan));
      // The same facts lead to the same decisions.
      const Decision a = decide(loaded, Ticked{play.at_ms + 5000}, play.selection);
      const Decision b = decide(play.rollout, Ticked{play.at_ms + 5000}, play.selection);
      CHECK(a.head == b.head);
      CHECK(a.devices == b.devices);
      CHECK(a.log == b.log);
    }
    auto log = need(store.log(play.rollout.plan.id));
    std::reverse(log.begin(), log.end());
    CHECK(log == play.log);
  }
}

TEST_CASE("the log is shown newest first and is bounded") {
  auto database = memory_database();
  RolloutStore store(*database);
  const RolloutPlan plan = make_plan("ro-1", "1.0.0");
  need(store.insert(plan, begin(plan, 1)));
  Decision many;
  for (std::int64_t i = 0; i < rollout_log_entries_max + 10; ++i)
    many.log.push_back({i, 0, "hold", "pause", std::to_string(i), "ada"});
  need(store.save("ro-1", many));
  const auto log = need(store.log("ro-1"));
  REQUIRE(log.size() == static_cast<std::size_t>(rollout_log_shown_max));
  CHECK(log.front().detail == std::to_string(rollout_log_entries_max + 9));
  CHECK(log.front().by == "ada");
  const auto rows = need(database->query("select count(*) from rollout_log"));
  CHECK(rows.front().integer(0) == rollout_log_entries_max);
}

TEST_CASE("the newest rollouts of each model are named, newest first") {
  auto database = memory_database();
  RolloutStore store(*database);
  for (int i = 0; i < 6; ++i) {
    RolloutPlan plan = make_plan("ro-" + std::to_string(i), "1.0.0");
    plan.model = i % 2 == 0 ? "even" : "odd";
    plan.created_ms = 100 + i;
    need(store.insert(plan, begin(plan, 1)));
  }
  CHECK(need(store.newest(2)) == std::vector<std::string>{"ro-5", "ro-4", "ro-3", "ro-2"});
  CHECK(need(store.newest(10)).size() == 6);
  CHECK(store.load("ro-9").error().code == Errc::not_found);
  CHECK(need(store.log("ro-9")).empty());
}

TEST_CASE("a rollout that was damaged in the database is refused with its name for what is wrong") {
  auto database = memory_database();
  RolloutStore store(*database);
  const RolloutPlan plan = make_plan("ro-1", "1.0.0");
  need(store.insert(plan, begin(plan, 1)));
  need(database->query("update rollouts set head = '{\"status\": \"dancing\"}'"));
  CHECK_THAT(store.load("ro-1").error().context, Catch::Contains("dancing"));
  CHECK(store.insert(plan, begin(plan, 1)).error().code == Errc::conflict);
}
