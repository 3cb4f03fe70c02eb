// Runs one variant in the real runtime over the gate's data and says what it did. No verdicts here.
#pragma once
#include "ci_gates/blocks.hpp"
#include "ci_gates/dataset.hpp"
#include "ota/manifest.hpp"
#include "runtime/engine.hpp"
#include "runtime/golden.hpp"
#include "telemetry/reference_profile.hpp"

#include <string>
#include <vector>

namespace ferry::ci_gates {

struct EvaluationPlan {
  std::uint64_t golden_samples = 16;
  int threads = 1;
  std::vector<int> cores;  // the process is pinned to these; empty: to none
  BlockPlan blocks;
  // Of a manifest that is frozen already: what its outputs must be on this machine too.
  std::vector<runtime::GoldenSample> frozen_golden;
  double golden_tolerance = 0;
};

// Everything the checks need, as values that can cross a process boundary.
struct Evaluation {
  std::int64_t opset = 0;
  std::string runtime_name, runtime_version;
  std::string contract_error;  // not empty: the model does not fit the contract, nothing else was run
  std::uint64_t model_bytes = 0;
  double load_ms = 0;            // of the first load in a new process
  std::string correct;           // one '0' or '1' per sample; empty for a task other than classification
  std::string baseline_correct;  // empty without a baseline
  std::uint64_t scanned = 0, with_nan = 0, with_infinity = 0;  // outputs over the data set
  Blocks latency;                                              // batch 1, after warm-up
  std::uint64_t memory_peak_bytes = 0;  // of the whole process that ran it, before the baseline was loaded
  std::string determinism_error;        // not empty: two runs of the same input differed
  std::vector<runtime::GoldenSample> golden;
  std::uint64_t golden_compared = 0;      // with the frozen ones
  double golden_difference = 0;           // largest absolute one
  std::string golden_error;               // not empty: not the frozen outputs within the tolerance
  telemetry::ReferenceProfile reference;  // empty (samples 0) for a task other than classification
};

// A baseline's model, to be measured in the same process and interleaved.
struct BaselineModel {
  std::string bytes;
};

// Loads and runs `model`. Errors: the model does not load, or an inference fails (reason trial.*);
// unsupported without a reason when the process cannot be pinned as planned. May crash on a hostile model: call it
// through evaluate_in_child.
Result<Evaluation> evaluate(const Path& runtime_library, std::string_view model, const BaselineModel* baseline,
                            const ota::Manifest& manifest, const Dataset& dataset, const EvaluationPlan& plan);

Json to_json(const Evaluation& evaluation);
Result<Evaluation> evaluation_from_json(const Json& document);

// The same in a child process, so that a model that crashes, hangs or eats memory fails its gate and not CI.
// gate_failed with reason trial.crash, trial.hang or trial.memory when the child ends badly. The calling process has
// one thread and has not loaded the runtime (fork without exec).
Result<Evaluation> evaluate_in_child(const Path& runtime_library, std::string_view model, const BaselineModel* baseline,
                                     const ota::Manifest& manifest, const Dataset& dataset, const EvaluationPlan& plan,
                                     std::uint64_t memory_bytes_max, std::chrono::seconds time_limit);

}  // namespace ferry::ci_gates
