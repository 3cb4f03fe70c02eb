// First contact: a token pins the CA and the root; the device makes its key and gets a certificate over EST (RFC 7030).
#pragma once
#include "agent/identity.hpp"
#include "common/random.hpp"

namespace ferry::agent {

struct Token {
  std::string server;
  Digest ca_sha256;
  Digest root_sha256;
  std::string id;
  std::string secret;  // never logged
};
// `ferry1.` + base64url; bad_input naming the field.
Result<Token> parse_token(std::string_view text);

struct EnrollPorts {
  std::function<std::unique_ptr<HttpClient>(TlsClientConfig)> make_client;
  Clock& clock;
  Random& random;
  Log& log;
};

// Idempotent: run again after any interruption with the same token, it goes on (same key, same device); enrolled with
// this server already, it returns what is there. conflict when the device belongs to another server or trust root.
// The key never leaves the device. device.json is written last: without it the device is not enrolled.
// Errors: bad_signature when CA or root do not hash to what the token pins; denied for a refused token; unreachable …
Result<Identity> enroll(const Token& token, const DataTree& data, const EnrollPorts& ports);

// RFC 7030 §4.2.2 under mutual TLS, once two thirds of the certificate's life have passed. Returns true when renewed.
// The old certificate stays in place until the new one is checked and durable.
Result<bool> renew_if_due(const Identity& identity, const DataTree& data, HttpClient& http, Clock& clock);

}  // namespace ferry::agent
