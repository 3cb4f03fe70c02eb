// Attestations: DSSE envelopes, in-toto statements, the gate policy, and the decision whether a release may run.
#pragma once
#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::ota {

constexpr std::size_t attestations_bytes_max = 4 * 1024 * 1024;  // a whole .intoto.jsonl
constexpr std::size_t attestation_lines_max = 64;
constexpr std::size_t envelope_signatures_max = 16;
constexpr std::size_t gate_policy_bytes_max = 64 * 1024;
constexpr std::size_t gate_keys_max = 64;
constexpr std::size_t check_names_max = 10'000;
constexpr std::size_t check_name_bytes_max = 512;

constexpr std::string_view in_toto_payload_type = "application/vnd.in-toto+json";
constexpr std::string_view statement_type = "https://in-toto.io/Statement/v1";
constexpr std::string_view test_result_predicate = "https://in-toto.io/attestation/test-result/v0.1";
constexpr std::string_view model_gate_predicate = "https://ferry.dev/attestation/model-gate/v1";
constexpr std::string_view gate_policy_target = "ferry/gate-policy.json";

// --- DSSE v1 ---
std::string dsse_pae(std::string_view payload_type, std::string_view payload);

struct Envelope {
  std::string payload_type;
  std::string payload;                  // decoded once; these very bytes are verified and used
  std::vector<std::string> signatures;  // decoded; those that do not decode are left out
};
Result<Envelope> parse_envelope(std::string_view text);
// Indices of the distinct keys (by material) that signed it. Key ids are hints and are not used.
std::vector<std::size_t> keys_that_signed(const Envelope& envelope, std::span<const PublicKey> keys);
// The payload, when at least `threshold` (>= 1) distinct keys signed and, checked after that, its type is
// `payload_type`.
Result<std::string> verify_envelope(std::string_view text, std::span<const PublicKey> keys, std::int64_t threshold,
                                    std::string_view payload_type);
// One line of JSON without the newline.
Result<std::string> sign_dsse(std::string_view payload_type, std::string_view payload,
                              std::span<const PrivateKey> keys);

// --- in-toto Statement v1 ---
struct Subject {
  std::string name;  // informational
  Digest sha256;
};
struct Statement {
  std::vector<Subject> subjects;  // at least one
  std::string predicate_type;
  std::string predicate_json;  // compact JSON
};
Result<Statement> parse_statement(std::string_view payload);
std::string print_statement(const Statement& statement);  // predicate_json must be valid JSON

// --- ferry.gate-policy/1 ---
struct GatePolicy {
  std::int64_t threshold = 1;
  std::int64_t age_max_days = 365;
  std::vector<PublicKey> keys;  // distinct, at least `threshold`
};
Result<GatePolicy> parse_gate_policy(std::string_view bytes);
std::string print_gate_policy(const GatePolicy& policy);

// --- The decision ---
struct GateQuestion {
  Digest manifest_sha256;
  std::string hardware_class;  // empty (server): some class passed is enough
  std::string variant;         // empty (server): some variant passed is enough
  std::vector<std::string> required_checks = {"accuracy.top1", "latency.p99", "golden.determinism"};
};

struct GateSummary {
  std::string result;          // PASSED | WARNED
  Instant finished;            // of the newest report counted
  std::string hardware_class;  // the class for which it passed ("*" when the checks say so)
  std::string variant;
  std::size_t keys_counted = 0;
  std::vector<std::string> passed_checks;
  std::vector<std::string> warned_checks;
  std::string report_json;  // the model-gate predicate counted, for people; trusted only as far as its key
};

// Deny unless `policy.threshold` distinct trusted keys each signed (1) a test-result whose only subject is this
// manifest, PASSED or WARNED, with every required check passed for the class (or "*") and variant, and (2) a gate
// report on the same subject whose verdict is not fail and whose finishedOn is at most age_max_days old. Lines that are
// malformed, foreign or untrusted are ignored, so adding or removing a line can never turn deny into allow except by
// adding a good one. Errors carry trust.attestation_missing | _failed | _invalid; code gate_failed, bad_signature,
// expired or bad_input. Pure.
Result<GateSummary> check_attestations(const GatePolicy& policy, const GateQuestion& question,
                                       std::string_view attestations, Instant now);

// The report of a file, signature verified against `keys` but no policy applied (to show it to people).
struct GateReportView {
  std::string result;       // PASSED | WARNED | FAILED
  std::string report_json;  // model-gate predicate
};
Result<GateReportView> read_gate_report(std::string_view attestations, std::span<const PublicKey> keys);

}  // namespace ferry::ota
