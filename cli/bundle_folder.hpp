// A bundle folder as `ferry bundle pack` and `ferry gate run` leave it (docs/formats/bundle.md).
#pragma once
#include "common/file.hpp"
#include "ota/manifest.hpp"

#include <string>

namespace ferry::cli {

struct BundleFolder {
  Path folder;
  std::string manifest_bytes;
  ota::Manifest manifest;
  Digest digest() const { return sha256(manifest_bytes); }
};
// Errors name the file: not_found when there is no manifest.json, bad_input when it is none.
Result<BundleFolder> open_bundle(const Path& folder);

// attestations.intoto.jsonl. gate_failed when it is not there: the gate has not run.
Result<std::string> read_attestations(const BundleFolder& bundle);

// bad_signature unless every statement in it is about this bundle's manifest: a manifest that was edited, or packed
// anew, after its gate has a report that is about other bytes. Signatures are not looked at here.
Result<> check_subjects(const BundleFolder& bundle, const std::string& attestations);

// What the test result says of itself: PASSED | WARNED | FAILED; the best of several hardware classes' (a device of
// another class decides by its own). gate_failed when there is none.
Result<std::string> claimed_result(const std::string& attestations);

}  // namespace ferry::cli
