// TUF metadata written and signed: canonical JSON is signed, readable JSON is served.
#include "ota/repository_writer.hpp"

#include "common/bytes.hpp"
#include "common/canonical_json.hpp"
#include "common/json.hpp"
#include "ota/attestation.hpp"
#include "ota/manifest.hpp"

#include <set>

#include <nlohmann/json.hpp>

namespace ferry::ota {
namespace {

constexpr std::string_view spec_version = "1.0.34";

Error bad(std::string what) { return Error{Errc::bad_input, std::move(what)}; }

Json parsed(const std::string& text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

// Json converts to and from nearly everything, so the compiler has to be told which side of Result is meant.
Result<Json> value_of(Json json) { return Result<Json>(boost::system::in_place_value, std::move(json)); }

Json header(RoleType type, std::int64_t version, Instant expires) {
  Json body = Json::object();
  body["_type"] = std::string(to_string(type));
  body["spec_version"] = std::string(spec_version);
  body["version"] = version;
  body["expires"] = to_rfc3339(expires);
  return body;
}

Json role_object(const RoleSigners& role) {
  Json object = Json::object();
  object["threshold"] = role.threshold;
  object["keyids"] = Json::array();
  for (const auto& key : role.keys) object["keyids"].push_back(tuf_key_id(key));
  return object;
}

Result<> check_role(const RoleSigners& role, std::string_view name) {
  std::set<std::string> distinct;
  for (const auto& key : role.keys) distinct.insert(key.spki_der());
  if (distinct.size() != role.keys.size()) return bad(std::string(name) + ": a key is listed twice");
  if (role.threshold < 1 || static_cast<std::size_t>(role.threshold) > distinct.size())
    return bad(std::string(name) + ": threshold " + std::to_string(role.threshold) + " with " +
               std::to_string(distinct.size()) + " keys; expected 1 to the number of keys");
  return {};
}

void put_keys(Json& keys, const RoleSigners& role) {
  for (const auto& key : role.keys) keys[tuf_key_id(key)] = parsed(tuf_key_json(key));
}

// One-space indentation, as other TUF tools write: what is served is what was printed here.
std::string print_document(const Json& document) {
  return document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<std::string> seal(Json body, std::span<const PrivateKey> signers) {
  if (signers.empty()) return bad("no key to sign with");
  TRY(auto message, canonical_json(body));
  Json signatures = Json::array();
  for (const auto& signer : signers) {
    TRY(auto signature, signer.sign(message));
    Json entry = Json::object();
    entry["keyid"] = tuf_key_id(signer.public_key());
    entry["sig"] = to_hex(signature);
    signatures.push_back(std::move(entry));
  }
  Json document = Json::object();
  document["signatures"] = std::move(signatures);
  document["signed"] = std::move(body);
  return print_document(document);
}

Json target_object(const TargetSpec& target) {
  Json object = Json::object();
  object["length"] = target.length_bytes;
  object["hashes"]["sha256"] = target.sha256.hex();
  if (!target.custom_json.empty()) object["custom"] = parsed(target.custom_json);
  return object;
}

Result<Json> delegations_object(const std::vector<DelegationSpec>& specs) {
  Json object = Json::object();
  object["keys"] = Json::object();
  object["roles"] = Json::array();
  for (const auto& spec : specs) {
    TRY_VOID(check_role(spec.keys, "delegation " + spec.role));
    put_keys(object["keys"], spec.keys);
    Json role = role_object(spec.keys);
    role["name"] = spec.role;
    role["terminating"] = spec.terminating;
    if (spec.path_hash_prefixes.empty())
      role["paths"] = spec.paths;
    else
      role["path_hash_prefixes"] = spec.path_hash_prefixes;
    object["roles"].push_back(std::move(role));
  }
  return value_of(std::move(object));
}

Json meta_object(std::int64_t version, std::string_view bytes) {
  Json meta = Json::object();
  meta["version"] = version;
  meta["length"] = bytes.size();
  meta["hashes"]["sha256"] = sha256(bytes).hex();
  return meta;
}

// The "signed" member of valid targets metadata, to write the next version of it without losing what we do not know.
Result<Json> signed_part_of(std::string_view metadata) {
  TRY_VOID(parse_targets(metadata));
  TRY(auto document, parse_json(metadata, JsonLimits{.bytes_max = metadata_bytes_max, .floats = false}));
  return value_of(std::move(document["signed"]));
}

}  // namespace

Result<std::string> write_root(const RootSpec& spec, std::span<const PrivateKey> signers) {
  Json body = header(RoleType::root, spec.version, spec.expires);
  body["consistent_snapshot"] = spec.consistent_snapshot;
  body["keys"] = Json::object();
  struct Named {
    const char* name;
    const RoleSigners& role;
  };
  for (const auto& [name, role] : {Named{"root", spec.root}, Named{"timestamp", spec.timestamp},
                                   Named{"snapshot", spec.snapshot}, Named{"targets", spec.targets}}) {
    TRY_VOID(check_role(role, name));
    put_keys(body["keys"], role);
    body["roles"][name] = role_object(role);
  }
  return seal(std::move(body), signers);
}

Result<std::string> write_targets(const TargetsSpec& spec, std::span<const PrivateKey> signers) {
  Json body = header(RoleType::targets, spec.version, spec.expires);
  body["targets"] = Json::object();
  for (const auto& target : spec.targets) body["targets"][target.path] = target_object(target);
  if (!spec.delegations.empty()) {
    TRY(body["delegations"], delegations_object(spec.delegations));
  }
  if (spec.minimum_counter) body["x-ferry"]["minimum_counter"] = *spec.minimum_counter;
  return seal(std::move(body), signers);
}

Result<DelegationSpec> model_delegation(const std::string& model, RoleSigners keys) {
  TRY_VOID(check_model_name(model));
  DelegationSpec spec;
  spec.role = model;
  spec.keys = std::move(keys);
  spec.paths = {model + "/*/manifest.json"};
  return spec;
}

Result<std::string> write_ferry_targets(std::int64_t version, Instant expires, std::string_view gate_policy,
                                        const std::vector<DelegationSpec>& delegations,
                                        std::span<const PrivateKey> signers) {
  TRY_VOID(parse_gate_policy(gate_policy));
  TargetsSpec spec;
  spec.version = version;
  spec.expires = expires;
  spec.delegations = delegations;
  TargetSpec policy;
  policy.path = std::string(gate_policy_target);
  policy.length_bytes = gate_policy.size();
  policy.sha256 = sha256(gate_policy);
  spec.targets.push_back(std::move(policy));
  return write_targets(spec, signers);
}

Result<std::string> add_release(std::string_view current, const ReleaseEntry& release,
                                std::span<const PrivateKey> signers, Instant now) {
  TRY_VOID(check_model_name(release.model));
  TRY_VOID(check_version(release.version));
  if (release.counter < 1 || release.counter > version_max) return bad("counter: expected 1 to 2^53 - 1");
  if (release.attestations.empty() || release.attestations.size() > attestation_pins_max)
    return bad("attestations: expected 1 to 16 files");
  Json body;
  if (current.empty()) {
    body = header(RoleType::targets, 0, now);
    body["targets"] = Json::object();
    body["x-ferry"]["minimum_counter"] = 1;
  } else {
    TRY(auto before, parse_targets(current));
    if (release.counter < before.minimum_counter.value_or(1))
      return Error{Errc::rollback_refused,
                   "counter: " + std::to_string(release.counter) + " is below the floor " +
                       std::to_string(*before.minimum_counter) + " of " + release.model,
                   "trust.counter_below_floor"};
    TRY(body, signed_part_of(current));
  }
  ReleaseCustom custom;
  custom.release_counter = release.counter;
  for (const auto& bytes : release.attestations) custom.attestations.push_back({sha256(bytes), bytes.size()});
  TargetSpec target;
  target.path = manifest_target_path(release.model, release.version);
  target.length_bytes = release.manifest.size();
  target.sha256 = sha256(release.manifest);
  target.custom_json = print_release_custom(custom);
  body["targets"][target.path] = target_object(target);
  body["version"] = body["version"].get<std::int64_t>() + 1;
  body["expires"] = to_rfc3339(now + role_lifetime);
  return seal(std::move(body), signers);
}

Result<std::string> raise_minimum_counter(std::string_view current, std::int64_t minimum_counter,
                                          std::span<const PrivateKey> signers, Instant now) {
  TRY(auto before, parse_targets(current));
  if (minimum_counter < before.minimum_counter.value_or(0) || minimum_counter > version_max)
    return Error{Errc::rollback_refused, "minimum_counter: " + std::to_string(minimum_counter) + ", it is " +
                                             std::to_string(before.minimum_counter.value_or(0)) +
                                             " already and can only rise"};
  TRY(auto body, signed_part_of(current));
  body["x-ferry"]["minimum_counter"] = minimum_counter;
  body["version"] = before.version + 1;
  body["expires"] = to_rfc3339(now + role_lifetime);
  return seal(std::move(body), signers);
}

Result<std::string> renew_targets(std::string_view current, Instant expires, std::span<const PrivateKey> signers) {
  TRY(auto body, signed_part_of(current));
  body["version"] = body["version"].get<std::int64_t>() + 1;
  body["expires"] = to_rfc3339(expires);
  return seal(std::move(body), signers);
}

Result<std::string> add_signatures(std::string_view metadata, std::span<const PrivateKey> signers) {
  TRY(auto document, parse_json(metadata, JsonLimits{.bytes_max = metadata_bytes_max, .floats = false}));
  if (!document.is_object()) return bad("metadata: expected an object");
  TRY(const Json* body, object_at(document, "signed"));
  TRY(const Json* signatures, array_at(document, "signatures", 1024));
  TRY(auto message, canonical_json(*body));
  Json kept = Json::array();
  std::set<std::string> replaced;
  for (const auto& signer : signers) replaced.insert(tuf_key_id(signer.public_key()));
  for (const auto& entry : *signatures) {
    TRY(auto id, string_at(entry, "keyid"));
    if (!replaced.contains(id)) kept.push_back(entry);
  }
  for (const auto& signer : signers) {
    TRY(auto signature, signer.sign(message));
    Json entry = Json::object();
    entry["keyid"] = tuf_key_id(signer.public_key());
    entry["sig"] = to_hex(signature);
    kept.push_back(std::move(entry));
  }
  document["signatures"] = std::move(kept);
  return print_document(document);
}

Result<std::string> write_snapshot(std::int64_t version, Instant expires,
                                   const std::map<std::string, std::string>& files,
                                   std::span<const PrivateKey> signers) {
  Json body = header(RoleType::snapshot, version, expires);
  body["meta"] = Json::object();
  for (const auto& [name, bytes] : files) {
    auto targets = parse_targets(bytes);
    if (!targets) return std::move(targets).error().within(name);
    body["meta"][name] = meta_object(targets->version, bytes);
  }
  return seal(std::move(body), signers);
}

Result<std::string> write_timestamp(std::int64_t version, Instant expires, std::string_view snapshot,
                                    std::span<const PrivateKey> signers) {
  TRY(auto listed, parse_snapshot(snapshot));
  Json body = header(RoleType::timestamp, version, expires);
  body["meta"]["snapshot.json"] = meta_object(listed.version, snapshot);
  return seal(std::move(body), signers);
}

}  // namespace ferry::ota
