// Files as Ferry uses them: bounded reads, atomic durable writes, locks. All calls block.
#pragma once
#include "common/handle.hpp"
#include "common/result.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace ferry {

using Path = std::filesystem::path;

// The whole file; not_found when absent, bad_input when longer than `bytes_max`.
Result<std::string> read_file(const Path& path, std::size_t bytes_max);

// Old content or new content, never a mixture, durable when it returns: temporary file in the same directory,
// write, fsync, rename, fsync of the directory. The temporary is removed on failure.
Result<> write_file_atomic(const Path& path, std::string_view content, unsigned mode = 0644);

Result<> make_directories(const Path& path, unsigned mode = 0755);  // durable: parents are fsynced
Result<> sync_directory(const Path& path);
Result<> remove_tree(const Path& path);              // absent is fine; never follows symbolic links
Result<std::uint64_t> free_bytes(const Path& path);  // available to this user on that file system

// An exclusive lock on a file, held while the object lives; conflict when somebody else holds it.
class FileLock {
 public:
  static Result<FileLock> take(const Path& path);

 private:
  explicit FileLock(FileDescriptor fd) : fd_(std::move(fd)) {}
  FileDescriptor fd_;
};

// The error for errno after a failed call: no_space for ENOSPC and EDQUOT, not_found, denied, else io.
Error errno_error(std::string_view what, const Path& path);

}  // namespace ferry
