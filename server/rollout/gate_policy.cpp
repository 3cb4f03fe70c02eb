// JSON forms of the live gate's policy and pairs.
#include "server/rollout/gate_policy.hpp"

#include "server/rollout/selector.hpp"
#include "telemetry/judge.hpp"

namespace ferry::server {

Result<LiveGatePolicy> parse_live_gate_policy(const Json& value) {
  LiveGatePolicy policy;
  TRY_VOID(only_known_fields(value, {"warm_up_s", "strata", "judge"}));
  TRY(policy.warm_up_s, integer_or(value, "warm_up_s", policy.warm_up_s, 0, warm_up_s_max));
  if (const auto strata = value.find("strata"); strata != value.end() && !strata->is_null()) {
    TRY(auto names, array_at(value, "strata", strata_labels_max));
    for (const Json& name : *names) {
      if (!name.is_string()) return Error{Errc::bad_input, "strata: expected label names"};
      if (auto checked = check_label(name.get<std::string>(), ""); !checked)
        return std::move(checked).error().within("strata");
      policy.strata.push_back(name.get<std::string>());
    }
  }
  if (const auto judge = value.find("judge"); judge != value.end() && !judge->is_null()) {
    auto parsed = telemetry::judge_policy_from_json(*judge);
    if (!parsed) return std::move(parsed).error().within("judge");
    policy.judge = std::move(*parsed);
  }
  return policy;
}

Json to_json(const LiveGatePolicy& policy) {
  return Json{{"warm_up_s", policy.warm_up_s}, {"strata", policy.strata}, {"judge", telemetry::to_json(policy.judge)}};
}

Json to_json(const std::vector<Pair>& pairs) {
  Json list = Json::array();
  for (const Pair& pair : pairs)
    list.push_back(Json{{"canary", pair.canary}, {"control", pair.control}, {"stratum", pair.stratum}});
  return list;
}

Result<std::vector<Pair>> pairs_from_json(const Json& value) {
  std::vector<Pair> pairs;
  if (!value.is_array() || value.size() > telemetry::gate_pairs_max)
    return Error{Errc::bad_input, "pairs: expected a list of at most " + std::to_string(telemetry::gate_pairs_max)};
  for (const Json& item : value) {
    Pair pair;
    TRY(pair.canary, string_at(item, "canary"));
    TRY(pair.control, string_at(item, "control"));
    TRY(pair.stratum, string_at(item, "stratum"));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

std::string_view to_string(Arm arm) {
  switch (arm) {
    case Arm::none:
      return "none";
    case Arm::canary:
      return "canary";
    case Arm::control:
      return "control";
  }
  return "";
}

}  // namespace ferry::server
