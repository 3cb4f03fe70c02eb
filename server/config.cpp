// Reads and checks the configuration.
#include "server/config.hpp"

#include "common/config.hpp"

#include <arpa/inet.h>
#include <charconv>
#include <nlohmann/json.hpp>

namespace ferry::server {
namespace {

constexpr std::size_t names_max = 32;
constexpr std::size_t name_bytes_max = 253;
constexpr int threads_max = 64;

Result<std::string> check_name(const std::string& name) {
  bool good = !name.empty() && name.size() <= name_bytes_max;
  for (char c : name)
    good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                    c == '-' || c == ':');
  if (!good || (name.find(':') != std::string::npos && !is_ip_address(name)))
    return Error{Errc::bad_input, "name: found \"" + name.substr(0, 80) + "\", expected a DNS name or an IP address"};
  return name;
}

// Devices and people put paths behind it.
Result<> check_url(std::string_view key, const std::string& url) {
  constexpr std::string_view scheme = "https://";
  if (url.empty()) return {};
  if (url.starts_with(scheme) && url.size() > scheme.size() && url.find('/', scheme.size()) == std::string::npos)
    return {};
  return Error{Errc::bad_input, std::string(key) + ": found \"" + url.substr(0, 80) +
                                    "\", expected https://<name>[:<port>] without a path"};
}

Result<> read_devices(const Json& root, Config& config) {
  const auto found = root.find("devices");
  if (found == root.end()) return {};
  TRY_VOID(only_known_fields(*found, {"poll_interval_s", "telemetry_interval_s", "download_bytes_per_second"}));
  TRY(config.poll_interval_s, integer_or(*found, "poll_interval_s", config.poll_interval_s, 1, poll_interval_s_max));
  TRY(config.telemetry_interval_s, integer_or(*found, "telemetry_interval_s", 0, 0, poll_interval_s_max));
  TRY(auto rate, integer_or(*found, "download_bytes_per_second", 0, 0));
  config.download_bytes_per_second = static_cast<std::uint64_t>(rate);
  return {};
}

Result<> read_listen(const Json& root, Config& config) {
  const auto found = root.find("listen");
  if (found == root.end()) return {};
  TRY_VOID(only_known_fields(*found, {"device", "operator", "device_url", "operator_url", "threads"}));
  for (auto [key, endpoint] : {std::pair("device", &config.device_listen), {"operator", &config.operator_listen}}) {
    TRY(auto text, string_or(*found, key, "127.0.0.1:0"));
    auto parsed = parse_endpoint(text);
    if (!parsed) return std::move(parsed).error().within(key);
    *endpoint = std::move(*parsed);
  }
  for (auto [key, url] : {std::pair("device_url", &config.device_url), {"operator_url", &config.operator_url}}) {
    TRY(*url, string_or(*found, key, ""));
    TRY_VOID(check_url(key, *url));
  }
  TRY(auto threads, integer_or(*found, "threads", 1, 1, threads_max));
  config.threads = static_cast<int>(threads);
  return {};
}

Result<> read_log(const Json& root, Config& config) {
  const auto found = root.find("log");
  if (found == root.end()) return {};
  TRY_VOID(only_known_fields(*found, {"format", "level"}));
  TRY(auto format, string_or(*found, "format", "json"));
  TRY(config.log_format, parse_log_format(format));
  TRY(auto level, string_or(*found, "level", "info"));
  TRY(config.log_level, parse_log_level(level));
  return {};
}

Result<> read_ui(const Json& root, Config& config) {
  const auto found = root.find("ui");
  if (found == root.end()) return {};
  TRY_VOID(only_known_fields(*found, {"dir"}));
  TRY(auto dir, string_or(*found, "dir", ""));
  config.ui_dir = dir;
  return {};
}

Result<Config> read_config(const Json& root, const Path& data) {
  Config config;
  config.data = data;
  TRY_VOID(only_known_fields(root, {"format", "names", "listen", "devices", "ui", "log"}));
  TRY(auto format, string_at(root, "format"));
  if (format != "ferry.server/1")
    return Error{Errc::unsupported, "format: found \"" + format + "\", expected ferry.server/1"};
  TRY(auto names, array_at(root, "names", names_max));
  config.names.clear();
  for (const Json& name : *names) {
    if (!name.is_string()) return Error{Errc::bad_input, "names: expected texts"};
    auto checked = check_name(name.get<std::string>());
    if (!checked) return std::move(checked).error().within("names");
    config.names.push_back(std::move(*checked));
  }
  if (config.names.empty()) return Error{Errc::bad_input, "names: expected at least one"};
  auto section = [&](const char* name, Result<> read) -> Result<> {
    if (!read) return std::move(read).error().within(name);
    return {};
  };
  TRY_VOID(section("listen", read_listen(root, config)));
  TRY_VOID(section("devices", read_devices(root, config)));
  TRY_VOID(section("log", read_log(root, config)));
  TRY_VOID(section("ui", read_ui(root, config)));
  return config;
}

}  // namespace

