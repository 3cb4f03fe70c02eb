// Bounded parsing of JSON from hostile sources, and typed readers whose errors name the field.
#pragma once
#include "common/result.hpp"

#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace ferry {

using Json = nlohmann::json;

struct JsonLimits {
  std::size_t bytes_max = 1024 * 1024;
  int depth_max = 32;
  bool floats = true;  // false: a float anywhere is refused (TUF's signed part)
};

// Refuses: larger than bytes_max, deeper than depth_max, duplicate keys, NUL bytes (and the escape \u0000, which would
// cut a name short in C), a BOM, trailing bytes, integers outside int64/uint64, numbers beyond a double, bad UTF-8.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});
std::string dump_json(const Json& value);         // compact; bad UTF-8 replaced, so it never throws
std::string dump_json_pretty(const Json& value);  // two-space indentation, for people

// Readers for a field of an object: bad_input naming the field when it is absent, of another type or out of range.
Result<std::string> string_at(const Json& object, std::string_view key, std::size_t bytes_max = 4096);
Result<std::int64_t> integer_at(const Json& object, std::string_view key,
                                std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                                std::int64_t max = std::numeric_limits<std::int64_t>::max());
Result<double> number_at(const Json& object, std::string_view key, double min = -1e300, double max = 1e300);
Result<bool> bool_at(const Json& object, std::string_view key);
// The pointer is valid as long as `object`.
Result<const Json*> object_at(const Json& object, std::string_view key);
Result<const Json*> array_at(const Json& object, std::string_view key, std::size_t items_max = 100'000);
// The same, with a value for an absent (or null) field; a field of the wrong type is still an error.
Result<std::string> string_or(const Json& object, std::string_view key, std::string absent,
                              std::size_t bytes_max = 4096);
Result<std::int64_t> integer_or(const Json& object, std::string_view key, std::int64_t absent,
                                std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                                std::int64_t max = std::numeric_limits<std::int64_t>::max());
Result<double> number_or(const Json& object, std::string_view key, double absent, double min = -1e300,
                         double max = 1e300);
Result<bool> bool_or(const Json& object, std::string_view key, bool absent);
// bad_input naming the first member of `object` that is not in `known`, with the nearest known name.
Result<> only_known_fields(const Json& object, std::initializer_list<std::string_view> known);

}  // namespace ferry
