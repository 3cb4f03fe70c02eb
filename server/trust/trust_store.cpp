// Verify, write files, commit versions, serve: in that order, so that a kill leaves the old repository or the new one.
#include "server/trust/trust_store.hpp"

#include "ota/manifest.hpp"

#include <charconv>

namespace ferry::server {
namespace {

// Role -> (version, bytes) of everything a state holds, timestamp included.
struct RoleFile {
  std::int64_t version = 0;
  std::string bytes;
};

template <class Parse>
Result<> add_file(std::map<std::string, RoleFile>& files, const std::string& role, const std::string& bytes,
                  Parse parse) {
  if (bytes.empty()) return {};
  auto parsed = parse(bytes, ota::ParseOptions{});
  if (!parsed) return std::move(parsed).error().within(role);
  files[role] = {parsed->version, bytes};
  return {};
}

Result<std::map<std::string, RoleFile>> files_of(const ota::RepositoryState& state) {
  std::map<std::string, RoleFile> files;
  TRY_VOID(add_file(files, "root", state.root, ota::parse_root));
  TRY_VOID(add_file(files, "targets", state.targets, ota::parse_targets));
  TRY_VOID(add_file(files, "snapshot", state.snapshot, ota::parse_snapshot));
  TRY_VOID(add_file(files, "timestamp", state.timestamp, ota::parse_timestamp));
  for (const auto& [role, bytes] : state.roles) TRY_VOID(add_file(files, role, bytes, ota::parse_targets));
  return files;
}

std::string* place_of(ota::RepositoryState& state, const std::string& role) {
  if (role == "root") return &state.root;
  if (role == "targets") return &state.targets;
  if (role == "snapshot") return &state.snapshot;
  if (role == "timestamp") return &state.timestamp;
  return &state.roles[role];
}

std::size_t bytes_max_of(std::string_view role) {
  return role == "root" ? ota::root_bytes_max : ota::metadata_bytes_max;
}

std::string served_target(const std::string& path, const std::string& sha256_hex) {
  const std::size_t slash = path.rfind('/');
  const std::size_t base = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(0, base) + sha256_hex + "." + path.substr(base);
}

// "<N>.<role>.json" -> (N, role); not_found for anything else, so nothing of a request's path reaches the disk.
Result<std::pair<std::int64_t, std::string>> parse_file_name(const std::string& name) {
  const Error unknown{Errc::not_found, "metadata " + name.substr(0, 80) + ": not known"};
  constexpr std::string_view ending = ".json";
  std::int64_t version = 0;
  const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), version);
  const auto digits = static_cast<std::size_t>(end - name.data());
  if (failed != std::errc{} || version < 1 || !name.ends_with(ending) || name.size() < digits + 2 + ending.size() ||
      name[digits] != '.' || name[0] == '0')
    return unknown;
  const std::string role = name.substr(digits + 1, name.size() - digits - 1 - ending.size());
  if (!ota::is_top_level_role(role) && !ota::check_model_name(role)) return unknown;
  return std::pair(version, role);
}

Error with_reason(Error error, std::string_view reason) {
  if (error.reason.empty()) error.reason = reason;
  return error;
}

}  // namespace

Path TrustStore::path_of(std::string_view role, std::int64_t version) const {
  return directory_ / (std::to_string(version) + "." + std::string(role) + ".json");
}

Result<> TrustStore::load() {
  TRY_VOID(make_directories(directory_));
  TRY(auto rows, database_.query("select role, version, sha256 from trust_versions"));
  ota::RepositoryState state;
  for (const Row& row : rows) {
    const std::string role = row.text(0);
    auto bytes = read_file(path_of(role, row.integer(1)), bytes_max_of(role));
    if (!bytes) return std::move(bytes).error().within("trust: " + role);
    if (sha256(*bytes).hex() != row.text(2))
      return Error{Errc::bad_signature, "trust: " + path_of(role, row.integer(1)).string() +
                                            ": the file is not the one that was stored; restore it from a backup"};
    *place_of(state, role) = std::move(*bytes);
  }
  if (!state.root.empty()) {
    auto first = read_file(directory_ / "pinned-root.json", ota::root_bytes_max);
    if (!first) return std::move(first).error().within("trust");
    pinned_root_ = std::move(*first);
  }
  serve(std::move(state));
  return {};
}

