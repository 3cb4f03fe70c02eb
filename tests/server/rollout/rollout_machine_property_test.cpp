// What holds for every rollout and every history, shown on many seeded random ones. A failure prints its seed.
#include "tests/server/rollout/rollout_fixture.hpp"

#include <algorithm>
#include <random>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

// Chance with a few words of its own.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(most - least + 1));
  }
  bool one_in(std::int64_t n) { return between(1, n) == 1; }
  template <class T>
  const T& of(const std::vector<T>& list) {
    return list[static_cast<std::size_t>(between(0, static_cast<std::int64_t>(list.size()) - 1))];
  }

 private:
  std::mt19937_64 engine_;
};

RolloutPolicy random_policy(Dice& dice) {
  RolloutPolicy policy;
  policy.phases.clear();
  for (std::int64_t percent = dice.between(1, 60); percent < 100; percent += dice.between(1, 50))
    policy.phases.push_back({percent, dice.one_in(2) ? dice.between(1, 100) : 0});
  policy.phases.push_back({100, dice.one_in(3) ? 30 : 0});
  policy.failures_max = dice.one_in(2) ? 0 : dice.between(1, 4);
  policy.device_timeout_s = dice.between(10, 300);
  if (dice.one_in(4)) policy.failures_percent_max = dice.between(0, 60);
  policy.executed_min = dice.between(1, 6);
  if (dice.one_in(4)) policy.success_percent_min = dice.between(1, 100);
  if (dice.one_in(4)) policy.in_flight_max = dice.between(1, 4);
  if (dice.one_in(4)) policy.site_budget = SiteBudget{"site", dice.between(1, 2)};
  return policy;
}

RolloutEvent random_event(Dice& dice, const std::vector<std::string>& devices, std::int64_t at_ms) {
  const std::string& device = dice.of(devices);
  switch (dice.between(0, 28)) {
    case 0:
      return Paused{"ada", "", at_ms};
    case 1:
    case 2:
      return Resumed{"ada", at_ms};
    case 3:
      return dice.one_in(8) ? RolloutEvent(Aborted{"ada", "", at_ms}) : RolloutEvent(Ticked{at_ms});
    case 4:
      return dice.one_in(4) ? RolloutEvent(Promoted{"ada", at_ms}) : RolloutEvent(Ticked{at_ms});
    case 5:
    case 6:
    case 7:
    case 8:
      return Ticked{at_ms};
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
      return Offered{device, at_ms, dice.one_in(2) ? "oslo" : "bergen"};
    case 14:  // anything at all, also what no device says
      return Reported{device, static_cast<Progress>(dice.between(0, progress_count - 1)), "x", at_ms};
    case 15:
      return Reported{device, dice.one_in(6) ? Progress::rejected : Progress::staged, "trial.memory", at_ms};
    case 16:
      return Reported{device, dice.one_in(6) ? Progress::rolled_back : Progress::trial, "trial.crash", at_ms};
    case 17:
    case 18:
      return Reported{device, Progress::downloading, "", at_ms};
    case 19: {
      Judged judged;
      judged.decision = dice.one_in(3) ? "pass" : dice.one_in(20) ? "fail" : "hold";
      judged.reason = "gate." + judged.decision;
      judged.expired = dice.one_in(50);
      if (dice.one_in(2)) judged.silent = {device};
      judged.at_ms = at_ms;
      return judged;
    }
    case 20:
      return dice.one_in(20) ? RolloutEvent(RolledBack{"ada", "", at_ms}) : RolloutEvent(Ticked{at_ms});
    case 21:
      return dice.one_in(3) ? RolloutEvent(Retried{"ada", "", at_ms}) : RolloutEvent(Ticked{at_ms});
    case 22:
      return dice.one_in(8) ? RolloutEvent(WorldChanged{"shift", dice.between(1, 3), at_ms})
                            : RolloutEvent(Approved{"bob", "", at_ms});
    default:
      return Reported{device, Progress::committed, "", at_ms};
  }
}

std::map<std::string, std::int64_t, std::less<>> sites_again(const Rollout& rollout) {
  std::map<std::string, std::int64_t, std::less<>> sites;
  for (const auto& [device, progress] : rollout.devices)
    if (on_the_way(progress.state) && !progress.site.empty()) ++sites[progress.site];
  return sites;
}

std::array<std::int64_t, progress_count> count_again(const Rollout& rollout) {
  std::array<std::int64_t, progress_count> counts{};
  for (const auto& [device, progress] : rollout.devices) ++counts[static_cast<std::size_t>(progress.state)];
  return counts;
}

