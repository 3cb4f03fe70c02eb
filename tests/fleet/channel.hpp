// One connection of one virtual device: mutual TLS 1.3 and HTTP/1.1 on a non-blocking socket, one request at a time.
#pragma once
#include "common/crypto.hpp"
#include "common/handle.hpp"
#include "common/x509.hpp"
#include "tests/fleet/virtual_device.hpp"

#include <openssl/ssl.h>
#include <sys/socket.h>

namespace ferry::fleet {

inline constexpr std::size_t answer_head_bytes_max = 16 * 1024;
inline constexpr std::size_t answer_body_bytes_max = 1024 * 1024;  // of answers that are kept

using TlsContext = Handle<SSL_CTX, SSL_CTX_free>;

// A device's certificate and key as OpenSSL holds them.
struct TlsIdentity {
  Handle<X509, X509_free> certificate;
  Handle<EVP_PKEY, EVP_PKEY_free> key;
};
Result<TlsIdentity> make_tls_identity(const Certificate& certificate, const PrivateKey& key);

// Where the server listens and whom to trust there; shared by all channels.
struct Endpoint {
  std::string host, port;
  std::string ca_pem;
  sockaddr_storage address{};
  socklen_t address_bytes = 0;
  TlsContext context;
};
// "https://host:port" resolved once.
Result<std::unique_ptr<Endpoint>> make_endpoint(const std::string& url, const std::string& ca_pem);

// The request as it goes over the wire. `authorization` may be empty.
std::string http_request(const Endpoint& endpoint, const Ask& ask, const std::string& authorization);

class Channel {
 public:
  // Registered at `epoll` (edge-triggered, with `number` as data) as long as it is open. `identity` null: without a
  // certificate.
  Result<> open(const Endpoint& endpoint, const TlsIdentity* identity, int epoll, std::uint64_t number);
  bool is_open() const { return phase_ != Phase::closed; }
  bool is_shaken() const { return phase_ > Phase::shaking; }
  void close();
  // Sent when the handshake is over. Nothing may be under way.
  void ask(std::string request, bool digest_only);
  // Goes as far as the socket allows. The answer when it is complete; unreachable when the connection broke.
  Result<std::optional<Heard>> advance();
  bool busy() const { return !request_.empty(); }
  // The request under way went out on a connection that had served before and no byte of an answer came: the server
  // may have closed it just then, so it is asked once more.
  bool may_repeat() const { return served_ > 0 && head_.empty() && !body_began_; }

 private:
  enum class Phase { closed, connecting, shaking, ready };

  Result<> connected();
  Result<bool> shake();  // true: over
  Result<bool> write();  // true: all is out
  Result<std::optional<Heard>> read();
  Result<std::optional<Heard>> take(std::string_view piece);
  Result<bool> take_head();
  bool would_block(int result);

  Phase phase_ = Phase::closed;
  FileDescriptor fd_;
  Handle<SSL, SSL_free> tls_;
  std::uint64_t served_ = 0;

  std::string request_;
  std::size_t written_ = 0;
  bool digest_only_ = false;

  std::string head_;
  bool body_began_ = false;
  bool keep_alive_ = true;
  std::uint64_t body_left_ = 0;
  Heard heard_;
  std::optional<Hasher> hasher_;
};

}  // namespace ferry::fleet
