// What the devices of one virtual fleet share: the plan, the releases they have met, and the counts.
#pragma once
#include "telemetry/exp_histogram.hpp"
#include "tests/fleet/plan.hpp"
#include "tests/fleet/traffic.hpp"

#include <map>

namespace ferry::fleet {

struct Counts {
  std::uint64_t enrolled = 0;
  std::uint64_t handshakes = 0;
  std::uint64_t check_ins = 0, unchanged = 0;  // of them answered 304
  std::uint64_t event_posts = 0, events = 0;
  std::uint64_t uploads = 0, upload_bytes = 0, windows_dropped = 0;
  std::uint64_t manifests = 0, blobs = 0, download_bytes = 0;
  std::uint64_t trouble = 0;                     // requests without an answer, and answers 429 and 5xx
  std::map<std::string, std::uint64_t> refused;  // other answers than expected, "check-in 403"
  std::map<std::string, std::uint64_t> updates;  // what devices reported, by state
  std::map<std::string, std::int64_t> running;   // devices by "model version"
  telemetry::ExpHistogram check_in_seconds;      // from the request to its answer, on an open connection
};

// Used by one thread.
class Commons {
 public:
  explicit Commons(FleetPlan fleet_plan);

  const FleetPlan plan;
  Counts counts;

  Outcome outcome_of(std::size_t device, const std::string& version);
  const ReleaseBehaviour& behaviour(const std::string& version);
  const std::string& hardware_of(std::size_t device) const { return hardware_[device]; }
  bool absent(std::size_t device) const { return absent_places_[device] <= plan.absent; }
  bool away_at_times(std::size_t device) const { return offline_places_[device] <= plan.offline; }

  KnownReleasePtr known(const Digest& manifest) const;  // null: nobody fetched it yet
  void learn(const Digest& manifest, KnownReleasePtr release) { releases_[manifest] = std::move(release); }

 private:
  std::vector<std::string> hardware_;
  std::vector<double> absent_places_, offline_places_;
  std::map<std::string, std::vector<Outcome>> outcomes_;  // by version, for each device
  std::map<std::string, ReleaseBehaviour> behaviours_;    // by version
  std::map<Digest, KnownReleasePtr> releases_;
};

}  // namespace ferry::fleet
