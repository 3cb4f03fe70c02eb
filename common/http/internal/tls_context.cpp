#include "common/http/internal/tls_context.hpp"

#include "common/x509.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <cerrno>

namespace ferry::http::internal {
namespace {

using Bio = Handle<BIO, BIO_free_all>;
using X509Ptr = Handle<X509, X509_free>;
using KeyPtr = Handle<EVP_PKEY, EVP_PKEY_free>;

// AES-128 first: as safe here and cheaper than OpenSSL's default; a client without AES instructions that prefers
// ChaCha20 gets it (SSL_OP_PRIORITIZE_CHACHA).
constexpr const char* cipher_suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
// A ticket carries the client's certificate, so each one costs; clients here resume one connection at a time.
constexpr std::size_t tickets_per_handshake = 1;
constexpr long session_seconds_max = 2 * 60 * 60;

Bio memory(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::vector<X509Ptr> read_certificates(std::string_view pem) {
  std::vector<X509Ptr> all;
  const Bio bio = memory(pem);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) all.emplace_back(certificate);
  ERR_clear_error();  // the "no start line" that ends every list
  return all;
}

Error refuse(std::string_view what) {
  return Error{Errc::bad_input, "TLS: " + std::string(what) + ": " + take_tls_errors()};
}

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size,
                    void*) {
  static constexpr unsigned char wanted[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, wanted, sizeof wanted - 1, in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<> load_identity(SSL_CTX* context, const TlsServerConfig& config) {
  auto chain = read_certificates(config.certificate_pem);
  if (chain.empty()) return Error{Errc::bad_input, "TLS: certificate: expected at least one PEM certificate"};
  const Bio key_text = memory(config.key_pem);
  const KeyPtr key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr));
  if (!key) return refuse("key: expected an unencrypted PEM private key");
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1) return refuse("certificate");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) return refuse("the key does not belong to the certificate");
  for (std::size_t i = 1; i < chain.size(); ++i)
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return refuse("certificate chain");
  return {};
}

Result<> load_client_ca(SSL_CTX* context, std::string_view pem) {
  const auto authorities = read_certificates(pem);
  if (authorities.empty()) return Error{Errc::bad_input, "TLS: client CA: expected at least one PEM certificate"};
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  for (const auto& authority : authorities)
    if (X509_STORE_add_cert(store, authority.get()) != 1 || SSL_CTX_add_client_CA(context, authority.get()) != 1)
      return refuse("client CA");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);  // no certificate is fine (enrolment), a bad one is not
  return {};
}

int socket_of(BIO* bio) { return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio))); }

int read_socket(BIO* bio, char* out, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t got = ::recv(socket_of(bio), out, static_cast<std::size_t>(size), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(got);
}

int write_socket(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent = ::send(socket_of(bio), bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

long control_socket(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
  return 0;
}

// OpenSSL's own socket BIO calls write(2), which raises SIGPIPE; this is a library and leaves signals alone.
const BIO_METHOD* socket_method() {
  static const Handle<BIO_METHOD, BIO_meth_free> method = [] {
    Handle<BIO_METHOD, BIO_meth_free> made(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ferry socket"));
    BIO_meth_set_read(made.get(), read_socket);
    BIO_meth_set_write(made.get(), write_socket);
    BIO_meth_set_ctrl(made.get(), control_socket);
    return made;
  }();
  return method.get();
}

}  // namespace

std::string take_tls_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    char line[256];
    ERR_error_string_n(code, line, sizeof line);
    const char* reason = ERR_reason_error_string(code);
    if (!text.empty()) text += "; ";
    text += reason ? reason : line;
  }
  return text.empty() ? "no detail from OpenSSL" : text;
}

Result<TlsContext> make_tls_context(const TlsServerConfig& config) {
  ERR_clear_error();
  TlsContext context(SSL_CTX_new(TLS_server_method()));
  if (!context) return refuse("out of memory");
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(raw, cipher_suites);
  SSL_CTX_set_options(raw, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(raw, 1);                           // one recv for a record's header and body
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);  // tickets need no memory here
  SSL_CTX_set_num_tickets(raw, tickets_per_handshake);
  SSL_CTX_set_timeout(raw, session_seconds_max);
  // Without it OpenSSL refuses to resume sessions that carry a client certificate.
  static constexpr unsigned char session_context[] = "ferry";
  SSL_CTX_set_session_id_context(raw, session_context, sizeof session_context - 1);
  SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
  TRY_VOID(load_identity(raw, config));
  if (!config.client_ca_pem.empty()) TRY_VOID(load_client_ca(raw, config.client_ca_pem));
  return context;
}

Tls make_tls(SSL_CTX* context, int fd) {
  Tls tls(SSL_new(context));
  BIO* bio = BIO_new(socket_method());
  if (!tls || !bio) {
    BIO_free(bio);
    return nullptr;
  }
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
  BIO_set_init(bio, 1);
  SSL_set_bio(tls.get(), bio, bio);
  SSL_set_accept_state(tls.get());
  return tls;
}

Result<std::shared_ptr<const Peer>> verified_peer(SSL* tls) {
  X509* shown = SSL_get0_peer_certificate(tls);
  if (!shown || SSL_get_verify_mode(tls) == SSL_VERIFY_NONE) return std::shared_ptr<const Peer>();
  if (SSL_get_verify_result(tls) != X509_V_OK) return Error{Errc::denied, "client certificate: not verified"};
  // A resumed session is not verified again, and its certificate may have run out since.
  if (X509_cmp_current_time(X509_get0_notAfter(shown)) < 0) return Error{Errc::denied, "client certificate: expired"};
  unsigned char* der = nullptr;
  const int size = i2d_X509(shown, &der);
  if (size <= 0) return Error{Errc::internal, "client certificate: " + take_tls_errors()};
  const std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  TRY(const Certificate certificate, certificate_from_der(bytes));
  auto peer = std::make_shared<Peer>();
  peer->common_name = certificate.common_name;
  peer->fingerprint_hex = certificate.fingerprint.hex();
  peer->key_digest_hex = certificate.key_digest.hex();
  peer->serial_hex = certificate.serial_hex;
  peer->not_after_unix_s = to_unix_ms(certificate.not_after) / 1000;
  return std::shared_ptr<const Peer>(std::move(peer));
}

}  // namespace ferry::http::internal
