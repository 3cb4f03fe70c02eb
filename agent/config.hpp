// What the agent is told at start: agent.toml, overridden by flags. Values are checked here, once.
#pragma once
#include "common/file.hpp"
#include "common/log.hpp"
#include "telemetry/otlp.hpp"

#include <map>
#include <optional>

namespace ferry::agent {

// The device's data tree (docs/formats/slots.md).
struct DataTree {
  Path root = "/var/lib/ferry";
  Path identity() const { return root / "identity"; }
  Path trust() const { return root / "trust"; }
  Path pinned_root() const { return trust() / "pinned-root.json"; }
  Path spool() const { return root / "spool" / "spool.sqlite"; }
  Path run() const { return root / "run"; }
};

// Somebody else's OTLP receiver, in the update server's place.
struct CollectorConfig {
  std::string url;  // of its metrics endpoint, whole; empty: the update server
  telemetry::Temporality temporality = telemetry::Temporality::cumulative;
  Path ca_file;                                // PEM; empty: the system's authorities
  std::map<std::string, std::string> headers;  // sent with each upload
};

// What telemetry may cost.
struct TelemetryConfig {
  std::int64_t window_inferences_max = 100'000;       // a window ends at its time or at so many, whichever is first
  std::int64_t bytes_per_day_max = 32 * 1024 * 1024;  // of uploads; 0: no limit
  std::int64_t spool_bytes_max = 4 * 1024 * 1024;
  std::int64_t spool_days_max = 30;
};

struct Config {
  DataTree data;
  Path worker_program;   // default: ferry-worker beside this program
  Path runtime_library;  // empty: the worker's default
  std::string api_address = "127.0.0.1";
  std::uint16_t api_port = 0;  // 0: any free one; written to run/agent.json
  CollectorConfig collector;
  TelemetryConfig telemetry;
  LogFormat log_format = LogFormat::json;
  LogLevel log_level = LogLevel::info;
};

// Flags as given on the command line; empty: not given.
struct Flags {
  std::string config_file;
  std::string data;
  std::string worker;
  std::string runtime_library;
  std::string log_format;
  std::string log_level;
};

// Flag > file > default. Without --config, /etc/ferry/agent.toml is read when it exists. `program` is this program's
// own path. Errors: bad_input naming file and field.
Result<Config> load_config(const Flags& flags, const Path& program);

}  // namespace ferry::agent
