// The server's memory over one database file, without keys and listeners: devices, reports, rollouts, hints. It can be
// killed and opened again, and the database can be made to die at any step.
#pragma once
#include "server/fleet/assignments.hpp"
#include "server/fleet/device_reports.hpp"
#include "server/rollout/rollout_controller.hpp"
#include "tests/server/store/store_fixture.hpp"
#include "tests/support/sim_clock.hpp"

#include <fcntl.h>
#include <fmt/format.h>

namespace ferry::server::test {

using ferry::test::SimClock;
using ferry::test::TempDir;

// Passes on to a real database until `steps_left` are used up; then the process counts as dead. A step is a statement,
// or the moment after a commit: what is durable then, nobody in memory has heard of.
class MortalDatabase final : public Database {
 public:
  explicit MortalDatabase(Database& real) : real_(real) {}
  static constexpr std::int64_t for_ever = std::numeric_limits<std::int64_t>::max();

  Result<std::vector<Row>> query(std::string_view sql, std::vector<Value> args) override {
    if (!step()) return dead();
    return real_.query(sql, std::move(args));
  }
  Result<> transaction(const std::function<Result<>(Database&)>& body) override {
    if (depth_ > 0) return real_.transaction([&](Database&) { return body(*this); });
    ++depth_;
    auto done = real_.transaction([&](Database&) { return body(*this); });
    --depth_;
    if (done && !step()) return dead();
    return done;
  }
  std::int64_t steps_left = for_ever;
  std::int64_t steps_done = 0;

 private:
  static Error dead() { return Error{Errc::io, "the process was killed"}; }
  bool step() {
    if (steps_left == 0) return false;
    --steps_left;
    ++steps_done;
    return true;
  }
  Database& real_;
  int depth_ = 0;
};

class Core {
 public:
  Core() : null_(::open("/dev/null", O_WRONLY | O_CLOEXEC)), log(clock, null_.get(), LogFormat::json, LogLevel::error) {
    open();
  }

  // What a killed process leaves: the file.
  void kill() {
    assignments.reset();
    controller.reset();
    reports.reset();
    hub.reset();
    fleet.reset();
    database.reset();
    real_.reset();
  }
  void open() {
    real_ = open_migrated(dir / "ferry.sqlite");
    database = std::make_unique<MortalDatabase>(*real_);
    fleet = std::make_unique<Fleet>();
    DeviceStore store(*database);
    need(fleet->load(store));
    hub = std::make_unique<EventHub>(clock);
    reports = std::make_unique<DeviceReports>(*database, *fleet, clock, *hub);
    controller = std::make_unique<RolloutController>(*database, *fleet, clock, random, *hub, log);
    need(controller->load());
    assignments = std::make_unique<Assignments>(*controller, 60);
  }
  void restart() {
    kill();
    open();
  }

  DevicePtr add_device(const std::string& id, const std::string& labels = "{}") {
    DeviceRow row;
    row.id = id;
    row.enrolled_ms = to_unix_ms(clock.now());
    row.labels = labels;
    DeviceStore store(*database);
    need(store.insert(row));
    fleet->add(row);
    return fleet->find(id);
  }
  void add_devices(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) add_device(fmt::format("dev-{:03}", i));
  }

  static ReleaseRow release(const std::string& version, const std::string& model = "fashion-mnist") {
    ReleaseRow row;
    row.model = model;
    row.version = version;
    row.counter = 2;
    row.manifest_sha256 = sha256("manifest of " + version);
    row.manifest_length = 1234;
    return row;
  }
  static NewRollout wanted(const std::string& version, RolloutPolicy policy = {}, const std::string& selector = "*") {
    NewRollout rollout;
    rollout.model = "fashion-mnist";
    rollout.version = version;
    rollout.selector = selector;
    rollout.policy = std::move(policy);
    rollout.by = "ci";
    return rollout;
  }
  std::string create(const std::string& version, RolloutPolicy policy = {}, const std::string& selector = "*") {
    return need(controller->create(wanted(version, std::move(policy), selector), release(version)));
  }
  Rollout rollout(const std::string& id) { return need(controller->find(id)); }

  // The check-in answer as JSON.
  Json check_in(const std::string& device) {
    return need(parse_json(*assignments->current(*fleet->find(device))->body));
  }
  // ferry.events/1 of one update event.
  static std::string update_event(std::int64_t seq, const std::string& rollout, const std::string& version,
                                  const std::string& state, const std::string& reason = "",
                                  const std::string& install = "in-1") {
    Json event{
        {"seq", seq},         {"at_ms", 5},     {"kind", "update"}, {"model", "fashion-mnist"}, {"version", version},
        {"rollout", rollout}, {"state", state}, {"reason", reason}, {"detail", Json::object()}};
    event["manifest_sha256"] = sha256("manifest of " + version).hex();
    return events({event}, install);
  }
  static std::string events(std::vector<Json> list, const std::string& install = "in-1") {
    return dump_json(Json{{"format", "ferry.events/1"}, {"install", install}, {"events", std::move(list)}});
  }
  // A slots event which says that `version` serves, having come by `rollout`.
  static Json slots_event(std::int64_t seq, const std::string& version, const std::string& rollout) {
    const std::string manifest = sha256("manifest of " + version).hex();
    Json slot{{"version", version}, {"counter", 1}, {"manifest_sha256", manifest}, {"rollout", rollout}};
    Json model{{"model", "fashion-mnist"},
               {"active", {{"version", version}, {"slot", "a"}, {"manifest_sha256", manifest}}},
               {"slots", {{"a", slot}, {"b", nullptr}}},
               {"update", {{"state", "idle"}}}};
    return Json{{"seq", seq}, {"kind", "slots"}, {"detail", {{"models", Json::array({model})}}}};
  }
  Result<std::int64_t> send(const std::string& device, const std::string& body) {
    return reports->apply_events(*fleet->find(device), body);
  }
  // Sends events and takes them, as POST /device/v1/events does.
  void tell(const std::string& device, const std::string& body) {
    need(send(device, body));
    need(controller->drain());
  }

  TempDir dir;
  SimClock clock;
  SeededRandom random{7};

 private:
  FileDescriptor null_;
  std::unique_ptr<Database> real_;

 public:
  Log log;
  std::unique_ptr<MortalDatabase> database;
  std::unique_ptr<Fleet> fleet;
  std::unique_ptr<EventHub> hub;
  std::unique_ptr<DeviceReports> reports;
  std::unique_ptr<RolloutController> controller;
  std::unique_ptr<Assignments> assignments;
};

}  // namespace ferry::server::test
