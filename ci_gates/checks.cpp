#include "ci_gates/checks.hpp"

#include "ci_gates/comparison.hpp"
#include "ci_gates/statistics.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

namespace ferry::ci_gates {
namespace {

constexpr double alpha = 0.05;               // of the accuracy bound
constexpr double latency_confidence = 0.99;  // MLPerf's c
constexpr std::int64_t mib = 1024 * 1024;

Measurement accuracy(const Evaluation& seen, const GatePolicy& policy, const std::string& scope) {
  Measurement line{.id = "accuracy.top1@" + scope, .unit = "ppm", .threshold = double(policy.top1_ppm_min), .op = ">="};
  line.n = seen.correct.size();
  if (line.n == 0) {
    line.detail = "no labelled classification data: nothing is known about accuracy";
    return line;
  }
  const auto right = std::uint64_t(std::count(seen.correct.begin(), seen.correct.end(), '1'));
  line.value = std::floor(double(right) * 1e6 / double(line.n));
  line.low = std::floor(proportion_lower_bound(right, line.n, alpha) * 1e6);
  line.verdict = *line.low >= line.threshold ? Verdict::pass : Verdict::fail;
  line.detail = fmt::format("{} of {} right ({:.2f} %); at least {:.2f} % with 95 % confidence, required {:.2f} %",
                            right, line.n, line.value / 1e4, *line.low / 1e4, line.threshold / 1e4);
  return line;
}

Measurement accuracy_regression(const Evaluation& seen, const GatePolicy& policy, const std::string& scope) {
  Measurement line{
      .id = "accuracy.regression@" + scope, .unit = "ppm", .threshold = double(policy.accuracy_margin_ppm), .op = "<="};
  line.n = seen.correct.size();
  std::uint64_t lost = 0, won = 0;
  for (std::size_t i = 0; i < seen.correct.size(); ++i) {
    lost += seen.baseline_correct[i] == '1' && seen.correct[i] == '0';
    won += seen.baseline_correct[i] == '0' && seen.correct[i] == '1';
  }
  const PairedLoss loss = paired_accuracy_loss(lost, won, line.n);
  line.value = loss.loss * 1e6;
  line.low = loss.lower * 1e6;
  line.high = loss.upper * 1e6;
  line.verdict = *line.high <= line.threshold ? Verdict::pass
                 : *line.low > line.threshold ? Verdict::fail
                                              : Verdict::hold;
  line.detail = fmt::format(
      "lost {} and won {} of {} samples against the deployed release: loss {:+.2f} points, at least {:+.2f} and at "
      "most {:+.2f} with 95 % confidence each, margin {:.2f}",
      lost, won, line.n, line.value / 1e4, *line.low / 1e4, *line.high / 1e4, line.threshold / 1e4);
  return line;
}

Measurement latency(const Evaluation& seen, const GatePolicy& policy, const ota::Budget& budget,
                    const std::string& scope) {
  const std::int64_t own = budget.latency_p99_us.value_or(0);
  const std::int64_t limit = policy.latency_p99_us_max == 0 ? own
                             : own == 0                     ? policy.latency_p99_us_max
                                                            : std::min(own, policy.latency_p99_us_max);
  Measurement line{.id = "latency.p99@" + scope, .unit = "us", .threshold = double(limit), .op = "<="};
  std::vector<double> sorted = seen.latency.latencies_us;
  line.n = sorted.size();
  std::sort(sorted.begin(), sorted.end());
  const double bound = early_stopping_estimate(sorted, 0.99, latency_confidence);
  if (bound < 0) {
    line.detail = fmt::format("{} inferences are too few for a p99 with 99 % confidence (662 are needed)", line.n);
    return line;
  }
  line.value = sorted[std::size_t(std::ceil(0.99 * double(sorted.size()))) - 1];
  line.high = bound;
  line.verdict = limit == 0 || bound <= double(limit) ? Verdict::pass : Verdict::fail;
  line.detail = fmt::format(
      "p50 {:.0f} us, p99 {:.0f} us, at most {:.0f} us with 99 % confidence over {} inferences, limit {}",
      median(sorted), line.value, bound, line.n, limit == 0 ? std::string("none") : fmt::format("{} us", limit));
  return line;
}

Measurement latency_regression(const Evaluation& seen, const GatePolicy& policy, const std::string& scope) {
  Measurement line{
      .id = "latency.regression@" + scope, .unit = "ratio", .threshold = 1 + policy.latency_margin, .op = "<="};
  const Comparison compared = compare_blocks(seen.latency.log2_ratios(), policy.latency_margin);
  line.n = compared.pairs;
  line.value = compared.ratio;
  line.low = compared.low;
  line.high = compared.high;
  line.verdict = compared.verdict;
  if (line.n < block_pairs_min) {
    line.detail = fmt::format("{} block pairs in {} s, {} are needed: raise latency.seconds_max", line.n,
                              policy.latency_seconds_max, block_pairs_min);
    return line;
  }
  line.detail = fmt::format(
      "median latency is {:.3f} times the deployed release's [{:.3f}, {:.3f}], limit {:.3f}; {} of {} block pairs "
      "slower than that, evidence E {:.3g}, it fails at {:.0f}",
      line.value, *line.low, *line.high, line.threshold, compared.slower_pairs, line.n, std::exp(compared.log_e),
      1 / slower_alpha);
  return line;
}

Measurement load_time(const Evaluation& seen, const GatePolicy& policy, const std::string& scope) {
  Measurement line{.id = "load.time@" + scope,
                   .unit = "us",
                   .value = std::ceil(seen.load_ms * 1e3),
                   .threshold = double(policy.load_ms_max) * 1e3,
                   .op = "<="};
  line.n = 1;
  line.verdict = line.value <= line.threshold ? Verdict::pass : Verdict::fail;
  line.detail = fmt::format("loaded in {:.1f} ms in a new process, limit {} ms", seen.load_ms, policy.load_ms_max);
  return line;
}

Measurement model_size(const Evaluation& seen, const GatePolicy& policy, const std::string& scope) {
  constexpr double kib = 1024;
  Measurement line{.id = "model.size@" + scope,
                   .unit = "bytes",
                   .value = double(seen.model_bytes),
                   .threshold = double(policy.size_kib_max) * kib,
                   .op = "<="};
  line.n = 1;
  line.verdict = line.value <= line.threshold ? Verdict::pass : Verdict::fail;
  line.detail = fmt::format("{:.1f} KiB, limit {} KiB", line.value / kib, policy.size_kib_max);
  return line;
}

Measurement numerics(const Evaluation& seen, const std::string& scope) {
  Measurement line{
      .id = "numerics.finite@" + scope, .unit = "samples", .value = double(seen.with_nan), .threshold = 0, .op = "=="};
  line.n = seen.scanned;
  line.verdict = seen.with_nan > 0 ? Verdict::fail : seen.scanned == 0 ? Verdict::hold : Verdict::pass;
  line.detail = fmt::format("{} of {} output tensors over the data set hold NaN, {} an infinity", seen.with_nan,
                            seen.scanned, seen.with_infinity);
  return line;
}

// Of a manifest that another machine, or an earlier gate, has frozen.
Measurement golden_outputs(const Evaluation& seen, double tolerance, const std::string& scope) {
  Measurement line{.id = "golden.outputs@" + scope,
                   .unit = "difference",
                   .value = seen.golden_difference,
                   .threshold = tolerance,
                   .op = "<="};
  line.n = seen.golden_compared;
  line.verdict = seen.golden_error.empty() ? Verdict::pass : Verdict::fail;
  line.detail = seen.golden_error.empty()
                    ? fmt::format("{} frozen golden outputs, largest difference {:.3g}, tolerance {:.3g}", line.n,
                                  seen.golden_difference, tolerance)
                    : seen.golden_error;
  return line;
}

Measurement memory(const Evaluation& seen, const GatePolicy& policy, const ota::Budget& budget,
                   const std::string& scope) {
  const std::int64_t own = budget.memory_mib_or_default();
  const std::int64_t limit = policy.memory_peak_mib_max == 0 ? own : std::min(own, policy.memory_peak_mib_max);
  Measurement line{.id = "memory.peak@" + scope,
                   .unit = "bytes",
                   .value = double(seen.memory_peak_bytes),
                   .threshold = double(limit * mib),
                   .op = "<="};
  line.n = 1;
  line.verdict = seen.memory_peak_bytes == 0    ? Verdict::hold
                 : line.value <= line.threshold ? Verdict::pass
                                                : Verdict::fail;
  line.detail =
      fmt::format("{:.1f} MiB at its peak with the data set loaded, limit {} MiB", line.value / double(mib), limit);
  return line;
}

Measurement determinism(const Evaluation& seen, const std::string& scope) {
  Measurement line{.id = "golden.determinism@" + scope,
                   .unit = "samples",
                   .value = double(seen.golden.size()),
                   .threshold = double(seen.golden.size()),
                   .op = "=="};
  line.n = seen.golden.size();
  line.verdict = !seen.determinism_error.empty() ? Verdict::fail : seen.golden.empty() ? Verdict::hold : Verdict::pass;
  line.detail = seen.determinism_error.empty()
                    ? fmt::format("{} golden samples, each the same in three runs and two loads, free of NaN", line.n)
                    : seen.determinism_error;
  return line;
}

Measurement contract(std::string error, const std::string& scope) {
  Measurement line{.id = "contract.fits@" + scope,
                   .unit = "samples",
                   .value = error.empty() ? 1.0 : 0.0,
                   .threshold = 1,
                   .op = "=="};
  line.n = 1;
  line.verdict = error.empty() ? Verdict::pass : Verdict::fail;
  line.detail = error.empty() ? "inputs and outputs are those of the contract" : std::move(error);
  return line;
}

}  // namespace

std::vector<Measurement> check_variant(const Evaluation& seen, const GatePolicy& policy, const VariantLimits& limits,
                                       const std::string& scope) {
  std::vector<Measurement> lines{contract(seen.contract_error, scope)};
  if (!seen.contract_error.empty()) return lines;
  lines.push_back(accuracy(seen, policy, scope));
  if (!seen.baseline_correct.empty() && seen.baseline_correct.size() == seen.correct.size()) {
    lines.push_back(accuracy_regression(seen, policy, scope));
  }
  lines.push_back(latency(seen, policy, limits.budget, scope));
  if (!seen.latency.baseline_medians_us.empty()) lines.push_back(latency_regression(seen, policy, scope));
  lines.push_back(memory(seen, policy, limits.budget, scope));
  if (policy.load_ms_max > 0) lines.push_back(load_time(seen, policy, scope));
  if (policy.size_kib_max > 0) lines.push_back(model_size(seen, policy, scope));
  lines.push_back(numerics(seen, scope));
  lines.push_back(determinism(seen, scope));
  if (seen.golden_compared > 0) lines.push_back(golden_outputs(seen, limits.golden_tolerance, scope));
  return lines;
}

Measurement check_not_run(const Error& error, const std::string& scope) {
  Measurement line = contract(error.context + (error.reason.empty() ? "" : " (" + error.reason + ")"), scope);
  line.verdict = Verdict::fail;
  return line;
}

}  // namespace ferry::ci_gates
