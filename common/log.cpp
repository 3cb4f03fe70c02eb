// One line per event whatever a peer put into its fields, and one write(2) per line.
#include "common/log.hpp"

#include "common/bytes.hpp"
#include "common/json.hpp"

#include <unistd.h>
#include <cerrno>
#include <nlohmann/json.hpp>

namespace ferry {
namespace {

constexpr std::size_t text_bytes_max = 4 * 1024;  // of a message or a field; the rest is cut off

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  return "error";
}

// "2026-11-23T08:12:52.123Z": milliseconds order what happens within a second.
std::string timestamp(Instant at) {
  std::string text = to_rfc3339(at);
  const auto rest = at - std::chrono::floor<std::chrono::seconds>(at);
  const std::string digits = std::to_string(1000 + rest.count());
  text.insert(text.size() - 1, "." + digits.substr(1));
  return text;
}

std::string_view cut(std::string_view text) {
  if (text.size() <= text_bytes_max) return text;
  std::size_t end = text_bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a UTF-8 sequence
  return text.substr(0, end);
}

// A JSON value; bad UTF-8 is replaced, control characters are escaped.
std::string json_of(const decltype(LogField::value)& value) {
  const auto* text = std::get_if<std::string_view>(&value);
  if (text) return dump_json(Json(cut(*text)));
  return std::visit([](const auto& plain) { return dump_json(Json(plain)); }, value);
}

// For a terminal: what could move its cursor, also as the two-byte controls U+0080 to U+009F, is escaped.
std::string printable(std::string_view text) {
  const std::string quoted = json_of(text);
  std::string out;
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    const auto byte = static_cast<unsigned char>(quoted[i]);
    const auto next = static_cast<unsigned char>(quoted[i + 1]);
    if (byte == 0x7f) {
      out += "\\u007f";
    } else if (byte == 0xC2 && next < 0xA0) {
      out += "\\u00" + to_hex(quoted.substr(++i, 1));
    } else {
      out += quoted[i];
    }
  }
  return out;
}

// Quoted when it could be taken for two fields.
std::string text_value(const LogField& field) {
  const auto* text = std::get_if<std::string_view>(&field.value);
  if (!text) return json_of(field.value);
  const bool plain = !text->empty() && text->find_first_of(" =\"\\") == std::string_view::npos;
  return plain ? printable(*text) : "\"" + printable(*text) + "\"";
}

std::string json_line(std::string_view ts, LogLevel level, std::string_view component, std::string_view message,
                      std::initializer_list<LogField> fields) {
  std::string line = "{\"ts\":\"" + std::string(ts) + "\",\"level\":\"" + std::string(name_of(level)) +
                     "\",\"msg\":" + json_of(message);
  if (!component.empty()) line += ",\"component\":" + json_of(component);
  for (const LogField& field : fields) line += "," + json_of(field.key) + ":" + json_of(field.value);
  return line + "}\n";
}

std::string text_line(std::string_view ts, LogLevel level, std::string_view component, std::string_view message,
                      std::initializer_list<LogField> fields) {
  std::string line = std::string(ts) + " " + std::string(name_of(level)) + " ";
  if (!component.empty()) line += printable(component) + ": ";
  line += printable(message);
  for (const LogField& field : fields) line += " " + printable(field.key) + "=" + text_value(field);
  return line + "\n";
}

}  // namespace

Log::Log(Clock& clock, int fd, LogFormat format, LogLevel least, std::string_view component)
    : clock_(clock), fd_(fd), format_(format), least_(least), component_(component) {}

void Log::write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (level < least_) return;
  const std::string ts = timestamp(clock_.now());
  const std::string line = format_ == LogFormat::json ? json_line(ts, level, component_, message, fields)
                                                      : text_line(ts, level, component_, message, fields);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = ::write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return;  // a log that cannot be written must not stop the program
    rest.remove_prefix(std::size_t(written));
  }
}

Result<LogLevel> parse_log_level(std::string_view text) {
  for (const LogLevel level : {LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error}) {
    if (name_of(level) == text) return level;
  }
  return Error{Errc::bad_input, "log level '" + std::string(text) + "': expected debug, info, warn or error"};
}

Result<LogFormat> parse_log_format(std::string_view text) {
  if (text == "json") return LogFormat::json;
  if (text == "text") return LogFormat::text;
  return Error{Errc::bad_input, "log format '" + std::string(text) + "': expected json or text"};
}

}  // namespace ferry
