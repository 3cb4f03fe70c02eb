// A listener's TLS settings, loaded: OpenSSL's SSL_CTX behind plain functions.
#pragma once
#include "common/handle.hpp"
#include "common/http/message.hpp"
#include "common/tls.hpp"

#include <openssl/ssl.h>

namespace ferry::http::internal {

using TlsContext = Handle<SSL_CTX, SSL_CTX_free>;
using Tls = Handle<SSL, SSL_free>;

// TLS 1.3 only, session tickets, ALPN http/1.1. bad_input names what is wrong with certificate, key or client CA.
Result<TlsContext> make_tls_context(const TlsServerConfig& config);

// A server-side connection over `fd` (not owned). Reads and writes never raise SIGPIPE.
Tls make_tls(SSL_CTX* context, int fd);

// After the handshake: null when the client showed no certificate; denied when the one it showed (perhaps in a session
// that it resumes) is not valid now.
Result<std::shared_ptr<const Peer>> verified_peer(SSL* tls);

std::string take_tls_errors();  // this thread's OpenSSL error queue as text, emptied

}  // namespace ferry::http::internal
