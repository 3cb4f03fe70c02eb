// What people and time decide about a rollout: approval, schedule, a world that has changed.
#include "tests/server/rollout/rollout_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

Play waiting_for(std::int64_t approvals, std::int64_t starts_in_s = 0) {
  RolloutPolicy policy = phases({{50, 0}, {100, 0}});
  policy.approvals = approvals;
  policy.starts_ms = starts_in_s == 0 ? 0 : start_ms + starts_in_s * 1000;
  return Play(policy, 4);
}

Play gated() {
  RolloutPolicy policy = phases({{50, 0}, {100, 0}});
  policy.gate = LiveGatePolicy{};
  Play play(policy, 4);
  play.rollout.plan.pairs = {{"dev-000", "dev-001", ""}, {"dev-002", "dev-003", ""}};
  index_pairs(play.rollout);
  play.tick();
  return play;
}

}  // namespace

TEST_CASE("a rollout that needs approvals offers nothing until enough people other than its maker said yes") {
  Play play = waiting_for(2);
  CHECK(play.status() == RolloutStatus::awaiting_approval);
  CHECK_THAT(play.log.front().detail, Catch::Contains("after 2 approvals"));
  play.tick(10'000);
  CHECK(play.status() == RolloutStatus::awaiting_approval);
  play.offer(play.device(0));
  CHECK(play.rollout.devices.empty());
  const std::int64_t revision = play.rollout.head.revision;
  play.feed(Approved{"ada", "looks good", play.at_ms});
  CHECK(play.status() == RolloutStatus::awaiting_approval);
  CHECK(play.rollout.head.revision == revision + 1);
  CHECK(play.log.back().detail == "approval 1 of 2: looks good");
  play.at_ms += 5000;
  play.feed(Approved{"bob", "", play.at_ms});
  CHECK(play.status() == RolloutStatus::running);
  CHECK(play.rollout.head.phase_started_ms == play.at_ms);
  CHECK(play.rollout.head.approvals == std::vector<Approval>{{"ada", play.at_ms - 5000}, {"bob", play.at_ms}});
  play.tick();
  CHECK(play.in_phase_count() == 2);
}

TEST_CASE("nobody approves a rollout of their own, or twice; nobody approves one that waits for nobody") {
  Play play = waiting_for(2);
  CHECK(check_action(play.rollout, Approved{"ci", "", play.at_ms}).error().code == Errc::denied);
  CHECK(check_action(play.rollout, Approved{"ada", "", play.at_ms}));
  play.feed(Approved{"ada", "", play.at_ms});
  CHECK(check_action(play.rollout, Approved{"ada", "", play.at_ms}).error().code == Errc::conflict);
  play.feed(Approved{"bob", "", play.at_ms});
  CHECK_FALSE(decide(play.rollout, Approved{"eve", "", play.at_ms}, play.selection).changes(play.rollout));
  CHECK_FALSE(decide(play.rollout, Denied{"eve", "", play.at_ms}, play.selection).changes(play.rollout));
}

TEST_CASE("a denied rollout is over") {
  Play play = waiting_for(1);
  play.feed(Denied{"ada", "not before the fair", play.at_ms});
  CHECK(play.status() == RolloutStatus::denied);
  CHECK(is_terminal(play.status()));
  CHECK(play.rollout.head.reason == reason_operator_denied);
  CHECK(play.log.back().detail == "not before the fair");
  for (const RolloutEvent& event : std::vector<RolloutEvent>{
           Approved{"bob", "", play.at_ms}, Resumed{"bob", play.at_ms}, Promoted{"bob", play.at_ms},
           RolledBack{"bob", "", play.at_ms}, Aborted{"bob", "", play.at_ms}, Ticked{play.at_ms}})
    CHECK_FALSE(decide(play.rollout, event, play.selection).changes(play.rollout));
}

TEST_CASE("what has not begun can be aborted, and nothing else can be done to it") {
  for (Play play : {waiting_for(1), waiting_for(0, 3600)}) {
    INFO(to_string(play.status()));
    for (const RolloutEvent& event : std::vector<RolloutEvent>{
             Paused{"bob", "", play.at_ms}, Resumed{"bob", play.at_ms}, Promoted{"bob", play.at_ms},
             RolledBack{"bob", "", play.at_ms}, Retried{"bob", "", play.at_ms}})
      CHECK_FALSE(decide(play.rollout, event, play.selection).changes(play.rollout));
    play.feed(Aborted{"bob", "", play.at_ms});
    CHECK(play.status() == RolloutStatus::aborted);
  }
}

TEST_CASE("a scheduled rollout starts at its time, also when it was approved long before") {
  for (const bool approved_first : {false, true}) {
    Play play = waiting_for(approved_first ? 1 : 0, 3600);
    if (approved_first) {
      CHECK(play.status() == RolloutStatus::awaiting_approval);
      play.feed(Approved{"ada", "", play.at_ms});
    }
    CHECK(play.status() == RolloutStatus::scheduled);
    play.tick(3599);
    CHECK(play.status() == RolloutStatus::scheduled);
    CHECK(play.in_phase_count() == 0);
    play.tick(1);
    CHECK(play.status() == RolloutStatus::running);
    CHECK(play.rollout.head.phase_started_ms == play.at_ms);
    CHECK(play.in_phase_count() == 2);
  }
  Play late = waiting_for(1, 60);
  late.tick(100);
  late.feed(Approved{"ada", "", late.at_ms});
  CHECK(late.status() == RolloutStatus::running);  // its time has passed already
}

TEST_CASE("when the world changes under a gated rollout it pauses, once for each change") {
  Play play = gated();
  play.feed(WorldChanged{"both arms shifted", 500, play.at_ms});
  CHECK(play.status() == RolloutStatus::paused);
  CHECK(play.rollout.head.reason == reason_world_changed);
  CHECK(play.log.back().verdict == "hold");
  CHECK(play.log.back().detail == "both arms shifted");
  play.feed(Resumed{"ada", play.at_ms});
  CHECK(play.rollout.head.reason.empty());
  play.feed(WorldChanged{"both arms shifted", 500, play.at_ms});
  CHECK(play.status() == RolloutStatus::running);  // whoever resumed it knew
  play.feed(WorldChanged{"and again", 900, play.at_ms});
  CHECK(play.status() == RolloutStatus::paused);
}

TEST_CASE("a changed world is nothing to a rollout without a gate, nor after the gate has spoken") {
  Play plain(phases({{50, 0}, {100, 0}}), 4);
  plain.tick();
  plain.feed(WorldChanged{"shift", 500, plain.at_ms});
  CHECK(plain.status() == RolloutStatus::running);
  Play last = gated();
  last.feed(Promoted{"ada", last.at_ms});
  REQUIRE(last.rollout.in_last_phase());
  last.feed(WorldChanged{"shift", 500, last.at_ms});
  CHECK(last.status() == RolloutStatus::running);
}
