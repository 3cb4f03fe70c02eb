// ferry.verdict/1, written.
#include "telemetry/judge_record.hpp"

#include <nlohmann/json.hpp>

namespace ferry::telemetry {
namespace {

Json json_of(const LatencyComparison& made) {
  return Json{{"quantile_ppm", made.quantile_ppm},
              {"resolution", made.resolution},
              {"canary", {made.canary_before, made.canary_now}},
              {"control", {made.control_before, made.control_now}},
              {"sources_sha256", made.sources_sha256}};
}

Json json_of(const ShareComparison& made) {
  const auto arm = [&](std::int64_t before, std::int64_t now) {
    return Json::array({made.has_baseline ? Json(before) : Json(nullptr), now});
  };
  return Json{{"resolution", made.resolution},
              {"canary", arm(made.canary_before, made.canary_now)},
              {"control", arm(made.control_before, made.control_now)}};
}

Json json_of(const PairEvidence& pair);
Json json_of(const EComponent& part);
Json json_of(const EGroup& group);
Json json_of(const ECertificate& made);

template <class Value>
Json list_of(const std::vector<Value>& values) {
  Json made = Json::array();
  for (const Value& value : values) made.push_back(json_of(value));
  return made;
}

Json json_of(const PairEvidence& pair) {
  Json made{{"canary", pair.canary},
            {"control", pair.control},
            {"stratum", pair.stratum},
            {"started", pair.started},
            {"canary_silent", pair.canary_silent},
            {"control_silent", pair.control_silent},
            {"first_silent", to_string(pair.first_silent)},
            {"latency", list_of(pair.latency)},
            {"errors", list_of(pair.errors)},
            {"accuracy", list_of(pair.accuracy)}};
  if (pair.within)
    made["within_device"] = {{"p50_unats", pair.within->p50_unats}, {"p99_unats", pair.within->p99_unats}};
  return made;
}

Json json_of(const EComponent& part) {
  return Json{{"name", part.name},
              {"weight", part.weight},
              {"up", part.up},
              {"down", part.down},
              {"log_e_unats", part.log_e_unats}};
}

Json json_of(const EGroup& group) {
  return Json{{"name", group.name},
              {"weight", group.weight},
              {"log_e_unats", group.log_e_unats},
              {"parts", list_of(group.parts)}};
}

Json json_of(const ECertificate& made) {
  return Json{{"name", made.name}, {"guarded", made.guarded}, {"log_e_unats", made.log_e_unats}};
}

Json json_of(const Verdict& verdict) {
  Json reasons = Json::array();
  for (const GateReason reason : verdict.reasons) reasons.push_back(to_string(reason));
  const PairCounts& pairs = verdict.pairs;
  return Json{{"decision", to_string(verdict.decision)},
              {"finding", to_string(verdict.finding)},
              {"reasons", reasons},
              {"expired", verdict.expired},
              {"log_e_unats", verdict.log_e_unats},
              {"threshold_unats", verdict.threshold_unats},
              {"groups", list_of(verdict.groups)},
              {"certificates", list_of(verdict.certificates)},
              {"pairs",
               {{"planned", pairs.planned},
                {"started", pairs.started},
                {"complete", pairs.complete},
                {"required", pairs.required},
                {"silent_canaries", pairs.silent_canaries},
                {"silent_controls", pairs.silent_controls}}},
              {"smallest_effect_uoct", verdict.smallest_effect_uoct}};
}

}  // namespace

std::string print_verdict(const VerdictRecord& record) {
  return dump_json(Json{{"format", "ferry.verdict/1"},
                        {"policy", to_json(record.evidence.policy)},
                        {"randomised", record.evidence.randomised},
                        {"age_s", record.evidence.age_s},
                        {"pairs", list_of(record.evidence.pairs)},
                        {"verdict", json_of(record.verdict)}});
}

}  // namespace ferry::telemetry
