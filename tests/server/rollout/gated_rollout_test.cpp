// The machine's part in a live gate: canaries, controls that wait, the judge's word, recalls.
#include "server/rollout/pairing.hpp"
#include "tests/server/rollout/rollout_fixture.hpp"

#include <nlohmann/json.hpp>
#include <set>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

// Ten devices, 20 % canaries: two pairs, frozen as create() does.
struct Gated : Play {
  Gated() : Play(gated_policy(), 10) {
    rollout.plan.pairs = {{"dev-000", "dev-001", "s"}, {"dev-002", "dev-003", "s"}};
    index_pairs(rollout);
    tick();
  }
  static RolloutPolicy gated_policy() {
    RolloutPolicy policy = phases({{20, 0}, {60, 0}, {100, 0}}, 3);
    policy.gate = LiveGatePolicy{};
    return policy;
  }
  void take(const std::string& device) {
    offer(device);
    report(device, Progress::committed);
  }
  void judge(const std::string& decision, const std::string& reason, bool expired = false,
             std::vector<std::string> silent = {}) {
    Judged event;
    event.decision = decision;
    event.reason = reason;
    event.expired = expired;
    event.detail = "numbers";
    event.silent = std::move(silent);
    event.at_ms = at_ms;
    feed(event);
  }
  std::set<std::string> taking_part() const {
    std::set<std::string> devices;
    for (const Member& member : selection.members)
      if (in_phase(rollout, member.device)) devices.insert(member.device);
    return devices;
  }
  void take_phase() {
    for (const std::string& device : taking_part())
      if (rollout.progress_of(device) == Progress::waiting) take(device);
  }
  // Through the first phase.
  void pass() {
    take_phase();
    judge("pass", "gate.pass");
  }
};

}  // namespace

TEST_CASE("in the first phase of a gated rollout the canaries alone take part, whatever their rank") {
  Gated play;
  CHECK(play.taking_part() == std::set<std::string>{"dev-000", "dev-002"});
  CHECK_FALSE(assignment_for("dev-001", {}, {}, {&play.rollout}));
  CHECK(assignment_for("dev-002", {}, {}, {&play.rollout})->to_be_noted);
}

