// Who knows whom in the server, and what it does by itself.
#include "server/app.hpp"

#include "server/store/migrations.hpp"

#include <sys/resource.h>
#include <unistd.h>

namespace ferry::server {
namespace {

constexpr int blocking_threads = 4;  // handlers wait for one database: more would only queue there

// Every device holds a connection: the soft limit of 1024 files is for other programs.
void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

http::ServerLimits limits_of(const Config& config) {
  http::ServerLimits limits;
  limits.threads = config.threads;
  limits.blocking_threads = blocking_threads;
  return limits;
}

http::Listen listen_of(const Endpoint& endpoint, TlsServerConfig tls) {
  http::Listen listen;
  listen.address = endpoint.address;
  listen.port = endpoint.port;
  listen.tls = std::move(tls);
  return listen;
}

std::string url_of(const std::string& configured, const std::string& name, std::uint16_t port) {
  if (!configured.empty()) return configured;
  const bool v6 = name.find(':') != std::string::npos;
  return "https://" + (v6 ? "[" + name + "]" : name) + ":" + std::to_string(port);
}

}  // namespace

App::App(Config config, Clock& clock, Random& random, Log& log)
    : config_(std::move(config)), clock_(clock), random_(random), log_(log), sleeper_(clock) {}

App::~App() { stop(); }

Result<std::unique_ptr<App>> App::open(Config config, Clock& clock, Random& random, Log& log) {
  std::unique_ptr<App> app(new App(std::move(config), clock, random, log));
  TRY_VOID(app->load());
  return app;
}

Result<> App::load() {
  TRY_VOID(make_directories(config_.status_file().parent_path()));
  // Two servers on one folder would both be right about nothing.
  auto lock = FileLock::take(config_.data / "run" / "server.lock");
  if (!lock && lock.error().code == Errc::conflict)
    return Error{Errc::conflict, config_.data.string() + ": another ferryd runs on this data folder"};
  if (!lock) return std::move(lock).error();
  lock_ = std::move(*lock);

  TRY(database_, open_sqlite(config_.database()));
  TRY_VOID(migrate(*database_, schema_migrations()));
  TRY(auto authority, load_authority(config_));
  authority_ = std::move(authority);
  TRY(auto certificate, server_certificate(config_, *authority_, clock_, random_));
  certificate_ = std::move(certificate);
  TRY(auto online, load_online_keys(config_));
  TRY(auto ui, StaticFiles::load(config_.ui_dir));
  ui_ = std::move(ui);
  TRY(auto blobs, BlobStore::open(config_.blobs()));
  blobs_ = std::move(blobs);

  DeviceStore devices(*database_);
  TRY_VOID(fleet_.load(devices));
  tokens_.emplace(*database_);
  access_.emplace(*tokens_, clock_, random_);
  TRY_VOID(access_->load());
  enrolment_.emplace(*authority_, *database_, fleet_, clock_, random_);
  hub_ = std::make_shared<EventHub>(clock_);
  reports_.emplace(*database_, fleet_, clock_, *hub_);
  trust_.emplace(config_.trust(), std::move(online), *database_, *blobs_, clock_, log_);
  TRY_VOID(trust_->load());
  releases_.emplace(*database_);
  drift_.emplace(*database_, fleet_, *releases_, *blobs_, *hub_, log_);
  TRY_VOID(drift_->load());
  rollouts_.emplace(*database_, fleet_, clock_, random_, *hub_, log_);
  TRY_VOID(rollouts_->load());
  rollouts_->watch_world([this](const Rollout& rollout, std::int64_t now_ms) -> std::optional<WorldChanged> {
    const auto news = drift_->world_changed(rollout, now_ms);
    if (!news) return std::nullopt;
    return WorldChanged{news->detail, news->since_ms, now_ms};
  });
  assignments_.emplace(*rollouts_, config_.telemetry_interval_or_default_s());
  telemetry_.emplace(*database_);
  intake_.emplace(*drift_, rollouts_->gates(), *telemetry_, clock_);
  services_.reset(new Services{config_,    clock_,     random_,       log_,        *database_, *authority_,
                               fleet_,     *access_,   *enrolment_,   *reports_,   *trust_,    *blobs_,
                               *releases_, *rollouts_, *assignments_, *telemetry_, *drift_,    *intake_,
                               hub_,       metrics_,   *ui_,          "",          false});
  return {};
}

TlsServerConfig App::tls_of(const ServerCertificate& certificate, bool mutual) const {
  return {certificate.certificate_pem, certificate.key_pem, mutual ? authority_->certificate().pem() : ""};
}

Result<> App::bind() {
  const auto observer = [this](std::string_view route, int status, std::chrono::nanoseconds took) {
    metrics_.request(route, status, took);
  };
  devices_ = std::make_unique<http::Server>(device_routes(*services_),
                                            std::vector{listen_of(config_.device_listen, tls_of(*certificate_, true))},
                                            limits_of(config_), log_, observer);
  operators_ = std::make_unique<http::Server>(
      operator_routes(*services_), std::vector{listen_of(config_.operator_listen, tls_of(*certificate_, false))},
      limits_of(config_), log_, observer);
  auto started = devices_->start();
  if (!started) return std::move(started).error().within("device listener");
  services_->device_url = device_url();
  started = operators_->start();
  if (!started) return std::move(started).error().within("operator listener");
  return {};
}

Result<> App::start() {
  raise_file_limit();
  // Expired while the server was away: signed before the first device asks.
  auto renewed = trust_->renew();
  if (!renewed) log_.error("online signature failed", {{"error", renewed.error().context}});
  const auto now = clock_.monotonic();
  seen_flushed_ = trust_checked_ = slow_done_ = now;
  TRY_VOID(bind());
  housekeeper_ = std::thread([this] {
    while (!sleeper_.stopped()) {
      housekeep();
      sleeper_.sleep(rollouts_turn);
    }
  });
  TRY_VOID(write_status_file());
  log_.info("ferryd ready", {{"devices", device_url()}, {"operators", operator_url()}, {"dashboard", !ui_->empty()}});
  return {};
}

void App::stop() {
  if (!services_) return;
  services_->draining = true;
  std::error_code ignored;  // a stale file is overwritten by the next start
  std::filesystem::remove(config_.status_file(), ignored);
  if (operators_) operators_->stop();
  if (devices_) devices_->stop();
  sleeper_.stop();
  if (housekeeper_.joinable()) housekeeper_.join();
  if (!devices_) return;  // never started
  if (auto turned = rollouts_->turn(); !turned) log_.warn("rollouts", {{"error", turned.error().context}});
  DeviceStore store(*database_);
  if (auto kept = store.set_last_seen(fleet_.take_seen()); !kept)
    log_.warn("last seen", {{"error", kept.error().context}});
  devices_.reset();
  operators_.reset();
  log_.info("ferryd ends");
}

bool App::due(std::chrono::nanoseconds& last, Duration every) {
  const auto now = clock_.monotonic();
  if (now - last < every) return false;
  last = now;
  return true;
}

void App::housekeep() {
  if (auto turned = rollouts_->turn(); !turned) log_.error("rollouts", {{"error", turned.error().context}});
  if (due(seen_flushed_, last_seen_flush)) {
    DeviceStore store(*database_);
    if (auto kept = store.set_last_seen(fleet_.take_seen()); !kept)
      log_.warn("last seen", {{"error", kept.error().context}});
  }
  if (due(trust_checked_, trust_renewal_check)) {
    auto renewed = trust_->renew();
    if (!renewed) log_.error("online signature failed", {{"error", renewed.error().context}});
    if (renewed && *renewed) log_.info("snapshot and timestamp signed anew");
  }
  if (due(slow_done_, slow_housekeeping)) {
    const std::int64_t oldest_ms = services_->now_ms() - telemetry_keep_ms;
    if (auto forgotten = telemetry_->forget_before(oldest_ms); !forgotten)
      log_.warn("old telemetry", {{"error", forgotten.error().context}});
    if (auto kept = drift_->housekeep(services_->now_ms(), rollouts_under_way()); !kept)
      log_.warn("drift", {{"error", kept.error().context}});
    renew_certificate();
  }
}

std::set<std::string> App::rollouts_under_way() const {
  std::set<std::string> ids;
  rollouts_->read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [model, rollouts] : by_model)
      for (const Rollout* rollout : rollouts)
        if (!is_terminal(rollout->head.status)) ids.insert(rollout->plan.id);
  });
  return ids;
}

