// Parsing of TUF metadata: every field typed and bounded, every refusal names it.
#include "ota/metadata.hpp"

#include "common/bytes.hpp"
#include "common/canonical_json.hpp"
#include "common/json.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

namespace ferry::ota {
namespace {

constexpr std::size_t name_bytes_max = 4096;      // role names, target paths, key ids
constexpr std::size_t key_bytes_max = 16 * 1024;  // a key's public part
constexpr std::size_t signatures_max = 1024;
constexpr int succinct_bits_max = 32;          // TAP 15
constexpr std::size_t listed_max = 1'000'000;  // entries of a table; the file's size bounds them further

Error bad(std::string what) { return Error{Errc::bad_input, std::move(what)}; }

bool digits_only(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "1.x" or "1.x.y": the major version decides compatibility (specification §4.3).
Result<> check_spec_version(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t start = 0; start <= text.size();) {
    auto end = std::min(text.find('.', start), text.size());
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  bool well_formed = (parts.size() == 2 || parts.size() == 3) && std::all_of(parts.begin(), parts.end(), digits_only);
  if (!well_formed || parts[0] != "1")
    return Error{Errc::unsupported,
                 "spec_version: found \"" + std::string(text.substr(0, 40)) + "\", expected 1.x or 1.x.y"};
  return {};
}

std::optional<PublicKey> usable_key(const std::string& type, const std::string& scheme, const std::string& text) {
  // The whitelist of (keytype, scheme) pairs. The algorithm never comes from a signature.
  struct Pair {
    std::string_view type, scheme;
    KeyScheme means;
  };
  static constexpr Pair whitelist[] = {
      {"ecdsa", "ecdsa-sha2-nistp256", KeyScheme::ecdsa_p256_sha256},
      {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", KeyScheme::ecdsa_p256_sha256},  // old Sigstore
      {"ecdsa", "ecdsa-sha2-nistp384", KeyScheme::ecdsa_p384_sha384},
      {"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", KeyScheme::ecdsa_p384_sha384},
      {"ed25519", "ed25519", KeyScheme::ed25519},
      {"rsa", "rsassa-pss-sha256", KeyScheme::rsa_pss_sha256},
  };
  for (const auto& pair : whitelist) {
    if (type != pair.type || scheme != pair.scheme) continue;
    if (pair.means == KeyScheme::ed25519) {
      auto raw = from_hex(text);
      if (!raw) return std::nullopt;
      auto key = PublicKey::from_ed25519_raw(*raw);
      return key ? std::optional(std::move(*key)) : std::nullopt;
    }
    auto key = PublicKey::from_pem(text);
    if (!key || key->scheme() != pair.means) return std::nullopt;
    return std::move(*key);
  }
  return std::nullopt;
}

Result<KeyMap> parse_keys(const Json& object, const ParseOptions& options) {
  KeyMap keys;
  for (const auto& [id, key] : object.items()) {
    auto where = "keys." + id.substr(0, 80);
    if (!key.is_object()) return bad(where + ": expected an object");
    auto type = string_at(key, "keytype");
    if (!type) return std::move(type).error().within(where);
    auto scheme = string_at(key, "scheme");
    if (!scheme) return std::move(scheme).error().within(where);
    auto value = object_at(key, "keyval");
    if (!value) return std::move(value).error().within(where);
    auto text = string_at(**value, "public", key_bytes_max);
    if (!text) return std::move(text).error().within(where + ".keyval");
    if (options.enforce_key_ids) {
      TRY(auto canonical, canonical_json(key));
      if (sha256(canonical).hex() != id)
        return bad(where + ": the key id is not the SHA-256 of the key, expected " + sha256(canonical).hex());
    }
    keys.emplace(id, usable_key(*type, *scheme, *text));
  }
  return keys;
}

Result<RoleKeys> parse_role_keys(const Json& object) {
  RoleKeys role;
  TRY(const Json* ids, array_at(object, "keyids", signatures_max));
  std::set<std::string> seen;
  for (const auto& id : *ids) {
    if (!id.is_string()) return bad("keyids: expected strings");
    if (!seen.insert(id.get<std::string>()).second) return bad("keyids: a key id is listed twice");
    role.key_ids.push_back(id.get<std::string>());
  }
  TRY(role.threshold, integer_at(object, "threshold", 1, signatures_max));
  return role;
}

Result<Hashes> parse_hashes(const Json& object) {
  Hashes hashes;
  for (const auto& [algorithm, hex] : object.items()) {
    if (!hex.is_string() || hex.get_ref<const std::string&>().size() > name_bytes_max)
      return bad("hashes." + algorithm.substr(0, 80) + ": expected a string");
    std::size_t digits = algorithm == "sha256" ? 64 : algorithm == "sha512" ? 128 : 0;
    auto bytes = from_hex(hex.get<std::string>());
    // The text becomes part of a URL and of a file name, so a known one is checked before anything uses it.
    if (digits != 0 && (!bytes || bytes->size() * 2 != digits))
      return bad("hashes." + algorithm + ": expected " + std::to_string(digits) + " hex digits");
    hashes.emplace(algorithm, hex.get<std::string>());
  }
  if (hashes.empty()) return bad("hashes: expected at least one");
  return hashes;
}

Result<FileMeta> parse_file_meta(const Json& object) {
  if (!object.is_object()) return bad("expected an object");
  FileMeta meta;
  TRY(meta.version, integer_at(object, "version", 1, version_max));
  if (object.contains("length")) {
    TRY(auto length, integer_at(object, "length", 0, version_max));
    meta.length_bytes = static_cast<std::uint64_t>(length);
  }
  if (object.contains("hashes")) {
    TRY(const Json* hashes, object_at(object, "hashes"));
    TRY(meta.hashes, parse_hashes(*hashes));
  }
  return meta;
}

Result<std::vector<Signature>> parse_signatures(const Json& array) {
  std::vector<Signature> signatures;
  std::set<std::string> seen;
  for (const auto& entry : array) {
    if (!entry.is_object()) return bad("signatures: expected objects");
    Signature signature;
    TRY(signature.key_id, string_at(entry, "keyid", name_bytes_max));
    TRY(auto hex, string_at(entry, "sig", key_bytes_max));
    if (auto bytes = from_hex(hex)) signature.bytes = std::move(*bytes);
    if (!seen.insert(signature.key_id).second)
      return bad("signatures: key id " + signature.key_id.substr(0, 80) + " is listed twice");
    signatures.push_back(std::move(signature));
  }
  return signatures;
}

// The envelope and the fields that every role has; `signed_part` is what is left to read.
struct Opened {
  Document document;
  Json signed_part;
};
Result<Opened> open_document(std::string_view bytes, RoleType type) {
  JsonLimits limits{.bytes_max = metadata_bytes_max, .depth_max = json_depth_max, .floats = false};
  TRY(auto json, parse_json(bytes, limits));
  if (!json.is_object()) return bad("expected an object with signed and signatures");
  Opened opened;
  TRY(const Json* array, array_at(json, "signatures", signatures_max));
  TRY(opened.document.signatures, parse_signatures(*array));
  TRY(const Json* body, object_at(json, "signed"));
  TRY(auto found, string_at(*body, "_type"));
  if (found != to_string(type))
    return bad("_type: found \"" + found.substr(0, 40) + "\", expected \"" + std::string(to_string(type)) + "\"");
  TRY(auto spec_version, string_at(*body, "spec_version"));
  TRY_VOID(check_spec_version(spec_version));
  TRY(opened.document.version, integer_at(*body, "version", 1, version_max));
  TRY(auto expires, string_at(*body, "expires"));
  auto instant = from_rfc3339(expires);
  if (!instant) return std::move(instant).error().within("expires");
  opened.document.expires = *instant;
  TRY(opened.document.canonical, canonical_json(*body));
  opened.document.bytes = std::string(bytes);
  opened.signed_part = std::move(json["signed"]);
  return opened;
}

Result<TargetFile> parse_target(const std::string& path, const Json& object) {
  if (path.empty() || path.size() > name_bytes_max) return bad("expected a path of 1 to 4096 bytes");
  if (!object.is_object()) return bad("expected an object");
  TargetFile target{.path = path, .length_bytes = 0, .hashes = {}, .custom_json = {}};
  TRY(auto length, integer_at(object, "length", 0, version_max));
  target.length_bytes = static_cast<std::uint64_t>(length);
  TRY(const Json* hashes, object_at(object, "hashes"));
  TRY(target.hashes, parse_hashes(*hashes));
  if (object.contains("custom")) {
    TRY(const Json* custom, object_at(object, "custom"));
    target.custom_json = dump_json(*custom);
  }
  return target;
}

Result<std::vector<std::string>> parse_strings(const Json& object, std::string_view key) {
  TRY(const Json* array, array_at(object, key, listed_max));
  std::vector<std::string> strings;
  for (const auto& entry : *array) {
    if (!entry.is_string() || entry.get_ref<const std::string&>().size() > name_bytes_max)
      return bad(std::string(key) + ": expected strings of at most 4096 bytes");
    strings.push_back(entry.get<std::string>());
  }
  return strings;
}

Result<Delegation> parse_delegation(const Json& object) {
  if (!object.is_object()) return bad("expected an object");
  Delegation delegation;
  TRY(delegation.name, string_at(object, "name", name_bytes_max));
  if (delegation.name.empty() || is_top_level_role(delegation.name))
    return bad("name: expected a role that is not root, timestamp, snapshot or targets");
  TRY(delegation.keys, parse_role_keys(object));
  TRY(delegation.terminating, bool_at(object, "terminating"));
  delegation.by_hash = object.contains("path_hash_prefixes");
  if (delegation.by_hash == object.contains("paths"))
    return bad("expected exactly one of paths and path_hash_prefixes");
  auto& list = delegation.by_hash ? delegation.path_hash_prefixes : delegation.paths;
  TRY(list, parse_strings(object, delegation.by_hash ? "path_hash_prefixes" : "paths"));
  if (!delegation.by_hash) return delegation;
  for (auto& prefix : list) {
    bool hex = !prefix.empty() && prefix.size() <= 64 &&
               prefix.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    if (!hex) return bad("path_hash_prefixes: expected 1 to 64 hex digits");
    std::transform(prefix.begin(), prefix.end(), prefix.begin(),
                   [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  }
  return delegation;
}

Result<SuccinctRoles> parse_succinct_roles(const Json& object) {
  SuccinctRoles succinct;
  TRY(succinct.keys, parse_role_keys(object));
  TRY(auto bits, integer_at(object, "bit_length", 1, succinct_bits_max));
  succinct.bit_length = static_cast<int>(bits);
  TRY(succinct.name_prefix, string_at(object, "name_prefix", name_bytes_max - 16));
  return succinct;
}

Result<> parse_delegations(const Json& object, const ParseOptions& options, Targets& targets) {
  TRY(const Json* keys, object_at(object, "keys"));
  TRY(targets.delegation_keys, parse_keys(*keys, options));
  if (object.contains("succinct_roles") == object.contains("roles"))
    return bad("expected exactly one of roles and succinct_roles");
  if (object.contains("succinct_roles")) {
    TRY(const Json* roles, object_at(object, "succinct_roles"));
    auto succinct = parse_succinct_roles(*roles);
    if (!succinct) return std::move(succinct).error().within("succinct_roles");
    targets.succinct = std::move(*succinct);
    return {};
  }
  TRY(const Json* roles, array_at(object, "roles", listed_max));
  std::set<std::string> names;
  for (std::size_t i = 0; i < roles->size(); ++i) {
    auto delegation = parse_delegation((*roles)[i]);
    if (!delegation) return std::move(delegation).error().within("roles[" + std::to_string(i) + "]");
    if (!names.insert(delegation->name).second) return bad("roles[" + std::to_string(i) + "].name: listed twice");
    targets.delegations.push_back(std::move(*delegation));
  }
  return {};
}

Result<Root> root_of(std::string_view bytes, const ParseOptions& options) {
  TRY(auto opened, open_document(bytes, RoleType::root));
  Root root;
  static_cast<Document&>(root) = std::move(opened.document);
  const Json& body = opened.signed_part;
  // The field may be missing in old metadata; the specification gives no default, false is what it meant then.
  TRY(root.consistent_snapshot, bool_or(body, "consistent_snapshot", false));
  TRY(const Json* keys, object_at(body, "keys"));
  TRY(root.keys, parse_keys(*keys, options));
  TRY(const Json* roles, object_at(body, "roles"));
  for (auto type : {RoleType::root, RoleType::timestamp, RoleType::snapshot, RoleType::targets}) {
    auto name = std::string(to_string(type));
    TRY(const Json* role, object_at(*roles, name));
    auto parsed = parse_role_keys(*role);
    if (!parsed) return std::move(parsed).error().within("roles." + name);
    root.roles.emplace(name, std::move(*parsed));
  }
  return root;
}

Result<Timestamp> timestamp_of(std::string_view bytes) {
  TRY(auto opened, open_document(bytes, RoleType::timestamp));
  Timestamp timestamp;
  static_cast<Document&>(timestamp) = std::move(opened.document);
  TRY(const Json* meta, object_at(opened.signed_part, "meta"));
  if (meta->size() != 1 || !meta->contains("snapshot.json"))
    return bad("meta: expected snapshot.json and nothing else");
  auto parsed = parse_file_meta((*meta)["snapshot.json"]);
  if (!parsed) return std::move(parsed).error().within("meta.snapshot.json");
  timestamp.snapshot = std::move(*parsed);
  return timestamp;
}

Result<Snapshot> snapshot_of(std::string_view bytes) {
  TRY(auto opened, open_document(bytes, RoleType::snapshot));
  Snapshot snapshot;
  static_cast<Document&>(snapshot) = std::move(opened.document);
  TRY(const Json* meta, object_at(opened.signed_part, "meta"));
  for (const auto& [name, entry] : meta->items()) {
    auto parsed = parse_file_meta(entry);
    if (!parsed) return std::move(parsed).error().within("meta." + name.substr(0, 80));
    snapshot.files.emplace(name, std::move(*parsed));
  }
  return snapshot;
}

Result<Targets> targets_of(std::string_view bytes, const ParseOptions& options) {
  TRY(auto opened, open_document(bytes, RoleType::targets));
  Targets targets;
  static_cast<Document&>(targets) = std::move(opened.document);
  const Json& body = opened.signed_part;
  TRY(const Json* files, object_at(body, "targets"));
  for (const auto& [path, entry] : files->items()) {
    auto parsed = parse_target(path, entry);
    if (!parsed) return std::move(parsed).error().within("targets." + path.substr(0, 80));
    targets.targets.emplace(path, std::move(*parsed));
  }
  if (body.contains("delegations")) {
    TRY(const Json* delegations, object_at(body, "delegations"));
    auto parsed = parse_delegations(*delegations, options, targets);
    if (!parsed) return std::move(parsed).error().within("delegations");
  }
  if (body.contains("x-ferry")) {
    TRY(const Json* ours, object_at(body, "x-ferry"));
    if (ours->contains("minimum_counter")) {
      auto floor = integer_at(*ours, "minimum_counter", 0, version_max);
      if (!floor) return std::move(floor).error().within("x-ferry");
      targets.minimum_counter = *floor;
    }
  }
  return targets;
}

// Names the file in every error, so that "version: …" is never ambiguous.
template <class T>
Result<T> named(Result<T> result, RoleType type) {
  if (!result) return std::move(result).error().within(to_string(type));
  return result;
}

}  // namespace

std::string_view to_string(RoleType type) {
  switch (type) {
    case RoleType::root:
      return "root";
    case RoleType::timestamp:
      return "timestamp";
    case RoleType::snapshot:
      return "snapshot";
    case RoleType::targets:
      return "targets";
  }
  return "?";
}

bool is_top_level_role(std::string_view name) {
  return name == "root" || name == "timestamp" || name == "snapshot" || name == "targets";
}

Result<PublicKey> parse_tuf_key(std::string_view text) {
  TRY(auto json, parse_json(text, JsonLimits{.bytes_max = 2 * key_bytes_max, .depth_max = json_depth_max}));
  if (!json.is_object()) return bad("expected an object");
  TRY(auto type, string_at(json, "keytype"));
  TRY(auto scheme, string_at(json, "scheme"));
  TRY(const Json* value, object_at(json, "keyval"));
  TRY(auto material, string_at(*value, "public", key_bytes_max));
  auto key = usable_key(type, scheme, material);
  if (!key)
    return bad("keyval.public: not a key for keytype " + type.substr(0, 40) + " and scheme " + scheme.substr(0, 40) +
               "; expected ecdsa P-256 or P-384, ed25519 or rsa of at least 2048 bits");
  return std::move(*key);
}

Result<Root> parse_root(std::string_view bytes, const ParseOptions& options) {
  return named(root_of(bytes, options), RoleType::root);
}
Result<Timestamp> parse_timestamp(std::string_view bytes, const ParseOptions&) {
  return named(timestamp_of(bytes), RoleType::timestamp);
}
Result<Snapshot> parse_snapshot(std::string_view bytes, const ParseOptions&) {
  return named(snapshot_of(bytes), RoleType::snapshot);
}
Result<Targets> parse_targets(std::string_view bytes, const ParseOptions& options) {
  return named(targets_of(bytes, options), RoleType::targets);
}

}  // namespace ferry::ota
