// Reads agent.toml and puts flags over it.
#include "agent/config.hpp"

#include "common/config.hpp"

#include <arpa/inet.h>
#include <algorithm>
#include <nlohmann/json.hpp>

namespace ferry::agent {
namespace {

constexpr std::string_view default_file = "/etc/ferry/agent.toml";
constexpr std::size_t path_bytes_max = 4096;
constexpr std::size_t url_bytes_max = 2048;
constexpr std::size_t headers_max = 16;
constexpr std::size_t header_value_bytes_max = 4096;

Result<const Json*> table_or_empty(const Json& file, std::string_view key) {
  static const Json empty = Json::object();
  if (!file.contains(key)) return &empty;
  return object_at(file, key);
}

Result<> check_url(const std::string& url) {
  const auto scheme = url.find("://");
  const bool known = url.starts_with("https://") || url.starts_with("http://");
  const auto host = known ? url.substr(scheme + 3, url.find_first_of("/?#", scheme + 3) - scheme - 3) : "";
  if (host.empty() || url.find_first_of(" \t\r\n#") != url.npos)
    return Error{Errc::bad_input, "telemetry.url: found \"" + url +
                                      "\", expected the receiver's whole address, as https://host:4318/v1/metrics"};
  if (host.find('@') != host.npos)
    return Error{Errc::bad_input, "telemetry.url: holds a password; put it into telemetry.headers"};
  return {};
}

Result<std::map<std::string, std::string>> read_headers(const Json& table) {
  constexpr std::string_view token =
      "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";  // RFC 9110
  if (table.size() > headers_max)
    return Error{Errc::bad_input, "telemetry.headers: more than " + std::to_string(headers_max)};
  std::map<std::string, std::string> headers;
  for (const auto& [name, unused] : table.items()) {
    if (name.empty() || name.find_first_not_of(token) != name.npos)
      return Error{Errc::bad_input, "telemetry.headers: \"" + name + "\" is no header name"};
    std::string lower = name;
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (lower.starts_with("content-") || lower == "host" || lower == "transfer-encoding")
      return Error{Errc::bad_input, "telemetry.headers: " + name + " is the agent's to say"};
    auto value = string_at(table, name, header_value_bytes_max);
    if (!value) return std::move(value).error().within("telemetry.headers");
    const bool printable = std::ranges::all_of(*value, [](char c) { return c == '\t' || (c >= 0x20 && c < 0x7f); });
    if (!printable) return Error{Errc::bad_input, "telemetry.headers: " + name + ": expected printable ASCII"};
    headers[name] = std::move(*value);
  }
  return headers;
}

Result<CollectorConfig> read_collector(const Json& table) {
  CollectorConfig collector;
  TRY(collector.url, string_or(table, "url", "", url_bytes_max));
  if (collector.url.empty()) {
    if (table.contains("temporality") || table.contains("ca_file") || table.contains("headers"))
      return Error{Errc::bad_input, "telemetry: without url it goes to the update server, which takes no settings"};
    return collector;
  }
  TRY_VOID(check_url(collector.url));
  TRY(auto temporality, string_or(table, "temporality", "cumulative", 16));
  if (temporality != "cumulative" && temporality != "delta")
    return Error{Errc::bad_input,
                 "telemetry.temporality: found \"" + temporality + "\", expected \"cumulative\" or \"delta\""};
  collector.temporality = temporality == "delta" ? telemetry::Temporality::delta : telemetry::Temporality::cumulative;
  TRY(auto ca_file, string_or(table, "ca_file", "", path_bytes_max));
  collector.ca_file = ca_file;
  TRY(auto headers, table_or_empty(table, "headers"));
  TRY(collector.headers, read_headers(*headers));
  return collector;
}

Result<TelemetryConfig> read_telemetry(const Json& table) {
  constexpr std::int64_t kib = 1024;
  TelemetryConfig limits;
  TRY(limits.window_inferences_max,
      integer_or(table, "window_inferences_max", limits.window_inferences_max, 100, 100'000'000));
  TRY(limits.bytes_per_day_max,
      integer_or(table, "bytes_per_day_max", limits.bytes_per_day_max, 0, 1024 * kib * kib * kib));
  if (limits.bytes_per_day_max > 0 && limits.bytes_per_day_max < kib)
    return Error{Errc::bad_input, "bytes_per_day_max: expected 0 (no limit) or at least 1024 bytes: one upload"};
  TRY(limits.spool_bytes_max, integer_or(table, "spool_bytes_max", limits.spool_bytes_max, 64 * kib, kib * kib * kib));
  TRY(limits.spool_days_max, integer_or(table, "spool_days_max", limits.spool_days_max, 1, 34));
  return limits;
}

Result<> read_file_into(Config& config, const Path& path) {
  TRY(Json file, read_toml(path));
  TRY_VOID(only_known_fields(file, {"data", "worker", "api", "telemetry", "log"}));
  TRY(auto data, string_or(file, "data", config.data.root.string(), path_bytes_max));
  config.data.root = data;

  TRY(auto worker, table_or_empty(file, "worker"));
  TRY_VOID(only_known_fields(*worker, {"program", "runtime_library"}));
  TRY(auto program, string_or(*worker, "program", config.worker_program.string(), path_bytes_max));
  TRY(auto library, string_or(*worker, "runtime_library", "", path_bytes_max));
  config.worker_program = program;
  config.runtime_library = library;

  TRY(auto api, table_or_empty(file, "api"));
  TRY_VOID(only_known_fields(*api, {"address", "port"}));
  TRY(config.api_address, string_or(*api, "address", config.api_address, 64));
  TRY(auto port, integer_or(*api, "port", config.api_port, 0, 65535));
  config.api_port = static_cast<std::uint16_t>(port);

  TRY(auto collector, table_or_empty(file, "telemetry"));
  TRY_VOID(only_known_fields(*collector, {"url", "temporality", "ca_file", "headers", "window_inferences_max",
                                          "bytes_per_day_max", "spool_bytes_max", "spool_days_max"}));
  TRY(config.collector, read_collector(*collector));
  TRY(config.telemetry, read_telemetry(*collector));

  TRY(auto log, table_or_empty(file, "log"));
  TRY_VOID(only_known_fields(*log, {"format", "level"}));
  TRY(auto format, string_or(*log, "format", "json", 16));
  TRY(auto level, string_or(*log, "level", "info", 16));
  TRY(config.log_format, parse_log_format(format));
  TRY(config.log_level, parse_log_level(level));
  return {};
}

// Applications on the device itself are trusted to ask; the network is not.
Result<> check_loopback(const std::string& address) {
  in_addr v4{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, address.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127) return {};
  if (::inet_pton(AF_INET6, address.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6)) return {};
  return Error{Errc::bad_input,
               "api.address: found \"" + address + "\", expected a loopback address (127.0.0.1 or ::1)"};
}

}  // namespace

Result<Config> load_config(const Flags& flags, const Path& program) {
  Config config;
  config.worker_program = program.parent_path() / "ferry-worker";
  std::error_code ignored;
  Path file = flags.config_file.empty() ? Path(default_file) : Path(flags.config_file);
  if (!flags.config_file.empty() || std::filesystem::exists(file, ignored)) {
    auto read = read_file_into(config, file);
    if (!read) return std::move(read).error().within(file.string());
  }
  if (!flags.data.empty()) config.data.root = flags.data;
  if (!flags.worker.empty()) config.worker_program = flags.worker;
  if (!flags.runtime_library.empty()) config.runtime_library = flags.runtime_library;
  if (!flags.log_format.empty()) {
    TRY(config.log_format, parse_log_format(flags.log_format));
  }
  if (!flags.log_level.empty()) {
    TRY(config.log_level, parse_log_level(flags.log_level));
  }
  TRY_VOID(check_loopback(config.api_address));
  config.data.root = std::filesystem::absolute(config.data.root).lexically_normal();
  return config;
}

}  // namespace ferry::agent
