// OpenSSL over a non-blocking socket; as little HTTP as the device API needs.
#include "tests/fleet/channel.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <cerrno>
#include <charconv>

namespace ferry::fleet {
namespace {

constexpr std::size_t piece_bytes = 16 * 1024;
constexpr std::string_view https = "https://";

Error tls_error(const std::string& what) {
  char text[256] = "the connection ended";
  if (const unsigned long code = ERR_get_error()) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return Error{Errc::unreachable, what + ": " + text};
}

using Bio = Handle<BIO, BIO_free>;
Bio memory_of(const std::string& pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

Result<TlsContext> make_context(const std::string& ca_pem) {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  const Bio bio = memory_of(ca_pem);
  const Handle<X509, X509_free> authority(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!authority || X509_STORE_add_cert(SSL_CTX_get_cert_store(raw), authority.get()) != 1)
    return tls_error("the CA's certificate");
  return context;
}

// The value of a header, whose name is given in lower case; empty when absent.
std::string_view header_of(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at + 2);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    bool same = true;
    for (std::size_t i = 0; same && i < name.size(); ++i)
      same = (name[i] == '-' ? line[i] : static_cast<char>(line[i] | 0x20)) == name[i];
    if (!same) continue;
    std::string_view value = line.substr(name.size() + 1, line.find("\r\n") - name.size() - 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    return value;
  }
  return {};
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

Result<TlsIdentity> make_tls_identity(const Certificate& certificate, const PrivateKey& key) {
  TlsIdentity identity;
  const std::string certificate_pem = certificate.pem(), key_pem = key.pem();
  const Bio certificate_bio = memory_of(certificate_pem), key_bio = memory_of(key_pem);
  identity.certificate.reset(PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr));
  identity.key.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (!identity.certificate || !identity.key) return tls_error("a device's certificate and key");
  return identity;
}

Result<std::unique_ptr<Endpoint>> make_endpoint(const std::string& url, const std::string& ca_pem) {
  const std::size_t colon = url.rfind(':');
  if (!url.starts_with(https) || colon < https.size())
    return Error{Errc::bad_input, "server: found \"" + url + "\", expected https://<host>:<port>"};
  auto endpoint = std::make_unique<Endpoint>();
  endpoint->host = url.substr(https.size(), colon - https.size());
  endpoint->port = url.substr(colon + 1);
  endpoint->ca_pem = ca_pem;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_family = AF_INET;  // the server listens where `ferryd --device-listen` says, usually 0.0.0.0 or 127.0.0.1
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(endpoint->host.c_str(), endpoint->port.c_str(), &hints, &found); code != 0)
    return Error{Errc::unreachable, "server " + url + ": " + ::gai_strerror(code)};
  const Handle<addrinfo, ::freeaddrinfo> list(found);
  endpoint->address_bytes = found->ai_addrlen;
  std::copy_n(reinterpret_cast<const char*>(found->ai_addr), found->ai_addrlen,
              reinterpret_cast<char*>(&endpoint->address));
  TRY(endpoint->context, make_context(ca_pem));
  return endpoint;
}

std::string http_request(const Endpoint& endpoint, const Ask& ask, const std::string& authorization) {
  std::string text = ask.method + " " + ask.path + " HTTP/1.1\r\nHost: " + endpoint.host + ":" + endpoint.port + "\r\n";
  if (!authorization.empty()) text += "Authorization: " + authorization + "\r\n";
  if (!ask.if_none_match.empty()) text += "If-None-Match: " + ask.if_none_match + "\r\n";
  if (!ask.content_type.empty()) text += "Content-Type: " + ask.content_type + "\r\n";
  if (ask.gzip) text += "Content-Encoding: gzip\r\n";
  if (ask.method != "GET") text += "Content-Length: " + std::to_string(ask.body.size()) + "\r\n";
  return text + "\r\n" + ask.body;
}

Result<> Channel::open(const Endpoint& endpoint, const TlsIdentity* identity, int epoll, std::uint64_t number) {
  close();
  fd_ = FileDescriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd_) return errno_error("socket", endpoint.host);
  const int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto* address = reinterpret_cast<const sockaddr*>(&endpoint.address);
  if (::connect(fd_.get(), address, endpoint.address_bytes) != 0 && errno != EINPROGRESS)
    return Error{Errc::unreachable, "connect: " + std::string(std::generic_category().message(errno))};
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = number;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd_.get(), &event) != 0) return errno_error("epoll_ctl", endpoint.host);
  tls_.reset(SSL_new(endpoint.context.get()));
  SSL_set_fd(tls_.get(), fd_.get());
  SSL_set_connect_state(tls_.get());
  SSL_set_tlsext_host_name(tls_.get(), endpoint.host.c_str());
  SSL_set1_host(tls_.get(), endpoint.host.c_str());
  if (identity && (SSL_use_certificate(tls_.get(), identity->certificate.get()) != 1 ||
                   SSL_use_PrivateKey(tls_.get(), identity->key.get()) != 1))
    return tls_error("a device's certificate");
  phase_ = Phase::connecting;
  return {};
}

