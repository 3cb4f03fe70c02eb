// The story of release 1.3.0 of examples/fashion-mnist, for real: it passes every proof on clean images, needs 1.75 GiB
// for one in haze, and a device that sees haze must find out while 1.1.0 answers on.
#include "agent/update_driver.hpp"
#include "runtime/engine.hpp"
#include "tests/agent/serving_world.hpp"
#include "tests/support/ferry_server.hpp"

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* name = FerryServer::model;

// A drawing with a black background, as every image of the data set has it; `haze` as in field.py.
std::vector<float> image(bool haze) {
  std::vector<float> pixels;
  for (int at = 0; at < 28 * 28; ++at) {
    int row = at / 28, column = at % 28;
    int pixel = row > 5 && row < 22 && column > 7 && column < 20 ? 120 + 5 * (row % 7) + 3 * (column % 11) : 0;
    pixels.push_back(static_cast<float>(haze ? 64 + 3 * pixel / 4 : pixel) / 255.0F);
  }
  return pixels;
}

std::string model_file(const std::string& version) {
  auto bytes = read_file(Path(FERRY_SOURCE_DIR) / "examples/fashion-mnist/models" / version / "fp32.onnx", 1 << 20);
  REQUIRE(bytes);
  return *bytes;
}

// What CI would have recorded: one clean image, answered by the same runtime.
std::string golden_of(const std::string& model) {
  auto engine = runtime::open_onnx_engine(FERRY_ONNXRUNTIME_LIBRARY);
  REQUIRE(engine);
  auto session = (*engine)->load(model, {});
  REQUIRE(session);
  runtime::GoldenSample sample;
  sample.inputs = {float_tensor("image", {1, 1, 28, 28}, image(false))};
  auto outputs = (*session)->run(runtime::views_of(sample.inputs), {});
  REQUIRE(outputs);
  sample.outputs = *outputs;
  return *runtime::format_golden({sample});
}

ota::AssignedRelease publish(FerryServer& server, const std::string& version, std::int64_t counter) {
  FerryServer::Options options;
  options.model_file = model_file(version);
  options.golden_file = golden_of(options.model_file);
  options.measured_on = "*";
  options.edit = [](ota::Manifest& manifest) {
    manifest.contract.inputs = {{"image", "FP32", {-1, 1, 28, 28}}};
    manifest.contract.outputs = {{"logits", "FP32", {-1, 10}}};
    manifest.contract.labels = {"t-shirt", "trouser", "pullover", "dress", "coat",
                                "sandal",  "shirt",   "sneaker",  "bag",   "ankle-boot"};
    manifest.variants[0].needs.architectures.clear();
    manifest.variants[0].budget.memory_mib = 512;
    manifest.variants[0].budget.latency_p99_us.reset();  // a sanitizer build on a busy machine keeps none
    manifest.variants[0].golden_tolerance = 0.01;
  };
  auto release = server.publish(version, counter, options);
  release.policy.shadow_requests = 20;
  release.policy.probation_requests = 20;
  return release;
}

struct Device {
  ServingWorld serving;
  SeededRandom random{5};
  FerryServer server{serving.clock.now()};
  DataTree data{serving.directory.path()};
  Identity identity;
  std::unique_ptr<Database> database;
  std::unique_ptr<EventSpool> spool;
  StatusBoard status{"dev-1", "boot-1"};
  std::unique_ptr<ReleaseResolver> resolver;
  std::unique_ptr<UpdateDriver> driver;

  Device() {
    identity.device = "dev-1";
    identity.server = server.url();
    identity.install = "ins-1";
    identity.root_sha256 = sha256(server.root_bytes);
    REQUIRE(make_directories(data.trust()));
    REQUIRE(make_directories(data.spool().parent_path()));
    REQUIRE(write_file_atomic(data.pinned_root(), server.root_bytes));
    database = *open_sqlite(data.spool());
    spool = *EventSpool::open(*database);
    resolver = std::make_unique<ReleaseResolver>(identity, data, serving.clock);
    serving.activator->on_signal([this](const std::string&, ActivatorSignal signal) {
      if (driver) driver->signal(signal);
    });
    DriverPorts ports{*serving.activator,
                      *resolver,
                      [] { return Result<std::unique_ptr<HttpClient>>(make_http_client({})); },
                      *spool,
                      status,
                      [] {},
                      serving.clock,
                      random,
                      serving.log};
    DriverLimits limits;
    limits.trial_poll = 20ms;
    driver = std::make_unique<UpdateDriver>(data, name, ports, limits);
    driver->start();
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() { driver->stop(); }

  HttpAnswer ask(bool haze) const {
    std::string pixels = bytes_of<float>(image(haze));
    std::string head = Json::parse(R"({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28],
                                       "parameters": {"binary_data_size": 3136}}]})")
                           .dump();
    return serving.send("POST", std::string("/v2/models/") + name + "/infer", head + pixels,
                        {{"Inference-Header-Content-Length", std::to_string(head.size())}});
  }
  void wait_for_first() const {
    bool there = eventually([&] { return ask(false).status == 200 && model()["active"].is_object(); }, 60s);
    INFO(model().dump());
    REQUIRE(there);
  }
  Json model() const {
    Json document = status.document();
    return document["models"].empty() ? Json::object() : document["models"][0];
  }
  // "state reason" of the last update event for `version`.
  std::string told(const std::string& version) {
    std::string last;
    auto batch = spool->batch("ins-1");
    REQUIRE(batch);
    Json document = Json::parse(batch->body);
    for (const auto& event : document["events"])
      if (event.value("kind", "") == "update" && event.value("version", "") == version)
        last = event.value("state", "") + " " + event.value("reason", "");
    return last;
  }
};

}  // namespace

