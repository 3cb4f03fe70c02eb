// Tables for people; JSON is printed as the API gave it.
#pragma once
#include "cli/cli.hpp"

#include <iosfwd>
#include <string>
#include <vector>

namespace ferry::cli {

struct Column {
  std::string title;
  std::string field;  // a key, or "outer.inner"
};
// One line per item; missing fields print as "-".
void print_table(std::ostream& out, const Json& items, const std::vector<Column>& columns);
// "field  value" lines.
void print_fields(std::ostream& out, const Json& object, const std::vector<Column>& fields);
// With -o json the items as they are, else a table.
void print_items(Session& session, const Json& items, const std::vector<Column>& columns);
// A title and a table below what is printed already; nothing without items.
void print_section(std::ostream& out, const std::string& title, const Json& object, const std::string& list,
                   const std::vector<Column>& columns);

// One value for a person: no control characters, objects as "key=value" (counts of zero left out), times for "*_ms".
std::string cell(const Json& object, const std::string& field);
// Text from elsewhere without control characters: they could command the terminal.
std::string without_controls(std::string text);
std::string when(std::int64_t unix_ms);  // RFC 3339, "-" for 0

}  // namespace ferry::cli
