// Runs one variant in the real runtime over the gate's data and says what it did. No verdicts here.
#pragma once
#include "ci_gates/dataset.hpp"
#include "ota/manifest.hpp"
#include "runtime/engine.hpp"
#include "runtime/golden.hpp"
#include "telemetry/reference_profile.hpp"

#include <string>
#include <vector>

namespace ferry::ci_gates {

struct EvaluationPlan {
  std::uint64_t latency_samples = 1'000;
  std::uint64_t golden_samples = 16;
  int threads = 1;
};

// Everything the checks need, as values that can cross a process boundary.
struct Evaluation {
  std::int64_t opset = 0;
  std::string runtime_name, runtime_version;
  std::string contract_error;                 // not empty: the model does not fit the contract, nothing else was run
  std::string correct;                        // one '0' or '1' per sample; empty for a task other than classification
  std::vector<double> latencies_us;           // batch 1, after warm-up, in order
  std::vector<double> baseline_latencies_us;  // interleaved with the above, block by block; empty without a baseline
  std::string baseline_correct;
  std::uint64_t memory_peak_bytes = 0;  // of the whole process that ran it
  std::string determinism_error;        // not empty: two runs of the same input differed
  std::vector<runtime::GoldenSample> golden;
  telemetry::ReferenceProfile reference;  // empty (samples 0) for a task other than classification
};

// A baseline's model, to be measured in the same process and interleaved.
struct BaselineModel {
  std::string bytes;
};

inline constexpr std::size_t latency_block_runs = 50;  // inferences of one model before the other has its turn

// Loads and runs `model`. Errors: the model does not load, or an inference fails (reason trial.*). May crash on a
// hostile model: call it through evaluate_in_child.
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
