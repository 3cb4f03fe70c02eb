// Live requests while releases change and workers die: none is lost, and the last good release answers.
#include "agent/served_model.hpp"

#include "tests/agent/serving_world.hpp"

#include <csignal>

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::test;
using namespace std::chrono_literals;

namespace {

ReleaseSpec second(std::string model, std::vector<runtime::Tensor> golden = {int_tensor("y", {6, 15})}) {
  ReleaseSpec spec;
  spec.version = "1.1.0";
  spec.counter = 2;
  spec.slot = "b";
  spec.model_bytes = std::move(model);
  spec.golden_outputs = std::move(golden);
  return spec;
}
ReleaseSpec crashing() {
  auto spec = second(crashing_model(), {int_tensor("y", {std::numeric_limits<std::int64_t>::min()})});
  spec.golden_x = {1};
  return spec;
}
ReleaseSpec picky() { return second(picky_model(), {int_tensor("y", {4, 10})}); }
ReleaseSpec greedy() { return second(greedy_model(), {float_scalar(10)}); }
std::string version_of(const HttpAnswer& answer) {
  return answer.status == 200 ? answer.json()["model_version"].get<std::string>() : answer.body;
}

// Asks without a pause from several threads until it goes; remembers everything that was not a right answer.
class Feeders {
 public:
  explicit Feeders(const ServingWorld& world, int threads = 3) {
    for (int n = 0; n < threads; ++n) threads_.emplace_back([this, &world] { feed(world); });
  }
  void stop() {
    stopping_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
  }
  ~Feeders() { stop(); }
  std::vector<std::string> wrong() {
    std::lock_guard lock(mutex_);
    return wrong_;
  }
  int answers() const { return answers_; }
  bool go_on(int more) const {
    int from = answers_;
    return eventually([&] { return answers_ >= from + more; });
  }

 private:
  void feed(const ServingWorld& world) {
    for (std::int64_t n = 1; !stopping_; ++n) {
      auto answer = world.infer({n});
      Json body = answer.json();
      std::int64_t factor = answer.status != 200 ? 0 : body["model_version"] == "1.0.0" ? 2 : 3;
      if (answer.status == 200 && body["outputs"][0]["data"][0] == factor * n) {
        ++answers_;
        continue;
      }
      std::lock_guard lock(mutex_);
      wrong_.push_back(std::to_string(answer.status) + " " + answer.body);
    }
  }
  std::atomic<bool> stopping_{false};
  std::atomic<int> answers_{0};
  std::mutex mutex_;  // guards wrong_
  std::vector<std::string> wrong_;
  std::vector<std::thread> threads_;
};

using Wrong = std::vector<std::string>;

}  // namespace

TEST_CASE("releases take over, go back and are committed under load, and no request is lost or answered wrongly") {
  ServingWorld world;
  auto first = world.put({});
  auto other = world.put(second(thrice_model()));
  world.start(first);
  Feeders feeders(world);
  auto swap_to = [&](const SlotContents& release, bool keep) {
    REQUIRE(world.prove(release));
    REQUIRE(world.activator->begin_shadow("m"));
    REQUIRE(feeders.go_on(5));
    REQUIRE(world.activator->take_over("m"));
    REQUIRE(feeders.go_on(10));
    if (keep)
      REQUIRE(world.activator->commit(release));
    else
      world.activator->fall_back("m");
    REQUIRE(feeders.go_on(5));
  };
  swap_to(other, true);
  swap_to(first, false);
  swap_to(first, true);
  feeders.stop();
  CHECK(feeders.wrong() == Wrong{});
}

TEST_CASE("a worker killed under load costs no request: each is asked again of the restarted one") {
  ServingWorld world;
  world.start(world.put({}));
  Feeders feeders(world);
  for (int death = 0; death < 3; ++death) {
    REQUIRE(feeders.go_on(10));
    for (pid_t pid : living_workers()) REQUIRE(::kill(pid, SIGKILL) == 0);
  }
  REQUIRE(feeders.go_on(10));
  feeders.stop();
  CHECK(feeders.wrong() == Wrong{});
  CHECK(world.signalled(ActivatorSignal::active_died));
  CHECK(world.get("/v2/models/m/stats").json()["model_stats"][0]["worker_restarts"] == 3);
}

