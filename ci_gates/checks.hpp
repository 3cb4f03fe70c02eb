// The checks: from what a variant did to a verdict per metric. Pure functions.
#pragma once
#include "ci_gates/evaluation.hpp"
#include "ci_gates/measurement.hpp"
#include "ci_gates/policy.hpp"

#include <string>
#include <vector>

namespace ferry::ci_gates {

// `scope` is "<hardware class>/<variant>", the second half of every id.
// accuracy.top1, accuracy.regression (with a baseline), latency.p99, latency.regression (with a baseline),
// memory.peak, golden.determinism, contract.fits. A contract that does not fit yields contract.fits alone.
std::vector<Measurement> check_variant(const Evaluation& evaluation, const GatePolicy& policy,
                                       const ota::Budget& budget, const std::string& scope);

// A variant that could not be run at all (load error, crash, hang, out of memory): one failed line, contract.fits, that
// says why.
Measurement check_not_run(const Error& error, const std::string& scope);

}  // namespace ferry::ci_gates
