// Reads an OTLP ExportMetricsServiceRequest into a WindowReport; everything in it is hostile.
#include "telemetry/internal/otlp_fields.hpp"
#include "telemetry/otlp.hpp"

#include <cmath>
#include <map>
#include <protozero/pbf_reader.hpp>
#include <variant>

namespace ferry::telemetry {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;
using namespace otlp;

constexpr std::size_t attribute_bytes_max = 256;
constexpr std::size_t attributes_max = 32;
constexpr std::size_t histogram_buckets_max = classes_max;
constexpr std::uint64_t count_max = std::uint64_t{1} << 53;
constexpr std::int64_t time_ms_max = 253'402'300'799'000;  // the year 9999

// protozero throws on malformed input and so does this file; decode_otlp turns both into Errors at its edge.
struct Refused {
  std::string why;
};

using Attribute = std::variant<std::monostate, std::string, bool, std::int64_t>;
using Attributes = std::map<std::string, Attribute, std::less<>>;

// A message of the wire. protozero only asserts that a field has the type it is read as, but here every byte is a
// stranger's: another type is refused.
class Message : private pbf_reader {
 public:
  explicit Message(std::string_view bytes) : pbf_reader(bytes.data(), bytes.size()) {}
  using pbf_reader::next;
  using pbf_reader::skip;
  using pbf_reader::tag;
  Message get_message() { return Message(get_view()); }
  std::string_view get_view() {
    const auto view = of(pbf_wire_type::length_delimited).pbf_reader::get_view();
    return {view.data(), view.size()};
  }
  auto get_packed_fixed64() { return of(pbf_wire_type::length_delimited).pbf_reader::get_packed_fixed64(); }
  auto get_packed_double() { return of(pbf_wire_type::length_delimited).pbf_reader::get_packed_double(); }
  auto get_packed_uint64() { return of(pbf_wire_type::length_delimited).pbf_reader::get_packed_uint64(); }
  std::uint64_t get_fixed64() { return of(pbf_wire_type::fixed64).pbf_reader::get_fixed64(); }
  std::int64_t get_sfixed64() { return of(pbf_wire_type::fixed64).pbf_reader::get_sfixed64(); }
  double get_double() { return of(pbf_wire_type::fixed64).pbf_reader::get_double(); }
  std::int64_t get_int64() { return of(pbf_wire_type::varint).pbf_reader::get_int64(); }
  std::int32_t get_sint32() { return of(pbf_wire_type::varint).pbf_reader::get_sint32(); }
  std::int32_t get_enum() { return of(pbf_wire_type::varint).pbf_reader::get_enum(); }
  bool get_bool() { return of(pbf_wire_type::varint).pbf_reader::get_bool(); }

