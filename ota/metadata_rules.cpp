// Rules over TUF values: path patterns, hashes, key objects, names in URLs and files, the custom part of a release.
#include "common/bytes.hpp"
#include "common/canonical_json.hpp"
#include "common/json.hpp"
#include "ota/metadata.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>

#include <nlohmann/json.hpp>

namespace ferry::ota {
namespace {

// One path part against one pattern part. Backtracks to the last '*' only: O(pattern * part), never exponential.
bool part_matches(std::string_view pattern, std::string_view part) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < part.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == part[t])) {
      ++p, ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Json key_object(const PublicKey& key) {
  std::string type, scheme, text = key.pem();
  switch (key.scheme()) {
    case KeyScheme::ecdsa_p256_sha256:
      type = "ecdsa", scheme = "ecdsa-sha2-nistp256";
      break;
    case KeyScheme::ecdsa_p384_sha384:
      type = "ecdsa", scheme = "ecdsa-sha2-nistp384";
      break;
    case KeyScheme::rsa_pss_sha256:
      type = "rsa", scheme = "rsassa-pss-sha256";
      break;
    case KeyScheme::ed25519: {
      // TUF wants the 32 raw bytes: the end of the SubjectPublicKeyInfo (RFC 8410 §4).
      auto der = key.spki_der();
      type = scheme = "ed25519";
      text = to_hex(std::string_view(der).substr(der.size() - 32));
      break;
    }
  }
  Json object = Json::object();
  object["keytype"] = type;
  object["scheme"] = scheme;
  object["keyval"]["public"] = text;
  return object;
}

}  // namespace

bool path_matches(std::string_view pattern, std::string_view path) {
  for (;;) {
    auto pattern_end = pattern.find('/'), path_end = path.find('/');
    if (!part_matches(pattern.substr(0, pattern_end), path.substr(0, path_end))) return false;
    bool pattern_last = pattern_end == std::string_view::npos, path_last = path_end == std::string_view::npos;
    if (pattern_last || path_last) return pattern_last && path_last;
    pattern.remove_prefix(pattern_end + 1);
    path.remove_prefix(path_end + 1);
  }
}

std::string SuccinctRoles::bin_name(std::uint32_t bin) const {
  static constexpr char hex[] = "0123456789abcdef";
  std::string digits;  // as many as the last bin's number has
  for (int shift = (bit_length - 1) / 4 * 4; shift >= 0; shift -= 4) digits += hex[bin >> shift & 15];
  return name_prefix + "-" + digits;
}

std::vector<Delegation> covering_delegations(const Targets& targets, std::string_view path) {
  std::vector<Delegation> covering;
  std::copy_if(targets.delegations.begin(), targets.delegations.end(), std::back_inserter(covering),
               [&](const Delegation& delegation) { return delegation_covers(delegation, path); });
  if (targets.succinct) {
    auto digest = sha256(path).bytes();
    std::uint32_t first = 0;
    for (std::size_t i = 0; i < 4; ++i) first = first << 8 | static_cast<unsigned char>(digest[i]);
    covering.push_back(targets.succinct->delegation(first >> (32 - targets.succinct->bit_length)));
  }
  return covering;
}

std::optional<Delegation> delegation_named(const Targets& targets, std::string_view role) {
  for (const auto& delegation : targets.delegations)
    if (delegation.name == role) return delegation;
  if (!targets.succinct || role.size() <= targets.succinct->name_prefix.size()) return std::nullopt;
  auto digits = role.substr(targets.succinct->name_prefix.size() + 1);
  std::uint64_t bin = 0;
  auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), bin, 16);
  if (failed != std::errc() || end != digits.data() + digits.size() || bin >> targets.succinct->bit_length != 0)
    return std::nullopt;
  auto delegation = targets.succinct->delegation(static_cast<std::uint32_t>(bin));
  if (delegation.name != role) return std::nullopt;  // another prefix, or a number written otherwise
  return delegation;
}

Delegation SuccinctRoles::delegation(std::uint32_t bin) const {
  Delegation made;
  made.name = bin_name(bin);
  made.keys = keys;
  made.terminating = true;  // TAP 15: exactly one bin can hold a path
  return made;
}

