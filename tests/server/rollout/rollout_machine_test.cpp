#include "server/rollout/rollout_machine.hpp"

#include "tests/server/rollout/rollout_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

constexpr std::int64_t timeout_s = 900;

// Everything a person did or a device said, as its last log entry tells it.
std::string last_decision(const Play& play) { return play.log.empty() ? "" : play.log.back().decision; }

}  // namespace

TEST_CASE("a phase of n percent holds the devices of the lowest ranks, rounded up") {
  CHECK(phase_size(0, 50) == 0);
  CHECK(phase_size(1, 1) == 1);
  CHECK(phase_size(3, 50) == 2);
  CHECK(phase_size(4, 50) == 2);
  CHECK(phase_size(200, 1) == 2);
  CHECK(phase_size(201, 1) == 3);
  CHECK(phase_size(7, 100) == 7);
  for (std::size_t devices : {1u, 2u, 3u, 7u, 10u, 99u, 100u, 101u})
    for (std::int64_t percent : {1, 10, 33, 50, 99, 100}) {
      Play play(phases(percent == 100 ? std::vector<Phase>{{100, 0}} : std::vector<Phase>{{percent, 0}, {100, 0}}),
                devices);
      play.tick();
      INFO(devices << " devices, " << percent << " %");
      const std::size_t expected = phase_size(devices, percent);
      CHECK(play.in_phase_count() == expected);
      for (std::size_t rank = 0; rank < devices; ++rank)
        CHECK(in_phase(play.rollout, play.device(rank)) == (rank < expected));
    }
}

