// The seam between Ferry and whatever executes models: one engine today (ONNX Runtime), a second one tomorrow.
#pragma once
#include "common/file.hpp"
#include "runtime/tensor.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::runtime {

struct RuntimeInfo {
  std::string name;     // "onnxruntime"
  std::string version;  // "1.30.0"
};

struct SessionOptions {
  int threads = 1;  // intra-op; the calling thread is one of them
};

constexpr int threads_max = 64;

// A loaded model. One run() at a time; different sessions may run side by side.
class Session {
 public:
  virtual ~Session() = default;
  virtual const std::vector<TensorInfo>& inputs() const = 0;
  virtual const std::vector<TensorInfo>& outputs() const = 0;
  virtual std::int64_t opset() const = 0;  // of the default operator domain; 0: the model names none
  // `outputs` by name, empty: all, in the model's order. bad_input: the inputs do not fit the model (the error names
  // tensor, expected and got). Any other error is the model's or the machine's; reason `trial.memory` when memory ran
  // out. Never throws.
  virtual Result<std::vector<Tensor>> run(std::span<const TensorView> inputs, std::span<const std::string> outputs) = 0;
};

// Thread-safe. Outlives its sessions.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual RuntimeInfo info() const = 0;
  // `model` need not outlive the call. A model that is malformed, or uses what this runtime does not have: bad_input or
  // unsupported with reason `trial.load`; out of memory: reason `trial.memory`. A hostile model may crash the process:
  // only a worker (or CI) calls this.
  virtual Result<std::unique_ptr<Session>> load(std::string_view model, const SessionOptions& options) = 0;
};

// ONNX Runtime from a shared library (its C API, at least version 21). `library` empty: libonnxruntime.so.1 by the
// loader's search path. Errors: not_found, unsupported (too old, or no such API).
Result<std::unique_ptr<Engine>> open_onnx_engine(const Path& library);

}  // namespace ferry::runtime
