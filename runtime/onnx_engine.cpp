// ONNX Runtime behind the Engine seam: its C API, found with dlopen. The only file of Ferry that includes it.
#include "runtime/engine.hpp"
#include "runtime/onnx_model.hpp"

#include <onnxruntime_c_api.h>

#include <dlfcn.h>
#include <cstring>

namespace ferry::runtime {
namespace {

constexpr const char* default_library = "libonnxruntime.so.1";

// The API table is a static of the library, which is never unloaded (ONNX Runtime keeps thread-locals and atexit
// handlers, so dlclose would leave them dangling).
struct Api {
  const OrtApi* ort = nullptr;
  std::string version;
};

template <class T>
using Release = void (*)(T*);

// An ONNX Runtime object with its releaser, which is only known at run time.
template <class T>
class Owned {
 public:
  explicit Owned(Release<T> release) : release_(release) {}
  Owned(Owned&& other) noexcept : pointer_(std::exchange(other.pointer_, nullptr)), release_(other.release_) {}
  Owned& operator=(Owned&&) = delete;
  ~Owned() {
    if (pointer_ != nullptr) release_(pointer_);
  }
  T* get() const { return pointer_; }
  T** out() { return &pointer_; }

 private:
  T* pointer_ = nullptr;
  Release<T> release_;
};

bool says_out_of_memory(std::string_view message) {
  // ONNX Runtime has no status code for it; these are its texts (bfc_arena.cc, allocator.cc, and std::bad_alloc).
  for (std::string_view text : {"bad_alloc", "Failed to allocate memory", "failed to allocate", "Out of memory",
                                "out of memory", "Cannot allocate memory", "std::length_error"}) {
    if (message.find(text) != std::string_view::npos) return true;
  }
  return false;
}

// Takes ownership of `status`. `reason` is what a failure means here unless memory ran out.
Result<> check(const Api& api, OrtStatus* status, std::string_view what, std::string_view reason) {
  if (status == nullptr) return {};
  OrtErrorCode code = api.ort->GetErrorCode(status);
  std::string message = api.ort->GetErrorMessage(status);
  api.ort->ReleaseStatus(status);
  std::string context = std::string(what) + ": " + message;
  if (says_out_of_memory(message)) return Error{Errc::no_space, std::move(context), "trial.memory"};
  Errc mapped = Errc::internal;
  if (code == ORT_NOT_IMPLEMENTED || code == ORT_EP_FAIL) mapped = Errc::unsupported;
  if (code == ORT_INVALID_PROTOBUF || code == ORT_INVALID_GRAPH || code == ORT_NO_MODEL ||
      code == ORT_INVALID_ARGUMENT) {
    mapped = Errc::bad_input;
  }
  return Error{mapped, std::move(context), std::string(reason)};
}

struct TypeRow {
  ONNXTensorElementDataType onnx;
  DataType ferry;
};
constexpr TypeRow type_rows[] = {
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, DataType::boolean},  {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, DataType::uint8},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, DataType::uint16}, {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, DataType::uint32},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, DataType::uint64}, {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, DataType::int8},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, DataType::int16},   {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, DataType::int32},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, DataType::int64},   {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, DataType::fp16},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, DataType::fp32},    {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, DataType::fp64},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, DataType::bf16}};

ONNXTensorElementDataType to_onnx(DataType type) { return std::ranges::find(type_rows, type, &TypeRow::ferry)->onnx; }

Result<DataType> from_onnx(ONNXTensorElementDataType type, std::string_view where) {
  auto row = std::ranges::find(type_rows, type, &TypeRow::onnx);
  if (row != std::end(type_rows)) return row->ferry;
  return Error{Errc::unsupported,
               std::string(where) + ": element type " + std::to_string(type) +
                   " of ONNX (strings, complex, 8-bit floats) is not supported",
               "trial.load"};
}

// Type and shape of a tensor; dynamic dimensions come as -1.
Result<> read_type(const Api& api, const OrtTensorTypeAndShapeInfo* type, std::string_view where, TensorInfo& into) {
  ONNXTensorElementDataType element{};
  TRY_VOID(check(api, api.ort->GetTensorElementType(type, &element), where, "trial.load"));
  TRY(into.datatype, from_onnx(element, where));
  std::size_t rank = 0;
  TRY_VOID(check(api, api.ort->GetDimensionsCount(type, &rank), where, "trial.load"));
  if (rank > dimensions_max) {
    return Error{Errc::unsupported,
                 std::string(where) + ": " + std::to_string(rank) + " dimensions, at most " +
                     std::to_string(dimensions_max) + " are supported",
                 "trial.load"};
  }
  into.shape.resize(rank);
  TRY_VOID(check(api, api.ort->GetDimensions(type, into.shape.data(), rank), where, "trial.load"));
  return {};
}