// What one step may do to a rollout, whatever the fact was.
void check_step(const Play& play, const Rollout& before, const Decision& decision, bool retried) {
  const Rollout& now = play.rollout;
  CHECK(now.counts == count_again(now));
  CHECK(now.at_site == sites_again(now));
  CHECK(now.head.phase < now.plan.policy.phases.size());
  CHECK(now.head.phase >= before.head.phase);
  CHECK(now.head.threshold >= before.head.threshold);
  CHECK(now.head.revision >= before.head.revision);
  CHECK((!before.head.sized || now.head.sized));
  CHECK(now.devices.size() >= before.devices.size());
  // Only a recall comes after the end, and a retry of what failed for too many failures.
  const bool reopened = retried && before.head.reason == reason_rollout_failures;
  if (is_terminal(before.head.status) && now.head.recalled == before.head.recalled && !reopened) {
    RolloutHead unmoved = now.head;
    unmoved.moved_ms = before.head.moved_ms;
    CHECK(unmoved == before.head);
  }
  CHECK((now.head.recalled || !before.head.recalled));
  if (now.head.recalled) CHECK(is_terminal(now.head.status));
  CHECK(is_terminal(now.head.status) == (now.head.ended_ms != 0));
  if (now.head.soak_until_ms != 0) CHECK_FALSE(is_terminal(now.head.status));
  if (now.head.status == RolloutStatus::failed)
    CHECK((now.head.recalled || now.head.reason == reason_rollout_failures));
  else if (!is_terminal(now.head.status))
    CHECK(now.failures() <= now.plan.policy.failures_max);
  if (now.head.reason == reason_rollout_success) CHECK(now.head.status == RolloutStatus::paused);
  // Whoever is assigned something else because of it is told: by the generation, or by its own progress.
  if (now.head.status != before.head.status || now.head.threshold != before.head.threshold)
    CHECK(decision.assignments_changed);
  if (now.head.status != before.head.status || now.head.phase != before.head.phase) CHECK_FALSE(decision.log.empty());
  for (const auto& [device, progress] : now.devices) {
    CHECK(progress.since_ms >= progress.offered_ms);
    CHECK((progress.state == Progress::waiting) == (progress.offered_ms == 0));
    CHECK(progress.attempts >= 1);
  }
}

}  // namespace

TEST_CASE("whatever happens in whatever order, a rollout's books balance and what is over stays over") {
  int ended[8] = {};
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    Dice dice(seed);
    const auto devices = static_cast<std::size_t>(dice.between(1, 25));
    Play play(random_policy(dice), devices);
    if (dice.one_in(3) && devices > 3 && play.rollout.plan.policy.phases.size() > 1) {
      play.rollout.plan.policy.gate = LiveGatePolicy{};
      play.rollout.plan.pairs = {{"dev-000", "dev-001", ""}, {"dev-002", "dev-003", ""}};
      index_pairs(play.rollout);
    }
    auto names = device_names(devices + 5);  // some are not selected
    for (int i = 0; i < 200; ++i) {
      INFO("seed " << seed << ", fact " << i);
      play.at_ms += dice.between(0, 20) * 1000;
      if (dice.one_in(40)) play.grow(static_cast<std::size_t>(dice.between(1, 30)));
      const Rollout before = play.rollout;
      const RolloutEvent event = random_event(dice, names, play.at_ms);
      const Decision decision = decide(before, event, play.selection);
      play.feed_decision(decision);
      check_step(play, before, decision, std::holds_alternative<Retried>(event));
      if (!decision.changes(before)) {
        CHECK(play.rollout.head == before.head);
        CHECK(play.rollout.devices == before.devices);
      }
    }
    ++ended[static_cast<int>(play.status())];
  }
  for (RolloutStatus status : {RolloutStatus::done, RolloutStatus::failed, RolloutStatus::aborted})
    CHECK(ended[static_cast<int>(status)] > 5);  // the dice reach every end
}

TEST_CASE("a fact that is told twice changes nothing the second time") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Dice dice(seed);
    Play play(random_policy(dice), 8);
    const auto names = device_names(8);
    for (int i = 0; i < 80; ++i) {
      play.at_ms += dice.between(0, 30) * 1000;
      const RolloutEvent event = random_event(dice, names, play.at_ms);
      if (std::holds_alternative<Promoted>(event)) continue;  // a second promotion is a second wish
      play.feed(event);
      const Rollout once = play.rollout;
      play.feed(event);
      INFO("seed " << seed << ", fact " << i << ", kind " << event.index());
      CHECK(play.rollout.devices == once.devices);
      CHECK(play.rollout.head.status == once.head.status);
      CHECK(play.rollout.head.phase == once.head.phase);
    }
  }
}

