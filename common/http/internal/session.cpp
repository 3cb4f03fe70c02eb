#include "common/http/internal/session.hpp"

#include "common/http/internal/target.hpp"
#include "common/task.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>
#include <boost/asio/redirect_error.hpp>
#include <boost/system/system_error.hpp>

namespace ferry::http::internal {
namespace {

namespace asio = boost::asio;
// A body nobody wants that is shorter than this is read and dropped, so that the connection lives on.
constexpr std::uint64_t discarded_body_bytes_max = 64 * 1024;
// Bodies to a file are written in pieces of about this size.
constexpr std::size_t body_file_piece_bytes = 256 * 1024;
// Chunk headers and trailers while a chunked body is read.
constexpr std::size_t chunk_line_bytes_max = 16 * 1024;
// A body that trickles below this rate is given up even if no single pause is long.
constexpr std::int64_t body_bytes_per_second_min = 256;
// After an answer that the client may not have read because it is still sending.
constexpr Duration linger_limit{2'000};
constexpr std::size_t linger_bytes_max = 16 * 1024 * 1024;

std::string name_of(const Socket& socket) {
  boost::system::error_code failed;
  const auto endpoint = socket.remote_endpoint(failed);
  if (failed) return "unknown";
  char text[INET6_ADDRSTRLEN] = "";
  const auto* address = reinterpret_cast<const sockaddr*>(endpoint.data());
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    return std::string(text) + ":" + std::to_string(ntohs(v4->sin_port));
  }
  if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + std::to_string(ntohs(v6->sin6_port));
  }
  return "unix";
}

}  // namespace

Session::BodyFile::~BodyFile() { remove(); }

void Session::BodyFile::remove() {
  if (!path_.empty()) ::unlink(path_.c_str());  // absent when the handler renamed it
  path_.clear();
}

Result<> Session::BodyFile::create(const Path& directory) {
  std::string name = (directory / ".body-XXXXXX").string();
  fd_ = FileDescriptor(::mkostemp(name.data(), O_CLOEXEC));  // mode 0600
  if (!fd_) return errno_error("request body", directory);
  path_ = name;
  return {};
}

Result<> Session::BodyFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error("request body", path_);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Session::Session(ServerParts& parts, IoThread& thread, Socket socket, std::shared_ptr<SSL_CTX> tls, bool refuse)
    : parts_(parts), thread_(thread), stream_(std::move(socket), std::move(tls)), refuse_(refuse) {
  remote_ = name_of(stream_.socket());
  set_deadline(parts_.limits.header_limit);
}

void Session::no_deadline() {
  deadline_ms_ = std::numeric_limits<std::int64_t>::max();
  expired_ = false;
}

void Session::expire() {
  no_deadline();
  expired_ = true;
  boost::system::error_code ignored;
  stream_.socket().cancel(ignored);
}

void Session::cut() {
  if (cut_) return;
  cut_ = true;
  expired_ = true;
  cancel_.emit(asio::cancellation_type::terminal);
}

void Session::end_if_waiting() {
  if (phase_ == Phase::waiting) expire();
  if (phase_ == Phase::streaming) cut();
}

void Session::close() {
  boost::system::error_code ignored;
  stream_.socket().close(ignored);
}

asio::awaitable<bool> Session::wait_socket(IoStatus wanted) {
  if (expired_) co_return false;
  boost::system::error_code failed;
  const auto direction = wanted == IoStatus::want_write ? Socket::wait_write : Socket::wait_read;
  co_await stream_.socket().async_wait(direction, asio::redirect_error(asio::use_awaitable, failed));
  co_return !failed && !expired_;
}

asio::awaitable<std::string_view> Session::read_some(bool wait_first) {
  const auto scratch = thread_.scratch();
  for (;;) {
    IoStatus wanted = IoStatus::want_read;
    if (!wait_first) {
      const Attempt attempt = stream_.try_read(scratch.data(), scratch.size());
      if (attempt.status == IoStatus::ok) co_return std::string_view(scratch.data(), attempt.bytes);
      if (attempt.status == IoStatus::closed) co_return std::string_view();
      wanted = attempt.status;
    }
    wait_first = false;
    const bool ready = co_await wait_socket(wanted);
    if (!ready) co_return std::string_view();
  }
}

bool Session::write_now(std::string_view& bytes) {
  while (!bytes.empty()) {
    const Attempt attempt = stream_.try_write(bytes.data(), bytes.size());
    if (attempt.status == IoStatus::closed) return false;
    if (attempt.status != IoStatus::ok) return true;
    bytes.remove_prefix(attempt.bytes);
  }
  return true;
}

asio::awaitable<bool> Session::write_rest(std::string_view bytes) {
  set_deadline(parts_.limits.body_stall_limit);
  while (!bytes.empty()) {
    const Attempt attempt = stream_.try_write(bytes.data(), bytes.size());
    if (attempt.status == IoStatus::closed) co_return false;
    if (attempt.status == IoStatus::ok) {
      bytes.remove_prefix(attempt.bytes);
      set_deadline(parts_.limits.body_stall_limit);
      continue;
    }
    const bool ready = co_await wait_socket(attempt.status);
    if (!ready) co_return false;
  }
  co_return true;
}

