// Makes evidence for tests of the judge: pairs with given differences, at every resolution or at some.
#pragma once
#include "telemetry/judge.hpp"

#include <random>
#include <string>
#include <vector>

namespace judge_world {

using ferry::telemetry::FirstSilent;
using ferry::telemetry::GateEvidence;
using ferry::telemetry::JudgePolicy;
using ferry::telemetry::PairEvidence;
using ferry::telemetry::ShareComparison;
using ferry::telemetry::SharePolicy;

// What a pair shows, the same at every resolution of the default policy.
struct Shown {
  std::int64_t p50 = 0, p99 = 0;          // difference of latency, micro-octaves
  std::int64_t errors = 0, accuracy = 0;  // difference of shares, ppm
  std::int64_t control_shift = 0;         // both arms' latency moved by this, too
  bool labels = true;
};

inline const Shown slower{.p50 = 300'000, .p99 = 300'000};
inline const Shown alike{};
inline std::vector<Shown> same(std::size_t pairs, const Shown& shown) { return std::vector<Shown>(pairs, shown); }

inline PairEvidence pair_that_shows(std::size_t i, const Shown& shown, const JudgePolicy& policy = {}) {
  PairEvidence pair;
  pair.canary = "canary-" + std::to_string(i);
  pair.control = "control-" + std::to_string(i);
  pair.stratum = "x86_64-2c";
  pair.started = true;
  constexpr std::int64_t before = -6'000'000;  // about 16 ms
  for (const auto& [quantile, difference] : {std::pair{&policy.p50, shown.p50}, {&policy.p99, shown.p99}}) {
    for (const std::int64_t resolution : quantile->resolutions) {
      pair.latency.push_back({quantile->quantile_ppm, resolution, before, before + shown.control_shift + difference,
                              before, before + shown.control_shift, std::string(64, 'a')});
    }
  }
  const auto shares = [](std::vector<ShareComparison>& list, const SharePolicy& shared, std::int64_t difference) {
    for (const std::int64_t resolution : shared.resolutions)
      list.push_back({resolution, true, 0, difference > 0 ? difference : 0, 0, difference < 0 ? -difference : 0});
  };
  shares(pair.errors, policy.errors, shown.errors);
  if (shown.labels) shares(pair.accuracy, policy.accuracy, shown.accuracy);
  return pair;
}

inline GateEvidence evidence_of(const std::vector<Shown>& pairs, std::int64_t age_s = 10'000) {
  GateEvidence evidence;
  evidence.age_s = age_s;
  for (std::size_t i = 0; i < pairs.size(); ++i) evidence.pairs.push_back(pair_that_shows(i, pairs[i]));
  return evidence;
}

inline void silence(PairEvidence& pair) {
  pair.canary_silent = true;
  if (pair.first_silent == FirstSilent::none) pair.first_silent = FirstSilent::canary;
}

// Anything that check_evidence lets through, from a seed.
inline GateEvidence any_evidence(std::mt19937_64& engine, std::size_t pairs_max = 40) {
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine);
  };
  GateEvidence evidence;
  evidence.randomised = draw(0, 9) > 0;
  evidence.age_s = draw(0, 100'000);
  evidence.policy.pairs_pass_min = draw(5, 30);
  evidence.policy.accuracy_guarded = draw(0, 1) == 1;
  const std::int64_t pairs = draw(0, std::int64_t(pairs_max)), harm = draw(-100'000, 300'000);
  for (std::int64_t i = 0; i < pairs; ++i) {
    PairEvidence pair = pair_that_shows(std::size_t(i),
                                        {.p50 = harm + draw(-200'000, 200'000),
                                         .p99 = harm + draw(-400'000, 400'000),
                                         .errors = draw(-20'000, 40'000),
                                         .accuracy = draw(-100'000, 100'000),
                                         .control_shift = draw(-100'000, 100'000),
                                         .labels = draw(0, 1) == 1},
                                        evidence.policy);
    pair.latency.resize(std::size_t(draw(0, std::int64_t(pair.latency.size()))));
    if (draw(0, 9) == 0) pair.errors.clear();
    pair.canary_silent = draw(0, 9) == 0;
    pair.control_silent = draw(0, 9) == 0;
    pair.first_silent = FirstSilent(draw(0, 3));
    if (draw(0, 9) == 0) pair = PairEvidence{.canary = pair.canary, .control = pair.control};
    evidence.pairs.push_back(std::move(pair));
  }
  return evidence;
}

}  // namespace judge_world
