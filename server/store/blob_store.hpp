// Content-addressed files: a blob is there whole, under its digest, or not at all.
#pragma once
#include "common/crypto.hpp"
#include "common/file.hpp"

#include <optional>

namespace ferry::server {

// Thread-safe. Calls block.
class BlobStore {
 public:
  // `root` holds sha256/<2 hex>/<62 more>; made when missing.
  static Result<BlobStore> open(Path root);

  // Where uploads are written before they are checked; emptied by open().
  Path incoming() const { return root_ / "incoming"; }
  Path path_of(const Digest& digest) const;
  bool has(const Digest& digest) const;
  std::optional<std::uint64_t> length_of(const Digest& digest) const;

  // Checks the digest of a file in incoming() and moves it in place, durably. True: new, false: known already.
  // bad_signature when the bytes are others; the file is left for the caller to remove.
  Result<bool> adopt(const Path& file, const Digest& expected);
  Result<Digest> put(std::string_view bytes);
  // bad_signature when the file on disk no longer matches its name.
  Result<std::string> read(const Digest& digest, std::size_t bytes_max) const;

 private:
  explicit BlobStore(Path root) : root_(std::move(root)) {}
  Path root_;
};

}  // namespace ferry::server