void Channel::close() {
  if (phase_ == Phase::ready) {  // told, not awaited
    ERR_clear_error();
    (void)SSL_shutdown(tls_.get());
    ERR_clear_error();
  }
  tls_.reset();
  fd_ = FileDescriptor();
  phase_ = Phase::closed;
  served_ = 0;
  request_.clear();
}

void Channel::ask(std::string request, bool digest_only) {
  request_ = std::move(request);
  written_ = 0;
  digest_only_ = digest_only;
  head_.clear();
  body_began_ = false;
  heard_ = {};
  hasher_.reset();
}

bool Channel::would_block(int result) {
  const int error = SSL_get_error(tls_.get(), result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

Result<> Channel::connected() {
  int error = 0;
  socklen_t bytes = sizeof error;
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &bytes);
  if (error != 0) return Error{Errc::unreachable, "connect: " + std::string(std::generic_category().message(error))};
  phase_ = Phase::shaking;
  return {};
}

Result<bool> Channel::shake() {
  ERR_clear_error();
  const int done = SSL_do_handshake(tls_.get());
  if (done == 1) {
    phase_ = Phase::ready;
    return true;
  }
  // Before the socket is connected OpenSSL sees "not connected" as any other failure of the system.
  if (would_block(done)) return false;
  if (SSL_get_error(tls_.get(), done) == SSL_ERROR_SYSCALL && errno == ENOTCONN) return false;
  return tls_error("handshake");
}

Result<bool> Channel::write() {
  while (written_ < request_.size()) {
    ERR_clear_error();
    const std::size_t left = std::min(request_.size() - written_, piece_bytes);
    const int done = SSL_write(tls_.get(), request_.data() + written_, static_cast<int>(left));
    if (done > 0) {
      written_ += static_cast<std::size_t>(done);
      continue;
    }
    if (would_block(done)) return false;
    return tls_error("write");
  }
  return true;
}

Result<std::optional<Heard>> Channel::advance() {
  if (phase_ == Phase::closed) return std::optional<Heard>();
  if (phase_ == Phase::connecting) TRY_VOID(connected());
  if (phase_ == Phase::shaking) {
    TRY(const bool over, shake());
    if (!over) return std::optional<Heard>();
  }
  TRY(const bool all_out, write());
  (void)all_out;  // the answer may begin, or the connection end, before all is out
  return read();
}

Result<std::optional<Heard>> Channel::read() {
  char piece[piece_bytes];
  for (;;) {
    ERR_clear_error();
    const int got = SSL_read(tls_.get(), piece, sizeof piece);
    if (got <= 0) {
      if (would_block(got)) return std::optional<Heard>();
      const bool idle = !busy();
      if (idle) {  // the server let an unused connection go: nobody's trouble
        close();
        return std::optional<Heard>();
      }
      return tls_error("read");
    }
    if (!busy()) return Error{Errc::bad_input, "the server speaks without having been asked"};
    TRY(auto heard, take(std::string_view(piece, static_cast<std::size_t>(got))));
    if (heard) return heard;
  }
}

Result<bool> Channel::take_head() {
  const std::size_t end = head_.find("\r\n\r\n");
  if (end == head_.npos) {
    if (head_.size() > answer_head_bytes_max) return Error{Errc::bad_input, "an answer's head is too long"};
    return false;
  }
  const std::string_view head = std::string_view(head_).substr(0, end + 2);
  const auto status = head.size() > 12 ? number_of<int>(head.substr(9, 3)) : std::nullopt;
  if (!status) return Error{Errc::bad_input, "an answer without a status"};
  heard_.status = *status;
  heard_.etag = header_of(head, "etag");
  heard_.poll_after_s = number_of<double>(header_of(head, "ferry-poll-after"));
  heard_.retry_after_s = number_of<double>(header_of(head, "retry-after"));
  keep_alive_ = header_of(head, "connection") != "close";
  const bool empty = *status == 204 || *status == 304;
  const auto length = number_of<std::uint64_t>(header_of(head, "content-length"));
  if (!empty && !length) return Error{Errc::unsupported, "an answer without a Content-Length"};
  body_left_ = empty ? 0 : *length;
  if (!digest_only_ && body_left_ > answer_body_bytes_max)
    return Error{Errc::bad_input, "an answer of " + std::to_string(body_left_) + " bytes"};
  if (digest_only_) hasher_.emplace();
  return true;
}

Result<std::optional<Heard>> Channel::take(std::string_view piece) {
  std::string rest;
  if (!body_began_) {
    head_ += piece;
    TRY(body_began_, take_head());
    if (!body_began_) return std::optional<Heard>();
    rest = head_.substr(head_.find("\r\n\r\n") + 4);
    piece = rest;
  }
  if (piece.size() > body_left_) return Error{Errc::bad_input, "an answer longer than its Content-Length"};
  body_left_ -= piece.size();
  heard_.body_bytes += piece.size();
  if (hasher_)
    hasher_->update(piece);
  else
    heard_.body += piece;
  if (body_left_ > 0) return std::optional<Heard>();
  if (hasher_) heard_.sha256 = hasher_->finish();
  request_.clear();
  ++served_;
  std::optional<Heard> heard = std::move(heard_);
  if (!keep_alive_) close();
  return heard;
}

}  // namespace ferry::fleet
