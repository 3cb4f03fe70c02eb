// The live gate from uploads to the order back, over one database: what counts, what does not, what a restart keeps.
#include "server/rollout/live_gates.hpp"

#include "telemetry/judge_record.hpp"
#include "tests/server/core_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using telemetry::WindowReport;

namespace {

constexpr std::size_t devices = 20;
constexpr std::size_t pairs = 10;
constexpr double usual_s = 0.001;

RolloutPolicy gated() {
  RolloutPolicy policy;
  policy.phases = {{50, 0}, {100, 0}};
  policy.gate = LiveGatePolicy{};
  policy.gate->warm_up_s = 10;
  auto& judge = policy.gate->judge;
  judge.p50.resolutions = {200};
  judge.p99.resolutions = {200};
  judge.errors.resolutions = {200};
  judge.pairs_pass_min = pairs;
  judge.age_pass_min_s = 60;
  judge.age_max_s = 600;
  judge.silent_after_s = 120;
  return policy;
}

// Twenty devices that run 1.0.0 by a rollout which is done.
struct Field : Core {
  Field() : telemetry(*database) {
    for (std::size_t i = 0; i < devices; ++i) add_device(id(i));
    const std::string first = create("1.0.0");
    for (std::size_t i = 0; i < devices; ++i) take(id(i), first, "1.0.0", 1);
    REQUIRE(rollout(first).head.status == RolloutStatus::done);
    for (std::size_t i = 0; i < devices; ++i) upload(id(i), "1.0.0", 250, usual_s);
  }
  static std::string id(std::size_t i) { return fmt::format("dev-{:03}", i); }

  void take(const std::string& device, const std::string& rollout_id, const std::string& version, std::int64_t seq) {
    tell(device, update_event(seq, rollout_id, version, "committed"));
    tell(device, events({slots_event(seq + 1, version, rollout_id)}));
    need(controller->turn());
  }
  // One window of the last ten seconds.
  UploadVerdict upload(const std::string& device, const std::string& version, int count, double seconds,
                       std::uint64_t seq = 0) {
    WindowReport report;
    report.install = "in-1";
    report.boot = "boot-1";
    report.seq = seq == 0 ? ++sequence : seq;
    report.end_unix_ms = to_unix_ms(clock.now());
    report.start_unix_ms = report.end_unix_ms - 10'000;
    telemetry::ReleaseWindow window;
    window.key = {"fashion-mnist", version, sha256("manifest of " + version).hex(), "a", "", "none"};
    for (int i = 0; i < count; ++i) window.duration.record(seconds * (1 + 0.001 * (i % 7)));
    report.releases.push_back(window);
    return need(controller->gates().apply(telemetry, device, report, to_unix_ms(clock.now())));
  }
  std::string begin() {
    const std::string made = create("1.1.0", gated());
    plan = rollout(made).plan.pairs;
    REQUIRE(plan.size() == pairs);
    for (const Pair& pair : plan) take(pair.canary, made, "1.1.0", 10);
    clock.advance(std::chrono::seconds{30});  // beyond the warm-up
    return made;
  }
  void everybody_reports(double canary_s, double control_s, int count = 250) {
    for (const Pair& pair : plan) {
      upload(pair.canary, "1.1.0", count, canary_s);
      upload(pair.control, "1.0.0", count, control_s);
    }
  }
  telemetry::VerdictRecord record(const std::string& rollout_id) {
    const auto records = need(controller->verdicts(rollout_id, 1));
    REQUIRE(records.size() == 1);
    return need(telemetry::parse_verdict(records.front().body));
  }

  TelemetryStore telemetry;
  std::vector<Pair> plan;
  std::uint64_t sequence = 0;
};

}  // namespace

TEST_CASE("a release that is like the old one passes its gate, and only then do the controls get it") {
  Field field;
  const std::string id = field.begin();
  need(field.controller->turn());
  CHECK(field.rollout(id).head.phase == 0);  // all have committed, nothing is known yet
  CHECK(field.rollout(id).head.gate_reason == "gate.few_pairs");
  for (const Pair& pair : field.plan) CHECK(field.check_in(pair.control)["models"][0]["version"] == "1.0.0");
  field.everybody_reports(usual_s, usual_s);
  need(field.controller->turn());
  CHECK(field.rollout(id).head.gate_passed);
  CHECK(field.rollout(id).head.phase == 1);
  CHECK(field.check_in(field.plan[0].control)["models"][0]["version"] == "1.1.0");
  const auto record = field.record(id);
  CHECK(record.verdict.decision == telemetry::Decision::pass);
  CHECK(telemetry::recompute(record) == record.verdict);
}

