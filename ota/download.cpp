// The download loop: hash what is there, ask for the rest, hash while it streams, judge the whole.
#include "ota/download.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ferry::ota {
namespace {

constexpr std::size_t read_piece_bytes = 128 * 1024;
constexpr std::size_t error_body_bytes_max = 64 * 1024;
constexpr int starts_over_max = 1;  // a server that does not honour ranges gets one chance from the beginning

Error disk_error(std::string_view what, const Path& path) {
  Error error = errno_error(what, path);
  error.reason = error.code == Errc::no_space ? "install.no_space" : "install.io";
  return error;
}

Result<> write_all(int fd, std::string_view bytes, const Path& path) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return disk_error("write", path);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace

Duration Backoff::next(Random& random, Duration at_least) {
  auto range = next_;
  next_ = std::min(next_ * 2, max_);
  Duration jittered{static_cast<Duration::rep>(random.uniform() * static_cast<double>(range.count()))};
  return at_least + jittered;
}

bool is_network_trouble(Errc code) {
  return code == Errc::unreachable || code == Errc::timeout || code == Errc::unavailable || code == Errc::denied;
}

struct Downloader::Part {
  Path path;
  FileDescriptor fd;
  std::uint64_t bytes = 0;  // on disk, all of them in `hasher`
  std::optional<Hasher> hasher;

