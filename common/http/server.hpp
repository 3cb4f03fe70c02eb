// HTTP/1.1 server over Beast: TCP with TLS or plain, and Unix sockets. The only Beast in Ferry.
#pragma once
#include "common/http/router.hpp"
#include "common/log.hpp"
#include "common/tls.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace boost::asio {
class io_context;
}

namespace ferry::http {

struct Listen {
  std::string address = "127.0.0.1";  // or a Unix socket's path with `unix_socket`
  std::uint16_t port = 0;             // 0: any free one, see Server::port
  bool unix_socket = false;           // an old socket file is replaced; mode 0660
  std::optional<TlsServerConfig> tls;
};

struct ServerLimits {
  std::size_t header_bytes_max = 16 * 1024;
  std::size_t connections_max = 20'000;              // one more is answered 503 and closed
  Duration header_limit = std::chrono::seconds{15};  // from accept or previous answer's end, when bytes arrive
  Duration idle_limit = std::chrono::seconds{90};    // kept-alive connection without a request
  Duration body_stall_limit = std::chrono::seconds{30};
  Duration drain_limit = std::chrono::seconds{10};  // stop(): then connections are cut
  int threads = 1;                                  // io threads; a connection stays on one
  int blocking_threads = 2;                         // for Route::blocking
};

// One line per finished request, for metrics. Called on io threads.
using Observer = std::function<void(std::string_view route, int status, std::chrono::nanoseconds took)>;

// Runs its own threads. start() binds (errors: conflict when the address is in use, denied, bad_input for an address or
// a TLS setting) and returns; call it once. stop() ends connections that wait and streams at once, lets requests under
// way end within drain_limit, cuts the rest and joins; never call it from a handler. A blocking handler that runs is
// waited for. Destruction stops. Thread-safe after start().
class Server {
 public:
  Server(Router router, std::vector<Listen> listen, ServerLimits limits, Log& log, Observer observer = {});
  ~Server();
  Result<> start();
  void stop();
  std::uint16_t port(std::size_t listener = 0) const;  // the real one, after start()
  boost::asio::io_context& io();  // its first io thread's context: for timers and streams of this program
  // Replaces certificate, key and client CA for new connections (renewal). On an error the old ones stay.
  Result<> set_tls(std::size_t listener, TlsServerConfig tls);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ferry::http
