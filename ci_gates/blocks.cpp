#include "ci_gates/blocks.hpp"

#include "ci_gates/comparison.hpp"

#include <time.h>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace ferry::ci_gates {
namespace {

struct Block {
  double median_us = 0;
  std::size_t runs = 0;
};

double microseconds(Nanoseconds took) { return std::chrono::duration<double, std::micro>(took).count(); }

// Runs blocks of one model on the order of inputs; every block says where in the order it begins.
class BlockRunner {
 public:
  BlockRunner(const std::vector<std::size_t>& order, const Now& now) : order_(order), now_(now) {}

  Result<Block> run(const TimedRun& model, std::size_t first, std::vector<double>* keep) const {
    std::vector<double> latencies_us;
    latencies_us.reserve(block_runs);
    const Nanoseconds started = now_();
    while (latencies_us.size() < block_runs && (latencies_us.empty() || now_() - started < block_time_max)) {
      TRY(const Nanoseconds took, model(order_[(first + latencies_us.size()) % order_.size()]));
      latencies_us.push_back(microseconds(took));
    }
    if (keep) {
      const std::size_t room = latencies_max - std::min(latencies_max, keep->size());
      const auto end = latencies_us.begin() + std::ptrdiff_t(std::min(room, latencies_us.size()));
      keep->insert(keep->end(), latencies_us.begin(), end);
    }
    const std::size_t runs = latencies_us.size();
    return Block{median(std::move(latencies_us)), runs};
  }

 private:
  const std::vector<std::size_t>& order_;
  const Now& now_;
};

// One model's warm-up so far.
struct WarmUp {
  std::vector<double> medians_us;
  std::size_t runs = 0;

  void add(const Block& block) {
    medians_us.push_back(block.median_us);
    runs += block.runs;
  }
  bool settled() const {
    if (medians_us.size() < settled_blocks) return false;
    const auto [least, most] = std::minmax_element(medians_us.end() - std::ptrdiff_t(settled_blocks), medians_us.end());
    return *most <= *least * settled_spread_max;
  }
};

// Both models in turns, as later. True when both had settled before the time was over.
Result<bool> warm_up(const BlockRunner& runner, const TimedRun& candidate, const TimedRun& baseline, const Now& now) {
  WarmUp own, deployed;
  const Nanoseconds started = now();
  for (std::size_t block = 0; block < warm_up_blocks_max; ++block) {
    TRY(const Block seen, runner.run(candidate, block * block_runs, nullptr));
    own.add(seen);
    if (baseline) {
      TRY(const Block other, runner.run(baseline, block * block_runs, nullptr));
      deployed.add(other);
    }
    const Nanoseconds passed = now() - started;
    const bool enough = passed >= warm_up_time_min ||
                        (own.runs >= warm_up_runs_min && (!baseline || deployed.runs >= warm_up_runs_min));
    if (enough && own.settled() && (!baseline || deployed.settled())) return true;
    if (passed >= warm_up_time_max) break;
  }
  return false;
}

// A B B A A B B A …: slow drift of the machine falls on both alike.
Result<> run_pair(const BlockRunner& runner, const TimedRun& candidate, const TimedRun& baseline, std::size_t pair,
                  Blocks& into) {
  const bool candidate_first = pair % 2 == 0;
  for (const bool own : {candidate_first, !candidate_first}) {
    TRY(const Block block,
        runner.run(own ? candidate : baseline, pair * block_runs, own ? &into.latencies_us : nullptr));
    (own ? into.medians_us : into.baseline_medians_us).push_back(block.median_us);
  }
  return {};
}

bool more_pairs(const std::vector<double>& log2_ratios, const BlockPlan& plan, Nanoseconds passed) {
  if (log2_ratios.empty() || log2_ratios.size() < plan.pairs_min) return true;
  return passed < plan.comparison_time_max && !is_decided(log2_ratios, plan.margin);
}

}  // namespace

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

std::vector<double> Blocks::log2_ratios() const {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(medians_us.size(), baseline_medians_us.size()); ++i)
    ratios.push_back(std::log2(medians_us[i] / baseline_medians_us[i]));
  return ratios;
}

Nanoseconds monotonic_raw() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &at);
  return std::chrono::seconds{at.tv_sec} + Nanoseconds{at.tv_nsec};
}

std::vector<std::size_t> input_order(std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937_64 engine(seed);
  // std::shuffle may differ between libraries; a repeated gate feeds the same order.
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[engine() % i]);
  return order;
}

Result<Blocks> measure_blocks(const TimedRun& candidate, const TimedRun& baseline, std::size_t inputs,
                              const BlockPlan& plan, const Now& now) {
  const std::vector<std::size_t> order = input_order(inputs);
  const BlockRunner runner(order, now);
  Blocks seen;
  TRY(seen.settled, warm_up(runner, candidate, baseline, now));
  const Nanoseconds started = now();
  std::size_t runs = 0;
  if (baseline) {
    std::vector<double> log2_ratios;
    for (std::size_t pair = 0; more_pairs(log2_ratios, plan, now() - started); ++pair) {
      TRY_VOID(run_pair(runner, candidate, baseline, pair, seen));
      log2_ratios.push_back(std::log2(seen.medians_us.back() / seen.baseline_medians_us.back()));
    }
    runs = seen.latencies_us.size();
  }
  // What the percentile needs beyond the comparison, of the candidate alone: it changes no pair.
  for (std::size_t block = seen.medians_us.size(); runs < plan.samples; ++block) {
    TRY(const Block more, runner.run(candidate, block * block_runs, &seen.latencies_us));
    if (!baseline) seen.medians_us.push_back(more.median_us);
    runs += more.runs;
  }
  seen.seconds = std::chrono::duration<double>(now() - started).count();
  return seen;
}

}  // namespace ferry::ci_gates
