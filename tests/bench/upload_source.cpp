#include "tests/bench/upload_source.hpp"

#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "telemetry/otlp.hpp"
#include "tests/bench/prometheus_text.hpp"

#include <random>

namespace ferry::bench {
namespace {

using telemetry::ReleaseWindow;

constexpr std::size_t windows_per_device = 16;
constexpr int inferences_per_window = 200;
constexpr std::size_t classes = 10;
constexpr std::int64_t window_ms = 1'000;

ReleaseWindow window_of(const UploadOrigin& origin, std::mt19937_64& engine) {
  std::lognormal_distribution<double> latency(-8.5, 0.25);
  std::exponential_distribution<double> doubt(4);
  std::uniform_int_distribution<std::size_t> one_of(0, classes - 1);
  ReleaseWindow window;
  window.key = origin.key;
  window.classes.resize(classes);
  window.confidence = telemetry::BoundedHistogram(origin.edges.confidence);
  window.mnlp = telemetry::BoundedHistogram(origin.edges.mnlp);
  for (int i = 0; i < inferences_per_window; ++i) {
    window.duration.record(latency(engine));
    ++window.classes[one_of(engine)];
    window.confidence.record(std::max(0.2, 1 - doubt(engine)));
    window.mnlp.record(10 - 2 * doubt(engine));
  }
  window.labels[{"audit", true}] = 36;
  window.labels[{"audit", false}] = 4;
  window.worker_memory_bytes = 61'000'000 + engine() % 4096 * 4096;
  return window;
}

std::string post(const std::string& path, std::string_view headers, std::string_view body) {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace

UploadSource::UploadSource(UploadForm form, std::string path, std::size_t devices, const UploadOrigin& origin)
    : form_(form), path_(std::move(path)), devices_(devices) {
  const std::int64_t now_ms = to_unix_ms(SystemClock().now());
  std::mt19937_64 engine(11);
  for (std::size_t at = 0; at < devices; ++at) {
    Device& device = devices_[at];
    device.report.install = "ins-" + sha256("install " + std::to_string(at)).hex().substr(0, 12);
    device.report.boot = "boot-" + sha256("boot " + std::to_string(at)).hex().substr(0, 12);
    device.report.agent_version = "0.1.0";
    device.report.end_unix_ms = now_ms - 3'600'000;  // every window of a run is in the past
    for (std::size_t i = 0; i < windows_per_device; ++i) device.windows.push_back(window_of(origin, engine));
    device.report.releases = {device.windows.front()};
  }
  samples_ = static_cast<double>(prometheus_text(devices_.front().report).samples);
}

std::string UploadSource::request_of(Device& device) {
  telemetry::WindowReport& report = device.report;
  ++report.seq;
  report.start_unix_ms = report.end_unix_ms;
  report.end_unix_ms += window_ms;
  const ReleaseWindow& fresh = device.windows[report.seq % device.windows.size()];
  if (form_ == UploadForm::ferry)
    report.releases.front() = fresh;
  else
    report.releases.front().merge(fresh);
  constexpr std::string_view protobuf = "Content-Type: application/x-protobuf\r\nContent-Encoding: gzip\r\n";
  switch (form_) {
    case UploadForm::text:
      return post(path_, "Content-Type: text/plain\r\n", prometheus_text(report, false).bytes);
    case UploadForm::otlp:
      return post(path_, protobuf, telemetry::gzip(telemetry::encode_otlp(report, telemetry::Temporality::cumulative)));
    case UploadForm::ferry:
      break;
  }
  return post(path_, protobuf, telemetry::gzip(telemetry::encode_otlp(report)));
}

void UploadSource::prepare(std::size_t each) {
  for (Device& device : devices_)
    for (std::size_t i = 0; i < each; ++i) device.waiting.push_back(request_of(device));
}

std::string UploadSource::next(std::size_t connection) {
  auto& waiting = devices_.at(connection).waiting;
  if (waiting.empty()) return {};
  std::string request = std::move(waiting.front());
  waiting.pop_front();
  return request;
}

std::size_t UploadSource::left() const {
  std::size_t all = 0;
  for (const Device& device : devices_) all += device.waiting.size();
  return all;
}

}  // namespace ferry::bench
