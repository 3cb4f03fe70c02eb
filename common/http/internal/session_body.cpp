// The sending half of a connection: small answers in one write, files in paced pieces, streams chunk by chunk.
#include "common/http/internal/response_head.hpp"
#include "common/http/internal/session.hpp"
#include "common/task.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <boost/asio/post.hpp>
#include <charconv>

namespace ferry::http::internal {
namespace {

namespace asio = boost::asio;
// Bodies up to this size share a buffer, and so a write, with their head.
constexpr std::size_t joined_body_bytes_max = 32 * 1024;
constexpr std::size_t file_piece_bytes = 64 * 1024;
// A capped transfer is sent in pieces worth about this time, so that a small cap is smooth.
constexpr std::int64_t paced_pieces_per_second = 20;
constexpr std::size_t paced_piece_bytes_min = 256;
// One fast download must not keep the other connections of its thread waiting.
constexpr std::size_t bytes_between_yields = 1024 * 1024;
// What a connection keeps allocated between two requests.
constexpr std::size_t kept_buffer_bytes_max = 4 * 1024;

struct PieceRead {
  ssize_t bytes = 0;
  int error = 0;
};

PieceRead read_at(int fd, char* out, std::size_t size, std::uint64_t offset, int flags) {
  iovec piece{out, size};
  PieceRead read;
  do {
    read.bytes = flags != 0 ? ::preadv2(fd, &piece, 1, static_cast<off_t>(offset), flags)
                            : ::pread(fd, out, size, static_cast<off_t>(offset));
    read.error = read.bytes < 0 ? errno : 0;
  } while (read.error == EINTR);
  return read;
}

// What is in the page cache is read at once; what would wait for the disk is read on the pool.
asio::awaitable<PieceRead> read_piece(asio::thread_pool& pool, int fd, char* out, std::size_t size,
                                      std::uint64_t offset) {
  PieceRead read = read_at(fd, out, size, offset, RWF_NOWAIT);
  if (read.error == 0 && read.bytes > 0) co_return read;
  auto work = [=] { return read_at(fd, out, size, offset, 0); };
  read = co_await offload(pool, std::move(work));
  co_return read;
}

struct OpenFile {
  FileDescriptor fd;
  std::uint64_t size = 0;
};

OpenFile open_file(const Path& path) {
  OpenFile file;
  file.fd = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (file.fd && ::fstat(file.fd.get(), &info) == 0) file.size = static_cast<std::uint64_t>(info.st_size);
  return file;
}

bool has_no_body(int status) { return status == 204 || status == 304 || (status >= 100 && status < 200); }

}  // namespace

void Session::compose_head(const Exchange& exchange, const Response& response, std::optional<std::uint64_t> length,
                           bool chunked) {
  HeadOptions options;
  options.keep_alive = exchange.keep_alive;
  options.http_1_0 = exchange.http_1_0;
  options.chunked = chunked;
  options.length = length;
  options.date = thread_.date();
  out_.clear();
  append_head(out_, response, options);
}

asio::awaitable<bool> Session::send(Exchange& exchange, Response& response) {
  if (has_no_body(response.status)) {
    compose_head(exchange, response, std::nullopt, false);
    co_return co_await write_rest(out_);
  }
  if (response.file) co_return co_await send_file(exchange, response);
  if (response.stream) co_return co_await send_stream(exchange, response);
  std::string_view body =
      response.shared_body ? std::string_view(*response.shared_body) : std::string_view(response.body);
  compose_head(exchange, response, body.size(), false);
  if (exchange.head_only) body = {};
  if (body.size() <= joined_body_bytes_max) {
    out_ += body;
    body = {};
  }
  std::string_view rest = out_;
  bool sent = write_now(rest);
  if (sent && !rest.empty()) sent = co_await write_rest(rest);
  if (sent && !body.empty()) sent = co_await write_rest(body);
  if (out_.capacity() > kept_buffer_bytes_max) std::string().swap(out_);
  co_return sent;
}

asio::awaitable<bool> Session::send_file(Exchange& exchange, Response& response) {
  const FileRange range = *response.file;
  OpenFile file = open_file(range.path);
  if (!file.fd || file.size < range.length || file.size - range.length < range.offset) {
    parts_.log.error("a file to send is missing or shorter than it was", {{"path", range.path.string()}});
    response = problem(500, "internal", "the file changed while it was asked for");
    co_return co_await send(exchange, response);
  }
  compose_head(exchange, response, range.length, false);
  bool sent = co_await write_rest(out_);
  if (!sent || exchange.head_only) co_return sent;
  const auto rate = static_cast<std::int64_t>(range.bytes_per_second_max);
  const std::size_t piece_max = rate == 0 ? file_piece_bytes
                                          : std::clamp(static_cast<std::size_t>(rate / paced_pieces_per_second),
                                                       paced_piece_bytes_min, file_piece_bytes);
  std::string piece(std::min<std::uint64_t>(piece_max, range.length), '\0');
  const auto started = parts_.clock.monotonic();
  std::uint64_t done = 0, yielded_at = 0;
  while (done < range.length) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), range.length - done));
    const PieceRead read = co_await read_piece(*parts_.pool, file.fd.get(), piece.data(), wanted, range.offset + done);
    if (read.bytes <= 0) co_return false;  // the length is promised: only a broken connection tells the truth now
    sent = co_await write_rest(std::string_view(piece.data(), static_cast<std::size_t>(read.bytes)));
    if (!sent) co_return false;
    done += static_cast<std::uint64_t>(read.bytes);
    if (rate > 0) {
      no_deadline();
      const auto due = std::chrono::nanoseconds(static_cast<std::int64_t>(double(done) * 1e9 / double(rate)));
      const auto wait = due - (parts_.clock.monotonic() - started);
      if (wait > Duration{1}) co_await sleep_for(std::chrono::ceil<Duration>(wait));
    } else if (done - yielded_at >= bytes_between_yields) {
      yielded_at = done;
      co_await asio::post(stream_.socket().get_executor(), asio::use_awaitable);
    }
  }
  co_return true;
}