class OnnxSession final : public Session {
 public:
  OnnxSession(Api api, Owned<OrtSession> session) : api_(std::move(api)), session_(std::move(session)) {}
  ~OnnxSession() override {
    if (cpu_ != nullptr) api_.ort->ReleaseMemoryInfo(cpu_);
  }

  Result<> describe(std::string_view model) {
    TRY_VOID(check(api_, api_.ort->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &cpu_), "memory info",
                   "trial.load"));
    std::size_t inputs = 0;
    std::size_t outputs = 0;
    TRY_VOID(check(api_, api_.ort->SessionGetInputCount(session_.get(), &inputs), "inputs", "trial.load"));
    TRY_VOID(check(api_, api_.ort->SessionGetOutputCount(session_.get(), &outputs), "outputs", "trial.load"));
    if (inputs > tensors_max || outputs > tensors_max || outputs == 0) {
      return Error{Errc::unsupported,
                   "model has " + std::to_string(inputs) + " inputs and " + std::to_string(outputs) +
                       " outputs, at most " + std::to_string(tensors_max) + " of each and one output are supported",
                   "trial.load"};
    }
    for (std::size_t at = 0; at < inputs; ++at) TRY_VOID(describe_one(true, at, inputs_));
    for (std::size_t at = 0; at < outputs; ++at) TRY_VOID(describe_one(false, at, outputs_));
    for (const auto& output : outputs_) all_outputs_.push_back(output.name.c_str());
    opset_ = onnx_opset(model);
    return {};
  }

  const std::vector<TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<TensorInfo>& outputs() const override { return outputs_; }
  std::int64_t opset() const override { return opset_; }
  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs, std::span<const std::string> outputs) override;

 private:
  Result<> describe_one(bool input, std::size_t at, std::vector<TensorInfo>& into);
  Result<Tensor> take(OrtValue* value, std::string_view name) const;
  Result<std::vector<const char*>> output_names(std::span<const std::string> outputs) const;

  Api api_;
  Owned<OrtSession> session_;
  OrtMemoryInfo* cpu_ = nullptr;
  std::vector<TensorInfo> inputs_;
  std::vector<TensorInfo> outputs_;
  std::vector<const char*> all_outputs_;
  std::int64_t opset_ = 0;
};

Result<> OnnxSession::describe_one(bool input, std::size_t at, std::vector<TensorInfo>& into) {
  std::string where = (input ? "input " : "output ") + std::to_string(at);
  OrtAllocator* allocator = nullptr;
  TRY_VOID(check(api_, api_.ort->GetAllocatorWithDefaultOptions(&allocator), where, "trial.load"));
  char* name = nullptr;
  TRY_VOID(check(api_,
                 input ? api_.ort->SessionGetInputName(session_.get(), at, allocator, &name)
                       : api_.ort->SessionGetOutputName(session_.get(), at, allocator, &name),
                 where, "trial.load"));
  TensorInfo info;
  info.name = name;
  TRY_VOID(check(api_, api_.ort->AllocatorFree(allocator, name), where, "trial.load"));
  where += " \"" + info.name.substr(0, tensor_name_bytes_max) + "\"";
  if (info.name.size() > tensor_name_bytes_max) {
    return Error{Errc::unsupported, where + ": name longer than " + std::to_string(tensor_name_bytes_max) + " bytes",
                 "trial.load"};
  }
  Owned<OrtTypeInfo> type(api_.ort->ReleaseTypeInfo);
  TRY_VOID(check(api_,
                 input ? api_.ort->SessionGetInputTypeInfo(session_.get(), at, type.out())
                       : api_.ort->SessionGetOutputTypeInfo(session_.get(), at, type.out()),
                 where, "trial.load"));
  const OrtTensorTypeAndShapeInfo* tensor = nullptr;  // owned by `type`
  TRY_VOID(check(api_, api_.ort->CastTypeInfoToTensorInfo(type.get(), &tensor), where, "trial.load"));
  if (tensor == nullptr) {
    return Error{Errc::unsupported, where + ": not a tensor (sequence, map or optional)", "trial.load"};
  }
  TRY_VOID(read_type(api_, tensor, where, info));
  into.push_back(std::move(info));
  return {};
}

