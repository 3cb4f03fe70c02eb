#include "agent/collector.hpp"

namespace ferry::agent {
namespace {
constexpr std::size_t authorities_bytes_max = 1024 * 1024;  // a whole system's bundle
}

Result<TlsClientConfig> collector_tls(const CollectorConfig& config) {
  TlsClientConfig tls;
  if (config.ca_file.empty()) return tls;
  auto pem = read_file(config.ca_file, authorities_bytes_max);
  if (!pem) return std::move(pem).error().within("telemetry.ca_file");
  tls.ca_pem = std::move(*pem);
  return tls;
}

Collector::Collector(TelemetryLink& link, std::unique_ptr<HttpClient> http, Clock& clock, Random& random, Log& log,
                     CollectorLimits limits)
    : link_(link),
      clock_(clock),
      random_(random),
      log_(log),
      limits_(limits),
      http_(std::move(http), cancel_),
      sleeper_(clock),
      backoff_(limits.backoff_first, limits.backoff_max) {}

Collector::~Collector() { stop(); }

void Collector::start() {
  thread_ = std::thread([this] {
    while (!sleeper_.stopped()) sleeper_.sleep(round());
  });
}

void Collector::stop() {
  cancel_ = true;
  sleeper_.stop();
  if (thread_.joinable()) thread_.join();
}

Duration Collector::round() {
  link_.close_due_window();  // also while it backs off: a window's length does not depend on the receiver
  bool more = false;
  if (clock_.monotonic() >= not_before_) {
    (void)http_.take_retry_after();
    if (auto done = link_.upload(http_); done) {
      backoff_.reset();
      const auto waiting = link_.counts();
      more = waiting && waiting->windows > 0;
    } else if (done.error().code != Errc::cancelled) {
      const Duration wait = backoff_.next(random_, http_.take_retry_after());
      log_.warn("telemetry receiver not reached", {{"error", done.error().context}, {"again_in_ms", wait.count()}});
      not_before_ = clock_.monotonic() + wait;
    }
  }
  if (more) return limits_.round_min;
  Duration next = link_.due_in();
  if (const auto now = clock_.monotonic(); not_before_ > now)
    next = std::min(next, std::chrono::ceil<Duration>(not_before_ - now));
  return std::max(next, limits_.round_min);
}

}  // namespace ferry::agent
