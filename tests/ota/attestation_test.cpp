#include "ota/attestation.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::ota;
using namespace std::chrono_literals;

namespace {

const Instant now = *from_rfc3339("2026-11-23T08:00:00Z");

// A gate that can be told what to say and with which keys.
struct Gate {
  PrivateKey key = *PrivateKey::generate();
  Digest manifest = sha256("the manifest");
  std::string result = "PASSED", verdict = "pass";
  Instant finished = now - 24h;
  std::vector<std::string> passed = {"accuracy.top1@ours/fp32", "latency.p99@ours/fp32",
                                     "golden.determinism@ours/fp32"};
  std::vector<std::string> failed = {};
  std::vector<Subject> subjects = {{"m/1.0.0/manifest.json", manifest}};

  std::string envelope(std::string_view type, const Json& predicate) const {
    Statement statement{.subjects = subjects, .predicate_type = std::string(type), .predicate_json = predicate.dump()};
    return *sign_dsse(in_toto_payload_type, print_statement(statement), std::span(&key, 1)) + "\n";
  }
  std::string test_line() const {
    return envelope(
        test_result_predicate,
        {{"result", result}, {"configuration", Json::array()}, {"passedTests", passed}, {"failedTests", failed}});
  }
  std::string report_line() const {
    return envelope(model_gate_predicate,
                    {{"format", "ferry.gate-report/1"}, {"verdict", verdict}, {"finishedOn", to_rfc3339(finished)}});
  }
  std::string report() const { return test_line() + report_line(); }
  GatePolicy policy() const { return {.threshold = 1, .age_max_days = 365, .keys = {key.public_key()}}; }
  GateQuestion question() const { return {.manifest_sha256 = manifest, .hardware_class = "ours", .variant = "fp32"}; }
};

void check_denied(const Gate& trusted, const std::string& attestations, const std::string& reason, const char* named) {
  auto result = check_attestations(trusted.policy(), trusted.question(), attestations, now);
  REQUIRE_FALSE(result);
  INFO(result.error().context);
  CHECK(result.error().reason == reason);
  CHECK_THAT(result.error().context, Catch::Contains(named));
}

}  // namespace

TEST_CASE("a passed gate by a trusted key lets the release in") {
  Gate gate;
  auto summary = check_attestations(gate.policy(), gate.question(), gate.report(), now);
  REQUIRE(summary);
  CHECK(summary->result == "PASSED");
  CHECK(summary->finished == gate.finished);
  CHECK(summary->hardware_class == "ours");
  CHECK(summary->variant == "fp32");
  CHECK(summary->keys_counted == 1);
  CHECK(summary->passed_checks == gate.passed);
  CHECK(Json::parse(summary->report_json)["verdict"] == "pass");
  gate.result = "WARNED", gate.verdict = "hold";
  CHECK(check_attestations(gate.policy(), gate.question(), gate.report(), now)->result == "WARNED");
}

TEST_CASE("without an attestation for this manifest the answer is no") {
  Gate gate, other;
  check_denied(gate, "", "trust.attestation_missing", "none by a trusted gate key");
  check_denied(gate, "\n\nnot json\n{}\n", "trust.attestation_missing", "none by a trusted gate key");
  other = gate;
  other.subjects[0].sha256 = sha256("another manifest");
  check_denied(gate, other.report(), "trust.attestation_missing", "names this manifest");
  other.subjects = {gate.subjects[0], {"more", sha256("more")}};  // not the only subject
  check_denied(gate, other.report(), "trust.attestation_missing", "names this manifest");
}

TEST_CASE("a gate that says FAILED is a no, whoever else is silent") {
  Gate gate;
  gate.result = "FAILED", gate.failed = {"latency.p99@ours/fp32"};
  check_denied(gate, gate.report(), "trust.attestation_failed", "latency.p99@ours/fp32");
  gate.result = "PASSED", gate.verdict = "fail";
  check_denied(gate, gate.report(), "trust.attestation_failed", "verdict");
}

TEST_CASE("an attestation signed by the release key is worth nothing") {
  Gate gate, forger;
  forger.manifest = gate.manifest;
  check_denied(gate, forger.report(), "trust.attestation_invalid", "not signed by a trusted gate key");
  // Beside a real one it changes nothing, either way.
  CHECK(check_attestations(gate.policy(), gate.question(), forger.report() + gate.report(), now));
  forger.result = "FAILED";
  CHECK(check_attestations(gate.policy(), gate.question(), gate.report() + forger.report(), now));
}

