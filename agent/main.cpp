// ferry-agent: run, enroll, status. Parses the command line and maps errors to exit codes (UX.md §3.2).
#include "agent/agent.hpp"
#include "agent/enroll.hpp"
#include "agent/memory.hpp"
#include "agent/status.hpp"
#include "common/program.hpp"

#include <unistd.h>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace {

using namespace ferry;
using namespace ferry::agent;

Path own_path() {
  std::error_code error;
  Path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? Path("/usr/bin/ferry-agent") : path;
}

Result<> run(const Config& config) {
  keep_memory_small();
  EndSignals ends;
  SystemClock clock;
  SystemRandom random;
  Log log(clock, STDERR_FILENO, config.log_format, config.log_level, "agent");
  AgentPorts ports{clock, random, log,
                   [&](ServingOptions options) { return make_serving(std::move(options), clock, random, log); },
                   [&ends] { ends.wait(); }};
  return run_agent(config, ports);
}

Result<> enroll_device(const Config& config, std::string token_text) {
  if (token_text == "-") {
    token_text.clear();
    char piece[4096];
    while (std::fgets(piece, sizeof piece, stdin) != nullptr && token_text.size() < 2 * sizeof piece)
      token_text += piece;
  }
  TRY(auto token, parse_token(token_text));
  SystemClock clock;
  SystemRandom random;
  Log log(clock, STDERR_FILENO, LogFormat::text, LogLevel::warn, "enroll");
  EnrollPorts ports{make_http_client, clock, random, log};
  TRY(auto identity, enroll(token, config.data, ports));
  std::printf("%s enrolled with %s\n", identity.device.c_str(), identity.server.c_str());
  return {};
}

Result<> show_status(const Config& config) {
  TRY(auto run_file, read_run_file(config.data));
  auto http = make_http_client({});
  HttpRequest request;
  request.url = "http://localhost/ferry/v1/status";
  request.unix_socket = run_file.socket.string();
  TRY(auto response, http->send(request));
  if (response.status != 200) return error_from_status(response, "status");
  TRY(Json document, parse_json(response.body));
  std::printf("%s\n", dump_json_pretty(document).c_str());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Ferry device agent: carries signed models to this device, proves them here, serves them to applications"};
  app.set_version_flag("--version", std::string(agent_version));
  app.require_subcommand(1);
  app.fallthrough();
  Flags flags;
  app.add_option("--data", flags.data, "The device's data tree (default /var/lib/ferry)");
  app.add_option("--config", flags.config_file, "agent.toml (default /etc/ferry/agent.toml when it exists)");
  auto* run_command = app.add_subcommand("run", "Run the agent in the foreground");
  run_command->add_option("--worker", flags.worker, "The ferry-worker program (default: beside this one)");
  run_command->add_option("--runtime-library", flags.runtime_library, "libonnxruntime.so that the worker loads");
  run_command->add_option("--log-format", flags.log_format, "json | text");
  run_command->add_option("--log-level", flags.log_level, "debug | info | warn | error");
  auto* enroll_command = app.add_subcommand("enroll", "Enrol this device with a server");
  std::string token;
  enroll_command->add_option("--token", token, "Enrolment token; - reads it from standard input")->required();
  auto* status_command = app.add_subcommand("status", "Show what the running agent says, as JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  auto config = load_config(flags, own_path());
  if (!config) return finish(std::move(config).error());
  if (run_command->parsed()) return finish(run(*config));
  if (enroll_command->parsed()) return finish(enroll_device(*config, token));
  if (status_command->parsed()) return finish(show_status(*config));
  return 2;
}
