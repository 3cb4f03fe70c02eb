#include "telemetry/judge_record.hpp"
#include "tests/telemetry/judge_world.hpp"

using namespace ferry::telemetry;
using namespace judge_world;

namespace {

std::string told(const GateEvidence& evidence) {
  std::string text;
  for (const std::string& line : explain({evidence, judge(evidence)})) text += line + "\n";
  return text;
}

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("a failed release is explained by the numbers that failed it") {
  const std::string text = told(evidence_of(std::vector<Shown>(10, {.p50 = 300'000, .p99 = 300'000}), 300));
  CHECK(text.starts_with("fail: "));
  CHECK(says(text, "harm from 20 on"));
  CHECK(says(text, "gate.latency: "));
  CHECK(says(text, "10 canaries did worse than their control beyond the margin and 0 did not"));
  CHECK_FALSE(says(text, "would have failed"));
}

TEST_CASE("no harm found says what would have been found") {
  std::vector<Shown> pairs(20, {.p50 = 80'000, .p99 = 80'000});
  for (std::size_t i = 0; i < 20; i += 2) pairs[i] = {.p50 = 40'000, .p99 = 40'000};
  const std::string text = told(evidence_of(pairs));
  CHECK(text.starts_with("pass: "));
  CHECK(says(text, "gate.no_harm_found: no harm found on 20 pairs"));
  CHECK(says(text, "slower, this evidence would have failed the release"));
}

TEST_CASE("a hold says what it waits for") {
  GateEvidence evidence = evidence_of(std::vector<Shown>(20), 300);
  for (std::size_t i = 3; i < 20; ++i) evidence.pairs[i].latency.clear();
  CHECK(says(told(evidence), "gate.few_pairs: 3 complete pairs, 20 needed"));
  CHECK(says(told(evidence), "gate.too_young: watched for 300 s, 7200 s needed"));
  evidence.age_s = 90'000;
  CHECK(says(told(evidence), "time limit has passed"));
  for (std::size_t i = 0; i < 7; ++i) evidence.pairs[i].canary_silent = true;
  CHECK(says(told(evidence), "7 of 20 canaries are silent or failed"));
  CHECK(says(told(evidence), "canary-6 is silent or failed since the update"));
}

TEST_CASE("small fleets and hand-picked canaries are told what can be concluded, and that a person decides") {
  GateEvidence small = evidence_of(std::vector<Shown>(1, {.p50 = 3'000'000}));
  small.pairs[0].within = WithinDevice{4'000'000, -2'000'000};
  const std::string text = told(small);
  CHECK(text.starts_with("hold: "));
  CHECK(says(text, "1 pair planned, fewer than 5: no test on so few pairs can reach the level"));
  CHECK(
      says(text, "canary-0 against its own past, slower by more than 24 %: e-value 54.6 at the median, 0.135 at p99"));
  GateEvidence picked = evidence_of(std::vector<Shown>(10, {.p50 = 300'000, .p99 = 300'000}));
  picked.randomised = false;
  CHECK(told(picked).starts_with("hold: "));
  CHECK(says(told(picked), "gate.latency: "));
  CHECK(says(told(picked), "gate.hand_picked: the canaries were chosen by hand"));
}

TEST_CASE("every reason has a sentence, and huge evidence prints") {
  VerdictRecord record{evidence_of(std::vector<Shown>(10)), {}};
  record.verdict = judge(record.evidence);
  for (int reason = 0; reason <= int(GateReason::no_harm_found); ++reason) {
    record.verdict.reasons = {GateReason(reason)};
    record.verdict.log_e_unats = 1'000'000'000'000'000;
    const auto text = explain(record);
    REQUIRE(text.size() >= 2);
    CHECK(says(text[0], "over 1000000"));
    CHECK(text[1].starts_with(std::string(to_string(GateReason(reason))) + ": "));
    CHECK(text[1].size() > std::string(to_string(GateReason(reason))).size() + 10);
  }
}
