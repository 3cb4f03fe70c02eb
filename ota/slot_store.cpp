// Slot directories and the two copies of the state file. Nothing here decides; update_machine does.
#include "ota/slot_store.hpp"

#include "ota/attestation.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <system_error>

namespace ferry::ota {
namespace {

constexpr std::size_t models_max = 1000;
constexpr std::size_t reserve_bytes = 64 * 1024;  // more than both copies and a temporary need

Error with_reason(Error error, std::string_view reason) {
  if (error.reason.empty()) error.reason = reason;
  return error;
}

Error install_error(Error error) {
  bool full = error.code == Errc::no_space;
  return with_reason(std::move(error), full ? "install.no_space" : "install.io");
}

// The next read comes from the disk, not from the pages just written: a disk that lied is found out.
void forget_cached(const Path& path) {
  FileDescriptor fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  if (fd) ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
}

Result<> check_file(const Path& path, const BlobRef& blob) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return with_reason(errno_error("lstat", path), "slot.corrupt");
  if (!S_ISREG(status.st_mode))
    return Error{Errc::bad_signature, path.string() + ": not a regular file", "slot.corrupt"};
  forget_cached(path);
  auto found = digest_file(path);
  if (!found) return with_reason(std::move(found).error(), "slot.corrupt");
  if (found->bytes != blob.length_bytes || found->sha256 != blob.sha256)
    return Error{Errc::bad_signature,
                 path.string() + ": found " + std::to_string(found->bytes) + " bytes with sha256 " +
                     found->sha256.hex() + ", the manifest says " + std::to_string(blob.length_bytes) + " bytes with " +
                     blob.sha256.hex(),
                 "slot.corrupt"};
  return {};
}

// Blobs move into the slot; when two names share one digest the second is a copy of the first.
class BlobMover {
 public:
  explicit BlobMover(Path downloads) : downloads_(std::move(downloads)) {}
  Result<> move(const BlobRef& blob, const Path& target) {
    if (auto placed = placed_.find(blob.sha256); placed != placed_.end()) return copy(placed->second, target);
    Path source = downloads_ / (blob.sha256.hex() + ".part");
    if (::rename(source.c_str(), target.c_str()) != 0) return install_error(errno_error("rename", source));
    placed_[blob.sha256] = target;
    return {};
  }

