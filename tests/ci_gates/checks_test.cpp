#include "ci_gates/checks.hpp"

using namespace ferry;
using namespace ferry::ci_gates;

namespace {

const std::string scope = "x86_64-avx2-2c-16g-cpu/fp32";

Evaluation good() {
  Evaluation seen;
  seen.correct = std::string(900, '1') + std::string(100, '0');
  for (int i = 0; i < 1'000; ++i) seen.latencies_us.push_back(1'000 + i % 100);
  seen.memory_peak_bytes = 100 * 1024 * 1024;
  seen.golden.resize(4);
  return seen;
}

GatePolicy policy() {
  GatePolicy made;
  made.top1_ppm_min = 850'000;
  made.latency_p99_us_max = 50'000;
  made.memory_peak_mib_max = 512;
  return made;
}

const Measurement& find(const std::vector<Measurement>& lines, const std::string& metric) {
  for (const Measurement& line : lines) {
    if (line.id == metric + "@" + scope) return line;
  }
  throw std::runtime_error("no measurement " + metric);
}

}  // namespace

TEST_CASE("a release within its budgets passes every check, each with its numbers") {
  const auto lines = check_variant(good(), policy(), {}, scope);
  CHECK(overall(lines) == Verdict::pass);
  CHECK(find(lines, "accuracy.top1").value == 900'000);
  CHECK(*find(lines, "accuracy.top1").low < 900'000);
  CHECK(find(lines, "latency.p99").n == 1'000);
  CHECK(lines.size() == 5);
}

TEST_CASE("accuracy fails by its confidence bound, not by its point estimate") {
  GatePolicy strict = policy();
  strict.top1_ppm_min = 895'000;  // 90.0 % were right, but 1,000 samples cannot prove 89.5 %
  CHECK(find(check_variant(good(), strict, {}, scope), "accuracy.top1").verdict == Verdict::fail);
}

TEST_CASE("without labelled data accuracy holds: nothing is known") {
  Evaluation seen = good();
  seen.correct.clear();
  CHECK(overall(check_variant(seen, policy(), {}, scope)) == Verdict::hold);
}

TEST_CASE("too few inferences hold the latency check and say how many are needed") {
  Evaluation seen = good();
  seen.latencies_us.resize(661);
  const auto lines = check_variant(seen, policy(), {}, scope);
  CHECK(find(lines, "latency.p99").verdict == Verdict::hold);
  CHECK(find(lines, "latency.p99").detail.find("662") != std::string::npos);
}

TEST_CASE("the stricter of the policy's and the variant's own latency limit holds") {
  ota::Budget budget;
  budget.latency_p99_us = 1'050;
  CHECK(find(check_variant(good(), policy(), budget, scope), "latency.p99").verdict == Verdict::fail);
  budget.latency_p99_us = 90'000;
  CHECK(find(check_variant(good(), policy(), budget, scope), "latency.p99").threshold == 50'000);
}

TEST_CASE("a few slow inferences fail a p99 limit that a median would never see") {
  Evaluation seen = good();
  for (int i = 0; i < 30; ++i) seen.latencies_us[std::size_t(i) * 33] = 80'000;
  CHECK(find(check_variant(seen, policy(), {}, scope), "latency.p99").verdict == Verdict::fail);
}

TEST_CASE("against the deployed release: clearly slower fails, equal passes, in between holds") {
  Evaluation seen = good();
  const auto verdict_with = [&](double factor, double jitter) {
    seen.baseline_latencies_us.clear();
    for (std::size_t i = 0; i < seen.latencies_us.size(); ++i) {
      const double wobble = 1 + jitter * (double((i / latency_block_runs) % 5) - 2);
      seen.baseline_latencies_us.push_back(seen.latencies_us[i] / factor * wobble);
    }
    return find(check_variant(seen, policy(), {}, scope), "latency.regression").verdict;
  };
  CHECK(verdict_with(1.0, 0.01) == Verdict::pass);
  CHECK(verdict_with(1.5, 0.01) == Verdict::fail);
  CHECK(verdict_with(1.1, 0.05) == Verdict::hold);
  seen.latencies_us.resize(662);
  CHECK(verdict_with(1.0, 0.0) == Verdict::hold);  // 13 block pairs are too few
}

TEST_CASE("against the deployed release: accuracy that is certainly within the margin passes, certainly beyond fails") {
  Evaluation seen = good();
  const auto verdict_with = [&](std::size_t lost, std::size_t won) {
    seen.baseline_correct = seen.correct;
    for (std::size_t i = 0; i < won; ++i) seen.baseline_correct[i] = '0';
    for (std::size_t i = 0; i < lost; ++i) seen.baseline_correct[999 - i] = '1';
    return find(check_variant(seen, policy(), {}, scope), "accuracy.regression").verdict;
  };
  CHECK(verdict_with(0, 0) == Verdict::pass);
  CHECK(verdict_with(50, 0) == Verdict::fail);
  CHECK(verdict_with(8, 0) == Verdict::hold);
}

TEST_CASE("memory beyond the budget fails; an unknown peak holds") {
  Evaluation seen = good();
  seen.memory_peak_bytes = 600ull * 1024 * 1024;
  CHECK(find(check_variant(seen, policy(), {}, scope), "memory.peak").verdict == Verdict::fail);
  seen.memory_peak_bytes = 0;
  CHECK(find(check_variant(seen, policy(), {}, scope), "memory.peak").verdict == Verdict::hold);
}

TEST_CASE("a model that answers differently twice fails") {
  Evaluation seen = good();
  seen.determinism_error = "sample 3: two runs of the same input gave different outputs";
  CHECK(find(check_variant(seen, policy(), {}, scope), "golden.determinism").verdict == Verdict::fail);
}

TEST_CASE("a model that does not fit its contract, or does not run at all, fails with that one line") {
  Evaluation seen = good();
  seen.contract_error = "input image: not in the model";
  const auto lines = check_variant(seen, policy(), {}, scope);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].verdict == Verdict::fail);
  const Measurement died =
      check_not_run(Error{Errc::gate_failed, "the model killed its process", "trial.crash"}, scope);
  CHECK(died.verdict == Verdict::fail);
  CHECK(died.detail.find("trial.crash") != std::string::npos);
}
