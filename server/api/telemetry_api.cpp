// Telemetry by release: totals, percentiles and a series, merged from minutes.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"
#include "server/api/views.hpp"

#include "ota/manifest.hpp"
#include "telemetry/shadow_bound.hpp"

#include <charconv>
#include <cmath>

namespace ferry::server::api {
namespace {

using telemetry::ReleaseWindow;

constexpr std::int64_t window_s_min = 60;
constexpr std::int64_t window_s_max = 2'592'000;
constexpr std::int64_t window_s_default = 3600;
constexpr std::int64_t hour_s = 3600;

Result<std::int64_t> window_of(const http::Request& request) {
  const std::string text = query_of(request, "window_s");
  if (text.empty()) return window_s_default;
  std::int64_t seconds = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (failed != std::errc{} || end != text.data() + text.size() || seconds < window_s_min || seconds > window_s_max)
    return Error{Errc::bad_input, "window_s: found \"" + text.substr(0, 20) + "\", expected " +
                                      std::to_string(window_s_min) + " to " + std::to_string(window_s_max)};
  return seconds;
}

// At most about 200 points whatever the window.
std::int64_t step_s_of(std::int64_t window_s) {
  if (window_s <= 2 * hour_s) return 60;
  if (window_s <= 48 * hour_s) return 900;
  return hour_s;
}

struct Series {
  ReleaseWindow total;
  std::map<std::int64_t, ReleaseWindow> points;
};

Json histogram_json(const telemetry::BoundedHistogram& histogram) {
  return Json{{"bounds", histogram.bounds}, {"counts", histogram.counts}};
}

Json point_json(std::int64_t at_ms, const ReleaseWindow& window) {
  Json summary = summary_of(window);
  Json point{{"at_ms", at_ms}};
  for (const char* key : {"count", "errors", "p50_us", "p95_us", "p99_us", "labelled", "right"})
    point[key] = summary[key];
  return point;
}

std::int64_t ppm(double share) { return static_cast<std::int64_t>(share * 1e6 + 0.5); }

Json inputs_json(const ReleaseWindow& window) {
  Json inputs = Json::object();
  for (const auto& [tensor, stats] : window.inputs) {
    const double variance = stats.values < 2 ? 0 : stats.squared_deviation() / static_cast<double>(stats.values - 1);
    inputs[tensor] = Json{{"tensors", stats.tensors},
                          {"nan", stats.with_nan},
                          {"infinity", stats.with_infinity},
                          {"constant", stats.constant},
                          {"out_of_range", stats.out_of_range},
                          {"values", stats.values},
                          {"mean", stats.mean()},
                          {"deviation", std::sqrt(variance)},
                          {"min", stats.min},
                          {"max", stats.max}};
  }
  return inputs;
}

// The bound needs no label; it holds while the compared inferences are a random sample.
Json shadow_json(const ReleaseWindow& window) {
  Json list = Json::array();
  for (const auto& [version, agreement] : window.shadow) {
    const telemetry::ShadowBound bound = telemetry::shadow_bound(agreement);
    Json pairs = Json::array();
    for (const auto& [pair, count] : agreement.disagreed)
      if (pair != telemetry::other_confusion)
        pairs.push_back(Json{{"older", pair.older}, {"newer", pair.newer}, {"count", count}});
    list.push_back(Json{{"against", version},
                        {"compared", agreement.compared()},
                        {"disagreed", agreement.disagreements()},
                        {"share_ppm", ppm(bound.share)},
                        {"accuracy_change_max_ppm", ppm(bound.share_max)},
                        {"margin_ppm", ppm(telemetry::shadow_margin)},
                        {"log_e_margin", bound.log_e_margin},
                        {"certified", bound.certified},
                        {"mean_gap_ppm", ppm(bound.mean_gap)},
                        {"pairs", std::move(pairs)}});
  }
  return list;
}

Json label_delay_json(const ReleaseWindow& window) {
  Json octaves = Json::array();
  for (const auto& [octave, count] : window.label_delay)
    octaves.push_back(Json{{"s_max", std::int64_t{2} << octave}, {"count", count}});
  return octaves;
}

Json release_json(const Series& series, std::int64_t devices) {
  const ReleaseWindow& total = series.total;
  Json json = summary_of(total);
  json["version"] = total.key.version;
  json["manifest_sha256"] = total.key.manifest_sha256;
  json["error_types"] = total.errors;
  json["classes"] = total.classes;
  json["worker_memory_bytes"] = total.worker_memory_bytes;
  json["confidence"] = histogram_json(total.confidence);
  json["mnlp"] = histogram_json(total.mnlp);
  json["inputs"] = inputs_json(total);
  json["outputs"] = Json{{"nan", total.outputs.nan}, {"shape", total.outputs.shape}, {"empty", total.outputs.empty}};
  json["requests_refused"] = total.requests_refused;
  json["labels_unjoinable"] = total.labels_unjoinable;
  json["label_delay"] = label_delay_json(total);
  json["shadow"] = shadow_json(total);
  json["devices"] = devices;
  Json points = Json::array();
  for (const auto& [at_ms, window] : series.points) points.push_back(point_json(at_ms, window));
  json["series"] = std::move(points);
  return json;
}

// The label names of the newest release that still can be read.
std::vector<std::string> labels_of(Services& services, const std::string& model) {
  const auto rows = services.releases.list(model, 1);
  if (!rows || rows->empty()) return {};
  const auto bytes = services.blobs.read(rows->front().manifest_sha256, ota::manifest_bytes_max);
  if (!bytes) return {};
  const auto manifest = ota::parse_manifest(*bytes);
  return manifest ? manifest->contract.labels : std::vector<std::string>();
}

}  // namespace

Result<http::Response> get_telemetry(Services& services, const http::Request& request) {
  const std::string model = query_of(request, "model");
  if (auto named = ota::check_model_name(model); !named) return std::move(named).error().within("model");
  TRY(auto window_s, window_of(request));
  const std::int64_t step_s = step_s_of(window_s);
  const std::int64_t to_ms = services.now_ms();
  const std::int64_t from_ms = to_ms - window_s * 1000;
  // Minutes are stored by their start: the one that holds from_ms belongs to the answer. A device may be a little
  // ahead.
  TRY(auto minutes, services.telemetry.minutes(model, from_ms / minute_ms * minute_ms, to_ms + telemetry_ahead_ms_max));
  std::map<std::string, Series> releases;
  for (const MinuteRow& row : minutes) {
    Series& series = releases[row.window.key.version];
    merge_into(series.total, row.window);
    merge_into(series.points[row.minute_ms / (step_s * 1000) * (step_s * 1000)], row.window);
  }
  const Census census = take_census(services);
  Json list = Json::array();
  for (const auto& [version, series] : releases) {
    std::int64_t devices = 0;
    if (auto digest = Digest::from_hex(series.total.key.manifest_sha256)) devices = census.running(model, *digest);
    list.push_back(release_json(series, devices));
  }
  return http::json_response(Json{{"model", model},
                                  {"from_ms", from_ms},
                                  {"to_ms", to_ms},
                                  {"step_s", step_s},
                                  {"labels", labels_of(services, model)},
                                  {"releases", std::move(list)}});
}

}  // namespace ferry::server::api
