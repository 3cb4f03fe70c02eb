// Attestations: DSSE envelopes and in-toto statements, lines of a file that anybody may have added to.
#include "ota/attestation.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace ferry;
using namespace ferry::ota;

namespace {

// A key of the input's own choice signs it, so that what comes after the signature is reached too.
const PrivateKey& gate_key() {
  static const PrivateKey key = *PrivateKey::generate(KeyScheme::ed25519);
  return key;
}

void check_signed(std::string_view payload) {
  auto line = sign_dsse(in_toto_payload_type, payload, {&gate_key(), 1});
  fuzz::promise(line.has_value(), "any payload can be signed");
  auto key = gate_key().public_key();
  auto verified = verify_envelope(*line, {&key, 1}, 1, in_toto_payload_type);
  fuzz::promise(verified && *verified == payload, "a signed payload is verified");
  GatePolicy policy;
  policy.keys = {key};
  GateQuestion question;
  if (auto statement = parse_statement(payload)) question.manifest_sha256 = statement->subjects.front().sha256;
  auto file = *line + "\n" + *line;
  // One statement is a test result or a gate report; both are needed.
  fuzz::promise(!check_attestations(policy, question, file, Instant{}), "one statement alone lets nothing in");
  (void)read_gate_report(file, policy.keys);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = fuzz::text_of(data, size);
  if (auto envelope = parse_envelope(bytes)) {
    auto stranger = gate_key().public_key();
    fuzz::promise(keys_that_signed(*envelope, {&stranger, 1}).empty(), "nobody forges a signature");
  }
  if (auto statement = parse_statement(bytes)) {
    auto printed = print_statement(*statement);
    auto again = parse_statement(printed);
    fuzz::promise(again && print_statement(*again) == printed, "a printed statement is read back");
  }
  if (auto policy = parse_gate_policy(bytes)) {
    auto printed = print_gate_policy(*policy);
    auto again = parse_gate_policy(printed);
    fuzz::promise(again && again->keys.size() == policy->keys.size(), "a printed gate policy is read back");
  }
  check_signed(bytes);
  return 0;
}
