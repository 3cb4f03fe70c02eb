// Reads plans and draws who does what.
#include "tests/fleet/plan.hpp"

#include "common/crypto.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

namespace ferry::fleet {
namespace {

constexpr std::size_t text_bytes_max = 256;
constexpr double share_slack = 1e-9;  // sums of decimal shares

Result<> share_into(double& share, const Json& object, std::string_view key) {
  TRY(share, number_or(object, key, share, 0, 1));
  return {};
}

Result<Traffic> parse_traffic(const Json& object) {
  TRY_VOID(only_known_fields(object, {"per_s", "median_ms", "device_spread", "drift_spread", "request_spread",
                                      "heavy_share", "daily_swing", "labelled_share"}));
  Traffic traffic;
  TRY(traffic.per_s, number_or(object, "per_s", traffic.per_s, 0, inferences_per_s_max));
  TRY(traffic.median_ms, number_or(object, "median_ms", traffic.median_ms, 0.001, 60'000));
  TRY(traffic.device_spread, number_or(object, "device_spread", traffic.device_spread, 0, 3));
  TRY(traffic.drift_spread, number_or(object, "drift_spread", traffic.drift_spread, 0, 3));
  TRY(traffic.request_spread, number_or(object, "request_spread", traffic.request_spread, 0, 3));
  TRY(traffic.daily_swing, number_or(object, "daily_swing", traffic.daily_swing, 0, 3));
  TRY_VOID(share_into(traffic.heavy_share, object, "heavy_share"));
  TRY_VOID(share_into(traffic.labelled_share, object, "labelled_share"));
  return traffic;
}

Result<ReleaseBehaviour> parse_release(const Json& object) {
  TRY_VOID(only_known_fields(
      object, {"version", "latency_factor", "tail_share", "error_share", "accuracy", "drift_share", "drift_class",
               "memory_mib", "stalls", "fails", "rejects", "rolls_back", "goes_silent", "reason", "times"}));
  ReleaseBehaviour release;
  TRY(release.version, string_at(object, "version", text_bytes_max));
  TRY(release.latency_factor, number_or(object, "latency_factor", 1, 0.001, 1000));
  TRY_VOID(share_into(release.tail_share, object, "tail_share"));
  TRY_VOID(share_into(release.error_share, object, "error_share"));
  if (object.contains("accuracy")) {
    TRY(release.accuracy, number_at(object, "accuracy", 0, 1));
  }
  TRY_VOID(share_into(release.drift_share, object, "drift_share"));
  TRY(release.drift_class, integer_or(object, "drift_class", 0, 0, 9'999));
  TRY(release.memory_mib, integer_or(object, "memory_mib", release.memory_mib, 0, 1'000'000));
  double all = 0;
  for (auto [key, share] : {std::pair{"stalls", &release.stalls}, std::pair{"fails", &release.fails},
                            std::pair{"rejects", &release.rejects}, std::pair{"rolls_back", &release.rolls_back},
                            std::pair{"goes_silent", &release.goes_silent}}) {
    TRY_VOID(share_into(*share, object, key));
    all += *share;
  }
  if (all > 1 + share_slack)
    return Error{Errc::bad_input, "stalls, fails, rejects, rolls_back and goes_silent: together " +
                                      std::to_string(all) + " of the devices, expected at most 1"};
  TRY(release.reason, string_or(object, "reason", "", text_bytes_max));
  TRY(release.times, integer_or(object, "times", 0, 0, 1'000));
  return release;
}

Result<HardwareShare> parse_hardware(const Json& object) {
  TRY_VOID(only_known_fields(object, {"class", "share"}));
  HardwareShare hardware;
  TRY(hardware.hardware_class, string_at(object, "class", text_bytes_max));
  if (std::count(hardware.hardware_class.begin(), hardware.hardware_class.end(), '-') != 4)
    return Error{Errc::bad_input, "class: found \"" + hardware.hardware_class +
                                      "\", expected one like x86_64-avx2-4c-8g-cpu (docs/formats/device-api.md)"};
  TRY(hardware.share, number_or(object, "share", 1, 0, 1));
  return hardware;
}

template <class Item>
Result<> list_into(std::vector<Item>& list, const Json& object, const char* key, std::size_t items_max,
                   Result<Item> (*parse)(const Json&)) {
  if (!object.contains(key)) return {};
  TRY(const Json* items, array_at(object, key, items_max));
  list.clear();
  for (std::size_t i = 0; i < items->size(); ++i) {
    auto item = parse((*items)[i]);
    if (!item) return std::move(item).error().within(std::string(key) + "[" + std::to_string(i) + "]");
    list.push_back(std::move(*item));
  }
  return {};
}

Result<> check_whole(const FleetPlan& plan) {
  for (std::size_t i = 0; i < plan.releases.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (plan.releases[i].version == plan.releases[j].version)
        return Error{Errc::bad_input, "releases: \"" + plan.releases[i].version + "\" is planned twice"};
  double all = 0;
  for (const HardwareShare& one : plan.hardware) all += one.share;
  if (plan.hardware.empty() || all < 1 - share_slack || all > 1 + share_slack)
    return Error{Errc::bad_input, "hardware: shares add up to " + std::to_string(all) + ", expected 1"};
  if (plan.offline_s > plan.offline_every_s)
    return Error{Errc::bad_input, "offline_s: expected at most offline_every_s"};
  return {};
}

}  // namespace

Result<FleetPlan> parse_fleet_plan(const Json& document) {
  auto parse = [&]() -> Result<FleetPlan> {
    TRY_VOID(only_known_fields(document, {"format", "devices", "seed", "speed", "enrolling_max", "keep_connections",
                                          "download", "absent", "offline", "offline_s", "offline_every_s", "trial_s",
                                          "utc_offset_s", "traffic", "hardware", "releases"}));
    TRY(auto format, string_at(document, "format", text_bytes_max));
    if (format != "ferry.fleet-plan/1")
      return Error{Errc::unsupported, "format: found \"" + format + "\", expected ferry.fleet-plan/1"};
    FleetPlan plan;
    TRY(const auto devices, integer_or(document, "devices", 100, 1, devices_max));
    plan.devices = static_cast<std::size_t>(devices);
    TRY(const auto seed, integer_or(document, "seed", 1, 0));
    plan.seed = static_cast<std::uint64_t>(seed);
    TRY(plan.speed, number_or(document, "speed", 1, 0.001, speed_max));
    TRY(const auto enrolling, integer_or(document, "enrolling_max", 16, 1, 1'000));
    plan.enrolling_max = static_cast<std::size_t>(enrolling);
    TRY(plan.keep_connections, bool_or(document, "keep_connections", true));
    TRY(plan.download, bool_or(document, "download", true));
    TRY_VOID(share_into(plan.absent, document, "absent"));
    TRY_VOID(share_into(plan.offline, document, "offline"));
    TRY(plan.offline_s, number_or(document, "offline_s", plan.offline_s, 0, seconds_max));
    TRY(plan.offline_every_s, number_or(document, "offline_every_s", plan.offline_every_s, 0.001, seconds_max));
    TRY(plan.trial_s, number_or(document, "trial_s", plan.trial_s, 0, seconds_max));
    TRY(plan.utc_offset_s, integer_or(document, "utc_offset_s", 0, -86'400, 86'400));
    if (document.contains("traffic")) {
      TRY(const Json* traffic, object_at(document, "traffic"));
      auto parsed = parse_traffic(*traffic);
      if (!parsed) return std::move(parsed).error().within("traffic");
      plan.traffic = *parsed;
    }
    TRY_VOID(list_into(plan.hardware, document, "hardware", hardware_planned_max, &parse_hardware));
    TRY_VOID(list_into(plan.releases, document, "releases", releases_planned_max, &parse_release));
    TRY_VOID(check_whole(plan));
    return plan;
  };
  auto plan = parse();
  if (!plan) return std::move(plan).error().within("fleet plan");
  return plan;
}

ReleaseBehaviour behaviour_of(const FleetPlan& plan, std::string_view version) {
  for (std::string_view name : {version, std::string_view("*")})
    for (const ReleaseBehaviour& release : plan.releases)
      if (release.version == name) return release;
  return {};
}

std::vector<double> draw_places(const FleetPlan& plan, std::string_view name) {
  const std::string salt = std::to_string(plan.seed) + "/" + std::string(name);
  std::vector<std::uint64_t> ranks(plan.devices);
  for (std::size_t i = 0; i < plan.devices; ++i) ranks[i] = hash_rank(salt, std::to_string(i));
  std::vector<std::size_t> order(plan.devices);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return ranks[a] < ranks[b]; });
  std::vector<double> places(plan.devices);
  for (std::size_t place = 0; place < plan.devices; ++place)
    places[order[place]] = (static_cast<double>(place) + 0.5) / static_cast<double>(plan.devices);
  return places;
}

std::vector<Outcome> draw_outcomes(const FleetPlan& plan, std::string_view version) {
  const ReleaseBehaviour behaviour = behaviour_of(plan, version);
  const std::vector<double> places = draw_places(plan, "outcome/" + std::string(version));
  std::vector<Outcome> outcomes;
  for (const double place : places) {
    Outcome drawn = Outcome::commits;
    double upper = 0;
    for (auto [outcome, share] :
         {std::pair{Outcome::stalls, behaviour.stalls}, std::pair{Outcome::fails, behaviour.fails},
          std::pair{Outcome::rejects, behaviour.rejects}, std::pair{Outcome::rolls_back, behaviour.rolls_back},
          std::pair{Outcome::goes_silent, behaviour.goes_silent}}) {
      const double lower = upper;
      upper += share;
      if (place > lower && place <= upper) drawn = outcome;
    }
    outcomes.push_back(drawn);
  }
  return outcomes;
}

std::string reason_of(const ReleaseBehaviour& behaviour, Outcome outcome) {
  if (!behaviour.reason.empty()) return behaviour.reason;
  switch (outcome) {
    case Outcome::fails:
      return "install.no_space";
    case Outcome::rejects:
      return "trial.golden";
    case Outcome::rolls_back:
      return "trial.errors";
    case Outcome::commits:
    case Outcome::stalls:
    case Outcome::goes_silent:
      break;
  }
  return "";
}

}  // namespace ferry::fleet
