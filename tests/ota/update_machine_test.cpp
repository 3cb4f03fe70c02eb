// The update machine: every state x event pair drawn as docs/state-machines/update.md, and properties of random lives.
#include "ota/update_machine.hpp"

#include "common/file.hpp"
#include "common/random.hpp"

#include <cstdlib>
#include <set>

using namespace ferry;
using namespace ferry::ota;

namespace {

constexpr std::int64_t now_ms = 1'800'000'000'000;

AssignedRelease release(int number, std::string rollout = "ro-1") {
  AssignedRelease assigned;
  assigned.version = "1." + std::to_string(number) + ".0";
  assigned.counter = number;
  assigned.manifest_sha256 = sha256(assigned.version);
  assigned.target = "m/" + assigned.version + "/manifest.json";
  assigned.length = 100;
  assigned.rollout = std::move(rollout);
  assigned.policy.download_attempts_max = 3;
  return assigned;
}

SlotEntry entry(int number) {
  auto assigned = release(number);
  SlotEntry made;
  made.version = assigned.version;
  made.counter = assigned.counter;
  made.manifest_sha256 = assigned.manifest_sha256;
  made.variant = "fp32";
  made.rollout = assigned.rollout;
  return made;
}

// Release 2 is active in slot a; candidates go to b; release 9 was rejected before; the floor is 1.
SlotState base() {
  SlotState state;
  state.model = "m";
  state.a = entry(2);
  state.active = SlotName::a;
  state.floor = 1;
  state.rejected.push_back({release(9).manifest_sha256, release(9).version, "trial.memory", 1});
  return state;
}

Trial trial(TrialStage stage, int boots_left = trial_boots_max, int number = 3) {
  Trial made;
  made.release = release(number);
  made.slot = SlotName::b;
  made.variant = "int8";
  made.stage = stage;
  made.deadline_ms = now_ms + 1000;
  made.boots_left = boots_left;
  made.took_over = stage == TrialStage::probation;
  return made;
}

RollingBack rolling_back(std::string reason, bool took_over) {
  RollingBack made;
  made.release = release(3);
  made.slot = SlotName::b;
  made.variant = "int8";
  made.reason = std::move(reason);
  made.took_over = took_over;
  return made;
}

SlotState with(UpdateState update) {
  SlotState state = base();
  if (const auto* back = std::get_if<RollingBack>(&update); back && remembered(back->reason))
    state.rejected.push_back({back->release.manifest_sha256, back->release.version, back->reason, 1});
  state.update = std::move(update);
  return state;
}

struct NamedState {
  std::string node;
  std::string condition;  // what is special about this example of the node
  SlotState state;
};

std::vector<NamedState> all_states() {
  Downloading last_attempt{release(3), 3, now_ms};
  SlotState no_active = with(trial(TrialStage::prove));
  no_active.a.reset();
  no_active.active.reset();
  SlotState two = base();
  two.b = entry(1);
  return {{"idle", "", base()},
          {"idle", "with a previous release", two},
          {"downloading", "", with(Downloading{release(3), 1, now_ms})},
          {"downloading", "last attempt", with(last_attempt)},
          {"staged", "", with(Staged{release(3), SlotName::b, "int8", ""})},
          {"prove", "", with(trial(TrialStage::prove))},
          {"prove", "last boot", with(trial(TrialStage::prove, 1))},
          {"prove", "no active release", no_active},
          {"prove", "older than active", with(trial(TrialStage::prove, trial_boots_max, 1))},
          {"shadow", "", with(trial(TrialStage::shadow))},
          {"shadow", "last boot", with(trial(TrialStage::shadow, 1))},
          {"probation", "", with(trial(TrialStage::probation))},
          {"probation", "last boot", with(trial(TrialStage::probation, 1))},
          {"rolling_back", "it had taken over", with(rolling_back("trial.crash", true))},
          {"rolling_back", "it never took over", with(rolling_back("trial.golden", false))},
          {"rolling_back", "a person's order", with(rolling_back("operator.abort", false))}};
}

struct NamedEvent {
  std::string name;
  Event event;
};

std::vector<NamedEvent> all_events() {
  return {{"assigned: a new release", Assigned{release(4), now_ms}},
          {"assigned: the candidate", Assigned{release(3), now_ms}},
          {"assigned: the candidate, other rollout", Assigned{release(3, "ro-2"), now_ms}},
          {"assigned: the active release", Assigned{release(2), now_ms}},
          {"assigned: the active release, other rollout", Assigned{release(2, "ro-2"), now_ms}},
          {"assigned: a rejected release", Assigned{release(9), now_ms}},
          {"assigned: below the floor", Assigned{release(0), now_ms}},
          {"floor seen", FloorSeen{2}},
          {"install began", InstallBegan{SlotName::b}},
          {"downloaded", Downloaded{SlotName::b, "int8", "fastest", now_ms}},
          {"downloaded: into the wrong slot", Downloaded{SlotName::a, "int8", "fastest", now_ms}},
          {"download failed", DownloadFailed{"download.digest", "", true, now_ms}},
          {"download failed: for good", DownloadFailed{"install.no_space", "", false, now_ms}},
          {"refused", Refused{"trust.metadata", "", now_ms}},
          {"trial began", TrialBegan{now_ms}},
          {"proved", Proved{}},
          {"shadowed", Shadowed{}},
          {"probation passed", ProbationPassed{now_ms}},
          {"trial failed", TrialFailed{"trial.memory", "", now_ms}},
          {"ticked: before the deadline", Ticked{now_ms}},
          {"ticked: at the deadline", Ticked{now_ms + 1000}},
          {"rolled back", RolledBack{now_ms}},
          {"active slot damaged", SlotDamaged{SlotName::a, "", now_ms}},
          {"candidate's slot damaged", SlotDamaged{SlotName::b, "", now_ms}},
          {"recalled: the active release", Recalled{release(2).manifest_sha256, "gate.latency", "", now_ms}},
          {"recalled: the previous release", Recalled{release(1).manifest_sha256, "gate.latency", "", now_ms}},
          {"recalled: the candidate", Recalled{release(3).manifest_sha256, "gate.latency", "", now_ms}},
          {"recalled: a release that is not here", Recalled{release(7).manifest_sha256, "gate.latency", "", now_ms}},
          {"restarted", Restarted{now_ms}}};
}

std::string node_of(const SlotState& state) {
  if (const auto* trial = std::get_if<Trial>(&state.update)) return std::string(to_string(trial->stage));
  return std::string(name_of(state.update));
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const auto& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

// What a step did, in words; empty when nothing at all changed.
std::string effect(const SlotState& before, const Step& step) {
  std::vector<std::string> parts;
  for (const auto& command : step.commands) parts.push_back(std::string(name_of(command)));
  const SlotState& after = step.state;
  if (after.report.number != before.report.number)
    parts.push_back("tell " + std::string(to_string(after.report.state)) +
                    (after.report.reason.empty() ? "" : " (" + after.report.reason + ")"));
  if (after.rejected.size() > before.rejected.size()) parts.push_back("remember the rejection");
  if (after.active != before.active) parts.push_back(after.active ? "active: the other slot" : "no active release");
  if (parts.empty() && !(after == before)) parts.push_back("note it");
  return joined(parts);
}

std::string diagram() {
  std::string edges, rows;
  std::set<std::string> drawn;
  for (const auto& [node, condition, state] : all_states()) {
    for (const auto& [name, event] : all_events()) {
      Step next = step(state, event);
      std::string done = effect(state, next);
      if (done.empty()) continue;
      std::string to = node_of(next.state);
      std::string line = "  " + node + " --> " + to + ": " + name.substr(0, name.find(':')) + "\n";
      if (to != node && drawn.insert(line).second) edges += line;
      rows += "| " + node + (condition.empty() ? "" : " (" + condition + ")") + " | " + name + " | " +
              (to == node ? "stays" : to) + " | " + done + " |\n";
    }
  }
  return "# The device's update machine\n\n"
         "Written by `tests/ota/update_machine_test.cpp` from the code (`FERRY_WRITE_DOCS=1 test_ota` renews it); the "
         "test fails when it "
         "differs.\nprove, shadow and probation are stages of the state `trial`. A pair that is not in the table stays "
         "and does "
         "nothing.\n\n```mermaid\nstateDiagram-v2\n  [*] --> idle\n" +
         edges + "```\n\n| state | event | next | what is done |\n| --- | --- | --- | --- |\n" + rows;
}

Path diagram_path() {
  return Path(__FILE__).parent_path().parent_path().parent_path() / "docs/state-machines/update.md";
}

}  // namespace

TEST_CASE("every state x event pair keeps the invariants, and the picture in docs shows what happens") {
  for (const auto& [node, condition, state] : all_states()) {
    REQUIRE(broken_invariant(state).empty());
    for (const auto& [name, event] : all_events()) {
      INFO(node << " (" << condition << ") x " << name);
      Step next = step(state, event);
      CHECK(broken_invariant(next.state).empty());
      // Only a recall of what serves does two things: the other slot answers, then the slot is erased.
      CHECK(next.commands.size() <= (std::holds_alternative<Recalled>(event) ? 2u : 1u));
      CHECK(next.state.report.number - state.report.number <= 1);
      CHECK(next.state.floor >= state.floor);
      // Rejecting is durable in the very write that starts the way back.
      if (node != "rolling_back" && node_of(next.state) == "rolling_back") {
        const auto& back = std::get<RollingBack>(next.state.update);
        CHECK((next.state.rejection(back.release.manifest_sha256) != nullptr) == remembered(back.reason));
      }
    }
  }
  std::string drawn = diagram();
  if (std::getenv("FERRY_WRITE_DOCS") != nullptr) REQUIRE(write_file_atomic(diagram_path(), drawn));
  auto kept = read_file(diagram_path(), 1024 * 1024);
  REQUIRE(kept);
  CHECK(*kept == drawn);
}

TEST_CASE("the straight way: assigned, downloaded, proved, shadowed, probation passed, committed") {
  SlotState state = base();
  std::vector<std::string> told;
  auto feed = [&](const Event& event) {
    auto next = step(state, event);
    if (next.state.report.number != state.report.number)
      told.push_back(std::string(to_string(next.state.report.state)));
    state = next.state;
    return next.commands.empty() ? std::string("nothing") : std::string(name_of(next.commands[0]));
  };
  CHECK(feed(Assigned{release(3), now_ms}) == "fetch");
  CHECK(feed(InstallBegan{SlotName::b}) == "nothing");
  CHECK(feed(Downloaded{SlotName::b, "int8", "fastest", now_ms}) == "begin trial");
  CHECK(feed(TrialBegan{now_ms}) == "prove");
  CHECK(std::get<Trial>(state.update).deadline_ms == now_ms + 600'000);
  CHECK(feed(Proved{}) == "shadow");
  CHECK(feed(Shadowed{}) == "take over");
  CHECK(state.active == SlotName::a);  // until it is committed, a restart finds the old one
  CHECK(feed(ProbationPassed{now_ms}) == "commit");
  CHECK(state.active == SlotName::b);
  CHECK(state.b->version == "1.3.0");
  CHECK(state.a->version == "1.2.0");
  CHECK(told == std::vector<std::string>{"downloading", "staged", "trial", "committed"});
}

TEST_CASE("a refusal is told once, however often the server offers the release again") {
  SlotState state = base();
  state = step(state, Assigned{release(9), now_ms}).state;
  CHECK(state.report.state == ReportState::refused);
  CHECK(state.report.reason == "release.rejected");
  auto again = step(state, Assigned{release(9), now_ms + 1});
  CHECK(again.state == state);
  auto other_rollout = step(state, Assigned{release(9, "ro-7"), now_ms + 2});
  CHECK(other_rollout.state.report.number == state.report.number + 1);
}

TEST_CASE("a rejection is not followed by a refusal to the rollout that has heard of it") {
  SlotState state = step(base(), Assigned{release(3), now_ms}).state;
  for (const Event& event : {Event{Downloaded{SlotName::b, "int8", "fastest", now_ms}}, Event{TrialBegan{now_ms}},
                             Event{TrialFailed{"trial.memory", "too much", now_ms}}, Event{RolledBack{now_ms}}})
    state = step(state, event).state;
  REQUIRE(state.report.state == ReportState::rejected);
  CHECK(step(state, Assigned{release(3), now_ms}).state == state);
  auto other_rollout = step(state, Assigned{release(3, "ro-7"), now_ms}).state;
  CHECK(other_rollout.report.state == ReportState::refused);
  CHECK(other_rollout.report.reason == "release.rejected");
}

TEST_CASE("attempts are counted and then given up with the reason of the last") {
  SlotState state = step(base(), Assigned{release(3), now_ms}).state;
  for (int attempt = 1; attempt <= 2; ++attempt) {
    auto next = step(state, DownloadFailed{"download.digest", "bad bytes", true, now_ms});
    REQUIRE(std::holds_alternative<Downloading>(next.state.update));
    CHECK(std::get<Downloading>(next.state.update).attempt == attempt + 1);
    REQUIRE(next.commands.size() == 1);
    CHECK(std::get<Fetch>(next.commands[0]).release == release(3));
    CHECK(std::get<Fetch>(next.commands[0]).attempt == attempt + 1);
    REQUIRE(next.commands.size() == 1);
    state = next.state;
  }
  auto last = step(state, DownloadFailed{"download.digest", "bad bytes", true, now_ms});
  CHECK(std::holds_alternative<Idle>(last.state.update));
  CHECK(last.state.report.state == ReportState::failed);
  CHECK(last.state.report.reason == "download.digest");
  CHECK(last.state.rejected.size() == 1);  // bytes that never arrived are no verdict on the release
}

TEST_CASE("the rejected list keeps the newest 64") {
  SlotState state = base();
  for (int number = 100; number < 200; ++number) {
    Trial failing = trial(TrialStage::prove, 3, number);
    state.update = failing;
    state = step(state, TrialFailed{"trial.golden", "", now_ms}).state;
    state = step(state, RolledBack{now_ms}).state;
  }
  CHECK(state.rejected.size() == rejected_max);
  CHECK(state.rejection(release(199).manifest_sha256) != nullptr);
  CHECK(state.rejection(release(100).manifest_sha256) == nullptr);
}

TEST_CASE("a recall brings the previous release back at once, without a download or a trial, and is remembered") {
  SlotState state = base();
  state.b = entry(1);
  auto next = step(state, Recalled{release(2).manifest_sha256, "gate.latency", "slower on 8 of 8 pairs", now_ms});
  REQUIRE(next.commands.size() == 2);
  CHECK(std::get<Serve>(next.commands[0]).slot == SlotName::b);
  CHECK(std::get<GoBack>(next.commands[1]).slot == SlotName::a);
  CHECK(next.state.active == SlotName::b);
  CHECK_FALSE(next.state.a);
  CHECK(next.state.rejection(release(2).manifest_sha256)->reason == "gate.latency");
  auto done = step(next.state, RolledBack{now_ms});
  CHECK(done.state.report.state == ReportState::rolled_back);
  CHECK(done.state.report.reason == "gate.latency");
  CHECK(done.state.report.message == "slower on 8 of 8 pairs");
  CHECK(done.state.report.rollout == "ro-1");
  CHECK(step(done.state, Assigned{release(2, "ro-5"), now_ms}).state.report.reason == "release.rejected");
}

TEST_CASE("a recall with nothing to go back to leaves the device answering until another release is there") {
  auto alone = step(base(), Recalled{release(2).manifest_sha256, "gate.latency", "", now_ms});
  CHECK(alone.state == base());
  CHECK(alone.commands.empty());
  // Another release was committed meanwhile: the recalled one is the previous, and goes.
  SlotState later = base();
  later.b = entry(1);
  later.active = SlotName::b;
  auto erased = step(later, Recalled{release(2).manifest_sha256, "gate.latency", "", now_ms});
  CHECK(erased.state.active == SlotName::b);
  CHECK_FALSE(erased.state.a);
  REQUIRE(erased.commands.size() == 1);
  CHECK(std::get<GoBack>(erased.commands[0]).slot == SlotName::a);
}

TEST_CASE("a recall never brings back a release below the signed floor, whoever orders it") {
  SlotState state = base();
  state.b = entry(1);
  state.floor = 2;
  for (const char* reason : {"gate.latency", "operator.rollback"}) {
    auto next = step(state, Recalled{release(2).manifest_sha256, reason, "", now_ms});
    CHECK(next.state == state);
    CHECK(next.commands.empty());
  }
}

TEST_CASE("a person's order to roll back is obeyed and not held against the release") {
  SlotState state = base();
  state.b = entry(1);
  state = step(state, Recalled{release(2).manifest_sha256, "operator.rollback", "", now_ms}).state;
  state = step(state, RolledBack{now_ms}).state;
  CHECK(state.rejection(release(2).manifest_sha256) == nullptr);
  CHECK(std::holds_alternative<Downloading>(step(state, Assigned{release(2, "ro-5"), now_ms}).state.update));
}

TEST_CASE("random lives: a rejected release is never active nor fallback, active is never lost, every trial ends") {
  const std::uint64_t seed = SystemRandom{}.next();
  INFO("seed " << seed);
  SeededRandom random(seed);
  auto pick = [&](std::uint64_t n) { return static_cast<int>(random.next() % n); };
  for (int life = 0; life < 300; ++life) {
    SlotState state;
    state.model = "m";
    std::int64_t at = now_ms;
    for (int moment = 0; moment < 400; ++moment) {
      at += pick(50'000);
      auto slot = pick(2) == 0 ? SlotName::a : SlotName::b;
      const Event events[] = {
          Assigned{release(1 + pick(8), pick(2) == 0 ? "ro-1" : "ro-2"), at},
          FloorSeen{pick(200) == 0 ? 3 : 1},
          InstallBegan{slot},
          Downloaded{slot, "fp32", "", at},
          Downloaded{state.inactive(), "fp32", "", at},
          DownloadFailed{"download.failed", "", pick(2) == 0, at},
          Refused{"trust.metadata", "", at},
          TrialBegan{at},
          Proved{},
          Shadowed{},
          ProbationPassed{at},
          TrialFailed{pick(2) == 0 ? "trial.crash" : "install.io", "", at},
          Ticked{at},
          RolledBack{at},
          Restarted{at},
          Recalled{release(1 + pick(8)).manifest_sha256, pick(2) == 0 ? "gate.latency" : "operator.rollback", "", at},
          SlotDamaged{slot, "", at}};
      const Event& event = events[pick(60) == 0 ? 16 : pick(16)];
      Step next = step(state, event);
      INFO("life " << life << " moment " << moment << " event " << name_of(event));
      REQUIRE(broken_invariant(next.state) == "");  // holds: no rejected release in any slot entry
      bool damaged = std::holds_alternative<SlotDamaged>(event);
      bool recalled = std::holds_alternative<Recalled>(event);
      if (state.active && !damaged) REQUIRE(next.state.active);
      if (state.active && !std::holds_alternative<ProbationPassed>(event) && !damaged && !recalled)
        REQUIRE(next.state.active_entry()->manifest_sha256 == state.active_entry()->manifest_sha256);
      if (std::holds_alternative<Trial>(next.state.update)) {
        const auto& running = std::get<Trial>(next.state.update);
        SlotState ended = step(step(next.state, Ticked{running.deadline_ms}).state, RolledBack{at}).state;
        REQUIRE(std::holds_alternative<Idle>(ended.update));
        SlotState flapping = next.state;
        for (int boot = 0; boot <= trial_boots_max; ++boot) flapping = step(flapping, Restarted{at}).state;
        REQUIRE_FALSE(std::holds_alternative<Trial>(flapping.update));
      }
      if (moment % 40 == 0) {
        auto read = slot_state_from_json(to_json(next.state, 7));
        REQUIRE(read);
        REQUIRE(read->state == next.state);
      }
      state = std::move(next.state);
    }
  }
}
