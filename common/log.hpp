// Structured log: JSON lines (for machines) or text (for a terminal), to one file descriptor.
#pragma once
#include "common/clock.hpp"

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>

namespace ferry {

enum class LogLevel { debug, info, warn, error };
enum class LogFormat { json, text };

struct LogField {
  std::string_view key;
  std::variant<std::string_view, std::int64_t, double, bool> value;
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
  LogField(std::string_view k, double v) : key(k), value(v) {}
  template <std::integral I>
  LogField(std::string_view k, I v) : key(k), value(static_cast<std::int64_t>(v)) {}
};

// Thread-safe. One write(2) per line. In a coroutine never call it in the same expression as co_await (adr 0002).
class Log {
 public:
  Log(Clock& clock, int fd, LogFormat format, LogLevel least, std::string_view component = {});
  void debug(std::string_view message, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::debug, message, fields);
  }
  void info(std::string_view message, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::info, message, fields);
  }
  void warn(std::string_view message, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::warn, message, fields);
  }
  void error(std::string_view message, std::initializer_list<LogField> fields = {}) {
    write(LogLevel::error, message, fields);
  }

 private:
  void write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields);

  Clock& clock_;
  int fd_;
  LogFormat format_;
  LogLevel least_;
  std::string component_;
};

Result<LogLevel> parse_log_level(std::string_view text);    // debug | info | warn | error
Result<LogFormat> parse_log_format(std::string_view text);  // json | text

}  // namespace ferry
