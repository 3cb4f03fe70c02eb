// Golden run and latency over a function that infers.
#include "runtime/self_test.hpp"
#include "tests/runtime/onnx_builder.hpp"

#include <catch2/catch.hpp>

using namespace ferry;
using namespace ferry::runtime;
using namespace std::chrono_literals;

namespace {

std::vector<GoldenSample> samples_of(int count) {
  std::vector<GoldenSample> samples;
  for (int at = 0; at < count; ++at) {
    auto value = static_cast<float>(at);
    samples.push_back({at, -1, {test::float_tensor("x", {1}, {value})}, {test::float_tensor("y", {1}, {2 * value})}});
  }
  return samples;
}

Inference doubled(const std::vector<Tensor>& inputs, std::chrono::nanoseconds took) {
  auto values = test::floats_of(inputs.at(0).bytes);
  return {{test::float_tensor("y", {1}, {2 * values.at(0)})}, took};
}

}  // namespace

TEST_CASE("percentiles are nearest-rank") {
  std::vector<std::int64_t> hundred;
  for (int at = 100; at >= 1; --at) hundred.push_back(at);
  CHECK(percentile(hundred, 0.50) == 50);
  CHECK(percentile(hundred, 0.99) == 99);
  CHECK(percentile(hundred, 1.0) == 100);
  CHECK(percentile(hundred, 0.07) == 7);
  CHECK(percentile({5}, 0.99) == 5);
  CHECK(percentile({1, 2, 3}, 0.0001) == 1);
  CHECK(percentile({}, 0.5) == 0);
}

TEST_CASE("the golden run stops at the first sample that differs and names it") {
  int runs = 0;
  auto infer = [&](const std::vector<Tensor>& inputs) -> Result<Inference> {
    ++runs;
    auto answer = doubled(inputs, 1us);
    if (runs == 3) answer.outputs[0] = test::float_tensor("y", {1}, {99});
    return answer;
  };
  auto result = run_golden(samples_of(5), {0.1, ""}, infer);
  REQUIRE(!result);
  CHECK(runs == 3);
  CHECK_THAT(result.error().context, Catch::Contains("golden sample 2"));
}

TEST_CASE("an inference error keeps its own reason in the golden run and in the latency run") {
  auto infer = [](const std::vector<Tensor>&) -> Result<Inference> {
    return Error{Errc::no_space, "bad_alloc", "trial.memory"};
  };
  CHECK(run_golden(samples_of(1), {0, ""}, infer).error().reason == "trial.memory");
  CHECK(measure_latency(samples_of(1), {}, infer).error().reason == "trial.memory");
}

TEST_CASE("latency counts neither warm-up nor the time between runs, and stops when time or runs are spent") {
  int runs = 0;
  auto infer = [&](const std::vector<Tensor>& inputs) -> Result<Inference> {
    ++runs;
    return doubled(inputs, runs <= 10 ? 1s : std::chrono::microseconds{runs});
  };
  LatencyPlan plan;
  plan.time_max = 0s;
  auto figures = measure_latency(samples_of(3), plan, infer);
  REQUIRE(figures);
  CHECK(runs == plan.warm_up + plan.runs_min);
  CHECK(figures->runs == plan.runs_min);
  CHECK(figures->p50_us == 60);  // 11 … 110
  CHECK(figures->p99_us == 109);
  CHECK(figures->worst_us == 110);
  CHECK(figures->all_us.front() == 11);

  runs = 0;
  plan.time_max = 1h;
  figures = measure_latency(samples_of(3), plan, infer);
  REQUIRE(figures);
  CHECK(figures->runs == plan.runs_max);
  CHECK(!measure_latency({}, plan, infer));
}
