#include "telemetry/internal/judge_metrics.hpp"

#include "telemetry/judge_eprocess.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace ferry::telemetry::judge_internal {
namespace {

constexpr double million = 1e6;

std::vector<Column> columns_for(const std::string& metric, const QuantilePolicy& policy) {
  std::vector<Column> made;
  for (const std::int64_t resolution : policy.resolutions)
    made.push_back({metric, resolution, policy.margin_uoct, policy.hedge_uoct, policy.tail_uoct, {}});
  return made;
}

std::vector<Column> columns_for(const std::string& metric, const SharePolicy& policy) {
  std::vector<Column> made;
  for (const std::int64_t resolution : policy.resolutions)
    made.push_back({metric, resolution, policy.margin_ppm, 0, 0, {}});
  return made;
}

template <class Comparison>
void add(std::vector<Column>& columns, const Comparison& made, bool has_baseline, bool silent) {
  for (Column& column : columns) {
    if (column.resolution != made.resolution) continue;
    column.entries.push_back({made.difference() - column.margin, made.canary_now - made.canary_before,
                              made.control_now - made.control_before, has_baseline, silent});
  }
}

std::string named(const Column& column, const char* test) {
  return column.metric + "." + test + "@" + std::to_string(column.resolution);
}

EComponent scored(std::string name, std::int64_t weight, const ScoreCounts& counts) {
  EComponent made{.name = std::move(name), .weight = weight};
  for (int score = 1; score <= score_max; ++score) {
    made.up += counts[std::size_t(score_max + score)];
    made.down += counts[std::size_t(score_max - score)];
  }
  made.log_e_unats = to_unats(log_e_scores(counts));
  return made;
}

// Fair coins. Two priors: the first lets few pairs conclude, the second forgives a few that contradict.
double coins(std::int64_t up, std::int64_t down) {
  static const std::array<double, 2> kappas{kappa_for(10, 0.05), kappa_for(30, 0.05)};
  const std::array<double, 2> logs{log_e_up(double(up), double(down), 0.5, kappas[0]),
                                   log_e_up(double(up), double(down), 0.5, kappas[1])};
  return log_mean_exp(logs);
}

// The median shift of one arm; 0 with fewer than `pairs_min` pairs that have a baseline.
std::int64_t median_shift(const Column& column, std::int64_t Entry::*shift, std::int64_t pairs_min) {
  std::vector<std::int64_t> shifts;
  for (const Entry& entry : column.entries) {
    if (entry.has_baseline) shifts.push_back(entry.*shift);
  }
  if (shifts.empty() || std::int64_t(shifts.size()) < pairs_min) return 0;
  const auto middle = shifts.begin() + std::ptrdiff_t(shifts.size() / 2);
  std::nth_element(shifts.begin(), middle, shifts.end());
  return *middle;
}

bool moved_alike(const std::vector<Column>& columns, std::int64_t limit, std::int64_t pairs_min) {
  return std::any_of(columns.begin(), columns.end(), [&](const Column& column) {
    const std::int64_t canary = median_shift(column, &Entry::canary_shift, pairs_min);
    const std::int64_t control = median_shift(column, &Entry::control_shift, pairs_min);
    return (canary > limit && control > limit) || (canary < -limit && control < -limit);
  });
}

}  // namespace

std::int64_t to_unats(double nats) { return std::llround(std::clamp(nats, -1e9, 1e9) * unats_per_nat); }

Metrics collect(const GateEvidence& evidence) {
  const JudgePolicy& policy = evidence.policy;
  Metrics metrics{columns_for("latency.p50", policy.p50), columns_for("latency.p99", policy.p99),
                  columns_for("errors", policy.errors), columns_for("accuracy", policy.accuracy)};
  for (const PairEvidence& pair : evidence.pairs) {
    const bool silent = pair.started && pair.canary_silent;
    metrics.silent_canaries += silent;
    for (const LatencyComparison& made : pair.latency) {
      if (made.quantile_ppm == policy.p50.quantile_ppm) add(metrics.p50, made, true, silent);
      if (made.quantile_ppm == policy.p99.quantile_ppm) add(metrics.p99, made, true, silent);
    }
    for (const ShareComparison& made : pair.errors) add(metrics.errors, made, made.has_baseline, silent);
    for (const ShareComparison& made : pair.accuracy) add(metrics.accuracy, made, made.has_baseline, silent);
  }
  return metrics;
}

EComponent sign_of(const Column& column, std::int64_t slower_by, std::int64_t weight) {
  ScoreCounts counts{};
  for (const Entry& entry : column.entries) {
    const std::int64_t score = (entry.excess + slower_by) * score_max / column.hedge;  // towards zero
    ++counts[std::size_t(std::clamp<std::int64_t>(score, -score_max, score_max) + score_max)];
  }
  return scored(named(column, "sign"), weight, counts);
}

EComponent tail_of(const Column& column, std::int64_t slower_by, std::int64_t weight) {
  ScoreCounts counts{};
  for (const Entry& entry : column.entries) {
    const std::int64_t excess = entry.excess + slower_by;
    if (excess > column.tail) ++counts.back();
    if (excess < -column.tail) ++counts.front();
  }
  return scored(named(column, "tail"), weight, counts);
}

EComponent coin_component(std::string name, std::int64_t up, std::int64_t down) {
  return {std::move(name), 1, up, down, to_unats(coins(up, down))};
}

EComponent share_component(const Column& column, bool few_pairs) {
  std::int64_t up = 0, down = 0;
  std::vector<double> values;
  for (const Entry& entry : column.entries) {
    up += entry.excess > 0;
    down += entry.excess < 0;
    values.push_back(double(entry.excess + column.margin) / million);
  }
  if (few_pairs) return coin_component(named(column, "sign"), up, down);
  return {named(column, "bets"), 1, up, down, to_unats(log_e_bets(values, double(column.margin) / million))};
}

ECertificate certificate(std::string name, bool guarded, const std::vector<Column>& columns,
                         std::int64_t silent_canaries) {
  std::vector<double> logs;
  for (const Column& column : columns) {
    std::int64_t within = 0, beyond = silent_canaries;
    for (const Entry& entry : column.entries) {
      within += !entry.silent && entry.excess < 0;
      beyond += !entry.silent && entry.excess > 0;
    }
    logs.push_back(coins(within, beyond));
  }
  return {std::move(name), guarded, to_unats(log_mean_exp(logs))};
}

bool world_changed(const Metrics& metrics, const JudgePolicy& policy) {
  return moved_alike(metrics.p50, policy.world_latency_uoct, policy.pairs_min) ||
         moved_alike(metrics.p99, policy.world_latency_uoct, policy.pairs_min) ||
         moved_alike(metrics.errors, policy.world_share_ppm, policy.pairs_min) ||
         moved_alike(metrics.accuracy, policy.world_share_ppm, policy.pairs_min);
}

}  // namespace ferry::telemetry::judge_internal
