// What a virtual fleet is made of and how its devices behave, as a value (tests/fleet/README.md).
#pragma once
#include "common/json.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::fleet {

inline constexpr std::int64_t devices_max = 50'000;
inline constexpr double speed_max = 1'000;
inline constexpr double inferences_per_s_max = 10'000;  // of one device
inline constexpr std::size_t releases_planned_max = 64;
inline constexpr std::size_t hardware_planned_max = 64;
inline constexpr double seconds_max = 30 * 86'400.0;

// Requests of the applications on a device and how long they take; spreads are standard deviations of the natural
// logarithm of latency. The defaults are those of the simulations (tests/sim/gate/fleet_model.hpp).
struct Traffic {
  double per_s = 5;
  double median_ms = 10;
  double device_spread = 0.10;   // how different the devices are, for ever
  double drift_spread = 0.05;    // state of one device: AR(1) over minutes, correlation 0.9
  double request_spread = 0.20;  // between requests
  double heavy_share = 0.01;     // requests with a Pareto tail
  double daily_swing = 0.10;     // common to all devices
  double labelled_share = 0.1;   // answers whose label comes back, as audit
};

// What becomes of an update on a device. The shares of a release are of all devices, exactly, drawn by the seed.
enum class Outcome { commits, stalls, fails, rejects, rolls_back, goes_silent };

struct ReleaseBehaviour {
  std::string version;        // "*": every release that no other entry names
  double latency_factor = 1;  // every request takes so many times as long
  double tail_share = 0;      // this share of requests takes three times as long
  double error_share = 0;
  std::optional<double> accuracy;  // of labelled answers; absent: what the release's reference profile says
  double drift_share = 0;          // this share of the answers is class `drift_class`, whatever the profile says
  std::int64_t drift_class = 0;
  std::int64_t memory_mib = 60;
  // Shares of devices.
  double stalls = 0;       // take the offer and never tell what became of it
  double fails = 0;        // cannot install it
  double rejects = 0;      // their trial fails before it takes over
  double rolls_back = 0;   // their trial fails after it took over
  double goes_silent = 0;  // commit, and are not heard of again
  std::string reason;      // of fails, rejects and rolls_back; "": install.no_space, trial.golden, trial.errors
  std::int64_t times = 0;  // the outcome befalls a device so many times, then it commits; 0: always
};

struct HardwareShare {
  std::string hardware_class;
  double share = 1;
};

struct FleetPlan {
  std::size_t devices = 100;
  std::uint64_t seed = 1;
  double speed = 1;                // devices wait so many times shorter and answer so many times more
  std::size_t enrolling_max = 16;  // enrolments under way at once
  bool keep_connections = true;    // false: a new one, with its handshake, whenever a device has something to say
  bool download = true;          // false: one device fetches manifest and profile for all, and no model file is fetched
  double absent = 0;             // share that enrols and is never heard of
  double offline = 0;            // share that is away at times
  double offline_s = 60;         // for so long …
  double offline_every_s = 600;  // … out of so long
  double trial_s = 1;            // how long a device takes to load and prove a release
  std::int64_t utc_offset_s = 0;  // the devices' local time minus UTC, for maintenance windows
  Traffic traffic;
  std::vector<HardwareShare> hardware = {HardwareShare{"x86_64-avx2-4c-8g-cpu", 1}};
  std::vector<ReleaseBehaviour> releases;
};

// ferry.fleet-plan/1. Absent members keep their defaults; bad_input names the field, unknown members are refused.
Result<FleetPlan> parse_fleet_plan(const Json& document);

// The entry that speaks for `version`, else that of "*", else the defaults.
ReleaseBehaviour behaviour_of(const FleetPlan& plan, std::string_view version);

// For each device its place in a draw of that name: every value of (i + 1/2) / devices once, in an order that depends
// on seed and name alone. So a share of 0.1 of 200 devices is twenty, not about twenty.
std::vector<double> draw_places(const FleetPlan& plan, std::string_view name);
std::vector<Outcome> draw_outcomes(const FleetPlan& plan, std::string_view version);

// "trial.golden" …: what a device whose update ends this way says, unless the plan names another.
std::string reason_of(const ReleaseBehaviour& behaviour, Outcome outcome);

}  // namespace ferry::fleet
