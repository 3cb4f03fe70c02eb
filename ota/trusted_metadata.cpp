// The decisions of the TUF client workflow, in the order of the specification.
#include "ota/trusted_metadata.hpp"

#include <set>

namespace ferry::ota {
namespace {

Error refused(Errc code, std::string context) { return Error{code, std::move(context), "trust.metadata"}; }

// Every refusal of this file is the same reason for a person, whatever layer found it.
Error refused(Error error) {
  error.reason = "trust.metadata";
  return error;
}

std::set<std::string> key_ids_of(const Root& root, const std::string& role) {
  const auto& ids = root.roles.at(role).key_ids;
  return {ids.begin(), ids.end()};
}

Result<> check_listed_bytes(const FileMeta& meta, std::string_view bytes, const std::string& what) {
  if (meta.length_bytes && *meta.length_bytes != bytes.size())
    return refused(Errc::bad_signature, what + ": length is " + std::to_string(bytes.size()) + " bytes, signed is " +
                                            std::to_string(*meta.length_bytes));
  if (meta.hashes.empty()) return {};
  auto checked = check_hashes(bytes, meta.hashes, what);
  if (!checked) return refused(std::move(checked).error());
  return {};
}

Result<> check_expiry(const Document& document, const std::string& what, Instant now) {
  if (document.expires > now) return {};
  return refused(Errc::expired, what + ": expired at " + to_rfc3339(document.expires) + ", it is " + to_rfc3339(now));
}

}  // namespace

Result<> verify_threshold(const Document& document, const KeyMap& keys, const RoleKeys& role, std::string_view name) {
  std::set<std::string> signers;  // key material: one key under two ids is one signer
  for (const auto& signature : document.signatures) {
    if (signature.bytes.empty()) continue;
    if (std::find(role.key_ids.begin(), role.key_ids.end(), signature.key_id) == role.key_ids.end()) continue;
    auto key = keys.find(signature.key_id);
    if (key == keys.end() || !key->second) continue;
    if (key->second->verify(document.canonical, signature.bytes)) signers.insert(key->second->spki_der());
  }
  // A threshold below one was refused while parsing; a signature is needed whatever a caller built.
  auto needed = static_cast<std::size_t>(std::max<std::int64_t>(role.threshold, 1));
  if (signers.size() >= needed) return {};
  return refused(Errc::bad_signature, std::string(name) + ": signed by " + std::to_string(signers.size()) +
                                          " trusted keys, expected " + std::to_string(needed));
}

Result<TrustedMetadata> TrustedMetadata::from_root(std::string_view bytes, Instant now, const ParseOptions& options) {
  auto root = parse_root(bytes, options);
  if (!root) return refused(std::move(root).error());
  TRY_VOID(verify_threshold(*root, root->keys, root->roles.at("root"), "trusted root"));
  return TrustedMetadata(std::move(*root), now, options);
}

Result<> TrustedMetadata::verify(const Document& document, std::string_view role) const {
  return verify_threshold(document, root_.keys, root_.roles.at(std::string(role)), role);
}

Result<bool> TrustedMetadata::update_root(std::string_view bytes) {
  if (timestamp_ || snapshot_) return refused(Errc::internal, "root: updated after timestamp");
  auto parsed = parse_root(bytes, options_);
  if (!parsed) return refused(std::move(parsed).error());
  TRY_VOID(verify_threshold(*parsed, root_.keys, root_.roles.at("root"), "root, by the keys of the previous one"));
  if (parsed->version != root_.version + 1)
    return refused(Errc::rollback_refused, "root: version is " + std::to_string(parsed->version) + ", expected " +
                                               std::to_string(root_.version + 1));
  TRY_VOID(verify_threshold(*parsed, parsed->keys, parsed->roles.at("root"), "root, by its own keys"));
  bool rotated = key_ids_of(root_, "timestamp") != key_ids_of(*parsed, "timestamp") ||
                 key_ids_of(root_, "snapshot") != key_ids_of(*parsed, "snapshot");
  root_ = std::move(*parsed);
  return rotated;
}

Result<> TrustedMetadata::check_root_current() const { return check_expiry(root_, "root", now_); }

Result<> TrustedMetadata::load_timestamp(std::string_view bytes) {
  auto parsed = parse_timestamp(bytes, options_);
  if (!parsed) return refused(std::move(parsed).error());
  TRY_VOID(verify(*parsed, "timestamp"));
  timestamp_ = std::move(*parsed);
  return {};
}

Result<bool> TrustedMetadata::update_timestamp(std::string_view bytes) {
  TRY_VOID(check_root_current());
  auto parsed = parse_timestamp(bytes, options_);
  if (!parsed) return refused(std::move(parsed).error());
  TRY_VOID(verify(*parsed, "timestamp"));
  if (timestamp_) {
    if (parsed->version < timestamp_->version)
      return refused(Errc::rollback_refused, "timestamp: version is " + std::to_string(parsed->version) + ", version " +
                                                 std::to_string(timestamp_->version) + " was trusted before");
    // The old one stays; whether it has expired meanwhile is asked before anything is built on it.
    if (parsed->version == timestamp_->version) return false;
    if (parsed->snapshot.version < timestamp_->snapshot.version)
      return refused(Errc::rollback_refused, "timestamp: meta.snapshot.json.version is " +
                                                 std::to_string(parsed->snapshot.version) + ", version " +
                                                 std::to_string(timestamp_->snapshot.version) + " was trusted before");
  }
  TRY_VOID(check_expiry(*parsed, "timestamp", now_));
  timestamp_ = std::move(*parsed);
  return true;
}

Result<> TrustedMetadata::check_timestamp_current() const {
  if (!timestamp_) return refused(Errc::internal, "timestamp: not loaded yet");
  TRY_VOID(check_root_current());
  return check_expiry(*timestamp_, "timestamp", now_);
}

Result<> TrustedMetadata::load_snapshot(std::string_view bytes) {
  auto parsed = parse_snapshot(bytes, options_);
  if (!parsed) return refused(std::move(parsed).error());
  TRY_VOID(verify(*parsed, "snapshot"));
  snapshot_ = std::move(*parsed);
  return {};
}

Result<> TrustedMetadata::check_snapshot_current() const {
  TRY_VOID(check_timestamp_current());
  if (!snapshot_) return refused(Errc::internal, "snapshot: not loaded yet");
  if (snapshot_->version != timestamp_->snapshot.version)
    return refused(Errc::rollback_refused, "snapshot: version is " + std::to_string(snapshot_->version) +
                                               ", the timestamp lists " + std::to_string(timestamp_->snapshot.version));
  return check_expiry(*snapshot_, "snapshot", now_);
}

bool TrustedMetadata::snapshot_is_current() const {
  return check_snapshot_current() && check_listed_bytes(timestamp_->snapshot, snapshot_->bytes, "snapshot");
}

Result<> TrustedMetadata::update_snapshot(std::string_view bytes) {
  TRY_VOID(check_timestamp_current());
  const auto& listed = timestamp_->snapshot;
  TRY_VOID(check_listed_bytes(listed, bytes, "snapshot"));
  auto parsed = parse_snapshot(bytes, options_);
  if (!parsed) return refused(std::move(parsed).error());
  TRY_VOID(verify(*parsed, "snapshot"));
  if (parsed->version != listed.version)
    return refused(Errc::rollback_refused, "snapshot: version is " + std::to_string(parsed->version) +
                                               ", the timestamp lists " + std::to_string(listed.version));
  if (snapshot_) {
    for (const auto& [name, meta] : snapshot_->files) {  // every file, delegated ones too (CVE-2025-2887)
      auto now_listed = parsed->files.find(name);
      if (now_listed == parsed->files.end())
        return refused(Errc::rollback_refused, "snapshot: " + name + " was listed before and is missing");
      if (now_listed->second.version < meta.version)
        return refused(Errc::rollback_refused, "snapshot: " + name + " has version " +
                                                   std::to_string(now_listed->second.version) + ", version " +
                                                   std::to_string(meta.version) + " was listed before");
    }
  }
  TRY_VOID(check_expiry(*parsed, "snapshot", now_));
  snapshot_ = std::move(*parsed);
  return {};
}

Result<FileMeta> TrustedMetadata::listed(const std::string& role) const {
  if (!snapshot_) return refused(Errc::internal, "snapshot: not loaded yet");
  auto found = snapshot_->files.find(role + ".json");
  if (found == snapshot_->files.end()) return refused(Errc::not_found, "snapshot: " + role + ".json is not listed");
  return found->second;
}

Result<> TrustedMetadata::verify_targets(const Targets& document, const RolePath& path) const {
  const auto& role = path.back();
  if (path.size() == 1) return verify(document, role);
  const auto* delegator = targets(RolePath(path.begin(), path.end() - 1));
  if (delegator == nullptr) return refused(Errc::internal, role + ": its delegator is not loaded yet");
  auto delegation = delegation_named(*delegator, role);
  if (!delegation) return refused(Errc::internal, role + ": its delegator does not delegate to it");
  return verify_threshold(document, delegator->delegation_keys, delegation->keys, role);
}

Result<> TrustedMetadata::update_targets(std::string_view bytes, const RolePath& path) {
  if (path.empty() || path.front() != "targets")
    return refused(Errc::internal, "targets: root delegates to targets only");
  const auto& role = path.back();
  TRY_VOID(check_snapshot_current());
  TRY(auto meta, listed(role));
  TRY_VOID(check_listed_bytes(meta, bytes, role));
  auto parsed = parse_targets(bytes, options_);
  if (!parsed) return refused(std::move(parsed).error().within(role));
  TRY_VOID(verify_targets(*parsed, path));
  if (parsed->version != meta.version)
    return refused(Errc::rollback_refused, role + ": version is " + std::to_string(parsed->version) +
                                               ", the snapshot lists " + std::to_string(meta.version));
  TRY_VOID(check_expiry(*parsed, role, now_));
  targets_.insert_or_assign(path, std::move(*parsed));
  return {};
}

const Targets* TrustedMetadata::targets(const RolePath& path) const {
  auto found = targets_.find(path);
  return found == targets_.end() ? nullptr : &found->second;
}

}  // namespace ferry::ota
