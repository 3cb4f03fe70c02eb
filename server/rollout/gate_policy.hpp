// The live gate's part of a rollout policy, and its pairs. The first phase of a gated rollout are the canaries, each
// matched with a control that keeps the old release until the last phase (STATS.md §4.4).
#pragma once
#include "common/json.hpp"
#include "telemetry/judge_policy.hpp"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ferry::server {

inline constexpr std::int64_t gated_percent_max = 50;  // of the first phase: every canary needs a control
inline constexpr std::int64_t warm_up_s_max = 3600;
inline constexpr std::size_t strata_labels_max = 4;

struct LiveGatePolicy {
  telemetry::JudgePolicy judge;
  std::int64_t warm_up_s = 60;      // after a canary's commit: not counted, on either side
  std::vector<std::string> strata;  // label names that canary and control must share, beside the hardware class
  bool operator==(const LiveGatePolicy&) const = default;
};
// {"warm_up_s", "strata", "judge"}; absent members keep their defaults. bad_input names the field.
Result<LiveGatePolicy> parse_live_gate_policy(const Json& value);
Json to_json(const LiveGatePolicy& policy);

// One canary and its control, frozen when the rollout is made.
struct Pair {
  std::string canary;
  std::string control;
  std::string stratum;
  bool operator==(const Pair&) const = default;
};
Json to_json(const std::vector<Pair>& pairs);
Result<std::vector<Pair>> pairs_from_json(const Json& value);

// A device's part in a gated rollout.
enum class Arm { none, canary, control };
std::string_view to_string(Arm arm);

}  // namespace ferry::server
