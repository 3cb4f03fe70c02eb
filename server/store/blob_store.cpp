// Blobs on the local disk.
#include "server/store/blob_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ferry::server {
namespace {

Result<> sync_file(const Path& file) {
  FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error("open", file);
  if (::fsync(fd.get()) != 0) return errno_error("fsync", file);
  return {};
}

}  // namespace

Result<BlobStore> BlobStore::open(Path root) {
  BlobStore store(std::move(root));
  TRY_VOID(remove_tree(store.incoming()));
  TRY_VOID(make_directories(store.incoming(), 0700));
  TRY_VOID(make_directories(store.root_ / "sha256", 0755));
  return store;
}

Path BlobStore::path_of(const Digest& digest) const {
  const std::string hex = digest.hex();
  return root_ / "sha256" / hex.substr(0, 2) / hex.substr(2);
}

bool BlobStore::has(const Digest& digest) const { return length_of(digest).has_value(); }

std::optional<std::uint64_t> BlobStore::length_of(const Digest& digest) const {
  std::error_code error;
  const auto length = std::filesystem::file_size(path_of(digest), error);
  if (error) return std::nullopt;
  return length;
}

Result<bool> BlobStore::adopt(const Path& file, const Digest& expected) {
  TRY(const FileDigest found, digest_file(file));
  if (found.sha256 != expected)
    return Error{Errc::bad_signature,
                 "blob: the body has sha256 " + found.sha256.hex() + ", the address says " + expected.hex()};
  const Path target = path_of(expected);
  if (has(expected)) return false;
  TRY_VOID(make_directories(target.parent_path()));
  if (::chmod(file.c_str(), 0644) != 0) return errno_error("chmod", file);
  TRY_VOID(sync_file(file));
  if (::rename(file.c_str(), target.c_str()) != 0) return errno_error("rename", target);
  TRY_VOID(sync_directory(target.parent_path()));
  return true;
}

Result<Digest> BlobStore::put(std::string_view bytes) {
  const Digest digest = sha256(bytes);
  const Path target = path_of(digest);
  if (has(digest)) return digest;
  TRY_VOID(make_directories(target.parent_path()));
  TRY_VOID(write_file_atomic(target, bytes));
  return digest;
}

Result<std::string> BlobStore::read(const Digest& digest, std::size_t bytes_max) const {
  TRY(std::string bytes, read_file(path_of(digest), bytes_max));
  if (sha256(bytes) != digest)
    return Error{Errc::bad_signature, "blob " + digest.hex() + ": the file on disk no longer matches its digest"};
  return bytes;
}

}  // namespace ferry::server
