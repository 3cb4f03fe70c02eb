// The other side of publication with real keys: the trust owner (root, targets, gate policy) and CI (releases). Every
// part can be made wrong before it is sent.
#pragma once
#include "ota/attestation.hpp"
#include "ota/manifest.hpp"
#include "ota/repository_writer.hpp"
#include "server/trust/trust_store.hpp"

#include <nlohmann/json.hpp>

namespace ferry::server::test {

// P-256 keys made once per process: making them is the slow part of these tests.
inline const PrivateKey& test_key(const std::string& name) {
  static std::map<std::string, PrivateKey> keys;
  const auto found = keys.find(name);
  return found != keys.end() ? found->second : keys.emplace(name, *PrivateKey::generate()).first->second;
}
inline ota::OnlineKeys online_keys() { return {test_key("snapshot"), test_key("timestamp")}; }

struct BuiltRelease {
  NewRelease request;
  std::vector<std::pair<Digest, std::string>> blobs;  // what has to be uploaded first
};

class Publisher {
 public:
  static constexpr const char* model = "fashion-mnist";
  static constexpr const char* hardware_class = "x86_64-avx2-2c-16g-cpu";

  Publisher(Instant at, PublicKey snapshot, PublicKey timestamp)
      : now(at), snapshot_key(std::move(snapshot)), timestamp_key(std::move(timestamp)) {}
  explicit Publisher(Instant at)
      : Publisher(at, test_key("snapshot").public_key(), test_key("timestamp").public_key()) {}

  // --- the trust owner ---
  std::string root(std::int64_t version = 1, const std::string& key = "root", const std::string& signed_by = "root") {
    ota::RootSpec spec;
    spec.version = version;
    spec.expires = now + root_life;
    spec.root = by(test_key(key).public_key());
    spec.targets = by(test_key("targets").public_key());
    spec.snapshot = by(snapshot_key);
    spec.timestamp = by(timestamp_key);
    std::vector<PrivateKey> signers{test_key(signed_by)};
    if (signed_by != key && version > 1) signers.push_back(test_key(key));
    return *ota::write_root(spec, signers);
  }
  std::string policy(const std::string& gate_key = "gate", std::int64_t age_max_days = 365) const {
    return ota::print_gate_policy(
        {.threshold = 1, .age_max_days = age_max_days, .keys = {test_key(gate_key).public_key()}});
  }
  std::string targets(std::int64_t version, const std::string& gate_policy, const std::string& signed_by = "targets",
                      std::vector<std::string> models = {model}) const {
    std::vector<ota::DelegationSpec> delegations;
    for (const std::string& name : models)
      delegations.push_back(*ota::model_delegation(name, by(test_key("release").public_key())));
    return *ota::write_ferry_targets(version, now + ota::targets_lifetime, gate_policy, delegations,
                                     one(test_key(signed_by)));
  }
  TrustUpdate first_trust() {
    TrustUpdate update;
    update.root = root();
    update.gate_policy = policy();
    update.targets = targets(1, update.gate_policy);
    return update;
  }

  // --- CI ---
  struct Wrong {
    std::string gate_result = "PASSED";
    std::string gate_key = "gate";
    std::string release_key = "release";
    bool no_attestation = false;
    bool pin_other = false;  // the target pins other attestations than are sent
    bool draft = false;
    std::int64_t counter_custom = 0;  // in the target's custom instead of the manifest's
    std::string manifest_model = model;
    std::string manifest_version;  // "": as asked
    Instant gate_finished{};       // default: now
    std::string changed_manifest;  // appended after signing
  };
  BuiltRelease release(const std::string& version, std::int64_t counter) { return release(version, counter, Wrong{}); }
  BuiltRelease release(const std::string& version, std::int64_t counter, const Wrong& wrong) {
    BuiltRelease built;
    ota::Manifest manifest = manifest_for(version, counter, wrong, built);
    std::string bytes = ota::print_manifest(manifest);
    built.request.model = model;
    built.request.version = version;
    built.request.by = "ci";
    built.request.attestations = wrong.no_attestation ? "" : attest(bytes, version, wrong);
    ota::ReleaseEntry entry;
    entry.model = model;
    entry.version = version;
    entry.manifest = bytes;
    entry.counter = wrong.counter_custom != 0 ? wrong.counter_custom : counter;
    entry.attestations = {wrong.pin_other || wrong.no_attestation ? "other bytes" : built.request.attestations};
    built.request.role_metadata = *ota::add_release(role, entry, one(test_key(wrong.release_key)), now);
    built.request.manifest = bytes + wrong.changed_manifest;
    return built;
  }
  // What CI does once the server said yes: its next role version follows this one.
  void accepted(const BuiltRelease& built) { role = built.request.role_metadata; }

