// Reads OTLP data points.
#include "telemetry/internal/otlp_points.hpp"
#include "telemetry/internal/otlp_fields.hpp"
#include "telemetry/otlp.hpp"

#include <cmath>

namespace ferry::telemetry::otlp {
namespace {

using protozero::pbf_wire_type;

constexpr std::size_t attribute_bytes_max = 256;
constexpr std::size_t attributes_max = 32;
constexpr std::uint64_t count_max = std::uint64_t{1} << 53;
constexpr std::int64_t time_ms_max = INT64_MAX / 1'000'000;  // the year 2262; what is beyond was negative
constexpr std::uint64_t ns_per_ms = 1'000'000;

void read_attribute(Message pair, Attributes& into) {
  std::string name;
  Attribute value;
  while (pair.next()) {
    if (pair.tag() == key_value::key) {
      name = pair.get_text();
    } else if (pair.tag() == key_value::value) {
      Message any = pair.get_message();
      while (any.next()) {
        if (any.tag() == any_value::string)
          value = any.get_text();
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
  if (into.size() >= attributes_max) throw Refused{"attributes", "more than 32 attributes"};
  into[name] = std::move(value);
}

double finite(double value, const char* field) {
  if (!std::isfinite(value)) throw Refused{"number", std::string(field) + " is not a finite number"};
  return value;
}

void check_bounds(const std::vector<double>& bounds) {
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (!std::isfinite(bounds[i]) || (i > 0 && !(bounds[i - 1] < bounds[i])))
      throw Refused{"bounds", "explicit_bounds are not finite and rising"};
  }
}

void read_buckets(Message reader, std::int32_t& offset, std::vector<std::uint64_t>& counts) {
  while (reader.next()) {
    if (reader.tag() == buckets::offset) {
      offset = reader.get_sint32();
    } else if (reader.tag() == buckets::counts) {
      for (const std::uint64_t count : reader.get_packed_uint64()) {
        counts.push_back(count);
        if (counts.size() > ExpHistogram::buckets_max)
          throw Refused{"bounds", "more exponential buckets than 2^-20..2^7 s holds"};
      }
    } else {
      reader.skip();
    }
  }
}

}  // namespace

std::string text(const Attributes& attributes, std::string_view key) {
  const auto found = attributes.find(key);
  if (found == attributes.end()) return {};
  const auto* value = std::get_if<std::string>(&found->second);
  return value ? *value : std::string{};
}

Message& Message::of(pbf_wire_type type) {
  if (!has_wire_type(type)) throw Malformed{"field " + std::to_string(tag()) + " has another type than OTLP gives it"};
  return *this;
}

std::string_view Message::get_view() {
  const auto view = of(pbf_wire_type::length_delimited).pbf_reader::get_view();
  return {view.data(), view.size()};
}

std::string Message::get_text() {
  const auto view = get_view();
  if (view.size() > attribute_bytes_max) throw Refused{"attributes", "a name or attribute longer than 256 bytes"};
  return std::string(view);
}

Times times_of(std::uint64_t start_ns, std::uint64_t end_ns) {
  const Times times{std::int64_t(start_ns / ns_per_ms), std::int64_t(end_ns / ns_per_ms)};
  if (times.start_ms > times.end_ms) throw Refused{"time", "a window that ends before it starts"};
  if (times.end_ms > time_ms_max) throw Refused{"time", "a window before 1970 or beyond the year 2262"};
  return times;
}

std::uint64_t checked_count(std::int64_t value) {
  if (value < 0 || std::uint64_t(value) > count_max) throw Refused{"counts", "a count below 0 or above 2^53"};
  return std::uint64_t(value);
}

NumberPoint read_number_point(Message reader) {
  NumberPoint point;
  std::uint64_t start_ns = 0, end_ns = 0;
  while (reader.next()) {
    switch (reader.tag()) {
      case number_point::start:
        start_ns = reader.get_fixed64();
        break;
      case number_point::time:
        end_ns = reader.get_fixed64();
        break;
      case number_point::as_int:
        point.number = reader.get_sfixed64();
        break;
      case number_point::as_double:
        point.real = finite(reader.get_double(), "as_double");
        break;
      case number_point::attributes:
        read_attribute(reader.get_message(), point.attributes);
        break;
      default:
        reader.skip();
    }
  }
  point.times = times_of(start_ns, end_ns);
  return point;
}

HistogramPoint read_histogram_point(Message reader) {
  HistogramPoint point;
  std::uint64_t start_ns = 0, end_ns = 0;
  while (reader.next()) {
    switch (reader.tag()) {
      case histogram_point::start:
        start_ns = reader.get_fixed64();
        break;
      case histogram_point::time:
        end_ns = reader.get_fixed64();
        break;
      case histogram_point::count:
        point.count = checked_count(std::int64_t(reader.get_fixed64()));
        break;
      case histogram_point::sum:
        point.sum = finite(reader.get_double(), "sum");
        break;
      case histogram_point::min:
        point.min = finite(reader.get_double(), "min");
        break;
      case histogram_point::max:
        point.max = finite(reader.get_double(), "max");
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
    if (std::max(point.counts.size(), point.bounds.size()) > classes_max)
      throw Refused{"bounds", "a histogram with more than 10000 buckets"};
  }
  point.times = times_of(start_ns, end_ns);
  if (point.counts.empty() && point.bounds.empty()) return point;
  if (point.counts.size() != point.bounds.size() + 1)
    throw Refused{"bounds", "bucket_counts is not one longer than explicit_bounds"};
  check_bounds(point.bounds);
  std::uint64_t total = 0;
  for (const std::uint64_t count : point.counts)
    if ((total += count) > count_max) throw Refused{"counts", "counts that add up to more than 2^53"};
  if (point.count != total) throw Refused{"counts", "count differs from the sum of bucket_counts"};
  return point;
}

SketchPoint read_sketch_point(Message reader) {
  SketchPoint point;
  std::uint64_t start_ns = 0, end_ns = 0;
  while (reader.next()) {
    switch (reader.tag()) {
      case exponential_point::attributes:
        read_attribute(reader.get_message(), point.attributes);
        break;
      case exponential_point::start:
        start_ns = reader.get_fixed64();
        break;
      case exponential_point::time:
        end_ns = reader.get_fixed64();
        break;
      case exponential_point::count:
        point.count = checked_count(std::int64_t(reader.get_fixed64()));
        break;
      case exponential_point::sum:
        point.sum = finite(reader.get_double(), "sum");
        break;
      case exponential_point::scale:
        point.scale = reader.get_sint32();
        break;
      case exponential_point::zero_count:
        point.zero_count = checked_count(std::int64_t(reader.get_fixed64()));
        break;
      case exponential_point::positive:
        read_buckets(reader.get_message(), point.offset, point.counts);
        break;
      case exponential_point::negative: {
        std::int32_t offset = 0;
        std::vector<std::uint64_t> counts;
        read_buckets(reader.get_message(), offset, counts);
        for (const std::uint64_t count : counts)
          if (count != 0) throw Refused{"number", "a negative duration"};
        break;
      }
      case exponential_point::min:
        point.min = finite(reader.get_double(), "min");
        break;
      case exponential_point::max:
        point.max = finite(reader.get_double(), "max");
        break;
      default:
        reader.skip();
    }
  }
  point.times = times_of(start_ns, end_ns);
  return point;
}

Attributes read_attributes(Message owner, Tag field) {
  Attributes attributes;
  while (owner.next()) {
    if (owner.tag() == field)
      read_attribute(owner.get_message(), attributes);
    else
      owner.skip();
  }
  return attributes;
}

}  // namespace ferry::telemetry::otlp
