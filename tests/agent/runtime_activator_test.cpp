// The Activator's promises over real workers: every way a proof can end, and what is left afterwards.
#include "agent/runtime_activator.hpp"

#include "tests/agent/serving_world.hpp"

#include <csignal>

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::test;
using namespace std::chrono_literals;

namespace {

ReleaseSpec second(std::string model = thrice_model()) {
  ReleaseSpec spec;
  spec.version = "1.1.0";
  spec.counter = 2;
  spec.slot = "b";
  spec.model_bytes = std::move(model);
  spec.golden_outputs = {int_tensor("y", {6, 15})};
  return spec;
}
std::string version_of(const HttpAnswer& answer) {
  return answer.status == 200 ? answer.json()["model_version"].get<std::string>() : answer.body;
}

}  // namespace

TEST_CASE("a good candidate is proved, shadows, takes over and is committed; the old worker is gone then") {
  ServingWorld world;
  world.start(world.put({}));
  auto candidate = world.put(second());
  REQUIRE(world.prove(candidate));
  CHECK(living_workers().size() == 2);
  CHECK(version_of(world.infer({1})) == "1.0.0");
  REQUIRE(world.activator->begin_shadow("m"));
  // One copy at a time, so not every request is mirrored.
  REQUIRE(eventually([&] {
    CHECK(version_of(world.infer({1})) == "1.0.0");
    return world.activator->shadow_report("m").mirrored >= 5;
  }));
  auto shadow = world.activator->shadow_report("m");
  CHECK(shadow.errors == 0);
  CHECK(shadow.crashes == 0);
  CHECK(shadow.latency_p50_us > 0);
  CHECK(shadow.latency_p99_us >= shadow.latency_p50_us);
  REQUIRE(world.activator->take_over("m"));
  CHECK(version_of(world.infer({1})) == "1.1.0");
  CHECK(world.infer({1}).json()["outputs"][0]["data"][0] == 3);
  auto probation = world.activator->probation_report("m");
  CHECK(probation.requests == 2);
  CHECK(probation.errors == 0);
  CHECK(living_workers().size() == 2);  // the old one stays warm
  REQUIRE(world.activator->commit(candidate));
  CHECK(eventually([] { return living_workers().size() == 1; }));
  CHECK(version_of(world.infer({1})) == "1.1.0");
  CHECK(world.activator->serving_state("m") == "serving");
}

TEST_CASE("a device's first release is proved and takes over with nothing before it") {
  ServingWorld world;
  auto first = world.put({});
  REQUIRE(world.prove(first));
  CHECK(world.infer({1}).status == 404);  // proved is not serving
  CHECK(world.activator->serving_state("m") == "none");
  REQUIRE(world.activator->take_over("m"));
  CHECK(version_of(world.infer({1})) == "1.0.0");
  SECTION("committed") {
    REQUIRE(world.activator->commit(first));
    CHECK(version_of(world.infer({1})) == "1.0.0");
  }
  SECTION("or taken back: then nothing serves") {
    world.activator->fall_back("m");
    CHECK(world.infer({1}).status == 404);
    CHECK(eventually([] { return living_workers().empty(); }));
  }
}

