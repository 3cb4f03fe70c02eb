#include "telemetry/judge_policy.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ferry::telemetry {
namespace {

constexpr std::int64_t million = 1'000'000;
constexpr std::size_t resolutions_max = 8;
constexpr std::int64_t observations_max = 1'000'000'000;
constexpr std::int64_t seconds_max = 366LL * 24 * 3'600;

Error wrong(std::string_view field, const std::string& found, const std::string& expected) {
  return Error{Errc::bad_input, "live gate policy: " + std::string(field) + ": " + found + ", expected " + expected};
}

Result<> in_range(std::string_view field, std::int64_t value, std::int64_t min, std::int64_t max) {
  if (value >= min && value <= max) return {};
  return wrong(field, std::to_string(value), std::to_string(min) + " to " + std::to_string(max));
}

Result<> check_resolutions(const std::string& field, const std::vector<std::int64_t>& resolutions,
                           std::int64_t smallest) {
  if (resolutions.empty() || resolutions.size() > resolutions_max) {
    return wrong(field, std::to_string(resolutions.size()) + " numbers",
                 "1 to " + std::to_string(resolutions_max) + " rising counts of observations");
  }
  for (std::size_t i = 0; i < resolutions.size(); ++i) {
    TRY_VOID(in_range(field, resolutions[i], i == 0 ? smallest : resolutions[i - 1] + 1, observations_max));
  }
  return {};
}

Result<> check_quantile(const std::string& name, const QuantilePolicy& policy, std::int64_t quantile_ppm) {
  if (policy.quantile_ppm != quantile_ppm)
    return wrong(name + ".quantile_ppm", std::to_string(policy.quantile_ppm), std::to_string(quantile_ppm));
  // Fewer than two observations beyond the quantile make its estimate the maximum, which nobody can compare.
  TRY_VOID(check_resolutions(name + ".resolutions", policy.resolutions, 2 * million / (million - quantile_ppm)));
  TRY_VOID(in_range(name + ".margin_uoct", policy.margin_uoct, 0, 3 * octave_uoct));
  TRY_VOID(in_range(name + ".hedge_uoct", policy.hedge_uoct, 1, octave_uoct));
  return in_range(name + ".tail_uoct", policy.tail_uoct, 1, 3 * octave_uoct);
}

Result<> check_share(const std::string& name, const SharePolicy& policy) {
  TRY_VOID(check_resolutions(name + ".resolutions", policy.resolutions, 1));
  return in_range(name + ".margin_ppm", policy.margin_ppm, 0, million / 2);
}

Result<std::vector<std::int64_t>> resolutions_or(const Json& object, std::vector<std::int64_t> absent) {
  if (!object.contains("resolutions")) return absent;
  TRY(const Json* list, array_at(object, "resolutions", resolutions_max));
  std::vector<std::int64_t> made;
  for (const Json& item : *list) {
    if (!item.is_number_integer()) return Error{Errc::bad_input, "field 'resolutions': expected whole numbers"};
    made.push_back(item.get<std::int64_t>());
  }
  return made;
}

Result<> read_quantile(const Json& policy, std::string_view key, QuantilePolicy& made) {
  if (!policy.contains(key)) return {};
  TRY(const Json* object, object_at(policy, key));
  TRY_VOID(only_known_fields(*object, {"quantile_ppm", "resolutions", "margin_uoct", "hedge_uoct", "tail_uoct"}));
  TRY(made.quantile_ppm, integer_or(*object, "quantile_ppm", made.quantile_ppm));
  TRY(made.resolutions, resolutions_or(*object, made.resolutions));
  TRY(made.margin_uoct, integer_or(*object, "margin_uoct", made.margin_uoct));
  TRY(made.hedge_uoct, integer_or(*object, "hedge_uoct", made.hedge_uoct));
  TRY(made.tail_uoct, integer_or(*object, "tail_uoct", made.tail_uoct));
  return {};
}

Result<> read_share(const Json& policy, std::string_view key, SharePolicy& made) {
  if (!policy.contains(key)) return {};
  TRY(const Json* object, object_at(policy, key));
  TRY_VOID(only_known_fields(*object, {"resolutions", "margin_ppm"}));
  TRY(made.resolutions, resolutions_or(*object, made.resolutions));
  TRY(made.margin_ppm, integer_or(*object, "margin_ppm", made.margin_ppm));
  return {};
}

Result<> read_weights(const Json& policy, JudgeWeights& made) {
  if (!policy.contains("weights")) return {};
  TRY(const Json* object, object_at(policy, "weights"));
  TRY_VOID(only_known_fields(*object, {"latency", "silence", "errors", "accuracy"}));
  TRY(made.latency, integer_or(*object, "latency", made.latency));
  TRY(made.silence, integer_or(*object, "silence", made.silence));
  TRY(made.errors, integer_or(*object, "errors", made.errors));
  TRY(made.accuracy, integer_or(*object, "accuracy", made.accuracy));
  return {};
}

// The whole numbers at the top level, in the record's order.
struct NumberField {
  const char* name;
  std::int64_t JudgePolicy::*member;
  std::int64_t min, max;
};
constexpr NumberField number_fields[] = {
    {"alpha_ppm", &JudgePolicy::alpha_ppm, 1, 500'000},
    {"beta_ppm", &JudgePolicy::beta_ppm, 1, 500'000},
    {"pairs_min", &JudgePolicy::pairs_min, 5, 1'000},
    {"pairs_pass_min", &JudgePolicy::pairs_pass_min, 5, 1'000},
    {"age_pass_min_s", &JudgePolicy::age_pass_min_s, 0, seconds_max},
    {"age_max_s", &JudgePolicy::age_max_s, 1, seconds_max},
    {"silent_after_s", &JudgePolicy::silent_after_s, 1, seconds_max},
    {"silent_share_max_ppm", &JudgePolicy::silent_share_max_ppm, 0, million},
    {"world_latency_uoct", &JudgePolicy::world_latency_uoct, 1, 20 * octave_uoct},
    {"world_share_ppm", &JudgePolicy::world_share_ppm, 1, million},
    {"within_device_margin_uoct", &JudgePolicy::within_device_margin_uoct, 0, 3 * octave_uoct},
};

Json quantile_json(const QuantilePolicy& policy) {
  return Json{{"quantile_ppm", policy.quantile_ppm},
              {"resolutions", policy.resolutions},
              {"margin_uoct", policy.margin_uoct},
              {"hedge_uoct", policy.hedge_uoct},
              {"tail_uoct", policy.tail_uoct}};
}

}  // namespace

Result<> check_policy(const JudgePolicy& policy) {
  for (const NumberField& field : number_fields)
    TRY_VOID(in_range(field.name, policy.*field.member, field.min, field.max));
  TRY_VOID(check_quantile("p50", policy.p50, 500'000));
  TRY_VOID(check_quantile("p99", policy.p99, 990'000));
  TRY_VOID(check_share("errors", policy.errors));
  TRY_VOID(check_share("accuracy", policy.accuracy));
  for (const auto& [name, weight] : {std::pair{"latency", policy.weights.latency},
                                     {"silence", policy.weights.silence},
                                     {"errors", policy.weights.errors},
                                     {"accuracy", policy.weights.accuracy}}) {
    TRY_VOID(in_range(std::string("weights.") + name, weight, 1, 1'000));
  }
  if (policy.pairs_pass_min < policy.pairs_min)
    return wrong("pairs_pass_min", std::to_string(policy.pairs_pass_min), "at least pairs_min");
  if (policy.age_max_s <= policy.age_pass_min_s)
    return wrong("age_max_s", std::to_string(policy.age_max_s), "more than age_pass_min_s, or nothing could ever pass");
  if (policy.within_device_margin_uoct % bucket_uoct != 0)
    return wrong("within_device_margin_uoct", std::to_string(policy.within_device_margin_uoct),
                 "whole buckets of 31250");
  return {};
}

Result<JudgePolicy> judge_policy_from_json(const Json& object) {
  TRY_VOID(only_known_fields(
      object, {"alpha_ppm", "beta_ppm", "p50", "p99", "errors", "accuracy", "accuracy_guarded", "weights", "pairs_min",
               "pairs_pass_min", "age_pass_min_s", "age_max_s", "silent_after_s", "silent_share_max_ppm",
               "world_latency_uoct", "world_share_ppm", "within_device_margin_uoct"}));
  JudgePolicy policy;
  for (const NumberField& field : number_fields) {
    TRY(policy.*field.member, integer_or(object, field.name, policy.*field.member, field.min, field.max));
  }
  TRY_VOID(read_quantile(object, "p50", policy.p50));
  TRY_VOID(read_quantile(object, "p99", policy.p99));
  TRY_VOID(read_share(object, "errors", policy.errors));
  TRY_VOID(read_share(object, "accuracy", policy.accuracy));
  TRY(policy.accuracy_guarded, bool_or(object, "accuracy_guarded", policy.accuracy_guarded));
  TRY_VOID(read_weights(object, policy.weights));
  TRY_VOID(check_policy(policy));
  return policy;
}

Json to_json(const JudgePolicy& policy) {
  Json made;
  for (const NumberField& field : number_fields) made[field.name] = policy.*field.member;
  made["p50"] = quantile_json(policy.p50);
  made["p99"] = quantile_json(policy.p99);
  made["errors"] = {{"resolutions", policy.errors.resolutions}, {"margin_ppm", policy.errors.margin_ppm}};
  made["accuracy"] = {{"resolutions", policy.accuracy.resolutions}, {"margin_ppm", policy.accuracy.margin_ppm}};
  made["accuracy_guarded"] = policy.accuracy_guarded;
  made["weights"] = {{"latency", policy.weights.latency},
                     {"silence", policy.weights.silence},
                     {"errors", policy.weights.errors},
                     {"accuracy", policy.weights.accuracy}};
  return made;
}

}  // namespace ferry::telemetry
