// The rollout engine: pure decisions. No clock, database, network or log; time comes inside events.
#pragma once
#include "server/rollout/offers.hpp"

#include <optional>
#include <variant>
#include <vector>

namespace ferry::server {

// Facts, in the past tense.
struct Ticked {
  std::int64_t at_ms = 0;
};
struct Offered {  // the device was given the assignment
  std::string device;
  std::int64_t at_ms = 0;
  std::string site;  // its value of the site budget's label; "" without one
};
struct Reported {  // a device event about the rollout's release
  std::string device;
  Progress state = Progress::offered;
  std::string reason;
  std::int64_t at_ms = 0;
  std::string site;
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
struct Approved {
  std::string by;
  std::string why;
  std::int64_t at_ms = 0;
};
struct Denied {
  std::string by;
  std::string why;
  std::int64_t at_ms = 0;
};
struct Retried {  // a person wants those that could not be reached, or could not install, to be asked again
  std::string by;
  std::string why;
  std::int64_t at_ms = 0;
};
struct WorldChanged {  // canaries and controls drift alike: the inputs moved, not only the release
  std::string detail;
  std::int64_t since_ms = 0;  // when the change began; the same for as long as it lasts
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
using RolloutEvent = std::variant<Ticked, Offered, Reported, Paused, Resumed, Aborted, Promoted, RolledBack, Approved,
                                  Denied, Retried, WorldChanged, Judged>;

struct Verdict {
  std::int64_t at_ms = 0;
  std::size_t phase = 0;
  std::string verdict;  // pass | fail | hold
  // start advance soak finish stop pause resume abort promote judge rollback approve deny retry
  std::string decision;
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
// Never moves a terminal rollout, but for a recall and a retry of what failed; facts about its devices are still taken
// down.
Decision decide(const Rollout& rollout, const RolloutEvent& event, const Selection& selection);
void apply(Rollout& rollout, const Decision& decision);
// apply(decide()), for tests and replay.
Rollout step(Rollout rollout, const RolloutEvent& event, const Selection& selection);

// Why a person may not do this although the state would allow it: denied (approving one's own), conflict (nobody to
// retry, approved before).
Result<> check_action(const Rollout& rollout, const RolloutEvent& event);

}  // namespace ferry::server