Result<std::vector<const char*>> OnnxSession::output_names(std::span<const std::string> outputs) const {
  if (outputs.empty()) return all_outputs_;
  std::vector<const char*> names;
  for (const auto& wanted : outputs) {
    auto found = std::ranges::find(outputs_, wanted, &TensorInfo::name);
    if (found == outputs_.end()) {
      std::string known;
      for (const auto& output : outputs_) known += (known.empty() ? "\"" : ", \"") + output.name + "\"";
      return Error{Errc::bad_input, "output \"" + wanted.substr(0, tensor_name_bytes_max) +
                                        "\": the model has no such output, only " + known};
    }
    names.push_back(found->name.c_str());
  }
  return names;
}

Result<Tensor> OnnxSession::take(OrtValue* value, std::string_view name) const {
  std::string where = "output \"" + std::string(name) + "\"";
  Owned<OrtTensorTypeAndShapeInfo> type(api_.ort->ReleaseTensorTypeAndShapeInfo);
  TRY_VOID(check(api_, api_.ort->GetTensorTypeAndShape(value, type.out()), where, "trial.errors"));
  TensorInfo info;
  TRY_VOID(read_type(api_, type.get(), where, info));
  auto bytes = tensor_bytes(info.datatype, info.shape);
  if (!bytes) return Error{Errc::unsupported, where + ": " + bytes.error().context, "trial.errors"};
  Tensor tensor{std::string(name), info.datatype, std::move(info.shape), {}};
  if (*bytes == 0) return tensor;
  void* data = nullptr;
  TRY_VOID(check(api_, api_.ort->GetTensorMutableData(value, &data), where, "trial.errors"));
  tensor.bytes.assign(static_cast<const char*>(data), *bytes);
  return tensor;
}

Result<std::vector<Tensor>> OnnxSession::run(std::span<const TensorView> inputs,
                                             std::span<const std::string> outputs) try {
  TRY_VOID(check_inputs(inputs_, inputs));
  TRY(auto wanted, output_names(outputs));
  std::vector<const char*> names;
  std::vector<Owned<OrtValue>> values;
  std::vector<const OrtValue*> value_pointers;
  std::vector<std::vector<std::max_align_t>> aligned;  // copies of inputs whose bytes are not aligned for their type
  static std::max_align_t nothing{};                   // a tensor without elements still wants an address
  for (const auto& input : inputs) {
    auto* data = const_cast<char*>(input.bytes.data());  // ONNX Runtime does not write to inputs
    if (input.bytes.empty()) {
      data = reinterpret_cast<char*>(&nothing);
    } else if (reinterpret_cast<std::uintptr_t>(data) % element_bytes(input.datatype) != 0) {
      aligned.emplace_back((input.bytes.size() + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t));
      data = reinterpret_cast<char*>(aligned.back().data());
      std::memcpy(data, input.bytes.data(), input.bytes.size());
    }
    auto& value = values.emplace_back(api_.ort->ReleaseValue);
    TRY_VOID(check(api_,
                   api_.ort->CreateTensorWithDataAsOrtValue(cpu_, data, input.bytes.size(), input.shape.data(),
                                                            input.shape.size(), to_onnx(input.datatype), value.out()),
                   "input \"" + input.name + "\"", "trial.errors"));
    names.push_back(input.name.c_str());
    value_pointers.push_back(value.get());
  }
  std::vector<OrtValue*> results(wanted.size(), nullptr);
  auto status = api_.ort->Run(session_.get(), nullptr, names.data(), value_pointers.data(), names.size(), wanted.data(),
                              wanted.size(), results.data());
  std::vector<Owned<OrtValue>> owned;
  for (auto* result : results) *owned.emplace_back(api_.ort->ReleaseValue).out() = result;
  auto ran = check(api_, status, "inference", "trial.errors");
  if (!ran) {
    // The inputs fit the model's declaration; what the model then cannot do with them is the model's failure.
    if (ran.error().code == Errc::bad_input) return Error{Errc::internal, ran.error().context, ran.error().reason};
    return ran.error();
  }
  std::vector<Tensor> answer;
  for (std::size_t at = 0; at < owned.size(); ++at) {
    TRY(auto tensor, take(owned[at].get(), wanted[at]));
    answer.push_back(std::move(tensor));
  }
  return answer;
} catch (const std::exception& problem) {  // bad_alloc of our own copies
  return Error{Errc::no_space, std::string("inference: ") + problem.what(), "trial.memory"};
}

class OnnxEngine final : public Engine {
 public:
  OnnxEngine(Api api, Owned<OrtEnv> env) : api_(std::move(api)), env_(std::move(env)) {}
  RuntimeInfo info() const override { return {"onnxruntime", api_.version}; }
  Result<std::unique_ptr<Session>> load(std::string_view model, const SessionOptions& options) override;

