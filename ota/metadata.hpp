// TUF metadata as values (specification 1.0.34 §4): strict parsing, received bytes kept, nothing trusted yet.
#pragma once
#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/result.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::ota {

constexpr std::size_t root_bytes_max = 512'000;
constexpr std::size_t timestamp_bytes_max = 16 * 1024;
constexpr std::size_t snapshot_bytes_max = 2'000'000;   // when the timestamp lists no length
constexpr std::size_t targets_bytes_max = 5'000'000;    // when the snapshot lists no length
constexpr std::size_t metadata_bytes_max = 32'000'000;  // however large a listed length is
constexpr int roots_per_refresh_max = 256;
constexpr int delegations_visited_max = 32;
constexpr std::size_t target_bytes_max = 64 * 1024 * 1024;   // targets are manifests and policies, never model files
constexpr std::int64_t version_max = 9'007'199'254'740'991;  // 2^53 - 1: every JSON reader agrees on it
constexpr int json_depth_max = 32;

enum class RoleType { root, timestamp, snapshot, targets };
std::string_view to_string(RoleType type);
bool is_top_level_role(std::string_view name);

struct ParseOptions {
  // The specification says keyid = SHA-256 of the key's canonical JSON, MUST. Some tools do not follow it: false
  // accepts their repositories (thresholds count key material, so nothing is lost but conformance).
  bool enforce_key_ids = true;
};

struct Signature {
  std::string key_id;
  std::string bytes;  // empty: absent or not hex; never counts
};

// nullopt: a scheme outside the whitelist, or key bytes that do not fit their scheme; such a key never counts.
using KeyMap = std::map<std::string, std::optional<PublicKey>>;

struct RoleKeys {
  std::vector<std::string> key_ids;  // distinct
  std::int64_t threshold = 1;        // at least 1
};

// What every metadata file has.
struct Document {
  std::string bytes;                  // exactly as received: what is hashed and stored
  std::string canonical;              // canonical JSON of the whole "signed" member: what signatures cover
  std::vector<Signature> signatures;  // distinct key ids
  std::int64_t version = 0;           // 1 … version_max
  Instant expires;
};

using Hashes = std::map<std::string, std::string>;  // algorithm -> hex, not empty where present

struct FileMeta {
  std::int64_t version = 0;
  std::optional<std::uint64_t> length_bytes;
  Hashes hashes;  // may be empty
};

struct Root : Document {
  bool consistent_snapshot = false;
  KeyMap keys;
  std::map<std::string, RoleKeys> roles;  // holds the four top-level roles
};

struct Timestamp : Document {
  FileMeta snapshot;
};

struct Snapshot : Document {
  std::map<std::string, FileMeta> files;  // "targets.json", "<role>.json": names as listed
};

struct TargetFile {
  std::string path;
  std::uint64_t length_bytes = 0;
  Hashes hashes;            // at least one
  std::string custom_json;  // compact JSON of "custom"; empty when absent
};

struct Delegation {
  std::string name;
  RoleKeys keys;
  bool terminating = false;
  std::vector<std::string> paths;               // patterns; see path_matches
  std::vector<std::string> path_hash_prefixes;  // lower-case hex
  bool by_hash = false;                         // which of the two is meant
};

// TAP 15: 2^bit_length roles "<prefix>-<bin in hex>" with the same keys; a path belongs to the bin that the leftmost
// bits of its SHA-256 name.
struct SuccinctRoles {
  RoleKeys keys;
  int bit_length = 1;  // 1 … 32
  std::string name_prefix;

  std::string bin_name(std::uint32_t bin) const;
  Delegation delegation(std::uint32_t bin) const;
};

struct Targets : Document {
  std::map<std::string, TargetFile> targets;
  KeyMap delegation_keys;
  std::vector<Delegation> delegations;          // in listed order, distinct names
  std::optional<SuccinctRoles> succinct;        // instead of delegations
  std::optional<std::int64_t> minimum_counter;  // "x-ferry".minimum_counter (docs/formats/trust.md)
};

// bad_input naming the field. They check form only: no signature, no expiry.
Result<Root> parse_root(std::string_view bytes, const ParseOptions& options = {});
Result<Timestamp> parse_timestamp(std::string_view bytes, const ParseOptions& options = {});
Result<Snapshot> parse_snapshot(std::string_view bytes, const ParseOptions& options = {});
Result<Targets> parse_targets(std::string_view bytes, const ParseOptions& options = {});

// Parts are split at '/', equal in number; '*' and '?' never match '/'; '[' and '\' are ordinary characters; bytes,
// case-sensitive, no locale.
bool path_matches(std::string_view pattern, std::string_view path);
bool delegation_covers(const Delegation& delegation, std::string_view path);
// The delegations to follow for a path, in listed order: those that cover it, or its one succinct bin.
std::vector<Delegation> covering_delegations(const Targets& targets, std::string_view path);
// By the name of the role, succinct bins included; nullopt when there is no such delegation.
std::optional<Delegation> delegation_named(const Targets& targets, std::string_view role);

// The key object of TUF (also in the gate policy) for a key, and its keyid.
std::string tuf_key_json(const PublicKey& key);
std::string tuf_key_id(const PublicKey& key);
// A key object alone; bad_input when its scheme is unknown or its bytes do not fit.
Result<PublicKey> parse_tuf_key(std::string_view json);

// Everything but A-Z a-z 0-9 _ . - ~ becomes %XX: role names in URLs and file names. `keep_slash` for target paths.
std::string percent_encode(std::string_view text, bool keep_slash = false);

// bad_signature unless every known hash fits and at least one algorithm (sha256, sha512) is known.
Result<> check_hashes(std::string_view bytes, const Hashes& hashes, std::string_view what);

// "custom" of a release target (docs/formats/trust.md).
struct AttestationPin {
  Digest sha256;
  std::uint64_t length_bytes = 0;
};
struct ReleaseCustom {
  std::int64_t release_counter = 0;
  std::vector<AttestationPin> attestations;
};
constexpr std::size_t attestation_pins_max = 16;
Result<ReleaseCustom> parse_release_custom(std::string_view custom_json);
std::string print_release_custom(const ReleaseCustom& custom);
// bad_signature, reason trust.attestation_invalid, unless `bytes` is one of the pinned files.
Result<> check_pinned(const ReleaseCustom& custom, std::string_view bytes);

}  // namespace ferry::ota
