// TUF metadata of every role, as a server or a thief of a disk could have written it.
#include "ota/metadata.hpp"
#include "ota/trusted_metadata.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace ferry;
using namespace ferry::ota;

namespace {

constexpr std::string_view path = "model/1.0.0/manifest.json";

template <class T>
void check_document(const T& document, std::string_view bytes) {
  fuzz::promise(document.bytes == bytes, "the received bytes are kept");
  fuzz::promise(document.version >= 1 && document.version <= version_max, "a version is 1 to 2^53 - 1");
}

void check_targets(const Targets& targets) {
  for (const auto& [name, target] : targets.targets) {
    fuzz::promise(!target.hashes.empty(), "a target has a hash");
    (void)check_hashes("", target.hashes, name);
    if (!target.custom_json.empty()) (void)parse_release_custom(target.custom_json);
  }
  for (const auto& delegation : covering_delegations(targets, path)) {
    auto again = delegation_named(targets, delegation.name);
    fuzz::promise(again && again->keys.threshold == delegation.keys.threshold, "a delegation is found by its name");
    (void)verify_threshold(targets, targets.delegation_keys, delegation.keys, delegation.name);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = fuzz::text_of(data, size);
  // Key ids that fit are out of reach for a mutator: both settings of the switch are tried.
  for (bool enforce : {true, false}) {
    ParseOptions options{.enforce_key_ids = enforce};
    if (auto root = parse_root(bytes, options)) {
      check_document(*root, bytes);
      fuzz::promise(root->roles.size() == 4, "a root has the four top-level roles");
      (void)TrustedMetadata::from_root(bytes, Instant{}, options);
    }
    if (auto timestamp = parse_timestamp(bytes, options)) check_document(*timestamp, bytes);
    if (auto snapshot = parse_snapshot(bytes, options)) check_document(*snapshot, bytes);
    if (auto targets = parse_targets(bytes, options)) {
      check_document(*targets, bytes);
      check_targets(*targets);
    }
  }
  if (auto key = parse_tuf_key(bytes))
    fuzz::promise(parse_tuf_key(tuf_key_json(*key)).has_value(), "a key is read back as written");
  return 0;
}
