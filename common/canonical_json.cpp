// The encoder under every TUF signature: 60 lines of our own, because general ones escape newlines.
#include "common/canonical_json.hpp"

#include <nlohmann/json.hpp>

namespace ferry {
namespace {

void append_string(std::string& out, const std::string& text) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);  // control characters go out raw: OLPC's rule, not JSON's
  }
  out.push_back('"');
}

// Depth is bounded by the parser that made the value (JsonLimits::depth_max).
Result<> append(std::string& out, const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      out += "null";
      return {};
    case Json::value_t::boolean:
      out += value.get<bool>() ? "true" : "false";
      return {};
    case Json::value_t::number_integer:
      out += std::to_string(value.get<std::int64_t>());
      return {};
    case Json::value_t::number_unsigned:
      out += std::to_string(value.get<std::uint64_t>());
      return {};
    case Json::value_t::string:
      append_string(out, value.get_ref<const std::string&>());
      return {};
    case Json::value_t::array: {
      out.push_back('[');
      bool first = true;
      for (const Json& item : value) {
        if (!std::exchange(first, false)) out.push_back(',');
        TRY_VOID(append(out, item));
      }
      out.push_back(']');
      return {};
    }
    case Json::value_t::object: {
      out.push_back('{');
      bool first = true;
      for (const auto& [key, member] : value.items()) {  // std::map: sorted by bytes
        if (!std::exchange(first, false)) out.push_back(',');
        append_string(out, key);
        out.push_back(':');
        TRY_VOID(append(out, member));
      }
      out.push_back('}');
      return {};
    }
    default:
      return Error{Errc::bad_input,
                   std::string("canonical JSON: holds a ") + value.type_name() + " that is not an integer"};
  }
}

}  // namespace

Result<std::string> canonical_json(const Json& value) {
  std::string out;
  TRY_VOID(append(out, value));
  return out;
}

}  // namespace ferry
