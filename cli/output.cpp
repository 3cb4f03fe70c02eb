#include "cli/output.hpp"

#include "common/clock.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr std::size_t cell_bytes_max = 240;
constexpr int depth_max = 3;
constexpr std::int64_t last_writable_ms = 253'402'300'799'999;

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

std::string printable(std::string text) {
  text = without_controls(std::move(text));
  if (text.size() <= cell_bytes_max) return text;
  std::size_t end = cell_bytes_max - 3;
  while (end > 0 && continues(text[end])) --end;  // never half a character
  return text.substr(0, end) + "...";
}

std::string joined(const std::vector<std::string>& parts, const char* between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : between) + part;
  return text.empty() ? "-" : text;
}

std::string text_of(const Json& value, int depth = 0) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>().empty() ? "-" : value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (depth >= depth_max) return dump_json(value);
  std::vector<std::string> parts;
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      if (!inner.is_number() || inner != 0) parts.push_back(key + "=" + text_of(inner, depth + 1));
    }
    return parts.empty() && !value.empty() ? "all 0" : joined(parts, " ");
  }
  if (!value.is_array()) return dump_json(value);
  for (const Json& inner : value) parts.push_back(text_of(inner, depth + 1));
  return joined(parts, ", ");
}

// As many columns as a terminal shows: characters, not bytes.
std::size_t width_of(const std::string& text) {
  return std::size_t(std::count_if(text.begin(), text.end(), [](char c) { return !continues(c); }));
}

std::string padded(std::string text, std::size_t width) {
  text.append(width - std::min(width, width_of(text)), ' ');
  return text;
}

}  // namespace

std::string cell(const Json& object, const std::string& field) {
  const Json* at = &object;
  std::size_t from = 0;
  for (;;) {
    const std::size_t dot = field.find('.', from);
    const std::string key = field.substr(from, dot == std::string::npos ? dot : dot - from);
    if (!at->is_object() || !at->contains(key)) return "-";
    at = &(*at)[key];
    if (dot == std::string::npos) break;
    from = dot + 1;
  }
  if (field.ends_with("_ms") && at->is_number_integer()) return when(at->get<std::int64_t>());
  return printable(text_of(*at));
}

// Neither ASCII's nor C1 (U+0080 to U+009F, which some terminals obey).
std::string without_controls(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) text[i + 1] = ' ';
    if (c1 || byte < 0x20 || byte == 0x7f) text[i] = ' ';
  }
  return text;
}

std::string when(std::int64_t unix_ms) {
  if (unix_ms == 0) return "-";
  // Beyond the year 9999 there is no RFC 3339 for it: shown as it came.
  if (unix_ms < 0 || unix_ms > last_writable_ms) return std::to_string(unix_ms);
  return to_rfc3339(from_unix_ms(unix_ms));
}

void print_table(std::ostream& out, const Json& items, const std::vector<Column>& columns) {
  std::vector<std::size_t> widths;
  for (const Column& column : columns) {
    std::size_t width = column.title.size();
    for (const Json& item : items) width = std::max(width, width_of(cell(item, column.field)));
    widths.push_back(width);
  }
  const auto line = [&](const auto& value_of) {
    std::string text;
    for (std::size_t i = 0; i < columns.size(); ++i) text += padded(value_of(columns[i]), widths[i]) + "  ";
    text.erase(text.find_last_not_of(' ') + 1);
    out << text << '\n';
  };
  line([](const Column& column) { return column.title; });
  for (const Json& item : items) line([&](const Column& column) { return cell(item, column.field); });
}

void print_fields(std::ostream& out, const Json& object, const std::vector<Column>& fields) {
  std::size_t width = 0;
  for (const Column& field : fields) width = std::max(width, field.title.size());
  for (const Column& field : fields) out << fmt::format("{:<{}}  {}\n", field.title, width, cell(object, field.field));
}

void print_items(Session& session, const Json& items, const std::vector<Column>& columns) {
  if (session.json())
    session.out() << dump_json(items) << '\n';
  else
    print_table(session.out(), items, columns);
}

void print_section(std::ostream& out, const std::string& title, const Json& object, const std::string& list,
                   const std::vector<Column>& columns) {
  const auto items = array_at(object, list);
  if (!items || (*items)->empty()) return;
  out << '\n' << title << '\n';
  print_table(out, **items, columns);
}

}  // namespace ferry::cli
