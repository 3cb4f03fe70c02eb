// The composition root with a serving half that answers nothing: single instance, files at start and end.
#include "agent/agent.hpp"

#include "agent/identity.hpp"
#include "agent/status.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <unistd.h>

using namespace ferry;
using namespace ferry::agent;
using ferry::test::TempDir;

namespace {

class IdleServing final : public Serving {
 public:
  explicit IdleServing(ServingOptions options) : options_(std::move(options)) {}
  Result<> open() override { return {}; }
  void close() override {}
  std::string url() const override { return "http://127.0.0.1:1"; }
  Path socket() const override { return options_.data / "run" / "infer.sock"; }
  Result<> start(const SlotContents&) override { return {}; }
  void stop(const std::string&) override {}
  Result<> prove(const SlotContents&, Duration, const std::atomic<bool>&) override { return {}; }
  Result<> begin_shadow(const std::string&) override { return {}; }
  ShadowReport shadow_report(const std::string&) override { return {}; }
  Result<> take_over(const std::string&) override { return {}; }
  ProbationReport probation_report(const std::string&) override { return {}; }
  Result<> commit(const SlotContents&) override { return {}; }
  void fall_back(const std::string&) override {}
  Result<Json> hardware_profile() override { return Error{Errc::io, "no worker"}; }
  std::string serving_state(const std::string&) const override { return "none"; }
  void on_signal(std::function<void(const std::string&, ActivatorSignal)>) override {}
  Json status() const { return options_.status(); }

 private:
  ServingOptions options_;
};

struct World {
  TempDir directory;
  SystemClock clock;
  SystemRandom random;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::error};
  IdleServing* serving = nullptr;
  Config config;

  World() { config.data.root = directory.path(); }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() { ::close(null); }

  void enrol() {
    Identity identity;
    identity.device = "dev-1";
    identity.server = "https://127.0.0.1:9";  // nobody listens: the agent starts all the same
    identity.install = "ins-1";
    REQUIRE(make_directories(config.data.identity()));
    REQUIRE(write_file_atomic(config.data.identity() / "device.json", dump_json(to_json(identity))));
  }
  Result<> run(const std::function<void()>& while_running) {
    AgentPorts ports{clock, random, log,
                     [this](ServingOptions options) {
                       auto made = std::make_unique<IdleServing>(std::move(options));
                       serving = made.get();
                       return made;
                     },
                     while_running};
    return run_agent(config, ports);
  }
};

}  // namespace

TEST_CASE("an agent that is not enrolled says what to do") {
  World world;
  auto ran = world.run([] { FAIL("it ran"); });
  REQUIRE_FALSE(ran);
  CHECK(ran.error().code == Errc::not_found);
  CHECK_THAT(ran.error().context, Catch::Contains("ferry-agent enroll"));
}

TEST_CASE("a running agent has its run file and its lock; both are gone after a graceful end") {
  World world;
  world.enrol();
  auto ran = world.run([&] {
    auto run_file = read_run_file(world.config.data);
    REQUIRE(run_file);
    CHECK(run_file->pid == ::getpid());
    CHECK(run_file->url == "http://127.0.0.1:1");
    Json status = world.serving->status();
    CHECK(status["format"] == "ferry.status/1");
    CHECK(status["device"] == "dev-1");
    CHECK(status["connected"] == false);
    CHECK(status["spool"]["events"] == 1);  // `started`
    // A second agent on the same data tree refuses to start.
    auto second = world.run([] { FAIL("two agents run"); });
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::conflict);
    CHECK(read_run_file(world.config.data));
  });
  REQUIRE(ran);
  CHECK(read_run_file(world.config.data).error().code == Errc::unreachable);
  REQUIRE(world.run([] {}));
}

TEST_CASE("a damaged spool is put aside, not fatal") {
  World world;
  world.enrol();
  REQUIRE(make_directories(world.config.data.spool().parent_path()));
  REQUIRE(write_file_atomic(world.config.data.spool(), std::string(8192, 'x')));
  REQUIRE(world.run([&] { CHECK(world.serving->status()["spool"]["events"] == 1); }));
  CHECK(std::filesystem::exists(world.config.data.spool().string() + ".damaged"));
}

TEST_CASE("a damaged identity is named, not guessed at") {
  World world;
  world.enrol();
  Path path = world.config.data.identity() / "device.json";
  Json good = Json::parse(*read_file(path, 1 << 16));
  for (const char* field : {"device", "server", "root_sha256", "install", "format"}) {
    Json bad = good;
    bad.erase(field);
    REQUIRE(write_file_atomic(path, bad.dump()));
    auto ran = world.run([] { FAIL("it ran"); });
    REQUIRE_FALSE(ran);
    CHECK_THAT(ran.error().context, Catch::Contains(field));
  }
}
