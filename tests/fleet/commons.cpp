// Draws are made once per version and kept.
#include "tests/fleet/commons.hpp"

namespace ferry::fleet {

Commons::Commons(FleetPlan fleet_plan) : plan(std::move(fleet_plan)) {
  for (const double place : draw_places(plan, "hardware")) {
    double upper = 0;
    std::string drawn = plan.hardware.back().hardware_class;
    for (const HardwareShare& one : plan.hardware) {
      upper += one.share;
      if (place > upper) continue;
      drawn = one.hardware_class;
      break;
    }
    hardware_.push_back(std::move(drawn));
  }
  absent_places_ = draw_places(plan, "absent");
  offline_places_ = draw_places(plan, "offline");
}

Outcome Commons::outcome_of(std::size_t device, const std::string& version) {
  auto found = outcomes_.find(version);
  if (found == outcomes_.end()) found = outcomes_.emplace(version, draw_outcomes(plan, version)).first;
  return found->second[device];
}

const ReleaseBehaviour& Commons::behaviour(const std::string& version) {
  auto found = behaviours_.find(version);
  if (found == behaviours_.end()) found = behaviours_.emplace(version, behaviour_of(plan, version)).first;
  return found->second;
}

KnownReleasePtr Commons::known(const Digest& manifest) const {
  const auto found = releases_.find(manifest);
  return found == releases_.end() ? nullptr : found->second;
}

}  // namespace ferry::fleet