TEST_CASE("a healthy fleet always comes through, and every device ends committed") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Dice dice(seed);
    const auto devices = static_cast<std::size_t>(dice.between(1, 40));
    RolloutPolicy policy = random_policy(dice);
    policy.success_percent_min = 0;  // those who come late are missed
    Play play(policy, devices);
    for (int turn = 0; turn < 5000 && play.status() == RolloutStatus::running; ++turn) {
      play.tick(dice.between(1, 5));
      for (const Member& member : play.selection.members) {
        const auto choice = assignment_for(member.device, {}, {}, {&play.rollout});
        if (choice && choice->to_be_noted && dice.one_in(2)) {
          play.offer(member.device);
          play.report(member.device, Progress::committed);
        }
      }
    }
    INFO("seed " << seed);
    CHECK(play.status() == RolloutStatus::done);
    // Those who did not come in time have it as the current release.
    for (const Member& member : play.selection.members)
      CHECK(assignment_for(member.device, {}, {}, {&play.rollout})->rollout == &play.rollout);
  }
}

namespace {

// A model's history, newest first: at most the newest is not over, as create() sees to.
struct History {
  std::vector<std::unique_ptr<Rollout>> owned;
  std::vector<const Rollout*> newest_first;
};

History random_history(Dice& dice, const std::vector<std::string>& devices) {
  History history;
  const std::int64_t count = dice.between(1, 5);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::string version = fmt::format("1.{}.0", dice.between(0, 2));  // few releases: they come again
    auto rollout = std::make_unique<Rollout>();
    rollout->plan =
        make_plan(fmt::format("ro-{}", i), version, random_policy(dice), dice.one_in(4) ? "label.site=oslo" : "*");
    apply(*rollout, begin(rollout->plan, start_ms));
    const Selection selection = make_selection(rollout->plan.salt, devices);
    std::int64_t at_ms = start_ms;
    for (int fact = 0; fact < 60; ++fact) {
      at_ms += dice.between(0, 20) * 1000;
      apply(*rollout, decide(*rollout, random_event(dice, devices, at_ms), selection));
    }
    if (i + 1 < count && !is_terminal(rollout->head.status)) {
      const RolloutEvent end =
          dice.one_in(2) ? RolloutEvent(Aborted{"ada", "", at_ms}) : RolloutEvent(Promoted{"ada", at_ms});
      apply(*rollout, decide(*rollout, Resumed{"ada", at_ms}, selection));
      while (!is_terminal(rollout->head.status)) apply(*rollout, decide(*rollout, end, selection));
    }
    history.newest_first.insert(history.newest_first.begin(), rollout.get());
    history.owned.push_back(std::move(rollout));
  }
  return history;
}

bool refused(Progress progress) {
  return progress == Progress::rolled_back || progress == Progress::rejected || progress == Progress::refused;
}

// The newest rollout of this release, newer than `chosen`, in which the device has a place of its own; null when there
// is none. (What it refused in an older one a person has named again in `chosen`.)
const Rollout* newest_word(const History& history, const std::string& device, const Digest& manifest,
                           const Rollout& chosen) {
  for (const Rollout* rollout : history.newest_first)
    if (rollout == &chosen)
      return nullptr;
    else if (rollout->plan.manifest_sha256 == manifest && rollout->progress_of(device) != Progress::waiting)
      return rollout;
  return nullptr;
}

}  // namespace

TEST_CASE("over every history: what a device refused, and what failed elsewhere, is never its fallback") {
  const auto devices = device_names(6);
  std::size_t assigned = 0, kept = 0, of_failed = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    Dice dice(seed);
    const History history = random_history(dice, devices);
    for (const std::string& device : devices)
      for (const Labels& labels : {Labels{}, Labels{{"site", "oslo"}}})
        for (const Digest& running : {Digest{}, manifest_of("1.0.0"), manifest_of("1.1.0")}) {
          const auto choice = assignment_for(device, labels, running, history.newest_first);
          if (!choice) continue;
          ++assigned;
          INFO("seed " << seed << ", " << device << ", rollout " << choice->rollout->plan.id);
          const Rollout& chosen = *choice->rollout;
          const Digest& manifest = chosen.plan.manifest_sha256;
          const Progress progress = chosen.progress_of(device);
          CHECK_FALSE((counts_as_failed(progress) && chosen.head.status != RolloutStatus::done));
          CHECK_FALSE(refused(progress));
          CHECK_FALSE(chosen.head.recalled);
          const Rollout* word = newest_word(history, device, manifest, chosen);
          if (word) CHECK_FALSE(refused(word->progress_of(device)));
          // Only a device that proved it, or runs it, is given a release that failed in its last rollout.
          if (quarantined(manifest, history.newest_first)) {
            ++of_failed;
            CHECK((progress == Progress::committed || on_the_way(progress) || running == manifest));
          }
          if (choice->to_be_noted) {
            CHECK(chosen.head.status == RolloutStatus::running);
            CHECK(progress == Progress::waiting);
            CHECK(in_phase(chosen, device));
            CHECK(chosen.plan.selector.matches(labels));
          }
          if (progress == Progress::committed) ++kept;
          if (choice->by_rollout) CHECK((!is_terminal(chosen.head.status) || on_the_way(progress)));
          if (progress == Progress::waiting) CHECK(chosen.plan.selector.matches(labels));
        }
  }
  CHECK(assigned > 1000);
  CHECK(kept > 100);
  CHECK(of_failed > 10);
}

