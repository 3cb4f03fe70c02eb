// Plans: what is read, what is refused, and draws that are exact and repeatable.
#include "tests/fleet/plan.hpp"

#include "common/config.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

using namespace ferry;
using namespace ferry::fleet;

namespace {

Result<FleetPlan> read(const std::string& toml) {
  TRY(const Json document, parse_toml("format = \"ferry.fleet-plan/1\"\n" + toml, "plan.toml"));
  return parse_fleet_plan(document);
}
std::string refusal(const std::string& toml) {
  auto plan = read(toml);
  REQUIRE_FALSE(plan);
  return plan.error().context;
}
std::map<Outcome, int> counted(const std::vector<Outcome>& outcomes) {
  std::map<Outcome, int> counts;
  for (const Outcome outcome : outcomes) ++counts[outcome];
  return counts;
}

}  // namespace

TEST_CASE("an empty plan is a hundred well-behaved devices") {
  const auto plan = read("");
  REQUIRE(plan);
  CHECK(plan->devices == 100);
  CHECK(counted(draw_outcomes(*plan, "1.0.0")) == std::map<Outcome, int>{{Outcome::commits, 100}});
  CHECK(behaviour_of(*plan, "1.0.0").latency_factor == 1);
}

TEST_CASE("a plan is read whole") {
  const auto plan = read(R"(
devices = 2000
seed = 9
speed = 10
keep_connections = false
download = false
absent = 0.01
offline = 0.2
[traffic]
per_s = 20
median_ms = 2.5
[[hardware]]
class = "x86_64-avx2-4c-8g-cpu"
share = 0.75
[[hardware]]
class = "aarch64-dotprod-4c-4g-cpu"
share = 0.25
[[releases]]
version = "1.5.0"
latency_factor = 3
accuracy = 0.5
rolls_back = 0.1
reason = "trial.memory"
times = 1
)");
  REQUIRE(plan);
  CHECK(plan->devices == 2000);
  CHECK(plan->speed == 10);
  CHECK_FALSE(plan->keep_connections);
  CHECK_FALSE(plan->download);
  CHECK(plan->traffic.per_s == 20);
  CHECK(plan->traffic.request_spread == 0.20);
  CHECK(plan->hardware.at(1).hardware_class == "aarch64-dotprod-4c-4g-cpu");
  const ReleaseBehaviour slow = behaviour_of(*plan, "1.5.0");
  CHECK(slow.latency_factor == 3);
  CHECK(slow.accuracy == 0.5);
  CHECK(slow.times == 1);
  CHECK(reason_of(slow, Outcome::rolls_back) == "trial.memory");
  CHECK(behaviour_of(*plan, "1.6.0").latency_factor == 1);
}

TEST_CASE("a plan that makes no sense is refused by the field's name") {
  CHECK_THAT(refusal("device = 3"), Catch::Contains("device") && Catch::Contains("devices"));
  CHECK_THAT(refusal("devices = 0"), Catch::Contains("devices"));
  CHECK_THAT(refusal("absent = 1.5"), Catch::Contains("absent"));
  CHECK_THAT(refusal("speed = 0"), Catch::Contains("speed"));
  CHECK_THAT(refusal("[traffic]\nper_s = -1"), Catch::Contains("traffic: field 'per_s'"));
  CHECK_THAT(refusal("[[releases]]\nversion = \"1.0.0\"\nstalls = 0.6\nfails = 0.6"),
             Catch::Contains("releases[0]") && Catch::Contains("at most 1"));
  CHECK_THAT(refusal("[[releases]]\nversion = \"1.0.0\"\n[[releases]]\nversion = \"1.0.0\""), Catch::Contains("twice"));
  CHECK_THAT(refusal("[[hardware]]\nclass = \"x86_64\""), Catch::Contains("hardware[0]: class"));
  CHECK_THAT(refusal("[[hardware]]\nclass = \"x86_64-avx2-4c-8g-cpu\"\nshare = 0.5"), Catch::Contains("expected 1"));
  CHECK_THAT(refusal("offline_s = 10\noffline_every_s = 5"), Catch::Contains("offline_s"));
  const auto other = parse_fleet_plan(Json{{"format", "ferry.fleet-plan/2"}});
  REQUIRE_FALSE(other);
  CHECK(other.error().code == Errc::unsupported);
}

TEST_CASE("the entry of a star speaks for every release that has none") {
  const auto plan = read("[[releases]]\nversion = \"*\"\nfails = 1\n[[releases]]\nversion = \"1.0.0\"");
  REQUIRE(plan);
  CHECK(behaviour_of(*plan, "2.0.0").fails == 1);
  CHECK(behaviour_of(*plan, "1.0.0").fails == 0);
}

TEST_CASE("a share of the devices is exactly that share, drawn by seed and version") {
  auto plan = read(
      "devices = 200\n[[releases]]\nversion = \"*\"\nstalls = 0.05\nfails = 0.1\nrejects = 0.15\nrolls_back = "
      "0.2\ngoes_silent = 0.01");
  REQUIRE(plan);
  const auto drawn = draw_outcomes(*plan, "1.0.0");
  CHECK(counted(drawn) == std::map<Outcome, int>{{Outcome::stalls, 10},
                                                 {Outcome::fails, 20},
                                                 {Outcome::rejects, 30},
                                                 {Outcome::rolls_back, 40},
                                                 {Outcome::goes_silent, 2},
                                                 {Outcome::commits, 98}});
  CHECK(drawn == draw_outcomes(*plan, "1.0.0"));
  CHECK(drawn != draw_outcomes(*plan, "1.0.1"));
  plan->seed = 2;
  CHECK(drawn != draw_outcomes(*plan, "1.0.0"));
  const auto places = draw_places(*plan, "anything");
  CHECK(std::set<double>(places.begin(), places.end()).size() == 200);
  CHECK(*std::min_element(places.begin(), places.end()) == 0.5 / 200);
  CHECK(*std::max_element(places.begin(), places.end()) == 199.5 / 200);
}
