// The server's copy of the repository: what it accepts from owners and CI, and what it signs itself.
#include "ota/repository_writer.hpp"

#include "ota/manifest.hpp"
#include "ota/trusted_metadata.hpp"

#include <algorithm>

namespace ferry::ota {
namespace {

Error refused(Errc code, std::string context) { return Error{code, std::move(context), "trust.metadata"}; }

Error refused(Error error) {
  error.reason = "trust.metadata";
  return error;
}

// "Exactly one more than the present one": a gap would let two publishers overwrite each other unseen.
Result<> check_next(std::int64_t present, std::int64_t next, const std::string& name) {
  auto found = name + ": version is " + std::to_string(next) + ", expected " + std::to_string(present + 1);
  if (next <= present) return refused(Errc::rollback_refused, found + "; it is not newer than the present one");
  if (next != present + 1) return refused(Errc::conflict, found + "; fetch the present one and sign its next version");
  return {};
}

Result<> check_unexpired(const Document& document, const std::string& name, Instant now) {
  if (document.expires > now) return {};
  return refused(Errc::expired, name + ": expires at " + to_rfc3339(document.expires) + ", it is " + to_rfc3339(now));
}

const Delegation* find_delegation(const Targets& targets, const std::string& role) {
  for (const auto& delegation : targets.delegations)
    if (delegation.name == role) return &delegation;
  return nullptr;
}

Result<Targets> parse_named(std::string_view bytes, const std::string& name) {
  auto parsed = parse_targets(bytes);
  if (!parsed) return refused(std::move(parsed).error().within(name));
  return parsed;
}

Result<> verify_role(const Targets& delegator, const Targets& role, const std::string& name) {
  const auto* delegation = find_delegation(delegator, name);
  if (delegation == nullptr)
    return refused(Errc::denied, name + ": targets.json does not delegate to this role; the trust owner adds it");
  TRY_VOID(verify_threshold(role, delegator.delegation_keys, delegation->keys, name));
  for (const auto& [path, target] : role.targets)
    if (!delegation_covers(*delegation, path))
      return refused(Errc::denied, name + ": target " + path + " is outside the paths delegated to it");
  return {};
}

bool half_spent(Instant expires, std::chrono::hours lifetime, Instant now) { return expires - now < lifetime / 2; }

// What the snapshot lists: the file names without versions.
std::map<std::string, std::string> listed_files(const RepositoryState& state) {
  std::map<std::string, std::string> files{{"targets.json", state.targets}};
  for (const auto& [role, bytes] : state.roles) files.emplace(role + ".json", bytes);
  return files;
}

bool snapshot_fits(const Snapshot& snapshot, const RepositoryState& state) {
  auto files = listed_files(state);
  return snapshot.files.size() == files.size() && std::all_of(files.begin(), files.end(), [&](const auto& file) {
           auto listed = snapshot.files.find(file.first);
           return listed != snapshot.files.end() &&
                  check_hashes(file.second, listed->second.hashes, file.first).has_value();
         });
}

// One of ours, of whatever age; nothing when it is not there or signed by keys that root no longer names.
template <class T>
std::optional<T> ours(const std::string& bytes, Result<T> (*parse)(std::string_view, const ParseOptions&),
                      const Root& root, const std::string& role) {
  if (bytes.empty()) return std::nullopt;
  auto document = parse(bytes, {});
  if (!document || !verify_threshold(*document, root.keys, root.roles.at(role), role)) return std::nullopt;
  return std::move(*document);
}

}  // namespace

Result<RepositoryState> accept_root_update(const RepositoryState& state, std::string_view root, Instant now) {
  if (root == state.root) return state;
  if (root.size() > root_bytes_max) return refused(Errc::bad_input, "root: longer than 512000 bytes");
  RepositoryState next = state;
  next.root = std::string(root);
  if (state.root.empty()) {
    TRY(auto first, TrustedMetadata::from_root(root, now));
    TRY_VOID(first.check_root_current());
    return next;
  }
  TRY(auto present, TrustedMetadata::from_root(state.root, now));
  auto parsed = parse_root(root);
  if (!parsed) return refused(std::move(parsed).error());
  TRY_VOID(check_next(present.root().version, parsed->version, "root"));
  TRY_VOID(present.update_root(root));
  TRY_VOID(present.check_root_current());
  // A targets.json that the new root does not cover stays until its owner posts the next one (in the same request):
  // its version still counts.
  return next;
}

Result<RepositoryState> accept_targets_update(const RepositoryState& state, std::string_view targets, Instant now) {
  if (targets == state.targets) return state;
  if (state.root.empty()) return refused(Errc::conflict, "targets: there is no root yet; publish root.json first");
  if (targets.size() > targets_bytes_max) return refused(Errc::bad_input, "targets: longer than 5000000 bytes");
  TRY(auto root, TrustedMetadata::from_root(state.root, now));
  TRY(auto parsed, parse_named(targets, "targets"));
  TRY_VOID(verify_threshold(parsed, root.root().keys, root.root().roles.at("targets"), "targets"));
  if (!state.targets.empty()) {
    TRY(auto present, parse_named(state.targets, "targets"));
    TRY_VOID(check_next(present.version, parsed.version, "targets"));
  }
  TRY_VOID(check_unexpired(parsed, "targets", now));
  RepositoryState next = state;
  next.targets = std::string(targets);
  // Roles stay listed even when nobody delegates to them any more or by other keys: a device refuses a snapshot from
  // which a file disappeared or went back. A role whose keys changed is unusable until CI signs its next version.
  return next;
}

Result<RepositoryState> accept_role_update(const RepositoryState& state, const std::string& role,
                                           std::string_view bytes, Instant now) {
  if (auto named = check_model_name(role); !named) return refused(std::move(named).error().within("role"));
  if (state.root.empty() || state.targets.empty())
    return refused(Errc::conflict, role + ": there is no root.json and targets.json yet; publish them first");
  if (bytes.size() > targets_bytes_max) return refused(Errc::bad_input, role + ": longer than 5000000 bytes");
  auto present = state.roles.find(role);
  if (present != state.roles.end() && present->second == bytes) return state;
  TRY(auto root, TrustedMetadata::from_root(state.root, now));
  TRY(auto delegator, parse_named(state.targets, "targets"));
  TRY_VOID(verify_threshold(delegator, root.root().keys, root.root().roles.at("targets"), "targets"));
  TRY(auto parsed, parse_named(bytes, role));
  TRY_VOID(verify_role(delegator, parsed, role));
  if (present != state.roles.end()) {
    TRY(auto before, parse_named(present->second, role));
    TRY_VOID(check_next(before.version, parsed.version, role));
    if (parsed.minimum_counter.value_or(0) < before.minimum_counter.value_or(0))
      return Error{
          Errc::rollback_refused,
          role + ": x-ferry.minimum_counter: it was " + std::to_string(*before.minimum_counter) + " and can only rise",
          "trust.counter_below_floor"};
  }
  TRY_VOID(check_unexpired(parsed, role, now));
  for (const auto& [path, target] : parsed.targets) {
    auto custom = parse_release_custom(target.custom_json);
    if (!custom) return refused(std::move(custom).error().within(role + ": targets." + path));
  }
  RepositoryState next = state;
  next.roles[role] = std::string(bytes);
  return next;
}

bool needs_online_signature(const RepositoryState& state, Instant now) {
  if (state.root.empty() || state.targets.empty()) return false;
  auto root = parse_root(state.root);
  if (!root) return false;
  auto snapshot = ours(state.snapshot, parse_snapshot, *root, "snapshot");
  auto timestamp = ours(state.timestamp, parse_timestamp, *root, "timestamp");
  return !snapshot || !timestamp || !snapshot_fits(*snapshot, state) ||
         half_spent(snapshot->expires, snapshot_lifetime, now) ||
         half_spent(timestamp->expires, timestamp_lifetime, now) ||
         !check_hashes(state.snapshot, timestamp->snapshot.hashes, "snapshot");
}

Result<RepositoryState> sign_online(const RepositoryState& state, const OnlineKeys& keys, Instant now) {
  if (state.root.empty() || state.targets.empty())
    return Error{Errc::conflict, "snapshot: there is no root.json and targets.json yet; publish them first"};
  TRY(auto root, parse_root(state.root));
  RepositoryState next = state;
  auto snapshot = ours(state.snapshot, parse_snapshot, root, "snapshot");
  bool keep = snapshot && snapshot_fits(*snapshot, state) && !half_spent(snapshot->expires, snapshot_lifetime, now);
  if (!keep) {
    // Versions go on from the file at hand even when its keys are gone: clients that kept it must not see a rollback.
    auto before = parse_snapshot(state.snapshot);
    std::span<const PrivateKey> signer(&keys.snapshot, 1);
    TRY(next.snapshot,
        write_snapshot(before ? before->version + 1 : 1, now + snapshot_lifetime, listed_files(state), signer));
  }
  auto before = parse_timestamp(state.timestamp);
  std::span<const PrivateKey> signer(&keys.timestamp, 1);
  TRY(next.timestamp,
      write_timestamp(before ? before->version + 1 : 1, now + timestamp_lifetime, next.snapshot, signer));
  if (!ours(next.snapshot, parse_snapshot, root, "snapshot"))
    return Error{Errc::bad_input, "snapshot: the online key is not the one root.json names; ferry key init --online"};
  if (!ours(next.timestamp, parse_timestamp, root, "timestamp"))
    return Error{Errc::bad_input, "timestamp: the online key is not the one root.json names; ferry key init --online"};
  return next;
}

Result<std::map<std::string, std::string>> served_files(const RepositoryState& state) {
  std::map<std::string, std::string> files;
  if (!state.root.empty()) {
    TRY(auto root, parse_root(state.root));
    files[std::to_string(root.version) + ".root.json"] = state.root;
  }
  if (!state.targets.empty()) {
    TRY(auto targets, parse_targets(state.targets));
    files[std::to_string(targets.version) + ".targets.json"] = state.targets;
  }
  for (const auto& [role, bytes] : state.roles) {
    TRY(auto parsed, parse_targets(bytes));
    files[std::to_string(parsed.version) + "." + percent_encode(role) + ".json"] = bytes;
  }
  if (!state.snapshot.empty()) {
    TRY(auto snapshot, parse_snapshot(state.snapshot));
    files[std::to_string(snapshot.version) + ".snapshot.json"] = state.snapshot;
  }
  if (!state.timestamp.empty()) files["timestamp.json"] = state.timestamp;
  return files;
}

}  // namespace ferry::ota
