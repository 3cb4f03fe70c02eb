// The gate report as two in-toto statements in DSSE envelopes (docs/formats/gate.md, TRUST.md §5).
#include "ci_gates/gate.hpp"
#include "ota/attestation.hpp"

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

}  // namespace

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
