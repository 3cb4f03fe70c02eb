// What the live gate applies: levels, margins, weights, sample sizes and limits (STATS.md §4.4-4.6). A value.
#pragma once
#include "common/json.hpp"
#include "common/result.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace ferry::telemetry {

// Differences of latency are in micro-octaves: 1'000'000 doubles the latency, one histogram bucket is 31'250 exactly.
constexpr std::int64_t octave_uoct = 1'000'000;
constexpr std::int64_t bucket_uoct = octave_uoct / 32;

// One quantile of latency and how it is compared.
struct QuantilePolicy {
  std::int64_t quantile_ppm = 0;               // 500'000 or 990'000
  std::vector<std::int64_t> resolutions;       // inferences on both sides at which a pair's value is frozen; rising
  std::int64_t margin_uoct = 2 * bucket_uoct;  // tolerated slow-down: 2 buckets, 4.43 %
  std::int64_t hedge_uoct = 3 * bucket_uoct;   // pairs nearer to the margin count in proportion in the sign test
  std::int64_t tail_uoct = 0;                  // tail-sign looks at pairs further than this from the margin
  bool operator==(const QuantilePolicy&) const = default;
};

// A share (errors among inferences, wrong among audited labels) and how it is compared.
struct SharePolicy {
  std::vector<std::int64_t> resolutions;  // observations on both sides; rising
  std::int64_t margin_ppm = 0;            // tolerated increase
  bool operator==(const SharePolicy&) const = default;
};

// Shares of the rollout's evidence; any positive whole numbers. The defaults are STATS.md §4.4.
struct JudgeWeights {
  std::int64_t latency = 3, silence = 1, errors = 1, accuracy = 1;
  bool operator==(const JudgeWeights&) const = default;
};

// The defaults are the product's; a demo shortens times and counts and nothing else.
struct JudgePolicy {
  std::int64_t alpha_ppm = 50'000;  // chance of ever failing a harmless release, at most; 10'000 for unattended fleets
  std::int64_t beta_ppm = 50'000;   // chance of ever certifying a metric that is worse than its margin, at most
  QuantilePolicy p50{.quantile_ppm = 500'000, .resolutions = {300, 900, 2'700}, .tail_uoct = 321'928};    // log2 1.25
  QuantilePolicy p99{.quantile_ppm = 990'000, .resolutions = {600, 1'800, 3'600}, .tail_uoct = 584'963};  // log2 1.5
  SharePolicy errors{.resolutions = {300, 900, 2'700}, .margin_ppm = 10'000};
  SharePolicy accuracy{.resolutions = {50, 200}, .margin_ppm = 20'000};
  bool accuracy_guarded = false;  // true: no pass without audited labels on enough pairs
  JudgeWeights weights;
  std::int64_t pairs_min = 5;        // below, no pair test can conclude (2^4 < 1/alpha): a person decides
  std::int64_t pairs_pass_min = 20;  // complete pairs for "no harm found"; all pairs where fewer were planned
  std::int64_t age_pass_min_s = 7'200;
  std::int64_t age_max_s = 86'400;  // still undecided then: `expired`
  std::int64_t silent_after_s = 900;
  std::int64_t silent_share_max_ppm = 300'000;  // of the canaries that have started
  std::int64_t world_latency_uoct = 321'928;    // canary and control both moved by more: the world changed
  std::int64_t world_share_ppm = 50'000;        // the same for errors and audited mistakes
  std::int64_t within_device_margin_uoct = 10 * bucket_uoct;  // small fleets: each canary against its own past, 24.2 %
  bool operator==(const JudgePolicy&) const = default;
};

// bad_input naming the field, what it must be and why. Everything that judges takes a checked policy.
Result<> check_policy(const JudgePolicy& policy);

// Absent members keep their defaults, unknown ones are refused (people write policies). The result is checked.
Result<JudgePolicy> judge_policy_from_json(const Json& object);
Json to_json(const JudgePolicy& policy);

}  // namespace ferry::telemetry