TEST_CASE("a gated phase waits for the judge, however many committed and however long it takes") {
  Gated play;
  play.take_phase();
  play.tick(100'000);
  CHECK(play.rollout.head.phase == 0);
  play.judge("hold", "gate.evidence");
  CHECK(play.rollout.head.phase == 0);
  CHECK(play.rollout.head.gate_reason == "gate.evidence");
  play.judge("pass", "gate.pass");
  CHECK(play.rollout.head.gate_passed);
  CHECK(play.rollout.head.phase == 1);
}

TEST_CASE("a pass before the canaries are through lets the phase end when they are") {
  Gated play;
  play.take("dev-000");
  play.judge("pass", "gate.pass");
  CHECK(play.rollout.head.phase == 0);
  play.take("dev-002");
  CHECK(play.rollout.head.phase == 1);
}

TEST_CASE("controls wait until the last phase; the others come by rank") {
  Gated play;
  play.pass();
  REQUIRE(play.rollout.head.phase == 1);
  const auto second = play.taking_part();
  CHECK(second.contains("dev-000"));
  CHECK_FALSE(second.contains("dev-001"));
  CHECK_FALSE(second.contains("dev-003"));
  CHECK(second.size() > 2);
  play.take_phase();
  REQUIRE(play.rollout.head.phase == 2);
  CHECK(play.taking_part().size() == 10);
  play.take_phase();
  CHECK(play.status() == RolloutStatus::done);
  CHECK(play.rollout.count(Progress::committed) == 10);
}

TEST_CASE("a failed gate, and one that held for too long, order the release off whoever took it") {
  for (bool expired : {false, true}) {
    Gated play;
    play.take_phase();
    play.judge(expired ? "hold" : "fail", "gate.latency", expired);
    CHECK(play.status() == RolloutStatus::failed);
    CHECK(play.rollout.head.reason == "gate.latency");
    CHECK(play.rollout.head.recalled);
    CHECK(play.log.back().decision == "rollback");
    CHECK(play.assignments_changed);
    const std::vector<const Rollout*> rollouts{&play.rollout};
    CHECK(quarantined(play.rollout.plan.manifest_sha256, rollouts));
    for (const Member& member : play.selection.members) {
      INFO(member.device);
      CHECK_FALSE(assignment_for(member.device, {}, {}, rollouts));
      const bool took = play.rollout.progress_of(member.device) == Progress::committed;
      CHECK(recalls_for(member.device, {}, rollouts).size() == (took ? 1 : 0));
      CHECK(recalls_for(member.device, play.rollout.plan.manifest_sha256, rollouts).size() == 1);
    }
  }
}

TEST_CASE("a paused rollout is watched on: harm brings its canaries back, and nothing else moves it") {
  Gated play;
  play.take_phase();
  play.feed(Paused{"ada", "", play.at_ms});
  const Rollout before = play.rollout;
  for (const char* decision : {"pass", "hold"}) play.judge(decision, "gate.few_pairs", true, {"dev-000"});
  CHECK(play.rollout.head == before.head);
  CHECK(play.rollout.devices == before.devices);
  play.judge("fail", "gate.latency");
  CHECK(play.status() == RolloutStatus::failed);
  CHECK(play.rollout.head.reason == "gate.latency");
  CHECK(recalls_for("dev-000", {}, {&play.rollout}).size() == 1);
}

TEST_CASE("the judge has nothing to say to a rollout that is over, in its last phase, or not gated") {
  Gated over;
  over.feed(Aborted{"ada", "", over.at_ms});
  Gated last;
  last.pass();
  last.take_phase();
  REQUIRE(last.rollout.in_last_phase());
  for (Gated* play : {&over, &last}) {
    const Rollout before = play->rollout;
    for (const char* decision : {"pass", "fail", "hold"}) play->judge(decision, "gate.latency", true);
    CHECK(play->rollout.head == before.head);
    CHECK(play->rollout.devices == before.devices);
  }
  Play plain(phases({{50, 0}, {100, 0}}), 4);
  plain.tick();
  Judged fail;
  fail.decision = "fail";
  plain.feed(fail);
  CHECK(plain.status() == RolloutStatus::running);
}

TEST_CASE("the log tells the judge's word when it changes, not at every look") {
  Gated play;
  play.take_phase();
  play.log.clear();
  for (int i = 0; i < 5; ++i) play.judge("hold", "gate.evidence");
  CHECK(play.log.size() == 1);
  play.judge("hold", "gate.silence");
  CHECK(play.log.size() == 2);
  CHECK(play.log.back().decision == "judge");
  CHECK(play.log.back().verdict == "hold");
}

TEST_CASE("a canary that is heard no more is marked, once, and still counts as committed") {
  Gated play;
  play.take_phase();
  play.judge("hold", "gate.silence", false, {"dev-000", "dev-009"});
  CHECK(play.rollout.devices.at("dev-000").reason == reason_gate_silence);
  CHECK(play.rollout.progress_of("dev-000") == Progress::committed);
  CHECK_FALSE(play.rollout.devices.contains("dev-009"));
  CHECK(play.rollout.count(Progress::committed) == 2);
  const Rollout before = play.rollout;
  play.judge("hold", "gate.silence", false, {"dev-000"});
  CHECK(play.rollout.devices == before.devices);
}

TEST_CASE("a person may order a release back at any time, once, also when its rollout is done") {
  for (bool done : {false, true}) {
    Play play(phases({{100, 0}}), 2);
    play.tick();
    play.commit(0);
    if (done) play.commit(1);
    REQUIRE((play.status() == RolloutStatus::done) == done);
    play.feed(RolledBack{"ada", "smells", play.at_ms});
    CHECK(play.status() == RolloutStatus::aborted);
    CHECK(play.rollout.head.recalled);
    CHECK(play.rollout.head.reason == reason_operator_rollback);
    CHECK(play.log.back().by == "ada");
    CHECK(play.log.back().detail == "smells");
    const Rollout before = play.rollout;
    play.feed(RolledBack{"bob", "", play.at_ms + 1});
    CHECK(play.rollout.head == before.head);
    CHECK_FALSE(assignment_for(play.device(0), {}, {}, {&play.rollout}));
  }
}

TEST_CASE("a recalled release is nobody's fallback: the release before it is") {
  Play first(phases({{100, 0}}), 2, "1.0.0");
  first.tick();
  first.commit(0);
  first.commit(1);
  Play again(phases({{100, 0}}), 2, "1.1.0");
  again.rollout.plan.id = "ro-2";
  again.tick();
  again.commit(0);
  again.commit(1);
  Play recalled(phases({{100, 0}}), 2, "1.1.0");
  recalled.rollout.plan.id = "ro-3";
  recalled.tick();
  recalled.commit(0);
  recalled.feed(RolledBack{"ada", "", recalled.at_ms});
  const std::vector<const Rollout*> history{&recalled.rollout, &again.rollout, &first.rollout};
  for (const char* device : {"dev-000", "dev-001", "dev-new"})
    for (const Digest& running : {Digest{}, manifest_of("1.1.0")}) {
      const auto choice = assignment_for(device, {}, running, history);
      REQUIRE(choice);
      CHECK(choice->rollout == &first.rollout);
    }
  // A new rollout that names it takes the recall back.
  Play named(phases({{100, 0}}), 2, "1.1.0");
  named.rollout.plan.id = "ro-4";
  named.tick();
  const std::vector<const Rollout*> after{&named.rollout, &recalled.rollout, &again.rollout, &first.rollout};
  CHECK(recalls_for("dev-000", manifest_of("1.1.0"), after).empty());
  CHECK(assignment_for("dev-000", {}, {}, after)->rollout == &named.rollout);
}

TEST_CASE("devices are compared with their like: class first, then the labels that are named") {
  CHECK(stratum_of("x86_64-avx2", {{"site", "oslo"}}, {}) == "x86_64-avx2");
  CHECK(stratum_of("x86_64-avx2", {{"site", "oslo"}}, {"site", "kind"}) == "x86_64-avx2|site=oslo|kind=");
  CHECK(stratum_of("a", {{"site", "b"}}, {"site"}) != stratum_of("a", {{"site", "c"}}, {"site"}));
}

TEST_CASE("pairs are drawn within strata, each device once, and the same for the same salt") {
  std::vector<telemetry::PairCandidate> candidates;
  for (int i = 0; i < 40; ++i) candidates.push_back({"dev-" + std::to_string(i), i % 4 == 0 ? "small" : "large"});
  const auto pairs = choose_pairs(candidates, 10, "salt");
  CHECK(pairs.size() == 10);
  std::set<std::string> seen;
  for (const Pair& pair : pairs) {
    CHECK(seen.insert(pair.canary).second);
    CHECK(seen.insert(pair.control).second);
    for (const std::string& device : {pair.canary, pair.control})
      CHECK(pair.stratum == (std::stoi(device.substr(4)) % 4 == 0 ? "small" : "large"));
  }
  CHECK(choose_pairs(candidates, 10, "salt") == pairs);
  CHECK_FALSE(choose_pairs(candidates, 10, "other") == pairs);
  CHECK(choose_pairs(candidates, 1000, "salt").size() == 20);
  CHECK(choose_pairs({{"alone", "x"}}, 1, "salt").empty());
}

TEST_CASE("a live gate's policy is read with defaults, printed back, and refused by its field") {
  const auto gate = [](const std::string& text) {
    return parse_rollout_policy(
        *parse_json(R"({"phases": [{"percent": 20}, {"percent": 100}], "gate": )" + text + "}"));
  };
  const auto plain = gate("{}");
  REQUIRE(plain);
  REQUIRE(plain->gate);
  CHECK(*plain->gate == LiveGatePolicy{});
  const auto full = gate(R"({"warm_up_s": 5, "strata": ["site"]})");
  REQUIRE(full);
  CHECK(full->gate->warm_up_s == 5);
  CHECK(full->gate->strata == std::vector<std::string>{"site"});
  CHECK(*parse_rollout_policy(to_json(*full)) == *full);
  CHECK_FALSE(parse_rollout_policy(Json())->gate);
  for (const auto& [text, named] :
       std::vector<std::pair<std::string, std::string>>{{"5", "gate"},
                                                        {R"({"warm_up": 5})", "'warm_up_s'"},
                                                        {R"({"warm_up_s": -1})", "warm_up_s"},
                                                        {R"({"strata": ["Site"]})", "strata"},
                                                        {R"({"strata": [5]})", "strata"},
                                                        {R"({"strata": ["a", "b", "c", "d", "e"]})", "strata"},
                                                        {R"({"judge": 5})", "judge"}}) {
    const auto refused = gate(text);
    INFO(text);
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().context, Catch::Contains("gate") && Catch::Contains(named));
  }
  const auto one_phase = parse_rollout_policy(*parse_json(R"({"gate": {}})"));
  REQUIRE_FALSE(one_phase);
  CHECK_THAT(one_phase.error().context, Catch::Contains("at least two"));
  CHECK_FALSE(parse_rollout_policy(*parse_json(R"({"phases": [{"percent": 51}, {"percent": 100}], "gate": {}})")));
}

TEST_CASE("pairs and what the gate said survive being stored") {
  const std::vector<Pair> pairs{{"dev-1", "dev-2", "x|site=oslo"}, {"dev-3", "dev-4", ""}};
  CHECK(*pairs_from_json(*parse_json(dump_json(to_json(pairs)))) == pairs);
  CHECK_FALSE(pairs_from_json(Json::object()));
  CHECK_FALSE(pairs_from_json(*parse_json(R"([{"canary": "a", "control": "b"}])")));
  RolloutHead head;
  head.gate_passed = head.recalled = true;
  head.gate_reason = "gate.latency";
  CHECK(*rollout_head_from_json(to_json(head)) == head);
}