bool TrustStore::published() const {
  std::shared_lock lock(mutex_);
  return !state_.root.empty();
}

void TrustStore::serve(ota::RepositoryState next) {
  std::map<std::string, std::shared_ptr<const std::string>> served;
  if (auto files = ota::served_files(next))
    for (auto& [name, bytes] : *files) served[name] = std::make_shared<const std::string>(std::move(bytes));
  std::map<std::string, Digest> targets;
  auto list = [&](const std::string& bytes) {
    auto parsed = ota::parse_targets(bytes);
    if (!parsed) return;
    for (const auto& [path, target] : parsed->targets) {
      const auto hash = target.hashes.find("sha256");
      if (hash == target.hashes.end()) continue;
      if (auto digest = Digest::from_hex(hash->second)) targets[served_target(path, digest->hex())] = *digest;
    }
  };
  if (!next.targets.empty()) list(next.targets);
  for (const auto& [role, bytes] : next.roles) list(bytes);
  std::unique_lock lock(mutex_);
  state_ = std::move(next);
  served_ = std::move(served);
  targets_ = std::move(targets);
}

Result<> TrustStore::store(ota::RepositoryState next, const std::function<Result<>(Database&)>& along) {
  const ota::RepositoryState present = state();
  TRY(auto before, files_of(present));
  TRY(auto after, files_of(next));
  const bool first = present.root.empty();
  if (first) TRY_VOID(write_file_atomic(directory_ / "pinned-root.json", next.root));
  std::map<std::string, std::int64_t> versions;
  for (const auto& [role, file] : after) {
    const auto old = before.find(role);
    if (old != before.end() && old->second.bytes == file.bytes) continue;
    TRY_VOID(write_file_atomic(path_of(role, file.version), file.bytes));
    versions[role] = file.version;
  }
  TRY_VOID(database_.transaction([&](Database& database) -> Result<> {
    for (const auto& [role, version] : versions) {
      TRY(auto ignored, database.query("insert into trust_versions (role, version, sha256) values ($1, $2, $3) "
                                       "on conflict (role) do update set version = $2, sha256 = $3",
                                       {role, version, sha256(after[role].bytes).hex()}));
    }
    return along ? along(database) : Result<>{};
  }));
  if (first) {
    std::unique_lock lock(mutex_);
    pinned_root_ = next.root;
  }
  serve(std::move(next));
  prune(versions);
  return {};
}

void TrustStore::prune(const std::map<std::string, std::int64_t>& versions) const {
  for (const auto& [role, version] : versions) {
    if (role == "root") continue;
    std::error_code ignored;
    for (std::int64_t old = version - metadata_versions_kept; old > 0; --old)
      if (!std::filesystem::remove(path_of(role, old), ignored)) break;
  }
}

Result<> TrustStore::update(const TrustUpdate& update) {
  std::lock_guard writer(writer_);
  const Instant now = clock_.now();
  ota::RepositoryState next = state();
  if (!update.root.empty()) {
    TRY(next, ota::accept_root_update(next, update.root, now));
  }
  if (!update.targets.empty()) {
    TRY(next, ota::accept_targets_update(next, update.targets, now));
  }
  if (next.root.empty() || next.targets.empty())
    return Error{Errc::bad_input, "root, targets: both are needed for the first publication"};
  for (const auto& [role, bytes] : update.roles) {
    TRY(next, ota::accept_role_update(next, role, bytes, now));
  }
  TRY(auto targets, ota::parse_targets(next.targets));
  const auto policy_target = targets.targets.find(std::string(ota::gate_policy_target));
  if (policy_target == targets.targets.end())
    return Error{Errc::bad_input, "targets: does not list " + std::string(ota::gate_policy_target)};
  const auto hash = policy_target->second.hashes.find("sha256");
  if (hash == policy_target->second.hashes.end())
    return Error{Errc::bad_input, "targets: " + std::string(ota::gate_policy_target) + ": no sha256"};
  TRY(auto digest, Digest::from_hex(hash->second));
  std::string policy = update.gate_policy;
  if (policy.empty()) {
    auto kept = blobs_.read(digest, ota::gate_policy_bytes_max);
    if (!kept)
      return Error{Errc::bad_input,
                   "gate_policy: targets names sha256 " + digest.hex() + ", which is not here: send it"};
    policy = std::move(*kept);
  }
  if (auto fits = ota::check_hashes(policy, policy_target->second.hashes, "gate_policy"); !fits) return fits;
  if (auto parsed = ota::parse_gate_policy(policy); !parsed) return std::move(parsed).error().within("gate_policy");
  TRY(auto stored, blobs_.put(policy));
  (void)stored;
  if (ota::needs_online_signature(next, now)) {
    TRY(next, ota::sign_online(next, keys_, now));
  }
  return store(std::move(next), {});
}

