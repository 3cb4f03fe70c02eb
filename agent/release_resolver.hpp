// From an assignment to a release this device may install: signed metadata, gate attestations, contract, variant.
#pragma once
#include "agent/identity.hpp"
#include "ota/attestation.hpp"
#include "ota/manifest.hpp"
#include "ota/slot_state.hpp"

#include <mutex>

namespace ferry::agent {

struct ResolvedRelease {
  std::string manifest_bytes;
  std::shared_ptr<const ota::Manifest> manifest;
  std::string attestations;  // every pinned file, one after the other
  ota::VariantChoice choice;
  std::int64_t minimum_counter = 0;  // the signed floor
};

// Thread-safe: one resolution at a time, because the trusted metadata is one directory.
class ReleaseResolver {
 public:
  ReleaseResolver(Identity identity, DataTree data, Clock& clock);

  // Believes nothing of `assigned` beyond "look at this version": its digest, length and counter must be what is
  // signed. Errors with a reason of reasons.md (trust.*, contract.mismatch, variant.none) are refusals; without one:
  // network trouble (ota::is_network_trouble), not_found (not published yet), io.
  Result<ResolvedRelease> resolve(const std::string& model, const ota::AssignedRelease& assigned,
                                  const ota::DeviceFacts& facts, HttpClient& http);

  std::string blob_url(const Digest& sha256) const;

 private:
  Identity identity_;
  DataTree data_;
  Clock& clock_;
  std::mutex mutex_;  // guards the trust directory
};

}  // namespace ferry::agent
