// The device's update machine: a pure step(state, event) -> state and commands. No clock, disk, network or log.
#pragma once
#include "ota/slot_state.hpp"

#include <variant>
#include <vector>

namespace ferry::ota {

// Events: facts in the past tense. Times are the driver's own steady count of UTC milliseconds (it does not jump
// while the process lives).
struct Assigned {  // the server wants this release
  AssignedRelease release;
  std::int64_t at_ms = 0;
};
struct FloorSeen {  // verified metadata name this minimum_counter
  std::int64_t floor = 0;
};
struct InstallBegan {  // the slot is about to be overwritten
  SlotName slot = SlotName::a;
};
struct Downloaded {  // verified, durable, read back
  SlotName slot = SlotName::a;
  std::string variant;
  std::string variant_reason;
  std::int64_t at_ms = 0;
};
struct DownloadFailed {  // network trouble is not this: the driver waits and goes on
  std::string reason;
  std::string message;
  bool again = true;  // false: another attempt cannot help (disk full)
  std::int64_t at_ms = 0;
};
struct Refused {  // trust or contract: not this release, on this device
  std::string reason;
  std::string message;
  std::int64_t at_ms = 0;
};
struct TrialBegan {
  std::int64_t at_ms = 0;
};
struct Proved {};
struct Shadowed {};
struct ProbationPassed {
  std::int64_t at_ms = 0;
};
struct TrialFailed {
  std::string reason;
  std::string message;
  std::int64_t at_ms = 0;
};
struct Ticked {
  std::int64_t at_ms = 0;
};
struct RolledBack {  // the old release answers, the slot is erased
  std::int64_t at_ms = 0;
};
struct SlotDamaged {  // its bytes do not match their digests
  SlotName slot = SlotName::a;
  std::string message;
  std::int64_t at_ms = 0;
};
struct Recalled {  // the server orders this release off the device: it failed its live gate, or a person says so
  Digest manifest_sha256;
  std::string reason;
  std::string message;
  std::int64_t at_ms = 0;
};
struct Restarted {  // the process started and found this state
  std::int64_t at_ms = 0;
};
using Event =
    std::variant<Assigned, FloorSeen, InstallBegan, Downloaded, DownloadFailed, Refused, TrialBegan, Proved, Shadowed,
                 ProbationPassed, TrialFailed, Ticked, RolledBack, SlotDamaged, Recalled, Restarted>;

// Commands: run only after the new state is durable; each may run again after a restart.
struct Fetch {  // -> InstallBegan, Downloaded | DownloadFailed | Refused
  AssignedRelease release;
  SlotName slot = SlotName::a;
  std::int64_t attempt = 1;
};
struct BeginTrial {};  // -> TrialBegan
struct Prove {};       // -> Proved | TrialFailed
struct Shadow {};      // -> Shadowed | TrialFailed
struct TakeOver {};    // -> ProbationPassed | TrialFailed
struct Commit {        // the candidate is the only one from here on; also relabels a running release
  SlotName slot = SlotName::a;
};
struct GoBack {  // -> RolledBack: the old release answers, then erase the slot
  SlotName slot = SlotName::a;
};
struct Serve {  // start what is active now, or stop serving
  std::optional<SlotName> slot;
};
using Command = std::variant<Fetch, BeginTrial, Prove, Shadow, TakeOver, Commit, GoBack, Serve>;
std::string_view name_of(const Command& command);
std::string_view name_of(const Event& event);

struct Step {
  SlotState state;
  std::vector<Command> commands;
};

// A pair that means nothing (a late or repeated fact) stays and commands nothing. Keeps broken_invariant() empty.
Step step(const SlotState& state, const Event& event);

// True for reasons after which this device refuses the release for good: what the release did, here (trial.*) or on
// other devices (gate.*), not what a person ordered or a disk lost.
bool remembered(std::string_view reason);

}  // namespace ferry::ota
