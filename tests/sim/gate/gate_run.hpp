// Our gate on a synthetic fleet: telemetry::observe and telemetry::judge with default constants, nothing else.
#pragma once
#include "telemetry/judge.hpp"
#include "tests/sim/gate/fleet_model.hpp"

namespace ferry::sim {

// Looks every minute; the minute of the first `fail`, or `never`.
int run_gate(const FleetTrace& trace, const telemetry::JudgePolicy& policy);

// Pairs come one by one, each watched for `minutes`: after how many pairs the gate has failed the release, or `never`.
int pairs_needed(const FleetTrace& trace, const telemetry::JudgePolicy& policy, int minutes);

}  // namespace ferry::sim
