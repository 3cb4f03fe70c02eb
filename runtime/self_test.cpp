// Golden run and latency measurement over an InferFunction.
#include "runtime/self_test.hpp"

#include <algorithm>
#include <cmath>

namespace ferry::runtime {

Result<GoldenDifference> run_golden(const std::vector<GoldenSample>& samples, const GoldenRule& rule,
                                    const InferFunction& infer) {
  GoldenDifference worst;
  for (const auto& sample : samples) {
    auto answer = infer(sample.inputs);
    if (!answer) return std::move(answer).error().within("golden sample " + std::to_string(sample.sample));
    TRY(auto difference, compare_golden(sample, answer->outputs, rule));
    if (difference.largest > worst.largest || worst.output.empty()) worst = difference;
  }
  return worst;
}

Result<LatencyFigures> measure_latency(const std::vector<GoldenSample>& samples, const LatencyPlan& plan,
                                       const InferFunction& infer) {
  if (samples.empty()) return Error{Errc::bad_input, "latency: no golden samples to run"};
  LatencyFigures figures;
  std::vector<std::int64_t> microseconds;
  std::chrono::nanoseconds spent{};
  for (int run = 0; run < plan.warm_up + plan.runs_max; ++run) {
    if (run >= plan.warm_up + plan.runs_min && spent >= plan.time_max) break;
    const auto& sample = samples[static_cast<std::size_t>(run) % samples.size()];
    auto answer = infer(sample.inputs);
    if (!answer) return std::move(answer).error().within("latency run " + std::to_string(run));
    if (run < plan.warm_up) continue;
    spent += answer->took;
    microseconds.push_back(std::chrono::ceil<std::chrono::microseconds>(answer->took).count());
  }
  figures.runs = static_cast<std::int64_t>(microseconds.size());
  figures.p50_us = percentile(microseconds, 0.50);
  figures.p99_us = percentile(microseconds, 0.99);
  figures.worst_us = percentile(microseconds, 1.0);
  figures.all_us = std::move(microseconds);
  return figures;
}

std::int64_t percentile(std::vector<std::int64_t> values, double share) {
  if (values.empty()) return 0;
  // The small slack keeps 0.07 * 100 (7.000000000000001 in binary) at rank 7.
  auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size()) - 1e-9));
  rank = std::clamp<std::size_t>(rank, 1, values.size());
  auto at = values.begin() + static_cast<std::ptrdiff_t>(rank - 1);
  std::ranges::nth_element(values, at);
  return *at;
}

}  // namespace ferry::runtime