 private:
  Message& of(pbf_wire_type type) {
    if (!has_wire_type(type)) throw Refused{"field " + std::to_string(tag()) + " has another type than OTLP gives it"};
    return *this;
  }
};

std::string bounded_string(Message& reader) {
  const auto view = reader.get_view();
  if (view.size() > attribute_bytes_max) throw Refused{"an attribute longer than 256 bytes"};
  return std::string(view);
}

void read_attribute(Message pair, Attributes& into) {
  std::string key;
  Attribute value;
  while (pair.next()) {
    if (pair.tag() == key_value::key) {
      key = bounded_string(pair);
    } else if (pair.tag() == key_value::value) {
      Message any = pair.get_message();
      while (any.next()) {
        if (any.tag() == any_value::string)
          value = bounded_string(any);
        else if (any.tag() == any_value::boolean)
          value = any.get_bool();
        else if (any.tag() == any_value::integer)
          value = any.get_int64();
        else
          any.skip();
      }
    } else {
      pair.skip();
    }
  }
  if (into.size() >= attributes_max) throw Refused{"more than 32 attributes"};
  into[key] = std::move(value);
}

std::string text(const Attributes& attributes, std::string_view key) {
  const auto found = attributes.find(key);
  if (found == attributes.end()) return {};
  const auto* value = std::get_if<std::string>(&found->second);
  return value ? *value : std::string{};
}

ReleaseKey release_key(const Attributes& attributes) {
  ReleaseKey key{text(attributes, "model.name"),       text(attributes, "model.version"),
                 text(attributes, "artifact.hash"),    text(attributes, "ferry.slot"),
                 text(attributes, "ferry.rollout.id"), text(attributes, "ferry.arm")};
  if (key.arm.empty()) key.arm = no_arm;
  if (key.model.empty() || key.version.empty()) throw Refused{"a data point without model.name or model.version"};
  return key;
}

// One data point of any kind, before it is known which metric it belongs to.
struct Point {
  Attributes attributes;
  std::uint64_t start_ns = 0, end_ns = 0;
  std::int64_t number = 0;
  std::vector<double> bounds;
  std::vector<std::uint64_t> counts;
};

std::uint64_t checked_count(std::int64_t value) {
  if (value < 0 || std::uint64_t(value) > count_max) throw Refused{"a count below 0 or above 2^53"};
  return std::uint64_t(value);
}

Point read_number_point(Message reader) {
  Point point;
  while (reader.next()) {
    switch (reader.tag()) {
      case number_point::start:
        point.start_ns = reader.get_fixed64();
        break;
      case number_point::time:
        point.end_ns = reader.get_fixed64();
        break;
      case number_point::as_int:
        point.number = reader.get_sfixed64();
        break;
      case number_point::attributes:
        read_attribute(reader.get_message(), point.attributes);
        break;
      default:
        reader.skip();
    }
  }
  return point;
}

Point read_histogram_point(Message reader) {
  Point point;
  while (reader.next()) {
    switch (reader.tag()) {
      case histogram_point::start:
        point.start_ns = reader.get_fixed64();
        break;
      case histogram_point::time:
        point.end_ns = reader.get_fixed64();
        break;
      case histogram_point::bucket_counts:
        for (const std::uint64_t count : reader.get_packed_fixed64())
          point.counts.push_back(checked_count(std::int64_t(count)));
        break;
      case histogram_point::bounds:
        for (const double bound : reader.get_packed_double()) point.bounds.push_back(bound);
        break;
      case histogram_point::attributes:
        read_attribute(reader.get_message(), point.attributes);
        break;
      default:
        reader.skip();
    }
    if (point.counts.size() > histogram_buckets_max || point.bounds.size() > histogram_buckets_max) {
      throw Refused{"a histogram with more than 10000 buckets"};
    }
  }
  if (point.counts.size() != point.bounds.size() + 1)
    throw Refused{"bucket_counts is not one longer than explicit_bounds"};
  for (std::size_t i = 0; i < point.bounds.size(); ++i) {
    if (!std::isfinite(point.bounds[i]) || (i > 0 && !(point.bounds[i - 1] < point.bounds[i]))) {
      throw Refused{"explicit_bounds are not finite and rising"};
    }
  }
  return point;
}

struct SketchPoint {
  Attributes attributes;
  std::uint64_t start_ns = 0, end_ns = 0;
  ExpHistogram sketch;
};

void read_buckets(Message reader, std::int32_t& offset, std::vector<std::uint64_t>& counts) {
  while (reader.next()) {
    if (reader.tag() == buckets::offset) {
      offset = reader.get_sint32();
    } else if (reader.tag() == buckets::counts) {
      for (const std::uint64_t count : reader.get_packed_uint64()) {
        counts.push_back(count);
        if (counts.size() > ExpHistogram::buckets_max)
          throw Refused{"more exponential buckets than 2^-20..2^7 s holds"};
      }
    } else {
      reader.skip();
    }
  }
}

SketchPoint read_sketch_point(Message reader) {
  SketchPoint point;
  std::uint64_t count = 0, zero_count = 0;
  std::int32_t offset = 0, scale = 0;
  double sum = 0, min = 0, max = 0;
  std::vector<std::uint64_t> counts;
  while (reader.next()) {
    switch (reader.tag()) {
      case exponential_point::attributes:
        read_attribute(reader.get_message(), point.attributes);
        break;
      case exponential_point::start:
        point.start_ns = reader.get_fixed64();
        break;
      case exponential_point::time:
        point.end_ns = reader.get_fixed64();
        break;
      case exponential_point::count:
        count = reader.get_fixed64();
        break;
      case exponential_point::sum:
        sum = reader.get_double();
        break;
      case exponential_point::scale:
        scale = reader.get_sint32();
        break;
      case exponential_point::zero_count:
        zero_count = reader.get_fixed64();
        break;
      case exponential_point::positive:
        read_buckets(reader.get_message(), offset, counts);
        break;
      case exponential_point::min:
        min = reader.get_double();
        break;
      case exponential_point::max:
        max = reader.get_double();
        break;
      default:
        reader.skip();
    }
  }
  if (scale != ExpHistogram::scale)
    throw Refused{"exponential histogram of scale " + std::to_string(scale) + ", expected 5"};
  auto made = ExpHistogram::from_parts(offset, std::move(counts), zero_count, count, sum, min, max);
  if (!made) throw Refused{made.error().context};
  point.sketch = std::move(*made);
  return point;
}

class ReportReader {
 public:
  WindowReport read(std::string_view bytes) {
    Message request(bytes);
    bool seen = false;
    while (request.next()) {
      if (request.tag() != request::resource_metrics) {
        request.skip();
        continue;
      }
      if (std::exchange(seen, true)) throw Refused{"more than one resource_metrics"};
      resource_metrics(request.get_message());
    }
    if (report_.install.empty() || report_.boot.empty()) throw Refused{"no service.instance.id or ferry.boot.id"};
    if (report_.seq == 0) throw Refused{"no ferry.report.seq, expected 1 or more"};
    for (auto& [key, window] : windows_) report_.releases.push_back(std::move(window));
    return std::move(report_);
  }

 private:
  void resource_metrics(Message reader) {
    while (reader.next()) {
      if (reader.tag() == resource_metrics::resource)
        resource(reader.get_message());
      else if (reader.tag() == resource_metrics::scope_metrics)
        scope(reader.get_message());
      else
        reader.skip();
    }
  }

