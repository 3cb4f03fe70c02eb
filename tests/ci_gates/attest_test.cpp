// The report as the server and each device judge it: two DSSE lines about one manifest.
#include "ci_gates/gate.hpp"

#include "ota/attestation.hpp"
#include "tests/ci_gates/workbench.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::test;

namespace {

struct Attested {
  TempDir folder;
  PrivateKey key = *PrivateKey::generate();
  ci_gates::GateInput input;
  ci_gates::GateOutcome outcome;
  std::string lines;
  explicit Attested(const std::string& version) {
    pack_example(folder.path(), version, {"fp32"});
    input = example_gate(folder.path());
    outcome = *run(input);
    lines = *ci_gates::attest(outcome, input, key);
  }
  Result<ota::GateSummary> judged(const std::string& attestations, const std::string& hardware_class = "",
                                  Instant now = SimClock().now()) const {
    ota::GatePolicy policy;
    policy.keys = {key.public_key()};
    return ota::check_attestations(
        policy, {.manifest_sha256 = sha256(outcome.manifest_bytes), .hardware_class = hardware_class, .variant = ""},
        attestations, now);
  }
  std::vector<ota::Statement> statements() const {
    std::vector<ota::Statement> made;
    const std::vector<PublicKey> keys{key.public_key()};
    for (std::size_t from = 0; from < lines.size();) {
      const std::size_t end = lines.find('\n', from);
      const auto payload = ota::verify_envelope(lines.substr(from, end - from), keys, 1, ota::in_toto_payload_type);
      REQUIRE(payload);
      made.push_back(*ota::parse_statement(*payload));
      from = end + 1;
    }
    return made;
  }
};

const Attested& passed() {
  static const Attested made("1.1.0");
  return made;
}

}  // namespace

TEST_CASE("the report is two signed statements whose only subject is the manifest") {
  const auto statements = passed().statements();
  REQUIRE(statements.size() == 2);
  CHECK(statements[0].predicate_type == ota::test_result_predicate);
  CHECK(statements[1].predicate_type == ota::model_gate_predicate);
  for (const ota::Statement& statement : statements) {
    REQUIRE(statement.subjects.size() == 1);
    CHECK(statement.subjects[0].name == "fashion-mnist/1.1.0/manifest.json");
    CHECK(statement.subjects[0].sha256 == sha256(read_text(passed().folder / "manifest.json")));
  }
  CHECK(Json::parse(statements[1].predicate_json) == passed().outcome.report);
}

TEST_CASE("the test result lists every check under its verdict, and what it was configured with by digest") {
  const Json result = Json::parse(passed().statements()[0].predicate_json);
  CHECK(result["result"] == "PASSED");
  CHECK(result["passedTests"].size() == passed().outcome.measurements.size());
  CHECK(result["warnedTests"].empty());
  CHECK(result["failedTests"].empty());
  const Json& configuration = result["configuration"];
  REQUIRE(configuration.size() == 3);
  CHECK(configuration[0] == Json{{"name", "gate.toml"}, {"digest", {{"sha256", sha256("the policy's text").hex()}}}});
  CHECK(configuration[1]["name"] == "fashion-mnist-test");
  CHECK(configuration[1]["digest"]["sha256"] == passed().outcome.report["dataset"]["sha256"]);
  CHECK(configuration[2]["name"].get<std::string>().starts_with("onnxruntime@"));
  CHECK(configuration[2]["digest"]["sha256"] == digest_file(onnx_runtime)->sha256.hex());
}

TEST_CASE("a passed report lets the release out: for any class at the server, for its own class on a device") {
  const auto summary = passed().judged(passed().lines);
  REQUIRE(summary);
  CHECK(summary->result == "PASSED");
  CHECK(summary->keys_counted == 1);
  const std::string own = ci_gates::this_machine().hardware_class();
  CHECK(summary->hardware_class == own);
  CHECK(passed().judged(passed().lines, own));
  CHECK(!passed().judged(passed().lines, "riscv64-generic-1c-1g-cpu"));
  CHECK(passed().judged(passed().lines, own, SimClock().now() + std::chrono::hours{24 * 364}));
  CHECK(!passed().judged(passed().lines, own, SimClock().now() + std::chrono::hours{24 * 366}));
}

TEST_CASE("either line alone, or one from another gate's key, does not") {
  const std::size_t end = passed().lines.find('\n') + 1;
  for (const std::string& half : {passed().lines.substr(0, end), passed().lines.substr(end), std::string()}) {
    const auto judged = passed().judged(half);
    REQUIRE(!judged);
    CHECK(judged.error().reason == "trust.attestation_missing");
  }
  const auto other = ci_gates::attest(passed().outcome, passed().input, *PrivateKey::generate());
  REQUIRE(other);
  const auto judged = passed().judged(*other);
  REQUIRE(!judged);
  CHECK(judged.error().reason == "trust.attestation_invalid");
}

TEST_CASE("a failed report says FAILED and which checks, and lets nothing out") {
  const Attested failed("1.2.0");
  const Json result = Json::parse(failed.statements()[0].predicate_json);
  CHECK(result["result"] == "FAILED");
  REQUIRE(result["failedTests"].size() == 1);
  CHECK(result["failedTests"][0].get<std::string>().starts_with("accuracy.top1@"));
  const auto judged = failed.judged(failed.lines);
  REQUIRE(!judged);
  CHECK(judged.error().code == Errc::gate_failed);
  CHECK(judged.error().reason == "trust.attestation_failed");
}
