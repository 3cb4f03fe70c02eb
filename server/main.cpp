// ferryd: init, serve. Parses the command line and maps errors to exit codes.
#include "common/program.hpp"
#include "server/app.hpp"

#include <unistd.h>
#include <CLI/CLI.hpp>
#include <cstdio>

namespace {

using namespace ferry;
using namespace ferry::server;

struct Flags {
  std::string data = "/var/lib/ferryd";
  std::string names = "localhost";
  std::string device_listen, operator_listen, ui_dir, log_format, log_level;
  std::int64_t poll_interval_s = 0;
  std::int64_t telemetry_interval_s = 0;
  std::int64_t download_bytes_per_second = -1;
};

// Flags win over server.toml.
Result<Config> config_of(const Flags& flags) {
  TRY(Config config, load_config(flags.data));
  if (!flags.device_listen.empty()) {
    TRY(config.device_listen, parse_endpoint(flags.device_listen));
  }
  if (!flags.operator_listen.empty()) {
    TRY(config.operator_listen, parse_endpoint(flags.operator_listen));
  }
  if (!flags.ui_dir.empty()) config.ui_dir = flags.ui_dir;
  if (flags.poll_interval_s != 0) config.poll_interval_s = flags.poll_interval_s;
  if (flags.telemetry_interval_s != 0) config.telemetry_interval_s = flags.telemetry_interval_s;
  if (flags.download_bytes_per_second >= 0)
    config.download_bytes_per_second = static_cast<std::uint64_t>(flags.download_bytes_per_second);
  if (!flags.log_format.empty()) {
    TRY(config.log_format, parse_log_format(flags.log_format));
  }
  if (!flags.log_level.empty()) {
    TRY(config.log_level, parse_log_level(flags.log_level));
  }
  return config;
}

Result<> init(const Flags& flags) {
  TRY(auto names, parse_names(flags.names));
  SystemClock clock;
  SystemRandom random;
  TRY_VOID(init_server(flags.data, names, clock, random));
  std::printf(
      "%s is ready.\n  administrator's token: %s/admin.token\n  online public keys:    %s/online/public.json "
      "(for `ferry key init`)\n  start it:              ferryd serve --data %s\n",
      flags.data.c_str(), flags.data.c_str(), flags.data.c_str(), flags.data.c_str());
  return {};
}

Result<> serve(const Flags& flags) {
  EndSignals ends;
  TRY(auto config, config_of(flags));
  SystemClock clock;
  SystemRandom random;
  Log log(clock, STDERR_FILENO, config.log_format, config.log_level, "ferryd");
  return run_server(std::move(config), clock, random, log, [&ends] { ends.wait(); });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Ferry update server: devices, releases, rollouts, telemetry, dashboard"};
  app.set_version_flag("--version", std::string(server_version));
  app.require_subcommand(1);
  app.fallthrough();
  Flags flags;
  app.add_option("--data", flags.data, "The server's data folder (default /var/lib/ferryd)");
  auto* init_command = app.add_subcommand("init", "Make device CA, certificate, online keys and administrator's token");
  init_command->add_option("--name", flags.names,
                           "DNS names and IP addresses of this server, with commas; the first is in URLs");
  auto* serve_command = app.add_subcommand("serve", "Run the server in the foreground");
  serve_command->add_option("--device-listen", flags.device_listen, "<address>:<port> for devices; port 0: any");
  serve_command->add_option("--operator-listen", flags.operator_listen, "<address>:<port> for API and dashboard");
  serve_command->add_option("--ui-dir", flags.ui_dir, "Folder of the built dashboard");
  serve_command->add_option("--poll-interval", flags.poll_interval_s, "Seconds between a device's check-ins")
      ->check(CLI::Range(std::int64_t{1}, poll_interval_s_max));
  serve_command->add_option("--telemetry-interval", flags.telemetry_interval_s, "Seconds of a telemetry window")
      ->check(CLI::Range(std::int64_t{1}, poll_interval_s_max));
  serve_command
      ->add_option("--download-bytes-per-second", flags.download_bytes_per_second, "Cap of each download; 0: none")
      ->check(CLI::NonNegativeNumber);
  serve_command->add_option("--log-format", flags.log_format, "json | text");
  serve_command->add_option("--log-level", flags.log_level, "debug | info | warn | error");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return finish(init_command->parsed() ? init(flags) : serve(flags));
}
