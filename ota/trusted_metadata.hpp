// The only code that decides what TUF metadata is trusted (specification 1.0.34 §5.3-5.6). No disk, network or clock.
#pragma once
#include "ota/metadata.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::ota {

// How a role came by its authority: {"targets", "a", "b"} is b as a delegates to it, a as targets does. The same name
// behind two delegators is two roles: what one of them trusts, or b delegates there, says nothing about the other.
using RolePath = std::vector<std::string>;

// Methods are called in the order of the specification; one called too early is Errc::internal. A method that returns
// an error leaves the trusted state as it was. Errors: bad_input (form), bad_signature, rollback_refused, expired,
// each with reason trust.metadata.
class TrustedMetadata {
 public:
  // §5.2: a root that is signed by its own threshold. Its expiry is not looked at. `now` is fixed for the whole run.
  static Result<TrustedMetadata> from_root(std::string_view bytes, Instant now, const ParseOptions& options = {});

  // §5.3.4-5.3.7: signed by the present root and by itself, version exactly one more. Returns true when the keys of
  // timestamp or snapshot changed: the cached timestamp and snapshot must go (§5.3.11, fast-forward recovery).
  Result<bool> update_root(std::string_view bytes);
  Result<> check_root_current() const;  // §5.3.10

  // A cached timestamp: may be expired, serves for rollback checks.
  Result<> load_timestamp(std::string_view bytes);
  // §5.4: true when the new one is trusted now and is to be kept; false when it has the version of the trusted one,
  // which stays.
  Result<bool> update_timestamp(std::string_view bytes);

  Result<> check_timestamp_current() const;  // before anything is built on it (freeze attack)

  // A cached snapshot: may be expired, or older than what the timestamp lists; serves for rollback checks.
  Result<> load_snapshot(std::string_view bytes);
  bool snapshot_is_current() const;                  // the one the timestamp lists, unexpired: no download needed
  Result<> update_snapshot(std::string_view bytes);  // §5.5

  // §5.6: {"targets"} or a delegated role, through one function, delegators first.
  Result<> update_targets(std::string_view bytes, const RolePath& path);
  // Null until update_targets succeeded for this path.
  const Targets* targets(const RolePath& path) const;
  // not_found when the snapshot does not list the role.
  Result<FileMeta> listed(const std::string& role) const;

  const Root& root() const { return root_; }
  const std::optional<Timestamp>& timestamp() const { return timestamp_; }
  const std::optional<Snapshot>& snapshot() const { return snapshot_; }
  Instant now() const { return now_; }

 private:
  TrustedMetadata(Root root, Instant now, const ParseOptions& options)
      : root_(std::move(root)), now_(now), options_(options) {}
  Result<> verify(const Document& document, std::string_view role) const;
  Result<> verify_targets(const Targets& document, const RolePath& path) const;
  Result<> check_snapshot_current() const;

  Root root_;
  Instant now_;
  ParseOptions options_;
  std::optional<Timestamp> timestamp_;
  std::optional<Snapshot> snapshot_;
  std::map<RolePath, Targets> targets_;
};

// bad_signature unless `role.threshold` distinct keys (by key material) of `role` signed the document.
Result<> verify_threshold(const Document& document, const KeyMap& keys, const RoleKeys& role, std::string_view name);

}  // namespace ferry::ota