TEST_CASE("a device's rank depends on salt and device alone, and differs between rollouts") {
  CHECK(rank_of("salt", "dev-1") == rank_of("salt", "dev-1"));
  CHECK(rank_of("salt", "dev-1") != rank_of("salt", "dev-2"));
  CHECK(rank_of("salt-1", "dev-1") != rank_of("salt-2", "dev-1"));
  CHECK(rank_of("a", "bc") != rank_of("ab", "c"));
  const auto one = make_selection("salt", {"c", "a", "b"});
  const auto two = make_selection("salt", {"b", "c", "a"});
  REQUIRE(one.members.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(one.members[i].device == two.members[i].device);
  // Uniform: over many salts every device is first about equally often.
  std::map<std::string, int> first;
  for (int i = 0; i < 3000; ++i) ++first[make_selection(std::to_string(i), {"a", "b", "c"}).members.front().device];
  for (const char* device : {"a", "b", "c"}) CHECK(std::abs(first[device] - 1000) < 150);
}

TEST_CASE("nobody is in a phase before the rollout has seen a device that it selects") {
  Play play({}, 0);
  play.tick(10 * timeout_s);
  CHECK(play.status() == RolloutStatus::running);
  CHECK_FALSE(play.rollout.head.sized);
  CHECK_FALSE(in_phase(play.rollout, "dev-000"));
  play.grow(1);
  play.tick();
  CHECK(in_phase(play.rollout, "dev-000"));
}

TEST_CASE("a rollout goes through its phases: all of a phase commit, soak, on to the next, done") {
  Play play(phases({{50, 10}, {100, 0}}), 4);
  CHECK(last_decision(play) == "start");
  play.tick();
  CHECK(play.assignments_changed);
  play.commit(0);
  CHECK(play.rollout.head.phase == 0);
  CHECK(play.rollout.head.soak_until_ms == 0);
  play.commit(1);
  CHECK(last_decision(play) == "soak");
  CHECK(play.rollout.head.soak_until_ms == play.at_ms + 10'000);
  const std::int64_t revision = play.rollout.head.revision;
  play.tick(9);
  CHECK(play.rollout.head.phase == 0);
  CHECK(play.rollout.head.revision == revision);
  play.tick(1);
  CHECK(play.rollout.head.phase == 1);
  CHECK(last_decision(play) == "advance");
  CHECK(play.log.back().verdict == "pass");
  CHECK(play.in_phase_count() == 4);
  CHECK(play.rollout.head.phase_started_ms == play.at_ms);
  play.commit(2);
  play.commit(3);
  CHECK(play.status() == RolloutStatus::done);
  CHECK(last_decision(play) == "finish");
  CHECK(play.rollout.head.ended_ms == play.at_ms);
  CHECK(play.rollout.count(Progress::committed) == 4);
}

TEST_CASE("phases that add no device end at once, without a soak of their own being skipped") {
  Play play(phases({{10, 0}, {20, 5}, {30, 0}, {100, 0}}), 2);
  play.tick();
  CHECK(play.in_phase_count() == 1);
  play.commit(0);
  CHECK(play.rollout.head.phase == 1);
  CHECK(play.rollout.head.soak_until_ms == play.at_ms + 5000);
  play.tick(5);
  CHECK(play.rollout.head.phase == 3);  // 30 % of two devices is one device, which has committed
  CHECK(play.in_phase_count() == 2);
}

TEST_CASE("a phase does not end while a device is on its way or has not come, nor without a commit") {
  for (Progress state : {Progress::offered, Progress::downloading, Progress::staged, Progress::trial}) {
    Play play({}, 2);
    play.tick();
    play.commit(0);
    play.offer(play.device(1));
    if (state != Progress::offered) play.report(play.device(1), state);
    play.tick(timeout_s - 1);
    INFO(to_string(state));
    CHECK(play.status() == RolloutStatus::running);
  }
  Play none(phases({{100, 0}}, 5), 2);
  none.tick();
  for (std::size_t rank : {0u, 1u}) {
    none.offer(none.device(rank));
    none.report(none.device(rank), Progress::rejected, "trial.latency");
  }
  none.tick(10 * timeout_s);
  CHECK(none.status() == RolloutStatus::running);  // nothing proves the release: a person must decide
}

TEST_CASE("devices that do not come in time do not hold the phase up, and take the release when they come") {
  Play play(phases({{100, 0}}), 3);
  play.tick();
  play.commit(0);
  play.tick(timeout_s - 1);
  CHECK(play.status() == RolloutStatus::running);
  play.tick(1);
  CHECK(play.status() == RolloutStatus::done);
  const std::vector<const Rollout*> rollouts{&play.rollout};
  const auto late = assignment_for(play.device(2), {}, {}, rollouts);
  REQUIRE(late);
  CHECK(late->rollout == &play.rollout);
  CHECK_FALSE(late->by_rollout);
  CHECK_FALSE(late->to_be_noted);
}

TEST_CASE("a device that was offered the release and says nothing more fails by time-out") {
  for (Progress state : {Progress::offered, Progress::downloading, Progress::staged, Progress::trial}) {
    Play play(phases({{100, 0}}), 2);
    play.tick();
    play.offer(play.device(0));
    play.at_ms += 1000;
    if (state != Progress::offered) play.report(play.device(0), state);
    play.tick(timeout_s - 2);
    INFO(to_string(state));
    CHECK(play.status() == RolloutStatus::running);
    play.tick(1);  // counted from the offer, not from the last word
    CHECK(play.status() == RolloutStatus::failed);
    CHECK(play.rollout.head.reason == reason_rollout_failures);
    const DeviceProgress& progress = play.rollout.devices.at(play.device(0));
    CHECK(progress.state == Progress::timed_out);
    CHECK(progress.reason == reason_device_timeout);
    CHECK_THAT(play.log.back().detail, Catch::Contains("device.timeout on " + play.device(0)));
  }
}

TEST_CASE("a verdict that came too early is corrected when the device speaks again") {
  Play play(phases({{100, 0}}, 1), 2);
  play.tick();
  play.offer(play.device(0));
  play.tick(timeout_s);
  CHECK(play.rollout.progress_of(play.device(0)) == Progress::timed_out);
  CHECK(play.rollout.failures() == 1);
  SECTION("it was slow, not dead") {
    play.report(play.device(0), Progress::committed);
    CHECK(play.rollout.failures() == 0);
    CHECK(play.rollout.count(Progress::committed) == 1);
  }
  SECTION("it failed for a reason of its own") {
    play.report(play.device(0), Progress::rejected, "trial.memory");
    CHECK(play.rollout.failures() == 1);
    CHECK(play.rollout.devices.at(play.device(0)).reason == "trial.memory");
  }
  SECTION("being on its way again does not take the verdict back") {
    play.report(play.device(0), Progress::trial);
    CHECK(play.rollout.progress_of(play.device(0)) == Progress::timed_out);
  }
}

TEST_CASE("more failures than are allowed stop the rollout, whatever the kind") {
  for (Progress state : {Progress::rolled_back, Progress::rejected, Progress::failed, Progress::refused})
    for (std::int64_t allowed : {0, 1, 3}) {
      Play play(phases({{100, 0}}, allowed), 10);
      play.tick();
      for (std::int64_t i = 0; i <= allowed; ++i) {
        INFO(to_string(state) << ", " << allowed << " allowed, failure " << i + 1);
        CHECK(play.status() == RolloutStatus::running);
        const std::string device = play.device(static_cast<std::size_t>(i));
        play.offer(device);
        play.report(device, state, "trial.memory");
      }
      CHECK(play.status() == RolloutStatus::failed);
      CHECK(play.rollout.head.reason == "rollout.failures");
      CHECK(last_decision(play) == "stop");
      CHECK(play.log.back().verdict == "fail");
      CHECK(play.assignments_changed);
    }
}

TEST_CASE("the log names failures and how many were allowed") {
  Play play(phases({{100, 0}}), 4);
  play.tick();
  play.offer(play.device(0));
  play.report(play.device(0), Progress::rejected, "trial.memory");
  CHECK(play.log.back().detail == "1 device failed, 0 are allowed: trial.memory on " + play.device(0));
  Play more(phases({{100, 0}}, 4), 10);
  more.tick();
  for (std::size_t i = 0; i < 5; ++i) {
    more.offer(more.device(i));
    more.report(more.device(i), Progress::failed);
  }
  CHECK_THAT(more.log.back().detail, Catch::StartsWith("5 devices failed, 4 are allowed: failed on "));
  CHECK_THAT(more.log.back().detail, Catch::EndsWith(", …"));
}

TEST_CASE("a device that was rolled back no longer counts as committed") {
  Play play(phases({{50, 60}, {100, 0}}, 1), 2);
  play.tick();
  play.commit(0);
  CHECK(play.rollout.head.soak_until_ms != 0);
  play.report(play.device(0), Progress::rolled_back, "operator.abort");
  CHECK(play.rollout.count(Progress::committed) == 0);
  CHECK(play.rollout.count(Progress::rolled_back) == 1);
  play.tick(120);
  CHECK(play.rollout.head.phase == 0);  // the soak does not pass on a release that nobody runs
  CHECK(play.rollout.head.soak_until_ms == 0);
}

TEST_CASE("a late joiner is part of the phase that its rank says, and its soak begins again") {
  Play play(phases({{100, 60}}), 2);
  play.tick();
  play.commit(0);
  play.commit(1);
  CHECK(play.rollout.head.soak_until_ms != 0);
  play.grow(3);
  play.tick(30);
  CHECK(play.rollout.head.soak_until_ms == 0);
  for (std::size_t rank = 0; rank < 3; ++rank)
    if (play.rollout.progress_of(play.device(rank)) == Progress::waiting) play.commit(rank);
  CHECK(play.rollout.head.soak_until_ms == play.at_ms + 60'000);
  play.tick(60);
  CHECK(play.status() == RolloutStatus::done);
}

TEST_CASE("the phase grows with the fleet and never shrinks") {
  Play play(phases({{50, 0}, {100, 0}}), 10);
  play.tick();
  const std::uint64_t threshold = play.rollout.head.threshold;
  std::vector<std::string> taken;
  for (const Member& member : play.selection.members)
    if (in_phase(play.rollout, member.device)) taken.push_back(member.device);
  play.grow(2);
  play.tick();
  CHECK(play.rollout.head.threshold == threshold);
  play.grow(40);
  play.tick();
  CHECK(play.rollout.head.threshold >= threshold);
  CHECK(play.in_phase_count() >= 20);
  for (const std::string& device : taken) CHECK(in_phase(play.rollout, device));
}

TEST_CASE("an offer is taken down once, and only for a device that waits inside the phase of a running rollout") {
  Play play(phases({{50, 0}, {100, 0}}), 4);
  play.tick();
  play.offer(play.device(3));  // not in the phase
  CHECK(play.rollout.devices.empty());
  play.offer(play.device(0));
  CHECK(play.rollout.devices.at(play.device(0)) == DeviceProgress{Progress::offered, play.at_ms, play.at_ms, ""});
  play.at_ms += 5000;
  const Rollout before = play.rollout;
  play.offer(play.device(0));
  CHECK(play.rollout.devices == before.devices);
  play.feed(Paused{"ada", "lunch", play.at_ms});
  play.offer(play.device(1));
  CHECK(play.rollout.devices.size() == 1);
}

TEST_CASE("reports bring a device forward, restart an install, or end it; nothing else") {
  using enum Progress;
  const std::vector<Progress> all{waiting,     offered,  downloading, staged,  trial,    committed,
                                  rolled_back, rejected, failed,      refused, timed_out};
  const auto expected = [](Progress now, Progress said) {
    if (said == waiting || said == timed_out || said == now) return now;  // never a device's own word
    if (now == timed_out && on_the_way(said)) return now;
    if (now == committed) return said == rolled_back ? said : now;
    if (counts_as_failed(now) && now != timed_out) return said == committed ? said : now;
    return said;
  };
  for (Progress now : all)
    for (Progress said : all) {
      Play play(phases({{100, 0}}, 10), 3);
      play.tick();
      if (now != waiting) {
        Decision set;
        set.head = play.rollout.head;
        set.devices.emplace_back(play.device(0), DeviceProgress{now, play.at_ms, play.at_ms, ""});
        play.feed_decision(set);
      }
      play.at_ms += 1000;
      play.report(play.device(0), said, "a reason");
      INFO(to_string(now) << " said " << to_string(said));
      CHECK(play.rollout.progress_of(play.device(0)) == expected(now, said));
      if (expected(now, said) != now) {
        CHECK(play.rollout.devices.at(play.device(0)).reason == "a reason");
        CHECK(play.rollout.devices.at(play.device(0)).since_ms == play.at_ms);
      }
    }
}

TEST_CASE("people pause, resume, abort and promote where the state allows it, and nowhere else") {
  using enum RolloutStatus;
  const auto in_state = [](RolloutStatus status) {
    Play play(phases({{50, 0}, {100, 0}}), 4);
    play.tick();
    play.offer(play.device(0));
    if (status == paused) play.feed(Paused{"ada", "", play.at_ms});
    if (status == aborted) play.feed(Aborted{"ada", "", play.at_ms});
    if (status == failed) play.report(play.device(0), Progress::rejected);
    if (status == done)
      for (int i = 0; i < 2; ++i) play.feed(Promoted{"ada", play.at_ms});
    REQUIRE(play.status() == status);
    play.at_ms += 1000;
    play.log.clear();
    return play;
  };
  for (RolloutStatus status : {running, paused, done, failed, aborted}) {
    INFO(to_string(status));
    Play pause = in_state(status), resume = in_state(status), abort = in_state(status), promote = in_state(status);
    pause.feed(Paused{"bob", "lunch", pause.at_ms});
    CHECK(pause.status() == (status == running ? paused : status));
    resume.feed(Resumed{"bob", resume.at_ms});
    CHECK(resume.status() == (status == paused ? running : status));
    abort.feed(Aborted{"bob", "wrong release", abort.at_ms});
    CHECK(abort.status() == (is_terminal(status) ? status : aborted));
    promote.feed(Promoted{"bob", promote.at_ms});
    CHECK(promote.rollout.head.phase == (status == running ? 1 : status == done ? 1 : 0));
    for (const Play* play : {&pause, &resume, &abort, &promote}) {
      if (play->log.empty()) continue;
      CHECK(play->log.back().by == "bob");
      CHECK(play->log.back().verdict == "hold");
      CHECK(play->assignments_changed);
    }
    CHECK(pause.log.size() == (status == running ? 1 : 0));
    CHECK(resume.log.size() == (status == paused ? 1 : 0));
    CHECK(abort.log.size() == (is_terminal(status) ? 0 : 1));
    CHECK(promote.log.size() == (status == running ? 1 : 0));
  }
  Play why({}, 1);
  why.feed(Aborted{"bob", "wrong release", why.at_ms});
  CHECK(why.rollout.head.reason == reason_operator_abort);
  CHECK(why.log.back().detail == "wrong release");
}

TEST_CASE("each change by a person raises the revision; a device's progress does not") {
  Play play(phases({{50, 0}, {100, 0}}), 4);
  play.tick();
  std::int64_t revision = play.rollout.head.revision;
  play.offer(play.device(0));
  play.report(play.device(0), Progress::downloading);
  CHECK(play.rollout.head.revision == revision);
  for (const RolloutEvent& event : std::vector<RolloutEvent>{Paused{"a", "", play.at_ms}, Resumed{"a", play.at_ms},
                                                             Promoted{"a", play.at_ms}, Aborted{"a", "", play.at_ms}}) {
    play.feed(event);
    CHECK(play.rollout.head.revision == revision + 1);
    revision = play.rollout.head.revision;
  }
}

TEST_CASE("a pause lets those who have begun go on, offers nobody new, and gives time back when it ends") {
  Play play(phases({{100, 0}}), 2);
  play.tick();
  play.offer(play.device(0));
  play.feed(Paused{"ada", "", play.at_ms});
  const std::vector<const Rollout*> rollouts{&play.rollout};
  CHECK(assignment_for(play.device(0), {}, {}, rollouts)->by_rollout);
  CHECK_FALSE(assignment_for(play.device(1), {}, {}, rollouts));
  play.report(play.device(0), Progress::committed);
  play.tick(timeout_s);
  CHECK(play.status() == RolloutStatus::paused);  // a phase does not end in a pause
  play.feed(Resumed{"ada", play.at_ms});
  CHECK(play.rollout.head.phase_started_ms == play.at_ms);
  play.tick(timeout_s - 1);
  CHECK(play.status() == RolloutStatus::running);
  play.tick(1);
  CHECK(play.status() == RolloutStatus::done);
}

TEST_CASE("failures count in a pause too") {
  Play play(phases({{100, 0}}), 2);
  play.tick();
  play.offer(play.device(0));
  play.feed(Paused{"ada", "", play.at_ms});
  SECTION("told") { play.report(play.device(0), Progress::rolled_back, "trial.crash"); }
  SECTION("silent") { play.tick(timeout_s); }
  CHECK(play.status() == RolloutStatus::failed);
}

TEST_CASE("a promotion goes past a phase that is under way and past a soak, and ends the last phase") {
  Play play(phases({{50, 600}, {100, 600}}), 2);
  play.tick();
  play.commit(0);
  CHECK(play.rollout.head.soak_until_ms != 0);
  play.feed(Promoted{"ada", play.at_ms});
  CHECK(play.rollout.head.phase == 1);
  CHECK(play.rollout.head.soak_until_ms == 0);
  CHECK(play.in_phase_count() == 2);
  play.offer(play.device(1));
  play.feed(Promoted{"ada", play.at_ms});
  CHECK(play.status() == RolloutStatus::done);
  CHECK(assignment_for(play.device(1), {}, {}, {&play.rollout})->by_rollout);  // it has begun: let it end
  play.report(play.device(1), Progress::committed);
  CHECK_FALSE(assignment_for(play.device(1), {}, {}, {&play.rollout})->by_rollout);
}

TEST_CASE("a pair that means nothing changes nothing") {
  Play play(phases({{50, 0}, {100, 0}}), 4);
  play.tick();
  CHECK_FALSE(decide(play.rollout, Ticked{play.at_ms}, play.selection).changes(play.rollout));
  CHECK_FALSE(decide(play.rollout, Resumed{"a", play.at_ms}, play.selection).changes(play.rollout));
  CHECK_FALSE(decide(play.rollout, Offered{play.device(3), play.at_ms}, play.selection).changes(play.rollout));
  CHECK_FALSE(decide(play.rollout, Reported{play.device(0), Progress::waiting, "", play.at_ms}, play.selection)
                  .changes(play.rollout));
  CHECK(decide(play.rollout, Paused{"a", "", play.at_ms}, play.selection).changes(play.rollout));
}
