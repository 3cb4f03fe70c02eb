// JSON from hostile sources: bounds are enforced while parsing, before a value exists that could overflow the stack.
#include "common/json.hpp"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace ferry {
namespace {

constexpr std::size_t shown_bytes_max = 80;  // of a hostile key or number in an error

// Builds the value while enforcing depth and unique keys, so that hostile nesting never becomes a deep value.
class BoundedBuilder final : public nlohmann::json_sax<Json> {
 public:
  explicit BoundedBuilder(const JsonLimits& limits) : limits_(limits) {}
  std::string problem;
  Json result;

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    // The lexer turns integers beyond 64 bits into floats; a digit string without '.', 'e' or 'E' was meant as one.
    if (text.find_first_of(".eE") == std::string::npos)
      return fail("an integer outside 64 bits: " + text.substr(0, 40));
    if (!limits_.floats)
      return fail("a number with a fraction or exponent, expected an integer: " + text.substr(0, 40));
    return add(value);
  }
  bool string(string_t& value) override {
    if (value.find('\0') != std::string::npos) return fail("a string with an escaped NUL (\\u0000)");
    return add(std::move(value));
  }
  bool binary(binary_t&) override { return fail("binary data"); }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool key(string_t& value) override {
    if (value.find('\0') != std::string::npos) return fail("a key with an escaped NUL (\\u0000)");
    if (stack_.back()->contains(value)) return fail("duplicate key '" + value.substr(0, shown_bytes_max) + "'");
    key_ = std::move(value);
    return true;
  }
  bool end_object() override {
    stack_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override {
    stack_.pop_back();
    return true;
  }
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception& why) override {
    constexpr int number_out_of_range = 406;
    if (why.id == number_out_of_range) return fail("a number beyond a double: " + token.substr(0, shown_bytes_max));
    return fail("malformed at byte " + std::to_string(position));
  }

 private:
  bool fail(std::string why) {
    if (problem.empty()) problem = std::move(why);
    return false;
  }
  Json* place(Json value) {
    if (stack_.empty()) {
      result = std::move(value);
      return &result;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (int(stack_.size()) >= limits_.depth_max) return fail("nested deeper than " + std::to_string(limits_.depth_max));
    stack_.push_back(place(std::move(container)));
    return true;
  }

  const JsonLimits& limits_;
  std::vector<Json*> stack_;  // a parent is not touched while its child is open, so the pointers hold
  std::string key_;
};

Error field_error(const Json& object, std::string_view key, const std::string& expected, const Json* found) {
  std::string context = "field '" + std::string(key) + "': expected " + expected;
  if (found)
    context += std::string(", found ") + found->type_name();
  else if (object.is_object())
    context += ", it is missing";
  else
    context += std::string(" in an object, found ") + object.type_name();
  return Error{Errc::bad_input, std::move(context)};
}

std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.10g", value);
  return text;
}

const Json* find(const Json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

// Null when absent or null: what the *_or readers treat alike.
const Json* find_value(const Json& object, std::string_view key) {
  const Json* found = find(object, key);
  return found && !found->is_null() ? found : nullptr;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, substituted}));
    }
  }
  return row.back();
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  const auto refuse = [](std::string why) { return Error{Errc::bad_input, "JSON: " + std::move(why)}; };
  if (text.size() > limits.bytes_max) return refuse("longer than " + std::to_string(limits.bytes_max) + " bytes");
  if (text.find('\0') != std::string_view::npos) return refuse("holds a NUL byte");
  if (text.starts_with("\xEF\xBB\xBF")) return refuse("starts with a byte order mark");
  BoundedBuilder builder(limits);
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return refuse(builder.problem.empty() ? "malformed" : std::move(builder.problem));
  }
  return std::move(builder.result);
}

std::string dump_json(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }
std::string dump_json_pretty(const Json& value) { return value.dump(2, ' ', false, Json::error_handler_t::replace); }

