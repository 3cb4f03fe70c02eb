// The traps into which rollout engines fall (hawkBit's rules, read in its source; issues of its users), and what this
// one does.
#include "server/rollout/internal/turn.hpp"

#include "tests/server/rollout/rollout_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

constexpr std::int64_t timeout_s = 900;

RolloutPolicy with(std::vector<Phase> list, void (*change)(RolloutPolicy&)) {
  RolloutPolicy policy = phases(std::move(list), failures_max_max);
  change(policy);
  return policy;
}

void fail(Play& play, std::size_t rank, const char* reason = "trial.crash") {
  play.offer(play.device(rank));
  play.report(play.device(rank), Progress::rejected, reason);
}

std::string last(const Play& play) { return play.log.back().decision; }

}  // namespace

TEST_CASE("trap: all of a group ended is not success, so the next phase does not start on it") {
  // 80 % success wanted, 50 % errors allowed; 60 % finish and 40 % fail: completed, but not good enough.
  Play play(with({{50, 0}, {100, 0}},
                 [](RolloutPolicy& policy) {
                   policy.success_percent_min = 80;
                   policy.failures_percent_max = 50;
                   policy.executed_min = 3;
                 }),
            20);
  play.tick();
  for (std::size_t rank = 0; rank < 6; ++rank) play.commit(rank);
  for (std::size_t rank = 6; rank < 10; ++rank) fail(play, rank);
  CHECK(play.rollout.head.phase == 0);
  CHECK(play.status() == RolloutStatus::paused);
  CHECK(play.rollout.head.reason == reason_rollout_success);
  CHECK_THAT(play.log.back().detail, Catch::Contains("6 of the phase's 10 devices") && Catch::Contains("80 %"));
  play.tick(10 * timeout_s);
  CHECK(play.status() == RolloutStatus::paused);
  SECTION("a person may go on nevertheless") {
    play.feed(Promoted{"ada", play.at_ms});
    CHECK(play.status() == RolloutStatus::running);
    CHECK(play.rollout.head.phase == 1);
    CHECK(play.rollout.head.reason.empty());
  }
  SECTION("resuming alone changes nothing about it") {
    play.feed(Resumed{"ada", play.at_ms});
    play.tick(1);
    CHECK(play.status() == RolloutStatus::paused);
  }
}

TEST_CASE("trap: a few fast devices do not start the next phase while the others have told nothing") {
  Play play(with({{50, 0}, {100, 0}}, [](RolloutPolicy& policy) { policy.success_percent_min = 10; }), 20);
  play.tick();
  for (std::size_t rank = 0; rank < 9; ++rank) play.commit(rank);
  play.offer(play.device(9));
  play.tick(timeout_s - 1);
  CHECK(play.rollout.head.phase == 0);
  play.report(play.device(9), Progress::committed);
  CHECK(play.rollout.head.phase == 1);
}

TEST_CASE("trap: devices that are away do not dilute the share of failures") {
  // 30 of 100 answered, all 30 failed, 50 % allowed: of those with an outcome that is 100 %.
  Play play(with({{100, 0}},
                 [](RolloutPolicy& policy) {
                   policy.failures_percent_max = 50;
                   policy.executed_min = 10;
                 }),
            100);
  play.tick();
  for (std::size_t rank = 0; rank < 30 && play.status() == RolloutStatus::running; ++rank) fail(play, rank);
  CHECK(play.status() == RolloutStatus::failed);
  CHECK(play.rollout.failures() == 10);  // stopped as soon as there were enough to tell
  CHECK_THAT(play.log.back().detail, Catch::Contains("10 of 10 devices failed, 50 % are allowed"));
}

TEST_CASE("trap: one failure of one device is not a hundred percent while fewer than the minimum have an outcome") {
  Play play(with({{100, 0}},
                 [](RolloutPolicy& policy) {
                   policy.failures_percent_max = 20;
                   policy.executed_min = 5;
                 }),
            10);
  play.tick();
  fail(play, 0);
  CHECK(play.status() == RolloutStatus::running);
  for (std::size_t rank = 1; rank < 5; ++rank) play.commit(rank);
  CHECK(play.status() == RolloutStatus::running);  // 1 of 5: exactly what is allowed
  fail(play, 5);
  CHECK(play.status() == RolloutStatus::failed);  // 2 of 6
}

TEST_CASE("trap: a dead device does not keep a phase open for ever") {
  Play play(phases({{50, 0}, {100, 0}}, 1), 4);
  play.tick();
  play.commit(0);
  play.offer(play.device(1));  // and is never heard of again
  play.tick(timeout_s);
  CHECK(play.rollout.progress_of(play.device(1)) == Progress::timed_out);
  CHECK(play.rollout.head.phase == 1);
}

TEST_CASE("trap: an error that comes late, after its phase was left, still counts and stops") {
  Play play(phases({{50, 0}, {100, 0}}), 4);
  play.tick();
  play.commit(0);
  play.commit(1);
  REQUIRE(play.rollout.head.phase == 1);
  play.report(play.device(0), Progress::rolled_back, "trial.errors");
  CHECK(play.status() == RolloutStatus::failed);
}

TEST_CASE("trap: a finished update is one the device has proved, not one it has downloaded or staged") {
  for (Progress said : {Progress::downloading, Progress::staged, Progress::trial}) {
    Play play(phases({{50, 0}, {100, 0}}), 2);
    play.tick();
    play.offer(play.device(0));
    play.report(play.device(0), said);
    play.tick(timeout_s - 1);
    CHECK(play.rollout.head.phase == 0);
  }
}