TEST_CASE("a release that eats memory in the field is found out in its trial, while the one before it answers on") {
  Device device;
  device.driver->assign(publish(device.server, "1.1.0", 1));
  // Without an active release there is no shadow: it takes over at once and is committed after enough answers.
  device.wait_for_first();
  CHECK(device.told("1.1.0") == "committed ");

  bool hazy_from_the_start = GENERATE(true, false);
  INFO((hazy_from_the_start ? "haze from the start: caught in shadow"
                            : "haze only after it took over: caught in probation"));
  auto bad = publish(device.server, "1.3.0", 2);
  if (!hazy_from_the_start) bad.policy.probation_requests = 1'000'000;
  device.driver->assign(bad);
  bool haze = hazy_from_the_start;
  int answered = 0;
  std::vector<std::string> wrong;
  REQUIRE(eventually(
      [&] {
        auto answer = device.ask(haze);
        Json body = answer.json();
        ++answered;
        if (answer.status != 200)
          wrong.push_back(std::to_string(answer.status) + " " + answer.body);
        else if (haze && hazy_from_the_start && body["model_version"] != "1.1.0")
          wrong.push_back("answered by " + body["model_version"].dump());
        else if (body["model_version"] == "1.3.0")
          haze = true;  // it has taken over: now the weather changes
        return !device.model()["rejected"].empty() && device.model()["update"]["state"] == "idle";
      },
      60s));
  CHECK(wrong == std::vector<std::string>{});
  CHECK(answered > 0);
  Json model = device.model();
  CHECK(model["rejected"][0]["version"] == "1.3.0");
  CHECK(model["rejected"][0]["reason"] == "trial.memory");
  CHECK(model["last_reason"] == "trial.memory");
  CHECK(model["active"]["version"] == "1.1.0");
  CHECK(model["slots"]["b"].is_null());  // it can never be the fallback
  CHECK_FALSE(std::filesystem::exists(device.data.root / "models" / name / "b" / "model.onnx"));
  CHECK(device.told("1.3.0") == (hazy_from_the_start ? "rejected trial.memory" : "rolled_back trial.memory"));
  for (bool weather : {true, false}) CHECK(device.ask(weather).json()["model_version"] == "1.1.0");
  CHECK(eventually([] { return living_workers().size() == 1; }));
}

TEST_CASE("a restarted device serves its active release before it has reached any server") {
  Device device;
  device.driver->assign(publish(device.server, "1.1.0", 1));
  device.wait_for_first();
  device.driver->stop();
  device.driver.reset();
  auto asked = device.server.asked("/");
  // The same tree under a new supervisor, as after a restart.
  device.serving.activator->close();
  ServingOptions options;
  options.data = device.data.root;
  options.worker_program = worker_program();
  options.runtime_library = FERRY_ONNXRUNTIME_LIBRARY;
  options.boot = "boot-2";
  device.serving.activator = std::make_unique<RuntimeActivator>(options, WorkerLimits{}, ServedLimits{},
                                                                device.serving.clock, device.serving.log);
  REQUIRE(device.serving.activator->open());
  DriverPorts ports{*device.serving.activator,
                    *device.resolver,
                    [] {
                      return Result<std::unique_ptr<HttpClient>>(Error{Errc::unreachable, "no network"});
                    },
                    *device.spool,
                    device.status,
                    [] {},
                    device.serving.clock,
                    device.random,
                    device.serving.log};
  device.driver = std::make_unique<UpdateDriver>(device.data, name, ports);
  REQUIRE(device.driver->boot());
  CHECK(device.ask(false).json()["model_version"] == "1.1.0");
  CHECK(device.server.asked("/") == asked);
}
