#include "cli/bundle_folder.hpp"

#include "ota/attestation.hpp"

#include <nlohmann/json.hpp>

namespace ferry::cli {
namespace {

// The statements of a .intoto.jsonl, lines that are none left out.
std::vector<ota::Statement> statements_in(std::string_view attestations) {
  std::vector<ota::Statement> statements;
  for (std::size_t from = 0; from < attestations.size();) {
    const std::size_t end = std::min(attestations.find('\n', from), attestations.size());
    const auto envelope = ota::parse_envelope(attestations.substr(from, end - from));
    from = end + 1;
    if (!envelope) continue;
    if (auto statement = ota::parse_statement(envelope->payload)) statements.push_back(std::move(*statement));
  }
  return statements;
}

}  // namespace

Result<BundleFolder> open_bundle(const Path& folder) {
  BundleFolder bundle{folder, {}, {}};
  auto bytes = read_file(folder / "manifest.json", ota::manifest_bytes_max);
  if (!bytes && bytes.error().code == Errc::not_found) {
    return Error{Errc::not_found,
                 folder.string() + ": no manifest.json in it: expected a folder that `ferry bundle pack` made"};
  }
  if (!bytes) return std::move(bytes).error();
  bundle.manifest_bytes = std::move(*bytes);
  auto manifest = ota::parse_manifest(bundle.manifest_bytes);
  if (!manifest) return std::move(manifest).error().within((folder / "manifest.json").string());
  bundle.manifest = std::move(*manifest);
  return bundle;
}

Result<std::string> read_attestations(const BundleFolder& bundle) {
  auto bytes = read_file(bundle.folder / "attestations.intoto.jsonl", ota::attestations_bytes_max);
  if (!bytes && bytes.error().code == Errc::not_found) {
    return Error{Errc::gate_failed,
                 bundle.folder.string() + ": no attestations.intoto.jsonl: run `ferry gate run` first",
                 "trust.attestation_missing"};
  }
  return bytes;
}

Result<> check_subjects(const BundleFolder& bundle, const std::string& attestations) {
  const Digest digest = bundle.digest();
  for (const ota::Statement& statement : statements_in(attestations)) {
    if (statement.subjects.size() == 1 && statement.subjects[0].sha256 == digest) continue;
    return Error{Errc::bad_signature, (bundle.folder / "attestations.intoto.jsonl").string() +
                                          ": it is about manifest " + statement.subjects[0].sha256.hex().substr(0, 16) +
                                          "…, manifest.json is " + digest.hex().substr(0, 16) +
                                          "…: run `ferry gate run` again"};
  }
  return {};
}

Result<std::string> claimed_result(const std::string& attestations) {
  std::string best;
  for (const ota::Statement& statement : statements_in(attestations)) {
    if (statement.predicate_type != ota::test_result_predicate) continue;
    TRY(const Json predicate, parse_json(statement.predicate_json, {.bytes_max = ota::attestations_bytes_max}));
    TRY(const std::string result, string_at(predicate, "result"));
    if (best.empty() || result == "PASSED" || (result == "WARNED" && best == "FAILED")) best = result;
  }
  if (!best.empty()) return best;
  return Error{Errc::gate_failed, "attestations.intoto.jsonl: no test result in it: run `ferry gate run` again",
               "trust.attestation_missing"};
}

}  // namespace ferry::cli
