// Writes a WindowReport as an OTLP ExportMetricsServiceRequest.
#include "telemetry/internal/otlp_fields.hpp"
#include "telemetry/otlp.hpp"

#include <algorithm>
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

void write_release_key(pbf_writer& owner, Tag field, const ReleaseKey& key) {
  write_attribute(owner, field, "model.name", key.model);
  write_attribute(owner, field, "model.version", key.version);
  write_attribute(owner, field, "artifact.hash", key.manifest_sha256);
  write_attribute(owner, field, "ferry.slot", key.slot);
  if (!key.rollout.empty()) write_attribute(owner, field, "ferry.rollout.id", key.rollout);
  if (key.arm != no_arm) write_attribute(owner, field, "ferry.arm", key.arm);
}

// Writes the metrics of one report; what data points share comes first and in the same order everywhere, so that gzip
// sees long repetitions.
class MetricsWriter {
 public:
  MetricsWriter(pbf_writer& scope, const WindowReport& report, Temporality temporality, ReleaseNamed named)
      : scope_(scope),
        temporality_(temporality == Temporality::delta ? delta : cumulative),
        by_point_(named == ReleaseNamed::by_point),
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
                 const std::vector<std::uint64_t>& counts, double total_of_values) {
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
      if (by_point_) point.add_double(histogram_point::sum, total_of_values);
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

  // A count without a breakdown: of a release, or of the device when `key` is null.
  void count(std::string_view name, std::string_view unit, const ReleaseKey* key, std::uint64_t value) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, name, unit);
    pbf_writer sum{metric, metric::sum};
    {
      pbf_writer point{sum, data::points};
      if (key) release(point, number_point::attributes, *key);
      number(point, value);
    }
    finish_sum(sum);
  }

  void label_delay(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, delay_name, "s");
    pbf_writer all{metric, metric::exponential_histogram};
    {
      pbf_writer point{all, data::points};
      release(point, exponential_point::attributes, window.key);
      times(point, exponential_point::start, exponential_point::time);
      const int first = window.label_delay.begin()->first;
      std::vector<std::uint64_t> counts(std::size_t(window.label_delay.rbegin()->first - first) + 1);
      std::uint64_t total = 0;
      for (const auto& [octave, count] : window.label_delay) total += counts[std::size_t(octave - first)] = count;
      point.add_fixed64(exponential_point::count, total);
      pbf_writer positive{point, exponential_point::positive};
      positive.add_sint32(buckets::offset, first);
      positive.add_packed_uint64(buckets::counts, counts.begin(), counts.end());
    }
    all.add_enum(data::temporality, temporality_);
  }

  // One tensor per inference is the rule and not told; zeros neither.
  void input_tensors(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, input_tensors_name, "{tensor}");
    pbf_writer sum{metric, metric::sum};
    for (const auto& [tensor, stats] : window.inputs) {
      const auto one = [&, &name = tensor](std::string_view finding, std::uint64_t count) {
        pbf_writer point{sum, data::points};
        release(point, number_point::attributes, window.key);
        number(point, count);
        write_attribute(point, number_point::attributes, "tensor", name);
        if (!finding.empty()) write_attribute(point, number_point::attributes, "finding", finding);
      };
      if (told(window, stats)) one({}, stats.tensors);
      if (stats.with_nan > 0) one("nan", stats.with_nan);
      if (stats.with_infinity > 0) one("infinity", stats.with_infinity);
      if (stats.constant > 0) one("constant", stats.constant);
      if (stats.out_of_range > 0) one("out_of_range", stats.out_of_range);
    }
    finish_sum(sum);
  }

  static bool told(const ReleaseWindow& window, const InputStats& stats) {
    return stats.tensors != window.inference_count() || stats.values == 0;
  }
  static bool has_input_tensors(const ReleaseWindow& window) {
    return std::ranges::any_of(window.inputs, [&](const auto& entry) {
      const InputStats& stats = entry.second;
      return told(window, stats) || stats.with_nan + stats.with_infinity + stats.constant + stats.out_of_range > 0;
    });
  }

  void input_values(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, input_values_name, "1");
    pbf_writer all{metric, metric::histogram};
    for (const auto& [tensor, stats] : window.inputs) {
      if (stats.values == 0) continue;
      pbf_writer point{all, data::points};
      release(point, histogram_point::attributes, window.key);
      times(point, histogram_point::start, histogram_point::time);
      point.add_fixed64(histogram_point::count, stats.values);
      point.add_double(histogram_point::sum, stats.sum);
      write_attribute(point, histogram_point::attributes, "tensor", tensor);
      point.add_double(histogram_point::min, stats.min);
      point.add_double(histogram_point::max, stats.max);
    }
    all.add_enum(data::temporality, temporality_);
  }

  void input_squares(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, input_squares_name, "1");
    pbf_writer sum{metric, metric::sum};
    for (const auto& [tensor, stats] : window.inputs) {
      if (stats.values == 0) continue;
      pbf_writer point{sum, data::points};
      release(point, number_point::attributes, window.key);
      real_number(point, stats.squares);
      write_attribute(point, number_point::attributes, "tensor", tensor);
    }
    finish_sum(sum);
  }

  void outputs(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, output_name, "{inference}");
    pbf_writer sum{metric, metric::sum};
    const auto one = [&](std::string_view finding, std::uint64_t count) {
      if (count == 0) return;
      pbf_writer point{sum, data::points};
      release(point, number_point::attributes, window.key);
      number(point, count);
      write_attribute(point, number_point::attributes, "finding", finding);
    };
    one("nan", window.outputs.nan);
    one("shape", window.outputs.shape);
    one("empty", window.outputs.empty);
    finish_sum(sum);
  }

  void shadow_agreement(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, agreement_name, "{inference}");
    pbf_writer sum{metric, metric::sum};
    for (const auto& [version, agreement] : window.shadow) {
      const auto one = [&, &against = version](std::string_view classes, std::uint64_t count) {
        pbf_writer point{sum, data::points};
        release(point, number_point::attributes, window.key);
        number(point, count);
        write_attribute(point, number_point::attributes, "against", against);
        write_attribute(point, number_point::attributes, "classes", classes);
      };
      if (agreement.agreed > 0) one(agreed_classes, agreement.agreed);
      for (const auto& [pair, count] : agreement.disagreed)
        one(pair == other_confusion ? std::string(other_classes)
                                    : std::to_string(pair.older) + ">" + std::to_string(pair.newer),
            count);
    }
    finish_sum(sum);
  }

  void shadow_gap(const ReleaseWindow& window) {
    pbf_writer metric{scope_, scope_metrics::metrics};
    head(metric, gap_name, "1");
    pbf_writer sum{metric, metric::sum};
    for (const auto& [version, agreement] : window.shadow) {
      pbf_writer point{sum, data::points};
      release(point, number_point::attributes, window.key);
      real_number(point, agreement.gap_sum);
      write_attribute(point, number_point::attributes, "against", version);
    }
    finish_sum(sum);
  }

 private:
  // ferryd knows the units.
  void head(pbf_writer& metric, std::string_view name, std::string_view unit) const {
    metric.add_string(metric::name, name.data(), name.size());
    if (by_point_) metric.add_string(metric::unit, unit.data(), unit.size());
  }
  void times(pbf_writer& point, Tag start, Tag time) const {
    point.add_fixed64(start, start_ns_);
    point.add_fixed64(time, end_ns_);
  }
  void number(pbf_writer& point, std::uint64_t value) const {
    times(point, number_point::start, number_point::time);
    point.add_sfixed64(number_point::as_int, std::int64_t(value));
  }
  void real_number(pbf_writer& point, double value) const {
    times(point, number_point::start, number_point::time);
    point.add_double(number_point::as_double, value);
  }
  void finish_sum(pbf_writer& sum) const {
    sum.add_enum(data::temporality, temporality_);
    sum.add_bool(data::monotonic, true);
  }
  void release(pbf_writer& point, Tag field, const ReleaseKey& key) const {
    if (by_point_) write_release_key(point, field, key);
  }

  pbf_writer& scope_;
  std::int32_t temporality_;
  bool by_point_;
  std::uint64_t start_ns_, end_ns_;
};