  std::string attest(const std::string& manifest, const std::string& version, const Wrong& wrong) const {
    const auto& key = test_key(wrong.gate_key);
    const auto line = [&](std::string_view type, const Json& predicate) {
      ota::Statement statement{.subjects = {{version, sha256(manifest)}},
                               .predicate_type = std::string(type),
                               .predicate_json = predicate.dump()};
      return *ota::sign_dsse(ota::in_toto_payload_type, ota::print_statement(statement), std::span(&key, 1)) + "\n";
    };
    Json checks = Json::array();
    for (const char* check : {"accuracy.top1", "latency.p99", "golden.determinism"})
      checks.push_back(std::string(check) + "@" + hardware_class + "/fp32");
    const bool passed = wrong.gate_result != "FAILED";
    const Json none = Json::array();
    const Instant finished = wrong.gate_finished == Instant{} ? now : wrong.gate_finished;
    return line(ota::test_result_predicate, {{"result", wrong.gate_result},
                                             {"configuration", none},
                                             {"passedTests", passed ? checks : none},
                                             {"failedTests", passed ? none : checks}}) +
           line(ota::model_gate_predicate, {{"format", "ferry.gate-report/1"},
                                            {"verdict", passed ? "pass" : "fail"},
                                            {"finishedOn", to_rfc3339(finished)}});
  }

  Instant now;
  std::chrono::hours root_life = ota::root_lifetime;
  PublicKey snapshot_key, timestamp_key;
  std::string role;       // newest <model>.json that the server took
  std::string reference;  // of the releases to come; "": bytes that are no profile

 private:
  static ota::RoleSigners by(PublicKey key) { return {.keys = {std::move(key)}, .threshold = 1}; }
  static std::vector<PrivateKey> one(const PrivateKey& key) { return {key}; }

  ota::Manifest manifest_for(const std::string& version, std::int64_t counter, const Wrong& wrong,
                             BuiltRelease& built) const {
    SeededRandom random(static_cast<std::uint64_t>(counter) + std::hash<std::string>{}(version));
    const auto blob = [&](const char* name, std::size_t size, const std::string& given = "") {
      std::string bytes = given.empty() ? random.bytes(size) : given;
      ota::BlobRef ref{name, sha256(bytes), bytes.size()};
      built.blobs.emplace_back(ref.sha256, std::move(bytes));
      return ref;
    };
    ota::Manifest manifest;
    manifest.model = wrong.manifest_model;
    manifest.version = wrong.manifest_version.empty() ? version : wrong.manifest_version;
    manifest.counter = counter;
    manifest.created = now;
    manifest.description = "Clothing in 28x28 grey images";
    manifest.draft = wrong.draft;
    manifest.contract.task = "classification";
    manifest.contract.labels = {"t-shirt", "trouser"};
    manifest.contract.class_output = "logits";
    manifest.contract.inputs = {{"image", "FP32", {-1, 4}}};
    manifest.contract.outputs = {{"logits", "FP32", {-1, 2}}};
    ota::Variant variant;
    variant.name = "fp32";
    variant.precision = "fp32";
    variant.opset = 13;
    variant.file = blob("model.onnx", 2000);
    if (!wrong.draft) variant.golden = blob("golden.bin", 500);
    variant.golden_tolerance = 0.001;
    variant.needs.architectures = {"x86_64"};
    variant.budget.latency_p99_us = 50'000;
    manifest.variants = {variant};
    if (!wrong.draft) manifest.reference_profile = blob("reference.json", 300, reference);
    return manifest;
  }
};

}  // namespace ferry::server::test
