// Kept-alive connections from one thread, over mutual TLS or plain: OpenSSL on non-blocking sockets over epoll, as lean
// as a client can be, so that the server under test is what is busy.
#pragma once
#include "common/file.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ferry::bench {

struct ClientIdentity {
  std::string certificate_file, key_file;
};

struct TlsClients {
  std::string ca_file;
  std::string server_name;  // in the server's certificate
  std::size_t connections = 0;
  std::vector<ClientIdentity> identities;  // given to the connections in turn
};

// What to ask, when it is not the same each time.
class RequestSource {
 public:
  virtual ~RequestSource() = default;
  // The next whole HTTP request of a connection; empty: none is left, and the connection rests.
  virtual std::string next(std::size_t connection) = 0;
};

struct Target {
  std::string name;
  std::uint16_t port = 0;
  std::string path;
  bool conditional = false;  // with the ETag of a first answer in If-None-Match: 304 is expected
  std::vector<int> pids;     // all processes of the server
  bool tls = true;
  RequestSource* source = nullptr;  // in the place of `path`; the first answer of a connection is the pattern for all
};

struct Block {
  double seconds = 0;
  double server_cpu_seconds = 0;     // user and system, all threads of all `pids`
  std::vector<double> latencies_us;  // one per answered request
};

class LoadPool {
 public:
  // Connects to 127.0.0.1, shakes hands, asks at least once per connection and remembers what the answer looks like.
  static Result<std::unique_ptr<LoadPool>> open(const TlsClients& clients, const Target& target);
  ~LoadPool();
  // Keeps one request under way on each connection for that long, or until none is left, then takes the last answers.
  // An answer with another status or length than the first, or a broken connection, is an error.
  Result<Block> run(double seconds);
  int status() const;
  std::size_t answer_bytes() const;  // head and body
  std::size_t body_bytes() const;

 private:
  struct State;
  explicit LoadPool(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ferry::bench