bool is_ip_address(const std::string& name) {
  unsigned char buffer[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, name.c_str(), buffer) == 1 || ::inet_pton(AF_INET6, name.c_str(), buffer) == 1;
}

Result<Endpoint> parse_endpoint(const std::string& text) {
  Error error{Errc::bad_input,
              "address: found \"" + text.substr(0, 80) + "\", expected <address>:<port>, for example 127.0.0.1:8443"};
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return error;
  Endpoint endpoint;
  endpoint.address = text.substr(0, colon);
  if (endpoint.address.size() > 2 && endpoint.address.front() == '[' && endpoint.address.back() == ']')
    endpoint.address = endpoint.address.substr(1, endpoint.address.size() - 2);
  if (!is_ip_address(endpoint.address)) return error;
  const char* begin = text.data() + colon + 1;
  const char* end = text.data() + text.size();
  const auto [stop, failed] = std::from_chars(begin, end, endpoint.port);
  if (failed != std::errc{} || stop != end || begin == end) return error;
  return endpoint;
}

std::int64_t Config::telemetry_interval_or_default_s() const {
  constexpr std::int64_t least_s = 5;
  constexpr std::int64_t most_s = 60;
  return telemetry_interval_s != 0 ? telemetry_interval_s : std::clamp(2 * poll_interval_s, least_s, most_s);
}

Result<std::vector<std::string>> parse_names(const std::string& text) {
  std::vector<std::string> names;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    TRY(auto name, check_name(text.substr(begin, end - begin)));
    names.push_back(std::move(name));
    if (names.size() > names_max) return Error{Errc::bad_input, "name: more than " + std::to_string(names_max)};
    begin = end + 1;
  }
  return names;
}

Result<Config> load_config(const Path& data) {
  const Path path = data / "server.toml";
  auto document = read_toml(path);
  if (!document) {
    if (document.error().code == Errc::not_found)
      return Error{Errc::not_found,
                   path.string() + ": not there; run `ferryd init --data " + data.string() + "` first"};
    return std::move(document).error();
  }
  auto config = read_config(*document, data);
  if (!config) return std::move(config).error().within(path.string());
  return config;
}

std::string config_toml(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "\"" : ", \"") + name + "\"";
  return "# Written by `ferryd init`; flags of `ferryd serve` win over it. docs: server/README.md\n"
         "format = \"ferry.server/1\"\n"
         "names = [" +
         list +
         "]            # in the server's certificate; the first one is used in URLs\n\n"
         "[listen]\n"
         "# device = \"0.0.0.0:8443\"         # mutual TLS; 127.0.0.1:0 when absent\n"
         "# operator = \"0.0.0.0:8444\"       # dashboard and API\n"
         "# device_url = \"https://…:8443\"   # what enrolment tokens tell devices, behind a port mapping\n\n"
         "[devices]\n"
         "# poll_interval_s = 30\n"
         "# telemetry_interval_s = 60\n"
         "# download_bytes_per_second = 0    # per download; 0: unlimited\n\n"
         "[ui]\n"
         "# dir = \"/usr/share/ferry/ui\"\n\n"
         "[log]\n"
         "# format = \"json\"                # json | text\n"
         "# level = \"info\"\n";
}

}  // namespace ferry::server
