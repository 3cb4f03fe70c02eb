// Keeps the rollouts: feeds facts to the pure machine, stores what it decided, then lets devices see it.
#pragma once
#include "common/log.hpp"
#include "common/random.hpp"
#include "server/fleet/fleet.hpp"
#include "server/live/event_hub.hpp"
#include "server/rollout/live_gates.hpp"
#include "server/store/releases.hpp"
#include "server/store/rollouts.hpp"

#include <deque>
#include <set>
#include <shared_mutex>

namespace ferry::server {

inline constexpr std::int64_t rollouts_in_memory_per_model = 64;  // newest; older ones are read from the database
inline constexpr std::size_t offers_pending_max = 10'000;         // the rest is noted at the devices' next check-in
inline constexpr std::int64_t inbox_batch_max = 500;

struct NewRollout {
  std::string model;
  std::string version;
  std::string selector = "*";
  std::string name;
  RolloutPolicy policy;
  std::string by;
  bool lift_quarantine = false;  // the release failed before, and is to be tried again
};

// What a rollout would do, without making it.
struct RolloutPreview {
  Rollout rollout;  // not stored; its id is ""
  Selection selection;
};

enum class Reserve { no, yes };

// Has the world changed under a gated rollout? Asked at every turn while its gate decides.
using WorldWatch = std::function<std::optional<WorldChanged>(const Rollout&, std::int64_t now_ms)>;

// Newest first, of one model.
using ModelRollouts = std::vector<const Rollout*>;

// Thread-safe. Calls that change something block on the database; reads do not. Killed at any time, it goes on from
// what is stored: nothing is shown to a device before it is durable.
class RolloutController {
 public:
  RolloutController(Database& database, Fleet& fleet, Clock& clock, Random& random, EventHub& hub, Log& log);

  Result<> load();
  // Before the first turn().
  void watch_world(WorldWatch watch) { world_ = std::move(watch); }
  // Errors: conflict (reason "rollout_active", "release_quarantined").
  Result<std::string> create(const NewRollout& wanted, const ReleaseRow& release);
  // The same checks and the same draw, with a salt of its own: which device would be in which phase.
  Result<RolloutPreview> preview(const NewRollout& wanted, const ReleaseRow& release);
  // What a person does. Errors: not_found; conflict when the state does not allow it; conflict with reason
  // "precondition_failed" when `revision` is not the present one; what check_action() says.
  Result<> act(const std::string& id, const RolloutEvent& event, std::optional<std::int64_t> revision);

  // A device was given an offer. Cheap, never blocks on the database; the next turn() takes it down.
  void note_offer(const std::string& rollout, const std::string& device);
  // Inside read(): does the rollout of `choice` make this device wait? With Reserve::yes a device that need not wait
  // holds its place from now on; the caller offers it the release.
  HoldBack holds_back(const Choice& choice, const Device& device, const ModelRollouts& rollouts, Reserve reserve);
  // Why a device that waits in a rollout under way has to: HoldBack's words, "" when it only has to come. Thread-safe.
  std::string waits_for(const Rollout& rollout, const std::string& device);
  // Takes the inbox, the noted offers and the time. Returns whether anything changed.
  Result<bool> turn();
  // Device events wait in the inbox: take them now.
  Result<> drain();

  // Grows whenever some device may be assigned something else.
  std::uint64_t generation() const { return generation_; }
  // Runs `look` while nothing changes; it must not keep pointers nor call back.
  void read(const std::function<void(const std::map<std::string, ModelRollouts>& by_model)>& look) const;
  // A copy; also of one that is no longer in memory. not_found.
  Result<Rollout> find(const std::string& id);
  Result<std::vector<Verdict>> log_of(const std::string& id) { return store_.log(id); }
  // The live gates of rollouts under way; uploads go through them.
  LiveGates& gates() { return gates_; }
  // The newest verdicts on record, newest first, with their whole evidence.
  Result<std::vector<VerdictRecord>> verdicts(const std::string& id, std::int64_t limit) {
    return verdicts_.verdicts(id, limit);
  }
  // Ranks and ids of the devices `rollout` selects now.
  Selection selection_of(const Rollout& rollout) const;

 private:
  // `along` runs in the transaction that stores what the event changed.
  Result<bool> feed(Rollout& rollout, const RolloutEvent& event, std::int64_t inbox_id,
                    const std::function<Result<>()>& along = {});
  Result<RolloutPlan> plan_of(const NewRollout& wanted, const ReleaseRow& release, const ModelRollouts& others,
                              std::int64_t now_ms);
  ModelRollouts rollouts_of(const std::string& model) const;
  Result<> plan_gate(RolloutPlan& plan, const ModelRollouts& others);
  std::string site_of(const Rollout& rollout, const Device& device) const;
  Result<> check_reopening(const Rollout& rollout) const;
  Result<bool> judge(Rollout& rollout, std::int64_t now_ms);
  Result<bool> look_at_world(Rollout& rollout, std::int64_t now_ms);
  const Selection& cached_selection(const Rollout& rollout);
  Rollout* loaded(const std::string& id);
  Rollout* meant_by(const InboxRow& fact);  // null: none
  void put(std::unique_ptr<Rollout> rollout);
  void tell(const Rollout& rollout);
  Result<bool> take_inbox();
  Result<bool> take_offers();

  Database& database_;
  Fleet& fleet_;
  Clock& clock_;
  Random& random_;
  EventHub& hub_;
  Log& log_;
  RolloutStore store_;
  DeviceStore devices_;
  GateStore verdicts_;
  LiveGates gates_;
  WorldWatch world_;

  std::mutex writer_;                // one step at a time; held while the database writes
  mutable std::shared_mutex state_;  // guards rollouts_ and by_model_; held only while memory changes
  std::map<std::string, std::unique_ptr<Rollout>> rollouts_;
  std::map<std::string, ModelRollouts> by_model_;
  std::atomic<std::uint64_t> generation_{1};

  struct Cached {
    std::uint64_t membership = 0;
    Selection selection;
  };
  std::map<std::string, Cached> selections_;  // under writer_; of rollouts that are not over

  std::mutex offers_mutex_;  // guards offers_; taken after state_
  // Rollout and device, with the device's site: places taken that the rollout does not count yet.
  std::map<std::pair<std::string, std::string>, std::string> offers_;
};

}  // namespace ferry::server
