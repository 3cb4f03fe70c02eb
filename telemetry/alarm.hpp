// Hard alarms: what a device itself can be sure of and must not keep to itself until somebody looks (STATS.md §2.4).
#pragma once
#include "telemetry/recorder.hpp"

#include <string>
#include <vector>

namespace ferry::telemetry {

// A healthy release stays below these shares; evidence against that is an e-process, so it may be looked at all the
// time and one odd inference is none.
struct AlarmLimits {
  double output_nan_share = 0.001;  // of the answered inferences
  double input_nan_share = 0.01;    // of the input tensors
  double input_range_share = 0.05;  // of the input tensors
  double error_share = 0.02;        // of all inferences
  double alpha = 0.001;             // false alarms per release, kind and life of the agent
};

struct Alarm {
  std::string reason;   // alarm.output_nan | alarm.input_nan | alarm.input_range | alarm.errors (reasons.md)
  std::string message;  // for a person, with the counts
};
// Pure.
std::vector<Alarm> hard_alarms(const SanityTotals& totals, const AlarmLimits& limits = {});

}  // namespace ferry::telemetry
