// One device as the server sees it: check-ins, updates, events, telemetry. The update machine is the product's own;
// what a real device would do on its commands (fetch, prove, take over) is asked for or acted out on a timetable.
#pragma once
#include "agent/assignment.hpp"
#include "ota/update_machine.hpp"
#include "tests/fleet/commons.hpp"

#include <deque>

namespace ferry::fleet {

inline constexpr std::int64_t never_ms = std::numeric_limits<std::int64_t>::max();

enum class Purpose { profile, check_in, events, telemetry, manifest, blob };
std::string_view to_string(Purpose purpose);

struct Ask {
  Purpose purpose = Purpose::check_in;
  std::string method = "GET";
  std::string path;
  std::string content_type;
  bool gzip = false;  // the body is
  std::string if_none_match;
  std::string body;
  bool digest_only = false;  // the answer's bytes are not needed, only their digest
};
struct Heard {
  int status = 0;
  std::string etag;
  std::optional<double> poll_after_s;
  std::optional<double> retry_after_s;
  std::string body;  // empty with digest_only
  std::uint64_t body_bytes = 0;
  std::optional<Digest> sha256;  // with digest_only
};

class VirtualDevice {
 public:
  struct Identity {
    std::size_t number = 0;  // in the plan's draws
    std::string id;          // "dev-…", given at enrolment
    std::string install, boot;
  };
  // `commons` outlives it. Times are Unix milliseconds of a clock that does not jump.
  VirtualDevice(Identity identity, Commons& commons, std::int64_t now_ms);

  // The request that is due, one at a time: then heard() or not_heard() before the next. nullopt: nothing until
  // due_ms().
  std::optional<Ask> next(std::int64_t now_ms);
  std::int64_t due_ms() const { return due_ms_; }
  void heard(const Heard& answer, std::int64_t now_ms);
  void not_heard(std::int64_t now_ms);  // unreachable, timed out

  const std::string& id() const { return identity_.id; }
  bool silent() const { return silent_; }
  // The version that serves; "" without one.
  std::string running(const std::string& model) const;

 private:
  struct Fetching {
    ota::Fetch fetch;
    KnownReleasePtr release;                // once the manifest is known
    std::optional<ota::Manifest> manifest;  // until the reference profile is here too
    ota::VariantChoice choice;
    std::deque<ota::BlobRef> blobs;  // still to come
    bool stalled = false;
  };
  struct Timer {
    std::int64_t at_ms = 0;
    ota::Event event;
  };
  struct Held {  // a release that failed is not tried again before
    Digest release;
    std::string rollout;
    std::int64_t until_ms = 0;
    int times = 0;
  };
  struct Model {
    ota::SlotState slots;
    std::deque<ota::Event> queue;
    std::optional<ota::AssignedRelease> assigned;
    bool assignment_new = false;
    std::optional<agent::Recall> recall;
    std::optional<Fetching> fetching;
    std::optional<Timer> timer;
    std::optional<Held> held;
    std::map<std::string, std::int64_t> befallen;  // by version: how often its outcome has come true
    std::int64_t window_look_ms = never_ms;        // staged, and waiting for the maintenance window
    std::int64_t settled_ms = 0;                   // requests are drawn up to here
  };

  std::int64_t after(std::int64_t now_ms, double seconds) const;
  std::optional<std::int64_t> away_until(std::int64_t now_ms) const;
  // When something of its own is due, whoever can be reached.
  std::int64_t own_due_ms(std::int64_t now_ms) const;

  // Updates (virtual_update.cpp).
  void turn(Model& model, std::int64_t now_ms);
  void feed(Model& model, ota::Event event, std::int64_t now_ms);
  void advance(Model& model, const ota::Event& event, std::int64_t now_ms);
  void run(Model& model, const ota::Command& command, std::int64_t now_ms);
  void begin_trial(Model& model, std::int64_t now_ms);
  void begin_fetch(Model& model, const ota::Fetch& fetch, std::int64_t now_ms);
  void know_release(Model& model, std::int64_t now_ms);
  void finish_fetch(Model& model, std::int64_t now_ms);
  std::optional<Ask> fetch_ask(Model& model);
  void fetch_heard(Model& model, const Heard& answer, std::int64_t now_ms);
  bool befalls(Model& model, const std::string& version, Outcome outcome);
  void remember_outcome(Model& model, std::int64_t now_ms);
  void report(const Model& model, std::int64_t now_ms);
  Json slots_detail() const;

  // Telemetry.
  void settle(Model& model, std::int64_t now_ms);
  void close_window(std::int64_t now_ms);

  void take_assignment(const Heard& answer, std::int64_t now_ms);
  void add_event(Json event);
  Ask events_ask() const;
  void back_off(std::int64_t now_ms, std::optional<double> retry_after_s);

  Identity identity_;
  Commons& commons_;
  sim::Dice dice_;
  DeviceTraffic traffic_;
  std::map<std::string, Model> models_;

  std::optional<Ask> asked_;
  std::string asked_model_;  // of manifest and blob
  bool profile_sent_ = false;
  bool silent_ = false, going_silent_ = false;
  double away_phase_s_ = 0;
  std::string etag_;
  std::int64_t due_ms_ = 0;
  std::int64_t check_in_ms_ = 0;
  std::int64_t not_before_ms_ = 0;
  int troubles_ = 0;  // in a row

  std::deque<Json> events_;
  std::int64_t event_seq_ = 0;
  std::size_t events_asked_ = 0;  // of events_, in the request under way

  double window_s_ = 60;
  std::int64_t window_start_ms_ = 0, window_end_ms_ = 0;
  std::map<telemetry::ReleaseKey, telemetry::ReleaseWindow> window_;
  std::uint64_t window_seq_ = 0, windows_dropped_ = 0;
  std::deque<std::string> uploads_;
};

}  // namespace ferry::fleet