Result<> TrustStore::check_release(const ota::RepositoryState& next, const NewRelease& release, ReleaseRow& row) const {
  TRY(auto manifest, ota::parse_manifest(release.manifest));
  TRY_VOID(ota::require_frozen(manifest));
  if (manifest.model != release.model || manifest.version != release.version)
    return Error{Errc::bad_input, "manifest: is of " + manifest.model + " " + manifest.version + ", the request says " +
                                      release.model + " " + release.version};
  row.counter = manifest.counter;
  row.created_ms = to_unix_ms(manifest.created);
  const std::string path = ota::manifest_target_path(release.model, release.version);
  TRY(auto role, ota::parse_targets(next.roles.at(release.model)));
  const auto target = role.targets.find(path);
  if (target == role.targets.end())
    return Error{Errc::bad_signature, "role_metadata: does not list " + path, "trust.metadata"};
  if (target->second.length_bytes != release.manifest.size())
    return Error{Errc::bad_signature,
                 "role_metadata: " + path + ": length " + std::to_string(target->second.length_bytes) +
                     ", the manifest has " + std::to_string(release.manifest.size()),
                 "trust.metadata"};
  if (auto fits = ota::check_hashes(release.manifest, target->second.hashes, path); !fits)
    return with_reason(std::move(fits).error(), "trust.metadata");
  TRY(auto custom, ota::parse_release_custom(target->second.custom_json));
  if (custom.release_counter != manifest.counter)
    return Error{Errc::bad_input, "role_metadata: release_counter " + std::to_string(custom.release_counter) +
                                      ", the manifest says " + std::to_string(manifest.counter)};
  if (manifest.counter < role.minimum_counter.value_or(0))
    return Error{
        Errc::rollback_refused,
        "counter " + std::to_string(manifest.counter) + " is below the floor " + std::to_string(*role.minimum_counter),
        "trust.counter_below_floor"};
  TRY_VOID(ota::check_pinned(custom, release.attestations));
  for (const auto& pin : custom.attestations)
    if (pin.sha256 != row.attestations_sha256 && !blobs_.has(pin.sha256))
      return Error{Errc::bad_input, "attestation " + pin.sha256.hex() + ": pinned but not uploaded"};
  for (const ota::BlobRef& blob : manifest.blobs()) {
    const auto length = blobs_.length_of(blob.sha256);
    if (!length)
      return Error{Errc::bad_input, "blob " + blob.sha256.hex() + " (" + blob.name +
                                        "): not here; upload it first (PUT /api/v1/blobs/sha256/…)"};
    if (*length != blob.length_bytes)
      return Error{Errc::bad_input, "blob " + blob.sha256.hex() + " (" + blob.name + "): has " +
                                        std::to_string(*length) + " bytes, the manifest says " +
                                        std::to_string(blob.length_bytes)};
  }
  TRY(auto policy, gate_policy());
  TRY(auto gate,
      ota::check_attestations(policy, {.manifest_sha256 = row.manifest_sha256}, release.attestations, clock_.now()));
  row.gate_result = gate.result;
  return {};
}

