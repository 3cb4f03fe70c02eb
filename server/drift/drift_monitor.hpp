// Drift of every release in the field: keeps the cohorts, takes what accepted uploads say, and tells a rollout when the
// world has changed under it (docs/formats/drift.md).
#pragma once
#include "common/log.hpp"
#include "server/drift/drift_cohort.hpp"
#include "server/fleet/fleet.hpp"
#include "server/live/event_hub.hpp"
#include "server/rollout/live_gates.hpp"
#include "server/store/blob_store.hpp"
#include "server/store/drift.hpp"
#include "server/store/releases.hpp"
#include "telemetry/drift_cause.hpp"

#include <mutex>
#include <set>

namespace ferry::server {

// Devices name their own hardware class: beyond so many of one release, a new one counts as "other".
inline constexpr std::size_t hardware_classes_per_release_max = 64;
inline constexpr std::string_view other_hardware_class = "other";
inline constexpr std::int64_t drift_keep_ms = 35LL * 86'400'000;  // windows, and cohorts nobody reports to
inline constexpr std::int64_t reference_retry_ms = 60'000;        // a reference that could not be read is tried again

// The inputs moved on the control group: the world changed, not the release.
struct WorldNews {
  std::int64_t since_ms = 0;  // when the change began; the same for as long as it lasts, so it can be told once
  std::string detail;         // one sentence with the numbers
};

// What the arms of a rollout say beside each other.
struct RolloutDrift {
  std::string rollout, version, from_version;
  std::string canary, control;  // cohort ids
  telemetry::DriftCause cause = telemetry::DriftCause::not_enough;
  std::string reason;  // "" | drift.world_changed | drift.canaries
  std::string text;
  std::int64_t at_ms = 0;
};

// A cohort without its devices' counts.
struct CohortView {
  std::string id;
  CohortKey key;
  CohortState state;
  std::size_t members = 0;
  std::uint64_t reference_samples = 0;
  std::int64_t open_since_ms = 0;  // of the open window; 0: nothing waits
  std::uint64_t open_samples = 0;  // of all devices, more than will count
  std::size_t open_devices = 0;
};

// Thread-safe; calls block on the database. Lock order: the rollout controller's, then this one's, then LiveGates',
// then the database's: never call it inside a database transaction.
class DriftMonitor {
 public:
  DriftMonitor(Database& database, const Fleet& fleet, ReleaseStore& releases, const BlobStore& blobs, EventHub& hub,
               Log& log)
      : database_(database),
        fleet_(fleet),
        releases_(releases),
        blobs_(blobs),
        hub_(hub),
        log_(log),
        store_(database) {}
  DriftMonitor(const DriftMonitor&) = delete;
  DriftMonitor& operator=(const DriftMonitor&) = delete;

  Result<> load();
  // Whatever is applied in `body` commits together (LiveGates::together). When it fails nothing of it happened.
  Result<> together(LiveGates& gates, TelemetryStore& telemetry, const std::function<Result<>()>& body);

  // Merges an upload once (LiveGates::apply), into the cohorts too, in the same transaction.
  Result<UploadVerdict> apply(LiveGates& gates, TelemetryStore& telemetry, const std::string& device,
                              const telemetry::WindowReport& report, std::int64_t now_ms);

  // For a gated rollout under way, as often as one likes (the answer is kept until a window closes): news when the
  // control group drifts, with the canaries or without, and its release did not do so before the rollout began. The
  // first call begins to watch its arms. Drift of the canaries alone is no news: it is in drift_of().
  std::optional<WorldNews> world_changed(const Rollout& rollout, std::int64_t now_ms);
  std::optional<RolloutDrift> drift_of(const std::string& rollout) const;
  // Of a rollout that is over: its arms' cohorts go.
  Result<> forget(const std::string& rollout);

  // The cohorts of `model` ("": all), by id.
  std::vector<CohortView> cohorts(const std::string& model, std::int64_t now_ms);
  // Bodies of the windows that ended at or after `since_ms`, oldest first, at most the newest `limit`.
  Result<std::vector<std::string>> windows(const std::string& cohort, std::int64_t since_ms, std::int64_t limit) {
    return store_.windows(cohort, since_ms, limit);
  }
  const telemetry::DriftPolicy& policy() const { return policy_; }

  // What time alone changes: old windows close, silent members leave, what is too old is deleted, arms of rollouts that
  // are not among `under_way` go.
  Result<> housekeep(std::int64_t now_ms, const std::set<std::string>& under_way);

 private:
  struct Reference {
    std::string manifest_sha256;
    std::optional<telemetry::ReferenceProfile> profile;  // absent: none that can be used
    std::int64_t read_ms = 0;
  };
  struct Watch {  // of a rollout's arms
    RolloutDrift last;
    bool news = true;           // a window closed since
    std::int64_t retry_ms = 0;  // something failed: not again before
  };
  struct Target {  // what an upload adds to one cohort
    CohortKey key;
    const Reference* reference = nullptr;
    Contribution contribution;
  };
  struct Staged {  // what takes an upload back out of memory, and what it closed
    std::string cohort;
    bool made = false;
    std::int64_t seen_ms = 0;
    std::optional<CohortDevice> before;
    std::optional<CohortStep> closed;
  };

  // Null: none that can be used.
  const Reference* reference_of(const std::string& model, const std::string& version, std::int64_t now_ms);
  CohortKey class_key(const Reference& reference, const telemetry::ReleaseKey& release,
                      const std::string& device) const;
  std::map<std::string, Target> targets_of(const std::string& device, const telemetry::WindowReport& report,
                                           std::int64_t now_ms);
  Result<> stage(const std::string& device, const std::string& id, const Target& target, std::int64_t now_ms,
                 std::vector<Staged>& undo);
  void take_back(const std::string& device, const std::vector<Staged>& undo);
  Result<> load_locked();
  Result<> reload();
  Result<> leave_others(const std::string& device, const std::map<std::string, Target>& targets,
                        std::vector<std::string>& left);
  Result<> store_closed(const Cohort& cohort, const CohortStep& step, const std::string& device);
  void keep_closed(Cohort& cohort, CohortStep& step);
  void forget_place(const std::string& device, const std::string& cohort);
  void tell(const Cohort& cohort, telemetry::DriftLevel before, double e);

  Result<> watch(const Rollout& rollout, Watch& watch, std::int64_t now_ms);
  Result<> compare(const Rollout& rollout, Watch& watch, std::int64_t now_ms);
  Result<telemetry::DriftCounts> counts_since(const Cohort& cohort, std::int64_t since_ms, std::int64_t windows_max);
  Result<> age(Cohort& cohort, std::int64_t now_ms);
  Result<> erase(const std::string& cohort);
  Result<> forget_locked(const std::string& rollout);

  Database& database_;
  const Fleet& fleet_;
  ReleaseStore& releases_;
  const BlobStore& blobs_;
  EventHub& hub_;
  Log& log_;
  DriftStore store_;
  const telemetry::DriftPolicy policy_;

  mutable std::recursive_mutex mutex_;  // guards below; recursive because together()'s body calls apply()
  bool together_ = false;
  bool ahead_ = false;  // cohorts in memory may show what is not on disk: read them again before they are used
  std::map<std::string, Cohort> cohorts_;
  std::multimap<std::string, std::string> places_;                       // device -> the cohorts that know it
  std::map<std::pair<std::string, std::string>, Reference> references_;  // by model and version
  std::map<std::string, Watch> watches_;                                 // by rollout
};

}  // namespace ferry::server
