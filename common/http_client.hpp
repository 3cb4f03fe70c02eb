// The HTTP client seam: every request Ferry makes. One implementation, over libcurl. Calls block.
#pragma once
#include "common/clock.hpp"
#include "common/result.hpp"
#include "common/tls.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace ferry {

struct HttpRequest {
  std::string method = "GET";
  std::string url;  // passed through untouched (percent-escapes stay as they are)
  std::map<std::string, std::string> headers;
  std::string body;
  std::size_t body_bytes_max = 1024 * 1024;        // a longer answer aborts with bad_input
  Duration time_limit = std::chrono::seconds{30};  // whole exchange; zero: none (downloads)
  Duration connect_limit = std::chrono::seconds{10};
  // Abort when slower than this for `stall_limit` (slow-retrieval attack). Zero: no check.
  std::uint64_t bytes_per_second_min = 0;
  Duration stall_limit = std::chrono::seconds{30};
  std::string unix_socket;  // connect here instead of the URL's host
  // When set, a 2xx body goes here piece by piece instead of into HttpResponse::body; false aborts (cancelled).
  std::function<bool(std::string_view piece)> sink;
  const std::atomic<bool>* cancel = nullptr;  // polled; true aborts with cancelled
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::optional<Duration> retry_after() const;  // Retry-After in seconds, capped at one hour
};

// Redirects are never followed; no proxy; no content decoding. An instance keeps connections alive and is used by
// one thread at a time; create one per thread.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // Any HTTP status is a success here. Errors: unreachable (DNS, connect, reset, TLS handshake), timeout,
  // bad_input (answer too large or malformed), bad_signature (peer certificate refused), cancelled.
  virtual Result<HttpResponse> send(const HttpRequest& request) = 0;
};

std::unique_ptr<HttpClient> make_http_client(TlsClientConfig tls);

// unavailable for 429 and 503, unreachable for other 5xx, denied for 401 and 403, not_found for 404, conflict for 409
// and 412, else bad_input; the context holds the problem+json detail when there is one.
Error error_from_status(const HttpResponse& response, std::string_view what);

}  // namespace ferry
