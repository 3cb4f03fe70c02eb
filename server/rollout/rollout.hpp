// A rollout as a value: its plan (what a person asked for) and its progress (what happened).
#pragma once
#include "common/crypto.hpp"
#include "common/json.hpp"
#include "server/rollout/rollout_policy.hpp"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ferry::server {

inline constexpr std::size_t rollout_name_bytes_max = 200;
inline constexpr std::string_view reason_device_timeout = "device.timeout";
inline constexpr std::string_view reason_rollout_failures = "rollout.failures";
inline constexpr std::string_view reason_operator_abort = "operator.abort";
inline constexpr std::string_view reason_gate_silence = "gate.silence";
inline constexpr std::string_view reason_operator_rollback = "operator.rollback";
inline constexpr std::string_view reason_operator_denied = "operator.denied";
inline constexpr std::string_view reason_rollout_success = "rollout.success";
inline constexpr std::string_view reason_world_changed = "drift.world_changed";

enum class RolloutStatus { awaiting_approval, scheduled, running, paused, done, failed, aborted, denied };
std::string_view to_string(RolloutStatus status);
Result<RolloutStatus> parse_rollout_status(std::string_view text);
inline bool is_terminal(RolloutStatus status) { return status >= RolloutStatus::done; }

// Where one device is in one rollout. `waiting` is the absence of an entry, or the entry of one that is to be offered
// the release again.
enum class Progress {
  waiting,
  offered,
  downloading,
  staged,
  trial,
  committed,
  rolled_back,
  rejected,
  failed,
  refused,
  timed_out
};
inline constexpr std::size_t progress_count = 11;
std::string_view to_string(Progress progress);
Result<Progress> parse_progress(std::string_view text);
inline bool on_the_way(Progress p) { return p >= Progress::offered && p <= Progress::trial; }
inline bool counts_as_failed(Progress p) { return p >= Progress::rolled_back; }

struct DeviceProgress {
  Progress state = Progress::waiting;
  std::int64_t offered_ms = 0;
  std::int64_t since_ms = 0;  // of this state
  std::string reason;
  std::string site;           // its value of the site budget's label when it was offered the release
  std::int64_t attempts = 1;  // of offering it the release
  bool operator==(const DeviceProgress&) const = default;
};

// What never changes after creation.
struct RolloutPlan {
  std::string id;
  std::string name;
  std::string model;
  std::string version;
  std::string target;  // target path of the manifest
  Digest manifest_sha256;
  std::uint64_t manifest_length = 0;
  std::int64_t counter = 0;
  std::string from_version;  // current release when it was created; "" without one
  Selector selector;
  RolloutPolicy policy;
  std::vector<Pair> pairs;  // of the live gate; empty without one
  std::string salt;
  std::int64_t created_ms = 0;
  std::string created_by;
};

struct Approval {
  std::string by;
  std::int64_t at_ms = 0;
  bool operator==(const Approval&) const = default;
};

// What a step may change, beside devices.
struct RolloutHead {
  RolloutStatus status = RolloutStatus::running;
  std::string reason;
  std::int64_t revision = 1;  // of status and phase: what If-Match compares
  std::size_t phase = 0;
  std::int64_t phase_started_ms = 0;
  std::int64_t soak_until_ms = 0;  // 0: not soaking
  std::uint64_t threshold = 0;     // devices of rank <= threshold are in the phase, once `sized`
  bool sized = false;
  std::int64_t ended_ms = 0;
  bool gate_passed = false;  // the live gate has said pass
  std::string gate_reason;   // its last reason, "gate.…"; "" before its first word
  bool recalled = false;     // devices that took the release are ordered back
  std::vector<Approval> approvals;
  std::int64_t moved_ms = 0;        // of a throttled rollout: when a device last began or ended
  std::int64_t world_since_ms = 0;  // the change of the world that it was paused for last
  bool operator==(const RolloutHead&) const = default;
};

struct Rollout {
  RolloutPlan plan;
  RolloutHead head;
  std::map<std::string, DeviceProgress, std::less<>> devices;  // those that were offered it or reported on it
  std::array<std::int64_t, progress_count> counts{};           // of `devices` by state; kept by apply()
  std::map<std::string, std::int64_t, std::less<>> at_site;    // of `devices` on the way, by site; kept by apply()
  std::map<std::string, Arm, std::less<>> arms;                // of plan.pairs; made by index_pairs()

  bool gated() const { return plan.policy.gate.has_value(); }
  bool in_last_phase() const { return head.phase + 1 >= plan.policy.phases.size(); }
  Arm arm_of(std::string_view device) const;
  Progress progress_of(std::string_view device) const;
  std::int64_t count(Progress state) const { return counts[static_cast<std::size_t>(state)]; }
  std::int64_t failures() const;
  std::int64_t moving() const;  // offered … trial
};

// Once, when the plan is complete: arm_of() looks up what it made.
void index_pairs(Rollout& rollout);

// Head and plan as stored; the selector and policy in their wire forms.
Json to_json(const RolloutPlan& plan);
Result<RolloutPlan> rollout_plan_from_json(const Json& value);
Json to_json(const RolloutHead& head);
Json approvals_json(const std::vector<Approval>& approvals);
Result<RolloutHead> rollout_head_from_json(const Json& value);

// The place of a device in a rollout: uniform over 64 bits, different for each salt, the same for ever.
std::uint64_t rank_of(std::string_view salt, std::string_view device);

}  // namespace ferry::server