TEST_CASE("statements in envelopes of another type count for nothing, though the gate key signed them") {
  Gate gate;
  auto retyped = [&](const std::string& line) {
    return *sign_dsse("application/x", parse_envelope(line)->payload, std::span(&gate.key, 1)) + "\n";
  };
  check_denied(gate, retyped(gate.test_line()) + retyped(gate.report_line()), "trust.attestation_missing",
               "none by a trusted gate key");
}

TEST_CASE("a bit changed in payload, type or signature makes it untrusted") {
  Gate gate;
  Json test = Json::parse(gate.test_line());
  for (const char* member : {"payload", "payloadType"}) {
    Json changed = test;
    auto text = changed[member].get<std::string>();
    text[10] = text[10] == 'A' ? 'B' : 'A';
    changed[member] = text;
    check_denied(gate, changed.dump() + "\n" + gate.report_line(), "trust.attestation_invalid",
                 "not signed by a trusted gate key");
  }
}

TEST_CASE("age counts from finishedOn") {
  Gate gate;
  gate.finished = now - 365 * 24h;
  CHECK(check_attestations(gate.policy(), gate.question(), gate.report(), now));
  gate.finished -= 1s;
  auto result = check_attestations(gate.policy(), gate.question(), gate.report(), now);
  CHECK(result.error().code == Errc::expired);
  check_denied(gate, gate.report(), "trust.attestation_invalid", "365 days");
}

TEST_CASE("every required check must have passed for this class and variant") {
  Gate gate;
  auto question = gate.question();
  question.hardware_class = "theirs";
  auto other_class = check_attestations(gate.policy(), question, gate.report(), now);
  CHECK(other_class.error().reason == "trust.attestation_missing");
  CHECK_THAT(other_class.error().context, Catch::Contains("accuracy.top1@theirs/fp32"));
  question = gate.question();
  question.variant = "int8";
  CHECK_THAT(check_attestations(gate.policy(), question, gate.report(), now).error().context,
             Catch::Contains("@ours/int8"));
  auto all = gate.passed;
  for (std::size_t i = 0; i < all.size(); ++i) {
    gate.passed = all;
    gate.passed.erase(gate.passed.begin() + static_cast<std::ptrdiff_t>(i));
    check_denied(gate, gate.report(), "trust.attestation_missing", all[i].c_str());
  }
  // Never put together from two classes or two variants.
  gate.passed = {"accuracy.top1@ours/fp32", "latency.p99@theirs/fp32", "golden.determinism@ours/int8"};
  check_denied(gate, gate.report(), "trust.attestation_missing", "latency.p99");
  gate.passed = {"accuracy.top1@*/fp32", "latency.p99@ours/fp32", "golden.determinism@*/fp32"};
  CHECK(check_attestations(gate.policy(), gate.question(), gate.report(), now));
  gate.passed = {"accuracy.top1", "latency.p99@ours", "golden.determinism@/"};
  check_denied(gate, gate.report(), "trust.attestation_missing", "accuracy.top1");
}

TEST_CASE("the server asks for any class and variant that passed") {
  Gate gate;
  GateQuestion question{.manifest_sha256 = gate.manifest, .hardware_class = {}, .variant = {}};
  auto summary = check_attestations(gate.policy(), question, gate.report(), now);
  REQUIRE(summary);
  CHECK(summary->hardware_class == "ours");
  gate.passed = {"accuracy.top1@a/fp32", "latency.p99@b/fp32", "golden.determinism@c/fp32"};
  CHECK_FALSE(check_attestations(gate.policy(), question, gate.report(), now));
}

TEST_CASE("both statements are needed, by the same key") {
  Gate gate, second;
  check_denied(gate, gate.test_line(), "trust.attestation_missing", "gate report is missing");
  check_denied(gate, gate.report_line(), "trust.attestation_missing", "test result is missing");
  auto policy = gate.policy();
  policy.keys.push_back(second.key.public_key());
  CHECK_FALSE(check_attestations(policy, gate.question(), gate.test_line() + second.report_line(), now));
}

TEST_CASE("the policy's threshold counts keys that each vouch") {
  Gate gate, second;
  auto policy = gate.policy();
  policy.keys.push_back(second.key.public_key());
  policy.threshold = 2;
  CHECK_THAT(check_attestations(policy, gate.question(), gate.report() + gate.report(), now).error().context,
             Catch::Contains("1 trusted gate keys agree, expected 2"));
  second.result = "FAILED";
  CHECK(check_attestations(policy, gate.question(), gate.report() + second.report(), now).error().reason ==
        "trust.attestation_failed");
  second.result = "PASSED";
  CHECK(check_attestations(policy, gate.question(), gate.report() + second.report(), now)->keys_counted == 2);
  policy.threshold = 0;  // built by hand: still one is needed
  CHECK_FALSE(check_attestations(policy, gate.question(), "", now));
}

