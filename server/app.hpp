// The composition root of ferryd: builds every object bottom up, runs the listeners and the housekeeping.
#pragma once
#include "common/http/server.hpp"
#include "server/init.hpp"
#include "server/routes.hpp"

#include <thread>

namespace ferry::server {

inline constexpr Duration rollouts_turn{250};                          // how late a fact may reach its rollout
inline constexpr Duration last_seen_flush = std::chrono::seconds{10};  // what a kill may forget of "last seen"
inline constexpr Duration trust_renewal_check = std::chrono::minutes{1};
inline constexpr Duration slow_housekeeping = std::chrono::hours{1};  // old telemetry, the server's own certificate

// One server over one data folder. Not movable: handlers refer into it.
class App {
 public:
  // Loads everything from disk; serves nothing yet. `config.data` must have been initialised (init_server).
  // conflict when another server runs on the folder.
  static Result<std::unique_ptr<App>> open(Config config, Clock& clock, Random& random, Log& log);
  App(const App&) = delete;
  App& operator=(const App&) = delete;
  ~App();

  // Binds both listeners, starts housekeeping, writes run/server.json.
  Result<> start();
  // Drains: /readyz says so, requests under way end, what is only in memory is written. Idempotent.
  void stop();

  Services& services() { return *services_; }
  std::string device_url() const;
  std::string operator_url() const;
  // One pass of what is due; the housekeeping thread calls it. For tests with a simulated clock.
  void housekeep();

 private:
  App(Config config, Clock& clock, Random& random, Log& log);
  Result<> load();
  Result<> bind();
  Result<> write_status_file() const;
  void renew_certificate();
  std::set<std::string> rollouts_under_way() const;
  TlsServerConfig tls_of(const ServerCertificate& certificate, bool mutual) const;

  // True when `every` has passed since the last time for this task.
  bool due(std::chrono::nanoseconds& last, Duration every);

  const Config config_;
  Clock& clock_;
  Random& random_;
  Log& log_;

  std::optional<FileLock> lock_;
  std::unique_ptr<Database> database_;
  std::optional<CertificateAuthority> authority_;
  std::optional<ServerCertificate> certificate_;
  std::optional<StaticFiles> ui_;
  std::optional<BlobStore> blobs_;
  Fleet fleet_;
  std::optional<TokenStore> tokens_;
  std::optional<Access> access_;
  std::optional<Enrolment> enrolment_;
  std::shared_ptr<EventHub> hub_;
  std::optional<DeviceReports> reports_;
  std::optional<TrustStore> trust_;
  std::optional<ReleaseStore> releases_;
  std::optional<DriftMonitor> drift_;
  std::optional<RolloutController> rollouts_;
  std::optional<Assignments> assignments_;
  std::optional<TelemetryStore> telemetry_;
  std::optional<TelemetryIntake> intake_;
  Metrics metrics_;
  std::unique_ptr<Services> services_;

  std::unique_ptr<http::Server> devices_;
  std::unique_ptr<http::Server> operators_;
  Sleeper sleeper_;
  std::thread housekeeper_;
  std::chrono::nanoseconds seen_flushed_{0}, trust_checked_{0}, slow_done_{0};
};

// `ferryd serve`: opens, starts, waits for `wait_for_end`, stops.
Result<> run_server(Config config, Clock& clock, Random& random, Log& log, const std::function<void()>& wait_for_end);

}  // namespace ferry::server
