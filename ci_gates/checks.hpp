// The checks: from what a variant did to a verdict per metric. Pure functions.
#pragma once
#include "ci_gates/evaluation.hpp"
#include "ci_gates/measurement.hpp"
#include "ci_gates/policy.hpp"

#include <string>
#include <vector>

namespace ferry::ci_gates {

// What a variant's own part of the manifest limits.
struct VariantLimits {
  ota::Budget budget;
  double golden_tolerance = 0;
};

// `scope` is "<hardware class>/<variant>", the second half of every id (docs/formats/gate.md lists them). The checks
// against the deployed release and against frozen golden outputs are there when those were measured. A contract that
// does not fit yields contract.fits alone. Slices: slices.hpp.
std::vector<Measurement> check_variant(const Evaluation& evaluation, const GatePolicy& policy,
                                       const VariantLimits& limits, const std::string& scope);

// A variant that could not be run at all (load error, crash, hang, out of memory): one failed line, contract.fits, that
// says why.
Measurement check_not_run(const Error& error, const std::string& scope);

}  // namespace ferry::ci_gates