TEST_CASE("taking a line away never turns no into yes") {
  Gate gate, failing;
  failing = gate;
  failing.result = "FAILED", failing.failed = {"memory.peak@ours/fp32"};
  const std::vector<std::string> lines = {gate.report_line(), failing.test_line(), "garbage\n"};
  std::string all;
  for (const auto& line : lines) all += line;
  REQUIRE_FALSE(check_attestations(gate.policy(), gate.question(), all, now));
  for (unsigned mask = 0; mask < 8; ++mask) {
    std::string some;
    for (std::size_t i = 0; i < lines.size(); ++i)
      if (mask & (1u << i)) some += lines[i];
    CHECK_FALSE(check_attestations(gate.policy(), gate.question(), some, now));
  }
}

TEST_CASE("too many lines or bytes are refused") {
  Gate gate;
  check_denied(gate, std::string(attestations_bytes_max + 1, '\n'), "trust.attestation_invalid", "at most");
  std::string lines;
  for (std::size_t i = 0; i <= attestation_lines_max; ++i) lines += "x\n";
  check_denied(gate, lines, "trust.attestation_invalid", "lines");
}

TEST_CASE("signed but malformed predicates are a no with the field named") {
  Gate gate;
  auto line = [&](std::string_view type, const Json& predicate) { return gate.envelope(type, predicate); };
  check_denied(gate, line(test_result_predicate, {{"result", "OK"}}) + gate.report_line(), "trust.attestation_invalid",
               "result");
  check_denied(gate, line(test_result_predicate, {{"result", "PASSED"}, {"passedTests", 1}}) + gate.report_line(),
               "trust.attestation_invalid", "passedTests");
  check_denied(gate, gate.test_line() + line(model_gate_predicate, {{"format", "ferry.gate-report/2"}}),
               "trust.attestation_invalid", "format");
  check_denied(
      gate,
      gate.test_line() + line(model_gate_predicate,
                              {{"format", "ferry.gate-report/1"}, {"verdict", "pass"}, {"finishedOn", "yesterday"}}),
      "trust.attestation_invalid", "finishedOn");
}

TEST_CASE("a gate policy is read and printed back, and refused with the field named") {
  Gate gate, second;
  GatePolicy policy{.threshold = 2, .age_max_days = 30, .keys = {gate.key.public_key(), second.key.public_key()}};
  auto read = parse_gate_policy(print_gate_policy(policy));
  REQUIRE(read);
  CHECK(read->threshold == 2);
  CHECK(read->age_max_days == 30);
  CHECK(read->keys[1].spki_der() == second.key.public_key().spki_der());
  Json good = Json::parse(print_gate_policy(policy));
  auto refuse = [&](const std::function<void(Json&)>& change, const char* named) {
    Json json = good;
    change(json);
    auto result = parse_gate_policy(json.dump());
    INFO(named);
    REQUIRE_FALSE(result);
    CHECK_THAT(result.error().context, Catch::Contains(named));
  };
  refuse([](Json& p) { p["format"] = "ferry.gate-policy/2"; }, "format");
  refuse([](Json& p) { p["threshold"] = 0; }, "threshold");
  refuse([](Json& p) { p["threshold"] = 3; }, "threshold");
  refuse([](Json& p) { p.erase("age_max_days"); }, "age_max_days");
  refuse([](Json& p) { p["age_max_days"] = 0; }, "age_max_days");
  refuse([](Json& p) { p.erase("keys"); }, "keys");
  refuse([](Json& p) { p["keys"][0] = "PEM"; }, "keys[0]");
  refuse([](Json& p) { p["keys"][1]["scheme"] = "none"; }, "keys[1]");
  refuse([](Json& p) { p["keys"][1] = p["keys"][0]; }, "keys[1]");
  CHECK_FALSE(parse_gate_policy("x"));
}

TEST_CASE("the report can be shown whatever it says, if a trusted key signed it") {
  Gate gate, stranger;
  gate.result = "FAILED", gate.verdict = "fail";
  std::vector<PublicKey> keys = {gate.key.public_key()};
  auto view = read_gate_report(gate.report(), keys);
  REQUIRE(view);
  CHECK(view->result == "FAILED");
  CHECK(Json::parse(view->report_json)["verdict"] == "fail");
  CHECK_FALSE(read_gate_report(stranger.report(), keys));
}
