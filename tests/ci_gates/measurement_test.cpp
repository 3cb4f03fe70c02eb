#include "ci_gates/measurement.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::ci_gates;

TEST_CASE("the gate fails if any check fails, holds if any holds and none fails, and no check is no evidence") {
  const auto overall_of = [](const std::vector<Verdict>& verdicts) {
    std::vector<Measurement> lines;
    for (const Verdict verdict : verdicts) lines.push_back({.verdict = verdict});
    return overall(lines);
  };
  const Verdict all[] = {Verdict::pass, Verdict::hold, Verdict::fail};
  CHECK(overall_of({}) == Verdict::hold);
  for (const Verdict a : all) {
    CHECK(overall_of({a}) == a);
    for (const Verdict b : all) {
      for (const Verdict c : all) {
        const bool fails = a == Verdict::fail || b == Verdict::fail || c == Verdict::fail;
        const bool holds = a == Verdict::hold || b == Verdict::hold || c == Verdict::hold;
        CHECK(overall_of({a, b, c}) == (fails ? Verdict::fail : holds ? Verdict::hold : Verdict::pass));
      }
    }
  }
}

TEST_CASE("a measurement's JSON has bounds only where the verdict used one") {
  Measurement line{.id = "latency.p99@x/fp32", .unit = "us", .value = 150, .threshold = 50'000, .op = "<="};
  line.n = 1'000;
  line.verdict = Verdict::pass;
  line.detail = "p50 100 us";
  CHECK(to_json(line) == Json::parse(R"({"id": "latency.p99@x/fp32", "unit": "us", "value": 150.0, "threshold": 50000.0,
    "op": "<=", "n": 1000, "verdict": "pass", "detail": "p50 100 us"})"));
  line.high = 180;
  CHECK(to_json(line)["high"] == 180);
  CHECK(!to_json(line).contains("low"));
}
