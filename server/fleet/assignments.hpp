// What each device is to run, composed when something changed and answered from memory otherwise.
#pragma once
#include "server/fleet/fleet.hpp"
#include "server/rollout/rollout_controller.hpp"

namespace ferry::server {

struct AssignedModel {
  std::string model;
  std::string version;
  std::string rollout;  // "" when simply current
  std::string arm;      // canary | control | none
};

// Thread-safe; touches no database.
class Assignments {
 public:
  Assignments(RolloutController& controller, std::int64_t telemetry_interval_s)
      : controller_(controller), telemetry_interval_s_(telemetry_interval_s) {}

  // The check-in answer. Offers that are news are told to the controller.
  std::shared_ptr<const CachedAssignment> current(Device& device);
  std::vector<AssignedModel> assigned(const Device& device) const;

 private:
  CachedAssignment compose(const Device& device) const;
  std::optional<Choice> choose(const Device& device, const Labels& labels, const ModelRollouts& rollouts,
                               Reserve reserve, bool& held_back) const;

  RolloutController& controller_;
  std::int64_t telemetry_interval_s_;
};

// Seconds until the next check-in: `interval_s` with a share of up to 10 % by which this device differs from the
// others.
double poll_after_s(const std::string& device, std::int64_t interval_s);

}  // namespace ferry::server
