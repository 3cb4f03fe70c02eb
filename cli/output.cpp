#include "cli/output.hpp"

#include "common/clock.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr std::size_t cell_bytes_max = 120;

// What comes from the server may hold anything: no control characters reach the terminal.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  if (text.size() > cell_bytes_max) text = text.substr(0, cell_bytes_max - 3) + "...";
  return text;
}

std::string text_of(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>().empty() ? "-" : printable(value.get<std::string>());
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  return printable(dump_json(value));
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
  return text_of(*at);
}

std::string when(std::int64_t unix_ms) { return unix_ms == 0 ? "-" : to_rfc3339(from_unix_ms(unix_ms)); }

void print_table(std::ostream& out, const Json& items, const std::vector<Column>& columns) {
  std::vector<std::size_t> widths;
  for (const Column& column : columns) {
    std::size_t width = column.title.size();
    for (const Json& item : items) width = std::max(width, cell(item, column.field).size());
    widths.push_back(width);
  }
  const auto line = [&](const auto& value_of) {
    std::string text;
    for (std::size_t i = 0; i < columns.size(); ++i) text += fmt::format("{:<{}}  ", value_of(columns[i]), widths[i]);
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

}  // namespace ferry::cli