TEST_CASE("a device keeps what it proved through everything that happens to others") {
  for (RolloutStatus end : {RolloutStatus::done, RolloutStatus::failed, RolloutStatus::aborted}) {
    Play play(phases({{100, 0}}), 3);
    play.tick();
    play.commit(0);
    const std::string& device = play.device(0);
    CHECK(assignment_for(device, {}, {}, {&play.rollout})->by_rollout);
    if (end == RolloutStatus::failed) {
      play.offer(play.device(1));
      play.report(play.device(1), Progress::rejected, "trial.memory");
    }
    if (end == RolloutStatus::aborted) play.feed(Aborted{"ada", "", play.at_ms});
    if (end == RolloutStatus::done) play.feed(Promoted{"ada", play.at_ms});
    REQUIRE(play.status() == end);
    const auto kept = assignment_for(device, {{"site", "elsewhere"}}, {}, {&play.rollout});
    REQUIRE(kept);
    CHECK(kept->rollout == &play.rollout);
    CHECK_FALSE(kept->by_rollout);
  }
}

TEST_CASE("two rollouts in a row: the second one moves the fleet on, and its failures fall back to the first") {
  Play first(phases({{100, 0}}), 4, "1.0.0");
  first.tick();
  for (std::size_t rank = 0; rank < 4; ++rank) first.commit(rank);
  REQUIRE(first.status() == RolloutStatus::done);
  Play second(phases({{50, 0}, {100, 0}}), 4, "1.1.0");
  second.rollout.plan.id = "ro-2";
  second.tick();
  const std::vector<const Rollout*> both{&second.rollout, &first.rollout};
  const std::string lucky = second.device(0), unlucky = second.device(1), waiting = second.device(2);
  CHECK(assignment_for(lucky, {}, {}, both)->rollout == &second.rollout);
  CHECK(assignment_for(waiting, {}, {}, both)->rollout == &first.rollout);
  second.commit(0);
  second.offer(unlucky);
  second.report(unlucky, Progress::rejected, "trial.memory");
  REQUIRE(second.status() == RolloutStatus::failed);
  CHECK(assignment_for(lucky, {}, {}, both)->rollout == &second.rollout);
  CHECK(assignment_for(unlucky, {}, {}, both)->rollout == &first.rollout);
  CHECK(assignment_for(waiting, {}, {}, both)->rollout == &first.rollout);
  CHECK(assignment_for("dev-new", {}, {}, both)->rollout == &first.rollout);
  CHECK(quarantined(second.rollout.plan.manifest_sha256, both));
  CHECK_FALSE(quarantined(first.rollout.plan.manifest_sha256, both));
}

TEST_CASE("a release that failed is offered again when a new rollout names it, not to those who refused it then") {
  Play failed(phases({{100, 0}}), 3, "1.3.0");
  failed.tick();
  failed.offer(failed.device(0));
  failed.report(failed.device(0), Progress::rejected, "trial.memory");
  Play again(phases({{100, 0}}), 3, "1.3.0");
  again.rollout.plan.id = "ro-2";
  again.tick();
  const std::vector<const Rollout*> both{&again.rollout, &failed.rollout};
  CHECK_FALSE(quarantined(again.rollout.plan.manifest_sha256, both));
  CHECK(assignment_for("dev-000", {}, {}, both)->to_be_noted);
  // A newer refusal stands against an older rollout of the same release that is done.
  Play done(phases({{100, 0}}), 3, "1.3.0");
  done.rollout.plan.id = "ro-0";
  done.tick();
  done.feed(Promoted{"ada", done.at_ms});
  const std::string refuser = failed.device(0);
  Rollout aborted = failed.rollout;
  aborted.head.status = RolloutStatus::aborted;  // so that the release itself is not quarantined
  CHECK_FALSE(assignment_for(refuser, {}, {}, {&aborted, &done.rollout}));
  CHECK(assignment_for("dev-new", {}, {}, {&aborted, &done.rollout})->rollout == &done.rollout);
}
