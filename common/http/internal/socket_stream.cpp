#include "common/http/internal/socket_stream.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <cerrno>

namespace ferry::http::internal {

SocketStream::SocketStream(Socket socket, std::shared_ptr<SSL_CTX> context)
    : socket_(std::move(socket)), context_(std::move(context)) {
  boost::system::error_code ignored;
  socket_.native_non_blocking(true, ignored);
  const int on = 1;  // fails on Unix sockets, which have no Nagle to switch off
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (context_) tls_ = make_tls(context_.get(), socket_.native_handle());
}

Attempt SocketStream::tls_outcome(int returned) {
  switch (SSL_get_error(tls_.get(), returned)) {
    case SSL_ERROR_WANT_READ:
      return {IoStatus::want_read};
    case SSL_ERROR_WANT_WRITE:
      return {IoStatus::want_write};
    default:
      return {IoStatus::closed};
  }
}

Attempt SocketStream::try_handshake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(tls_.get());
  if (done == 1) return {IoStatus::ok};
  return tls_outcome(done);
}

Attempt SocketStream::try_read(char* out, std::size_t size) {
  if (tls_) {
    ERR_clear_error();
    std::size_t got = 0;
    const int done = SSL_read_ex(tls_.get(), out, size, &got);
    if (done == 1) return {IoStatus::ok, got};
    return tls_outcome(done);
  }
  const ssize_t got = ::recv(socket_.native_handle(), out, size, 0);
  if (got > 0) return {IoStatus::ok, static_cast<std::size_t>(got)};
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {IoStatus::want_read};
  return {IoStatus::closed};
}

Attempt SocketStream::try_write(const char* bytes, std::size_t size) {
  if (tls_) {
    ERR_clear_error();
    std::size_t sent = 0;
    const int done = SSL_write_ex(tls_.get(), bytes, size, &sent);
    if (done == 1) return {IoStatus::ok, sent};
    return tls_outcome(done);
  }
  const ssize_t sent = ::send(socket_.native_handle(), bytes, size, MSG_NOSIGNAL);
  if (sent >= 0) return {IoStatus::ok, static_cast<std::size_t>(sent)};
  if (errno == EAGAIN || errno == EINTR) return {IoStatus::want_write};
  return {IoStatus::closed};
}

Attempt SocketStream::try_discard(char* scratch, std::size_t size) {
  const ssize_t got = ::recv(socket_.native_handle(), scratch, size, 0);
  if (got > 0) return {IoStatus::ok, static_cast<std::size_t>(got)};
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {IoStatus::want_read};
  return {IoStatus::closed};
}

bool SocketStream::has_buffered() const { return tls_ && SSL_has_pending(tls_.get()) == 1; }

void SocketStream::say_goodbye() {
  if (tls_ && SSL_is_init_finished(tls_.get())) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
  }
  boost::system::error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
}

}  // namespace ferry::http::internal
