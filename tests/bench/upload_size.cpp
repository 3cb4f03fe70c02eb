// How large one telemetry upload is: real images through the agent's socket fill windows as the agent would fill them;
// each is encoded as the agent does it, and as Prometheus text with the same numbers, once without and once with the
// labels that feedback brought. Prints one JSON document.
#include "telemetry/otlp.hpp"
#include "telemetry/recorder.hpp"
#include "telemetry/reference_profile.hpp"
#include "tests/bench/inference_client.hpp"
#include "tests/bench/prometheus_text.hpp"
#include "tests/bench/support.hpp"

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

namespace ferry::bench {
namespace {

using telemetry::ReleaseWindow;

constexpr std::size_t classes = 10;
constexpr std::size_t label_every = 5;  // the share of predictions whose truth becomes known
constexpr std::size_t identity_bytes_max = 64 * 1024;
constexpr std::int64_t window_ms = 60'000;
constexpr std::int64_t start_unix_ms = 1'795'000'000'000;

struct Options {
  std::string socket, release, reference, images, labels;
  int windows = 5, per_window = 200;
};

// Who reports about which release: {"install","boot","agent_version", "release": {…}, "worker_memory_bytes"}.
struct Origin {
  telemetry::WindowReport report;
  telemetry::ReleaseKey key;
  std::uint64_t worker_memory_bytes = 0;
};

Result<Origin> read_origin(const Path& path) {
  TRY(const std::string text, read_file(path, identity_bytes_max));
  TRY(const Json document, parse_json(text));
  Origin origin;
  TRY(origin.report.install, string_at(document, "install"));
  TRY(origin.report.boot, string_at(document, "boot"));
  TRY(origin.report.agent_version, string_at(document, "agent_version"));
  TRY(const std::int64_t memory, integer_at(document, "worker_memory_bytes", 0));
  origin.worker_memory_bytes = static_cast<std::uint64_t>(memory);
  TRY(const Json* release, object_at(document, "release"));
  TRY(origin.key.model, string_at(*release, "model"));
  TRY(origin.key.version, string_at(*release, "version"));
  TRY(origin.key.manifest_sha256, string_at(*release, "manifest_sha256"));
  TRY(origin.key.slot, string_at(*release, "slot"));
  TRY(origin.key.rollout, string_at(*release, "rollout"));
  TRY(origin.key.arm, string_at(*release, "arm"));
  return origin;
}

// Bytes of several windows: upload and text, compressed and not.
struct Sizes {
  std::vector<double> upload, upload_raw, text, text_raw, samples;

  Result<> add(const telemetry::WindowReport& report) {
    const std::string encoded = telemetry::encode_otlp(report);
    TRY(const auto decoded, telemetry::decode_otlp(encoded));
    if (decoded != report) return Error{Errc::internal, "an upload does not read back as what was written"};
    const PrometheusText prometheus = prometheus_text(report);
    upload_raw.push_back(static_cast<double>(encoded.size()));
    upload.push_back(static_cast<double>(telemetry::gzip(encoded).size()));
    text_raw.push_back(static_cast<double>(prometheus.bytes.size()));
    text.push_back(static_cast<double>(telemetry::gzip(prometheus.bytes).size()));
    samples.push_back(static_cast<double>(prometheus.samples));
    return {};
  }
  Json told() const {
    Json all = Json::object();
    all["upload_bytes"] = spread(upload);
    all["upload_raw_bytes"] = spread(upload_raw);
    all["text_bytes"] = spread(text);
    all["text_raw_bytes"] = spread(text_raw);
    all["text_samples"] = spread(samples);
    return all;
  }
};

struct Asker {
  InferenceClient client;
  telemetry::Recorder& recorder;
  const Origin& origin;

