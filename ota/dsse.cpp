// DSSE envelopes and in-toto statements: what a signature covers, and who signed.
#include "common/bytes.hpp"
#include "common/json.hpp"
#include "ota/attestation.hpp"

#include <set>

#include <nlohmann/json.hpp>

namespace ferry::ota {
namespace {

constexpr std::size_t subjects_max = 1024;
constexpr std::size_t signature_text_bytes_max = 8 * 1024;

Error bad(std::string what) { return Error{Errc::bad_input, std::move(what)}; }

}  // namespace

std::string dsse_pae(std::string_view payload_type, std::string_view payload) {
  std::string pae = "DSSEv1 ";
  pae += std::to_string(payload_type.size()) + " ";
  pae += payload_type;
  pae += " " + std::to_string(payload.size()) + " ";
  pae += payload;
  return pae;
}

Result<Envelope> parse_envelope(std::string_view text) {
  JsonLimits limits{.bytes_max = attestations_bytes_max, .depth_max = 16};
  TRY(auto json, parse_json(text, limits));
  if (!json.is_object()) return bad("envelope: expected an object");
  Envelope envelope;
  TRY(envelope.payload_type, string_at(json, "payloadType", 1024));
  TRY(auto payload, string_at(json, "payload", attestations_bytes_max));
  auto decoded = from_base64(payload);
  if (!decoded) return std::move(decoded).error().within("payload");
  envelope.payload = std::move(*decoded);
  TRY(const Json* signatures, array_at(json, "signatures", envelope_signatures_max));
  for (const auto& entry : *signatures) {
    if (!entry.is_object()) return bad("signatures: expected objects");
    TRY(auto sig, string_at(entry, "sig", signature_text_bytes_max));
    if (auto bytes = from_base64(sig); bytes && !bytes->empty()) envelope.signatures.push_back(std::move(*bytes));
  }
  return envelope;
}

std::vector<std::size_t> keys_that_signed(const Envelope& envelope, std::span<const PublicKey> keys) {
  auto message = dsse_pae(envelope.payload_type, envelope.payload);
  std::set<std::string> materials;
  std::vector<std::size_t> signers;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    bool signed_by = std::any_of(envelope.signatures.begin(), envelope.signatures.end(),
                                 [&](const std::string& signature) { return keys[i].verify(message, signature); });
    if (signed_by && materials.insert(keys[i].spki_der()).second) signers.push_back(i);
  }
  return signers;
}

Result<std::string> verify_envelope(std::string_view text, std::span<const PublicKey> keys, std::int64_t threshold,
                                    std::string_view payload_type) {
  if (threshold < 1) return bad("threshold: expected at least 1");
  TRY(auto envelope, parse_envelope(text));
  auto signers = keys_that_signed(envelope, keys);
  if (static_cast<std::int64_t>(signers.size()) < threshold)
    return Error{Errc::bad_signature, "envelope: signed by " + std::to_string(signers.size()) +
                                          " trusted keys, expected " + std::to_string(threshold)};
  if (envelope.payload_type != payload_type)
    return bad("payloadType: found \"" + envelope.payload_type.substr(0, 80) + "\", expected \"" +
               std::string(payload_type) + "\"");
  return std::move(envelope.payload);
}

Result<std::string> sign_dsse(std::string_view payload_type, std::string_view payload,
                              std::span<const PrivateKey> keys) {
  if (keys.empty()) return bad("envelope: no key to sign with");
  auto message = dsse_pae(payload_type, payload);
  Json json = Json::object();
  json["payload"] = to_base64(payload);
  json["payloadType"] = std::string(payload_type);
  json["signatures"] = Json::array();
  for (const auto& key : keys) {
    TRY(auto signature, key.sign(message));
    Json entry = Json::object();
    entry["keyid"] = sha256(key.public_key().spki_der()).hex();
    entry["sig"] = to_base64(signature);
    json["signatures"].push_back(std::move(entry));
  }
  return dump_json(json);
}

Result<Statement> parse_statement(std::string_view payload) {
  JsonLimits limits{.bytes_max = attestations_bytes_max, .depth_max = 32};
  TRY(auto json, parse_json(payload, limits));
  if (!json.is_object()) return bad("statement: expected an object");
  TRY(auto type, string_at(json, "_type", 256));
  if (type != statement_type)
    return Error{Errc::unsupported, "_type: found \"" + type + "\", expected \"" + std::string(statement_type) + "\""};
  Statement statement;
  TRY(const Json* subjects, array_at(json, "subject", subjects_max));
  if (subjects->empty()) return bad("subject: expected at least one");
  for (std::size_t i = 0; i < subjects->size(); ++i) {
    auto where = "subject[" + std::to_string(i) + "]";
    if (!(*subjects)[i].is_object()) return bad(where + ": expected an object");
    Subject subject;
    TRY(subject.name, string_or((*subjects)[i], "name", "", 4096));
    TRY(const Json* digest, object_at((*subjects)[i], "digest"));
    TRY(auto hex, string_at(*digest, "sha256", 64));
    auto parsed = Digest::from_hex(hex);
    if (!parsed) return std::move(parsed).error().within(where + ".digest.sha256");
    subject.sha256 = *parsed;
    statement.subjects.push_back(std::move(subject));
  }
  TRY(statement.predicate_type, string_at(json, "predicateType", 1024));
  TRY(const Json* predicate, object_at(json, "predicate"));
  statement.predicate_json = dump_json(*predicate);
  return statement;
}

std::string print_statement(const Statement& statement) {
  Json json = Json::object();
  json["_type"] = std::string(statement_type);
  json["subject"] = Json::array();
  for (const auto& subject : statement.subjects) {
    Json entry = Json::object();
    entry["name"] = subject.name;
    entry["digest"]["sha256"] = subject.sha256.hex();
    json["subject"].push_back(std::move(entry));
  }
  json["predicateType"] = statement.predicate_type;
  json["predicate"] = Json::parse(statement.predicate_json, nullptr, /*allow_exceptions=*/false);
  return dump_json(json);
}

}  // namespace ferry::ota
