// Proves a loaded model on this machine: golden outputs and latency over the golden inputs, through anything that
// infers.
#pragma once
#include "runtime/golden.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ferry::runtime {

struct Inference {
  std::vector<Tensor> outputs;
  std::chrono::nanoseconds took{};  // in the model alone
};
// Runs the model once: a session in this process (CI) or a worker behind a socket (device).
using InferFunction = std::function<Result<Inference>(const std::vector<Tensor>& inputs)>;

// Runs every sample once and compares. The first failure ends it.
Result<GoldenDifference> run_golden(const std::vector<GoldenSample>& samples, const GoldenRule& rule,
                                    const InferFunction& infer);

struct LatencyPlan {
  int warm_up = 10;  // runs that are not counted
  int runs_min = 100;
  int runs_max = 1000;
  std::chrono::nanoseconds time_max = std::chrono::seconds{3};  // after runs_min, stop when this has been spent
};

struct LatencyFigures {
  std::int64_t runs = 0;
  std::int64_t p50_us = 0;
  std::int64_t p99_us = 0;
  std::int64_t worst_us = 0;
  std::vector<std::int64_t> all_us;  // in order of time
};

// Cycles through the golden inputs. Stops with the first inference error.
Result<LatencyFigures> measure_latency(const std::vector<GoldenSample>& samples, const LatencyPlan& plan,
                                       const InferFunction& infer);

// Nearest-rank percentile (0 < share <= 1): the smallest value with at least share·n values at or below it. 0 when
// empty.
std::int64_t percentile(std::vector<std::int64_t> values, double share);

}  // namespace ferry::runtime
