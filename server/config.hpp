// ferryd's settings: <data>/server.toml (written by `ferryd init`), overridden by flags.
#pragma once
#include "common/file.hpp"
#include "common/log.hpp"

#include <string>
#include <vector>

namespace ferry::server {

struct Endpoint {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
};
Result<Endpoint> parse_endpoint(const std::string& text);  // "127.0.0.1:0", "0.0.0.0:8443", "[::1]:8443"

struct Config {
  Path data;
  std::vector<std::string> names = {"localhost"};  // of the server's certificate; the first is in URLs
  Endpoint device_listen;
  Endpoint operator_listen;
  std::string device_url;  // in enrolment tokens; "": https://<first name>:<port>
  std::string operator_url;
  std::uint64_t download_bytes_per_second = 0;  // per download; 0: unlimited
  std::int64_t poll_interval_s = 30;
  std::int64_t telemetry_interval_s = 0;  // 0: twice the poll interval, 5 to 60 s
  Path ui_dir;                            // "": no dashboard
  int threads = 1;                        // io threads of each listener
  LogFormat log_format = LogFormat::json;
  LogLevel log_level = LogLevel::info;

  std::int64_t telemetry_interval_or_default_s() const;
  Path database() const { return data / "ferry.sqlite"; }
  Path blobs() const { return data / "blobs"; }
  Path trust() const { return data / "trust"; }
  Path online() const { return data / "online"; }
  Path ca() const { return data / "ca"; }
  Path status_file() const { return data / "run" / "server.json"; }
};

inline constexpr std::int64_t poll_interval_s_max = 86'400;

// Reads <data>/server.toml. not_found when there is none: `ferryd init` was not run. Unknown members are refused.
Result<Config> load_config(const Path& data);
std::string config_toml(const std::vector<std::string>& names);
// DNS names and IP addresses of "localhost,127.0.0.1".
Result<std::vector<std::string>> parse_names(const std::string& text);
bool is_ip_address(const std::string& name);

}  // namespace ferry::server
