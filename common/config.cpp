#include "common/config.hpp"

#include <nlohmann/json.hpp>
#include <sstream>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace ferry {
namespace {

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
    case toml::node_type::string: return node.as_string()->get();
    case toml::node_type::integer: return node.as_integer()->get();
    case toml::node_type::floating_point: return node.as_floating_point()->get();
    case toml::node_type::boolean: return node.as_boolean()->get();
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
  const toml::parse_result parsed = toml::parse(text, name);
  if (!parsed) {
    const auto& where = parsed.error().source().begin;
    return Error{Errc::bad_input, std::string(name) + ":" + std::to_string(where.line) + ":" + std::to_string(where.column) + ": " +
                                      std::string(parsed.error().description())};
  }
  return to_json(parsed.table());
}

Result<Json> read_toml(const Path& path, std::size_t bytes_max) {
  TRY(const std::string text, read_file(path, bytes_max));
  return parse_toml(text, path.string());
}

}  // namespace ferry
