// A real server on loopback, certificates made by our own CA, and a socket that says exactly the bytes it is given.
#pragma once
#include "common/http/server.hpp"
#include "common/http_client.hpp"
#include "common/random.hpp"
#include "common/x509.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <catch2/catch.hpp>

namespace ferry::http::test {

using std::chrono::milliseconds;
using std::chrono::seconds;

// No test waits longer than this for something that must happen.
constexpr int patience_ms = 20'000;

template <class T>
T need(Result<T> result) {
  if (!result) FAIL(result.error().context);
  return std::move(*result);
}
inline void need(Result<> result) {
  if (!result) FAIL(result.error().context);
}

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/ferry-http-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const Path& path() const { return path_; }

 private:
  Path path_;
};

struct Identity {
  Certificate certificate;
  PrivateKey key;
};

// One CA with a server identity for 127.0.0.1 and a client identity.
class Pki {
 public:
  explicit Pki(std::string_view name = "test CA")
      : now_(clock_.now()),
        authority_(need(CertificateAuthority::create(name, now_ - std::chrono::hours{48}, now_ + std::chrono::hours{48},
                                                     random_))) {}

  Identity issue(const std::string& name, bool server, Duration starts = -std::chrono::hours{1},
                 Duration ends = std::chrono::hours{1}) {
    const PrivateKey key = need(PrivateKey::generate());
    CertificateOptions options;
    options.common_name = name;
    options.not_before = now_ + starts;
    options.not_after = now_ + ends;
    options.server = server;
    options.client = !server;
    if (server) options.ip_addresses = {"127.0.0.1"};
    return Identity{need(authority_.issue(key.public_key(), options, random_)), key};
  }
  TlsServerConfig server_config(bool ask_clients = true) {
    const Identity identity = issue("ferryd", true);
    TlsServerConfig config;
    config.certificate_pem = identity.certificate.pem();
    config.key_pem = identity.key.pem();
    if (ask_clients) config.client_ca_pem = ca_pem();
    return config;
  }
  TlsClientConfig client_config() const {
    TlsClientConfig config;
    config.ca_pem = ca_pem();
    return config;
  }
  TlsClientConfig client_config(const Identity& identity, const Path& directory) const {
    TlsClientConfig config = client_config();
    config.certificate_path = directory / (identity.certificate.serial_hex + ".pem");
    config.key_path = directory / (identity.certificate.serial_hex + ".key");
    need(write_file_atomic(config.certificate_path, identity.certificate.pem()));
    need(identity.key.save(config.key_path));
    return config;
  }
  std::string ca_pem() const { return authority_.certificate().pem(); }

 private:
  SystemClock clock_;
  SystemRandom random_;
  Instant now_;
  CertificateAuthority authority_;
};

// A server with the routes a test adds, started on first use of port().
class Served {
 public:
  explicit Served(Router router, std::optional<TlsServerConfig> tls = {}, ServerLimits limits = {},
                  Observer observer = {})
      : log_(clock_, STDERR_FILENO, LogFormat::text, LogLevel::error), tls_(tls.has_value()) {
    Listen listen;
    listen.tls = std::move(tls);
    server.emplace(std::move(router), std::vector<Listen>{listen}, limits, log_, std::move(observer));
    need(server->start());
  }
  std::string url(std::string_view path) const {
    return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(server->port()) + std::string(path);
  }
  HttpRequest get(std::string_view path) const {
    HttpRequest request;
    request.url = url(path);
    return request;
  }

 private:
  SystemClock clock_;
  Log log_;
  bool tls_;

 public:
  std::optional<Server> server;
};

inline Route quick(std::string method, std::string pattern, SyncHandler handler) {
  Route route;
  route.method = std::move(method);
  route.pattern = std::move(pattern);
  route.quick = std::move(handler);
  return route;
}

class RawSocket {
 public:
  explicit RawSocket(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  explicit RawSocket(FileDescriptor fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  void say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the other side has had enough: what it answered is what matters
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void half_close() { ::shutdown(fd_.get(), SHUT_WR); }
  // Up to and with `mark`, or all until the other side closes.
  std::string hear_until(std::string_view mark) {
    for (;;) {
      const auto found = mark.empty() ? heard_.npos : heard_.find(mark);
      if (found != heard_.npos) {
        std::string taken = heard_.substr(0, found + mark.size());
        heard_.erase(0, taken.size());
        return taken;
      }
      pollfd ready{fd_.get(), POLLIN, 0};
      if (::poll(&ready, 1, patience_ms) != 1) {
        FAIL("nothing more came; so far: " << heard_);
      }
      char buffer[16 * 1024];
      const ssize_t got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
      if (got <= 0) return std::exchange(heard_, {});
      heard_.append(buffer, static_cast<std::size_t>(got));
    }
  }
  std::string hear_all() { return hear_until({}); }

 private:
  FileDescriptor fd_;
  std::string heard_;
};

// A flag that another thread raises.
class Signal {
 public:
  void raise() {
    std::lock_guard lock(mutex_);
    raised_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, milliseconds{patience_ms}, [&] { return raised_; });
  }

 private:
  std::mutex mutex_;  // guards raised_
  std::condition_variable changed_;
  bool raised_ = false;
};

}  // namespace ferry::http::test
