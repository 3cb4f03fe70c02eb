// Small real releases in slots, real workers, and a client on the real socket: what the tests of the serving half
// share.
#pragma once
#include "agent/runtime_activator.hpp"
#include "common/http_client.hpp"
#include "ota/manifest.hpp"
#include "runtime/golden.hpp"
#include "tests/runtime/onnx_builder.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <cmath>

#include <catch2/catch.hpp>

#include <nlohmann/json.hpp>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

namespace ferry::test {

inline Path worker_program() { return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ferry-worker"; }

// True as soon as `condition` holds; looks again every few milliseconds, for events of other processes.
inline bool eventually(const std::function<bool()>& condition, std::chrono::seconds limit = std::chrono::seconds{20}) {
  auto until = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    ::poll(nullptr, 0, 3);  // of another process nothing here is notified
  }
  return true;
}

// This process's ferry-workers that live.
inline std::vector<pid_t> living_workers() {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    auto stat = read_file(entry.path() / "stat", 4096);  // "pid (comm) state ppid …"
    if (!stat || stat->find("(ferry-worker) ") == std::string::npos) continue;
    auto rest = stat->substr(stat->rfind(')') + 2);
    bool ended = rest[0] == 'Z' || rest[0] == 'X';
    if (!ended && std::stoi(rest.substr(2)) == ::getpid()) found.push_back(std::stoi(name));
  }
  return found;
}

inline runtime::Tensor int_tensor(std::string name, const std::vector<std::int64_t>& values) {
  return {std::move(name), runtime::DataType::int64, {static_cast<std::int64_t>(values.size())}, bytes_of(values)};
}

// x int64 [-1] -> y: what the releases of these tests do differs, how they are asked does not.
inline OnnxModel from_x(int type = onnx_int64, std::vector<std::int64_t> shape = {-1}) {
  OnnxModel model;
  model.inputs = {{"x", onnx_int64, {-1}}};
  model.outputs = {{"y", type, std::move(shape)}};
  return model;
}
inline std::string twice_model() {  // y = 2x
  auto model = from_x();
  model.nodes = {{"Add", {"x", "x"}, {"y"}}};
  return onnx_bytes(model);
}
inline std::string thrice_model() {  // y = 3x
  auto model = from_x();
  model.nodes = {{"Add", {"x", "x"}, {"t"}}, {"Add", {"t", "x"}, {"y"}}};
  return onnx_bytes(model);
}
inline std::string crashing_model() {  // y = smallest / x: dividing by -1 overflows, which kills the process (SIGFPE)
  auto model = from_x();
  model.constants = {{"smallest", onnx_int64, {1}, bytes_of<std::int64_t>({std::numeric_limits<std::int64_t>::min()})}};
  model.nodes = {{"Div", {"smallest", "x"}, {"y"}}};
  return onnx_bytes(model);
}
inline std::string picky_model() {  // y = row x of ten: an x beyond it is an error of the model
  auto model = from_x();
  model.constants = {{"rows", onnx_int64, {10}, bytes_of<std::int64_t>({0, 2, 4, 6, 8, 10, 12, 14, 16, 18})}};
  model.nodes = {{"Gather", {"rows", "x"}, {"y"}}};
  return onnx_bytes(model);
}
inline std::string greedy_model() {  // as many floats as x says, twice; y = their sum
  auto model = from_x(onnx_float, {});
  model.nodes = {{"ConstantOfShape", {"x"}, {"zeros"}},
                 {"Exp", {"zeros"}, {"ones"}},
                 {"ReduceSum", {"ones"}, {"y"}, {{"keepdims", 0}}}};
  return onnx_bytes(model);
}
const std::vector<std::int64_t> greedy_question{20'000, 10'000};  // 2 x 800 MB

// The answer of a model with one number as its output.
inline runtime::Tensor float_scalar(float value) {
  return {"y", runtime::DataType::fp32, {}, bytes_of<float>({value})};
}

