// The TUF client workflow (specification 1.0.34 §5): fetch, verify through TrustedMetadata, keep, search, fetch
// targets.
#pragma once
#include "common/file.hpp"
#include "common/http_client.hpp"
#include "ota/trusted_metadata.hpp"

#include <optional>
#include <string>
#include <vector>

namespace ferry::ota {

// Where bytes come from. One method, so that tests, HTTP and an offline tar file are alike.
class Fetcher {
 public:
  virtual ~Fetcher() = default;
  // `path` is relative and percent-encoded. not_found (or denied: object stores say 403) when there is no such file;
  // bad_input when longer than `bytes_max`; anything else is trouble, never "no such file".
  virtual Result<std::string> fetch(const std::string& path, std::size_t bytes_max) = 0;
};

// GET base_url + path, untouched. `client` outlives it. `base_url` ends in '/' (one is added if it does not).
class HttpFetcher final : public Fetcher {
 public:
  HttpFetcher(HttpClient& client, std::string base_url);
  Result<std::string> fetch(const std::string& path, std::size_t bytes_max) override;

 private:
  HttpClient& client_;
  std::string base_url_;
};

// Trusted metadata on disk: byte for byte as received, un-versioned percent-encoded names, atomic writes.
class MetadataStore {
 public:
  explicit MetadataStore(Path directory) : directory_(std::move(directory)) {}
  // nullopt when absent or too large to be ours; an io error is an error.
  Result<std::optional<std::string>> load(std::string_view role, std::size_t bytes_max) const;
  Result<> save(std::string_view role, std::string_view bytes) const;
  Result<> remove(std::string_view role) const;
  const Path& directory() const { return directory_; }
  Path path_of(std::string_view role) const;

 private:
  Path directory_;
};

struct FoundTarget {
  TargetFile file;
  std::string role;                             // the role that lists it
  std::optional<std::int64_t> minimum_counter;  // of that role (x-ferry)
};

// What an agent needs to know of a release before it fetches the manifest.
struct ReleaseTarget {
  FoundTarget target;
  ReleaseCustom custom;
  std::int64_t minimum_counter = 1;
};

// One run of the workflow, by one thread. A failed run leaves files from which the next can succeed. It holds the
// directory's lock while it lives.
class RepositoryClient {
 public:
  struct Options {
    Path directory;  // made when absent
    // A root from a safer place (the image, first contact): used when the directory has none, an invalid or an older
    // one.
    std::string pinned_root;
    ParseOptions parse;
  };
  // Makes no request. `metadata` and `targets` outlive the client; `now` is the time of the whole run. Errors:
  // conflict (another updater holds the directory), bad_input / bad_signature (root invalid), not_found (no root).
  static Result<RepositoryClient> open(Options options, Fetcher& metadata, Fetcher& targets, Instant now);

  // §5.3-5.6 for the four top-level roles. Trust errors carry reason trust.metadata; network errors carry none.
  Result<> refresh();

  // §5.6.7, after refresh(): pre-order depth-first over the delegations. not_found when no trusted role lists it.
  Result<FoundTarget> find_target(const std::string& path);
  // `<model>/<version>/manifest.json` with its custom. Errors: not_found; rollback_refused with reason
  // trust.counter_below_floor when its counter is below the signed floor.
  Result<ReleaseTarget> find_release(const std::string& model, const std::string& version);

  // The verified bytes. Refuses targets longer than `bytes_max`.
  Result<std::string> fetch_target(const FoundTarget& target, std::size_t bytes_max = target_bytes_max);
  // Into `directory`, under a name made from the path (never the path itself). A file there that already has the right
  // bytes is left untouched and not fetched. Returns where it is.
  Result<Path> download_target(const FoundTarget& target, const Path& directory);

  const TrustedMetadata& trusted() const { return trusted_; }

 private:
  RepositoryClient(FileLock lock, MetadataStore store, Fetcher& metadata, Fetcher& targets, TrustedMetadata trusted,
                   const ParseOptions& parse)
      : lock_(std::move(lock)),
        store_(std::move(store)),
        metadata_(&metadata),
        targets_(&targets),
        trusted_(std::move(trusted)),
        parse_(parse) {}
  Result<> refresh_root();
  Result<> refresh_timestamp();
  Result<> refresh_snapshot();
  Result<> refresh_targets(const RolePath& path);

  FileLock lock_;
  MetadataStore store_;
  Fetcher* metadata_;
  Fetcher* targets_;
  TrustedMetadata trusted_;
  ParseOptions parse_;
};

// `init` of ferry-tuf, and first contact: puts a root into the directory after checking that it is signed by itself.
Result<> initialise_store(const Path& directory, std::string_view root, const ParseOptions& parse = {});

// The name of a target's file in a flat directory: percent-encoded, bounded, never "." or "..".
Result<std::string> target_file_name(std::string_view target_path);
// The path below the targets URL: percent-encoded, hash-prefixed when `consistent_snapshot`.
Result<std::string> target_url_path(const TargetFile& target, bool consistent_snapshot);

}  // namespace ferry::ota
