// Drives one model's update: event -> step -> state on disk -> commands; their outcomes are the next events.
#pragma once
#include "agent/activator.hpp"
#include "agent/assignment.hpp"
#include "agent/event_spool.hpp"
#include "agent/release_resolver.hpp"
#include "agent/status.hpp"
#include "agent/watched_client.hpp"
#include "ota/download.hpp"
#include "ota/slot_store.hpp"
#include "ota/update_machine.hpp"

#include <deque>
#include <thread>

namespace ferry::agent {

struct DriverPorts {
  Activator& activator;
  ReleaseResolver& resolver;
  HttpClientFactory make_client;  // a client per fetch: idle devices hold no connection for it
  EventSpool& spool;
  StatusBoard& status;
  std::function<void()> events_wait;  // something was spooled; returns at once
  Clock& clock;
  Random& random;
  Log& log;
};

struct DriverLimits {
  Duration trial_poll{std::chrono::milliseconds{200}};  // while in shadow or probation
  Duration idle_poll{std::chrono::minutes{10}};
  Duration scrub_interval{std::chrono::hours{24}};  // the active slot's digests are read again
  Duration disk_retry{std::chrono::seconds{5}};     // after the state or a slot could not be written
  Duration hold_first{std::chrono::seconds{60}};    // a failed or refused release is not tried again before
  Duration hold_max{std::chrono::hours{1}};
  Duration backoff_first{std::chrono::seconds{1}};
  Duration backoff_max{std::chrono::minutes{5}};
};

// One per model, with a thread of its own once started. Everything in `ports` outlives it.
class UpdateDriver {
 public:
  UpdateDriver(DataTree data, std::string model, DriverPorts ports, DriverLimits limits = {});
  ~UpdateDriver();

  void start();  // the thread: boot(), then turn() until stop()
  void stop();   // cuts downloads and proofs, joins; the journal continues at the next start

  // From any thread, return at once.
  void assign(const ota::AssignedRelease& release);
  // The release that must leave this device, as the server's present assignment says; nullopt: none any more.
  void recall(const std::optional<Recall>& recall);
  void signal(ActivatorSignal signal);

  // What the thread does, for tests that run it by hand: boot once, then turns. boot() reads the state, serves what is
  // active and replays the journal; an error (state written by a newer agent, disk unreadable) ends the driver.
  // turn() does what is due and returns how long nothing will be.
  Result<> boot();
  Duration turn();
  const ota::SlotState& state() const { return state_; }

 private:
  enum class CommandResult { done, interrupted, again_later };

  void feed(ota::Event event);  // queue
  void drain();                 // until the queue is empty
  Result<> advance(const ota::Event& event, std::vector<ota::Command>& commands);
  void publish();
  void tell_report();
  void remember_outcome();

  CommandResult run(const ota::Command& command);
  CommandResult run_one(const ota::Fetch& fetch);
  CommandResult run_one(const ota::BeginTrial&);
  CommandResult run_one(const ota::Prove&);
  CommandResult run_one(const ota::Shadow&);
  CommandResult run_one(const ota::TakeOver&);
  CommandResult run_one(const ota::Commit& commit);
  CommandResult run_one(const ota::GoBack& back);
  CommandResult run_one(const ota::Serve& serve);

  std::optional<ResolvedRelease> resolve(const ota::Fetch& fetch, WatchedClient& http);
  CommandResult install(const ota::Fetch& fetch, const ResolvedRelease& release, WatchedClient& http);
  void download_failed(const Error& error);
  void trial_failed(const Error& error, std::string_view absent_reason);
  void interrupt_with_assignment();
  void look_round_while_staged();
  void take_recall();
  void take_assignment();
  Duration wait_after_turn() const;
  void watch_trial();
  void scrub();
  Result<SlotContents> contents(ota::SlotName slot, const Digest& manifest, const std::string& variant,
                                const std::string& variant_reason, const std::string& rollout, const std::string& arm);
  Result<SlotContents> candidate();
  Result<SlotContents> active();

  void begin_busy(const Digest& release);
  void end_busy();
  bool interrupted() const;
  std::int64_t now_ms() const;

  const std::string model_;
  DriverPorts ports_;
  const DriverLimits limits_;
  Sleeper sleeper_;
  ota::SlotStore store_;
  ota::SlotState state_;
  std::deque<ota::Event> queue_;
  std::optional<ota::Command> unfinished_;  // to run again, not before retry_at_
  std::chrono::nanoseconds retry_at_{0};
  std::chrono::nanoseconds stage_began_{0};
  std::chrono::nanoseconds scrub_at_{0};
  std::optional<std::int64_t> latency_p99_us_max_;  // of the candidate's variant
  std::int64_t outcome_number_ = 0;                 // the last report that `held_` knows
  std::int64_t told_number_ = 0;                    // the last report known to be in the spool

  struct Held {
    Digest release;
    std::string rollout;
    int times = 0;
    std::chrono::nanoseconds until{0};
  };
  std::optional<Held> held_;

  // now_ms() does not jump while the process lives: wall time at the start plus steady time since.
  std::int64_t wall_base_ms_ = 0;
  std::chrono::nanoseconds steady_base_{0};

  mutable std::mutex mutex_;  // guards assigned_ to stopping_
  std::optional<ota::AssignedRelease> assigned_;
  std::optional<Recall> recall_;
  bool assignment_new_ = false;
  std::optional<Digest> busy_with_;
  bool check_active_ = false;
  bool stopping_ = false;
  std::atomic<bool> cancel_{false};  // cuts the fetch or proof under way
  std::thread thread_;
};

}  // namespace ferry::agent