void App::renew_certificate() {
  auto fresh = server_certificate(config_, *authority_, clock_, random_);
  if (!fresh) {
    log_.error("server certificate", {{"error", fresh.error().context}});
    return;
  }
  if (fresh->certificate_pem == certificate_->certificate_pem) return;
  certificate_ = std::move(*fresh);
  for (auto* server : {devices_.get(), operators_.get()}) {
    if (!server) continue;
    auto set = server->set_tls(0, tls_of(*certificate_, server == devices_.get()));
    if (!set) log_.error("server certificate", {{"error", set.error().context}});
  }
  log_.info("server certificate renewed", {{"not_after", to_rfc3339(certificate_->not_after)}});
}

std::string App::device_url() const {
  return url_of(config_.device_url, config_.names.front(), devices_ ? devices_->port() : config_.device_listen.port);
}

std::string App::operator_url() const {
  return url_of(config_.operator_url, config_.names.front(),
                operators_ ? operators_->port() : config_.operator_listen.port);
}

Result<> App::write_status_file() const {
  const Json status{{"format", "ferry.server-run/1"},
                    {"pid", ::getpid()},
                    {"device_url", device_url()},
                    {"operator_url", operator_url()},
                    {"ca_file", (config_.ca() / "ca.pem").string()}};
  return write_file_atomic(config_.status_file(), dump_json(status) + "\n");
}

Result<> run_server(Config config, Clock& clock, Random& random, Log& log, const std::function<void()>& wait_for_end) {
  TRY(auto app, App::open(std::move(config), clock, random, log));
  TRY_VOID(app->start());
  wait_for_end();
  app->stop();
  return {};
}

}  // namespace ferry::server
