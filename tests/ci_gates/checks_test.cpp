#include "ci_gates/checks.hpp"

#include <functional>

using namespace ferry;
using namespace ferry::ci_gates;

namespace {

const std::string scope = "x86_64-avx2-2c-16g-cpu/fp32";

Evaluation good() {
  Evaluation seen;
  seen.correct = std::string(900, '1') + std::string(100, '0');
  for (int i = 0; i < 1'000; ++i) seen.latency.latencies_us.push_back(1'000 + i % 100);
  seen.load_ms = 12.5;
  seen.model_bytes = 100 * 1024;
  seen.scanned = 16;
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
  CHECK(lines.size() == 6);  // neither load nor size is limited, nothing is frozen, nothing is deployed
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
  seen.latency.latencies_us.resize(661);
  const auto lines = check_variant(seen, policy(), {}, scope);
  CHECK(find(lines, "latency.p99").verdict == Verdict::hold);
  CHECK(find(lines, "latency.p99").detail.find("662") != std::string::npos);
}

TEST_CASE("the stricter of the policy's and the variant's own latency limit holds") {
  ota::Budget budget;
  budget.latency_p99_us = 1'050;
  CHECK(find(check_variant(good(), policy(), {budget, 0}, scope), "latency.p99").verdict == Verdict::fail);
  budget.latency_p99_us = 90'000;
  CHECK(find(check_variant(good(), policy(), {budget, 0}, scope), "latency.p99").threshold == 50'000);
}

TEST_CASE("a few slow inferences fail a p99 limit that a median would never see") {
  Evaluation seen = good();
  for (int i = 0; i < 30; ++i) seen.latency.latencies_us[std::size_t(i) * 33] = 80'000;
  CHECK(find(check_variant(seen, policy(), {}, scope), "latency.p99").verdict == Verdict::fail);
}

TEST_CASE("against the deployed release: clearly slower fails, equal passes, in between holds") {
  Evaluation seen = good();
  const auto verdict_with = [&](double factor, double jitter, std::size_t pairs = 20) {
    seen.latency.medians_us.assign(pairs, 100 * factor);
    seen.latency.baseline_medians_us.clear();
    for (std::size_t i = 0; i < pairs; ++i)
      seen.latency.baseline_medians_us.push_back(100 * (1 + jitter * (double(i % 5) - 2)));
    return find(check_variant(seen, policy(), {}, scope), "latency.regression").verdict;
  };
  CHECK(verdict_with(1.0, 0.01) == Verdict::pass);
  CHECK(verdict_with(1.5, 0.01) == Verdict::fail);
  CHECK(verdict_with(1.1, 0.01) == Verdict::fail);
  CHECK(verdict_with(1.04, 0.04) == Verdict::hold);
  CHECK(verdict_with(1.0, 0.01, 19) == Verdict::hold);
  CHECK(find(check_variant(seen, policy(), {}, scope), "latency.regression").detail.find("19 block pairs") !=
        std::string::npos);
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
  CHECK(verdict_with(15, 0) == Verdict::hold);  // more than a point, but perhaps by chance
}

TEST_CASE("each check's verdict for each of its states") {
  using Change = std::function<void(Evaluation&, GatePolicy&)>;
  const auto memory = [](std::uint64_t mib) {
    return [mib](Evaluation& seen, GatePolicy&) { seen.memory_peak_bytes = mib * 1024 * 1024; };
  };
  const auto load = [](double ms) {
    return [ms](Evaluation& seen, GatePolicy& asked) {
      seen.load_ms = ms;
      asked.load_ms_max = 20;
    };
  };
  const auto size = [](std::uint64_t kib) {
    return [kib](Evaluation& seen, GatePolicy& asked) {
      seen.model_bytes = kib * 1024;
      asked.size_kib_max = 64;
    };
  };
  const auto finite = [](std::uint64_t scanned, std::uint64_t nan, std::uint64_t infinity) {
    return [=](Evaluation& seen, GatePolicy&) {
      seen.scanned = scanned;
      seen.with_nan = nan;
      seen.with_infinity = infinity;
    };
  };
  const auto golden = [](std::size_t samples, const char* error) {
    return [=](Evaluation& seen, GatePolicy&) {
      seen.golden.resize(samples);
      seen.determinism_error = error;
    };
  };
  const auto frozen = [](const char* error) {
    return [=](Evaluation& seen, GatePolicy&) {
      seen.golden_compared = 3;
      seen.golden_error = error;
    };
  };
  const auto right = [](std::size_t count, std::size_t total) {
    return [=](Evaluation& seen, GatePolicy&) {
      seen.correct = std::string(count, '1') + std::string(total - count, '0');
    };
  };
  const auto inferences = [](std::size_t count, double us) {
    return [=](Evaluation& seen, GatePolicy&) { seen.latency.latencies_us.assign(count, us); };
  };
  const std::tuple<const char*, Change, Verdict> table[] = {
      {"accuracy.top1", right(0, 0), Verdict::hold},
      {"accuracy.top1", right(900, 1'000), Verdict::pass},
      {"accuracy.top1", right(860, 1'000), Verdict::fail},  // its bound is below 85 %
      {"accuracy.top1", right(0, 1'000), Verdict::fail},
      {"latency.p99", inferences(0, 0), Verdict::hold},
      {"latency.p99", inferences(661, 1), Verdict::hold},
      {"latency.p99", inferences(662, 50'000), Verdict::pass},
      {"latency.p99", inferences(662, 50'001), Verdict::fail},
      {"memory.peak", memory(0), Verdict::hold},
      {"memory.peak", memory(512), Verdict::pass},
      {"memory.peak", memory(513), Verdict::fail},
      {"load.time", load(20), Verdict::pass},
      {"load.time", load(20.01), Verdict::fail},
      {"model.size", size(64), Verdict::pass},
      {"model.size", size(65), Verdict::fail},
      {"numerics.finite", finite(0, 0, 0), Verdict::hold},
      {"numerics.finite", finite(9, 0, 0), Verdict::pass},
      {"numerics.finite", finite(9, 0, 9), Verdict::pass},  // infinities are told, not judged
      {"numerics.finite", finite(9, 1, 0), Verdict::fail},
      {"golden.determinism", golden(0, ""), Verdict::hold},
      {"golden.determinism", golden(2, ""), Verdict::pass},
      {"golden.determinism", golden(2, "differs"), Verdict::fail},
      {"golden.determinism", golden(0, "cannot be written"), Verdict::fail},
      {"golden.outputs", frozen(""), Verdict::pass},
      {"golden.outputs", frozen("sample 3 differs"), Verdict::fail},
  };
  for (const auto& [check, change, expected] : table) {
    Evaluation seen = good();
    GatePolicy asked = policy();
    change(seen, asked);
    const auto lines = check_variant(seen, asked, {}, scope);
    const Measurement& line = find(lines, check);
    INFO(check << ": " << line.detail);
    CHECK(line.verdict == expected);
    CHECK(!line.detail.empty());
    CHECK(overall(lines) == expected);  // all others pass
  }
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
