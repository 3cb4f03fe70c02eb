// The TUF client workflow: what to fetch next and what to keep; TrustedMetadata decides what is trusted.
#include "ota/repository_client.hpp"

#include "common/bytes.hpp"

#include <sys/stat.h>
#include <algorithm>
#include <set>

namespace ferry::ota {
namespace {

constexpr std::size_t file_name_bytes_max = 200;  // a file system allows 255; a temporary's suffix needs room
constexpr Duration fetch_limit = std::chrono::minutes{5};
constexpr std::uint64_t fetch_bytes_per_second_min = 100;  // slower for stall_limit: a slow-retrieval attack

// An object store answers 403 for what is not there, so both mean "no newer root".
bool means_absent(const Error& error) { return error.code == Errc::not_found || error.code == Errc::denied; }

std::string prefixed(std::int64_t version, std::string name, bool consistent) {
  return consistent ? std::to_string(version) + "." + name : name;
}

// A length listed in signed metadata bounds the download, but never above what this program is willing to hold.
std::size_t download_cap(const std::optional<std::uint64_t>& listed, std::size_t otherwise) {
  return listed ? static_cast<std::size_t>(std::min<std::uint64_t>(*listed, metadata_bytes_max)) : otherwise;
}

}  // namespace

HttpFetcher::HttpFetcher(HttpClient& client, std::string base_url) : client_(client), base_url_(std::move(base_url)) {
  if (!base_url_.ends_with('/')) base_url_ += '/';
}

Result<std::string> HttpFetcher::fetch(const std::string& path, std::size_t bytes_max) {
  HttpRequest request;
  request.url = base_url_ + path;
  request.body_bytes_max = bytes_max;
  request.time_limit = fetch_limit;
  request.bytes_per_second_min = fetch_bytes_per_second_min;
  auto response = client_.send(request);
  if (!response) return std::move(response).error().within(path);
  if (response->status != 200) return error_from_status(*response, path);
  return std::move(response->body);
}

Path MetadataStore::path_of(std::string_view role) const { return directory_ / (percent_encode(role) + ".json"); }

Result<std::optional<std::string>> MetadataStore::load(std::string_view role, std::size_t bytes_max) const {
  auto bytes = read_file(path_of(role), bytes_max);
  if (bytes) return std::optional<std::string>(std::move(*bytes));
  if (bytes.error().code == Errc::not_found || bytes.error().code == Errc::bad_input)
    return std::optional<std::string>();
  // Going on without a file that is there would silently drop rollback protection.
  return std::move(bytes).error().within("trusted metadata");
}

Result<> MetadataStore::save(std::string_view role, std::string_view bytes) const {
  auto path = path_of(role);
  // A delegated role may have any name; it must not become a file that the file system or the agent knows otherwise.
  auto name = path.filename().string();
  if (name.size() > file_name_bytes_max || name == "pinned-root.json")
    return Error{Errc::unsupported,
                 "role " + std::string(role.substr(0, 80)) + ": its name cannot be a file name here"};
  return write_file_atomic(path, bytes);
}

Result<> MetadataStore::remove(std::string_view role) const { return remove_tree(path_of(role)); }

Result<> initialise_store(const Path& directory, std::string_view root, const ParseOptions& parse) {
  if (root.size() > root_bytes_max) return Error{Errc::bad_input, "root: longer than 512000 bytes"};
  TRY(auto trusted, TrustedMetadata::from_root(root, Instant{}, parse));
  (void)trusted;
  TRY_VOID(make_directories(directory));
  return MetadataStore(directory).save("root", root);
}

Result<RepositoryClient> RepositoryClient::open(Options options, Fetcher& metadata, Fetcher& targets, Instant now) {
  TRY_VOID(make_directories(options.directory));
  auto lock = FileLock::take(options.directory / ".lock");
  if (!lock) return std::move(lock).error().within("trusted metadata: another updater is at work");
  MetadataStore store(options.directory);
  TRY(auto cached, store.load("root", root_bytes_max));
  std::optional<TrustedMetadata> trusted;
  std::optional<Error> refusal;
  if (cached) {
    auto start = TrustedMetadata::from_root(*cached, now, options.parse);
    if (start)
      trusted.emplace(std::move(*start));
    else
      refusal = std::move(start).error().within("root.json");
  }
  if (!options.pinned_root.empty()) {
    auto pinned = TrustedMetadata::from_root(options.pinned_root, now, options.parse);
    if (!pinned) return std::move(pinned).error().within("pinned root");
    if (!trusted || pinned->root().version > trusted->root().version) {
      TRY_VOID(store.save("root", options.pinned_root));
      trusted.emplace(std::move(*pinned));
    }
  }
  if (!trusted && refusal) return std::move(*refusal);
  if (!trusted) return Error{Errc::not_found, "root.json: no trusted root in " + options.directory.string()};
  return RepositoryClient(std::move(*lock), std::move(store), metadata, targets, std::move(*trusted), options.parse);
}

Result<> RepositoryClient::refresh() {
  TRY_VOID(refresh_root());
  TRY_VOID(refresh_timestamp());
  TRY_VOID(refresh_snapshot());
  return refresh_targets({"targets"});
}

Result<> RepositoryClient::refresh_root() {
  for (int i = 0; i < roots_per_refresh_max; ++i) {
    auto next = std::to_string(trusted_.root().version + 1) + ".root.json";
    auto bytes = metadata_->fetch(next, root_bytes_max);
    if (!bytes && means_absent(bytes.error())) break;
    if (!bytes) return std::move(bytes).error();
    TRY(bool rotated, trusted_.update_root(*bytes));
    if (rotated) {
      // Before the new root is kept: after a power cut between the two the next run drops them again, never neither.
      TRY_VOID(store_.remove("timestamp"));
      TRY_VOID(store_.remove("snapshot"));
    }
    TRY_VOID(store_.save("root", *bytes));
  }
  return trusted_.check_root_current();
}

Result<> RepositoryClient::refresh_timestamp() {
  TRY(auto cached, store_.load("timestamp", timestamp_bytes_max));
  // A cached file that does not verify under the present root is simply not there.
  if (cached) (void)trusted_.load_timestamp(*cached);
  TRY(auto bytes, metadata_->fetch("timestamp.json", timestamp_bytes_max));
  TRY(bool newer, trusted_.update_timestamp(bytes));
  if (newer) TRY_VOID(store_.save("timestamp", bytes));
  return {};
}

Result<> RepositoryClient::refresh_snapshot() {
  TRY(auto cached, store_.load("snapshot", metadata_bytes_max));
  if (cached) (void)trusted_.load_snapshot(*cached);
  if (trusted_.snapshot_is_current()) return {};
  const auto& listed = trusted_.timestamp()->snapshot;
  auto name = prefixed(listed.version, "snapshot.json", trusted_.root().consistent_snapshot);
  // An expired timestamp is refused before the snapshot is asked for.
  TRY_VOID(trusted_.check_timestamp_current());
  TRY(auto bytes, metadata_->fetch(name, download_cap(listed.length_bytes, snapshot_bytes_max)));
  TRY_VOID(trusted_.update_snapshot(bytes));
  return store_.save("snapshot", bytes);
}

Result<> RepositoryClient::refresh_targets(const RolePath& path) {
  if (trusted_.targets(path) != nullptr) return {};
  const auto& role = path.back();
  TRY(auto listed, trusted_.listed(role));
  TRY(auto cached, store_.load(role, metadata_bytes_max));
  if (cached && trusted_.update_targets(*cached, path)) return {};
  auto name = prefixed(listed.version, percent_encode(role) + ".json", trusted_.root().consistent_snapshot);
  TRY(auto bytes, metadata_->fetch(name, download_cap(listed.length_bytes, targets_bytes_max)));
  TRY_VOID(trusted_.update_targets(bytes, path));
  return store_.save(role, bytes);
}

Result<FoundTarget> RepositoryClient::find_target(const std::string& path) {
  std::vector<RolePath> stack{{"targets"}};  // the last is visited next
  std::set<std::string> visited;
  while (!stack.empty() && static_cast<int>(visited.size()) < delegations_visited_max + 1) {
    auto role = std::move(stack.back());
    stack.pop_back();
    if (!visited.insert(role.back()).second) continue;
    // A role that cannot be had ends the search: going on would let whoever withholds it choose who answers (§5.6.7).
    auto refreshed = refresh_targets(role);
    if (!refreshed) return std::move(refreshed).error().within("search for " + path);
    const Targets& targets = *trusted_.targets(role);
    if (auto found = targets.targets.find(path); found != targets.targets.end())
      return FoundTarget{found->second, role.back(), targets.minimum_counter};
    std::vector<RolePath> children;
    for (const auto& delegation : covering_delegations(targets, path)) {
      children.push_back(role);
      children.back().push_back(delegation.name);
      if (!delegation.terminating) continue;
      stack.clear();  // no later sibling, here or at any level above
      break;
    }
    stack.insert(stack.end(), std::make_move_iterator(children.rbegin()), std::make_move_iterator(children.rend()));
  }
  return Error{Errc::not_found, path + ": no trusted role lists it"};
}

Result<ReleaseTarget> RepositoryClient::find_release(const std::string& model, const std::string& version) {
  ReleaseTarget release;
  TRY(release.target, find_target(model + "/" + version + "/manifest.json"));
  auto custom = parse_release_custom(release.target.file.custom_json);
  if (!custom) {
    auto error = std::move(custom).error().within(release.target.file.path);
    error.reason = "trust.metadata";
    return error;
  }
  release.custom = std::move(*custom);
  release.minimum_counter = release.target.minimum_counter.value_or(1);
  if (release.custom.release_counter < release.minimum_counter)
    return Error{Errc::rollback_refused,
                 release.target.file.path + ": release_counter " + std::to_string(release.custom.release_counter) +
                     " is below the signed floor " + std::to_string(release.minimum_counter),
                 "trust.counter_below_floor"};
  return release;
}

Result<std::string> RepositoryClient::fetch_target(const FoundTarget& target, std::size_t bytes_max) {
  const auto& file = target.file;
  if (file.length_bytes > bytes_max)
    return Error{Errc::bad_input, file.path + ": length " + std::to_string(file.length_bytes) + " bytes, at most " +
                                      std::to_string(bytes_max) + " are taken"};
  TRY(auto path, target_url_path(file, trusted_.root().consistent_snapshot));
  auto bytes = targets_->fetch(path, static_cast<std::size_t>(file.length_bytes));
  if (!bytes) return std::move(bytes).error();
  if (bytes->size() != file.length_bytes)
    return Error{Errc::bad_signature,
                 file.path + ": length is " + std::to_string(bytes->size()) + " bytes, signed is " +
                     std::to_string(file.length_bytes),
                 "download.digest"};
  auto checked = check_hashes(*bytes, file.hashes, file.path);
  if (!checked) {
    auto error = std::move(checked).error();
    error.reason = "download.digest";
    return error;
  }
  return std::move(*bytes);
}

Result<Path> RepositoryClient::download_target(const FoundTarget& target, const Path& directory) {
  TRY(auto name, target_file_name(target.file.path));
  TRY_VOID(make_directories(directory));
  auto path = directory / name;
  struct stat info {};
  // A symbolic link is never read through nor written through: the rename replaces it.
  if (::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && target.file.length_bytes <= target_bytes_max) {
    auto present = read_file(path, static_cast<std::size_t>(target.file.length_bytes));
    if (present && present->size() == target.file.length_bytes && check_hashes(*present, target.file.hashes, name))
      return path;
  }
  TRY(auto bytes, fetch_target(target));
  TRY_VOID(write_file_atomic(path, bytes));
  return path;
}

Result<std::string> target_file_name(std::string_view target_path) {
  if (target_path.empty()) return Error{Errc::bad_input, "target path: empty"};
  auto name = percent_encode(target_path);
  if (name.find_first_not_of('.') == std::string::npos) {  // ".", "..": names the file system has given away
    std::string escaped;
    for (std::size_t i = 0; i < name.size(); ++i) escaped += "%2E";
    name = std::move(escaped);
  }
  if (name.size() <= file_name_bytes_max) return name;
  return name.substr(0, 100) + "-" + sha256(target_path).hex();
}

Result<std::string> target_url_path(const TargetFile& target, bool consistent_snapshot) {
  if (!consistent_snapshot) return percent_encode(target.path, true);
  auto hash = target.hashes.find("sha256");
  if (hash == target.hashes.end()) hash = target.hashes.find("sha512");
  if (hash == target.hashes.end())
    return Error{Errc::bad_signature, target.path + ": hashes: no known algorithm, expected sha256 or sha512"};
  auto slash = target.path.rfind('/');
  auto base = slash == std::string::npos ? 0 : slash + 1;
  return percent_encode(target.path.substr(0, base), true) + hash->second + "." +
         percent_encode(target.path.substr(base));
}

}  // namespace ferry::ota
