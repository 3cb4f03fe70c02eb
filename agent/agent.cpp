// Who knows whom in the agent. Each object below says why it exists.
#include "agent/agent.hpp"

#include "agent/collector.hpp"
#include "agent/memory.hpp"
#include "agent/poll_loop.hpp"
#include "agent/telemetry_link.hpp"
#include "agent/update_driver.hpp"

#include <algorithm>

namespace ferry::agent {
namespace {

// Update drivers by model, made when a model appears in the data tree or in an assignment. Thread-safe.
class Fleet {
 public:
  Fleet(DataTree data, DriverPorts ports) : data_(std::move(data)), ports_(std::move(ports)) {}

  Result<> start_known() {
    TRY(auto models, ota::models_on_disk(data_.root));
    std::lock_guard lock(mutex_);
    for (const auto& model : models) driver(model);
    return {};
  }
  void assign(const Assignment& assignment) {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    for (const auto& item : assignment.models) {
      if (drivers_.size() >= models_per_device_max && !drivers_.contains(item.model)) {
        ports_.log.error("too many models for one device", {{"model", item.model}});
        continue;
      }
      driver(item.model);
    }
    // The order to leave a release first: an assignment seen alone would be fetched and tried like a new one.
    for (auto& [model, one] : drivers_) {
      const auto ordered = std::ranges::find(assignment.recalls, model, &Recall::model);
      one->recall(ordered == assignment.recalls.end() ? std::nullopt : std::optional(*ordered));
    }
    for (const auto& item : assignment.models)
      if (const auto found = drivers_.find(item.model); found != drivers_.end()) found->second->assign(item.release);
  }
  void signal(const std::string& model, ActivatorSignal signal) {
    std::lock_guard lock(mutex_);
    if (auto found = drivers_.find(model); found != drivers_.end()) found->second->signal(signal);
  }
  void stop() {
    std::map<std::string, std::unique_ptr<UpdateDriver>> ending;
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      ending.swap(drivers_);
    }
    ending.clear();  // outside the lock: a driver that ends may still be signalled
  }

 private:
  UpdateDriver& driver(const std::string& model) {
    auto& slot = drivers_[model];
    if (!slot) {
      slot = std::make_unique<UpdateDriver>(data_, model, ports_);
      slot->start();
    }
    return *slot;
  }

  const DataTree data_;
  const DriverPorts ports_;
  std::mutex mutex_;  // guards drivers_ and stopped_
  std::map<std::string, std::unique_ptr<UpdateDriver>> drivers_;
  bool stopped_ = false;
};

// A spool that SQLite cannot read is put aside: events are worth less than a device that runs.
Result<std::unique_ptr<Database>> open_spool(const DataTree& data, Log& log) {
  TRY_VOID(make_directories(data.spool().parent_path()));
  auto database = open_sqlite(data.spool());
  if (database) {
    auto checked = (*database)->query("PRAGMA quick_check(1)");
    if (checked && !checked->empty() && (*checked)[0].text(0) == "ok") return database;
  }
  log.error("the event spool is damaged; put aside", {{"path", data.spool().string()}});
  database = Error{Errc::io, "spool: damaged"};
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code ignored;  // what cannot be moved fails the open below
    Path from = data.spool().string() + suffix;
    std::filesystem::rename(from, from.string() + ".damaged", ignored);
  }
  return open_sqlite(data.spool());
}

// None while telemetry goes to the update server, with everything else.
Result<std::unique_ptr<Collector>> make_collector(const CollectorConfig& config, TelemetryLink& link,
                                                  const AgentPorts& ports) {
  if (config.url.empty()) return std::unique_ptr<Collector>{};
  TRY(auto tls, collector_tls(config));
  auto http = make_http_client(std::move(tls));
  return std::make_unique<Collector>(link, std::move(http), ports.clock, ports.random, ports.log);
}

void complete_status(Json& document, Activator& activator, EventSpool& spool, TelemetryLink& telemetry) {
  for (auto& model : document["models"])
    if (model["active"].is_object())
      model["active"]["state"] = activator.serving_state(model["model"].get<std::string>());
  if (auto counts = spool.counts()) {
    document["spool"]["events"] = counts->events;
    document["spool"]["dropped"] = counts->dropped;
  }
  if (auto counts = telemetry.counts()) {
    document["spool"]["windows"] = counts->windows;
    document["spool"]["dropped"] = document["spool"]["dropped"].get<std::uint64_t>() + counts->dropped;
  }
}

}  // namespace

