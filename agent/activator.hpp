// What the update driver asks of the serving half of the agent: load, prove, shadow, take over, keep or drop a release.
#pragma once
#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/file.hpp"
#include "common/json.hpp"
#include "common/result.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ferry::ota {
struct Manifest;  // ota/manifest.hpp
}

namespace ferry::agent {

// One release as it lies, verified by digest, in a slot. An immutable value; cheap to copy.
struct SlotContents {
  std::string model;
  std::string version;
  std::int64_t counter = 0;
  Digest manifest_sha256;
  std::string slot;                               // "a" | "b"
  std::string variant;                            // name of the chosen variant, found in `manifest`
  std::string variant_reason;                     // the sentence that says why it was chosen
  Path directory;                                 // models/<model>/<slot>: model.onnx, golden.bin, reference.json
  std::shared_ptr<const ota::Manifest> manifest;  // never null
  std::string rollout;                            // "" for a release that is simply current
  std::string arm;                                // canary | control | none
};

// What happened to copies of live requests so far.
struct ShadowReport {
  std::uint64_t mirrored = 0;        // copies that were answered or failed
  std::uint64_t errors = 0;          // of them: the candidate answered with an error
  std::uint64_t crashes = 0;         // the candidate's worker died or was killed
  std::uint64_t latency_p50_us = 0;  // of the answered copies
  std::uint64_t latency_p99_us = 0;
  std::string
      reason;  // reasons.md code of the first crash or error: trial.memory, trial.crash, trial.hang, trial.errors
  std::string message;  // the same for a person
};

// What happened to live requests since the candidate took over.
struct ProbationReport {
  std::uint64_t requests = 0;  // live requests the candidate was asked
  std::uint64_t errors = 0;    // of them: model errors (not the caller's bad input)
  std::uint64_t crashes = 0;
  std::string reason;  // as in ShadowReport
  std::string message;
};

// Something the driver must look at soon; it then asks for the reports. Never carries the decision itself.
enum class ActivatorSignal {
  candidate_died,      // in prove, shadow or probation
  candidate_progress,  // enough mirrored or live requests to be worth a look (at most once a second or every 32
                       // requests)
  active_died,         // the committed release's worker died; the activator restarts it with back-off by itself
  active_unloadable    // it does not come back (missing or damaged file): the driver verifies the slot's digests
};

// Per model: at most one active release and one candidate. A release that failed leaves no trace: errors of prove() and
// take_over() drop the candidate. Methods block (bounded: load and prove have their own limits); thread-safe; calls for
// different models run side by side. Errors carry Error::reason from reasons.md (trial.load, trial.golden,
// trial.latency, trial.memory, trial.crash, trial.hang).
class Activator {
 public:
  virtual ~Activator() = default;

  // Boot, fall back after slot corruption: serve this release. Any other active of the model stops once the new one is
  // loaded. When it does not load the activator keeps retrying with back-off and the error says why.
  virtual Result<> start(const SlotContents& active) = 0;
  // Nothing serves this model any more (its only slot is damaged).
  virtual void stop(const std::string& model) = 0;

  // Loads the candidate in a second worker under its budget's memory limit, compares golden outputs, measures latency
  // and memory against the variant's budget. `limit` bounds the whole; `cancel` is polled. Success keeps it loaded.
  // Calling it again for the same candidate starts over.
  virtual Result<> prove(const SlotContents& candidate, Duration limit, const std::atomic<bool>& cancel) = 0;
  // Copies of live requests go to the proved candidate; its answers are only counted. Copies that would make a live
  // request wait are left out.
  virtual Result<> begin_shadow(const std::string& model) = 0;
  virtual ShadowReport shadow_report(const std::string& model) = 0;
  // Between two requests the proved candidate starts to answer; the old one stays loaded. When the candidate's worker
  // dies in probation the old one answers again at once (the failed request is retried there), before any signal.
  // Counters of probation_report start at zero.
  virtual Result<> take_over(const std::string& model) = 0;
  virtual ProbationReport probation_report(const std::string& model) = 0;
  // The candidate is the active one from here on; the old worker stops and its memory is freed. Idempotent: when the
  // model's active already is `release`, only its rollout and arm are taken over (a control device is relabelled this
  // way); when it is not loaded, this is start().
  virtual Result<> commit(const SlotContents& release) = 0;
  // The old release answers again (when it had been replaced), the candidate's worker is stopped. Idempotent; fine
  // without a candidate.
  virtual void fall_back(const std::string& model) = 0;

  // The document of docs/formats/device-api.md `PUT /device/v1/profile` (asks a worker, cached for the process's life).
  virtual Result<Json> hardware_profile() = 0;
  // "serving" | "loading" | "down" | "none", for the status document.
  virtual std::string serving_state(const std::string& model) const = 0;

  // Called on a thread of the activator, must return at once. Set before the first start().
  virtual void on_signal(std::function<void(const std::string& model, ActivatorSignal)> listener) = 0;
};

}  // namespace ferry::agent
