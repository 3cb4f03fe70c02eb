#include "tests/sim/gate/gate_run.hpp"

#include "tests/sim/gate/rivals.hpp"

namespace ferry::sim {
namespace {

using namespace telemetry;

DeviceCounts counts_of(const std::vector<MinuteSketch>& minutes) {
  MinuteSketch sum;
  for (const MinuteSketch& minute : minutes) sum.merge(minute);
  DeviceCounts made;
  made.latency = sum.to_histogram();
  return made;
}

PairEvidence pair_named(std::size_t i) {
  PairEvidence pair;
  pair.canary = "canary-" + std::to_string(i);
  pair.control = "control-" + std::to_string(i);
  return pair;
}

// A look changes nothing between two resolutions; the rest need not be computed.
bool at_resolution(const JudgePolicy& policy, std::uint64_t before, std::uint64_t now) {
  for (const auto* list : {&policy.p50.resolutions, &policy.p99.resolutions, &policy.errors.resolutions}) {
    for (const std::int64_t resolution : *list) {
      if (before < std::uint64_t(resolution) && now >= std::uint64_t(resolution)) return true;
    }
  }
  return false;
}

}  // namespace

int run_gate(const FleetTrace& trace, const JudgePolicy& policy) {
  const std::size_t pairs = trace.canaries.size();
  GateEvidence evidence;
  evidence.policy = policy;
  std::vector<PairBaseline> baselines;
  std::vector<MinuteSketch> canaries(pairs), controls(pairs);
  for (std::size_t i = 0; i < pairs; ++i) {
    evidence.pairs.push_back(pair_named(i));
    baselines.push_back({counts_of(trace.canaries[i].before), counts_of(trace.controls[i].before)});
  }
  for (std::size_t minute = 0; minute < trace.canaries.front().after.size(); ++minute) {
    evidence.age_s = 60 * std::int64_t(minute + 1);
    bool changed = false;
    for (std::size_t i = 0; i < pairs; ++i) {
      const std::uint64_t before = canaries[i].count();
      canaries[i].merge(trace.canaries[i].after[minute]);
      controls[i].merge(trace.controls[i].after[minute]);
      if (!at_resolution(policy, before, canaries[i].count())) continue;
      PairLook look{.started = true};
      look.canary.counts.latency = canaries[i].to_histogram();
      look.control.counts.latency = controls[i].to_histogram();
      evidence.pairs[i] = observe(std::move(evidence.pairs[i]), baselines[i], look, policy, false);
      changed = true;
    }
    if (changed && judge(evidence).decision == Decision::fail) return int(minute) + 1;
  }
  return never;
}

int pairs_needed(const FleetTrace& trace, const JudgePolicy& policy, int minutes) {
  GateEvidence evidence;
  evidence.policy = policy;
  const std::size_t pairs = trace.canaries.size();
  for (std::size_t i = 0; i < pairs; ++i) evidence.pairs.push_back(pair_named(i));
  for (std::size_t i = 0; i < pairs; ++i) {
    const PairBaseline baseline{counts_of(trace.canaries[i].before), counts_of(trace.controls[i].before)};
    MinuteSketch canary, control;
    for (std::size_t minute = 0; minute < std::size_t(minutes); ++minute) {
      const std::uint64_t before = canary.count();
      canary.merge(trace.canaries[i].after[minute]);
      control.merge(trace.controls[i].after[minute]);
      if (!at_resolution(policy, before, canary.count())) continue;
      PairLook look{.started = true};
      look.canary.counts.latency = canary.to_histogram();
      look.control.counts.latency = control.to_histogram();
      evidence.pairs[i] = observe(std::move(evidence.pairs[i]), baseline, look, policy, false);
    }
    evidence.age_s = std::int64_t(i + 1) * minutes * 60;
    if (judge(evidence).decision == Decision::fail) return int(i) + 1;
  }
  return never;
}

}  // namespace ferry::sim