TEST_CASE("a release that is slower than its controls fails, and every device that took it is ordered back") {
  Field field;
  const std::string id = field.begin();
  field.everybody_reports(3 * usual_s, usual_s);
  need(field.controller->turn());
  const Rollout ended = field.rollout(id);
  CHECK(ended.head.status == RolloutStatus::failed);
  CHECK(ended.head.reason == "gate.latency");
  CHECK(ended.head.recalled);
  const std::string canary = field.plan[0].canary;
  const Json order = field.check_in(canary);
  REQUIRE(order["recalls"].size() == 1);
  CHECK(order["recalls"][0]["manifest_sha256"] == sha256("manifest of 1.1.0").hex());
  CHECK(order["recalls"][0]["reason"] == "gate.latency");
  CHECK(order["models"][0]["version"] == "1.0.0");
  CHECK_FALSE(field.check_in(field.plan[0].control).contains("recalls"));
  // It says that it is back: the order is over, and it is counted.
  field.tell(canary, Core::update_event(20, id, "1.1.0", "rolled_back", "gate.latency"));
  field.tell(canary, Core::events({Core::slots_event(21, "1.0.0", "")}));
  CHECK_FALSE(field.check_in(canary).contains("recalls"));
  CHECK(field.rollout(id).progress_of(canary) == Progress::rolled_back);
  const auto record = field.record(id);
  CHECK(record.verdict.decision == telemetry::Decision::fail);
  CHECK(telemetry::recompute(record) == record.verdict);
}

TEST_CASE("load that comes to canaries and controls alike is not held against the release") {
  Field field;
  const std::string id = field.begin();
  field.everybody_reports(1.2 * usual_s, 1.2 * usual_s);
  field.clock.advance(std::chrono::seconds{70});
  field.everybody_reports(1.2 * usual_s, 1.2 * usual_s);
  need(field.controller->turn());
  CHECK(field.rollout(id).head.gate_passed);
}

TEST_CASE("an upload counts once, whatever is sent again") {
  Field field;
  const std::string id = field.begin();
  const std::string canary = field.plan[0].canary;
  CHECK(field.upload(canary, "1.1.0", 150, 3 * usual_s, 900) == UploadVerdict::applied);
  CHECK(field.upload(canary, "1.1.0", 150, 3 * usual_s, 900) == UploadVerdict::repeat);
  field.upload(field.plan[0].control, "1.0.0", 250, usual_s);
  need(field.controller->turn());
  const auto look = field.controller->gates().latest(id);
  REQUIRE(look);
  // 150 answers of the canary, not 300: below the resolution of 200, so nothing is frozen.
  CHECK(look->evidence.pairs[0].latency.empty());
}

TEST_CASE("the warm-up, other releases and what was before the start do not count") {
  Field field;
  const std::string id = field.create("1.1.0", gated());
  field.plan = field.rollout(id).plan.pairs;
  for (const Pair& pair : field.plan) field.upload(pair.control, "1.0.0", 250, 3 * usual_s);  // nobody has started
  for (const Pair& pair : field.plan) field.take(pair.canary, id, "1.1.0", 10);
  field.everybody_reports(3 * usual_s, 3 * usual_s);  // in the warm-up
  field.clock.advance(std::chrono::seconds{30});
  for (const Pair& pair : field.plan) field.upload(pair.canary, "1.0.0", 250, 3 * usual_s);  // late, of the old release
  need(field.controller->turn());
  const auto look = field.controller->gates().latest(id);
  REQUIRE(look);
  for (const auto& pair : look->evidence.pairs) CHECK(pair.latency.empty());
}