Result<> run_agent(const Config& config, const AgentPorts& ports) {
  Log& log = ports.log;
  const DataTree& data = config.data;
  TRY(auto identity, load_identity(data));
  TRY_VOID(make_directories(data.run(), 0755));
  // Two agents on one data tree would fight over slots.
  auto lock = FileLock::take(data.run() / "agent.lock");
  if (!lock && lock.error().code == Errc::conflict)
    return Error{Errc::conflict, (data.run() / "agent.lock").string() + ": another agent runs on this data tree"};
  if (!lock) return std::move(lock).error();
  remove_run_file(data);

  const std::string boot = ports.random.id("boot");
  TRY(auto database, open_spool(data, log));
  TRY(auto spool, EventSpool::open(*database));
  StatusBoard status(identity.device, boot);
  TRY(auto telemetry,
      TelemetryLink::open(identity, boot, *database, ports.clock, log, config.collector, config.telemetry));
  TRY(auto collector, make_collector(config.collector, *telemetry, ports));
  telemetry->on_alarm([&spool = *spool, &log](const Json& event) {
    if (auto told = spool.append(event); !told) log.warn("event lost", {{"error", told.error().context}});
  });

  // Applications are served from here; it never waits for the server.
  ServingOptions serving_options;
  serving_options.data = data.root;
  serving_options.worker_program = config.worker_program;
  serving_options.runtime_library = config.runtime_library;
  serving_options.boot = boot;
  serving_options.http_address = config.api_address;
  serving_options.http_port = config.api_port;
  serving_options.observer = telemetry.get();
  serving_options.status = [&status] { return status.document(); };
  auto serving = ports.make_serving(std::move(serving_options));
  status.on_read([&](Json& document) { complete_status(document, *serving, *spool, *telemetry); });

  HttpClientFactory make_client = [data]() -> Result<std::unique_ptr<HttpClient>> {
    TRY(auto tls, device_tls(data));
    return make_http_client(std::move(tls));
  };
  ReleaseResolver resolver(identity, data, ports.clock);
  Reporter reporter(identity, *spool, log);
  std::vector<Uploader*> uploaders{&reporter};
  if (!collector) uploaders.push_back(telemetry.get());

  PollLoop* poll_wake = nullptr;  // set before any driver starts
  DriverPorts driver_ports{*serving,    resolver,     make_client, *spool, status, [&poll_wake] { poll_wake->wake(); },
                           ports.clock, ports.random, log};
  Fleet fleet(data, driver_ports);
  PollPorts poll_ports{make_client,
                       [&] { return serving->hardware_profile(); },
                       [&](const Assignment& assignment) {
                         telemetry->set_interval(assignment.telemetry_interval);
                         if (collector) collector->wake();
                         fleet.assign(assignment);
                       },
                       std::move(uploaders),
                       status,
                       ports.clock,
                       ports.random,
                       log,
                       give_back_memory};
  PollLoop poll(identity, data, std::move(poll_ports));
  poll_wake = &poll;
  telemetry->on_wake([&] { collector ? collector->wake() : poll.wake(); });

  serving->on_signal([&](const std::string& model, ActivatorSignal signal) { fleet.signal(model, signal); });
  auto run = [&]() -> Result<> {
    TRY_VOID(serving->open());
    Json started{{"at_ms", to_unix_ms(ports.clock.now())},
                 {"kind", "started"},
                 {"detail", {{"boot", boot}, {"agent_version", agent_version}}}};
    if (auto told = spool->append(started); !told) log.warn("event lost", {{"error", told.error().context}});
    TRY_VOID(fleet.start_known());
    poll.start();
    if (collector) collector->start();
    TRY_VOID(write_run_file(data, serving->socket(), serving->url()));
    log.info("agent ready", {{"device", identity.device}, {"server", identity.server}, {"url", serving->url()}});
    ports.wait_for_end();
    log.info("agent ends");
    return {};
  };
  auto ended = run();
  poll.stop();  // no more assignments
  if (collector) collector->stop();
  fleet.stop();      // journals say where to go on
  serving->close();  // drains requests, stops workers
  if (auto kept = telemetry->close_window(); !kept)
    log.warn("telemetry window lost", {{"error", kept.error().context}});
  remove_run_file(data);
  return ended;
}

}  // namespace ferry::agent