Result<std::string> string_at(const Json& object, std::string_view key, std::size_t bytes_max) {
  const Json* found = find(object, key);
  if (!found || !found->is_string()) return field_error(object, key, "a string", found);
  const auto& text = found->get_ref<const std::string&>();
  if (text.size() > bytes_max) {
    return Error{Errc::bad_input,
                 "field '" + std::string(key) + "': longer than " + std::to_string(bytes_max) + " bytes"};
  }
  return text;
}

Result<std::int64_t> integer_at(const Json& object, std::string_view key, std::int64_t min, std::int64_t max) {
  const Json* found = find(object, key);
  const bool fits = found && found->is_number_integer() &&
                    !(found->is_number_unsigned() &&
                      found->get<std::uint64_t>() > std::uint64_t(std::numeric_limits<std::int64_t>::max()));
  const std::string expected = "a whole number from " + std::to_string(min) + " to " + std::to_string(max);
  if (!fits) return field_error(object, key, expected, found);
  const auto value = found->get<std::int64_t>();
  if (value < min || value > max) {
    return Error{Errc::bad_input,
                 "field '" + std::string(key) + "': expected " + expected + ", found " + std::to_string(value)};
  }
  return value;
}

Result<double> number_at(const Json& object, std::string_view key, double min, double max) {
  const Json* found = find(object, key);
  if (!found || !found->is_number()) return field_error(object, key, "a number", found);
  const auto value = found->get<double>();
  if (!(value >= min && value <= max)) {
    return Error{Errc::bad_input, "field '" + std::string(key) + "': expected a number from " + shown(min) + " to " +
                                      shown(max) + ", found " + shown(value)};
  }
  return value;
}

Result<bool> bool_at(const Json& object, std::string_view key) {
  const Json* found = find(object, key);
  if (!found || !found->is_boolean()) return field_error(object, key, "true or false", found);
  return found->get<bool>();
}

Result<const Json*> object_at(const Json& object, std::string_view key) {
  const Json* found = find(object, key);
  if (!found || !found->is_object()) return field_error(object, key, "an object", found);
  return found;
}

Result<const Json*> array_at(const Json& object, std::string_view key, std::size_t items_max) {
  const Json* found = find(object, key);
  if (!found || !found->is_array()) return field_error(object, key, "a list", found);
  if (found->size() > items_max) {
    return Error{Errc::bad_input,
                 "field '" + std::string(key) + "': more than " + std::to_string(items_max) + " items"};
  }
  return found;
}

Result<std::string> string_or(const Json& object, std::string_view key, std::string absent, std::size_t bytes_max) {
  if (!find_value(object, key)) return absent;
  return string_at(object, key, bytes_max);
}

Result<std::int64_t> integer_or(const Json& object, std::string_view key, std::int64_t absent, std::int64_t min,
                                std::int64_t max) {
  if (!find_value(object, key)) return absent;
  return integer_at(object, key, min, max);
}

Result<double> number_or(const Json& object, std::string_view key, double absent, double min, double max) {
  if (!find_value(object, key)) return absent;
  return number_at(object, key, min, max);
}

Result<bool> bool_or(const Json& object, std::string_view key, bool absent) {
  if (!find_value(object, key)) return absent;
  return bool_at(object, key);
}

Result<> only_known_fields(const Json& object, std::initializer_list<std::string_view> known) {
  if (!object.is_object())
    return Error{Errc::bad_input, std::string("expected an object, found ") + object.type_name()};
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string name = key.substr(0, shown_bytes_max);  // bounds the work below as well
    const auto nearest = std::min_element(known.begin(), known.end(), [&](std::string_view a, std::string_view b) {
      return edit_distance(a, name) < edit_distance(b, name);
    });
    std::string context = "unknown field '" + name + "'";
    if (nearest != known.end()) context += ": did you mean '" + std::string(*nearest) + "'?";
    return Error{Errc::bad_input, std::move(context)};
  }
  return {};
}

}  // namespace ferry