TEST_CASE("in shadow what the candidate answers is told beside what the active release answered, and only then") {
  ServingWorld world;
  world.start(world.put({}));
  REQUIRE(world.prove(world.put(second(thrice_model()))));
  CHECK(version_of(world.infer({1, 2})) == "1.0.0");
  REQUIRE(world.activator->begin_shadow("m"));
  CHECK(version_of(world.infer({1, 2})) == "1.0.0");
  REQUIRE(eventually([&] { return world.activator->shadow_report("m").mirrored == 1; }));
  CHECK(world.observer.compared() == std::vector<std::string>{"1.1.0 {3 6} beside 1.0.0 {2 4}"});
  REQUIRE(world.activator->take_over("m"));
  CHECK(version_of(world.infer({5})) == "1.1.0");
  CHECK(world.observer.compared().size() == 1);
}

TEST_CASE("in shadow a candidate may crash, fail or eat memory: callers never notice, the report says what it was") {
  ServingWorld world;
  world.start(world.put({}));
  std::string reason;
  std::vector<std::int64_t> question;
  bool dies = true;
  SECTION("crash") {
    REQUIRE(world.prove(world.put(crashing())));
    question = {-1};
    reason = "trial.crash";
  }
  SECTION("error") {
    REQUIRE(world.prove(world.put(picky())));
    question = {99};
    reason = "trial.errors";
    dies = false;
  }
  SECTION("memory") {
    REQUIRE(world.prove(world.put(greedy())));
    question = greedy_question;
    reason = "trial.memory";
    dies = false;  // with a limit of its own it answers that memory is out; watched from outside it is killed
  }
  REQUIRE(world.activator->begin_shadow("m"));
  CHECK(version_of(world.infer(question)) == "1.0.0");
  REQUIRE(eventually([&] { return !world.activator->shadow_report("m").reason.empty(); }));
  auto report = world.activator->shadow_report("m");
  CHECK(report.reason == reason);
  CHECK_FALSE(report.message.empty());
  CHECK(report.errors + report.crashes > 0);
  if (dies) {
    CHECK(report.crashes == 1);
    CHECK(eventually([&] { return world.signalled(ActivatorSignal::candidate_died); }));
    CHECK_FALSE(world.activator->take_over("m"));
  }
  CHECK(version_of(world.infer({1})) == "1.0.0");
  world.activator->fall_back("m");
  CHECK(eventually([] { return living_workers().size() == 1; }));
  CHECK(world.observer.errors().empty());
}

TEST_CASE("in probation what the candidate cannot answer the old release answers, within the same request") {
  WorkerLimits limits;
  limits.infer = 1500ms;
  ServingWorld world(limits);
  world.start(world.put({}));
  std::string reason;
  std::vector<std::int64_t> question;
  bool dies = true;
  SECTION("crash") {
    REQUIRE(world.prove(world.put(crashing())));
    question = {-1};
    reason = "trial.crash";
  }
  SECTION("error") {
    REQUIRE(world.prove(world.put(picky())));
    question = {99};
    reason = "trial.errors";
    dies = false;
  }
  SECTION("hang") {
    auto before = living_workers();
    REQUIRE(world.prove(world.put(second(thrice_model()))));
    for (pid_t pid : living_workers())
      if (std::ranges::count(before, pid) == 0) REQUIRE(::kill(pid, SIGSTOP) == 0);
    question = {1};
    reason = "trial.hang";
  }
  REQUIRE(world.activator->take_over("m"));
  CHECK(version_of(world.infer(question)) == "1.0.0");
  auto report = world.activator->probation_report("m");
  CHECK(report.reason == reason);
  CHECK(report.errors == 1);
  CHECK(report.crashes == (dies ? 1 : 0));
  if (dies) {
    CHECK(eventually([&] { return world.signalled(ActivatorSignal::candidate_died); }));
    CHECK(version_of(world.infer({1})) == "1.0.0");
  } else {
    CHECK(version_of(world.infer({2})) == "1.1.0");
  }
  world.activator->fall_back("m");
  CHECK(version_of(world.infer({1})) == "1.0.0");
  CHECK(world.observer.errors().empty());
}

