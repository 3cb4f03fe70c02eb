#include "server/rollout/rollout_policy.hpp"

#include "tests/server/rollout/rollout_fixture.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

std::string refusal(const std::string& policy) {
  auto parsed = parse_rollout_policy(*parse_json(policy));
  if (parsed) return "accepted";
  CHECK(parsed.error().code == Errc::bad_input);
  return parsed.error().context;
}

}  // namespace

TEST_CASE("a rollout policy has defaults for everything") {
  CHECK(*parse_rollout_policy(Json()) == RolloutPolicy{});
  CHECK(*parse_rollout_policy(Json::object()) == RolloutPolicy{});
  const RolloutPolicy policy;
  CHECK(policy.phases == std::vector<Phase>{{100, 0}});
  CHECK(policy.failures_max == 0);
  CHECK(policy.device_timeout_s == 900);
  const auto some = parse_rollout_policy(*parse_json(R"({"trial": {"shadow_requests": 5}, "phases": null})"));
  REQUIRE(some);
  CHECK(some->trial.shadow_requests == 5);
  CHECK(some->trial.trial_deadline_s == ota::TrialPolicy{}.trial_deadline_s);
}

TEST_CASE("a rollout policy is read and printed back") {
  const std::string text =
      R"({"phases": [{"percent": 1, "soak_s": 3600}, {"percent": 50}, {"percent": 100}], "failures_max": 3, "device_timeout_s": 60,
          "trial": {"trial_deadline_s": 100, "download_attempts_max": 2}})";
  const auto policy = parse_rollout_policy(*parse_json(text));
  REQUIRE(policy);
  CHECK(policy->phases == std::vector<Phase>{{1, 3600}, {50, 0}, {100, 0}});
  CHECK(*parse_rollout_policy(to_json(*policy)) == *policy);
}

TEST_CASE("a bad rollout policy is refused with the name of the field") {
  CHECK_THAT(refusal("[]"), Catch::Contains("policy"));
  CHECK_THAT(refusal(R"({"phases": []})"), Catch::Contains("phases"));
  CHECK_THAT(refusal(R"({"phases": {}})"), Catch::Contains("phases"));
  CHECK_THAT(refusal(R"({"phases": [{"percent": 50}]})"), Catch::Contains("last percent must be 100"));
  CHECK_THAT(refusal(R"({"phases": [{"percent": 0}, {"percent": 100}]})"),
             Catch::Contains("phases[0]: field 'percent'"));
  CHECK_THAT(refusal(R"({"phases": [{"percent": 101}]})"), Catch::Contains("phases[0]: field 'percent'"));
  CHECK_THAT(refusal(R"({"phases": [{"percent": 50}, {"percent": 50}, {"percent": 100}]})"),
             Catch::Contains("phases[1]: percent: found 50, expected more than the phase before (50)"));
  CHECK_THAT(refusal(R"({"phases": [{"percent": 100, "soak_s": -1}]})"), Catch::Contains("phases[0]: field 'soak_s'"));
  CHECK_THAT(refusal(R"({"phases": [{"percent": 100, "soak": 1}]})"), Catch::Contains("soak_s"));
  CHECK_THAT(refusal(R"({"phases": [7]})"), Catch::Contains("phases[0]"));
  CHECK_THAT(refusal(R"({"failures_max": -1})"), Catch::Contains("policy: field 'failures_max'"));
  CHECK_THAT(refusal(R"({"failures_max": "none"})"), Catch::Contains("policy: field 'failures_max'"));
  CHECK_THAT(refusal(R"({"device_timeout_s": 0})"), Catch::Contains("policy: field 'device_timeout_s'"));
  CHECK_THAT(refusal(R"({"device_timout_s": 5})"), Catch::Contains("device_timeout_s"));
  CHECK_THAT(refusal(R"({"trial": 5})"), Catch::Contains("policy: trial"));
  CHECK_THAT(refusal(R"({"trial": {"shadow": 5}})"), Catch::Contains("shadow"));
  CHECK_THAT(refusal(R"({"trial": {"error_share_max_ppm": 2000000}})"), Catch::Contains("error_share_max_ppm"));
  std::string many = R"({"phases": [)";
  for (int percent = 1; percent <= 30; ++percent) many += fmt::format(R"({{"percent": {}}},)", percent);
  CHECK_THAT(refusal(many + R"({"percent": 100}]})"), Catch::Contains("phases"));
}

