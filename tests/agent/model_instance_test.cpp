// One release in one worker: contract, loading, restarts with back-off.
#include "agent/model_instance.hpp"

#include "tests/agent/serving_world.hpp"

#include <boost/asio/io_context.hpp>

#include <csignal>

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::test;
using namespace std::chrono_literals;
using runtime::DataType;
using runtime::TensorInfo;

namespace {

struct Bench {
  TempDir directory;
  SystemClock clock;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::debug};
  boost::asio::io_context io;
  WorkerLaunch launch{worker_program(), FERRY_ONNXRUNTIME_LIBRARY, {}};
  std::shared_ptr<ModelInstance> instance;
  std::vector<ModelInstance::Change> changes;

  Bench() = default;
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    instance.reset();
    ::close(null);
  }

  bool run_until(const std::function<bool()>& condition) {
    auto until = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= until) return false;
      io.restart();
      io.run_one_for(20ms);
    }
    return true;
  }
  Result<> load(const ReleaseSpec& spec) {
    instance = std::make_shared<ModelInstance>(io, launch, put_release(directory.path(), spec), log);
    instance->on_change([this](ModelInstance::Change change) { changes.push_back(change); });
    std::optional<Result<>> loaded;
    instance->start([&](Result<> result) { loaded = std::move(result); });
    CHECK_FALSE(loaded);  // never from inside start()
    REQUIRE(run_until([&] { return loaded.has_value(); }));
    return *loaded;
  }
};

ota::Manifest promising(std::vector<ota::TensorSpec> inputs, std::vector<ota::TensorSpec> outputs) {
  ota::Manifest manifest;
  manifest.contract.inputs = std::move(inputs);
  manifest.contract.outputs = std::move(outputs);
  return manifest;
}

}  // namespace

