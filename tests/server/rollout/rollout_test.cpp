#include "server/rollout/rollout.hpp"

#include "tests/server/rollout/rollout_fixture.hpp"

#include <nlohmann/json.hpp>
#include <set>

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

TEST_CASE("every state has a name that reads back") {
  for (int i = 0; i < 5; ++i) {
    const auto status = static_cast<RolloutStatus>(i);
    CHECK(*parse_rollout_status(to_string(status)) == status);
  }
  for (std::size_t i = 0; i < progress_count; ++i) {
    const auto progress = static_cast<Progress>(i);
    CHECK(*parse_progress(to_string(progress)) == progress);
    CHECK_FALSE((on_the_way(progress) && counts_as_failed(progress)));
  }
  CHECK_THAT(parse_rollout_status("finished").error().context, Catch::Contains("running | paused | done"));
  CHECK(parse_progress("gone").error().code == Errc::bad_input);
}

TEST_CASE("plan and head survive being stored") {
  RolloutPlan plan = make_plan("ro-7", "1.3.0", phases({{10, 60}, {100, 0}}, 2), "label.site=oslo,label.kind=camera");
  plan.from_version = "1.1.0";
  const auto plan_back = rollout_plan_from_json(*parse_json(dump_json(to_json(plan))));
  REQUIRE(plan_back);
  CHECK(to_json(*plan_back) == to_json(plan));
  CHECK(plan_back->policy == plan.policy);
  CHECK(plan_back->selector.text() == plan.selector.text());
  RolloutHead head{RolloutStatus::failed, "rollout.failures", 5, 1, 10, 20, ~std::uint64_t{0}, true, 30};
  CHECK(*rollout_head_from_json(*parse_json(dump_json(to_json(head)))) == head);
  CHECK(*rollout_head_from_json(to_json(RolloutHead{})) == RolloutHead{});
}

TEST_CASE("a stored head or plan that is damaged is refused, not half read") {
  const Json head = to_json(RolloutHead{});
  const std::set<std::string> newer{"gate_passed", "gate_reason", "recalled", "pairs"};  // older servers wrote none
  for (const auto& [key, ignored] : head.items()) {
    if (newer.contains(key)) continue;
    Json damaged = head;
    damaged.erase(key);
    INFO(key);
    CHECK_FALSE(rollout_head_from_json(damaged));
  }
  const Json plan = to_json(make_plan("ro-1", "1.0.0"));
  for (const auto& [key, ignored] : plan.items()) {
    if (newer.contains(key)) continue;
    Json damaged = plan;
    damaged.erase(key);
    INFO(key);
    CHECK_FALSE(rollout_plan_from_json(damaged));
  }
}
