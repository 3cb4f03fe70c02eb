// ferry-fleet: many virtual devices in one process, speaking the real device protocol to a real server.
//   ferry-fleet --token-file site-a.token [--token-file …] [--plan plan.toml] [--devices 200] [--for 60]
// Prints what happened as one JSON document when it ends: after --for seconds, or by SIGTERM.
#include "common/config.hpp"
#include "common/program.hpp"
#include "tests/fleet/fleet.hpp"

#include <sys/signalfd.h>
#include <unistd.h>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace {

using namespace ferry;
using namespace ferry::fleet;

constexpr std::size_t token_bytes_max = 4096;

struct Flags {
  std::vector<std::string> token_files;
  std::string plan, status;
  std::int64_t devices = 0, seed = -1;
  double speed = 0, for_s = 0;
  int server_pid = 0;
};

// Flags win over the plan's file.
Result<FleetPlan> plan_of(const Flags& flags) {
  Json document{{"format", "ferry.fleet-plan/1"}};
  if (!flags.plan.empty()) {
    TRY(document, read_toml(flags.plan));
  }
  if (flags.devices != 0) document["devices"] = flags.devices;
  if (flags.seed >= 0) document["seed"] = flags.seed;
  if (flags.speed != 0) document["speed"] = flags.speed;
  return parse_fleet_plan(document);
}

Result<> live(const Flags& flags) {
  const EndSignals ends;  // blocks them; they are read from a descriptor, beside the sockets
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  const FileDescriptor stop(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  TRY(auto plan, plan_of(flags));
  std::vector<std::string> tokens;
  for (const std::string& file : flags.token_files) {
    TRY(auto token, read_file(file, token_bytes_max));
    tokens.push_back(std::move(token));
  }
  SystemRandom random;
  TRY(auto fleet, Fleet::open(std::move(plan), tokens, random));
  const auto ended = fleet->run(
      {.stop_fd = stop.get(), .for_s = flags.for_s, .status_file = flags.status, .server_pid = flags.server_pid});
  std::printf("%s\n", dump_json_pretty(fleet->told()).c_str());
  return ended;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Virtual devices that speak Ferry's device protocol (tests/fleet/README.md)"};
  Flags flags;
  app.add_option("--token-file", flags.token_files, "Enrolment tokens, given to the devices in turn")->required();
  app.add_option("--plan", flags.plan, "What the devices are and how they behave, ferry.fleet-plan/1 as TOML");
  app.add_option("--devices", flags.devices, "How many, instead of what the plan says");
  app.add_option("--seed", flags.seed, "Of every draw, instead of what the plan says");
  app.add_option("--speed", flags.speed, "Of the devices' time, instead of what the plan says");
  app.add_option("--for", flags.for_s, "End so many seconds after all have enrolled; 0: with SIGTERM")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--status", flags.status, "File that says what happens, replaced several times a second");
  app.add_option("--server-pid", flags.server_pid, "Process whose CPU time is counted");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return finish(live(flags));
}
