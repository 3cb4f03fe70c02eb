// What a device sees of a Ferry server: signed metadata, gate attestations, blobs, over plain HTTP on loopback.
#pragma once
#include "ota/attestation.hpp"
#include "ota/manifest.hpp"
#include "ota/repository_client.hpp"
#include "ota/repository_writer.hpp"
#include "ota/slot_state.hpp"
#include "tests/support/scripted_server.hpp"

#include <nlohmann/json.hpp>

namespace ferry::test {

// Real keys, real signatures; the only shortcut is that the transport is not TLS. `intercept` may answer instead.
class FerryServer {
 public:
  static constexpr const char* model = "fashion-mnist";
  static constexpr const char* hardware_class = "x86_64-avx2-2c-16g-cpu";

  explicit FerryServer(Instant at)
      : now(at), server_([this](const ScriptedRequest& request) { return answer(request); }) {
    ota::RootSpec root;
    root.expires = now + ota::root_lifetime;
    root.root = signers(keys_root);
    root.timestamp = signers(keys_online.timestamp);
    root.snapshot = signers(keys_online.snapshot);
    root.targets = signers(keys_targets);
    root_bytes = *ota::write_root(root, one(keys_root));
    state_ = *ota::accept_root_update({}, root_bytes, now);
    policy_ = ota::print_gate_policy({.threshold = 1, .age_max_days = 365, .keys = {keys_gate.public_key()}});
    auto targets = *ota::write_ferry_targets(1, now + ota::targets_lifetime, policy_,
                                             {*ota::model_delegation(model, signers(keys_release))}, one(keys_targets));
    state_ = *ota::accept_targets_update(state_, targets, now);
    put_target(std::string(ota::gate_policy_target), policy_);
    sign();
  }

  struct Options {
    std::string gate_result = "PASSED";
    std::int64_t latency_p99_us = 50'000;
    std::vector<std::string> architectures = {"x86_64"};
    std::size_t model_bytes = 50'000;
    bool forged_gate = false;                       // signed by the release key instead of the gate key
    std::string model_file = {}, golden_file = {};  // instead of random bytes
    std::string measured_on = hardware_class;       // "*": any
    std::function<void(ota::Manifest&)> edit = {};  // the last word on the manifest
  };
  // Publishes and returns what a check-in would assign.
  ota::AssignedRelease publish(const std::string& version, std::int64_t counter) {
    return publish(version, counter, Options{});
  }
  ota::AssignedRelease publish(const std::string& version, std::int64_t counter, const Options& options) {
    SeededRandom random(static_cast<std::uint64_t>(counter));
    auto blob = [&](const char* name, std::string bytes) {
      ota::BlobRef ref{name, sha256(bytes), bytes.size()};
      std::lock_guard lock(mutex_);
      blobs_[ref.sha256.hex()] = std::move(bytes);
      return ref;
    };
    ota::Manifest manifest;
    manifest.model = model;
    manifest.version = version;
    manifest.counter = counter;
    manifest.created = now;
    manifest.contract.task = "classification";
    manifest.contract.labels = {"a", "b"};
    manifest.contract.class_output = "logits";
    manifest.contract.inputs = {{"image", "FP32", {-1, 4}}};
    manifest.contract.outputs = {{"logits", "FP32", {-1, 2}}};
    ota::Variant variant;
    variant.name = "fp32";
    variant.precision = "fp32";
    variant.opset = 13;
    variant.file =
        blob("model.onnx", options.model_file.empty() ? random.bytes(options.model_bytes) : options.model_file);
    variant.golden = blob("golden.bin", options.golden_file.empty() ? random.bytes(500) : options.golden_file);
    variant.golden_tolerance = 0.001;
    variant.needs.architectures = options.architectures;
    variant.budget.latency_p99_us = options.latency_p99_us;
    manifest.variants = {variant};
    manifest.reference_profile = blob("reference.json", random.bytes(300));
    if (options.edit) options.edit(manifest);
    std::string bytes = ota::print_manifest(manifest);
    std::string attestations = attest(bytes, version, options);
    blob("attestations", attestations);

    ota::ReleaseEntry entry;
    entry.model = model;
    entry.version = version;
    entry.manifest = bytes;
    entry.counter = counter;
    entry.attestations = {attestations};
    role_ = *ota::add_release(role_, entry, one(keys_release), now);
    state_ = *ota::accept_role_update(state_, model, role_, now);
    ota::AssignedRelease assigned;
    assigned.version = version;
    assigned.counter = counter;
    assigned.manifest_sha256 = sha256(bytes);
    assigned.target = ota::manifest_target_path(model, version);
    assigned.length = bytes.size();
    assigned.rollout = "ro-" + version;
    assigned.arm = "canary";
    put_target(assigned.target, bytes);
    sign();
    model_digest[version] = variant.file.sha256;
    return assigned;
  }
  void raise_floor(std::int64_t counter) {
    role_ = *ota::raise_minimum_counter(role_, counter, one(keys_release), now);
    state_ = *ota::accept_role_update(state_, model, role_, now);
    sign();
  }

