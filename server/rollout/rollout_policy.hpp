// What a person asks of a rollout: phases, when to stop, whom to spare, who must agree.
#pragma once
#include "common/weekly_window.hpp"
#include "ota/slot_state.hpp"
#include "server/rollout/gate_policy.hpp"
#include "server/rollout/selector.hpp"

#include <optional>

namespace ferry::server {

inline constexpr std::size_t phases_max = 20;
inline constexpr std::int64_t phase_devices_max = 10'000'000;
inline constexpr std::int64_t soak_s_max = 30 * 86'400;
inline constexpr std::int64_t device_timeout_s_max = 30 * 86'400;
inline constexpr std::int64_t failures_max_max = 1'000'000;
inline constexpr std::int64_t in_flight_max_max = 1'000'000;
inline constexpr std::int64_t approvals_max = 10;
inline constexpr std::int64_t penalty_failures_max = 100;
inline constexpr std::int64_t penalty_s_max = 90 * 86'400;

// How many devices a phase holds, those of the phases before included: a share, a number, or those of a label.
struct Phase {
  std::int64_t percent = 0;  // 1 … 100; 0: told by one of the others
  std::int64_t soak_s = 0;
  std::int64_t devices = 0;          // 0: not by number
  std::optional<Selector> selector;  // beside the rollout's own
  bool operator==(const Phase&) const = default;
};

// Devices that share a value of this label: so many of them at most are on the way at once, so that a site keeps
// working.
struct SiteBudget {
  std::string label;
  std::int64_t devices_max = 1;
  bool operator==(const SiteBudget&) const = default;
};

// A device that failed so often, with releases that were good for others, is left alone: its trouble is its own and
// takes nothing from the release's allowance.
struct Penalty {
  std::int64_t failures = 3;
  std::int64_t within_s = 7 * 86'400;
  bool operator==(const Penalty&) const = default;
};

struct RolloutPolicy {
  std::vector<Phase> phases = {Phase{.percent = 100}};
  // When it stops: too many failures, or too large a share of those that have an outcome once there are enough of them.
  std::int64_t failures_max = 0;
  std::optional<std::int64_t> failures_percent_max;
  std::int64_t executed_min = 1;
  // A phase ends only when so many percent of its devices run the release.
  std::int64_t success_percent_min = 0;
  std::int64_t device_timeout_s = 900;
  std::int64_t in_flight_max = 0;  // devices on the way at once; 0: no limit
  std::optional<SiteBudget> site_budget;
  std::optional<WeeklyWindow> window;  // in each device's local time
  std::optional<Penalty> penalty;
  std::int64_t starts_ms = 0;  // 0: at once
  std::int64_t approvals = 0;  // of people other than the one who made it
  ota::TrialPolicy trial;
  std::optional<LiveGatePolicy> gate;  // absent: phases go on by trials alone
  bool operator==(const RolloutPolicy&) const = default;

  // Some device may have to wait although its phase has come.
  bool throttled() const { return in_flight_max != 0 || site_budget || window || penalty; }
  // The canaries of a live gate are those of a label: a person chose them.
  bool hand_picked() const { return gate && phases.front().selector.has_value(); }
  // How long a device may take, or stay away, before it is counted out. With a window it has one whole round of it
  // more.
  std::int64_t patience_ms() const { return (device_timeout_s + (window ? cycle_s(*window) : 0)) * 1000; }
};

// `value` may be null: all defaults. bad_input names the field; unknown members are refused.
Result<RolloutPolicy> parse_rollout_policy(const Json& value);
Json to_json(const RolloutPolicy& policy);
// "10 %", "5 devices", "label.ring=early"
std::string describe(const Phase& phase);

}  // namespace ferry::server
