// The serving half of the agent as the composition root builds it: workers plus the local inference API.
#pragma once
#include "agent/activator.hpp"
#include "common/log.hpp"
#include "common/random.hpp"
#include "runtime/tensor.hpp"

#include <span>

namespace ferry::agent {

// One answered (or failed) live request, for telemetry. References live for the call only.
struct InferenceSample {
  const SlotContents& release;
  std::chrono::nanoseconds latency;     // as the application saw it, socket excluded
  std::string_view error_type;          // empty: answered
  std::span<const float> class_scores;  // the first item's `class_output`, raw; empty when there is none
  std::span<const runtime::TensorView> inputs = {};
  std::span<const runtime::TensorView> outputs = {};  // of an answered request
};

// One late label for an earlier prediction.
struct LabelSample {
  const SlotContents& release;
  bool correct;
  std::string_view source;            // audit | user | downstream
  std::chrono::nanoseconds delay{0};  // since the prediction
};

// One live request that a candidate in shadow answered too: the raw scores of both for its first item, none empty.
struct ShadowSample {
  const SlotContents& candidate;
  const SlotContents& active;
  std::span<const float> candidate_scores;
  std::span<const float> active_scores;
};

// Implemented by telemetry; called on serving threads, thread-safe, never blocks.
class InferenceObserver {
 public:
  virtual ~InferenceObserver() = default;
  virtual void on_inference(const InferenceSample& sample) = 0;
  virtual void on_label(const LabelSample& sample) = 0;
  // A label whose prediction is not remembered (any more), and a request that does not fit the contract: of the active
  // release.
  virtual void on_unjoinable_label(const SlotContents& release) { static_cast<void>(release); }
  virtual void on_refused_request(const SlotContents& release) { static_cast<void>(release); }
  virtual void on_shadow(const ShadowSample& sample) { static_cast<void>(sample); }
  // Now and then, for the active release.
  virtual void on_worker_memory(const SlotContents& release, std::uint64_t bytes) {
    static_cast<void>(release);
    static_cast<void>(bytes);
  }
};

struct ServingOptions {
  Path data;             // the device's data tree; the socket is run/infer.sock in it
  Path worker_program;   // ferry-worker
  Path runtime_library;  // libonnxruntime.so; empty: the worker's default
  std::string boot;      // random id of this process's life, part of every prediction_id
  std::string http_address = "127.0.0.1";
  std::uint16_t http_port = 0;
  std::function<Json()> status;           // GET /ferry/v1/status
  InferenceObserver* observer = nullptr;  // optional
};

// Lifetime: everything passed by reference outlives it. Destruction closes.
class Serving : public Activator {
 public:
  virtual Result<> open() = 0;          // binds the socket and the loopback port
  virtual void close() = 0;             // drains, stops workers
  virtual std::string url() const = 0;  // "http://127.0.0.1:<port>", after open()
  virtual Path socket() const = 0;
};

std::unique_ptr<Serving> make_serving(ServingOptions options, Clock& clock, Random& random, Log& log);

}  // namespace ferry::agent