TEST_CASE(
    "a candidate that fails its proof says why by reason; the active release answers on, no worker is left over") {
  WorkerLimits limits;
  auto spec = second();
  std::string reason;
  Duration limit = 60s;
  SECTION("it is no model") {
    spec.model_bytes = "not a model";
    reason = "trial.load";
  }
  SECTION("its file is not what was signed") {
    spec.edit = [](ota::Manifest& manifest) { manifest.variants[0].file.sha256 = sha256("x"); };
    reason = "slot.corrupt";
  }
  SECTION("its contract is another model's") {
    spec.edit = [](ota::Manifest& manifest) { manifest.contract.outputs[0].datatype = "FP32"; };
    reason = "contract.mismatch";
  }
  SECTION("golden outputs differ") {
    spec.golden_outputs = {int_tensor("y", {6, 16})};
    reason = "trial.golden";
  }
  SECTION("golden outputs have another shape") {
    spec.golden_outputs = {int_tensor("y", {6, 15, 0})};
    reason = "trial.golden";
  }
  SECTION("there are no golden samples") {
    spec.edit = [](ota::Manifest& manifest) { manifest.variants[0].golden.reset(); };
    reason = "trial.golden";
  }
  SECTION("golden samples are not what was signed") {
    spec.edit = [](ota::Manifest& manifest) { manifest.variants[0].golden->sha256 = sha256("x"); };
    reason = "slot.corrupt";
  }
  SECTION("it is slower than its budget") {
    spec.model_bytes = greedy_model();
    spec.golden_x = {100, 100};
    spec.golden_outputs = {float_scalar(10'000)};
    spec.latency_p99_us = 1;
    reason = "trial.latency";
  }
  SECTION("it needs more memory than its budget") {
    spec.model_bytes = greedy_model();
    spec.golden_x = greedy_question;
    spec.golden_outputs = {float_scalar(2e8F)};
    reason = "trial.memory";
  }
  SECTION("it answers with an error") {
    spec.model_bytes = picky_model();
    spec.golden_x = {99};
    reason = "trial.errors";
  }
  SECTION("it crashes") {
    spec.model_bytes = crashing_model();
    spec.golden_x = {-1};
    reason = "trial.crash";
  }
  SECTION("it does not answer in time") {
    limits.infer = 1ms;
    spec.model_bytes = greedy_model();
    spec.golden_x = {2'000, 10'000};
    spec.memory_mib = 2048;
    spec.golden_outputs = {float_scalar(2e7F)};
    reason = "trial.hang";
  }
  SECTION("it is not proved in time") {
    limit = 1ms;
    reason = "trial.deadline";
  }
  ServingWorld world(limits);
  auto active = world.put({});
  world.start(active);
  auto proved = world.prove(world.put(spec), limit);
  REQUIRE_FALSE(proved);
  INFO(proved.error().context);
  CHECK(proved.error().reason == reason);
  CHECK_THAT(proved.error().context, Catch::StartsWith("m 1.1.0: "));
  if (limits.infer == WorkerLimits{}.infer) CHECK(version_of(world.infer({1})) == "1.0.0");
  CHECK(eventually([] { return living_workers().size() == 1; }));
  CHECK_FALSE(world.activator->take_over("m"));
  CHECK_FALSE(world.activator->begin_shadow("m"));
}

TEST_CASE("a proof that is called off is cancelled, whatever it was doing") {
  ServingWorld world;
  auto candidate = world.put(second());
  std::atomic<bool> cancel{true};
  SECTION("before it began") {}
  SECTION("in the middle") {
    cancel = false;
    auto slow = second(greedy_model());
    slow.golden_x = {1'000, 10'000};
    slow.golden_outputs = {float_scalar(1e7F)};
    slow.memory_mib = 2048;
    candidate = world.put(slow);
  }
  std::jthread caller([&] {
    if (eventually([] { return !living_workers().empty(); })) cancel = true;
  });
  auto proved = world.activator->prove(candidate, 60s, cancel);
  REQUIRE_FALSE(proved);
  CHECK(proved.error().code == Errc::cancelled);
  CHECK(eventually([] { return living_workers().empty(); }));
}

TEST_CASE("a worker program or a runtime that is missing fails a proof without blaming the release") {
  ServingWorld world;
  auto candidate = world.put(second());
  world.activator.reset();
  ServingOptions options;
  options.data = world.directory.path();
  options.worker_program = worker_program();
  options.runtime_library = "/nonexistent/libonnxruntime.so";
  SECTION("runtime") {}
  SECTION("program") { options.worker_program = "/nonexistent/ferry-worker"; }
  RuntimeActivator activator(options, {}, {}, world.clock, world.log);
  REQUIRE(activator.open());
  auto proved = activator.prove(candidate, 60s, world.no_cancel);
  REQUIRE_FALSE(proved);
  CHECK(proved.error().reason == "device.runtime");
  CHECK_THAT(proved.error().context, Catch::Contains("/nonexistent/"));
  CHECK_FALSE(activator.hardware_profile());
}

TEST_CASE("proving another candidate drops the first; proving the same one again starts over") {
  ServingWorld world;
  world.start(world.put({}));
  auto candidate = world.put(second());
  REQUIRE(world.prove(candidate));
  REQUIRE(world.prove(candidate));
  CHECK(eventually([] { return living_workers().size() == 2; }));
  REQUIRE(world.activator->take_over("m"));
  CHECK(version_of(world.infer({1})) == "1.1.0");
}

TEST_CASE("falling back is fine at any time: in shadow, in probation, with nothing there") {
  ServingWorld world;
  world.activator->fall_back("m");
  world.start(world.put({}));
  world.activator->fall_back("m");
  REQUIRE(world.prove(world.put(second())));
  REQUIRE(world.activator->begin_shadow("m"));
  SECTION("in shadow") {}
  SECTION("in probation") {
    REQUIRE(world.activator->take_over("m"));
    CHECK(version_of(world.infer({1})) == "1.1.0");
  }
  world.activator->fall_back("m");
  world.activator->fall_back("m");
  CHECK(version_of(world.infer({1})) == "1.0.0");
  CHECK(eventually([] { return living_workers().size() == 1; }));
}

TEST_CASE("an active release that does not load is tried again until it does, and the driver is told to look") {
  ServingWorld world;
  auto release = world.put({});
  Path model = release.directory / "model.onnx";
  std::string good = *read_file(model, 1 << 20);
  REQUIRE(write_file_atomic(model, "damaged"));
  auto started = world.activator->start(release);
  REQUIRE_FALSE(started);
  CHECK(started.error().reason == "slot.corrupt");
  CHECK(eventually([&] { return world.signalled(ActivatorSignal::active_unloadable); }));
  CHECK(world.activator->serving_state("m") != "serving");
  CHECK(world.get("/v2/health/ready").status == 503);
  CHECK(world.get("/v2/models/m/ready").status == 503);
  REQUIRE(write_file_atomic(model, good));
  CHECK(version_of(world.infer({1})) == "1.0.0");  // waits for the worker
  CHECK(world.get("/v2/health/ready").status == 200);
}

TEST_CASE("a release that answers is not given up for one that does not load") {
  ServingWorld world;
  world.start(world.put({}));
  auto damaged = world.put(second("not a model"));
  CHECK(world.activator->start(damaged).error().reason == "trial.load");
  CHECK(version_of(world.infer({1})) == "1.0.0");
  auto other = world.put(second());
  REQUIRE(world.activator->start(other));
  CHECK(version_of(world.infer({1})) == "1.1.0");
  CHECK(eventually([] { return living_workers().size() == 1; }));
}

TEST_CASE("commit of what serves already only takes over its rollout and arm; of what is not loaded, it starts it") {
  ServingWorld world;
  auto release = world.put({});
  REQUIRE(world.activator->commit(release));
  CHECK(version_of(world.infer({1})) == "1.0.0");
  auto workers = living_workers();
  release.rollout = "ro-7";
  release.arm = "control";
  REQUIRE(world.activator->commit(release));
  REQUIRE(world.activator->start(release));
  CHECK(living_workers() == workers);
}

TEST_CASE("a stopped model serves no more, and can be started again") {
  ServingWorld world;
  auto release = world.put({});
  world.start(release);
  world.activator->stop("m");
  CHECK(world.infer({1}).status == 404);
  CHECK(world.activator->serving_state("m") == "none");
  CHECK(eventually([] { return living_workers().empty(); }));
  world.start(release);
  CHECK(version_of(world.infer({1})) == "1.0.0");
}

TEST_CASE("models live side by side") {
  ServingWorld world;
  world.start(put_release(world.directory.path(), {}, "m"));
  world.start(put_release(world.directory.path(), second(), "other"));
  CHECK(version_of(world.infer({1}, "/v2/models/m/infer")) == "1.0.0");
  CHECK(version_of(world.infer({1}, "/v2/models/other/infer")) == "1.1.0");
  world.activator->stop("m");
  CHECK(world.infer({1}, "/v2/models/m/infer").status == 404);
  CHECK(version_of(world.infer({1}, "/v2/models/other/infer")) == "1.1.0");
}

TEST_CASE("the hardware profile is asked of a worker once, and says which agent asked") {
  ServingWorld world;
  auto profile = world.activator->hardware_profile();
  REQUIRE(profile);
  CHECK((*profile)["format"] == "ferry.profile/1");
  CHECK((*profile)["runtime"]["name"] == "onnxruntime");
  CHECK_FALSE((*profile)["agent_version"].get<std::string>().empty());
  CHECK(eventually([] { return living_workers().empty(); }));
  CHECK(*world.activator->hardware_profile() == *profile);
  CHECK(living_workers().empty());
}

TEST_CASE("closing ends every worker and the socket; later calls say so instead of waiting") {
  ServingWorld world;
  auto release = world.put({});
  world.start(release);
  world.activator->close();
  CHECK(world.infer({1}).status == 0);
  CHECK_FALSE(std::filesystem::exists(world.activator->socket()));
  CHECK(world.activator->start(release).error().code == Errc::cancelled);
  CHECK(world.prove(release).error().code == Errc::cancelled);
  CHECK(world.activator->serving_state("m") == "none");
  world.activator->close();
  world.activator.reset();
  CHECK(eventually([] { return living_workers().empty(); }));
}

TEST_CASE("a worker that hangs does not keep the agent from ending") {
  WorkerLimits limits;
  limits.infer = 1s;
  ServingWorld world(limits);
  world.start(world.put({}));
  for (pid_t pid : living_workers()) REQUIRE(::kill(pid, SIGSTOP) == 0);
  std::jthread asking([&] { (void)world.infer({1}); });
  REQUIRE(eventually([&] { return world.get("/v2/health/live").status == 200; }));
  auto began = std::chrono::steady_clock::now();
  world.activator->close();
  CHECK(std::chrono::steady_clock::now() - began < 15s);
  asking.join();
  world.activator.reset();
  CHECK(living_workers().empty());
}
