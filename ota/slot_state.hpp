// The durable state of one model's slots and of its update, as docs/formats/slots.md writes it. Values and codec only.
#pragma once
#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/json.hpp"
#include "common/result.hpp"
#include "common/weekly_window.hpp"
#include "ota/manifest.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ferry::ota {

inline constexpr std::size_t rejected_max = 64;  // oldest dropped; floor and counter still protect
inline constexpr int trial_boots_max = 3;        // restarts a trial survives
inline constexpr std::size_t slot_state_bytes_max = 256 * 1024;
inline constexpr std::size_t message_bytes_max = 2048;  // a report's message; longer ones are cut

enum class SlotName { a, b };
std::string_view to_string(SlotName slot);
Result<SlotName> parse_slot(std::string_view text);
inline SlotName other(SlotName slot) { return slot == SlotName::a ? SlotName::b : SlotName::a; }

// The server's words on how a trial runs (device-api.md). Values outside their range are bad_input.
struct TrialPolicy {
  std::int64_t trial_deadline_s = 600;
  std::int64_t shadow_requests = 50;
  std::int64_t shadow_s_max = 60;
  std::int64_t probation_requests = 100;
  std::int64_t probation_s = 30;
  std::int64_t error_share_max_ppm = 10'000;
  std::int64_t download_attempts_max = 5;
  std::optional<WeeklyWindow> window;  // the trial begins only inside it, in the device's local time
  bool operator==(const TrialPolicy&) const = default;
};
Json to_json(const TrialPolicy& policy);
Result<TrialPolicy> trial_policy_from_json(const Json& value);

// What the server assigned: everything a device needs to find and judge the release again after a restart.
struct AssignedRelease {
  std::string version;
  std::int64_t counter = 0;
  Digest manifest_sha256;
  std::string target;        // "<model>/<version>/manifest.json"
  std::uint64_t length = 0;  // of the manifest, bytes
  std::string rollout;       // "" for a release that is simply current
  std::string arm = "none";  // canary | control | none
  TrialPolicy policy;
  bool operator==(const AssignedRelease&) const = default;
};
Json to_json(const AssignedRelease& release);
Result<AssignedRelease> assigned_release_from_json(const Json& value);

// A committed release in a slot. A candidate's slot has no entry until it is committed.
struct SlotEntry {
  std::string version;
  std::int64_t counter = 0;
  Digest manifest_sha256;
  std::string variant;
  std::string variant_reason;
  std::string rollout;
  std::string arm = "none";
  bool operator==(const SlotEntry&) const = default;
};

struct Rejection {
  Digest manifest_sha256;
  std::string version;
  std::string reason;
  std::int64_t at_ms = 0;
  bool operator==(const Rejection&) const = default;
};

enum class TrialStage { prove, shadow, probation };
std::string_view to_string(TrialStage stage);

struct Idle {
  bool operator==(const Idle&) const = default;
};
struct Downloading {
  AssignedRelease release;
  std::int64_t attempt = 1;
  std::int64_t started_ms = 0;
  bool operator==(const Downloading&) const = default;
};
// The bytes of a candidate, verified and durable in `slot`.
struct Staged {
  AssignedRelease release;
  SlotName slot = SlotName::a;
  std::string variant;
  std::string variant_reason;
  bool operator==(const Staged&) const = default;
};
struct Trial {
  AssignedRelease release;
  SlotName slot = SlotName::a;
  std::string variant;
  std::string variant_reason;
  TrialStage stage = TrialStage::prove;
  std::int64_t deadline_ms = 0;
  int boots_left = trial_boots_max;
  bool took_over = false;  // it has answered live requests at some time of this trial
  bool operator==(const Trial&) const = default;
};
struct RollingBack {
  AssignedRelease release;
  SlotName slot = SlotName::a;  // the candidate's: its bytes are erased
  std::string variant;
  std::string reason;  // reasons.md
  std::string message;
  bool took_over = false;
  bool operator==(const RollingBack&) const = default;
};
using UpdateState = std::variant<Idle, Downloading, Staged, Trial, RollingBack>;
std::string_view name_of(const UpdateState& update);           // "idle" …
const AssignedRelease* release_of(const UpdateState& update);  // null when idle

enum class ReportState { downloading, staged, trial, committed, rolled_back, rejected, failed, refused, slot_lost };
std::string_view to_string(ReportState state);

// What the last transition has to tell the server. Part of the state, so that it is told exactly once however often
// the device restarts: the event spool ignores a number that it already has.
struct Report {
  std::int64_t number = 0;  // 0: nothing reported yet; grows by one with each report
  ReportState state = ReportState::failed;
  std::string version;
  Digest manifest_sha256;
  std::string rollout;
  std::string reason;
  std::string message;
  std::string variant;
  std::string slot;
  std::int64_t at_ms = 0;
  bool operator==(const Report&) const = default;
};

struct SlotState {
  std::string model;
  std::optional<SlotEntry> a;
  std::optional<SlotEntry> b;
  std::optional<SlotName> active;   // names a slot with an entry
  std::int64_t floor = 0;           // highest minimum_counter seen; never lowered
  std::vector<Rejection> rejected;  // oldest first
  UpdateState update = Idle{};
  Report report;

  std::optional<SlotEntry>& slot(SlotName name) { return name == SlotName::a ? a : b; }
  const std::optional<SlotEntry>& slot(SlotName name) const { return name == SlotName::a ? a : b; }
  const SlotEntry* active_entry() const { return active ? &*slot(*active) : nullptr; }
  SlotName inactive() const { return active ? other(*active) : SlotName::a; }
  const Rejection* rejection(const Digest& manifest) const;
  bool operator==(const SlotState&) const = default;
};

// `{"a": …, "b": …}` as status, slots events and the state file show it.
Json slots_to_json(const SlotState& state);
Json update_to_json(const UpdateState& update);
Json rejected_to_json(const SlotState& state);
// The whole document, with its generation.
Json to_json(const SlotState& state, std::uint64_t generation);
struct GenerationState {
  SlotState state;
  std::uint64_t generation = 0;
};
// Refuses what no machine could have written (an active slot without entry, both slots the same release in a trial …).
Result<GenerationState> slot_state_from_json(const Json& document);

// The broken rules of a state, empty when it is sound: what every write and every test asserts.
std::string broken_invariant(const SlotState& state);

}  // namespace ferry::ota