struct ReleaseSpec {
  std::string version = "1.0.0";
  std::int64_t counter = 1;
  std::string model_bytes = twice_model();
  std::vector<std::int64_t> golden_x = {2, 5};
  std::vector<runtime::Tensor> golden_outputs = {int_tensor("y", {4, 10})};
  std::int64_t memory_mib = 256;
  std::optional<std::int64_t> latency_p99_us = {};
  std::string slot = "a";
  std::string rollout = "";
  std::function<void(ota::Manifest&)> edit = {};
};

// Writes the files of a slot and says what lies there.
inline agent::SlotContents put_release(const Path& data, const ReleaseSpec& spec, const std::string& model = "m") {
  agent::SlotContents release;
  release.directory = data / "models" / model / spec.slot;
  REQUIRE(make_directories(release.directory));
  runtime::GoldenSample sample;
  sample.inputs = {int_tensor("x", spec.golden_x)};
  sample.outputs = spec.golden_outputs;
  auto golden = runtime::format_golden({sample});
  REQUIRE(golden);
  auto blob = [&](const char* name, const std::string& bytes) {
    REQUIRE(write_file_atomic(release.directory / name, bytes));
    return ota::BlobRef{name, sha256(bytes), bytes.size()};
  };
  ota::Manifest manifest;
  manifest.model = model;
  manifest.version = spec.version;
  manifest.counter = spec.counter;
  manifest.contract.task = "classification";
  manifest.contract.class_output = "y";
  manifest.contract.inputs = {{"x", "INT64", {-1}}};
  const auto& output = spec.golden_outputs.front();
  manifest.contract.outputs = {
      {"y", std::string(to_string(output.datatype)), std::vector<std::int64_t>(output.shape.size(), -1)}};
  ota::Variant variant;
  variant.name = "fp32";
  variant.precision = "fp32";
  variant.file = blob("model.onnx", spec.model_bytes);
  variant.golden = blob("golden.bin", *golden);
  variant.golden_tolerance = 0.001;
  variant.budget.memory_mib = spec.memory_mib;
  variant.budget.latency_p99_us = spec.latency_p99_us;
  manifest.variants = {variant};
  if (spec.edit) spec.edit(manifest);
  release.model = model;
  release.version = spec.version;
  release.counter = spec.counter;
  release.manifest_sha256 = sha256(ota::print_manifest(manifest));
  release.slot = spec.slot;
  release.variant = "fp32";
  release.manifest = std::make_shared<const ota::Manifest>(std::move(manifest));
  release.rollout = spec.rollout;
  release.arm = "none";
  return release;
}

// What telemetry would have been told.
class CountingObserver final : public agent::InferenceObserver {
 public:
  void on_inference(const agent::InferenceSample& sample) override {
    std::lock_guard lock(mutex_);
    if (sample.error_type.empty())
      ++answered_[sample.release.version];
    else
      errors_.emplace_back(sample.error_type);
    scores_.assign(sample.class_scores.begin(), sample.class_scores.end());
    inputs_ = sample.inputs.size();
    outputs_ = sample.outputs.size();
  }
  void on_label(const agent::LabelSample& sample) override {
    std::lock_guard lock(mutex_);
    labels_.push_back(std::string(sample.source) + (sample.correct ? " correct" : " wrong"));
  }
  void on_unjoinable_label(const agent::SlotContents&) override {
    std::lock_guard lock(mutex_);
    labels_.push_back("unjoinable");
  }
  void on_refused_request(const agent::SlotContents&) override {
    std::lock_guard lock(mutex_);
    ++refused_;
  }
  // "1.1.0 {3 6} beside 1.0.0 {2 4}"
  void on_shadow(const agent::ShadowSample& sample) override {
    const auto text = [](const agent::SlotContents& release, std::span<const float> scores) {
      std::string all;
      for (float score : scores) all += (all.empty() ? "" : " ") + std::to_string(std::lround(score));
      return release.version + " {" + all + "}";
    };
    std::lock_guard lock(mutex_);
    compared_.push_back(text(sample.candidate, sample.candidate_scores) + " beside " +
                        text(sample.active, sample.active_scores));
  }
  void on_worker_memory(const agent::SlotContents& release, std::uint64_t bytes) override {
    std::lock_guard lock(mutex_);
    memory_[release.version] = bytes;
  }
  int answered(const std::string& version) const { return read(answered_)[version]; }
  std::uint64_t memory(const std::string& version) const { return read(memory_)[version]; }
  std::vector<std::string> errors() const { return read(errors_); }
  std::vector<std::string> labels() const { return read(labels_); }
  int refused() const { return read(refused_); }
  std::vector<std::string> compared() const { return read(compared_); }
  std::size_t inputs() const { return read(inputs_); }
  std::size_t outputs() const { return read(outputs_); }
  std::vector<float> scores() const { return read(scores_); }