void write_sanity(MetricsWriter& metrics, const ReleaseWindow& window) {
  if (!window.inputs.empty()) {
    if (MetricsWriter::has_input_tensors(window)) metrics.input_tensors(window);
    const auto has_values = [](const auto& entry) { return entry.second.values > 0; };
    if (std::ranges::any_of(window.inputs, has_values)) {
      metrics.input_values(window);
      metrics.input_squares(window);
    }
  }
  if (window.outputs.any()) metrics.outputs(window);
  if (!window.shadow.empty()) {
    metrics.shadow_agreement(window);
    metrics.shadow_gap(window);
  }
}

void write_release(MetricsWriter& metrics, const ReleaseWindow& window) {
  metrics.duration(window);  // also without inferences: it says which release there was a window of
  if (!window.errors.empty()) metrics.errors(window);
  if (!window.classes.empty()) {
    std::vector<double> bounds;
    double sum_of_classes = 0;
    for (std::size_t k = 0; k < window.classes.size(); ++k) {
      if (k > 0) bounds.push_back(double(k) - 0.5);
      sum_of_classes += double(k) * double(window.classes[k]);
    }
    metrics.histogram(class_name, "{inference}", window.key, bounds, window.classes, sum_of_classes);
  }
  const auto bounded = [&](std::string_view name, std::string_view unit, const BoundedHistogram& histogram) {
    if (histogram.total() > 0)
      metrics.histogram(name, unit, window.key, histogram.bounds, histogram.counts, histogram.sum);
  };
  bounded(confidence_name, "1", window.confidence);
  bounded(mnlp_name, "bit", window.mnlp);
  if (!window.labels.empty()) metrics.labels(window);
  if (!window.label_delay.empty()) metrics.label_delay(window);
  if (window.labels_unjoinable > 0) metrics.count(unjoinable_name, "{label}", &window.key, window.labels_unjoinable);
  if (window.requests_refused > 0) metrics.count(refused_name, "{request}", &window.key, window.requests_refused);
  write_sanity(metrics, window);
  if (window.worker_memory_bytes > 0) metrics.memory(window);
}

}  // namespace

