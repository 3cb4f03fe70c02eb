// Writes a WindowReport as an OTLP ExportMetricsServiceRequest.
#include "telemetry/internal/otlp_fields.hpp"
#include "telemetry/otlp.hpp"

#include <protozero/pbf_writer.hpp>

namespace ferry::telemetry {
namespace {

using protozero::pbf_writer;
using namespace otlp;

void write_attribute(pbf_writer& owner, Tag field, std::string_view key, std::string_view value) {
  pbf_writer pair{owner, field};
  pair.add_string(key_value::key, key.data(), key.size());
  pbf_writer any{pair, key_value::value};
  any.add_string(any_value::string, value.data(), value.size());
}

void write_integer_attribute(pbf_writer& owner, Tag field, std::string_view key, std::int64_t value) {
  pbf_writer pair{owner, field};
  pair.add_string(key_value::key, key.data(), key.size());
  pbf_writer any{pair, key_value::value};
  any.add_int64(any_value::integer, value);
}

void write_boolean_attribute(pbf_writer& owner, Tag field, std::string_view key, bool value) {
  pbf_writer pair{owner, field};
  pair.add_string(key_value::key, key.data(), key.size());
  pbf_writer any{pair, key_value::value};
  any.add_bool(any_value::boolean, value);
}

// Writes the metrics of one report; every data point carries the release and the window's times, first and in the same
// order everywhere, so that gzip sees one long repetition.
class MetricsWriter {
 public:
  MetricsWriter(pbf_writer& scope, const WindowReport& report, Temporality temporality)
      : scope_(scope),
        temporality_(temporality == Temporality::delta ? delta : cumulative),
        start_ns_(std::uint64_t(report.start_unix_ms) * 1'000'000),
        end_ns_(std::uint64_t(report.end_unix_ms) * 1'000'000) {}

  void duration(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, duration_name, "s");
    pbf_writer all{metric, metric::exponential_histogram};
    {
      const ExpHistogram& sketch = window.duration;
      pbf_writer point{all, data::points};
      release(point, exponential_point::attributes, window.key);
      times(point, exponential_point::start, exponential_point::time);
      point.add_fixed64(exponential_point::count, sketch.count());
      point.add_double(exponential_point::sum, sketch.sum());
      point.add_sint32(exponential_point::scale, ExpHistogram::scale);
      if (sketch.zero_count() > 0) point.add_fixed64(exponential_point::zero_count, sketch.zero_count());
      {
        pbf_writer positive{point, exponential_point::positive};
        positive.add_sint32(buckets::offset, sketch.offset());
        positive.add_packed_uint64(buckets::counts, sketch.counts().begin(), sketch.counts().end());
      }
      point.add_double(exponential_point::min, sketch.min());
      point.add_double(exponential_point::max, sketch.max());
    }
    all.add_enum(data::temporality, temporality_);
  }