TEST_CASE("restarts are at once at first, then later and later, and never further apart than half a minute") {
  for (int deaths = 0; deaths <= 3; ++deaths) CHECK(restart_delay(deaths) == 0ms);
  CHECK(restart_delay(4) == 100ms);
  CHECK(restart_delay(5) == 200ms);
  for (int deaths = 4; deaths < 100; ++deaths) {
    CHECK(restart_delay(deaths + 1) >= restart_delay(deaths));
    CHECK(restart_delay(deaths) <= 30s);
  }
  CHECK(restart_delay(2'000'000'000) == 30s);
}

TEST_CASE("a loaded model must offer what the signed contract promises") {
  const std::vector<TensorInfo> inputs{{"image", DataType::fp32, {-1, 1, 28, 28}}};
  const std::vector<TensorInfo> outputs{{"logits", DataType::fp32, {-1, 10}}, {"extra", DataType::int64, {}}};
  auto verdict = [&](const ota::TensorSpec& input, const ota::TensorSpec& output) {
    auto checked = check_contract(inputs, outputs, promising({input}, {output}));
    if (checked) return std::string("good");
    CHECK(checked.error().reason == "contract.mismatch");
    return checked.error().context;
  };
  const ota::TensorSpec image{"image", "FP32", {-1, 1, 28, 28}};
  const ota::TensorSpec logits{"logits", "FP32", {-1, 10}};
  CHECK(verdict(image, logits) == "good");
  CHECK(verdict({"image", "FP32", {1, -1, 28, 28}}, {"logits", "FP32", {1, -1}}) == "good");
  CHECK_THAT(verdict({"picture", "FP32", {-1, 1, 28, 28}}, logits),
             Catch::Contains("input \"picture\"") && Catch::Contains("none of this name"));
  CHECK_THAT(verdict({"image", "UINT8", {-1, 1, 28, 28}}, logits), Catch::Contains("UINT8") && Catch::Contains("FP32"));
  CHECK_THAT(verdict({"image", "FP32", {-1, 3, 28, 28}}, logits),
             Catch::Contains("[-1,3,28,28]") && Catch::Contains("[-1,1,28,28]"));
  CHECK_THAT(verdict({"image", "FP32", {-1, 784}}, logits), Catch::Contains("[-1,784]"));
  CHECK_THAT(verdict(image, {"logits", "FP32", {-1, 11}}), Catch::Contains("output \"logits\""));
  CHECK_THAT(verdict(image, {"scores", "FP32", {-1, 10}}), Catch::Contains("output \"scores\""));
  // Outputs may be more than was promised; inputs may not, nobody would fill them.
  auto unnamed = check_contract({inputs[0], {"mask", DataType::boolean, {}}}, outputs, promising({image}, {logits}));
  REQUIRE_FALSE(unnamed);
  CHECK_THAT(unnamed.error().context, Catch::Contains("\"mask\"") && Catch::Contains("does not name it"));
}

TEST_CASE("a release loads in a worker and says what it takes and gives") {
  Bench bench;
  REQUIRE(bench.load({}));
  CHECK(bench.instance->ready());
  CHECK(bench.instance->inputs() == std::vector<TensorInfo>{{"x", DataType::int64, {-1}}});
  CHECK(bench.instance->class_output() == "y");
  CHECK_FALSE(bench.instance->runtime_version().empty());
  CHECK(bench.instance->name() == "m 1.0.0 fp32");
  CHECK(bench.changes == std::vector{ModelInstance::Change::ready});
}

TEST_CASE("a release that does not load says why, by reason, and is not tried again unasked") {
  Bench bench;
  ReleaseSpec spec;
  std::string reason;
  SECTION("no ONNX at all") {
    spec.model_bytes = "hello";
    reason = "trial.load";
  }
  SECTION("other bytes than were signed") {
    spec.edit = [](ota::Manifest& manifest) { manifest.variants[0].file.sha256 = sha256("other"); };
    reason = "slot.corrupt";
  }
  SECTION("another contract") {
    spec.edit = [](ota::Manifest& manifest) { manifest.contract.inputs[0].name = "image"; };
    reason = "contract.mismatch";
  }
  SECTION("a variant the manifest does not have") {
    spec.edit = [](ota::Manifest& manifest) { manifest.variants[0].name = "fp16"; };
    reason = "trial.load";
  }
  SECTION("no worker program: nothing is said about the release") {
    bench.launch.program = "/nonexistent/ferry-worker";
    reason = "device.runtime";
  }
  SECTION("no runtime library: nothing is said about the release") {
    bench.launch.runtime_library = "/nonexistent/libonnxruntime.so";
    reason = "device.runtime";
  }
  auto loaded = bench.load(spec);
  REQUIRE_FALSE(loaded);
  INFO(loaded.error().context);
  CHECK(loaded.error().reason == reason);
  CHECK_FALSE(bench.instance->ready());
  CHECK(bench.instance->state() == ModelInstance::State::down);
  CHECK(bench.changes.empty());
}

TEST_CASE("a supervised release comes back by itself when its worker dies, with the same answers") {
  Bench bench;
  REQUIRE(bench.load({}));
  bench.instance->supervise(true);
  using Change = ModelInstance::Change;
  std::vector<Change> expected{Change::ready};
  for (int death = 0; death < 4; ++death) {
    pid_t before = bench.instance->worker()->pid();
    REQUIRE(::kill(before, SIGKILL) == 0);
    expected.insert(expected.end(), {Change::died, Change::ready});
    REQUIRE(bench.run_until([&] { return bench.changes.size() >= expected.size(); }));
    CHECK(bench.instance->worker()->pid() != before);
  }
  CHECK(bench.changes == expected);
}

TEST_CASE("an unsupervised release stays down; asked for supervision later, it comes back") {
  Bench bench;
  REQUIRE(bench.load({}));
  REQUIRE(::kill(bench.instance->worker()->pid(), SIGKILL) == 0);
  REQUIRE(bench.run_until([&] { return bench.instance->state() == ModelInstance::State::down; }));
  bench.io.restart();
  bench.io.run_for(20ms);
  CHECK(bench.instance->state() == ModelInstance::State::down);
  bench.instance->supervise(true);
  CHECK(bench.run_until([&] { return bench.instance->ready(); }));
}

TEST_CASE("a release whose file was damaged is told as unloadable, again and again, until it is whole again") {
  Bench bench;
  REQUIRE(bench.load({}));
  Path model = bench.instance->release()->directory / "model.onnx";
  std::string good = *read_file(model, 1 << 20);
  REQUIRE(write_file_atomic(model, "damaged"));
  bench.instance->supervise(true);
  REQUIRE(::kill(bench.instance->worker()->pid(), SIGKILL) == 0);
  auto unloadable = [&] { return std::ranges::count(bench.changes, ModelInstance::Change::unloadable); };
  REQUIRE(bench.run_until([&] { return unloadable() >= 3; }));
  REQUIRE(write_file_atomic(model, good));
  CHECK(bench.run_until([&] { return bench.instance->ready(); }));
}

TEST_CASE("a stopped release neither restarts nor tells") {
  Bench bench;
  REQUIRE(bench.load({}));
  bench.instance->supervise(true);
  pid_t pid = bench.instance->worker()->pid();
  bench.instance->stop();
  REQUIRE(bench.run_until([&] { return ::kill(pid, 0) != 0; }));
  bench.io.restart();
  bench.io.run_for(20ms);
  CHECK_FALSE(bench.instance->ready());
  CHECK(bench.changes == std::vector{ModelInstance::Change::ready});
}

TEST_CASE("a release stopped while it loads says so to who waits for it") {
  Bench bench;
  bench.instance =
      std::make_shared<ModelInstance>(bench.io, bench.launch, put_release(bench.directory.path(), {}), bench.log);
  std::optional<Result<>> loaded;
  bench.instance->start([&](Result<> result) { loaded = std::move(result); });
  bench.instance->stop();
  REQUIRE(bench.run_until([&] { return loaded.has_value(); }));
  REQUIRE_FALSE(*loaded);
  CHECK(loaded->error().code == Errc::cancelled);
}
