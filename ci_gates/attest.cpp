// The gate report as two in-toto statements in DSSE envelopes (docs/formats/gate.md, TRUST.md §5).
#include "ci_gates/gate.hpp"
#include "ota/attestation.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ferry::ci_gates {
namespace {

Json resource(const std::string& name, const std::string& sha256) {
  return {{"name", name}, {"digest", {{"sha256", sha256}}}};
}

Json test_result(const GateOutcome& outcome, const GateInput& input, const std::string& runtime_sha256) {
  Json predicate;
  predicate["result"] = outcome.test_result;
  predicate["configuration"] = Json::array();
  predicate["configuration"].push_back(resource(input.policy_name, input.policy.digest.hex()));
  const Json& dataset = outcome.report["dataset"];
  predicate["configuration"].push_back(
      resource(dataset["name"].get<std::string>(), dataset["sha256"].get<std::string>()));
  const Json& runtime = outcome.report["runtime"];
  predicate["configuration"].push_back(
      resource(runtime["name"].get<std::string>() + "@" + runtime["version"].get<std::string>(), runtime_sha256));
  for (const char* list : {"passedTests", "warnedTests", "failedTests"}) predicate[list] = Json::array();
  for (const Measurement& line : outcome.measurements) {
    const char* list = line.verdict == Verdict::pass   ? "passedTests"
                       : line.verdict == Verdict::hold ? "warnedTests"
                                                       : "failedTests";
    predicate[list].push_back(line.id);
  }
  return predicate;
}

// "<metric>@<class>/<variant>": the class; empty when it is no such name.
std::string class_in(const std::string& check) {
  const std::size_t sign = check.find('@'), slash = check.rfind('/');
  if (sign == std::string::npos || slash == std::string::npos || slash < sign) return {};
  return check.substr(sign + 1, slash - sign - 1);
}

// Which hardware class one of our statements is about; empty for statements of other kinds.
std::string class_of(const ota::Statement& statement) {
  const auto predicate = parse_json(statement.predicate_json, {.bytes_max = ota::attestations_bytes_max});
  if (!predicate || !predicate->is_object()) return {};
  if (statement.predicate_type == ota::model_gate_predicate) {
    const auto hardware = object_at(*predicate, "hardware");
    if (!hardware) return {};
    const auto named = string_or(**hardware, "hardware_class", "");
    return named ? *named : std::string();
  }
  if (statement.predicate_type != ota::test_result_predicate) return {};
  for (const char* list : {"passedTests", "warnedTests", "failedTests"}) {
    const auto names = array_at(*predicate, list);
    if (!names) continue;
    for (const Json& name : **names) {
      if (name.is_string()) return class_in(name.get<std::string>());
    }
  }
  return {};
}

struct Line {
  std::string_view text;  // without the newline
  std::string hardware_class;
};

std::vector<Line> lines_about(std::string_view attestations, const Digest& manifest) {
  std::vector<Line> found;
  for (std::size_t from = 0; from < attestations.size();) {
    const std::size_t end = std::min(attestations.find('\n', from), attestations.size());
    const std::string_view text = attestations.substr(from, end - from);
    from = end + 1;
    const auto envelope = ota::parse_envelope(text);
    if (!envelope) continue;
    const auto statement = ota::parse_statement(envelope->payload);
    if (!statement || statement->subjects.size() != 1 || statement->subjects[0].sha256 != manifest) continue;
    found.push_back({text, class_of(*statement)});
  }
  return found;
}

}  // namespace

std::vector<ClassAttestations> attestations_by_class(std::string_view attestations, const Digest& manifest) {
  std::vector<ClassAttestations> classes;
  for (const Line& line : lines_about(attestations, manifest)) {
    auto found = std::find_if(classes.begin(), classes.end(),
                              [&](const auto& known) { return known.hardware_class == line.hardware_class; });
    if (found == classes.end()) found = classes.insert(classes.end(), {line.hardware_class, {}});
    found->lines.append(line.text) += '\n';
  }
  return classes;
}

Result<std::string> merge_attestations(std::string_view existing, const std::string& fresh, const Digest& manifest) {
  std::vector<std::string> replaced;
  for (const Line& line : lines_about(fresh, manifest)) replaced.push_back(line.hardware_class);
  std::string merged;
  std::size_t lines = 0;
  for (const Line& line : lines_about(existing, manifest)) {
    if (!line.hardware_class.empty() &&
        std::find(replaced.begin(), replaced.end(), line.hardware_class) != replaced.end())
      continue;
    merged.append(line.text) += '\n';
    ++lines;
  }
  merged += fresh;
  lines += std::size_t(std::count(fresh.begin(), fresh.end(), '\n'));
  if (merged.size() > ota::attestations_bytes_max || lines > ota::attestation_lines_max)
    return Error{Errc::bad_input,
                 "attestations.intoto.jsonl: " + std::to_string(lines) + " lines and " + std::to_string(merged.size()) +
                     " bytes with this report, a device reads at most " + std::to_string(ota::attestation_lines_max) +
                     " and " + std::to_string(ota::attestations_bytes_max) + ": move the file away"};
  return merged;
}

Result<std::string> attest(const GateOutcome& outcome, const GateInput& input, const PrivateKey& gate_key) {
  TRY(const FileDigest runtime, digest_file(input.runtime_library));
  const ota::Subject subject{ota::manifest_target_path(outcome.manifest.model, outcome.manifest.version),
                             sha256(outcome.manifest_bytes)};
  std::string lines;
  for (const auto& [type, predicate] :
       {std::pair{std::string(ota::test_result_predicate), test_result(outcome, input, runtime.sha256.hex())},
        std::pair{std::string(ota::model_gate_predicate), outcome.report}}) {
    const ota::Statement statement{{subject}, type, dump_json(predicate)};
    TRY(const std::string envelope,
        ota::sign_dsse(ota::in_toto_payload_type, ota::print_statement(statement), std::span(&gate_key, 1)));
    lines += envelope + "\n";
  }
  return lines;
}

}  // namespace ferry::ci_gates
