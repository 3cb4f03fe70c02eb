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

TEST_CASE("reports of several hardware classes live side by side, each device judges its own") {
  const Attested& here = passed();
  const std::string own = ci_gates::this_machine().hardware_class(), other = "aarch64-dotprod-4c-8g-cpu";
  const Digest manifest = sha256(here.outcome.manifest_bytes);
  // The same gate on another machine: fails there.
  ci_gates::GateOutcome there = here.outcome;
  there.hardware_class = other;
  there.verdict = ci_gates::Verdict::fail;
  there.test_result = "FAILED";
  there.report["verdict"] = "fail";
  there.report["hardware"]["hardware_class"] = other;
  for (ci_gates::Measurement& line : there.measurements) {
    line.id.replace(line.id.find(own), own.size(), other);
    line.verdict = ci_gates::Verdict::fail;
  }
  const auto theirs = ci_gates::attest(there, here.input, here.key);
  REQUIRE(theirs);
  const auto both = ci_gates::merge_attestations(here.lines, *theirs, manifest);
  REQUIRE(both);
  const auto classes = ci_gates::attestations_by_class(*both, manifest);
  REQUIRE(classes.size() == 2);
  CHECK(classes[0].hardware_class == own);
  CHECK(classes[0].lines == here.lines);
  CHECK(classes[1].hardware_class == other);
  CHECK(classes[1].lines == *theirs);
  CHECK(here.judged(*both, own));
  CHECK(here.judged(*both));  // the server: one class that passed is enough
  const auto refused = here.judged(*both, other);
  REQUIRE(!refused);
  CHECK(refused.error().reason == "trust.attestation_failed");

  // Measured again there, it passes: that report is replaced, this one stays.
  for (ci_gates::Measurement& line : there.measurements) line.verdict = ci_gates::Verdict::pass;
  there.verdict = ci_gates::Verdict::pass;
  there.test_result = "PASSED";
  there.report["verdict"] = "pass";
  const auto again = ci_gates::merge_attestations(*both, *ci_gates::attest(there, here.input, here.key), manifest);
  REQUIRE(again);
  CHECK(ci_gates::attestations_by_class(*again, manifest).size() == 2);
  CHECK(here.judged(*again, other));
  CHECK(here.judged(*again, own));
}

TEST_CASE("a report that is too old is not made younger by one of another hardware class") {
  const Attested& here = passed();
  const std::string own = ci_gates::this_machine().hardware_class(), other = "aarch64-dotprod-4c-8g-cpu";
  ci_gates::GateOutcome there = here.outcome;
  there.hardware_class = other;
  there.report["hardware"]["hardware_class"] = other;
  there.report["finishedOn"] = to_rfc3339(SimClock().now() + std::chrono::hours{24 * 300});
  for (ci_gates::Measurement& line : there.measurements) line.id.replace(line.id.find(own), own.size(), other);
  const auto both = ci_gates::merge_attestations(here.lines, *ci_gates::attest(there, here.input, here.key),
                                                 sha256(here.outcome.manifest_bytes));
  REQUIRE(both);
  const Instant next_year = SimClock().now() + std::chrono::hours{24 * 366};
  CHECK(here.judged(*both, other, next_year));
  const auto refused = here.judged(*both, own, next_year);
  REQUIRE(!refused);
  CHECK(refused.error().code == Errc::expired);
}

TEST_CASE("lines about another manifest, and what is no statement, go when a report is added") {
  const Digest manifest = sha256(passed().outcome.manifest_bytes);
  ci_gates::GateOutcome older = passed().outcome;
  older.manifest_bytes += " ";
  const auto stale = ci_gates::attest(older, passed().input, passed().key);
  REQUIRE(stale);
  const auto merged = ci_gates::merge_attestations("junk\n{}\n" + *stale, passed().lines, manifest);
  REQUIRE(merged);
  CHECK(*merged == passed().lines);
}

TEST_CASE("a statement of another kind about the same manifest stays") {
  const Digest manifest = sha256(passed().outcome.manifest_bytes);
  const ota::Statement provenance{{{"x", manifest}}, "https://slsa.dev/provenance/v1", "{}"};
  const auto line =
      ota::sign_dsse(ota::in_toto_payload_type, ota::print_statement(provenance), std::span(&passed().key, 1));
  REQUIRE(line);
  const auto merged = ci_gates::merge_attestations(*line + "\n" + passed().lines, passed().lines, manifest);
  REQUIRE(merged);
  CHECK(*merged == *line + "\n" + passed().lines);
  CHECK(passed().judged(*merged));
}

TEST_CASE("more lines than a device reads are refused") {
  const Digest manifest = sha256(passed().outcome.manifest_bytes);
  const ota::Statement other{{{"x", manifest}}, "https://example.com/other/v1", "{}"};
  const auto line = ota::sign_dsse(ota::in_toto_payload_type, ota::print_statement(other), std::span(&passed().key, 1));
  REQUIRE(line);
  std::string many;
  for (std::size_t i = 0; i < ota::attestation_lines_max - 1; ++i) many += *line + "\n";
  const auto merged = ci_gates::merge_attestations(many, passed().lines, manifest);
  REQUIRE(!merged);
  CHECK(merged.error().code == Errc::bad_input);
}