TEST_CASE("memory in probation brings the old release back, and the request that it was about is answered") {
  ServingWorld world;
  world.start(world.put({}));
  REQUIRE(world.prove(world.put(greedy())));
  REQUIRE(world.activator->take_over("m"));
  auto answer = world.infer(greedy_question);
  CHECK(answer.status ==
        200);  // from the old one, unless this build's worker has no limit and was quicker than the watch
  REQUIRE(eventually([&] { return world.activator->probation_report("m").reason == "trial.memory"; }));
  world.activator->fall_back("m");
  CHECK(version_of(world.infer({1})) == "1.0.0");
}

TEST_CASE("a candidate that dies between two requests of its probation is out before the next one") {
  ServingWorld world;
  world.start(world.put({}));
  auto before = living_workers();
  REQUIRE(world.prove(world.put(second(thrice_model()))));
  REQUIRE(world.activator->take_over("m"));
  for (pid_t pid : living_workers())
    if (std::ranges::count(before, pid) == 0) REQUIRE(::kill(pid, SIGKILL) == 0);
  CHECK(eventually([&] { return world.signalled(ActivatorSignal::candidate_died); }));
  CHECK(version_of(world.infer({1})) == "1.0.0");
  CHECK(world.activator->probation_report("m").crashes == 1);
  CHECK(world.activator->probation_report("m").reason == "trial.crash");
}

TEST_CASE("a request that kills every worker is given up with 503; the next one is answered") {
  ServingWorld world;
  auto spec = crashing();
  spec.slot = "a";
  world.start(world.put(spec));
  auto answer = world.infer({-1});
  CHECK(answer.status == 503);
  CHECK_THAT(answer.body, Catch::Contains("died of this request"));
  CHECK(world.observer.errors() == std::vector<std::string>{"trial.crash"});
  CHECK(world.infer({1}).status == 200);
  CHECK(world.get("/v2/health/live").status == 200);
}

TEST_CASE("a worker that does not come back in time is 503, and says to try again") {
  ServedLimits served;
  served.wait = 200ms;
  ServingWorld world({}, served);
  auto release = world.put({});
  world.start(release);
  REQUIRE(write_file_atomic(release.directory / "model.onnx", "damaged"));
  for (pid_t pid : living_workers()) REQUIRE(::kill(pid, SIGKILL) == 0);
  REQUIRE(eventually([&] { return world.signalled(ActivatorSignal::active_unloadable); }));
  auto answer = world.infer({1});
  CHECK(answer.status == 503);
  CHECK_THAT(answer.body, Catch::Contains("try again"));
  CHECK(world.activator->serving_state("m") != "serving");
}

TEST_CASE("a request that hangs the worker is answered with 503 after its tries, and the worker is replaced") {
  WorkerLimits limits;
  limits.infer = 100ms;
  ServingWorld world(limits);
  auto spec = second(greedy_model(), {float_scalar(10)});
  spec.memory_mib = 2048;
  world.start(world.put(spec));
  auto answer = world.infer({10'000, 10'000});  // takes longer, whatever the machine
  CHECK(answer.status == 503);
  CHECK(world.observer.errors() == std::vector<std::string>{"trial.hang"});
  CHECK(eventually([&] { return world.infer({1, 1}).status == 200; }));
}

TEST_CASE("the memory of the worker that answers is sampled, and of no other") {
  ServingWorld world;
  world.start(world.put({}));
  REQUIRE(world.prove(world.put(second(thrice_model()))));
  REQUIRE(world.activator->begin_shadow("m"));
  CHECK(eventually([&] { return world.infer({1}).status == 200 && world.observer.memory("1.0.0") > 1'000'000; }));
  CHECK(world.observer.memory("1.1.0") == 0);
  REQUIRE(world.activator->take_over("m"));
  CHECK(eventually([&] { return world.infer({1}).status == 200 && world.observer.memory("1.1.0") > 1'000'000; }));
}
