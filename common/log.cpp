#include "common/log.hpp"

#include "common/json.hpp"

#include <nlohmann/json.hpp>
#include <unistd.h>

namespace ferry {
namespace {

constexpr std::size_t line_bytes_max = 16 * 1024;

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
  }
  return "error";
}

Json value_of(const LogField& field) {
  return std::visit([](const auto& value) { return Json(value); }, field.value);
}

// One line, whatever a peer put into a field.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace

Log::Log(Clock& clock, int fd, LogFormat format, LogLevel least, std::string_view component)
    : clock_(clock), fd_(fd), format_(format), least_(least), component_(component) {}

void Log::write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (level < least_) return;
  std::string line;
  if (format_ == LogFormat::json) {
    Json entry;
    entry["ts"] = to_rfc3339(clock_.now());
    entry["level"] = name_of(level);
    entry["msg"] = message;
    if (!component_.empty()) entry["component"] = component_;
    for (const LogField& field : fields) entry[std::string(field.key)] = value_of(field);
    line = dump_json(entry);
  } else {
    line = to_rfc3339(clock_.now()) + " " + std::string(name_of(level)) + " " + one_line(std::string(message));
    for (const LogField& field : fields) {
      const Json value = value_of(field);
      line += " " + std::string(field.key) + "=" + (value.is_string() ? one_line(value.get<std::string>()) : dump_json(value));
    }
  }
  if (line.size() > line_bytes_max) line.resize(line_bytes_max);
  line.push_back('\n');
  // A log that cannot be written must not stop the program.
  [[maybe_unused]] const auto written = ::write(fd_, line.data(), line.size());
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
