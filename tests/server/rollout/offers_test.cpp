// Who may have the release now, and who has to wait.
#include "server/rollout/offers.hpp"

#include "tests/server/rollout/rollout_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

Phase early(std::int64_t soak_s = 0) { return {.soak_s = soak_s, .selector = *Selector::parse("label.ring=early")}; }

// Devices 0 … count-1; those of even number are early ones.
Selection half_early(const RolloutPlan& plan, std::size_t count) {
  std::vector<std::pair<std::string, Labels>> devices;
  const auto names = device_names(count);
  for (std::size_t i = 0; i < count; ++i)
    devices.emplace_back(names[i], i % 2 == 0 ? Labels{{"ring", "early"}} : Labels{});
  return make_selection(plan, std::move(devices));
}

}  // namespace

TEST_CASE("a device is held back by the first rule that applies, and by none when it may have the release") {
  constexpr std::int64_t noon_ms = 1'795'608'000'000;  // 2026-11-25T12:00:00Z
  for (unsigned rules = 0; rules < 16; ++rules)
    for (unsigned broken = 0; broken < 16; ++broken) {
      RolloutPolicy policy;
      if ((rules & 1U) != 0) policy.penalty = Penalty{3, 3600};
      if ((rules & 2U) != 0) policy.window = WeeklyWindow{0x7f, 13 * 60, 14 * 60};
      if ((rules & 4U) != 0) policy.in_flight_max = 2;
      if ((rules & 8U) != 0) policy.site_budget = SiteBudget{"site", 1};
      OfferFacts facts;
      facts.now_ms = noon_ms;
      facts.failures = (broken & 1U) != 0 ? 3 : 2;
      facts.utc_offset_s = (broken & 2U) != 0 ? 0 : 3600;
      facts.in_flight = (broken & 4U) != 0 ? 2 : 1;
      facts.at_site = (broken & 8U) != 0 ? 1 : 0;
      const unsigned both = rules & broken;
      const HoldBack expected = (both & 1U) != 0   ? HoldBack::penalty
                                : (both & 2U) != 0 ? HoldBack::window
                                : (both & 4U) != 0 ? HoldBack::in_flight
                                : (both & 8U) != 0 ? HoldBack::site_budget
                                                   : HoldBack::none;
      INFO("rules " << rules << ", broken " << broken);
      CHECK(hold_back(policy, facts) == expected);
      CHECK(policy.throttled() == (rules != 0));
    }
  CHECK(to_string(HoldBack::none).empty());
  CHECK(to_string(HoldBack::penalty) == "device.penalty");
}

TEST_CASE("a device's own failures are counted apart from those of the releases") {
  const std::string device = "dev-000";
  const auto rollout_with = [&](const char* id, Progress state, RolloutStatus status, std::int64_t at_ms) {
    Rollout rollout;
    rollout.plan = make_plan(id, "1.1.0");
    rollout.head.status = status;
    rollout.devices[device] = DeviceProgress{state, at_ms, at_ms, "x"};
    return rollout;
  };
  using enum Progress;
  for (Progress state : {rolled_back, rejected, failed, timed_out})
    CHECK(own_failures(device, {&*std::make_unique<Rollout>(rollout_with("a", state, RolloutStatus::done, 100))}, 50) ==
          1);
  // The release was bad: that says nothing about the device. Nor does a contract that does not fit it.
  for (const auto& [state, status] : {std::pair{rejected, RolloutStatus::failed},
                                      {refused, RolloutStatus::done},
                                      {committed, RolloutStatus::done},
                                      {trial, RolloutStatus::running}}) {
    const Rollout rollout = rollout_with("a", state, status, 100);
    CHECK(own_failures(device, {&rollout}, 50) == 0);
  }
  Rollout recalled = rollout_with("a", rolled_back, RolloutStatus::aborted, 100);
  recalled.head.recalled = true;
  CHECK(own_failures(device, {&recalled}, 50) == 0);
  const Rollout old = rollout_with("a", failed, RolloutStatus::done, 100),
                fresh = rollout_with("b", failed, RolloutStatus::done, 200);
  CHECK(own_failures(device, {&fresh, &old}, 150) == 1);
  CHECK(own_failures(device, {&fresh, &old}, 100) == 2);
  CHECK(own_failures("dev-001", {&fresh, &old}, 0) == 0);
  Rollout tried = rollout_with("c", committed, RolloutStatus::done, 300);
  tried.devices[device].attempts = 3;
  CHECK(own_failures(device, {&tried}, 0) == 2);
}

TEST_CASE("a phase told by a label holds that label's devices, beside the ranks of other phases") {
  Play play(phases({early(), {.percent = 60}, {.percent = 100}}), 0);
  play.selection = half_early(play.rollout.plan, 20);
  play.tick();
  const auto holds = [&](const std::string& device, bool is_early) {
    return in_phase(play.rollout, device, is_early ? Labels{{"ring", "early"}} : Labels{});
  };
  for (std::size_t i = 0; i < 20; ++i) CHECK(holds(device_names(20)[i], i % 2 == 0) == (i % 2 == 0));
  for (const Member& member : play.selection.members)
    if (member.label_phase == 0) {
      play.offer(member.device);
      play.report(member.device, Progress::committed);
    }
  CHECK(play.rollout.head.phase == 1);
  for (std::size_t rank = 0; rank < 20; ++rank) {
    const Member& member = play.selection.members[rank];
    const bool is_early = member.label_phase == 0;
    CHECK(holds(member.device, is_early) == (is_early || rank < 12));
  }
}

TEST_CASE("a phase told by a number holds so many devices, and all of a smaller fleet") {
  for (std::size_t fleet : {3u, 5u, 8u}) {
    Play play(phases({{.devices = 5}, {.percent = 100}}), fleet);
    play.tick();
    CHECK(play.in_phase_count() == std::min<std::size_t>(5, fleet));
  }
  CHECK(phase_size(7, Phase{.devices = 5}) == 5);
  CHECK(phase_size(7, Phase{50, 0}) == 4);
}

TEST_CASE("a member is found by rank and name, and nobody else is") {
  const Selection selection = make_selection("salt", device_names(50));
  for (const std::string& device : device_names(50)) {
    const Member* found = selection.find(rank_of("salt", device), device);
    REQUIRE(found);
    CHECK(found->device == device);
  }
  CHECK(selection.find(rank_of("salt", "dev-050"), "dev-050") == nullptr);
  CHECK(selection.find(rank_of("salt", "dev-001"), "dev-002") == nullptr);
}

TEST_CASE("an assignment without the rollout that holds the device back is the one before it") {
  Play first(phases({{100, 0}}), 2, "1.0.0");
  first.tick();
  first.commit(0);
  first.commit(1);
  Play second(phases({{100, 0}}), 2, "1.1.0");
  second.rollout.plan.id = "ro-2";
  second.tick();
  const std::vector<const Rollout*> both{&second.rollout, &first.rollout};
  CHECK(assignment_for("dev-000", {}, {}, both)->rollout == &second.rollout);
  CHECK(assignment_for("dev-000", {}, {}, both, {&second.rollout})->rollout == &first.rollout);
}

TEST_CASE("nothing is assigned by a rollout that waits for people or time, or was denied") {
  for (RolloutStatus status : {RolloutStatus::awaiting_approval, RolloutStatus::scheduled, RolloutStatus::denied}) {
    Play play({}, 2);
    play.tick();
    play.rollout.head.status = status;
    CHECK_FALSE(assignment_for("dev-000", {}, {}, {&play.rollout}));
  }
}
