// The rollout engine: pure decisions. No clock, database, network or log; time comes inside events.
#pragma once
#include "server/rollout/rollout.hpp"

#include <optional>
#include <variant>
#include <vector>

namespace ferry::server {

// The devices a rollout's selector matches now, sorted by rank. Made by the controller when the fleet changes.
struct Member {
  std::uint64_t rank = 0;
  std::string device;
};
struct Selection {
  std::vector<Member> members;
};
Selection make_selection(std::string_view salt, std::vector<std::string> devices);

// Facts, in the past tense.
struct Ticked {
  std::int64_t at_ms = 0;
};
struct Offered {  // the device was given the assignment
  std::string device;
  std::int64_t at_ms = 0;
};
struct Reported {  // a device event about the rollout's release
  std::string device;
  Progress state = Progress::offered;
  std::string reason;
  std::int64_t at_ms = 0;
};
struct Paused {
  std::string by;
  std::string why;
  std::int64_t at_ms = 0;
};
struct Resumed {
  std::string by;
  std::int64_t at_ms = 0;
};
struct Aborted {
  std::string by;
  std::string why;
  std::int64_t at_ms = 0;
};
struct Promoted {  // a person does not want to wait for the rest of this phase
  std::string by;
  std::int64_t at_ms = 0;
};
struct RolledBack {  // a person orders the release off every device that took it
  std::string by;
  std::string why;
  std::int64_t at_ms = 0;
};
struct Judged {                     // the live gate looked at its pairs
  std::string decision;             // pass | fail | hold
  std::string reason;               // "gate.…", the first of its reasons
  bool expired = false;             // a hold beyond the policy's time
  std::string detail;               // numbers, for people
  std::vector<std::string> silent;  // canaries that took the release and are heard no more
  std::int64_t at_ms = 0;
};
using RolloutEvent = std::variant<Ticked, Offered, Reported, Paused, Resumed, Aborted, Promoted, RolledBack, Judged>;

struct Verdict {
  std::int64_t at_ms = 0;
  std::size_t phase = 0;
  std::string verdict;   // pass | fail | hold
  std::string decision;  // start advance soak finish stop pause resume abort promote judge rollback
  std::string detail;
  std::string by;
  bool operator==(const Verdict&) const = default;
};

// What one event changes: persisted first, then applied.
struct Decision {
  RolloutHead head;
  std::vector<std::pair<std::string, DeviceProgress>> devices;
  std::vector<Verdict> log;
  bool assignments_changed = false;  // some device may now be assigned something else
  bool changes(const Rollout& rollout) const;
};

// A new rollout's first head and log entry.
Decision begin(const RolloutPlan& plan, std::int64_t at_ms);

// Pure. A pair that means nothing (a late or repeated fact, an action the state does not allow) changes nothing.
// Never moves a terminal rollout; facts about its devices are still taken down.
Decision decide(const Rollout& rollout, const RolloutEvent& event, const Selection& selection);
void apply(Rollout& rollout, const Decision& decision);
// apply(decide()), for tests and replay.
Rollout step(Rollout rollout, const RolloutEvent& event, const Selection& selection);

// True when a running rollout offers its release to this device now, or did.
bool in_phase(const Rollout& rollout, std::string_view device);
// The number of devices a phase of `percent` holds.
std::size_t phase_size(std::size_t selected, std::int64_t percent);

// What `model` a device gets. `rollouts`: those of the model, newest first. `running_manifest`: what the device says
// is active, the default digest when unknown.
struct Choice {
  const Rollout* rollout = nullptr;  // whose release it is
  bool by_rollout = false;           // arm canary of a rollout under way; else simply current
  bool to_be_noted = false;          // the offer is news to the rollout
};
std::optional<Choice> assignment_for(std::string_view device, const Labels& labels, const Digest& running_manifest,
                                     const std::vector<const Rollout*>& rollouts);

// The releases of this model that must leave the device: those of recalled rollouts which it took, or runs, and that no
// newer rollout named again.
std::vector<const Rollout*> recalls_for(std::string_view device, const Digest& running_manifest,
                                        const std::vector<const Rollout*>& rollouts);

// True when a rollout of this release failed or was recalled, and none named it since.
bool quarantined(const Digest& manifest, const std::vector<const Rollout*>& rollouts);

}  // namespace ferry::server
