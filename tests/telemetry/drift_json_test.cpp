#include "tests/telemetry/drift_fixture.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::telemetry;

namespace {

DriftState some_state() {
  test::Draws draws(1);
  const ReferenceProfile reference = test::drift_reference();
  DriftState state;
  for (int i = 0; i < 9; ++i) {
    const DriftCounts counts = test::drift_window(draws, reference, 230, i < 6 ? 0.0 : 0.3);
    state = drift_step(reference, {}, state, counts, i * 1'000, i * 1'000 + 999)->state;
  }
  state.pending = test::drift_window(draws, reference, 77);
  return state;
}

}  // namespace

TEST_CASE("a drift state survives its file bit by bit") {
  for (const DriftState& state : {DriftState{}, some_state()}) {
    CHECK(parse_drift_state(print_drift_state(state)).value() == state);
  }
  CHECK(some_state().alarms > 0);
  CHECK(print_drift_state(some_state()).size() < 1'000);
}

TEST_CASE("a damaged drift state is refused by field") {
  const std::string good = print_drift_state(some_state());
  const auto refused = [&](const char* pointer, Json value) {
    Json document = Json::parse(good);
    document[Json::json_pointer(pointer)] = std::move(value);
    const auto parsed = parse_drift_state(document.dump());
    REQUIRE_FALSE(parsed);
    return parsed.error().context;
  };
  using Catch::Contains;
  CHECK_THAT(refused("/format", "ferry.drift/2"), Contains("ferry.drift/1"));
  CHECK_THAT(refused("/extra", 1), Contains("extra"));
  CHECK_THAT(refused("/sr", -1), Contains("sr"));
  CHECK_THAT(refused("/sr", 2e9), Contains("sr"));
  CHECK_THAT(refused("/sr", "1"), Contains("sr"));
  CHECK_THAT(refused("/run_log", 22), Contains("run_log"));
  CHECK_THAT(refused("/level", "critical"), Contains("level"));
  CHECK_THAT(refused("/level", 3), Contains("level"));
  CHECK_THAT(refused("/windows", -1), Contains("windows"));
  CHECK_THAT(refused("/alarms", 1'000'000), Contains("alarms"));
  CHECK_THAT(refused("/pending_start_ms", -5), Contains("pending_start_ms"));
  CHECK_THAT(refused("/last_alarm_ms", 1.5), Contains("last_alarm_ms"));
  CHECK_THAT(refused("/pending/classes", {1, -2}), Contains("pending.classes"));
  CHECK_THAT(refused("/pending/classes", {1, 2.5}), Contains("pending.classes"));
  CHECK_THAT(refused("/run/mnlp", {drift_counts_max, 1}), Contains("run.mnlp"));
  CHECK_THAT(refused("/run/mnlp", {drift_counts_max + 1}), Contains("run.mnlp"));
  CHECK_THAT(refused("/run/confidence", Json(std::vector<int>(drift_bins_max + 1, 0))), Contains("confidence"));
  CHECK_THAT(refused("/run/other", {1}), Contains("other"));
  CHECK_THAT(refused("/run", {1}), Contains("run"));
  CHECK(parse_drift_state("[]").error().code == Errc::bad_input);
  CHECK_FALSE(parse_drift_state(""));
  for (std::size_t cut = 0; cut < good.size(); cut += 13) CHECK_FALSE(parse_drift_state(good.substr(0, cut)));
}

TEST_CASE("the evidence of a report has every number that led to it") {
  test::Draws draws(2);
  const ReferenceProfile reference = test::drift_reference();
  DriftCounts counts = test::drift_window(draws, reference, 400, 0.2);
  counts[DriftFeature::mnlp].clear();
  const DriftStep step = *drift_step(reference, {}, {}, counts, 5, 10);
  REQUIRE(step.report);
  const DriftReport& report = *step.report;
  const Json json = drift_report_json(report);
  CHECK(json["start_ms"] == 5);
  CHECK(json["end_ms"] == 10);
  CHECK(json["e"] == report.window.e);
  CHECK(json["sr"] == report.sr);
  CHECK(json["alarm_at"] == 1'000.0);
  CHECK(json["alarm"] == report.alarm);
  CHECK(json["level"] == to_string(report.level));
  const Json& confidence = json["features"]["confidence"];
  CHECK(confidence["use"] == "tested");
  CHECK(confidence["n"] == 400);
  CHECK(confidence["n_ref"] == 10'000);
  CHECK(confidence["bins"] == 10);
  CHECK(confidence["chi_square"] == report.window[DriftFeature::confidence].statistic);
  CHECK(confidence["p"] == report.window[DriftFeature::confidence].p);
  CHECK(confidence["effect"]["tv"] == report.window[DriftFeature::confidence].effect.tv);
  CHECK(json["features"]["mnlp"] == Json{{"use", "missing"}, {"n", 0}, {"n_ref", 10'000}});
  CHECK(json["shift"]["confidence"]["psi"].get<double>() > 0);
  CHECK(json["estimated_accuracy"]["now"] < json["estimated_accuracy"]["reference"]);
  CHECK(json["relevant"] == true);
}
