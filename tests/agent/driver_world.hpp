// A driver with a scripted activator and a real repository over loopback.
#pragma once
#include "agent/update_driver.hpp"

#include "tests/support/ferry_server.hpp"
#include "tests/support/sim_clock.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace ferry::agent::test {

using ferry::test::FerryServer;
using ferry::test::SimClock;
using ferry::test::TempDir;

// Does what the serving half promises, without a model: remembers who answers, and fails as told.
class ScriptedActivator final : public Activator {
 public:
  Result<> start(const SlotContents& active) override {
    note("start " + active.version);
    serving = active.version;
    return {};
  }
  void stop(const std::string&) override {
    note("stop");
    serving.clear();
  }
  Result<> prove(const SlotContents& release, Duration, const std::atomic<bool>&) override {
    note("prove " + release.version);
    if (on_prove) on_prove(release);
    if (auto fail = fail_prove.find(release.version); fail != fail_prove.end()) return fail->second;
    candidate = release.version;
    return {};
  }
  Result<> begin_shadow(const std::string&) override {
    note("shadow");
    return {};
  }
  ShadowReport shadow_report(const std::string&) override { return shadow; }
  Result<> take_over(const std::string&) override {
    note("take over");
    before = serving;
    serving = candidate;
    return {};
  }
  ProbationReport probation_report(const std::string&) override { return probation; }
  Result<> commit(const SlotContents& release) override {
    note("commit " + release.version + " " + release.rollout);
    serving = release.version;
    before.clear();
    candidate.clear();
    return {};
  }
  void fall_back(const std::string&) override {
    note("fall back");
    if (!before.empty())
      serving = before;
    else if (serving == candidate)
      serving.clear();
    candidate.clear();
  }
  Result<Json> hardware_profile() override {
    Json profile{
        {"architecture", "x86_64"}, {"hardware_class", FerryServer::hardware_class}, {"memory_bytes", 8'000'000'000}};
    return Result<Json>(boost::system::in_place_value, std::move(profile));  // Json converts to nearly everything
  }
  std::string serving_state(const std::string&) const override { return serving.empty() ? "none" : "serving"; }
  void on_signal(std::function<void(const std::string&, ActivatorSignal)>) override {}

  void note(std::string what) { calls.push_back(std::move(what)); }

  std::vector<std::string> calls;
  std::string serving, before, candidate;
  std::map<std::string, Error> fail_prove;
  std::function<void(const SlotContents&)> on_prove;
  ShadowReport shadow{.mirrored = 50};
  ProbationReport probation{.requests = 100};
};

struct World {
  TempDir directory;
  SimClock clock;
  SeededRandom random{3};
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::debug};
  FerryServer server{clock.now()};
  DataTree data{directory.path()};
  Identity identity;
  std::unique_ptr<Database> database;
  std::unique_ptr<EventSpool> spool;
  StatusBoard status{"dev-1", "boot-1"};
  ScriptedActivator activator;
  std::unique_ptr<ReleaseResolver> resolver;
  std::unique_ptr<UpdateDriver> driver;

  World() {
    clock.advance_by_itself();
    identity.device = "dev-1";
    identity.server = server.url();
    identity.install = "ins-1";
    identity.root_sha256 = sha256(server.root_bytes);
    REQUIRE(make_directories(data.trust()));
    REQUIRE(make_directories(data.spool().parent_path()));
    REQUIRE(write_file_atomic(data.pinned_root(), server.root_bytes));
    database = need(open_sqlite(data.spool()));
    spool = need(EventSpool::open(*database));
    resolver = std::make_unique<ReleaseResolver>(identity, data, clock);
    restart();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    driver.reset();
    ::close(null);
  }

  template <class T>
  static T need(Result<T> result) {
    if (!result) FAIL(result.error().context);
    return std::move(*result);
  }

  // As after a power cut: nothing in memory survives, workers are gone.
  void restart() {
    driver.reset();
    activator.serving.clear();
    activator.before.clear();
    activator.candidate.clear();
    DriverPorts ports{activator, *resolver, [] { return Result<std::unique_ptr<HttpClient>>(make_http_client({})); },
                      *spool,    status,    [] {},
                      clock,     random,    log};
    driver = std::make_unique<UpdateDriver>(data, FerryServer::model, ports);
    REQUIRE(driver->boot());
  }
  // Turns until nothing more happens, letting the time pass that the driver asks for.
  void settle() {
    for (int turn = 0; turn < 2000; ++turn) {
      Duration wait = driver->turn();
      if (wait >= std::chrono::seconds{30} && std::holds_alternative<ota::Idle>(driver->state().update)) return;
      clock.advance(wait);
    }
    FAIL("the driver does not settle: " << ota::update_to_json(driver->state().update).dump());
  }
  void update_to(const ota::AssignedRelease& release) {
    driver->assign(release);
    settle();
  }
  // "state reason" of every update event for a version, in order.
  std::vector<std::string> told(const std::string& version) {
    std::vector<std::string> states;
    auto batch = spool->batch("ins-1");
    REQUIRE(batch);
    if (batch->body.empty()) return states;
    Json document = Json::parse(batch->body);
    for (const auto& event : document["events"])
      if (event.value("kind", "") == "update" && event.value("version", "") == version)
        states.push_back(event.value("state", "") +
                         (event.value("reason", "").empty() ? "" : " " + event.value("reason", "")));
    return states;
  }
  std::string active_version() const {
    const auto* entry = driver->state().active_entry();
    return entry ? entry->version : "";
  }
};

using Told = std::vector<std::string>;

}  // namespace ferry::agent::test
