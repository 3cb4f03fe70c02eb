// What the applications of a virtual device ask and get, drawn as telemetry windows: latencies by the model of the
// simulations, answers by the release's own reference profile.
#pragma once
#include "ota/manifest.hpp"
#include "telemetry/reference_profile.hpp"
#include "tests/fleet/plan.hpp"
#include "tests/sim/gate/fleet_model.hpp"

#include <memory>

namespace ferry::fleet {

// A release as the fleet knows it, and how its answers are drawn. Immutable, shared by all devices.
class KnownRelease {
 public:
  // `reference` may be anything: what is no reference profile leaves the default edges and equal classes.
  KnownRelease(ota::Manifest manifest, std::string_view reference);
  const ota::Manifest& manifest() const { return manifest_; }
  const telemetry::Edges& edges() const { return edges_; }
  std::size_t classes() const { return manifest_.contract.labels.size(); }
  bool classifies() const { return !class_chances_.empty(); }
  // Bins and classes, by a uniform number.
  std::size_t class_at(double uniform) const { return at(class_chances_, uniform); }
  std::size_t confidence_at(double uniform) const { return at(confidence_chances_, uniform); }
  std::size_t mnlp_at(double uniform) const { return at(mnlp_chances_, uniform); }
  double right_in(std::size_t confidence_bin) const { return right_[confidence_bin]; }
  double accuracy() const { return accuracy_; }  // of the reference

 private:
  static std::size_t at(const std::vector<double>& cumulated, double uniform);

  ota::Manifest manifest_;
  telemetry::Edges edges_;
  std::vector<double> class_chances_, confidence_chances_, mnlp_chances_;  // cumulated, the last is 1
  std::vector<double> right_;                                              // share of right answers by confidence bin
  double accuracy_ = 0.9;
};
using KnownReleasePtr = std::shared_ptr<const KnownRelease>;

// One device's requests.
class DeviceTraffic {
 public:
  DeviceTraffic(const Traffic& traffic, double speed, std::uint64_t seed);

  // An empty window of that release.
  static telemetry::ReleaseWindow window_of(const telemetry::ReleaseKey& key, const KnownRelease& release);
  // Adds what happened from `from_ms` to `to_ms` (Unix time) while that release answered.
  void pass(std::int64_t from_ms, std::int64_t to_ms, const KnownRelease& release, const ReleaseBehaviour& behaviour,
            telemetry::ReleaseWindow& window);

 private:
  std::uint64_t count_of(double mean);
  void move_state(double minutes);
  void infer(double centre, const KnownRelease& release, const ReleaseBehaviour& behaviour,
             telemetry::ReleaseWindow& window);

  Traffic traffic_;
  double speed_;
  sim::Dice dice_;
  double device_ = 0;  // logarithm of this device's latency relative to the fleet
  double state_ = 0;   // the AR(1) part
};

}  // namespace ferry::fleet
