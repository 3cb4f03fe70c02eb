// Who this device is: the files of identity/, read back and checked for agreement.
#pragma once
#include "agent/config.hpp"
#include "common/http_client.hpp"
#include "common/x509.hpp"

namespace ferry::agent {

struct Identity {
  std::string device;  // "dev-…", the certificate's common name
  std::string server;  // "https://host:port", without a slash at the end
  Digest root_sha256;
  Digest ca_sha256;     // of the CA certificate's DER
  std::string install;  // random per enrolment
};

Json to_json(const Identity& identity);

// not_found (with what to do) when the device is not enrolled; bad_input when a file is damaged.
Result<Identity> load_identity(const DataTree& data);
// The device certificate; its files may be renewed while the agent runs.
Result<Certificate> load_certificate(const DataTree& data);
// Mutual TLS to the server this device enrolled with.
Result<TlsClientConfig> device_tls(const DataTree& data);

// "https://host[:port]" or bad_input.
Result<std::string> check_server_url(std::string_view url);

// How components get an HTTP client of their own (one per thread).
using HttpClientFactory = std::function<Result<std::unique_ptr<HttpClient>>()>;

}  // namespace ferry::agent