  void histogram(std::string_view name, std::string_view unit, const ReleaseKey& key, const std::vector<double>& bounds,
                 const std::vector<std::uint64_t>& counts) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, name, unit);
    pbf_writer all{metric, metric::histogram};
    {
      pbf_writer point{all, data::points};
      release(point, histogram_point::attributes, key);
      times(point, histogram_point::start, histogram_point::time);
      std::uint64_t total = 0;
      for (const std::uint64_t count : counts) total += count;
      point.add_fixed64(histogram_point::count, total);
      point.add_packed_fixed64(histogram_point::bucket_counts, counts.begin(), counts.end());
      point.add_packed_double(histogram_point::bounds, bounds.begin(), bounds.end());
    }
    all.add_enum(data::temporality, temporality_);
  }

  void errors(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, errors_name, "{inference}");
    pbf_writer sum{metric, metric::sum};
    for (const auto& [type, count] : window.errors) {
      pbf_writer point{sum, data::points};
      release(point, number_point::attributes, window.key);
      number(point, count);
      write_attribute(point, number_point::attributes, "error.type", type);
    }
    finish_sum(sum);
  }

  void labels(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, labels_name, "{inference}");
    pbf_writer sum{metric, metric::sum};
    for (const auto& [label, count] : window.labels) {
      pbf_writer point{sum, data::points};
      release(point, number_point::attributes, window.key);
      number(point, count);
      write_attribute(point, number_point::attributes, "source", label.source);
      write_boolean_attribute(point, number_point::attributes, "correct", label.correct);
    }
    finish_sum(sum);
  }

  void memory(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, memory_name, "By");
    pbf_writer gauge{metric, metric::gauge};
    pbf_writer point{gauge, data::points};
    release(point, number_point::attributes, window.key);
    number(point, window.worker_memory_bytes);
  }

  void dropped(std::uint64_t windows) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, dropped_name, "{window}");
    pbf_writer sum{metric, metric::sum};
    {
      pbf_writer point{sum, data::points};
      number(point, windows);
    }
    finish_sum(sum);
  }

 private:
  static void head(pbf_writer& metric, std::string_view name, std::string_view unit) {
    metric.add_string(metric::name, name.data(), name.size());
    metric.add_string(metric::unit, unit.data(), unit.size());
  }
  void times(pbf_writer& point, Tag start, Tag time) const {
    point.add_fixed64(start, start_ns_);
    point.add_fixed64(time, end_ns_);
  }
  void number(pbf_writer& point, std::uint64_t value) const {
    times(point, number_point::start, number_point::time);
    point.add_sfixed64(number_point::as_int, std::int64_t(value));
  }
  void finish_sum(pbf_writer& sum) const {
    sum.add_enum(data::temporality, temporality_);
    sum.add_bool(data::monotonic, true);
  }
  static void release(pbf_writer& point, Tag field, const ReleaseKey& key) {
    write_attribute(point, field, "model.name", key.model);
    write_attribute(point, field, "model.version", key.version);
    write_attribute(point, field, "artifact.hash", key.manifest_sha256);
    write_attribute(point, field, "ferry.slot", key.slot);
    if (!key.rollout.empty()) write_attribute(point, field, "ferry.rollout.id", key.rollout);
    if (key.arm != no_arm) write_attribute(point, field, "ferry.arm", key.arm);
  }

  pbf_writer& scope_;
  std::int32_t temporality_;
  std::uint64_t start_ns_, end_ns_;
};

void write_release(MetricsWriter& metrics, const ReleaseWindow& window) {
  metrics.duration(window);
  if (!window.errors.empty()) metrics.errors(window);
  if (!window.classes.empty()) {
    std::vector<double> bounds;
    for (std::size_t k = 0; k + 1 < window.classes.size(); ++k) bounds.push_back(double(k) + 0.5);
    metrics.histogram(class_name, "{inference}", window.key, bounds, window.classes);
  }
  if (window.confidence.total() > 0) {
    metrics.histogram(confidence_name, "1", window.key, window.confidence.bounds, window.confidence.counts);
  }
  if (window.mnlp.total() > 0) metrics.histogram(mnlp_name, "bit", window.key, window.mnlp.bounds, window.mnlp.counts);
  if (!window.labels.empty()) metrics.labels(window);
  if (window.worker_memory_bytes > 0) metrics.memory(window);
}

}  // namespace

std::string encode_otlp(const WindowReport& report, Temporality temporality) {
  std::string bytes;
  pbf_writer request{bytes};
  pbf_writer resource_metrics{request, request::resource_metrics};
  {
    pbf_writer resource{resource_metrics, resource_metrics::resource};
    write_attribute(resource, resource::attributes, "service.name", "ferry-agent");
    write_attribute(resource, resource::attributes, "service.version", report.agent_version);
    write_attribute(resource, resource::attributes, "service.instance.id", report.install);
    write_attribute(resource, resource::attributes, "ferry.boot.id", report.boot);
    if (temporality == Temporality::delta)
      write_integer_attribute(resource, resource::attributes, "ferry.report.seq", std::int64_t(report.seq));
  }
  {
    pbf_writer scope{resource_metrics, resource_metrics::scope_metrics};
    MetricsWriter metrics{scope, report, temporality};
    for (const ReleaseWindow& window : report.releases) write_release(metrics, window);
    if (report.dropped > 0) metrics.dropped(report.dropped);
  }
  resource_metrics.commit();
  return bytes;
}

}  // namespace ferry::telemetry
