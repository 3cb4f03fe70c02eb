// What one verdict costs: a rollout of many pairs with every resolution frozen.
#include "tests/sim/gate/gate_run.hpp"
#include "tests/sim/gate/tables.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace ferry::sim {
namespace {

using namespace telemetry;
using Steady = std::chrono::steady_clock;

double milliseconds_since(Steady::time_point start) {
  return std::chrono::duration<double, std::milli>(Steady::now() - start).count();
}

}  // namespace

std::vector<Goal> judge_cost(int pairs, int repeats) {
  FleetModel model;
  model.pairs = 1;
  GateEvidence evidence;
  evidence.age_s = 3'600;
  double observing = 0;
  Dice dice(1);
  for (int i = 0; i < pairs; ++i) {
    const FleetTrace trace = simulate(model, {}, std::uint64_t(i) + 1);
    const auto total = [](const std::vector<MinuteSketch>& minutes) {
      MinuteSketch sum;
      for (const MinuteSketch& minute : minutes) sum.merge(minute);
      DeviceCounts counts;
      counts.latency = sum.to_histogram();
      counts.errors = 3;
      counts.audited = 400;
      counts.audited_correct = 380;
      return counts;
    };
    const PairBaseline baseline{total(trace.canaries[0].before), total(trace.controls[0].before)};
    PairLook look{.started = true};
    look.canary.counts = total(trace.canaries[0].after);
    look.control.counts = total(trace.controls[0].after);
    look.canary.counts.audited_correct -= dice.next() % 20;
    const auto start = Steady::now();
    evidence.pairs.push_back(observe({}, baseline, look, evidence.policy, false));
    observing += milliseconds_since(start);
  }
  std::vector<double> times;
  std::int64_t kept = 0;
  for (int i = 0; i < repeats; ++i) {
    const auto start = Steady::now();
    kept += judge(evidence).log_e_unats;
    times.push_back(milliseconds_since(start));
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  std::printf(
      "\nCost, %d pairs, every resolution frozen: verdict median %.3f ms, worst of %d %.3f ms; freezing them all "
      "once %.2f ms (evidence %lld)\n",
      pairs, median, repeats, times.back(), observing, static_cast<long long>(kept / repeats));
  char text[32];
  std::snprintf(text, sizeof text, "%.3f ms", median);
  return {{"one verdict over " + std::to_string(pairs) + " pairs: at most 1 ms", text, median <= 1}};
}

}  // namespace ferry::sim