  Result<> truncate() {
    if (::ftruncate(fd.get(), 0) != 0) return disk_error("ftruncate", path);
    if (::lseek(fd.get(), 0, SEEK_SET) < 0) return disk_error("lseek", path);
    bytes = 0;
    hasher.emplace();
    return {};
  }
};

bool Downloader::cancelled(const DownloadRequest& request) const {
  return sleeper_.stopped() || (request.cancel != nullptr && request.cancel->load());
}

Result<Downloader::Part> Downloader::open_part(const DownloadRequest& request) {
  auto made = make_directories(request.directory);
  if (!made) {
    Error error = std::move(made).error();
    error.reason = error.code == Errc::no_space ? "install.no_space" : "install.io";
    return error;
  }
  Part part;
  part.path = request.directory / (request.sha256.hex() + ".part");
  part.fd = FileDescriptor{::open(part.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)};
  if (!part.fd) return disk_error("open", part.path);
  part.hasher.emplace();
  std::string piece(read_piece_bytes, '\0');
  while (part.bytes <= request.length_bytes) {
    ssize_t count = ::read(part.fd.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return disk_error("read", part.path);
    if (count == 0) break;
    part.hasher->update(std::string_view(piece.data(), static_cast<std::size_t>(count)));
    part.bytes += static_cast<std::uint64_t>(count);
  }
  if (part.bytes > request.length_bytes) TRY_VOID(part.truncate());
  return part;
}

Result<Path> Downloader::fetch(const DownloadRequest& request) {
  TRY(auto part, open_part(request));
  if (part.bytes == request.length_bytes) {
    if (auto kept = finish(request, part)) return kept;
    // What an earlier run left is damaged: that is the disk's doing, not the server's, so it starts again uncounted.
    TRY(part, open_part(request));
  }
  Backoff backoff(limits_.backoff_first, limits_.backoff_max);
  int starts_over = 0;
  for (;;) {
    if (cancelled(request)) return Error{Errc::cancelled, "download of " + request.sha256.hex() + ": cancelled"};
    std::uint64_t before = part.bytes;
    Duration retry_after{0};
    TRY(auto outcome, continue_part(request, part, retry_after));
    if (outcome == Outcome::complete) return finish(request, part);
    if (outcome == Outcome::start_over) {
      if (++starts_over > starts_over_max)
        return Error{Errc::bad_input, request.url + ": the server's answer is not the rest of this blob",
                     "download.failed"};
      TRY_VOID(part.truncate());
      continue;
    }
    if (part.bytes > before) backoff.reset();
    sleeper_.sleep(backoff.next(random_, retry_after));
  }
}

Result<Downloader::Outcome> Downloader::continue_part(const DownloadRequest& request, Part& part,
                                                      Duration& retry_after) {
  HttpRequest get;
  get.url = request.url;
  const std::uint64_t offset = part.bytes;
  if (offset > 0) {
    get.headers["Range"] = "bytes=" + std::to_string(offset) + "-";
    get.headers["If-Range"] = "\"" + request.sha256.hex() + "\"";
  }
  get.time_limit = Duration{0};
  get.body_bytes_max = request.length_bytes - offset + error_body_bytes_max;  // `sink` is stricter for the blob itself
  get.bytes_per_second_min = limits_.bytes_per_second_min;
  get.stall_limit = limits_.stall_limit;
  get.cancel = request.cancel;
  bool too_long = false;
  std::optional<Error> disk;
  get.sink = [&](std::string_view piece) {
    if (sleeper_.stopped()) return false;
    if (piece.size() > request.length_bytes - part.bytes) {
      too_long = true;
      return false;
    }
    if (auto written = write_all(part.fd.get(), piece, part.path); !written) {
      disk = std::move(written).error();
      return false;
    }
    part.hasher->update(piece);
    part.bytes += piece.size();
    return true;
  };
  auto answer = http_.send(get);
  if (disk) {
    std::error_code ignored;  // after a failed write the file's tail is unknown; nothing of it is worth keeping
    std::filesystem::remove(part.path, ignored);
    return std::move(*disk);
  }
  if (cancelled(request)) return Error{Errc::cancelled, request.url + ": cancelled"};
  if (too_long) {
    if (offset > 0) return Outcome::start_over;  // the whole blob instead of the rest
    std::error_code ignored;
    std::filesystem::remove(part.path, ignored);
    return Error{Errc::bad_input,
                 request.url + ": more than the signed length of " + std::to_string(request.length_bytes) + " bytes",
                 "download.failed"};
  }
  if (!answer) {
    // A refused certificate or malformed HTTP is a captive portal or worse, never a fault of the release.
    log_.info("download interrupted", {{"url", request.url}, {"bytes", part.bytes}, {"error", answer.error().context}});
    return Outcome::trouble;
  }
  if (answer->status == 416) return Outcome::start_over;
  if (answer->status == 200 && offset > 0) {
    // The server sent everything from the start and it fitted behind our offset: it is shorter than the signed length.
    return Outcome::start_over;
  }
  if (answer->status == 200 || answer->status == 206) {
    if (part.bytes == request.length_bytes) return Outcome::complete;
    std::error_code ignored;  // an answer that ended cleanly too early was of something else: its bytes poison the rest
    std::filesystem::remove(part.path, ignored);
    return Error{Errc::bad_input,
                 request.url + ": the answer ended at " + std::to_string(part.bytes) + " of " +
                     std::to_string(request.length_bytes) + " bytes",
                 "download.failed"};
  }
  if (answer->status == 429 || answer->status >= 500 || answer->status < 200 || answer->status == 401 ||
      answer->status == 403 ||
      (answer->status >= 300 && answer->status < 400)) {  // 3xx: a captive portal, not our server
    retry_after = answer->retry_after().value_or(Duration{0});
    log_.info("download put off by the server", {{"url", request.url}, {"status", answer->status}});
    return Outcome::trouble;
  }
  Error error = error_from_status(*answer, request.url);
  error.reason = "download.failed";
  return error;
}

Result<Path> Downloader::finish(const DownloadRequest& request, Part& part) {
  Digest found = part.hasher->finish();
  part.hasher.emplace();
  if (found != request.sha256) {
    part.fd = FileDescriptor{};
    std::error_code ignored;
    std::filesystem::remove(part.path, ignored);
    return Error{Errc::bad_signature,
                 request.url + ": found sha256 " + found.hex() + ", expected " + request.sha256.hex(),
                 "download.digest"};
  }
  if (::fsync(part.fd.get()) != 0) {
    Error error = disk_error("fsync", part.path);
    std::error_code ignored;  // a failed fsync may have dropped pages: never fsync the same file again and believe it
    std::filesystem::remove(part.path, ignored);
    return error;
  }
  auto synced = sync_directory(request.directory);
  if (!synced) return disk_error("fsync", request.directory);
  return part.path;
}

}  // namespace ferry::ota
