#include "telemetry/judge_record.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

namespace ferry::telemetry {
namespace {

constexpr std::int64_t million = 1'000'000;
constexpr std::int64_t uoct_limit = 64 * octave_uoct;
constexpr std::size_t name_bytes_max = 512;
constexpr std::size_t parts_max = 64;

Error wrong(const std::string& what) { return Error{Errc::bad_input, "verdict: " + what}; }

// An enumeration by its printed name; `last` is its last value.
template <class Enum, class Name>
Result<Enum> parse_enum(const std::string& field, const std::string& text, Enum last, Name name) {
  for (int i = 0; i <= int(last); ++i) {
    if (name(Enum(i)) == text) return Enum(i);
  }
  return wrong(field + ": unknown value '" + text.substr(0, 40) + "'");
}

bool known(const std::vector<std::int64_t>& resolutions, std::int64_t resolution) {
  return std::find(resolutions.begin(), resolutions.end(), resolution) != resolutions.end();
}

Result<> check_latency(const PairEvidence& pair, const JudgePolicy& policy) {
  std::pair<std::int64_t, std::int64_t> last{0, 0};
  for (const LatencyComparison& made : pair.latency) {
    const std::pair place{made.quantile_ppm, made.resolution};
    if (place <= last) return wrong("pairs[].latency: must rise by quantile and resolution, each once");
    last = place;
    const bool median = made.quantile_ppm == policy.p50.quantile_ppm;
    if (!median && made.quantile_ppm != policy.p99.quantile_ppm)
      return wrong("pairs[].latency.quantile_ppm: " + std::to_string(made.quantile_ppm) + " is not in the policy");
    if (!known((median ? policy.p50 : policy.p99).resolutions, made.resolution))
      return wrong("pairs[].latency.resolution: " + std::to_string(made.resolution) + " is not in the policy");
    for (const std::int64_t value : {made.canary_before, made.canary_now, made.control_before, made.control_now}) {
      if (value < -uoct_limit || value > uoct_limit) return wrong("pairs[].latency: a value beyond 64 octaves");
    }
  }
  return {};
}

Result<> check_shares(const std::string& field, const std::vector<ShareComparison>& list, const SharePolicy& policy) {
  std::int64_t last = 0;
  for (const ShareComparison& made : list) {
    if (made.resolution <= last || !known(policy.resolutions, made.resolution))
      return wrong("pairs[]." + field + ".resolution: must rise and be in the policy");
    last = made.resolution;
    for (const std::int64_t value : {made.canary_before, made.canary_now, made.control_before, made.control_now}) {
      if (value < 0 || value > million) return wrong("pairs[]." + field + ": expected shares of 0 to 1000000 ppm");
    }
    if (!made.has_baseline && (made.canary_before != 0 || made.control_before != 0))
      return wrong("pairs[]." + field + ": a baseline that is marked absent must be 0");
  }
  return {};
}

// Two whole numbers, before and now; before may be null where a baseline is missing.
struct Arm {
  std::optional<std::int64_t> before;
  std::int64_t now = 0;
};
Result<Arm> arm_at(const Json& object, std::string_view key) {
  TRY(const Json* list, array_at(object, key, 2));
  const bool right =
      list->size() == 2 && ((*list)[0].is_null() || (*list)[0].is_number_integer()) && (*list)[1].is_number_integer();
  if (!right) return wrong(std::string(key) + ": expected [before, now] in whole numbers");
  Arm arm;
  if (!(*list)[0].is_null()) arm.before = (*list)[0].get<std::int64_t>();
  arm.now = (*list)[1].get<std::int64_t>();
  return arm;
}

Result<LatencyComparison> parse_latency(const Json& object) {
  LatencyComparison made;
  TRY(made.quantile_ppm, integer_at(object, "quantile_ppm"));
  TRY(made.resolution, integer_at(object, "resolution"));
  TRY(const Arm canary, arm_at(object, "canary"));
  TRY(const Arm control, arm_at(object, "control"));
  if (!canary.before || !control.before) return wrong("pairs[].latency: a comparison without a baseline");
  made.canary_before = *canary.before;
  made.canary_now = canary.now;
  made.control_before = *control.before;
  made.control_now = control.now;
  TRY(made.sources_sha256, string_at(object, "sources_sha256", 64));
  return made;
}

Result<ShareComparison> parse_share(const Json& object) {
  ShareComparison made;
  TRY(made.resolution, integer_at(object, "resolution"));
  TRY(const Arm canary, arm_at(object, "canary"));
  TRY(const Arm control, arm_at(object, "control"));
  made.has_baseline = canary.before.has_value();
  if (made.has_baseline != control.before.has_value()) return wrong("pairs[]: one arm with a baseline, one without");
  made.canary_before = canary.before.value_or(0);
  made.canary_now = canary.now;
  made.control_before = control.before.value_or(0);
  made.control_now = control.now;
  return made;
}

// A list of objects, each read by `parse`.
template <class Value>
Result<std::vector<Value>> parse_list(const Json& object, std::string_view key, std::size_t items_max,
                                      Result<Value> (*parse)(const Json&)) {
  TRY(const Json* list, array_at(object, key, items_max));
  std::vector<Value> made;
  for (const Json& item : *list) {
    TRY(Value value, parse(item));
    made.push_back(std::move(value));
  }
  return made;
}

Result<PairEvidence> parse_pair(const Json& object) {
  PairEvidence pair;
  TRY(pair.canary, string_at(object, "canary", name_bytes_max));
  TRY(pair.control, string_at(object, "control", name_bytes_max));
  TRY(pair.stratum, string_at(object, "stratum", name_bytes_max));
  TRY(pair.started, bool_at(object, "started"));
  TRY(pair.canary_silent, bool_at(object, "canary_silent"));
  TRY(pair.control_silent, bool_at(object, "control_silent"));
  TRY(const std::string first, string_at(object, "first_silent", name_bytes_max));
  TRY(pair.first_silent,
      parse_enum("first_silent", first, FirstSilent::both, [](FirstSilent value) { return to_string(value); }));
  TRY(pair.latency, parse_list<LatencyComparison>(object, "latency", parts_max, parse_latency));
  TRY(pair.errors, parse_list<ShareComparison>(object, "errors", parts_max, parse_share));
  TRY(pair.accuracy, parse_list<ShareComparison>(object, "accuracy", parts_max, parse_share));
  if (object.contains("within_device")) {
    TRY(const Json* within, object_at(object, "within_device"));
    WithinDevice made;
    TRY(made.p50_unats, integer_at(*within, "p50_unats"));
    TRY(made.p99_unats, integer_at(*within, "p99_unats"));
    pair.within = made;
  }
  return pair;
}

Result<EComponent> parse_component(const Json& object) {
  EComponent made;
  TRY(made.name, string_at(object, "name", name_bytes_max));
  TRY(made.weight, integer_at(object, "weight"));
  TRY(made.up, integer_at(object, "up"));
  TRY(made.down, integer_at(object, "down"));
  TRY(made.log_e_unats, integer_at(object, "log_e_unats"));
  return made;
}

Result<EGroup> parse_group(const Json& object) {
  EGroup made;
  TRY(made.name, string_at(object, "name", name_bytes_max));
  TRY(made.weight, integer_at(object, "weight"));
  TRY(made.log_e_unats, integer_at(object, "log_e_unats"));
  TRY(made.parts, parse_list<EComponent>(object, "parts", parts_max, parse_component));
  return made;
}

Result<ECertificate> parse_certificate(const Json& object) {
  ECertificate made;
  TRY(made.name, string_at(object, "name", name_bytes_max));
  TRY(made.guarded, bool_at(object, "guarded"));
  TRY(made.log_e_unats, integer_at(object, "log_e_unats"));
  return made;
}

Result<PairCounts> parse_counts(const Json& object) {
  PairCounts made;
  TRY(made.planned, integer_at(object, "planned"));
  TRY(made.started, integer_at(object, "started"));
  TRY(made.complete, integer_at(object, "complete"));
  TRY(made.required, integer_at(object, "required"));
  TRY(made.silent_canaries, integer_at(object, "silent_canaries"));
  TRY(made.silent_controls, integer_at(object, "silent_controls"));
  return made;
}

Result<Verdict> parse_outcome(const Json& object) {
  using Name = std::string_view (*)(GateReason);
  Verdict verdict;
  TRY(const std::string decision, string_at(object, "decision", name_bytes_max));
  TRY(verdict.decision,
      parse_enum("decision", decision, Decision::hold, [](Decision value) { return to_string(value); }));
  TRY(const std::string finding, string_at(object, "finding", name_bytes_max));
  TRY(verdict.finding,
      parse_enum("finding", finding, Finding::too_early, [](Finding value) { return to_string(value); }));
  TRY(const Json* reasons, array_at(object, "reasons", parts_max));
  for (const Json& reason : *reasons) {
    const std::string text = reason.is_string() ? reason.get<std::string>() : std::string("(not a string)");
    TRY(const GateReason made, parse_enum("reasons", text, GateReason::no_harm_found, Name(to_string)));
    verdict.reasons.push_back(made);
  }
  TRY(verdict.expired, bool_at(object, "expired"));
  TRY(verdict.log_e_unats, integer_at(object, "log_e_unats"));
  TRY(verdict.threshold_unats, integer_at(object, "threshold_unats"));
  TRY(verdict.groups, parse_list<EGroup>(object, "groups", parts_max, parse_group));
  TRY(verdict.certificates, parse_list<ECertificate>(object, "certificates", parts_max, parse_certificate));
  TRY(const Json* pairs, object_at(object, "pairs"));
  TRY(verdict.pairs, parse_counts(*pairs));
  TRY(verdict.smallest_effect_uoct, integer_at(object, "smallest_effect_uoct"));
  return verdict;
}

}  // namespace

Result<> check_evidence(const GateEvidence& evidence) {
  TRY_VOID(check_policy(evidence.policy));
  if (evidence.age_s < 0) return wrong("age_s: " + std::to_string(evidence.age_s) + ", expected at least 0");
  if (evidence.pairs.size() > gate_pairs_max)
    return wrong("pairs: " + std::to_string(evidence.pairs.size()) + ", at most " + std::to_string(gate_pairs_max));
  std::set<std::string_view> devices;
  for (const PairEvidence& pair : evidence.pairs) {
    for (const std::string& device : {std::cref(pair.canary), std::cref(pair.control)}) {
      if (!devices.insert(device).second) return wrong("pairs: device '" + device.substr(0, 80) + "' is in two pairs");
    }
    TRY_VOID(check_latency(pair, evidence.policy));
    TRY_VOID(check_shares("errors", pair.errors, evidence.policy.errors));
    TRY_VOID(check_shares("accuracy", pair.accuracy, evidence.policy.accuracy));
  }
  return {};
}

Result<VerdictRecord> parse_verdict(std::string_view bytes) {
  TRY(const Json document, parse_json(bytes, {.bytes_max = verdict_bytes_max, .floats = false}));
  TRY(const std::string format, string_at(document, "format"));
  if (format != "ferry.verdict/1")
    return Error{Errc::unsupported, "verdict: format '" + format.substr(0, 40) + "', expected ferry.verdict/1"};
  VerdictRecord record;
  TRY(const Json* policy, object_at(document, "policy"));
  TRY(record.evidence.policy, judge_policy_from_json(*policy));
  TRY(record.evidence.randomised, bool_at(document, "randomised"));
  TRY(record.evidence.age_s, integer_at(document, "age_s"));
  TRY(record.evidence.pairs, parse_list<PairEvidence>(document, "pairs", gate_pairs_max, parse_pair));
  TRY_VOID(check_evidence(record.evidence));
  TRY(const Json* verdict, object_at(document, "verdict"));
  TRY(record.verdict, parse_outcome(*verdict));
  return record;
}

Verdict recompute(const VerdictRecord& record) { return judge(record.evidence); }

}  // namespace ferry::telemetry
