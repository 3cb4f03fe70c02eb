// Bounded reads, atomic durable writes and locks over plain POSIX calls.
#include "common/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

namespace ferry {
namespace {

Result<> write_all(int fd, std::string_view content, const Path& path) {
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno_error("write", path);
    }
    content.remove_prefix(std::size_t(written));
  }
  return {};
}

}  // namespace

Error errno_error(std::string_view what, const Path& path) {
  const int number = errno;
  Errc code = Errc::io;
  if (number == ENOSPC || number == EDQUOT) code = Errc::no_space;
  if (number == ENOENT || number == ENOTDIR) code = Errc::not_found;
  if (number == EACCES || number == EPERM || number == EROFS) code = Errc::denied;
  return Error{code, std::string(what) + " " + path.string() + ": " + std::strerror(number)};
}

Result<std::string> read_file(const Path& path, std::size_t bytes_max) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error("open", path);
  struct stat about {};
  if (::fstat(fd.get(), &about) != 0) return errno_error("stat", path);
  if (S_ISDIR(about.st_mode)) return Error{Errc::bad_input, path.string() + ": is a directory, expected a file"};
  std::string content;
  content.reserve(std::min<std::size_t>(std::size_t(about.st_size), bytes_max) + 1);
  char piece[64 * 1024];
  for (;;) {
    const ssize_t got = ::read(fd.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("read", path);
    if (got == 0) return content;
    content.append(piece, std::size_t(got));
    if (content.size() > bytes_max) {
      return Error{Errc::bad_input, path.string() + ": longer than " + std::to_string(bytes_max) + " bytes"};
    }
  }
}

Result<> write_file_atomic(const Path& path, std::string_view content, unsigned mode) {
  std::string temporary = path.string() + ".tmp-XXXXXX";
  const FileDescriptor fd(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return errno_error("create a temporary file beside", path);
  const auto abandon = [&](Error error) -> Result<> {
    ::unlink(temporary.c_str());
    return error;
  };
  if (::fchmod(fd.get(), mode_t(mode)) != 0) return abandon(errno_error("chmod", temporary));
  if (auto written = write_all(fd.get(), content, temporary); !written) return abandon(std::move(written).error());
  if (::fsync(fd.get()) != 0) return abandon(errno_error("fsync", temporary));
  if (::rename(temporary.c_str(), path.c_str()) != 0) return abandon(errno_error("rename to", path));
  return sync_directory(path.has_parent_path() ? path.parent_path() : Path("."));
}

Result<> sync_directory(const Path& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno_error("open directory", path);
  // EINVAL: some network and FUSE file systems cannot sync directories; there is nothing more to do.
  if (::fsync(fd.get()) != 0 && errno != EINVAL) return errno_error("fsync directory", path);
  return {};
}

Result<> make_directories(const Path& path, unsigned mode) {
  if (path.empty()) return {};
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return {};
  const Path parent = path.parent_path();
  if (!parent.empty() && parent != path) TRY_VOID(make_directories(parent, mode));
  if (::mkdir(path.c_str(), mode_t(mode)) != 0 && errno != EEXIST) return errno_error("mkdir", path);
  if (!std::filesystem::is_directory(path, ignored)) {
    return Error{Errc::io, path.string() + ": exists and is not a directory"};
  }
  return sync_directory(parent.empty() ? Path(".") : parent);
}

Result<> remove_tree(const Path& path) {
  std::error_code problem;
  std::filesystem::remove_all(path, problem);
  if (problem) return Error{Errc::io, "remove " + path.string() + ": " + problem.message()};
  return {};
}

Result<std::uint64_t> free_bytes(const Path& path) {
  struct statvfs about {};
  if (::statvfs(path.c_str(), &about) != 0) return errno_error("statvfs", path);
  return std::uint64_t(about.f_bavail) * about.f_frsize;
}

Result<FileLock> FileLock::take(const Path& path) {
  FileDescriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return errno_error("open lock", path);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
      return Error{Errc::conflict, path.string() + ": locked by another process; stop it first"};
    return errno_error("lock", path);
  }
  return FileLock(std::move(fd));
}

}  // namespace ferry