asio::awaitable<bool> Session::shake_hands() {
  for (;;) {
    const Attempt attempt = stream_.try_handshake();
    if (attempt.status == IoStatus::ok) break;
    if (attempt.status == IoStatus::closed) {
      const std::string why = take_tls_errors();
      parts_.log.debug("TLS handshake failed", {{"remote", remote_}, {"error", why}});
      co_return false;
    }
    const bool ready = co_await wait_socket(attempt.status);
    if (!ready) co_return false;
  }
  auto peer = verified_peer(stream_.tls());
  if (!peer) {
    parts_.log.debug("client certificate refused", {{"remote", remote_}, {"error", peer.error().context}});
    co_return false;
  }
  peer_ = std::move(*peer);
  co_return true;
}

asio::awaitable<void> Session::run() {
  if (!stream_.usable()) co_return;
  if (stream_.is_tls()) {
    const bool trusted = co_await shake_hands();
    if (!trusted) co_return;
  }
  Outcome outcome = Outcome::keep;
  while (outcome == Outcome::keep) outcome = co_await serve_one();
  phase_ = Phase::closing;
  stream_.say_goodbye();
  if (outcome == Outcome::linger) co_await linger();
}

// Closing a socket with unread bytes resets it, and a reset can overtake the answer: so read on for a moment.
asio::awaitable<void> Session::linger() {
  set_deadline(linger_limit);
  const auto scratch = thread_.scratch();
  std::size_t discarded = 0;
  while (discarded < linger_bytes_max) {
    const Attempt attempt = stream_.try_discard(scratch.data(), scratch.size());
    if (attempt.status == IoStatus::closed) co_return;
    discarded += attempt.bytes;
    if (attempt.status == IoStatus::ok) continue;
    const bool ready = co_await wait_socket(attempt.status);
    if (!ready) co_return;
  }
}

asio::awaitable<Session::Head> Session::read_head(RequestParser& parser) {
  phase_ = pending_.empty() ? Phase::waiting : Phase::reading;
  if (parts_.draining && phase_ == Phase::waiting) co_return Head::closed;
  bool wait_first = !stream_.has_buffered();
  std::string_view fresh;
  for (;;) {
    std::string_view bytes = fresh;
    if (!pending_.empty()) {
      pending_ += fresh;
      bytes = pending_;
    }
    if (!bytes.empty()) {
      const auto fed = parser.feed(bytes);
      if (pending_.empty())
        pending_.assign(bytes.substr(fed.consumed));
      else
        pending_.erase(0, fed.consumed);
      if (fed.status == RequestParser::Status::failed) co_return Head::failed;
      if (fed.status != RequestParser::Status::need_more) co_return Head::complete;
    }
    fresh = co_await read_some(wait_first);
    wait_first = false;
    if (fresh.empty()) {
      const bool late = expired_ && !parts_.draining && phase_ == Phase::reading;
      co_return late ? Head::timeout : Head::closed;
    }
    if (phase_ == Phase::waiting) {
      phase_ = Phase::reading;
      set_deadline(parts_.limits.header_limit);
    }
  }
}

std::optional<Response> Session::admit(RequestParser& parser, const Route*& route) {
  Request& request = parser.request;
  if (refuse_) {
    Response full = problem(503, "unavailable", "this server has as many connections as it takes: try again later");
    full.headers["Retry-After"] = "5";
    return full;
  }
  const std::string_view path = raw_path(request.raw_target);
  auto match = parts_.router.find(request.method, path);
  if (!match) {
    if (match.error().code != Errc::unsupported) return problem(match.error());
    Response refused = problem(405, "method_not_allowed", match.error().context);
    refused.headers["Allow"] = parts_.router.allowed_methods(path);
    return refused;
  }
  route = match->route;
  request.params = std::move(match->params);
  if (route->guard) {
    try {
      if (auto refused = route->guard(request)) return refused;
    } catch (const std::exception& failure) {
      return failed_handler(*route, failure.what());
    }
  }
  if (const auto declared = parser.declared_bytes(); declared && *declared > route->body_bytes_max)
    return problem(413, "body_too_large",
                   "the body has " + std::to_string(*declared) + " bytes, at most " +
                       std::to_string(route->body_bytes_max) + " are taken here");
  return std::nullopt;
}