std::string encode_otlp(const WindowReport& report, Temporality temporality, ReleaseNamed named) {
  std::string bytes;
  pbf_writer request{bytes};
  pbf_writer resource_metrics{request, request::resource_metrics};
  {
    pbf_writer resource{resource_metrics, resource_metrics::resource};
    if (named == ReleaseNamed::by_point)  // ferryd knows who its devices are
      write_attribute(resource, resource::attributes, "service.name", "ferry-agent");
    write_attribute(resource, resource::attributes, "service.version", report.agent_version);
    write_attribute(resource, resource::attributes, "service.instance.id", report.install);
    write_attribute(resource, resource::attributes, "ferry.boot.id", report.boot);
    if (temporality == Temporality::delta)
      write_integer_attribute(resource, resource::attributes, "ferry.report.seq", std::int64_t(report.seq));
  }
  const auto one_scope = [&](const ReleaseKey* key, auto write) {
    pbf_writer scope{resource_metrics, resource_metrics::scope_metrics};
    if (named == ReleaseNamed::by_point || key) {
      pbf_writer about{scope, scope_metrics::scope};
      if (named == ReleaseNamed::by_point) {
        about.add_string(scope::name, "ferry");
        about.add_string(scope::version, report.agent_version);
      } else {
        write_release_key(about, scope::attributes, *key);
      }
    }
    MetricsWriter metrics{scope, report, temporality, named};
    write(metrics);
  };
  for (const ReleaseWindow& window : report.releases)
    one_scope(&window.key, [&](MetricsWriter& metrics) { write_release(metrics, window); });
  if (report.dropped + report.dropped_inferences > 0)
    one_scope(nullptr, [&](MetricsWriter& metrics) {
      if (report.dropped > 0) metrics.count(dropped_name, "{window}", nullptr, report.dropped);
      if (report.dropped_inferences > 0)
        metrics.count(dropped_inferences_name, "{inference}", nullptr, report.dropped_inferences);
    });
  resource_metrics.commit();
  return bytes;
}

std::string encode_otlp_response(const Rejected& rejected) {
  std::string bytes;
  if (rejected.by_reason.empty()) return bytes;
  pbf_writer whole{bytes};
  pbf_writer partial{whole, response::partial_success};
  partial.add_int64(partial_success::rejected_data_points, std::int64_t(rejected.points));
  std::string message = rejected.first;
  for (const auto& [reason, count] : rejected.by_reason) message += "; " + reason + ": " + std::to_string(count);
  partial.add_string(partial_success::error_message, message);
  partial.commit();
  return bytes;
}

}  // namespace ferry::telemetry