asio::awaitable<bool> Session::send_stream(Exchange& exchange, Response& response) {
  const bool chunked = !exchange.http_1_0;
  if (!chunked) exchange.keep_alive = false;  // the end of the connection is the end of the body
  compose_head(exchange, response, std::nullopt, chunked);
  bool sent = co_await write_rest(out_);
  if (!sent || exchange.head_only) co_return sent;
  if (parts_.draining) co_return false;
  watch_client();
  for (;;) {
    phase_ = Phase::streaming;
    no_deadline();
    std::optional<std::string> piece;
    std::string failure;
    try {
      piece = co_await response.stream();
    } catch (const std::exception& thrown) {
      if (cut_) throw;
      failure = thrown.what();
    }
    if (!failure.empty()) {
      parts_.log.error("a stream threw", {{"remote", remote_}, {"error", failure}});
      co_return false;
    }
    phase_ = Phase::writing;
    if (!piece) break;
    if (piece->empty()) continue;
    out_.clear();
    if (chunked) {
      char size[20];
      out_.append(size, std::to_chars(size, size + sizeof size, piece->size(), 16).ptr);
      out_ += "\r\n";
    }
    out_ += *piece;
    if (chunked) out_ += "\r\n";
    sent = co_await write_rest(out_);
    if (!sent) co_return false;
  }
  if (!chunked) co_return true;
  co_return co_await write_rest("0\r\n\r\n");
}

// Nobody reads while a stream is sent, so the end of the client would go unseen until a write fails.
void Session::watch_client() {
  if (watching_) return;  // the wait of an earlier stream on this connection still stands
  watching_ = true;
  auto readable = [self = shared_from_this()](const boost::system::error_code& failed) {
    self->watching_ = false;
    if (failed || (self->phase_ != Phase::streaming && self->phase_ != Phase::writing)) return;
    const auto scratch = self->thread_.scratch();
    const Attempt attempt = self->stream_.try_read(scratch.data(), scratch.size());
    if (attempt.status == IoStatus::ok) self->pending_.append(scratch.data(), attempt.bytes);
    if (attempt.status == IoStatus::closed || self->pending_.size() > self->parts_.limits.header_bytes_max)
      return self->cut();
    self->watch_client();
  };
  stream_.socket().async_wait(Socket::wait_read, std::move(readable));
}

}  // namespace ferry::http::internal