  Result<> ask(const std::string& image, int label, bool tell_label) {
    Reply reply;
    const std::string request = inference_request(origin.key.model, image);
    const auto started = std::chrono::steady_clock::now();
    TRY_VOID(client.exchange(request, reply));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    TRY(const std::vector<float> scores, scores_of(reply));
    if (scores.size() != classes) return Error{Errc::bad_input, "scores: expected 10 of them"};
    const telemetry::Prediction prediction = telemetry::read_prediction(scores);
    recorder.inference(origin.key, seconds, &prediction);
    if (!tell_label) return {};
    recorder.label(origin.key, "audit", prediction.top_class == static_cast<std::size_t>(label));
    TRY(const std::string id, prediction_id_of(reply));
    return client.exchange(feedback_request(origin.key.model, id, label), reply);
  }
};

// Everything a window can tell: in a gated rollout, with labels and their delays, inputs looked at, a tenth of the
// requests compared with the release before, and some failures.
void complete(ReleaseWindow& window, std::span<const std::string> images) {
  window.key.rollout = "ro-5a2b9c4d8e1f";
  window.key.arm = "canary";
  window.errors = {{"timeout", 2}, {"trial.crash", 1}};
  window.requests_refused = 3;
  window.labels_unjoinable = 1;
  for (const auto& [label, count] : window.labels)
    for (std::uint64_t n = 0; n < count; ++n)
      ++window.label_delay[telemetry::delay_octave(static_cast<double>(1 << (n % 7)))];
  telemetry::InputStats& input = window.inputs["image"];
  input.tensors = images.size();
  for (const std::string& image : images)
    for (const float pixel : floats_of(image)) {
      ++input.values;
      input.sum += static_cast<double>(pixel);
      input.squares += static_cast<double>(pixel) * static_cast<double>(pixel);
      input.max = std::max(input.max, static_cast<double>(pixel));
    }
  telemetry::ShadowAgreement& agreement = window.shadow["1.0.0"];
  for (std::uint32_t n = 0; n < images.size() / 10; ++n) {
    const bool same = n % 9 != 4;
    agreement.add(n % 10, same ? n % 10 : (n + 3) % 10, same ? 0.01 : 0.25);
  }
}

Result<Json> measure(const Options& options) {
  const auto per_window = static_cast<std::size_t>(options.per_window);
  const std::size_t count = static_cast<std::size_t>(options.windows) * per_window;
  TRY(const auto images, read_images(options.images, count));
  TRY(const auto labels, read_labels(options.labels, count));
  TRY(const Origin origin, read_origin(options.release));
  TRY(const std::string reference, read_file(options.reference, telemetry::reference_bytes_max));
  TRY(const auto profile, telemetry::parse_reference_profile(reference));
  telemetry::Recorder recorder;
  recorder.describe(origin.key, classes, profile.edges());
  recorder.take(start_unix_ms);
  TRY(auto client, InferenceClient::connect(options.socket));
  Asker asker{std::move(client), recorder, origin};
  Sizes plain, labelled, full;
  for (std::size_t window = 0; window < static_cast<std::size_t>(options.windows); ++window) {
    for (std::size_t at = window * per_window; at < (window + 1) * per_window; ++at)
      TRY_VOID(asker.ask(images[at], labels[at], at % label_every == 0));
    recorder.worker_memory(origin.key, origin.worker_memory_bytes);
    telemetry::WindowReport report = recorder.take(start_unix_ms + static_cast<std::int64_t>(window + 1) * window_ms);
    report.install = origin.report.install;
    report.boot = origin.report.boot;
    report.agent_version = origin.report.agent_version;
    report.seq = window + 1;
    TRY_VOID(labelled.add(report));
    telemetry::WindowReport complete_report = report;
    complete(complete_report.releases.at(0), std::span(images).subspan(window * per_window, per_window));
    TRY_VOID(full.add(complete_report));
    report.releases.at(0).labels.clear();
    TRY_VOID(plain.add(report));
  }
  Json result = Json::object();
  result["inferences"] = count;
  result["plain"] = plain.told();
  result["labelled"] = labelled.told();
  result["full"] = full.told();
  return result;
}

}  // namespace
}  // namespace ferry::bench

int main(int argc, char** argv) {
  using namespace ferry;
  bench::Options options;
  CLI::App app{"Size of one telemetry upload beside the same numbers as Prometheus text"};
  app.add_option("--socket", options.socket, "The agent's run/infer.sock")->required();
  app.add_option("--release", options.release, "JSON: who reports about which release")->required();
  app.add_option("--reference", options.reference, "The release's reference.json")->required();
  app.add_option("--images", options.images, "Gzipped IDX file of test images")->required();
  app.add_option("--labels", options.labels, "Gzipped IDX file of their labels")->required();
  app.add_option("--windows", options.windows)->check(CLI::Range(1, 100));
  app.add_option("--per-window", options.per_window)->check(CLI::Range(1, 2000));
  CLI11_PARSE(app, argc, argv);
  return bench::finish(bench::measure(options));
}
