// TOML to JSON values; the only toml++ include.
#include "common/config.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace ferry {
namespace {

// JSON has no word for inf and nan, and no setting means either.
bool is_finite(const toml::node& node) {
  if (const auto* number = node.as_floating_point()) return std::isfinite(number->get());
  if (const auto* list = node.as_array()) return std::all_of(list->begin(), list->end(), is_finite);
  if (const auto* table = node.as_table()) {
    return std::all_of(table->begin(), table->end(), [](const auto& member) { return is_finite(member.second); });
  }
  return true;
}

// A dotted key nests a table per dot, outside toml++'s own limit on nesting, and tables are freed by recursion. A key
// cannot span lines, so counting the dots of a line needs no second parser; a line of so many fractions can be split.
constexpr std::ptrdiff_t dots_per_line_max = 1'000;

bool too_many_dots(std::string_view text) {
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = text.substr(start, end - start);
    if (std::count(line.begin(), line.end(), '.') > dots_per_line_max) return true;
    start = end + 1;
  }
  return false;
}

Json to_json(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: {
      Json object = Json::object();
      for (const auto& [key, value] : *node.as_table()) object[std::string(key.str())] = to_json(value);
      return object;
    }
    case toml::node_type::array: {
      Json list = Json::array();
      for (const auto& value : *node.as_array()) list.push_back(to_json(value));
      return list;
    }
    case toml::node_type::string:
      return node.as_string()->get();
    case toml::node_type::integer:
      return node.as_integer()->get();
    case toml::node_type::floating_point:
      return node.as_floating_point()->get();
    case toml::node_type::boolean:
      return node.as_boolean()->get();
    default: {
      std::ostringstream text;
      node.visit([&](const auto& value) {
        if constexpr (!toml::is_table<decltype(value)> && !toml::is_array<decltype(value)>) text << value.get();
      });
      return text.str();
    }
  }
}

}  // namespace

Result<Json> parse_toml(std::string_view text, std::string_view name) {
  if (too_many_dots(text)) {
    return Error{Errc::bad_input, std::string(name) + ": a line with more than 1000 dots; split it"};
  }
  const toml::parse_result parsed = toml::parse(text, name);
  if (!parsed) {
    const auto& where = parsed.error().source().begin;
    return Error{Errc::bad_input, std::string(name) + ":" + std::to_string(where.line) + ":" +
                                      std::to_string(where.column) + ": " + std::string(parsed.error().description())};
  }
  if (!is_finite(parsed.table()))
    return Error{Errc::bad_input, std::string(name) + ": inf or nan, expected a finite number"};
  return to_json(parsed.table());
}

Result<Json> read_toml(const Path& path, std::size_t bytes_max) {
  TRY(const std::string text, read_file(path, bytes_max));
  return parse_toml(text, path.string());
}

}  // namespace ferry
