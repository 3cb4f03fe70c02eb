// Telemetry as devices send it (OTLP/HTTP, docs/formats/telemetry.md). Whoever holds a device's key may write anything
// here: it is checked, counted by reason, and moves the numbers of that device alone.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"

#include "telemetry/otlp.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <variant>

namespace ferry::server::api {
namespace {

constexpr const char* refused_total = "ferry_telemetry_refused_total";    // uploads, whole
constexpr const char* rejected_total = "ferry_telemetry_rejected_total";  // data points, left out or read as else
constexpr std::uint64_t inferences_per_s_max = 10'000;                    // of one release on one device
constexpr std::int64_t window_ms_max = 31LL * 86'400'000;                 // longer ones count as this long

// Errc and status stay; the reason is counted and does not take the place of the problem's code.
Error counted(Services& services, Error error) {
  constexpr std::string_view prefix = "telemetry_";
  const bool ours = error.reason.starts_with(prefix);
  services.metrics.count_reason(refused_total, ours                   ? error.reason.substr(prefix.size())
                                               : error.reason.empty() ? "malformed"
                                                                      : error.reason);
  if (ours) error.reason.clear();
  return error;
}

// More inferences than a machine can do in the time are no count of anything.
void drop_impossible(telemetry::WindowReport& report, telemetry::Rejected& rejected) {
  const std::int64_t length_ms =
      std::clamp<std::int64_t>(report.end_unix_ms - report.start_unix_ms, 1'000, window_ms_max);
  const std::uint64_t inferences_max = inferences_per_s_max * static_cast<std::uint64_t>(length_ms) / 1'000;
  std::erase_if(report.releases, [&](const telemetry::ReleaseWindow& window) {
    if (window.inference_count() <= inferences_max) return false;
    rejected.add("rate", fmt::format("more than {} inferences in {} ms", inferences_max, length_ms));
    return true;
  });
}

void count(Services& services, UploadVerdict verdict, const telemetry::Rejected& rejected) {
  services.metrics.count(verdict == UploadVerdict::applied  ? "ferry_telemetry_windows_applied_total"
                         : verdict == UploadVerdict::repeat ? "ferry_telemetry_windows_repeated_total"
                                                            : "ferry_telemetry_windows_too_late_total");
  for (const auto& [reason, points] : rejected.by_reason) services.metrics.count_reason(rejected_total, reason, points);
}

struct Upload {
  std::string device;
  telemetry::WindowReport report;
  telemetry::Rejected rejected;
};

// The refusal may be an answer: there are more of them than error codes.
Result<std::variant<Upload, http::Response>> read_upload(Services& services, const http::Request& request) {
  using Read = std::variant<Upload, http::Response>;
  const DevicePtr device = device_of(services, request);
  if (!device) return Error{Errc::denied, "this certificate belongs to no device", "device_unknown"};
  const std::string_view type = request.header("content-type");
  if (type.substr(0, type.find(';')) != "application/x-protobuf")
    return Read(http::problem(415, "unsupported", "Content-Type: expected application/x-protobuf"));
  const std::string_view coding = request.header("content-encoding");
  if (!coding.empty() && coding != "gzip" && coding != "identity")
    return Read(http::problem(415, "unsupported", "Content-Encoding: expected gzip"));
  std::string inflated;
  if (coding == "gzip") {
    auto whole = telemetry::gunzip(request.body);
    if (!whole) return counted(services, std::move(whole).error());
    inflated = std::move(*whole);
  }
  Upload upload{device->id, {}, {}};
  auto report = telemetry::decode_otlp(coding == "gzip" ? inflated : request.body, &upload.rejected);
  if (!report) return counted(services, std::move(report).error());
  const std::int64_t now_ms = services.now_ms();
  if (!report->releases.empty() &&
      (report->end_unix_ms > now_ms + telemetry_ahead_ms_max || report->end_unix_ms < now_ms - telemetry_keep_ms))
    upload.rejected.clamp("clock", "a window of another time; it counts as of now");
  drop_impossible(*report, upload.rejected);
  upload.report = std::move(*report);
  return Read(std::move(upload));
}

}  // namespace

// 200 also for a repeat, and with partial_success when data points were left out; 400 is never retried. Reads on the
// connection's thread, which is short work, and waits for the disk without one.
boost::asio::awaitable<http::Response> device_metrics(Services& services, const http::Request& request) {
  auto read = read_upload(services, request);
  if (!read) co_return problem(read.error());
  if (auto* refused = std::get_if<http::Response>(&*read)) co_return std::move(*refused);
  Upload& upload = std::get<Upload>(*read);
  const std::string device = upload.device;
  const auto verdict = co_await services.intake.take(device, std::move(upload.report));
  if (!verdict) {
    if (verdict.error().code == Errc::bad_input) services.metrics.count_reason(refused_total, "counts");
    co_return problem(verdict.error());
  }
  count(services, *verdict, upload.rejected);
  if (*verdict == UploadVerdict::applied) {
    services.hub->publish("device:" + device, "changed", device);
    services.hub->publish("overview", "changed", "");
  }
  co_return http::text_response(telemetry::encode_otlp_response(upload.rejected), "application/x-protobuf");
}

}  // namespace ferry::server::api
