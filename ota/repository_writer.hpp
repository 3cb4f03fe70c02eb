// Writing and signing TUF metadata: by the CLI (root, targets, model roles) and by the server (snapshot, timestamp).
#pragma once
#include "ota/metadata.hpp"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::ota {

using std::chrono::hours;
constexpr hours root_lifetime{365 * 24};
constexpr hours targets_lifetime{365 * 24};
constexpr hours role_lifetime{90 * 24};
constexpr hours snapshot_lifetime{7 * 24};
constexpr hours timestamp_lifetime{24};

struct RoleSigners {
  std::vector<PublicKey> keys;
  std::int64_t threshold = 1;
};

struct RootSpec {
  std::int64_t version = 1;
  Instant expires;
  bool consistent_snapshot = true;
  RoleSigners root, timestamp, snapshot, targets;
};
// For a rotation pass the keys of the old root too. bad_input when a threshold cannot be met.
Result<std::string> write_root(const RootSpec& spec, std::span<const PrivateKey> signers);

struct TargetSpec {
  std::string path;
  std::uint64_t length_bytes = 0;
  Digest sha256;
  std::string custom_json;  // empty: none
};
struct DelegationSpec {
  std::string role;
  RoleSigners keys;
  std::vector<std::string> paths;
  std::vector<std::string> path_hash_prefixes;  // instead of paths, when not empty
  bool terminating = true;
};
struct TargetsSpec {
  std::int64_t version = 1;
  Instant expires;
  std::vector<TargetSpec> targets;
  std::vector<DelegationSpec> delegations;
  std::optional<std::int64_t> minimum_counter;
};
Result<std::string> write_targets(const TargetsSpec& spec, std::span<const PrivateKey> signers);
// Ferry's delegation: role = model name, paths "<model>/*/manifest.json", terminating.
Result<DelegationSpec> model_delegation(const std::string& model, RoleSigners keys);

// Top-level targets.json of Ferry: the gate policy target and one delegation per model.
Result<std::string> write_ferry_targets(std::int64_t version, Instant expires, std::string_view gate_policy,
                                        const std::vector<DelegationSpec>& delegations,
                                        std::span<const PrivateKey> signers);

// The next version of a model's role: `current` with one target more (same path: replaced), everything else, also
// members we do not know, as it was. `current` empty: version 1, minimum_counter 1.
struct ReleaseEntry {
  std::string model;
  std::string version;
  std::string manifest;                   // bytes
  std::int64_t counter = 0;               // of the manifest; must reach the role's minimum_counter
  std::vector<std::string> attestations;  // bytes of each file to pin
};
Result<std::string> add_release(std::string_view current, const ReleaseEntry& release,
                                std::span<const PrivateKey> signers, Instant now);
// The next version with a higher floor. rollback_refused when it would be lower.
Result<std::string> raise_minimum_counter(std::string_view current, std::int64_t minimum_counter,
                                          std::span<const PrivateKey> signers, Instant now);
// The next version with a new expiry and nothing else.
Result<std::string> renew_targets(std::string_view current, Instant expires, std::span<const PrivateKey> signers);

// Adds signatures to an existing document (k-of-n: each holder signs in turn); a key's older signature is replaced.
Result<std::string> add_signatures(std::string_view metadata, std::span<const PrivateKey> signers);

Result<std::string> write_snapshot(std::int64_t version, Instant expires,
                                   const std::map<std::string, std::string>& files,  // "targets.json" -> bytes
                                   std::span<const PrivateKey> signers);
Result<std::string> write_timestamp(std::int64_t version, Instant expires, std::string_view snapshot,
                                    std::span<const PrivateKey> signers);

// --- The server's side ---

// A repository as bytes. Empty strings: not there yet.
struct RepositoryState {
  std::string root;
  std::string targets;
  std::map<std::string, std::string> roles;  // model -> <model>.json
  std::string snapshot;
  std::string timestamp;
};

// Each returns the new state or the refusal a client would give, plus: version exactly one more than the present one
// (rollback_refused below or equal, conflict when it skips), or the very same bytes (nothing changes). The first root
// is accepted when it is signed by itself; the first targets and roles with version >= 1.
Result<RepositoryState> accept_root_update(const RepositoryState& state, std::string_view root, Instant now);
// Roles stay listed even when their delegation is gone: devices refuse a snapshot from which a file disappeared.
Result<RepositoryState> accept_targets_update(const RepositoryState& state, std::string_view targets, Instant now);
// Further: the role is delegated, every target matches the delegation, minimum_counter is not lowered.
Result<RepositoryState> accept_role_update(const RepositoryState& state, const std::string& role,
                                           std::string_view bytes, Instant now);

// Signs snapshot (only when its contents changed, or less than half of its life is left) and timestamp anew, versions
// one higher. bad_input when the keys are not those of root.
struct OnlineKeys {
  PrivateKey snapshot;
  PrivateKey timestamp;
};
Result<RepositoryState> sign_online(const RepositoryState& state, const OnlineKeys& keys, Instant now);
bool needs_online_signature(const RepositoryState& state, Instant now);

// File name -> bytes as served: "1.root.json", "timestamp.json", "3.snapshot.json", "2.targets.json", "5.<role>.json".
// The caller keeps what it served before, above all every N.root.json: a device that slept walks the whole chain.
Result<std::map<std::string, std::string>> served_files(const RepositoryState& state);

}  // namespace ferry::ota