 private:
  template <class T>
  T read(const T& value) const {
    std::lock_guard lock(mutex_);
    return value;
  }
  mutable std::mutex mutex_;  // guards all below
  std::map<std::string, int> answered_;
  std::map<std::string, std::uint64_t> memory_;
  std::vector<std::string> errors_, labels_, compared_;
  std::vector<float> scores_;
  int refused_ = 0;
  std::size_t inputs_ = 0, outputs_ = 0;  // of the latest inference
};

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
  Json json() const { return Json::parse(body, nullptr, false); }
};

// The serving half alone, open, with an observer. Limits are short where a test waits for them.
struct ServingWorld {
  TempDir directory;
  SystemClock clock;
  SystemRandom random;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::debug};
  CountingObserver observer;
  std::mutex mutex;  // guards signals
  std::vector<agent::ActivatorSignal> signals;
  std::unique_ptr<agent::RuntimeActivator> activator;
  std::atomic<bool> no_cancel{false};

  explicit ServingWorld(agent::WorkerLimits worker_limits = {}, agent::ServedLimits served_limits = {}) {
    agent::ServingOptions options;
    options.data = directory.path();
    options.worker_program = worker_program();
    options.runtime_library = FERRY_ONNXRUNTIME_LIBRARY;
    options.boot = "boot-1";
    options.observer = &observer;
    options.status = [] { return Json{{"format", "ferry.status/1"}, {"device", "dev-1"}}; };
    activator = std::make_unique<agent::RuntimeActivator>(std::move(options), worker_limits, served_limits, clock, log);
    activator->on_signal([this](const std::string&, agent::ActivatorSignal signal) {
      std::lock_guard lock(mutex);
      signals.push_back(signal);
    });
    auto opened = activator->open();
    INFO((opened ? "" : opened.error().context));
    REQUIRE(opened);
  }
  ServingWorld(const ServingWorld&) = delete;
  ServingWorld& operator=(const ServingWorld&) = delete;
  ~ServingWorld() {
    activator.reset();
    ::close(null);
  }

  bool signalled(agent::ActivatorSignal wanted) {
    std::lock_guard lock(mutex);
    return std::ranges::count(signals, wanted) > 0;
  }
  agent::SlotContents put(const ReleaseSpec& spec) const { return put_release(directory.path(), spec); }
  Result<> prove(const agent::SlotContents& release, Duration limit = std::chrono::seconds{60}) {
    return activator->prove(release, limit, no_cancel);
  }
  void start(const agent::SlotContents& release) {
    auto started = activator->start(release);
    INFO((started ? "" : started.error().context));
    REQUIRE(started);
  }

  // Over the Unix socket, a connection per call: any thread may.
  HttpAnswer send(const std::string& method, const std::string& path, std::string body = {},
                  std::map<std::string, std::string> headers = {}) const {
    auto client = make_http_client({});
    HttpRequest request;
    request.method = method;
    request.url = "http://localhost" + path;
    request.unix_socket = activator->socket().string();
    request.headers = std::move(headers);
    request.body = std::move(body);
    auto response = client->send(request);
    if (!response) return {0, {}, response.error().context};
    return {response->status, response->headers, response->body};
  }
  HttpAnswer get(const std::string& path) const { return send("GET", path); }
  HttpAnswer infer(const std::vector<std::int64_t>& x, const std::string& path = "/v2/models/m/infer") const {
    Json input{{"name", "x"}, {"datatype", "INT64"}, {"shape", {x.size()}}, {"data", x}};
    return send("POST", path, Json{{"inputs", {input}}}.dump());
  }
};

}  // namespace ferry::test