 private:
  Result<> configure(OrtSessionOptions* into, const SessionOptions& options) const;

  Api api_;
  Owned<OrtEnv> env_;
};

Result<> OnnxEngine::configure(OrtSessionOptions* into, const SessionOptions& options) const {
  const auto& ort = *api_.ort;
  auto must = [this](OrtStatus* status) { return check(api_, status, "session options", "trial.load"); };
  if (options.threads < 1 || options.threads > threads_max) {
    return Error{Errc::bad_input,
                 "threads: " + std::to_string(options.threads) + ", expected 1 to " + std::to_string(threads_max)};
  }
  TRY_VOID(must(ort.SetIntraOpNumThreads(into, options.threads)));
  TRY_VOID(must(ort.SetInterOpNumThreads(into, 1)));
  TRY_VOID(must(ort.SetSessionExecutionMode(into, ORT_SEQUENTIAL)));
  TRY_VOID(must(ort.SetSessionGraphOptimizationLevel(into, ORT_ENABLE_ALL)));
  // An edge device has other things to do: threads sleep between requests, memory goes back after each.
  TRY_VOID(must(ort.AddSessionConfigEntry(into, "session.intra_op.allow_spinning", "0")));
  TRY_VOID(must(ort.AddSessionConfigEntry(into, "session.inter_op.allow_spinning", "0")));
  TRY_VOID(must(ort.DisableCpuMemArena(into)));
  TRY_VOID(must(ort.DisableMemPattern(into)));  // would plan (and keep) one arena block per input shape
  // A model is one file, verified by digest: weights in files beside it would be unverified.
  TRY_VOID(must(ort.AddSessionConfigEntry(into, "session.model_external_initializers_file_folder_path",
                                          "/nonexistent/ferry-models-are-one-file")));
  return {};
}

Result<std::unique_ptr<Session>> OnnxEngine::load(std::string_view model, const SessionOptions& options) try {
  if (model.empty()) return Error{Errc::bad_input, "model: the file is empty", "trial.load"};
  Owned<OrtSessionOptions> session_options(api_.ort->ReleaseSessionOptions);
  TRY_VOID(check(api_, api_.ort->CreateSessionOptions(session_options.out()), "session options", "trial.load"));
  TRY_VOID(configure(session_options.get(), options));
  Owned<OrtSession> session(api_.ort->ReleaseSession);
  TRY_VOID(check(
      api_,
      api_.ort->CreateSessionFromArray(env_.get(), model.data(), model.size(), session_options.get(), session.out()),
      "model", "trial.load"));
  auto loaded = std::make_unique<OnnxSession>(api_, std::move(session));
  auto described = loaded->describe(model);
  if (!described) return std::move(described).error().within("model");
  return std::unique_ptr<Session>(std::move(loaded));
} catch (const std::exception& problem) {
  return Error{Errc::no_space, std::string("model: ") + problem.what(), "trial.memory"};
}

}  // namespace

Result<std::unique_ptr<Engine>> open_onnx_engine(const Path& library) {
  std::string name = library.empty() ? std::string(default_library) : library.string();
  void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* why = dlerror();
    return Error{Errc::not_found, "runtime library " + name + ": " + (why != nullptr ? why : "cannot be loaded") +
                                      "; set runtime.library to libonnxruntime.so of ONNX Runtime"};
  }
  using GetBase = const OrtApiBase* (*)();
  auto get_base = reinterpret_cast<GetBase>(dlsym(handle, "OrtGetApiBase"));
  const OrtApiBase* base = get_base != nullptr ? get_base() : nullptr;
  if (base == nullptr)
    return Error{Errc::unsupported, "runtime library " + name + ": has no OrtGetApiBase; not ONNX Runtime"};
  Api api{base->GetApi(ORT_API_VERSION), base->GetVersionString()};
  if (api.ort == nullptr) {
    return Error{Errc::unsupported, "runtime library " + name + ": ONNX Runtime " + api.version + " lacks C API " +
                                        std::to_string(ORT_API_VERSION) + "; use 1." + std::to_string(ORT_API_VERSION) +
                                        " or newer"};
  }
  Owned<OrtEnv> env(api.ort->ReleaseEnv);
  // Errors come back as statuses; a second telling on stderr would only fill the log.
  TRY_VOID(check(api, api.ort->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "ferry", env.out()), "runtime", ""));
  return std::unique_ptr<Engine>(std::make_unique<OnnxEngine>(std::move(api), std::move(env)));
}

}  // namespace ferry::runtime