  void resource(Message reader) {
    Attributes attributes;
    while (reader.next()) {
      if (reader.tag() == resource::attributes)
        read_attribute(reader.get_message(), attributes);
      else
        reader.skip();
    }
    report_.install = text(attributes, "service.instance.id");
    report_.boot = text(attributes, "ferry.boot.id");
    report_.agent_version = text(attributes, "service.version");
    const auto seq = attributes.find("ferry.report.seq");
    if (seq != attributes.end()) {
      const auto* number = std::get_if<std::int64_t>(&seq->second);
      if (number && *number > 0) report_.seq = std::uint64_t(*number);
    }
  }

  void scope(Message reader) {
    while (reader.next()) {
      if (reader.tag() == scope_metrics::metrics)
        metric(reader.get_message());
      else
        reader.skip();
    }
  }

  void metric(Message reader) {
    std::string name;
    while (reader.next()) {
      switch (reader.tag()) {
        case metric::name:
          name = bounded_string(reader);
          break;
        case metric::gauge:
          each_point(reader.get_message(), false, [&](Message p) { number(name, read_number_point(p)); });
          break;
        case metric::sum:
          each_point(reader.get_message(), true, [&](Message p) { number(name, read_number_point(p)); });
          break;
        case metric::histogram:
          each_point(reader.get_message(), true, [&](Message p) { histogram(name, read_histogram_point(p)); });
          break;
        case metric::exponential_histogram:
          each_point(reader.get_message(), true, [&](Message p) { sketch(name, read_sketch_point(p)); });
          break;
        default:
          reader.skip();
      }
    }
  }

  template <class Read>
  static void each_point(Message reader, bool has_temporality, Read read) {
    std::int32_t temporality = 0;
    while (reader.next()) {
      if (reader.tag() == data::points)
        read(reader.get_message());
      else if (reader.tag() == data::temporality)
        temporality = reader.get_enum();
      else
        reader.skip();
    }
    if (has_temporality && temporality != delta) throw Refused{"cumulative temporality, expected delta"};
  }

  ReleaseWindow& window(const Attributes& attributes, std::uint64_t start_ns, std::uint64_t end_ns) {
    const auto start_ms = std::int64_t(start_ns / 1'000'000), end_ms = std::int64_t(end_ns / 1'000'000);
    if (start_ms > end_ms || end_ms > time_ms_max) throw Refused{"a window that ends before it starts"};
    report_.start_unix_ms = start_ms;
    report_.end_unix_ms = end_ms;
    const ReleaseKey key = release_key(attributes);
    ReleaseWindow& made = windows_[key];
    if (windows_.size() > releases_per_upload_max) throw Refused{"more than 32 releases in one upload"};
    made.key = key;
    return made;
  }

  void number(const std::string& name, const Point& point) {
    if (name == dropped_name) {
      report_.dropped = checked_count(point.number);
      return;
    }
    if (name != errors_name && name != labels_name && name != memory_name) return;
    ReleaseWindow& into = window(point.attributes, point.start_ns, point.end_ns);
    const std::uint64_t count = checked_count(point.number);
    if (name == errors_name) {
      into.errors[text(point.attributes, "error.type")] += count;
      if (into.errors.size() > error_types_max) throw Refused{"more than 64 error types"};
    } else if (name == labels_name) {
      const auto correct = point.attributes.find("correct");
      const bool* flag = correct == point.attributes.end() ? nullptr : std::get_if<bool>(&correct->second);
      const std::string source = text(point.attributes, "source");
      if (!flag || (source != "audit" && source != "user" && source != "downstream")) {
        throw Refused{"a label outcome without correct and source (audit, user or downstream)"};
      }
      into.labels[LabelKey{source, *flag}] += count;
    } else {
      into.worker_memory_bytes = count;
    }
  }

  void histogram(const std::string& name, Point point) {
    if (name != class_name && name != confidence_name && name != mnlp_name) return;
    ReleaseWindow& into = window(point.attributes, point.start_ns, point.end_ns);
    if (name == class_name) {
      into.classes = std::move(point.counts);
      return;
    }
    BoundedHistogram made(std::move(point.bounds));
    made.counts = std::move(point.counts);
    (name == confidence_name ? into.confidence : into.mnlp) = std::move(made);
  }

  void sketch(const std::string& name, SketchPoint point) {
    if (name == duration_name)
      window(point.attributes, point.start_ns, point.end_ns).duration = std::move(point.sketch);
  }

  WindowReport report_;
  std::map<ReleaseKey, ReleaseWindow> windows_;
};

}  // namespace

Result<WindowReport> decode_otlp(std::string_view bytes) {
  if (bytes.size() > upload_bytes_max) return Error{Errc::bad_input, "telemetry: larger than 256 KiB"};
  try {
    return ReportReader{}.read(bytes);
  } catch (const Refused& refused) {
    return Error{Errc::bad_input, "telemetry: " + refused.why};
  } catch (const protozero::exception& malformed) {
    return Error{Errc::bad_input, std::string("telemetry: not protobuf: ") + malformed.what()};
  }
}

}  // namespace ferry::telemetry
