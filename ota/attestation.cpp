// The gate's decision: may this manifest run on this hardware class, by the attestations that came with it?
#include "ota/attestation.hpp"

#include "common/json.hpp"
#include "ota/metadata.hpp"

#include <map>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

namespace ferry::ota {
namespace {

constexpr std::int64_t age_days_max = 36'500;

Error bad(std::string what) { return Error{Errc::bad_input, std::move(what)}; }

struct TestResult {
  std::string result;
  std::vector<std::string> passed, warned, failed;
};

struct Report {
  std::string verdict;
  std::string hardware_class;  // "" when it does not say
  Instant finished;
  std::string json;
};

// One line of the file that a trusted key signed and that speaks of a manifest.
struct Evidence {
  std::vector<std::size_t> signers;  // indices into the policy's keys
  Statement statement;
};

Result<std::vector<std::string>> names_at(const Json& object, std::string_view key) {
  std::vector<std::string> names;
  if (!object.contains(key)) return names;
  TRY(const Json* array, array_at(object, key, check_names_max));
  for (const auto& name : *array) {
    if (!name.is_string() || name.get_ref<const std::string&>().size() > check_name_bytes_max)
      return bad(std::string(key) + ": expected check names");
    names.push_back(name.get<std::string>());
  }
  return names;
}

Result<TestResult> parse_test_result(const std::string& predicate) {
  JsonLimits limits{.bytes_max = attestations_bytes_max};
  TRY(auto json, parse_json(predicate, limits));
  TestResult test;
  TRY(test.result, string_at(json, "result", 32));
  if (test.result != "PASSED" && test.result != "WARNED" && test.result != "FAILED")
    return bad("result: found \"" + test.result + "\", expected PASSED, WARNED or FAILED");
  TRY(test.passed, names_at(json, "passedTests"));
  TRY(test.warned, names_at(json, "warnedTests"));
  TRY(test.failed, names_at(json, "failedTests"));
  return test;
}

Result<Report> parse_report(const std::string& predicate) {
  JsonLimits limits{.bytes_max = attestations_bytes_max};
  TRY(auto json, parse_json(predicate, limits));
  TRY(auto format, string_at(json, "format", 64));
  if (format != "ferry.gate-report/1") return Error{Errc::unsupported, "format: expected ferry.gate-report/1"};
  Report report{.verdict = {}, .hardware_class = {}, .finished = {}, .json = predicate};
  if (const auto hardware = object_at(json, "hardware")) {
    TRY(report.hardware_class, string_or(**hardware, "hardware_class", "", check_name_bytes_max));
  }
  TRY(report.verdict, string_at(json, "verdict", 16));
  TRY(auto finished, string_at(json, "finishedOn", 64));
  auto instant = from_rfc3339(finished);
  if (!instant) return std::move(instant).error().within("finishedOn");
  report.finished = *instant;
  return report;
}

struct Collected {
  std::vector<Evidence> evidence;
  bool untrusted_signature = false;  // some well-formed envelope was signed by nobody we trust
};

// Lines that are not a trusted envelope with a statement are ignored (in-toto bundles: unknown lines are).
Result<Collected> collect(std::string_view attestations, std::span<const PublicKey> keys) {
  if (attestations.size() > attestations_bytes_max)
    return Error{Errc::bad_input,
                 "attestations: " + std::to_string(attestations.size()) + " bytes, at most " +
                     std::to_string(attestations_bytes_max),
                 "trust.attestation_invalid"};
  Collected collected;
  std::size_t lines = 0;
  for (std::size_t start = 0; start < attestations.size();) {
    auto end = std::min(attestations.find('\n', start), attestations.size());
    auto line = attestations.substr(start, end - start);
    start = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (++lines > attestation_lines_max)
      return Error{Errc::bad_input, "attestations: more than " + std::to_string(attestation_lines_max) + " lines",
                   "trust.attestation_invalid"};
    auto envelope = parse_envelope(line);
    if (!envelope) continue;
    auto signers = keys_that_signed(*envelope, keys);
    if (signers.empty()) {
      collected.untrusted_signature = true;
      continue;
    }
    if (envelope->payload_type != in_toto_payload_type) continue;
    auto statement = parse_statement(envelope->payload);
    if (!statement) continue;
    collected.evidence.push_back({std::move(signers), std::move(*statement)});
  }
  return collected;
}

bool only_subject(const Statement& statement, const Digest& manifest) {
  return statement.subjects.size() == 1 && statement.subjects[0].sha256 == manifest;
}

// "<metric>@<class>/<variant>"
struct CheckName {
  std::string_view metric, hardware_class, variant;
};
std::optional<CheckName> split_check(std::string_view name) {
  auto sign = name.find('@');
  auto slash = name.rfind('/');
  if (sign == std::string_view::npos || slash == std::string_view::npos || slash < sign) return std::nullopt;
  return CheckName{name.substr(0, sign), name.substr(sign + 1, slash - sign - 1), name.substr(slash + 1)};
}

struct Place {
  std::string hardware_class, variant;
};

// Where (class and variant) every required check is among `names`; "*" as a class covers every class.
std::optional<Place> place_passed(const std::vector<std::string>& names, const GateQuestion& question) {
  std::map<std::pair<std::string, std::string>, std::set<std::string>> metrics;  // (variant, class) -> metrics
  for (const auto& name : names) {
    auto check = split_check(name);
    if (!check) continue;
    bool class_fits = question.hardware_class.empty() || check->hardware_class == "*" ||
                      check->hardware_class == question.hardware_class;
    if (!class_fits || (!question.variant.empty() && check->variant != question.variant)) continue;
    metrics[{std::string(check->variant), std::string(check->hardware_class)}].insert(std::string(check->metric));
  }
  for (const auto& [place, passed] : metrics) {
    auto everywhere = metrics.find({place.first, "*"});
    bool all = std::all_of(question.required_checks.begin(), question.required_checks.end(), [&](const auto& required) {
      return passed.contains(required) || (everywhere != metrics.end() && everywhere->second.contains(required));
    });
    if (all) return Place{place.second, place.first};
  }
  return std::nullopt;
}

std::string describe_missing(const std::vector<std::string>& names, const GateQuestion& question) {
  for (const auto& required : question.required_checks) {
    bool there = std::any_of(names.begin(), names.end(), [&](const auto& name) {
      auto check = split_check(name);
      return check && check->metric == required &&
             (question.hardware_class.empty() || check->hardware_class == question.hardware_class ||
              check->hardware_class == "*") &&
             (question.variant.empty() || check->variant == question.variant);
    });
    if (!there)
      return required + "@" + (question.hardware_class.empty() ? "<any class>" : question.hardware_class) + "/" +
             (question.variant.empty() ? "<any variant>" : question.variant);
  }
  return "one class and variant with every required check";
}

// The refusal that tells a person most: what a trusted gate said against it before what nobody said for it.
class Refusal {
 public:
  void consider(int weight, Error error) {
    if (weight <= weight_) return;
    weight_ = weight;
    error_ = std::move(error);
  }
  Error take() && { return std::move(error_); }

