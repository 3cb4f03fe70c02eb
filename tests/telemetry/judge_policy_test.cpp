#include "telemetry/judge_policy.hpp"

#include <nlohmann/json.hpp>

using namespace ferry::telemetry;
using ferry::Errc;
using ferry::Json;

namespace {

std::string refusal(const JudgePolicy& policy) {
  const auto result = check_policy(policy);
  return result ? "" : result.error().context;
}

std::string refusal(const Json& object) {
  const auto result = judge_policy_from_json(object);
  if (result) return "";
  CHECK(result.error().code == Errc::bad_input);
  return result.error().context;
}

}  // namespace

TEST_CASE("the default policy is valid and is what an empty document means") {
  CHECK(check_policy({}));
  CHECK(judge_policy_from_json(Json::object()).value() == JudgePolicy{});
}

TEST_CASE("the defaults are the constants of the design") {
  const JudgePolicy policy;
  CHECK(policy.alpha_ppm == 50'000);
  CHECK(policy.p50.margin_uoct == 62'500);  // two buckets: 4.43 %
  CHECK(policy.p50.resolutions == std::vector<std::int64_t>{300, 900, 2'700});
  CHECK(policy.p99.resolutions == std::vector<std::int64_t>{600, 1'800, 3'600});
  CHECK(policy.weights.latency == 3);
  CHECK(policy.weights.silence + policy.weights.errors + policy.weights.accuracy == 3);
  CHECK(policy.pairs_pass_min == 20);
  CHECK(policy.age_pass_min_s == 7'200);
  CHECK(policy.silent_share_max_ppm == 300'000);
}

TEST_CASE("a policy survives its document, whatever its values") {
  JudgePolicy policy;
  policy.alpha_ppm = 10'000;
  policy.p50 = {500'000, {20, 40}, 0, 1, 1};
  policy.p99 = {990'000, {200}, 93'750, 31'250, 400'000};
  policy.errors = {{10}, 0};
  policy.accuracy = {{20, 30, 40}, 50'000};
  policy.accuracy_guarded = true;
  policy.weights = {1, 2, 3, 4};
  policy.pairs_min = 6;
  policy.pairs_pass_min = 8;
  policy.age_pass_min_s = 0;
  policy.age_max_s = 90;
  policy.silent_after_s = 5;
  policy.within_device_margin_uoct = 31'250;
  REQUIRE(check_policy(policy));
  CHECK(judge_policy_from_json(to_json(policy)).value() == policy);
  CHECK(judge_policy_from_json(to_json(JudgePolicy{})).value() == JudgePolicy{});
}

TEST_CASE("a policy that makes no sense is refused with the field") {
  const std::pair<std::string, void (*)(JudgePolicy&)> cases[] = {
      {"alpha_ppm", [](JudgePolicy& p) { p.alpha_ppm = 0; }},
      {"alpha_ppm", [](JudgePolicy& p) { p.alpha_ppm = 500'001; }},
      {"beta_ppm", [](JudgePolicy& p) { p.beta_ppm = -1; }},
      {"p50.quantile_ppm", [](JudgePolicy& p) { p.p50.quantile_ppm = 990'000; }},
      {"p99.quantile_ppm", [](JudgePolicy& p) { p.p99.quantile_ppm = 950'000; }},
      {"p50.resolutions", [](JudgePolicy& p) { p.p50.resolutions = {}; }},
      {"p50.resolutions",
       [](JudgePolicy& p) {
         p.p50.resolutions = {300, 300};
       }},
      {"p50.resolutions", [](JudgePolicy& p) { p.p50.resolutions = {3}; }},
      {"p99.resolutions", [](JudgePolicy& p) { p.p99.resolutions = {199}; }},
      {"p99.resolutions",
       [](JudgePolicy& p) {
         p.p99.resolutions = {600, 500};
       }},
      {"p99.resolutions", [](JudgePolicy& p) { p.p99.resolutions = std::vector<std::int64_t>(9, 1'000); }},
      {"p50.margin_uoct", [](JudgePolicy& p) { p.p50.margin_uoct = -1; }},
      {"p50.hedge_uoct", [](JudgePolicy& p) { p.p50.hedge_uoct = 0; }},
      {"p99.tail_uoct", [](JudgePolicy& p) { p.p99.tail_uoct = 0; }},
      {"errors.resolutions", [](JudgePolicy& p) { p.errors.resolutions = {0}; }},
      {"errors.margin_ppm", [](JudgePolicy& p) { p.errors.margin_ppm = 500'001; }},
      {"accuracy.margin_ppm", [](JudgePolicy& p) { p.accuracy.margin_ppm = -1; }},
      {"weights.latency", [](JudgePolicy& p) { p.weights.latency = 0; }},
      {"weights.silence", [](JudgePolicy& p) { p.weights.silence = 0; }},
      {"weights.errors", [](JudgePolicy& p) { p.weights.errors = -3; }},
      {"weights.accuracy", [](JudgePolicy& p) { p.weights.accuracy = 1'001; }},
      {"pairs_min", [](JudgePolicy& p) { p.pairs_min = 4; }},
      {"pairs_pass_min", [](JudgePolicy& p) { p.pairs_min = 21; }},
      {"age_pass_min_s", [](JudgePolicy& p) { p.age_pass_min_s = -1; }},
      {"age_max_s", [](JudgePolicy& p) { p.age_max_s = p.age_pass_min_s; }},
      {"silent_after_s", [](JudgePolicy& p) { p.silent_after_s = 0; }},
      {"silent_share_max_ppm", [](JudgePolicy& p) { p.silent_share_max_ppm = 1'000'001; }},
      {"world_latency_uoct", [](JudgePolicy& p) { p.world_latency_uoct = 0; }},
      {"world_share_ppm", [](JudgePolicy& p) { p.world_share_ppm = 0; }},
      {"within_device_margin_uoct", [](JudgePolicy& p) { p.within_device_margin_uoct = 31'251; }}};
  for (const auto& [field, spoil] : cases) {
    JudgePolicy policy;
    spoil(policy);
    INFO(field);
    CHECK(refusal(policy).find(field) != std::string::npos);
    CHECK_FALSE(judge_policy_from_json(to_json(policy)));
  }
}

TEST_CASE("a typing error in a policy document is refused, at every level") {
  CHECK(refusal(Json{{"alpa_ppm", 1}}).find("alpa_ppm") != std::string::npos);
  CHECK(refusal(Json{{"p50", {{"margin", 1}}}}).find("margin") != std::string::npos);
  CHECK(refusal(Json{{"errors", {{"margin_uoct", 1}}}}).find("margin_uoct") != std::string::npos);
  CHECK(refusal(Json{{"weights", {{"drift", 1}}}}).find("drift") != std::string::npos);
  CHECK(refusal(Json{{"alpha_ppm", "5%"}}).find("alpha_ppm") != std::string::npos);
  CHECK(refusal(Json{{"alpha_ppm", 0.05}}).find("alpha_ppm") != std::string::npos);
  CHECK(refusal(Json{{"p99", 5}}).find("p99") != std::string::npos);
  CHECK(refusal(Json{{"p99", {{"resolutions", {"many"}}}}}).find("resolutions") != std::string::npos);
  CHECK_FALSE(refusal(Json::array()).empty());
}
