// The TUF repository this server serves: every update verified as a client would, snapshot and timestamp kept fresh.
#pragma once
#include "common/clock.hpp"
#include "common/database.hpp"
#include "common/log.hpp"
#include "ota/attestation.hpp"
#include "ota/repository_writer.hpp"
#include "server/store/blob_store.hpp"
#include "server/store/releases.hpp"

#include <mutex>
#include <shared_mutex>

namespace ferry::server {

inline constexpr std::int64_t metadata_versions_kept = 10;  // of each role but root, of which all are kept

struct TrustUpdate {
  std::string root;  // empty members: unchanged
  std::string targets;
  std::string gate_policy;
  std::map<std::string, std::string> roles;
};

struct NewRelease {
  std::string model;
  std::string version;
  std::string manifest;  // bytes
  std::string attestations;
  std::string role_metadata;
  std::string by;
};

// Thread-safe. Calls that change something block on disk; file() and target() of known names do not, once loaded.
class TrustStore {
 public:
  // `directory` holds metadata files, "<N>.<role>.json" as served; which version counts is in the database.
  TrustStore(Path directory, ota::OnlineKeys keys, Database& database, BlobStore& blobs, Clock& clock, Log& log)
      : directory_(std::move(directory)),
        keys_(std::move(keys)),
        database_(database),
        blobs_(blobs),
        releases_(database),
        clock_(clock),
        log_(log) {}

  Result<> load();
  bool published() const;

  // Everything is verified before anything changes. Errors: those of ota/repository_writer.hpp, bad_input.
  Result<> update(const TrustUpdate& update);
  // Verifies signatures, target entry, counter, pins, policy and that all blobs are here; then stores and signs.
  // gate_failed / bad_signature / expired with a trust.* reason, bad_input, conflict. The bytes known already: false.
  Result<bool> publish(const NewRelease& release);
  // Signs snapshot and timestamp anew when less than half of their life is left. Returns whether it did.
  Result<bool> renew();

  // A metadata file as devices ask for it ("3.snapshot.json", "timestamp.json", "1.root.json").
  Result<std::shared_ptr<const std::string>> file(const std::string& name) const;
  // The newest bytes of a role ("root", "fashion-mnist"); empty when there are none.
  std::string newest(const std::string& role) const;
  std::string pinned_root() const;  // what enrolment tokens pin: the first root; empty before it
  ota::RepositoryState state() const;
  Result<ota::GatePolicy> gate_policy() const;  // not_found before the first publication
  // The blob behind a target path as served: "<dir>/<sha256>.<name>". not_found unless the current metadata lists it.
  Result<Digest> target(const std::string& served_path) const;

 private:
  Result<> check_release(const ota::RepositoryState& next, const NewRelease& release, ReleaseRow& row) const;
  Result<> store(ota::RepositoryState next, const std::function<Result<>(Database&)>& along);
  void serve(ota::RepositoryState next);
  Path path_of(std::string_view role, std::int64_t version) const;
  void prune(const std::map<std::string, std::int64_t>& versions) const;

  Path directory_;
  ota::OnlineKeys keys_;
  Database& database_;
  BlobStore& blobs_;
  ReleaseStore releases_;
  Clock& clock_;
  Log& log_;

  std::mutex writer_;                // one change at a time
  mutable std::shared_mutex mutex_;  // guards all below
  ota::RepositoryState state_;
  std::string pinned_root_;
  std::map<std::string, std::shared_ptr<const std::string>> served_;
  std::map<std::string, Digest> targets_;  // served path -> blob
};

}  // namespace ferry::server
