// The pairs' evidence turned into columns, and columns into e-processes. Private to judge*.cpp.
#pragma once
#include "telemetry/judge.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ferry::telemetry::judge_internal {

constexpr double unats_per_nat = 1e6;
std::int64_t to_unats(double nats);

// From this many planned pairs on, shares are judged by their size (bets), below by their sign (STATS.md §4.4).
constexpr std::size_t bets_pairs_min = 20;

// What one frozen comparison says: how far beyond the margin, and how far each arm moved from its own baseline.
struct Entry {
  std::int64_t excess = 0;
  std::int64_t canary_shift = 0, control_shift = 0;
  bool has_baseline = true;
  bool silent = false;  // the canary, now
};

// One metric at one resolution, over all pairs that have got there.
struct Column {
  std::string metric;  // latency.p50
  std::int64_t resolution = 0;
  std::int64_t margin = 0, hedge = 0, tail = 0;  // hedge and tail: latency only
  std::vector<Entry> entries;
};

struct Metrics {
  std::vector<Column> p50, p99, errors, accuracy;
  std::int64_t silent_canaries = 0;
};
Metrics collect(const GateEvidence& evidence);

// All as evidence of harm. `slower_by` is added to every difference.
EComponent sign_of(const Column& column, std::int64_t slower_by, std::int64_t weight);
EComponent tail_of(const Column& column, std::int64_t slower_by, std::int64_t weight);
EComponent share_component(const Column& column, bool few_pairs);
EComponent coin_component(std::string name, std::int64_t up, std::int64_t down);

// Evidence that the metric is within its margin. Each silent canary counts against it, whatever it reported before.
ECertificate certificate(std::string name, bool guarded, const std::vector<Column>& columns,
                         std::int64_t silent_canaries);

// Canaries and controls alike moved away from their baselines: the inputs changed, and no pair test sees it.
bool world_changed(const Metrics& metrics, const JudgePolicy& policy);

}  // namespace ferry::telemetry::judge_internal