 private:
  static Result<> copy(const Path& source, const Path& target) {
    std::error_code error;
    std::filesystem::copy_file(source, target, error);
    if (error) return Error{Errc::io, target.string() + ": " + error.message(), "install.io"};
    FileDescriptor fd{::open(target.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
    if (!fd || ::fsync(fd.get()) != 0) return install_error(errno_error("fsync", target));
    return {};
  }

  Path downloads_;
  std::map<Digest, Path> placed_;
};

}  // namespace

SlotStore::SlotStore(Path data, std::string model, Log& log)
    : root_(std::move(data) / "models" / model), model_(std::move(model)), log_(log) {}

Path SlotStore::slot_directory(SlotName slot) const { return root_ / std::string(to_string(slot)); }

Result<SlotState> SlotStore::open() {
  TRY_VOID(check_model_name(model_));
  TRY_VOID(make_directories(root_, 0755));
  std::optional<GenerationState> best;
  bool any = false;
  for (int copy : {0, 1}) {
    auto read = read_copy(copy);
    if (read) {
      any = true;
      if (!best || read->generation > best->generation) best = std::move(*read);
      continue;
    }
    const Error& error = read.error();
    if (error.code == Errc::unsupported || error.code == Errc::io || error.code == Errc::denied) return error;
    if (error.code == Errc::not_found) continue;
    any = true;
    log_.warn("a copy of the slot state is damaged", {{"model", model_}, {"error", error.context}});
  }
  if (best) {
    generation_ = best->generation;
    if (auto reserved = write_reserve(); !reserved)
      log_.warn("no reserve for the slot state", {{"error", reserved.error().context}});
    return std::move(best->state);
  }
  if (any) log_.error("both copies of the slot state are damaged: rebuilding from the slots", {{"model", model_}});
  rebuilt_ = any;
  TRY(auto state, rebuild());
  TRY_VOID(save(state));
  return state;
}

Result<GenerationState> SlotStore::read_copy(int copy) const {
  Path path = root_ / ("state." + std::to_string(copy));
  TRY(auto text, read_file(path, slot_state_bytes_max));
  auto newline = text.find('\n');
  if (newline == std::string::npos) return Error{Errc::bad_input, path.string() + ": no checksum line"};
  std::string_view body = std::string_view(text).substr(newline + 1);
  if (sha256(body).hex() != std::string_view(text).substr(0, newline))
    return Error{Errc::bad_input, path.string() + ": the checksum does not match"};
  auto document = parse_json(body, {.bytes_max = slot_state_bytes_max});
  if (!document) return std::move(document).error().within(path.string());
  auto read = slot_state_from_json(*document);
  if (!read) return std::move(read).error().within(path.string());
  if (read->state.model != model_)
    return Error{Errc::bad_input,
                 path.string() + ": model: found \"" + read->state.model + "\", expected \"" + model_ + "\""};
  return read;
}

Result<> SlotStore::save(const SlotState& state) {
  if (auto broken = broken_invariant(state); !broken.empty()) return Error{Errc::internal, "slot state: " + broken};
  if (state.model != model_) return Error{Errc::internal, "slot state: of model " + state.model};
  std::string body = dump_json(to_json(state, generation_ + 1));
  std::string text = sha256(body).hex() + "\n" + body;
  Path path = root_ / ("state." + std::to_string((generation_ + 1) % 2));
  auto written = write_file_atomic(path, text, 0644);
  if (!written && written.error().code == Errc::no_space) {
    std::error_code ignored;
    std::filesystem::remove(root_ / "state.reserve", ignored);
    written = write_file_atomic(path, text, 0644);
    (void)write_reserve();  // succeeds when space is back; until then the next full disk is reported
  }
  if (!written) return install_error(std::move(written).error());
  ++generation_;
  return {};
}

Result<> SlotStore::write_reserve() const {
  Path path = root_ / "state.reserve";
  std::error_code error;
  if (std::filesystem::file_size(path, error) == reserve_bytes && !error) return {};
  return write_file_atomic(path, std::string(reserve_bytes, '\0'), 0644);
}

Result<SlotState> SlotStore::rebuild() {
  SlotState state;
  state.model = model_;
  for (SlotName slot : {SlotName::a, SlotName::b}) {
    auto bytes = read_file(slot_directory(slot) / "manifest.json", manifest_bytes_max);
    if (!bytes) continue;
    auto manifest = parse_manifest(*bytes);
    if (!manifest || manifest->model != model_ || manifest->draft) continue;
    auto model_file = digest_file(slot_directory(slot) / "model.onnx");
    if (!model_file) continue;
    for (std::size_t index = 0; index < manifest->variants.size(); ++index) {
      if (manifest->variants[index].file.sha256 != model_file->sha256) continue;
      if (!verify_files(slot, *manifest, index)) continue;
      if (state.active && state.active_entry()->counter >= manifest->counter) break;
      SlotEntry entry;
      entry.version = manifest->version;
      entry.counter = manifest->counter;
      entry.manifest_sha256 = sha256(*bytes);
      entry.variant = manifest->variants[index].name;
      entry.variant_reason = "found in slot " + std::string(to_string(slot)) + " after the slot state was lost";
      state.a.reset();  // only the active slot gets an entry: what the other one holds may never have been proved
      state.b.reset();
      state.slot(slot) = std::move(entry);
      state.active = slot;
      break;
    }
  }
  return state;
}

Result<> SlotStore::check_space(std::uint64_t bytes) const {
  auto available = free_bytes(root_);
  if (!available) return install_error(std::move(available).error());
  if (*available >= bytes + disk_headroom_bytes) return {};
  return Error{Errc::no_space,
               "found " + std::to_string(*available) + " bytes free, need " + std::to_string(bytes) + " and " +
                   std::to_string(disk_headroom_bytes) + " of headroom; free space under " + root_.string(),
               "install.no_space"};
}

Result<> SlotStore::erase(SlotName slot) {
  auto removed = remove_tree(slot_directory(slot));
  if (!removed) return install_error(std::move(removed).error());
  auto synced = sync_directory(root_);
  if (!synced) return install_error(std::move(synced).error());
  return {};
}

Result<SlotFiles> SlotStore::install(SlotName slot, const SlotInstall& install) {
  TRY(auto manifest, parse_manifest(install.manifest));
  const Variant* variant = manifest.variant(install.variant);
  if (variant == nullptr || !variant->golden || !manifest.reference_profile)
    return Error{Errc::internal, "install: variant " + install.variant + " is not in the manifest or not frozen"};
  TRY_VOID(erase(slot));
  Path directory = slot_directory(slot);
  auto fill = [&]() -> Result<> {
    TRY_VOID(make_directories(directory, 0755));
    BlobMover blobs(download_directory());
    TRY_VOID(blobs.move(variant->file, directory / "model.onnx"));
    TRY_VOID(blobs.move(*variant->golden, directory / "golden.bin"));
    TRY_VOID(blobs.move(*manifest.reference_profile, directory / "reference.json"));
    TRY_VOID(write_file_atomic(directory / "attestations.intoto.jsonl", install.attestations));
    TRY_VOID(write_file_atomic(directory / "manifest.json", install.manifest));  // last: without it the slot is empty
    return sync_directory(directory);
  };
  if (auto filled = fill(); !filled) {
    (void)erase(slot);  // best effort: a slot without an entry is never read
    return install_error(std::move(filled).error());
  }
  auto verified = verify(slot, sha256(install.manifest), install.variant);
  if (!verified) (void)erase(slot);
  return verified;
}

Result<SlotFiles> SlotStore::verify(SlotName slot, const Digest& manifest_sha256, std::string_view variant) const {
  Path path = slot_directory(slot) / "manifest.json";
  forget_cached(path);
  auto bytes = read_file(path, manifest_bytes_max);
  if (!bytes) return with_reason(std::move(bytes).error(), "slot.corrupt");
  if (Digest found = sha256(*bytes); found != manifest_sha256)
    return Error{Errc::bad_signature,
                 path.string() + ": found sha256 " + found.hex() + ", expected " + manifest_sha256.hex(),
                 "slot.corrupt"};
  auto manifest = parse_manifest(*bytes);
  if (!manifest) return with_reason(std::move(manifest).error(), "slot.corrupt");
  const Variant* chosen = manifest->variant(variant);
  if (chosen == nullptr)
    return Error{Errc::bad_input, path.string() + ": no variant " + std::string(variant), "slot.corrupt"};
  TRY(auto files, verify_files(slot, *manifest, static_cast<std::size_t>(chosen - manifest->variants.data())));
  files.manifest_sha256 = manifest_sha256;
  return files;
}

Result<SlotFiles> SlotStore::verify_files(SlotName slot, const Manifest& manifest, std::size_t variant) const {
  const Variant& chosen = manifest.variants[variant];
  SlotFiles files;
  files.directory = slot_directory(slot);
  files.variant = variant;
  TRY_VOID(check_file(files.directory / "model.onnx", chosen.file));
  files.bytes = chosen.file.length_bytes;
  if (chosen.golden) {
    TRY_VOID(check_file(files.directory / "golden.bin", *chosen.golden));
    files.bytes += chosen.golden->length_bytes;
  }
  if (manifest.reference_profile) {
    TRY_VOID(check_file(files.directory / "reference.json", *manifest.reference_profile));
    files.bytes += manifest.reference_profile->length_bytes;
  }
  files.manifest = std::make_shared<const Manifest>(manifest);
  return files;
}

Result<> SlotStore::clear_downloads() {
  TRY_VOID(remove_tree(download_directory()));
  return sync_directory(root_);
}

Result<std::vector<std::string>> models_on_disk(const Path& data) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entries(data / "models", error);
  if (error == std::errc::no_such_file_or_directory) return names;
  if (error) return Error{Errc::io, (data / "models").string() + ": " + error.message()};
  for (auto end = std::filesystem::directory_iterator{}; entries != end && names.size() < models_max;
       entries.increment(error)) {
    if (error) return Error{Errc::io, (data / "models").string() + ": " + error.message()};
    std::string name = entries->path().filename().string();
    if (check_model_name(name)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace ferry::ota
