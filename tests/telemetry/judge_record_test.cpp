#include "telemetry/judge_record.hpp"

#include "tests/telemetry/judge_world.hpp"

#include <nlohmann/json.hpp>

using namespace ferry::telemetry;
using namespace judge_world;
using ferry::Errc;
using ferry::Json;

namespace {

VerdictRecord judged(const GateEvidence& evidence) { return {evidence, judge(evidence)}; }

// The refusal of a record with one thing changed.
template <class Spoil>
std::string refusal(Spoil spoil) {
  Json document = Json::parse(print_verdict(judged(evidence_of(std::vector<Shown>(6)))));
  spoil(document);
  const auto parsed = parse_verdict(document.dump());
  return parsed ? "" : parsed.error().context;
}

}  // namespace

TEST_CASE("any verdict survives its record, and the record gives the same verdict again, byte for byte") {
  std::mt19937_64 engine(31);
  for (int round = 0; round < 40; ++round) {
    VerdictRecord record = judged(any_evidence(engine));
    if (round % 5 == 0) {
      for (PairEvidence& pair : record.evidence.pairs) pair.within = WithinDevice{std::int64_t(engine() % 100) - 50, 7};
    }
    REQUIRE(check_evidence(record.evidence));
    const std::string printed = print_verdict(record);
    const auto parsed = parse_verdict(printed);
    REQUIRE(parsed);
    REQUIRE(*parsed == record);
    REQUIRE(print_verdict(*parsed) == printed);
    REQUIRE(recompute(*parsed) == record.verdict);
    REQUIRE(print_verdict({parsed->evidence, recompute(*parsed)}) == printed);
  }
}

TEST_CASE("a record that was tampered with no longer gives its own verdict") {
  const VerdictRecord honest = judged(evidence_of(std::vector<Shown>(10, {.p50 = 300'000, .p99 = 300'000})));
  REQUIRE(honest.verdict.decision == Decision::fail);
  VerdictRecord pardoned = honest;
  pardoned.verdict.decision = Decision::pass;
  CHECK_FALSE(recompute(pardoned) == pardoned.verdict);
  for (std::size_t i = 0; i < 10; ++i) {
    VerdictRecord softened = honest;
    softened.evidence.pairs[i].latency.front().canary_now -= 400'000;
    CHECK_FALSE(recompute(softened) == softened.verdict);
  }
}

TEST_CASE("a record holds whole numbers only, so it prints alike on every machine") {
  std::mt19937_64 engine(32);
  const Json document = Json::parse(print_verdict(judged(any_evidence(engine))));
  const std::function<void(const Json&)> walk = [&](const Json& value) {
    REQUIRE_FALSE(value.is_number_float());
    for (const Json& item : value) {
      if (value.is_structured()) walk(item);
    }
  };
  walk(document);
  CHECK(document["format"] == "ferry.verdict/1");
}

TEST_CASE("a record that does not hold together is refused with the field") {
  CHECK(refusal([](Json&) {}).empty());
  CHECK(refusal([](Json& d) { d["format"] = "ferry.verdict/2"; }).find("ferry.verdict/1") != std::string::npos);
  CHECK(refusal([](Json& d) { d["policy"]["alpha_ppm"] = 0; }).find("alpha_ppm") != std::string::npos);
  CHECK(refusal([](Json& d) { d["age_s"] = -1; }).find("age_s") != std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][1]["canary"] = d["pairs"][0]["control"]; }).find("two pairs") !=
        std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["first_silent"] = "nobody"; }).find("first_silent") != std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["canary"] = nullptr; }).find("canary") != std::string::npos);
  // A comparison twice would count its pair twice.
  CHECK(refusal([](Json& d) { d["pairs"][0]["latency"][1] = d["pairs"][0]["latency"][0]; }).find("each once") !=
        std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["errors"][1] = d["pairs"][0]["errors"][0]; }).find("errors.resolution") !=
        std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["latency"][0]["resolution"] = 301; }).find("not in the policy") !=
        std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["latency"][5]["quantile_ppm"] = 999'000; }).find("quantile_ppm") !=
        std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["latency"][0]["canary"][1] = 64'000'001; }).find("64 octaves") !=
        std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["latency"][0]["canary"][0] = nullptr; }).find("baseline") !=
        std::string::npos);
  CHECK(refusal([](Json& d) {
          d["pairs"][0]["latency"][0]["canary"] = {1, 2, 3};
        }).find("canary") != std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["errors"][0]["canary"][1] = 1'000'001; }).find("shares") !=
        std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["errors"][0]["canary"][0] = nullptr; }).find("baseline") !=
        std::string::npos);
  CHECK(refusal([](Json& d) { d["pairs"][0]["latency"][0]["canary"][1] = 0.5; }).find("integer") != std::string::npos);
  CHECK(refusal([](Json& d) { d["verdict"]["decision"] = "perhaps"; }).find("decision") != std::string::npos);
  CHECK(refusal([](Json& d) { d["verdict"]["reasons"] = {"gate.mood"}; }).find("reasons") != std::string::npos);
  CHECK(refusal([](Json& d) { d["verdict"]["groups"][0]["parts"][0].erase("up"); }).find("up") != std::string::npos);
  CHECK(refusal([](Json& d) { d.erase("verdict"); }).find("verdict") != std::string::npos);
  CHECK_FALSE(parse_verdict("").has_value());
  CHECK_FALSE(parse_verdict("[]").has_value());
  CHECK(parse_verdict(R"({"format":"ferry.verdict/9"})").error().code == Errc::unsupported);
}

TEST_CASE("members that are not known yet are ignored in a record, where policies refuse them") {
  CHECK(refusal([](Json& d) { d["pairs"][0]["drift"] = 1; }).empty());
  CHECK(refusal([](Json& d) { d["verdict"]["note"] = "x"; }).empty());
  CHECK_FALSE(refusal([](Json& d) { d["policy"]["note"] = "x"; }).empty());
}

TEST_CASE("a thousand pairs fit into a record; one more is refused") {
  GateEvidence evidence = evidence_of(std::vector<Shown>(gate_pairs_max));
  CHECK(check_evidence(evidence));
  const std::string printed = print_verdict({evidence, {}});
  CHECK(printed.size() < verdict_bytes_max);
  evidence.pairs.push_back(pair_that_shows(gate_pairs_max, {}));
  CHECK(check_evidence(evidence).error().context.find("at most 1000") != std::string::npos);
}
