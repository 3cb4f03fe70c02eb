// The agent's end of telemetry: docs/formats/telemetry.md.
#include "agent/telemetry_link.hpp"

#include "agent/status.hpp"
#include "ota/manifest.hpp"
#include "telemetry/reference_profile.hpp"

namespace ferry::agent {
namespace {
constexpr std::size_t described_max = 64;  // releases one process ever serves; beyond that it starts over
constexpr int uploads_per_round_max = 32;  // then other traffic gets its turn
}  // namespace

Result<std::unique_ptr<TelemetryLink>> TelemetryLink::open(const Identity& identity, std::string boot,
                                                           Database& database, Clock& clock, Log& log,
                                                           const CollectorConfig& collector) {
  telemetry::WindowReceiver receiver;
  if (!collector.url.empty()) receiver = {collector.url, collector.temporality};
  TRY(auto spool, telemetry::Spool::open(database, {}, receiver));
  return std::unique_ptr<TelemetryLink>(
      new TelemetryLink(identity, std::move(boot), std::move(spool), clock, log, collector));
}

TelemetryLink::TelemetryLink(const Identity& identity, std::string boot, telemetry::Spool spool, Clock& clock, Log& log,
                             const CollectorConfig& collector)
    : url_(collector.url.empty() ? identity.server + "/v1/metrics" : collector.url),
      install_(identity.install),
      boot_(std::move(boot)),
      headers_(collector.headers),
      clock_(clock),
      log_(log),
      spool_(std::move(spool)),
      window_end_(clock.monotonic() + interval_) {}

// Edges come from the release's own reference profile, so that device and gate histograms can be compared.
telemetry::ReleaseKey TelemetryLink::key_of(const SlotContents& release) {
  telemetry::ReleaseKey key{release.model, release.version, release.manifest_sha256.hex(),
                            release.slot,  release.rollout, release.arm};
  {
    std::lock_guard lock(described_mutex_);
    if (described_.size() >= described_max) described_.clear();
    if (!described_.insert(release.manifest_sha256).second) return key;
  }
  telemetry::Edges edges = telemetry::default_edges();
  if (auto bytes = read_file(release.directory / "reference.json", telemetry::reference_bytes_max))
    if (auto profile = telemetry::parse_reference_profile(*bytes)) edges = profile->edges();
  recorder_.describe(key, release.manifest->contract.labels.size(), std::move(edges));
  return key;
}

void TelemetryLink::on_inference(const InferenceSample& sample) {
  auto key = key_of(sample.release);
  if (!sample.error_type.empty()) {
    recorder_.error(key, std::string(sample.error_type));
    return;
  }
  std::optional<telemetry::Prediction> prediction;
  if (!sample.class_scores.empty()) prediction = telemetry::read_prediction(sample.class_scores);
  recorder_.inference(key, std::chrono::duration<double>(sample.latency).count(), prediction ? &*prediction : nullptr);
}

void TelemetryLink::on_label(const LabelSample& sample) {
  recorder_.label(key_of(sample.release), std::string(sample.source), sample.correct);
}

void TelemetryLink::on_worker_memory(const SlotContents& release, std::uint64_t bytes) {
  recorder_.worker_memory(key_of(release), bytes);
}

void TelemetryLink::set_interval(Duration interval) {
  std::lock_guard lock(mutex_);
  if (interval == interval_) return;
  window_end_ += interval - interval_;
  interval_ = interval;
}

Duration TelemetryLink::due_in() const {
  std::lock_guard lock(mutex_);
  auto now = clock_.monotonic();
  return now >= window_end_ ? Duration{0} : std::chrono::ceil<Duration>(window_end_ - now);
}

Result<> TelemetryLink::close_window() {
  std::lock_guard lock(mutex_);
  window_end_ = clock_.monotonic() + interval_;
  auto window = recorder_.take(to_unix_ms(clock_.now()));
  if (window.releases.empty()) return {};  // nothing happened: silence is not worth a flash write
  window.install = install_;
  window.boot = boot_;
  window.agent_version = agent_version;
  return spool_.add(std::move(window));
}

Result<telemetry::Spool::Counts> TelemetryLink::counts() {
  std::lock_guard lock(mutex_);
  return spool_.counts();
}

void TelemetryLink::close_due_window() {
  if (due_in() > Duration{0}) return;
  if (auto closed = close_window(); !closed) log_.warn("telemetry window lost", {{"error", closed.error().context}});
}

Result<> TelemetryLink::upload(HttpClient& http) {
  close_due_window();
  for (int sent = 0; sent < uploads_per_round_max; ++sent) {
    std::optional<telemetry::Spool::Pending> pending;
    {
      std::lock_guard lock(mutex_);
      TRY(pending, spool_.oldest());
    }
    if (!pending) return {};
    HttpRequest request;
    request.method = "POST";
    request.url = url_;
    request.headers = headers_;
    request.headers["Content-Type"] = "application/x-protobuf";
    request.headers["Content-Encoding"] = "gzip";
    request.body = std::move(pending->upload);
    TRY(auto response, http.send(request));
    bool never = response.status == 400 || response.status == 413 || response.status == 415 || response.status == 422;
    if (never)
      log_.error("the receiver refuses our telemetry; dropped",
                 {{"error", error_from_status(response, "metrics").context}});
    else if (response.status != 200)
      return error_from_status(response, "metrics");
    std::lock_guard lock(mutex_);
    TRY_VOID(spool_.remove(pending->id));
  }
  return {};
}

}  // namespace ferry::agent
