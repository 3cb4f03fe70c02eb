// ferry-agent: run, enroll, status. Parses the command line and maps errors to exit codes (UX.md §3.2).
#include "agent/agent.hpp"
#include "agent/enroll.hpp"
#include "agent/status.hpp"

#include <unistd.h>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace {

using namespace ferry;
using namespace ferry::agent;

int exit_code(Errc code) {
  switch (code) {
    case Errc::bad_input:
    case Errc::unsupported:
      return 2;
    case Errc::not_found:
      return 3;
    case Errc::denied:
      return 4;
    case Errc::conflict:
      return 5;
    case Errc::gate_failed:
      return 6;
    case Errc::gate_hold:
      return 7;
    case Errc::timeout:
      return 9;
    case Errc::bad_signature:
    case Errc::expired:
    case Errc::rollback_refused:
      return 10;
    case Errc::unreachable:
    case Errc::unavailable:
      return 11;
    default:
      return 1;
  }
}

int finish(const Result<>& result) {
  if (result) return 0;
  std::fprintf(stderr, "error: %s\n", result.error().context.c_str());
  if (!result.error().reason.empty()) std::fprintf(stderr, "why: %s\n", result.error().reason.c_str());
  return exit_code(result.error().code);
}

Path own_path() {
  std::error_code error;
  Path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? Path("/usr/bin/ferry-agent") : path;
}

// Signals that end the agent are taken by sigwait in one thread; every other thread, started later, has them blocked.
sigset_t block_end_signals() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return ends;
}

Result<> run(const Config& config) {
  sigset_t ends = block_end_signals();
  SystemClock clock;
  SystemRandom random;
  Log log(clock, STDERR_FILENO, config.log_format, config.log_level, "agent");
  AgentPorts ports{clock, random, log,
                   [&](ServingOptions options) { return make_serving(std::move(options), clock, random, log); },
                   [&ends] {
                     int signal = 0;
                     while (sigwait(&ends, &signal) != 0) {
                     }
                   }};
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