TEST_CASE("a policy with everything in it is read and printed back") {
  const std::string text =
      R"({"phases": [{"selector": "label.ring=early", "soak_s": 60}, {"devices": 5}, {"percent": 30}, {"devices": 50}, {"percent": 100}],
          "failures_percent_max": 10, "executed_min": 20, "success_percent_min": 90, "in_flight_max": 8,
          "site_budget": {"label": "site", "devices_max": 2}, "window": {"days": ["sat"], "from": "22:00", "to": "04:00"},
          "penalty": {"failures": 2, "within_s": 3600}, "starts_at": "2026-11-26T02:00:00Z", "approvals": 2})";
  const auto policy = parse_rollout_policy(*parse_json(text));
  REQUIRE(policy);
  CHECK(policy->phases[0].selector->text() == "label.ring=early");
  CHECK(policy->phases[1].devices == 5);
  CHECK(policy->failures_max == failures_max_max);  // the share decides
  CHECK(policy->executed_min == 20);
  CHECK(policy->site_budget == SiteBudget{"site", 2});
  CHECK(policy->penalty == Penalty{2, 3600});
  CHECK(policy->starts_ms == to_unix_ms(*from_rfc3339("2026-11-26T02:00:00Z")));
  CHECK(policy->approvals == 2);
  CHECK(policy->throttled());
  CHECK(policy->trial.window == policy->window);  // the device keeps to it as well
  CHECK(policy->patience_ms() == (900 + 7 * 86'400) * 1000LL);
  CHECK(*parse_rollout_policy(to_json(*policy)) == *policy);
  const auto both = parse_rollout_policy(*parse_json(R"({"failures_percent_max": 10, "failures_max": 3})"));
  CHECK(both->failures_max == 3);
  CHECK_FALSE(RolloutPolicy{}.throttled());
  CHECK(RolloutPolicy{}.patience_ms() == 900'000);
}

TEST_CASE("phases, limits and people that make no sense are refused with the name of the field") {
  CHECK_THAT(refusal(R"({"phases": [{"percent": 10, "devices": 5}, {"percent": 100}]})"),
             Catch::Contains("phases[0]: expected one of percent, devices and selector"));
  CHECK_THAT(refusal(R"({"phases": [{"soak_s": 5}, {"percent": 100}]})"),
             Catch::Contains("phases[0]: expected one of"));
  CHECK_THAT(refusal(R"({"phases": [{"devices": 5}, {"devices": 5}, {"percent": 100}]})"),
             Catch::Contains("phases[1]: devices: found 5, expected more than the phase before (5)"));
  CHECK_THAT(refusal(R"({"phases": [{"devices": 0}, {"percent": 100}]})"),
             Catch::Contains("phases[0]: field 'devices'"));
  CHECK_THAT(refusal(R"({"phases": [{"selector": "*"}, {"percent": 100}]})"), Catch::Contains("percent = 100"));
  CHECK_THAT(refusal(R"({"phases": [{"selector": "ring=early"}, {"percent": 100}]})"),
             Catch::Contains("phases[0]: selector"));
  CHECK_THAT(refusal(R"({"phases": [{"percent": 100}, {"devices": 5}]})"), Catch::Contains("phases[1]: comes after"));
  CHECK_THAT(refusal(R"({"phases": [{"devices": 5}]})"), Catch::Contains("the last percent must be 100"));
  CHECK_THAT(refusal(R"({"failures_percent_max": 100})"), Catch::Contains("failures_percent_max"));
  CHECK_THAT(refusal(R"({"executed_min": 0})"), Catch::Contains("executed_min"));
  CHECK_THAT(refusal(R"({"success_percent_min": 101})"), Catch::Contains("success_percent_min"));
  CHECK_THAT(refusal(R"({"in_flight_max": -1})"), Catch::Contains("in_flight_max"));
  CHECK_THAT(refusal(R"({"site_budget": {"devices_max": 1}})"), Catch::Contains("site_budget: field 'label'"));
  CHECK_THAT(refusal(R"({"site_budget": {"label": "Site!"}})"), Catch::Contains("site_budget: label"));
  CHECK_THAT(refusal(R"({"site_budget": {"label": "site", "devices_max": 0}})"), Catch::Contains("devices_max"));
  CHECK_THAT(refusal(R"({"site_budget": "site"})"), Catch::Contains("site_budget: expected an object"));
  CHECK_THAT(refusal(R"({"window": {"from": "1", "to": "05:00"}})"), Catch::Contains("policy: window: from"));
  CHECK_THAT(refusal(R"({"penalty": {"failures": 0}})"), Catch::Contains("penalty"));
  CHECK_THAT(refusal(R"({"starts_at": "tomorrow"})"), Catch::Contains("policy: starts_at"));
  CHECK_THAT(refusal(R"({"approvals": 11})"), Catch::Contains("approvals"));
  CHECK_THAT(refusal(R"({"trial": {"window": {"from": "01:00", "to": "02:00"}}})"), Catch::Contains("window"));
}

TEST_CASE("a live gate's canaries are a share of at most half, a number, or those of a label, chosen by hand") {
  const auto gated = [](const char* first) {
    return parse_rollout_policy(
        *parse_json(std::string(R"({"gate": {}, "phases": [)") + first + R"(, {"percent": 100}]})"));
  };
  CHECK_FALSE(gated(R"({"percent": 50})")->hand_picked());
  CHECK_FALSE(gated(R"({"devices": 7})")->hand_picked());
  CHECK(gated(R"({"selector": "label.ring=early"})")->hand_picked());
  CHECK_THAT(gated(R"({"percent": 51})").error().context, Catch::Contains("every canary needs a control"));
  CHECK_THAT(refusal(R"({"gate": {}})"), Catch::Contains("at least two"));
}

TEST_CASE("a phase says how large it is") {
  CHECK(describe(Phase{10, 0}) == "10 %");
  CHECK(describe(Phase{.devices = 1}) == "1 device");
  CHECK(describe(Phase{.devices = 5}) == "5 devices");
  CHECK(describe(Phase{.selector = *Selector::parse("label.ring=early")}) == "label.ring=early");
}