asio::awaitable<std::optional<Response>> Session::take_body(RequestParser& parser, const Route& route, BodyFile& file) {
  const bool to_file = !route.body_directory.empty();
  if (to_file) {
    if (auto made = file.create(route.body_directory); !made) co_return problem(made.error());
  }
  if (parser.expects_continue() && pending_.empty() && !parser.complete()) {
    const bool sent = co_await write_rest("HTTP/1.1 100 Continue\r\n\r\n");
    if (!sent) co_return problem(408, "timeout", "the client does not read");
  }
  parser.read_body(route.body_bytes_max);
  phase_ = Phase::reading;
  const std::int64_t started_ms = thread_.now_ms();
  std::string_view fresh;
  for (;;) {
    pending_ += fresh;
    const auto fed = parser.feed(pending_);
    pending_.erase(0, fed.consumed);
    if (fed.status == RequestParser::Status::failed) co_return parser.failure();
    const bool complete = fed.status == RequestParser::Status::complete;
    if (!complete && pending_.size() > chunk_line_bytes_max)
      co_return problem(400, "bad_request", "a chunk's header or the trailer is too long");
    if (to_file && !parser.request.body.empty() && (complete || parser.request.body.size() >= body_file_piece_bytes)) {
      auto write = [&] { return file.append(parser.request.body); };
      Result<> written = co_await offload(*parts_.pool, std::move(write));
      if (!written) co_return problem(written.error());
      parser.request.body.clear();
    }
    if (complete) break;
    const auto received_ms = static_cast<std::int64_t>(parser.body_bytes()) * 1000 / body_bytes_per_second_min;
    set_deadline(parts_.limits.body_stall_limit);
    deadline_ms_ = std::min(deadline_ms_, started_ms + received_ms + parts_.limits.body_stall_limit.count());
    fresh = co_await read_some(false);
    if (fresh.empty()) co_return problem(408, "timeout", "the body stopped coming");
  }
  if (to_file) {
    file.close();
    parser.request.body_file = file.path();
  }
  co_return std::nullopt;
}

// For an answer given before the body was read. True: the connection can go on.
asio::awaitable<bool> Session::discard_body(RequestParser& parser) {
  if (parser.complete()) co_return true;
  const auto declared = parser.declared_bytes();
  if (!declared || *declared > discarded_body_bytes_max || parser.expects_continue() || refuse_) co_return false;
  parser.read_body(discarded_body_bytes_max);
  set_deadline(linger_limit);
  std::string_view fresh;
  for (;;) {
    pending_ += fresh;
    const auto fed = parser.feed(pending_);
    pending_.erase(0, fed.consumed);
    parser.request.body.clear();
    if (fed.status != RequestParser::Status::need_more) co_return fed.status == RequestParser::Status::complete;
    fresh = co_await read_some(false);
    if (fresh.empty()) co_return false;
  }
}

Response Session::failed_handler(const Route& route, std::string_view what) {
  parts_.log.error("a handler threw", {{"route", route.label}, {"error", what}});
  return problem(500, "internal", "the server failed on this request; its log says why");
}

asio::awaitable<Response> Session::run_handler(const Route& route, const Request& request) {
  no_deadline();
  std::string failure;
  try {
    if (route.blocking) {
      auto work = [&] { return route.blocking(request); };
      co_return co_await offload(*parts_.pool, std::move(work));
    }
    co_return co_await route.async(request);
  } catch (const std::exception& thrown) {
    if (cut_) throw;
    failure = thrown.what();
  }
  co_return failed_handler(route, failure);
}

asio::awaitable<Session::Outcome> Session::serve_one() {
  RequestParser parser(parts_.limits.header_bytes_max);
  Exchange exchange;
  const Head head = co_await read_head(parser);
  if (head == Head::closed) co_return Outcome::close;
  if (head != Head::complete) {
    Response refused =
        head == Head::failed ? parser.failure() : problem(408, "timeout", "the request's header did not end in time");
    exchange.keep_alive = false;
    co_await send(exchange, refused);
    if (parts_.observer) parts_.observer("unreadable", refused.status, std::chrono::nanoseconds{0});
    co_return Outcome::linger;
  }
  const auto started = parts_.observer ? parts_.clock.monotonic() : std::chrono::nanoseconds{0};
  Request& request = parser.request;
  request.peer = peer_;
  request.remote = remote_;
  const Route* route = nullptr;
  BodyFile body_file;
  phase_ = Phase::working;
  std::optional<Response> response = admit(parser, route);
  bool body_read = true;
  if (response) {
    body_read = co_await discard_body(parser);
  } else if (!parser.complete() || !route->body_directory.empty()) {
    response = co_await take_body(parser, *route, body_file);
    body_read = parser.complete();
  }
  phase_ = Phase::working;
  if (!response) {
    if (route->quick) {
      try {
        response = route->quick(request);
      } catch (const std::exception& failure) {
        response = failed_handler(*route, failure.what());
      }
    } else {
      response = co_await run_handler(*route, request);
    }
  }
  body_file.remove();  // before the client can know that the handler is through
  exchange.keep_alive = body_read && parser.wants_connection() && !parts_.draining && !refuse_;
  exchange.head_only = request.method == "HEAD";
  exchange.http_1_0 = parser.http_1_0();
  phase_ = Phase::writing;
  const bool sent = co_await send(exchange, *response);
  if (parts_.observer) {
    const std::string_view label = route ? std::string_view(route->label) : std::string_view("unmatched");
    parts_.observer(label, response->status, parts_.clock.monotonic() - started);
  }
  if (!sent) co_return Outcome::close;
  set_deadline(parts_.limits.idle_limit);
  if (pending_.empty()) pending_.shrink_to_fit();
  if (exchange.keep_alive) co_return Outcome::keep;
  co_return body_read&& pending_.empty() ? Outcome::close : Outcome::linger;
}

}  // namespace ferry::http::internal
