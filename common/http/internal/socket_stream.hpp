// One accepted connection as bytes: plain or TLS, never blocking. TLS runs straight on the socket, without the copies
// through memory BIOs that asio::ssl makes (PERFORMANCE.md §1).
#pragma once
#include "common/http/internal/tls_context.hpp"

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

namespace ferry::http::internal {

using Socket =
    boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, boost::asio::io_context::executor_type>;

enum class IoStatus { ok, want_read, want_write, closed };

struct Attempt {
  IoStatus status;
  std::size_t bytes = 0;
};

// Used by one thread. Every try_… returns at once; on want_… wait for the socket, then try again.
class SocketStream {
 public:
  SocketStream(Socket socket, std::shared_ptr<SSL_CTX> context);  // null: plain
  bool usable() const { return !context_ || tls_; }
  bool is_tls() const { return context_ != nullptr; }
  SSL* tls() { return tls_.get(); }
  Socket& socket() { return socket_; }

  Attempt try_handshake();
  Attempt try_read(char* out, std::size_t size);  // closed: end of stream or failure
  // After want_…, the next call must begin with the same bytes.
  Attempt try_write(const char* bytes, std::size_t size);
  Attempt try_discard(char* scratch, std::size_t size);  // raw bytes below TLS, when all has been said
  bool has_buffered() const;                             // bytes that no wait for the socket would announce
  void say_goodbye();                                    // TLS close_notify and FIN; failures are ignored

 private:
  Attempt tls_outcome(int returned);

  Socket socket_;
  std::shared_ptr<SSL_CTX> context_;
  Tls tls_;
};

}  // namespace ferry::http::internal
