#include "ci_gates/checks.hpp"

#include "ci_gates/statistics.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>

namespace ferry::ci_gates {
namespace {

constexpr double alpha = 0.05;               // of the accuracy bound
constexpr double latency_confidence = 0.99;  // MLPerf's c
constexpr std::int64_t mib = 1024 * 1024;
constexpr std::size_t block_pairs_min = 20;  // STATS.md §5.2.4

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

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
  line.high = loss.upper * 1e6;
  line.verdict = *line.high <= line.threshold  ? Verdict::pass
                 : line.value > line.threshold ? Verdict::fail
                                               : Verdict::hold;
  line.detail = fmt::format(
      "lost {} and won {} of {} samples against the deployed release: loss {:+.2f} points, at most {:+.2f} "
      "with 95 % confidence, margin {:.2f}",
      lost, won, line.n, line.value / 1e4, *line.high / 1e4, line.threshold / 1e4);
  return line;
}

Measurement latency(const Evaluation& seen, const GatePolicy& policy, const ota::Budget& budget,
                    const std::string& scope) {
  const std::int64_t own = budget.latency_p99_us.value_or(0);
  const std::int64_t limit = policy.latency_p99_us_max == 0 ? own
                             : own == 0                     ? policy.latency_p99_us_max
                                                            : std::min(own, policy.latency_p99_us_max);
  Measurement line{.id = "latency.p99@" + scope, .unit = "us", .threshold = double(limit), .op = "<="};
  line.n = seen.latencies_us.size();
  std::vector<double> sorted = seen.latencies_us;
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
  std::vector<double> differences;
  const std::size_t blocks = std::min(seen.latencies_us.size(), seen.baseline_latencies_us.size()) / latency_block_runs;
  for (std::size_t block = 0; block < std::min(blocks, shift_pairs_max); ++block) {
    const auto block_median = [&](const std::vector<double>& values) {
      const auto first = values.begin() + std::ptrdiff_t(block * latency_block_runs);
      return median({first, first + std::ptrdiff_t(latency_block_runs)});
    };
    differences.push_back(std::log2(block_median(seen.latencies_us) / block_median(seen.baseline_latencies_us)));
  }
  line.n = differences.size();
  if (line.n < block_pairs_min) {
    line.detail = fmt::format("{} block pairs, {} are needed: raise latency.samples to {}", line.n, block_pairs_min,
                              block_pairs_min * latency_block_runs);
    return line;
  }
  const ShiftEstimate shift = hodges_lehmann(differences);
  line.value = std::exp2(shift.shift);
  line.low = std::exp2(shift.low);
  line.high = std::exp2(shift.high);
  line.verdict = *line.high <= line.threshold ? Verdict::pass
                 : *line.low > line.threshold ? Verdict::fail
                                              : Verdict::hold;
  line.detail = fmt::format(
      "median latency is {:.3f} times the deployed release's [{:.3f}, {:.3f}] over {} block pairs, limit {:.3f}",
      line.value, *line.low, *line.high, line.n, line.threshold);
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
                    ? fmt::format("{} golden samples, each the same in two runs and free of NaN", line.n)
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

std::vector<Measurement> check_variant(const Evaluation& seen, const GatePolicy& policy, const ota::Budget& budget,
                                       const std::string& scope) {
  std::vector<Measurement> lines{contract(seen.contract_error, scope)};
  if (!seen.contract_error.empty()) return lines;
  lines.push_back(accuracy(seen, policy, scope));
  if (!seen.baseline_correct.empty() && seen.baseline_correct.size() == seen.correct.size()) {
    lines.push_back(accuracy_regression(seen, policy, scope));
  }
  lines.push_back(latency(seen, policy, budget, scope));
  if (!seen.baseline_latencies_us.empty()) lines.push_back(latency_regression(seen, policy, scope));
  lines.push_back(memory(seen, policy, budget, scope));
  lines.push_back(determinism(seen, scope));
  return lines;
}

Measurement check_not_run(const Error& error, const std::string& scope) {
  Measurement line = contract(error.context + (error.reason.empty() ? "" : " (" + error.reason + ")"), scope);
  line.verdict = Verdict::fail;
  return line;
}

}  // namespace ferry::ci_gates
