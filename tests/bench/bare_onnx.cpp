#include "tests/bench/bare_onnx.hpp"

#include "tests/bench/support.hpp"

#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <cstring>

namespace ferry::bench {
namespace {

constexpr std::int64_t image_shape[] = {1, 1, 28, 28};
constexpr const char* input_names[] = {"image"};
constexpr const char* output_names[] = {"logits"};

Result<> check(const OrtApi& ort, OrtStatus* status) {
  if (status == nullptr) return {};
  Error error{Errc::internal, std::string("bare ONNX Runtime: ") + ort.GetErrorMessage(status)};
  ort.ReleaseStatus(status);
  return error;
}

Result<const OrtApi*> load_api(const Path& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);  // never closed: ONNX Runtime has atexit handlers
  using GetBase = const OrtApiBase* (*)();
  const auto get_base = handle ? reinterpret_cast<GetBase>(dlsym(handle, "OrtGetApiBase")) : nullptr;
  const OrtApi* ort = get_base ? get_base()->GetApi(ORT_API_VERSION) : nullptr;
  if (ort == nullptr) return Error{Errc::unsupported, library.string() + ": not a usable ONNX Runtime"};
  return ort;
}

Result<> set_options(const OrtApi& ort, OrtSessionOptions* options, int threads) {
  TRY_VOID(check(ort, ort.SetIntraOpNumThreads(options, threads)));
  TRY_VOID(check(ort, ort.SetInterOpNumThreads(options, 1)));
  TRY_VOID(check(ort, ort.SetSessionExecutionMode(options, ORT_SEQUENTIAL)));
  TRY_VOID(check(ort, ort.SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL)));
  TRY_VOID(check(ort, ort.AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0")));
  TRY_VOID(check(ort, ort.AddSessionConfigEntry(options, "session.inter_op.allow_spinning", "0")));
  TRY_VOID(check(ort, ort.DisableCpuMemArena(options)));
  return check(ort, ort.DisableMemPattern(options));
}

}  // namespace

struct BareModel::State {
  const OrtApi* ort = nullptr;
  OrtEnv* env = nullptr;
  OrtSession* session = nullptr;
  OrtMemoryInfo* cpu = nullptr;
  ~State() {
    if (session) ort->ReleaseSession(session);
    if (cpu) ort->ReleaseMemoryInfo(cpu);
    if (env) ort->ReleaseEnv(env);
  }
};

BareModel::BareModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
BareModel::~BareModel() = default;

Result<std::unique_ptr<BareModel>> BareModel::open(const Path& library, const std::string& model, int threads) {
  auto state = std::make_unique<State>();
  TRY(state->ort, load_api(library));
  const OrtApi& ort = *state->ort;
  TRY_VOID(check(ort, ort.CreateEnv(ORT_LOGGING_LEVEL_FATAL, "bench", &state->env)));
  TRY_VOID(check(ort, ort.CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &state->cpu)));
  OrtSessionOptions* options = nullptr;
  TRY_VOID(check(ort, ort.CreateSessionOptions(&options)));
  const std::unique_ptr<OrtSessionOptions, void (*)(OrtSessionOptions*)> owned(options, ort.ReleaseSessionOptions);
  TRY_VOID(set_options(ort, options, threads));
  TRY_VOID(check(ort, ort.CreateSessionFromArray(state->env, model.data(), model.size(), options, &state->session)));
  return std::unique_ptr<BareModel>(new BareModel(std::move(state)));
}

Result<> BareModel::run(const std::string& image, std::vector<float>& scores) {
  const OrtApi& ort = *state_->ort;
  OrtValue* input = nullptr;
  OrtValue* output = nullptr;
  TRY_VOID(check(
      ort, ort.CreateTensorWithDataAsOrtValue(state_->cpu, const_cast<char*>(image.data()), image.size(), image_shape,
                                              std::size(image_shape), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input)));
  auto ran = check(ort, ort.Run(state_->session, nullptr, input_names, &input, 1, output_names, 1, &output));
  void* data = nullptr;
  if (ran) ran = check(ort, ort.GetTensorMutableData(output, &data));
  if (ran) std::memcpy(scores.data(), data, scores.size() * sizeof(float));
  if (output) ort.ReleaseValue(output);
  ort.ReleaseValue(input);
  return ran;
}

}  // namespace ferry::bench