bool delegation_covers(const Delegation& delegation, std::string_view path) {
  if (!delegation.by_hash)
    return std::any_of(delegation.paths.begin(), delegation.paths.end(),
                       [&](const auto& pattern) { return path_matches(pattern, path); });
  auto hex = sha256(path).hex();
  return std::any_of(delegation.path_hash_prefixes.begin(), delegation.path_hash_prefixes.end(),
                     [&](const auto& prefix) { return hex.starts_with(prefix); });
}

std::string tuf_key_json(const PublicKey& key) { return dump_json(key_object(key)); }

std::string tuf_key_id(const PublicKey& key) {
  auto canonical = canonical_json(key_object(key));
  return canonical ? sha256(*canonical).hex() : std::string();  // no floats in it: cannot fail
}

std::string percent_encode(std::string_view text, bool keep_slash) {
  static constexpr char hex[] = "0123456789ABCDEF";
  std::string encoded;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
                 c == '-' || c == '~' || (keep_slash && c == '/');
    if (plain) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += hex[byte >> 4];
      encoded += hex[byte & 15];
    }
  }
  return encoded;
}

Result<> check_hashes(std::string_view bytes, const Hashes& hashes, std::string_view what) {
  bool any_known = false;
  for (const auto& [algorithm, hex] : hashes) {
    std::string actual;
    if (algorithm == "sha256")
      actual = sha256(bytes).hex();
    else if (algorithm == "sha512")
      actual = sha512_hex(bytes);
    else
      continue;
    any_known = true;
    TRY(auto expected, from_hex(hex));
    if (to_hex(expected) != actual)
      return Error{Errc::bad_signature, std::string(what) + ": " + algorithm + " is " + actual + ", signed is " + hex};
  }
  if (!any_known)
    return Error{Errc::bad_signature, std::string(what) + ": hashes: no known algorithm, expected sha256 or sha512"};
  return {};
}

Result<ReleaseCustom> parse_release_custom(std::string_view custom_json) {
  JsonLimits limits{.bytes_max = 64 * 1024, .depth_max = json_depth_max, .floats = false};
  auto json = parse_json(custom_json, limits);
  if (!json) return std::move(json).error().within("custom");
  if (!json->is_object()) return Error{Errc::bad_input, "custom: expected an object"};
  ReleaseCustom custom;
  TRY(custom.release_counter, integer_at(*json, "release_counter", 1, version_max));
  TRY(const Json* pins, array_at(*json, "attestations", attestation_pins_max));
  for (const auto& pin : *pins) {
    if (!pin.is_object()) return Error{Errc::bad_input, "custom.attestations: expected objects"};
    TRY(auto hex, string_at(pin, "sha256", 64));
    AttestationPin parsed;
    auto digest = Digest::from_hex(hex);
    if (!digest) return std::move(digest).error().within("custom.attestations.sha256");
    parsed.sha256 = *digest;
    TRY(auto length, integer_at(pin, "length", 0, version_max));
    parsed.length_bytes = static_cast<std::uint64_t>(length);
    custom.attestations.push_back(parsed);
  }
  return custom;
}

std::string print_release_custom(const ReleaseCustom& custom) {
  Json json = Json::object();
  json["release_counter"] = custom.release_counter;
  json["attestations"] = Json::array();
  for (const auto& pin : custom.attestations) {
    Json entry = Json::object();
    entry["sha256"] = pin.sha256.hex();
    entry["length"] = pin.length_bytes;
    json["attestations"].push_back(std::move(entry));
  }
  return dump_json(json);
}

Result<> check_pinned(const ReleaseCustom& custom, std::string_view bytes) {
  auto digest = sha256(bytes);
  for (const auto& pin : custom.attestations)
    if (pin.sha256 == digest && pin.length_bytes == bytes.size()) return {};
  return Error{Errc::bad_signature,
               "attestations: their digest " + digest.hex() + " is not pinned by the signed target; fetch them again",
               "trust.attestation_invalid"};
}

}  // namespace ferry::ota
