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

  // Copies of the cohorts of `model` ("": all), without the devices' counts.
  std::vector<Cohort> cohorts(const std::string& model) const;
  // Bodies of the windows that ended at or after `since_ms`, oldest first, at most the newest `limit`.
  Result<std::vector<std::string>> windows(const std::string& cohort, std::int64_t since_ms, std::int64_t limit) {
    return store_.windows(cohort, since_ms, limit);
  }
  std::uint64_t reference_samples(const Cohort& cohort);
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
    bool news = true;  // a window closed since
    std::int64_t since_ms = 0;
    std::int64_t began_ms = 0;
  };
  // What an upload changes in one cohort, until the transaction has committed.
  struct Staged {
    std::string cohort;
    bool made = false;  // a new cohort
    CohortKey key;
    CohortDevice device;
    std::optional<CohortStep> closed;
  };

  const Reference& reference_of(const std::string& model, const std::string& version, std::int64_t now_ms);
  std::vector<Staged> places_of(const std::string& device, const telemetry::ReleaseWindow& window,
                                const telemetry::ReferenceProfile& reference, std::int64_t now_ms);
  Result<> store(const std::string& device, Staged& staged, std::int64_t now_ms);
  void keep(const std::string& device, Staged& staged, std::int64_t now_ms);
  Result<> watch(const Rollout& rollout, std::int64_t now_ms);
  Result<> compare(const Rollout& rollout, Watch& watch, std::int64_t now_ms);
  void tell(const Cohort& cohort, telemetry::DriftLevel before);

  Database& database_;
  const Fleet& fleet_;
  ReleaseStore& releases_;
  const BlobStore& blobs_;
  EventHub& hub_;
  Log& log_;
  DriftStore store_;
  const telemetry::DriftPolicy policy_;

  mutable std::mutex mutex_;  // guards below
  std::map<std::string, Cohort> cohorts_;
  std::multimap<std::string, std::string> arms_of_;                      // device -> cohorts that are arms
  std::map<std::pair<std::string, std::string>, Reference> references_;  // by model and version
  std::map<std::string, Watch> watches_;                                 // by rollout
};

}  // namespace ferry::server
