#include "tests/bench/prometheus_text.hpp"

#include <charconv>
#include <cmath>

namespace ferry::bench {
namespace {

using telemetry::BoundedHistogram;
using telemetry::ReleaseWindow;
using telemetry::WindowReport;

std::string number(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};  // the shortest that reads back the same
}

class Writer {
 public:
  Writer(const WindowReport& report, bool with_seq) : end_ms_(std::to_string(report.end_unix_ms)) {
    common_ = label("install", report.install) + label("boot", report.boot) + label("version", report.agent_version);
    if (with_seq) common_ += label("seq", std::to_string(report.seq));
  }

  void release(const ReleaseWindow& window) {
    const auto& key = window.key;
    labels_ = common_ + label("model", key.model) + label("model_version", key.version) +
              label("artifact", key.manifest_sha256) + label("slot", key.slot) + label("rollout", key.rollout) +
              label("arm", key.arm);
    durations(window.duration);
    histogram("ferry_prediction_confidence", window.confidence);
    histogram("ferry_prediction_mnlp", window.mnlp);
    for (std::size_t k = 0; k < window.classes.size(); ++k)
      sample("ferry_prediction_class_total", label("class", std::to_string(k)), std::to_string(window.classes[k]));
    for (const auto& [type, count] : window.errors)
      sample("ferry_inference_errors_total", label("type", type), std::to_string(count));
    for (const auto& [outcome, count] : window.labels) {
      const std::string which = label("source", outcome.source) + label("correct", outcome.correct ? "true" : "false");
      sample("ferry_label_outcomes_total", which, std::to_string(count));
    }
    sanity(window);
    sample("ferry_worker_memory_bytes", "", std::to_string(window.worker_memory_bytes));
  }

  PrometheusText text;

 private:
  static std::string label(std::string_view name, std::string_view value) {
    return std::string(name) + "=\"" + std::string(value) + "\",";
  }

  void sample(std::string_view name, const std::string& more, const std::string& value) {
    std::string all = labels_ + more;
    all.pop_back();
    text.bytes += std::string(name) + "{" + all + "} " + value + " " + end_ms_ + "\n";
    ++text.samples;
  }

  void durations(const telemetry::ExpHistogram& sketch) {
    std::uint64_t below = sketch.zero_count();
    for (std::size_t at = 0; at < sketch.counts().size(); ++at) {
      if (sketch.counts()[at] == 0) continue;
      below += sketch.counts()[at];
      const double edge = telemetry::ExpHistogram::lower_edge(sketch.offset() + static_cast<int>(at) + 1);
      sample("ferry_inference_duration_seconds_bucket", label("le", number(edge)), std::to_string(below));
    }
    sample("ferry_inference_duration_seconds_bucket", label("le", "+Inf"), std::to_string(sketch.count()));
    sample("ferry_inference_duration_seconds_sum", "", number(sketch.sum()));
    sample("ferry_inference_duration_seconds_count", "", std::to_string(sketch.count()));
  }

  void sanity(const ReleaseWindow& window) {
    for (const auto& [octave, count] : window.label_delay)
      sample("ferry_label_delay_seconds_bucket", label("le", number(std::exp2(octave + 1))), std::to_string(count));
    const auto count = [&](const char* name, const std::string& more, std::uint64_t value) {
      if (value > 0) sample(name, more, std::to_string(value));
    };
    count("ferry_labels_unjoinable_total", "", window.labels_unjoinable);
    count("ferry_requests_refused_total", "", window.requests_refused);
    count("ferry_output_findings_total", label("finding", "nan"), window.outputs.nan);
    count("ferry_output_findings_total", label("finding", "shape"), window.outputs.shape);
    count("ferry_output_findings_total", label("finding", "empty"), window.outputs.empty);
    for (const auto& [tensor, stats] : window.inputs) {
      const std::string of = label("tensor", tensor);
      count("ferry_input_tensors_total", of, stats.tensors);
      count("ferry_input_values_count", of, stats.values);
      count("ferry_input_findings_total", of + label("finding", "nan"), stats.with_nan);
      count("ferry_input_findings_total", of + label("finding", "infinity"), stats.with_infinity);
      count("ferry_input_findings_total", of + label("finding", "constant"), stats.constant);
      count("ferry_input_findings_total", of + label("finding", "out_of_range"), stats.out_of_range);
      sample("ferry_input_values_sum", of, number(stats.sum));
      sample("ferry_input_squares_sum", of, number(stats.squares));
      sample("ferry_input_min", of, number(stats.min));
      sample("ferry_input_max", of, number(stats.max));
    }
    for (const auto& [version, agreement] : window.shadow) {
      const std::string with = label("against", version);
      sample("ferry_shadow_agreed_total", with, std::to_string(agreement.agreed));
      for (const auto& [pair, times] : agreement.disagreed)
        sample("ferry_shadow_disagreed_total",
               with + label("classes", std::to_string(pair.older) + ">" + std::to_string(pair.newer)),
               std::to_string(times));
      sample("ferry_shadow_gap_sum", with, number(agreement.gap_sum));
    }
  }

  void histogram(const std::string& name, const BoundedHistogram& values) {
    std::uint64_t below = 0;
    for (std::size_t at = 0; at < values.counts.size(); ++at) {
      below += values.counts[at];
      const std::string edge = at < values.bounds.size() ? number(values.bounds[at]) : "+Inf";
      sample(name + "_bucket", label("le", edge), std::to_string(below));
    }
  }

  std::string end_ms_;
  std::string common_;
  std::string labels_;
};

}  // namespace

PrometheusText prometheus_text(const WindowReport& report, bool with_seq) {
  Writer writer(report, with_seq);
  for (const ReleaseWindow& window : report.releases) writer.release(window);
  return std::move(writer.text);
}

}  // namespace ferry::bench