 private:
  int weight_ = 0;
  Error error_{
      Errc::gate_failed,
      "attestations: none by a trusted gate key names this manifest; run ferry gate run and publish its report",
      "trust.attestation_missing"};
};

// Everything one key said about the manifest.
struct Testimony {
  std::optional<TestResult> test;
  std::optional<Place> place;
  std::vector<Report> reports;  // of any hardware class

  // The newest report about the place that passed: what was measured on another class says nothing there.
  const Report* report() const {
    const Report* newest = nullptr;
    for (const Report& one : reports) {
      const bool fits =
          place->hardware_class == "*" || one.hardware_class.empty() || one.hardware_class == place->hardware_class;
      if (fits && (!newest || newest->finished < one.finished)) newest = &one;
    }
    return newest;
  }
};

void weigh_test(const Statement& statement, const GateQuestion& question, Testimony& testimony, Refusal& refusal) {
  auto test = parse_test_result(statement.predicate_json);
  if (!test) {
    refusal.consider(
        2, Error{Errc::bad_input, "attestations: test-result: " + test.error().context, "trust.attestation_invalid"});
    return;
  }
  if (test->result == "FAILED") {
    auto which = test->failed.empty() ? std::string("no check named") : test->failed.front();
    refusal.consider(
        5, Error{Errc::gate_failed, "attestations: the gate says FAILED (" + which + ")", "trust.attestation_failed"});
    return;
  }
  auto place = place_passed(test->passed, question);
  if (!place) {
    refusal.consider(
        3, Error{Errc::gate_failed, "attestations: no passed check " + describe_missing(test->passed, question),
                 "trust.attestation_missing"});
    return;
  }
  if (testimony.test && testimony.test->result == "PASSED") return;
  testimony.test = std::move(*test);
  testimony.place = std::move(place);
}

void weigh_report(const Statement& statement, const GatePolicy& policy, Instant now, Testimony& testimony,
                  Refusal& refusal) {
  auto report = parse_report(statement.predicate_json);
  if (!report) {
    refusal.consider(
        2, Error{Errc::bad_input, "attestations: gate report: " + report.error().context, "trust.attestation_invalid"});
    return;
  }
  if (report->verdict != "pass" && report->verdict != "hold") {
    refusal.consider(5, Error{Errc::gate_failed, "attestations: the gate report's verdict is " + report->verdict,
                              "trust.attestation_failed"});
    return;
  }
  auto age_max = std::chrono::hours{24 * policy.age_max_days};
  if (report->finished + age_max < now) {
    refusal.consider(
        4, Error{Errc::expired,
                 "attestations: the gate finished at " + to_rfc3339(report->finished) + ", the policy allows " +
                     std::to_string(policy.age_max_days) + " days; run ferry gate run again",
                 "trust.attestation_invalid"});
    return;
  }
  testimony.reports.push_back(std::move(*report));
}

}  // namespace

Result<GatePolicy> parse_gate_policy(std::string_view bytes) {
  JsonLimits limits{.bytes_max = gate_policy_bytes_max, .depth_max = 16};
  auto parsed = parse_json(bytes, limits);
  if (!parsed) return std::move(parsed).error().within("gate policy");
  const Json& json = *parsed;
  if (!json.is_object()) return bad("gate policy: expected an object");
  TRY(auto format, string_at(json, "format", 64));
  if (format != "ferry.gate-policy/1")
    return Error{Errc::unsupported, "gate policy: format: found \"" + format + "\", expected ferry.gate-policy/1"};
  GatePolicy policy;
  TRY(policy.threshold, integer_at(json, "threshold", 1, gate_keys_max));
  TRY(policy.age_max_days, integer_at(json, "age_max_days", 1, age_days_max));
  TRY(const Json* keys, array_at(json, "keys", gate_keys_max));
  std::set<std::string> materials;
  for (std::size_t i = 0; i < keys->size(); ++i) {
    auto where = "gate policy: keys[" + std::to_string(i) + "]";
    if (!(*keys)[i].is_object()) return bad(where + ": expected an object");
    auto key = parse_tuf_key(dump_json((*keys)[i]));
    if (!key) return std::move(key).error().within(where);
    if (!materials.insert(key->spki_der()).second) return bad(where + ": this key is there twice");
    policy.keys.push_back(std::move(*key));
  }
  if (static_cast<std::int64_t>(policy.keys.size()) < policy.threshold)
    return bad("gate policy: threshold: " + std::to_string(policy.threshold) + " keys are needed, " +
               std::to_string(policy.keys.size()) + " are listed");
  return policy;
}

std::string print_gate_policy(const GatePolicy& policy) {
  Json json = Json::object();
  json["format"] = "ferry.gate-policy/1";
  json["threshold"] = policy.threshold;
  json["age_max_days"] = policy.age_max_days;
  json["keys"] = Json::array();
  for (const auto& key : policy.keys) json["keys"].push_back(Json::parse(tuf_key_json(key), nullptr, false));
  return dump_json_pretty(json);
}

Result<GateSummary> check_attestations(const GatePolicy& policy, const GateQuestion& question,
                                       std::string_view attestations, Instant now) {
  TRY(auto collected, collect(attestations, policy.keys));
  Refusal refusal;
  if (collected.untrusted_signature)
    refusal.consider(
        1, Error{Errc::bad_signature, "attestations: not signed by a trusted gate key", "trust.attestation_invalid"});
  std::map<std::size_t, Testimony> testimonies;  // by key
  for (const auto& evidence : collected.evidence) {
    if (!only_subject(evidence.statement, question.manifest_sha256)) continue;
    for (auto key : evidence.signers) {
      auto& testimony = testimonies[key];
      if (evidence.statement.predicate_type == test_result_predicate)
        weigh_test(evidence.statement, question, testimony, refusal);
      else if (evidence.statement.predicate_type == model_gate_predicate)
        weigh_report(evidence.statement, policy, now, testimony, refusal);
    }
  }
  GateSummary summary;
  for (auto& [key, testimony] : testimonies) {
    const Report* report = testimony.test ? testimony.report() : nullptr;
    if (!report) {
      refusal.consider(1, Error{Errc::gate_failed,
                                testimony.test ? "attestations: the gate report is missing"
                                               : "attestations: the test result is missing",
                                "trust.attestation_missing"});
      continue;
    }
    ++summary.keys_counted;
    if (summary.keys_counted > 1 && report->finished <= summary.finished) continue;
    summary.result = testimony.test->result;
    summary.finished = report->finished;
    summary.hardware_class = testimony.place->hardware_class;
    summary.variant = testimony.place->variant;
    summary.passed_checks = std::move(testimony.test->passed);
    summary.warned_checks = std::move(testimony.test->warned);
    summary.report_json = report->json;
  }
  // A policy always has a threshold of at least one; a value built by hand does not get around it.
  auto needed = static_cast<std::size_t>(std::max<std::int64_t>(policy.threshold, 1));
  if (summary.keys_counted >= needed) return summary;
  if (summary.keys_counted > 0)
    refusal.consider(1, Error{Errc::gate_failed,
                              "attestations: " + std::to_string(summary.keys_counted) +
                                  " trusted gate keys agree, expected " + std::to_string(needed),
                              "trust.attestation_missing"});
  return std::move(refusal).take();
}

Result<GateReportView> read_gate_report(std::string_view attestations, std::span<const PublicKey> keys) {
  TRY(auto collected, collect(attestations, keys));
  GateReportView view;
  for (const auto& evidence : collected.evidence) {
    if (evidence.statement.predicate_type == model_gate_predicate) view.report_json = evidence.statement.predicate_json;
    if (evidence.statement.predicate_type != test_result_predicate) continue;
    TRY(auto test, parse_test_result(evidence.statement.predicate_json));
    view.result = test.result;
  }
  if (view.result.empty() || view.report_json.empty())
    return Error{Errc::not_found, "attestations: no gate report signed by a trusted key",
                 collected.untrusted_signature ? "trust.attestation_invalid" : "trust.attestation_missing"};
  return view;
}

}  // namespace ferry::ota
