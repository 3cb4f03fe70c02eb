// TLS settings, as values: files are read by whoever opens the connection.
#pragma once
#include "common/file.hpp"

#include <string>

namespace ferry {

// For a listener. TLS 1.3 only.
struct TlsServerConfig {
  std::string certificate_pem;  // chain, leaf first
  std::string key_pem;
  std::string client_ca_pem;  // empty: clients are not asked for a certificate
  // With client_ca_pem: a client without a certificate may still connect (enrolment); a bad one may not.
  // Handlers see Request::peer.
};

// For the client (libcurl).
struct TlsClientConfig {
  std::string ca_pem;     // trusted roots; empty with `insecure` false: the system's
  Path certificate_path;  // client certificate (PEM), empty for none
  Path key_path;          // its key (PEM)
  // First contact only: the peer is not verified, because what is fetched is pinned by digest (DESIGN.md §6).
  bool insecure = false;
};

}  // namespace ferry
