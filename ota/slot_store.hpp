// Slots A and B of one model on disk: two checksummed copies of the state, directories filled whole or not at all.
#pragma once
#include "common/file.hpp"
#include "common/log.hpp"
#include "ota/manifest.hpp"
#include "ota/slot_state.hpp"

#include <memory>

namespace ferry::ota {

inline constexpr std::uint64_t disk_headroom_bytes = 1024 * 1024;  // left free beside what an update needs

// What lies in a slot, verified by digest.
struct SlotFiles {
  Path directory;
  std::shared_ptr<const Manifest> manifest;
  Digest manifest_sha256;
  std::size_t variant = 0;  // into manifest->variants
  std::uint64_t bytes = 0;
};

// Everything an install puts into a slot. The blobs lie complete and fsynced in the download directory as
// `<sha256>.part`.
struct SlotInstall {
  std::string manifest;  // bytes; their digest is the release's identity
  std::string attestations;
  std::string variant;
};

// One per model; used by one thread at a time. All calls block.
class SlotStore {
 public:
  SlotStore(Path data, std::string model, Log& log);

  // Makes the directories, reads the valid copy with the higher generation. Both copies invalid: rebuilt from verified
  // slots (the one with the highest counter becomes active), written at once. Errors: io; unsupported when a valid copy
  // was written by a newer agent (nothing is touched then).
  Result<SlotState> open();
  bool rebuilt() const { return rebuilt_; }

  // Durable when it returns; the copy in use until now stays intact. internal when the state breaks an invariant.
  // A full disk gives up a reserve file first.
  Result<> save(const SlotState& state);
  std::uint64_t generation() const { return generation_; }

  Path slot_directory(SlotName slot) const;
  Path download_directory() const { return root_ / "download"; }

  // no_space (install.no_space) unless `bytes` and some headroom are free.
  Result<> check_space(std::uint64_t bytes) const;
  Result<> erase(SlotName slot);
  // Empties the slot and fills it from `install` and the download directory; everything is durable and read back by
  // digest when it returns. On an error the slot is left without a manifest. Errors carry install.no_space, install.io
  // or slot.corrupt.
  Result<SlotFiles> install(SlotName slot, const SlotInstall& install);
  // Reads every file the variant needs. bad_signature with reason slot.corrupt when a digest or length differs,
  // not_found (slot.corrupt) when something is missing.
  Result<SlotFiles> verify(SlotName slot, const Digest& manifest_sha256, std::string_view variant) const;
  Result<> clear_downloads();

 private:
  Result<GenerationState> read_copy(int copy) const;
  Result<SlotState> rebuild();
  Result<SlotFiles> verify_files(SlotName slot, const Manifest& manifest, std::size_t variant) const;
  Result<> write_reserve() const;

  Path root_;
  std::string model_;
  Log& log_;
  std::uint64_t generation_ = 0;
  bool rebuilt_ = false;
};

// Names of the models that have a directory in the data tree, sorted; names that are not model names are left out.
Result<std::vector<std::string>> models_on_disk(const Path& data);

}  // namespace ferry::ota
