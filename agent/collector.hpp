// Telemetry to somebody else's OTLP receiver, on a thread and a connection of its own: whatever trouble it has or
// makes, the update server is talked to as before.
#pragma once
#include "agent/identity.hpp"
#include "agent/telemetry_link.hpp"
#include "agent/watched_client.hpp"
#include "ota/download.hpp"

#include <thread>

namespace ferry::agent {

struct CollectorLimits {
  Duration backoff_first{std::chrono::seconds{1}};
  Duration backoff_max{std::chrono::minutes{10}};
  Duration round_min{std::chrono::milliseconds{20}};
};

// How to reach it: its own authorities or the system's, never the device's certificate, which is for the update server.
// Errors: those of reading `ca_file`, named after the setting.
Result<TlsClientConfig> collector_tls(const CollectorConfig& config);

class Collector {
 public:
  // `link`, `clock`, `random` and `log` outlive it.
  Collector(TelemetryLink& link, std::unique_ptr<HttpClient> http, Clock& clock, Random& random, Log& log,
            CollectorLimits limits = {});
  ~Collector();
  void start();
  void stop();  // cuts the request under way; joins
  // The interval may have changed. Thread-safe, returns at once.
  void wake() { sleeper_.wake(); }
  // One round, as the thread does it; the wait until the next is returned. For the thread and for tests.
  Duration round();

 private:
  TelemetryLink& link_;
  Clock& clock_;
  Random& random_;
  Log& log_;
  const CollectorLimits limits_;
  std::atomic<bool> cancel_{false};
  WatchedClient http_;
  Sleeper sleeper_;
  ota::Backoff backoff_;
  std::chrono::nanoseconds not_before_{0};
  std::thread thread_;
};

}  // namespace ferry::agent