TEST_CASE("trap: deleted devices neither shrink what counts nor end a rollout of nobody") {
  Play play(phases({{100, 0}}, 1), 3);
  play.tick();
  fail(play, 0);
  play.selection = {};  // everybody revoked
  play.tick(10 * timeout_s);
  CHECK(play.rollout.failures() == 1);
  CHECK(play.status() == RolloutStatus::running);  // an empty group is no success
}

TEST_CASE("trap: an update that never starts anywhere is no success either") {
  Play play(phases({{10, 0}, {100, 0}}), 10);
  play.tick(100 * timeout_s);
  CHECK(play.status() == RolloutStatus::running);
  CHECK(play.rollout.head.phase == 0);
}

TEST_CASE("trap: late joiners are part of the phase their rank says, and of a finished rollout") {
  Play play(phases({{100, 0}}), 2);
  play.tick();
  play.commit(0);
  play.grow(3);
  play.commit(1);
  CHECK(play.status() == RolloutStatus::running);
  play.commit(2);
  CHECK(play.status() == RolloutStatus::done);
  CHECK(assignment_for("dev-joiner", {}, {}, {&play.rollout})->rollout == &play.rollout);
}

TEST_CASE("trap: a stop also brings back those that updated already, by a person's order or the gate's") {
  Play play(phases({{50, 0}, {100, 0}}), 4);
  play.tick();
  play.commit(0);
  play.commit(1);
  play.feed(RolledBack{"ada", "wrong labels", play.at_ms});
  for (std::size_t rank : {0u, 1u}) CHECK(recalls_for(play.device(rank), {}, {&play.rollout}).size() == 1);
}

TEST_CASE("devices held back by a limit do not end their phase: time counts from the last that moved") {
  Play play(with({{100, 0}}, [](RolloutPolicy& policy) { policy.in_flight_max = 1; }), 3);
  play.tick();
  for (std::size_t rank = 0; rank < 2; ++rank) {
    play.tick(timeout_s - 10);
    play.commit(rank);
    CHECK(play.assignments_changed);  // the place is free
    CHECK(play.status() == RolloutStatus::running);
  }
  play.tick(timeout_s - 1);
  CHECK(play.status() == RolloutStatus::running);
  play.tick(1);
  CHECK(play.status() == RolloutStatus::done);
}

TEST_CASE("with a maintenance window a device has one whole round of it more before it is counted out") {
  Play play(with({{100, 0}}, [](RolloutPolicy& policy) { policy.window = WeeklyWindow{0x7f, 60, 120}; }), 2);
  play.tick();
  play.offer(play.device(0));
  play.tick(86'400 + timeout_s - 1);
  CHECK(play.rollout.progress_of(play.device(0)) == Progress::offered);
  play.tick(1);
  CHECK(play.rollout.progress_of(play.device(0)) == Progress::timed_out);
}

TEST_CASE("a retry offers the release once more to those that could not be reached or could not install") {
  Play play(phases({{100, 0}}, 3), 4);
  play.tick();
  play.commit(0);
  play.offer(play.device(1));
  play.report(play.device(1), Progress::failed, "install.no_space");
  play.offer(play.device(2));
  play.tick(timeout_s);
  fail(play, 3, "trial.latency");
  CHECK(play.rollout.failures() == 3);
  CHECK(play.status() == RolloutStatus::done);  // of what could be
  Play again(phases({{100, 0}}, 3), 4);
  again.tick();
  again.commit(0);
  again.offer(again.device(1));
  again.report(again.device(1), Progress::failed, "install.no_space");
  fail(again, 3, "trial.latency");
  REQUIRE(again.status() == RolloutStatus::running);
  again.feed(Retried{"ada", "disks cleaned", again.at_ms});
  CHECK(last(again) == "retry");
  CHECK(again.log.back().detail == "1 device is offered it once more: disks cleaned");
  CHECK(again.rollout.progress_of(again.device(1)) == Progress::waiting);
  CHECK(again.rollout.devices.at(again.device(1)).attempts == 2);
  CHECK(again.rollout.progress_of(again.device(3)) == Progress::rejected);  // it tried the release and keeps its word
  CHECK(assignment_for(again.device(1), {}, {}, {&again.rollout})->to_be_noted);
  again.commit(1);
  again.commit(2);
  CHECK(again.status() == RolloutStatus::done);
}

TEST_CASE("a rollout that failed for too many failures goes on after a retry, when few enough remain") {
  for (const bool enough : {true, false}) {
    Play play(phases({{100, 0}}, enough ? 0 : 0), 3);
    play.tick();
    play.offer(play.device(0));
    if (!enough) {
      play.report(play.device(0), Progress::rejected, "trial.memory");
    } else {
      play.tick(timeout_s);
    }
    REQUIRE(play.status() == RolloutStatus::failed);
    play.feed(Retried{"ada", "", play.at_ms});
    CHECK(play.status() == (enough ? RolloutStatus::running : RolloutStatus::failed));
    if (!enough) continue;
    CHECK(play.rollout.head.ended_ms == 0);
    for (std::size_t rank = 0; rank < 3; ++rank) play.commit(rank);
    CHECK(play.status() == RolloutStatus::done);
  }
}
