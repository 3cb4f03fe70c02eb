// Resumable download of one content-addressed blob: no byte is trusted before the whole matches its signed digest.
#pragma once
#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/http_client.hpp"
#include "common/log.hpp"
#include "common/random.hpp"

#include <atomic>
#include <functional>

namespace ferry::ota {

// Waits for network trouble: full jitter over a doubling range, Retry-After as the lower bound. A value.
class Backoff {
 public:
  Backoff(Duration first, Duration max) : first_(first), max_(max), next_(first) {}
  // Between 0 and the present range, at least `at_least`; doubles the range.
  Duration next(Random& random, Duration at_least = Duration{0});
  void reset() { next_ = first_; }

 private:
  Duration first_, max_, next_;
};

// Errors after which waiting and asking again is right, and which never count as an attempt: unreachable, timeout,
// unavailable, denied (a revoked or not yet accepted device keeps its model and asks again).
bool is_network_trouble(Errc code);

struct DownloadLimits {
  std::uint64_t bytes_per_second_min = 64;  // slower for `stall_limit`: the connection is given up (and resumed)
  Duration stall_limit = std::chrono::seconds{30};
  Duration backoff_first = std::chrono::seconds{1};
  Duration backoff_max = std::chrono::minutes{5};
};

struct DownloadRequest {
  std::string url;
  Digest sha256;
  std::uint64_t length_bytes = 0;
  Path directory;                             // holds `<sha256>.part`; made when absent
  const std::atomic<bool>* cancel = nullptr;  // polled between pieces and after each wait
};

// Used by one thread at a time; everything passed by reference outlives it.
class Downloader {
 public:
  Downloader(HttpClient& http, Sleeper& sleeper, Random& random, Log& log, DownloadLimits limits = {})
      : http_(http), sleeper_(sleeper), random_(random), log_(log), limits_(limits) {}

  // The path of the complete file: right length, right digest, fsynced. Resumes from what lies there after hashing it
  // again. Network trouble, 429 and 5xx wait and go on until `cancel` or the sleeper stops. Errors: cancelled;
  // bad_signature (download.digest; the bytes are thrown away); bad_input or not_found (download.failed: the server's
  // answer cannot be this blob); no_space, io (install.no_space, install.io).
  Result<Path> fetch(const DownloadRequest& request);

 private:
  struct Part;
  enum class Outcome { complete, trouble, start_over };
  Result<Part> open_part(const DownloadRequest& request);
  Result<Outcome> continue_part(const DownloadRequest& request, Part& part, Duration& retry_after);
  Result<Path> finish(const DownloadRequest& request, Part& part);
  bool cancelled(const DownloadRequest& request) const;

  HttpClient& http_;
  Sleeper& sleeper_;
  Random& random_;
  Log& log_;
  DownloadLimits limits_;
};

}  // namespace ferry::ota