  std::string url() const { return server_.url(); }
  void set_blob(const Digest& digest, std::string bytes) {
    std::lock_guard lock(mutex_);
    blobs_[digest.hex()] = std::move(bytes);
  }
  std::string blob(const Digest& digest) const {
    std::lock_guard lock(mutex_);
    return blobs_.at(digest.hex());
  }
  // How often something below `prefix` was asked for.
  std::size_t asked(std::string_view prefix) const {
    auto all = server_.requests();
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [&](const auto& request) { return request.path().starts_with(prefix); }));
  }
  void intercept(std::function<std::optional<ScriptedAnswer>(const ScriptedRequest&)> hook) {
    std::lock_guard lock(mutex_);
    intercept_ = std::move(hook);
  }

  Instant now;
  std::string root_bytes;
  std::map<std::string, Digest> model_digest;  // of model.onnx, by version
  PrivateKey keys_root = *PrivateKey::generate(), keys_targets = *PrivateKey::generate(),
             keys_release = *PrivateKey::generate(), keys_gate = *PrivateKey::generate();
  ota::OnlineKeys keys_online{*PrivateKey::generate(), *PrivateKey::generate()};

 private:
  static ota::RoleSigners signers(const PrivateKey& key) { return {.keys = {key.public_key()}, .threshold = 1}; }
  static std::vector<PrivateKey> one(const PrivateKey& key) { return {key}; }

  std::string attest(const std::string& manifest, const std::string& version, const Options& options) const {
    const PrivateKey& key = options.forged_gate ? keys_release : keys_gate;
    auto line = [&](std::string_view type, const Json& predicate) {
      ota::Statement statement{.subjects = {{version, sha256(manifest)}},
                               .predicate_type = std::string(type),
                               .predicate_json = predicate.dump()};
      return *ota::sign_dsse(ota::in_toto_payload_type, ota::print_statement(statement), std::span(&key, 1)) + "\n";
    };
    Json checks = Json::array();
    for (const char* check : {"accuracy.top1", "latency.p99", "golden.determinism"})
      checks.push_back(std::string(check) + "@" + options.measured_on + "/fp32");
    bool passed = options.gate_result == "PASSED";
    return line(ota::test_result_predicate, {{"result", options.gate_result},
                                             {"configuration", Json::array()},
                                             {"passedTests", passed ? checks : Json::array()},
                                             {"failedTests", passed ? Json::array() : checks}}) +
           line(ota::model_gate_predicate, {{"format", "ferry.gate-report/1"},
                                            {"verdict", passed ? "pass" : "fail"},
                                            {"finishedOn", to_rfc3339(now)}});
  }
  void put_target(const std::string& path, const std::string& bytes) {
    ota::TargetFile file;
    file.path = path;
    file.length_bytes = bytes.size();
    file.hashes["sha256"] = sha256(bytes).hex();
    std::lock_guard lock(mutex_);
    files_["/device/v1/targets/" + *ota::target_url_path(file, true)] = bytes;
  }
  void sign() {
    state_ = *ota::sign_online(state_, keys_online, now);
    auto served = *ota::served_files(state_);
    std::lock_guard lock(mutex_);
    for (auto& [name, bytes] : served) files_["/device/v1/metadata/" + name] = bytes;
  }
  ScriptedAnswer answer(const ScriptedRequest& request) {
    std::lock_guard lock(mutex_);
    if (intercept_)
      if (auto instead = intercept_(request)) return *instead;
    constexpr std::string_view blobs = "/device/v1/blobs/sha256/";
    std::string path = request.path();
    if (path.starts_with(blobs)) {
      auto found = blobs_.find(path.substr(blobs.size()));
      if (found == blobs_.end()) return {404, "", "{}", {}, {}};
      std::size_t start = request.range_start();
      ScriptedAnswer blob;
      blob.status = start > 0 ? 206 : 200;
      if (start > 0)
        blob.headers = "Content-Range: bytes " + std::to_string(start) + "-" +
                       std::to_string(found->second.size() - 1) + "/" + std::to_string(found->second.size()) + "\r\n";
      blob.body = found->second.substr(start);
      return blob;
    }
    auto found = files_.find(path);
    if (found == files_.end()) return {404, "", "{}", {}, {}};
    return {200, "", found->second, {}, {}};
  }

  std::string policy_, role_;
  ota::RepositoryState state_;
  mutable std::mutex mutex_;  // guards files_, blobs_, intercept_
  std::map<std::string, std::string> files_, blobs_;
  std::function<std::optional<ScriptedAnswer>(const ScriptedRequest&)> intercept_;
  ScriptedServer server_;  // last: its thread ends first
};

}  // namespace ferry::test
