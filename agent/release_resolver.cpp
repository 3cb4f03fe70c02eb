// The checks between "the server wants this" and "download it", in the order in which they get expensive.
#include "agent/release_resolver.hpp"

#include "ota/repository_client.hpp"

namespace ferry::agent {
namespace {

Error refused(std::string_view reason, std::string context) {
  return Error{Errc::bad_signature, std::move(context), std::string(reason)};
}

Error with_reason(Error error, std::string_view reason) {
  bool trouble = error.code == Errc::unreachable || error.code == Errc::timeout || error.code == Errc::unavailable ||
                 error.code == Errc::cancelled || error.code == Errc::io || error.code == Errc::no_space;
  if (error.reason.empty() && !trouble) error.reason = reason;
  return error;
}

// What the server says about the release must be what its signer says.
Result<> check_assigned(const ota::AssignedRelease& assigned, const ota::ReleaseTarget& release) {
  const auto& file = release.target.file;
  auto hash = file.hashes.find("sha256");
  if (hash == file.hashes.end() || hash->second != assigned.manifest_sha256.hex())
    return refused("trust.metadata", assigned.target + ": the assignment names manifest " +
                                         assigned.manifest_sha256.hex() + ", the signed target " +
                                         (hash == file.hashes.end() ? "no sha256" : hash->second));
  if (file.length_bytes != assigned.length)
    return refused("trust.metadata", assigned.target + ": the assignment names " + std::to_string(assigned.length) +
                                         " bytes, the signed target " + std::to_string(file.length_bytes));
  if (release.custom.release_counter != assigned.counter)
    return refused("trust.metadata", assigned.target + ": the assignment names counter " +
                                         std::to_string(assigned.counter) + ", the signed target " +
                                         std::to_string(release.custom.release_counter));
  return {};
}

Result<std::shared_ptr<const ota::Manifest>> read_manifest(const std::string& model,
                                                           const ota::AssignedRelease& assigned,
                                                           std::string_view bytes) {
  auto parse = [&]() -> Result<std::shared_ptr<const ota::Manifest>> {
    TRY(auto manifest, ota::parse_manifest(bytes));
    TRY_VOID(ota::require_frozen(manifest));
    if (manifest.model != model || manifest.version != assigned.version || manifest.counter != assigned.counter)
      return Error{Errc::bad_input, "manifest of " + manifest.model + " " + manifest.version + " counter " +
                                        std::to_string(manifest.counter) + ", expected " + model + " " +
                                        assigned.version + " counter " + std::to_string(assigned.counter)};
    return std::make_shared<const ota::Manifest>(std::move(manifest));
  };
  auto manifest = parse();
  if (!manifest) return with_reason(std::move(manifest).error().within(assigned.target), "trust.metadata");
  return manifest;
}

Result<std::string> fetch_attestations(const ota::ReleaseCustom& custom, HttpClient& http,
                                       const std::function<std::string(const Digest&)>& url) {
  if (custom.attestations.empty())
    return refused("trust.attestation_missing",
                   "the signed target pins no attestation: the release did not pass a gate");
  std::string all;
  for (const auto& pin : custom.attestations) {
    if (pin.length_bytes > ota::attestations_bytes_max || all.size() + pin.length_bytes > ota::attestations_bytes_max)
      return refused("trust.attestation_invalid",
                     "attestations longer than " + std::to_string(ota::attestations_bytes_max) + " bytes");
    HttpRequest request;
    request.url = url(pin.sha256);
    request.body_bytes_max = pin.length_bytes;
    TRY(auto response, http.send(request));
    if (response.status == 404)
      return refused("trust.attestation_missing", "the server does not have attestation " + pin.sha256.hex());
    if (response.status != 200) return error_from_status(response, "attestation " + pin.sha256.hex());
    if (response.body.size() != pin.length_bytes || sha256(response.body) != pin.sha256)
      return refused("trust.attestation_invalid",
                     "attestation " + pin.sha256.hex() + ": the bytes are not those that were signed");
    all += response.body;
    if (!all.empty() && all.back() != '\n') all += '\n';
  }
  return all;
}

Result<ota::GatePolicy> fetch_gate_policy(ota::RepositoryClient& repository) {
  auto fetch = [&]() -> Result<ota::GatePolicy> {
    TRY(auto target, repository.find_target(std::string(ota::gate_policy_target)));
    if (target.role != "targets")
      return refused("trust.metadata", "the gate policy is listed by " + target.role + ", expected targets");
    TRY(auto bytes, repository.fetch_target(target, ota::gate_policy_bytes_max));
    return ota::parse_gate_policy(bytes);
  };
  auto policy = fetch();
  if (!policy) return with_reason(std::move(policy).error().within("gate policy"), "trust.attestation_invalid");
  return policy;
}

}  // namespace

ReleaseResolver::ReleaseResolver(Identity identity, DataTree data, Clock& clock)
    : identity_(std::move(identity)), data_(std::move(data)), clock_(clock) {}

std::string ReleaseResolver::blob_url(const Digest& sha256) const {
  return identity_.server + "/device/v1/blobs/sha256/" + sha256.hex();
}

Result<ResolvedRelease> ReleaseResolver::resolve(const std::string& model, const ota::AssignedRelease& assigned,
                                                 const ota::DeviceFacts& facts, HttpClient& http) {
  std::lock_guard lock(mutex_);
  TRY(auto pinned, read_file(data_.pinned_root(), ota::root_bytes_max));
  if (sha256(pinned) != identity_.root_sha256)
    return refused("trust.metadata", data_.pinned_root().string() + ": not the root of the enrolment; enrol again");
  // A clock that was never set must not make old metadata look fresh for ever: our certificate is younger than that.
  Instant now = clock_.now();
  if (auto certificate = load_certificate(data_)) now = std::max(now, certificate->not_before);

  ota::HttpFetcher metadata(http, identity_.server + "/device/v1/metadata/");
  ota::HttpFetcher targets(http, identity_.server + "/device/v1/targets/");
  TRY(auto repository, ota::RepositoryClient::open({.directory = data_.trust(), .pinned_root = std::move(pinned)},
                                                   metadata, targets, now));
  TRY_VOID(repository.refresh());
  TRY(auto release, repository.find_release(model, assigned.version));
  TRY_VOID(check_assigned(assigned, release));
  ResolvedRelease resolved;
  resolved.minimum_counter = release.minimum_counter;
  TRY(resolved.manifest_bytes, repository.fetch_target(release.target, ota::manifest_bytes_max));
  TRY(resolved.manifest, read_manifest(model, assigned, resolved.manifest_bytes));
  TRY(resolved.choice, ota::choose_variant(*resolved.manifest, facts));

  TRY(auto policy, fetch_gate_policy(repository));
  auto url = [this](const Digest& digest) { return blob_url(digest); };
  TRY(resolved.attestations, fetch_attestations(release.custom, http, url));
  ota::GateQuestion question;
  question.manifest_sha256 = assigned.manifest_sha256;
  question.hardware_class = facts.hardware_class;
  question.variant = resolved.choice.name;
  TRY(auto gate, ota::check_attestations(policy, question, resolved.attestations, now));
  (void)gate;
  return resolved;
}

}  // namespace ferry::agent