Result<bool> TrustStore::publish(const NewRelease& release) {
  TRY_VOID(ota::check_model_name(release.model));
  TRY_VOID(ota::check_version(release.version));
  std::lock_guard writer(writer_);
  const Instant now = clock_.now();
  ReleaseRow row{.model = release.model, .version = release.version};
  row.manifest_sha256 = sha256(release.manifest);
  row.manifest_length = release.manifest.size();
  row.attestations_sha256 = sha256(release.attestations);
  row.published_ms = to_unix_ms(now);
  row.published_by = release.by;
  TRY(auto known, releases_.find(release.model, release.version));
  if (known) {
    if (known->manifest_sha256 == row.manifest_sha256 && known->attestations_sha256 == row.attestations_sha256)
      return false;
    return Error{Errc::conflict,
                 release.model + " " + release.version + " is published already with other bytes; raise the version"};
  }
  if (release.attestations.empty())
    return Error{Errc::gate_failed, "attestations: empty; a release needs the gate's report",
                 "trust.attestation_missing"};
  auto accepted = ota::accept_role_update(state(), release.model, release.role_metadata, now);
  if (!accepted) return std::move(accepted).error().within("role_metadata");
  TRY_VOID(check_release(*accepted, release, row));
  TRY(auto next, ota::sign_online(*accepted, keys_, now));
  TRY(auto manifest, blobs_.put(release.manifest));
  TRY(auto attestations, blobs_.put(release.attestations));
  (void)manifest;
  (void)attestations;
  TRY_VOID(store(std::move(next), [&](Database&) { return releases_.insert(row); }));
  log_.info("release published", {{"model", row.model},
                                  {"version", row.version},
                                  {"sha256", row.manifest_sha256.hex()},
                                  {"by", row.published_by}});
  return true;
}

Result<bool> TrustStore::renew() {
  std::lock_guard writer(writer_);
  const ota::RepositoryState present = state();
  const Instant now = clock_.now();
  if (!ota::needs_online_signature(present, now)) return false;
  TRY(auto next, ota::sign_online(present, keys_, now));
  TRY_VOID(store(std::move(next), {}));
  return true;
}

Result<std::shared_ptr<const std::string>> TrustStore::file(const std::string& name) const {
  std::string newest_of_role;
  {
    std::shared_lock lock(mutex_);
    const auto found = served_.find(name);
    if (found != served_.end()) return found->second;
  }
  TRY(auto wanted, parse_file_name(name));
  const auto& [version, role] = wanted;
  if (role == "timestamp") return Error{Errc::not_found, "metadata " + name + ": timestamp.json has no version"};
  TRY(auto files, files_of(state()));
  const auto present = files.find(role);
  // A file above the present version may lie here from a publication that was cut short: it was never served.
  if (present == files.end() || version >= present->second.version)
    return Error{Errc::not_found, "metadata " + name.substr(0, 80) + ": not known"};
  TRY(auto bytes, read_file(path_of(role, version), bytes_max_of(role)));
  return std::make_shared<const std::string>(std::move(bytes));
}

std::string TrustStore::newest(const std::string& role) const {
  std::shared_lock lock(mutex_);
  if (role == "root") return state_.root;
  if (role == "targets") return state_.targets;
  if (role == "snapshot") return state_.snapshot;
  if (role == "timestamp") return state_.timestamp;
  const auto found = state_.roles.find(role);
  return found == state_.roles.end() ? std::string() : found->second;
}

std::string TrustStore::pinned_root() const {
  std::shared_lock lock(mutex_);
  return pinned_root_;
}

ota::RepositoryState TrustStore::state() const {
  std::shared_lock lock(mutex_);
  return state_;
}

Result<ota::GatePolicy> TrustStore::gate_policy() const {
  const std::string targets = newest("targets");
  if (targets.empty()) return Error{Errc::not_found, "gate policy: no trust root is published yet (ferry key publish)"};
  TRY(auto parsed, ota::parse_targets(targets));
  const auto target = parsed.targets.find(std::string(ota::gate_policy_target));
  if (target == parsed.targets.end()) return Error{Errc::not_found, "gate policy: targets.json does not list it"};
  TRY(auto digest,
      Digest::from_hex(target->second.hashes.contains("sha256") ? target->second.hashes.at("sha256") : ""));
  TRY(auto bytes, blobs_.read(digest, ota::gate_policy_bytes_max));
  return ota::parse_gate_policy(bytes);
}

Result<Digest> TrustStore::target(const std::string& served_path) const {
  std::shared_lock lock(mutex_);
  const auto found = targets_.find(served_path);
  if (found == targets_.end()) return Error{Errc::not_found, "target " + served_path.substr(0, 120) + ": not known"};
  return found->second;
}

}  // namespace ferry::server