TEST_CASE("killed and opened again, the gate says the same from what is stored") {
  Field field;
  const std::string id = field.begin();
  for (std::size_t i = 0; i < 3; ++i) {
    field.upload(field.plan[i].canary, "1.1.0", 250, usual_s);
    field.upload(field.plan[i].control, "1.0.0", 250, usual_s);
  }
  need(field.controller->turn());
  const auto before = field.controller->gates().latest(id);
  REQUIRE(before);
  field.restart();
  need(field.controller->turn());
  const auto after = field.controller->gates().latest(id);
  REQUIRE(after);
  CHECK(after->evidence == before->evidence);
  CHECK(after->verdict == before->verdict);
}

TEST_CASE("canaries that fell silent are marked, their pairs are never complete, and time ends the rollout") {
  Field field;
  constexpr std::size_t silent = 4;  // more than the share that a verdict may do without
  const std::string id = field.begin();
  for (int minute = 0; minute < 15 && !is_terminal(field.rollout(id).head.status); ++minute) {
    for (std::size_t i = 0; i < field.plan.size(); ++i) {
      // So few a minute that silence is noticed before anything is certified.
      if (i >= silent) field.upload(field.plan[i].canary, "1.1.0", 40, usual_s);
      field.upload(field.plan[i].control, "1.0.0", 40, usual_s);
    }
    field.clock.advance(std::chrono::seconds{60});
    need(field.controller->turn());
  }
  const Rollout ended = field.rollout(id);
  CHECK(ended.head.status == RolloutStatus::failed);
  CHECK(ended.head.recalled);
  for (std::size_t i = 0; i < silent; ++i) {
    const DeviceProgress& progress = ended.devices.at(field.plan[i].canary);
    CHECK(progress.state == Progress::committed);
    CHECK(progress.reason == "gate.silence");
  }
  const auto verdict = field.record(id).verdict;
  CHECK(verdict.pairs.complete <= std::int64_t(pairs - silent));
  CHECK(verdict.decision != telemetry::Decision::pass);
}

TEST_CASE("a gate needs a release to compare with, and devices that run it") {
  Core core;
  core.add_devices(4);
  auto none = core.controller->create(Core::wanted("1.1.0", gated()), Core::release("1.1.0"));
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Errc::bad_input);
  CHECK(none.error().context.find("no current release") != std::string::npos);
  Field field;
  auto nobody = field.controller->create(Core::wanted("1.1.0", gated(), "label.site=mars"), Core::release("1.1.0"));
  REQUIRE_FALSE(nobody);
  CHECK(nobody.error().context.find("nothing to compare") != std::string::npos);
}

TEST_CASE("a baseline is the last full half and the one that fills") {
  auto database = open_migrated(":memory:");
  BaselineStore store(*database);
  const auto window = [](int count) {
    telemetry::ReleaseWindow made;
    made.key = {"m", "1.0.0", sha256("x").hex(), "a", "", "none"};
    for (int i = 0; i < count; ++i) made.duration.record(0.001);
    return made;
  };
  const auto count = [&] { return need(store.of("dev-1", "m", "1.0.0")).duration.count(); };
  CHECK(count() == 0);
  need(store.add("dev-1", window(3'000), 1));
  need(store.add("dev-1", window(1'000), 2));
  CHECK(count() == 4'000);
  need(store.add("dev-1", window(100), 3));  // the half was full: a new one
  CHECK(count() == 4'100);
  need(store.add("dev-1", window(50), 3 + baseline_half_ms));  // old enough: the first half is forgotten
  CHECK(count() == 150);
  CHECK(need(store.of("dev-2", "m", "1.0.0")).empty());
}

TEST_CASE("uploads that did not commit together have shown the gate nothing") {
  Field field;
  const std::string id = field.begin();
  LiveGates& gates = field.controller->gates();
  const auto failed = gates.together(field.telemetry, [&]() -> Result<> {
    field.everybody_reports(usual_s * 4, usual_s);
    return Error{Errc::io, "the disk is gone"};
  });
  REQUIRE_FALSE(failed);
  field.sequence -= 2 * field.plan.size();  // the devices send the same again, by their own numbers
  REQUIRE(gates.together(field.telemetry, [&]() -> Result<> {
    field.everybody_reports(usual_s, usual_s);
    return {};
  }));
  need(field.controller->turn());
  CHECK(field.rollout(id).head.gate_passed);
}
