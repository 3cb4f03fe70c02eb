// Data points of an OTLP request as plain values, before it is known what they mean. Everything in them is hostile.
// Private to otlp_*.cpp.
#pragma once
#include "telemetry/exp_histogram.hpp"

#include <cstdint>
#include <map>
#include <protozero/pbf_reader.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ferry::telemetry::otlp {

// protozero throws on malformed input and so do these; decode_otlp turns both into Errors, or into counts, at its edge.
struct Refused {
  std::string_view reason;  // a code of docs/formats/telemetry.md
  std::string why;
};
// The bytes are no OTLP at all: nothing of the request can be read.
struct Malformed : Refused {
  explicit Malformed(std::string what) : Refused{"malformed", std::move(what)} {}
};

using Attribute = std::variant<std::monostate, std::string, bool, std::int64_t>;
using Attributes = std::map<std::string, Attribute, std::less<>>;
std::string text(const Attributes& attributes, std::string_view key);  // "" when absent or of another type

// A message of the wire. protozero only asserts that a field has the type it is read as, but here every byte is a
// stranger's: another type is refused.
class Message : private protozero::pbf_reader {
 public:
  explicit Message(std::string_view bytes) : pbf_reader(bytes.data(), bytes.size()) {}
  using pbf_reader::next;
  using pbf_reader::skip;
  using pbf_reader::tag;
  Message get_message() { return Message(get_view()); }
  std::string_view get_view();
  std::string get_text();  // at most attribute_bytes_max
  auto get_packed_fixed64() { return of(protozero::pbf_wire_type::length_delimited).pbf_reader::get_packed_fixed64(); }
  auto get_packed_double() { return of(protozero::pbf_wire_type::length_delimited).pbf_reader::get_packed_double(); }
  auto get_packed_uint64() { return of(protozero::pbf_wire_type::length_delimited).pbf_reader::get_packed_uint64(); }
  std::uint64_t get_fixed64() { return of(protozero::pbf_wire_type::fixed64).pbf_reader::get_fixed64(); }
  std::int64_t get_sfixed64() { return of(protozero::pbf_wire_type::fixed64).pbf_reader::get_sfixed64(); }
  double get_double() { return of(protozero::pbf_wire_type::fixed64).pbf_reader::get_double(); }
  std::int64_t get_int64() { return of(protozero::pbf_wire_type::varint).pbf_reader::get_int64(); }
  std::int32_t get_sint32() { return of(protozero::pbf_wire_type::varint).pbf_reader::get_sint32(); }
  std::int32_t get_enum() { return of(protozero::pbf_wire_type::varint).pbf_reader::get_enum(); }
  bool get_bool() { return of(protozero::pbf_wire_type::varint).pbf_reader::get_bool(); }

 private:
  Message& of(protozero::pbf_wire_type type);
};

struct Times {
  std::int64_t start_ms = 0, end_ms = 0;
};
// Refused (`time`) when it ends before it starts or beyond the year 2262, which is what a negative time reads as.
Times times_of(std::uint64_t start_ns, std::uint64_t end_ns);

// A count of anything, refused (`counts`) below 0 and above 2^53.
std::uint64_t checked_count(std::int64_t value);

struct NumberPoint {
  Attributes attributes;
  Times times;
  std::int64_t number = 0;
  double real = 0;  // finite
};
NumberPoint read_number_point(Message reader);

struct HistogramPoint {
  Attributes attributes;
  Times times;
  std::vector<double> bounds;         // finite, rising
  std::vector<std::uint64_t> counts;  // one more than bounds, or none: then only count, sum, min and max say something
  std::uint64_t count = 0;            // the sum of counts
  double sum = 0, min = 0, max = 0;   // finite
};
HistogramPoint read_histogram_point(Message reader);

struct SketchPoint {
  Attributes attributes;
  Times times;
  std::int32_t scale = 0, offset = 0;
  std::uint64_t count = 0, zero_count = 0;
  double sum = 0, min = 0, max = 0;
  std::vector<std::uint64_t> counts;
};
SketchPoint read_sketch_point(Message reader);

// Of a resource or a scope: `field` holds them.
Attributes read_attributes(Message owner, protozero::pbf_tag_type field);

}  // namespace ferry::telemetry::otlp
