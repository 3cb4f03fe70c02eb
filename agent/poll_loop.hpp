// The one thread that talks to the server: hardware profile, check-in, certificate renewal, and everything to upload.
#pragma once
#include "agent/assignment.hpp"
#include "agent/reporter.hpp"
#include "agent/status.hpp"
#include "agent/watched_client.hpp"
#include "ota/download.hpp"

#include <thread>

namespace ferry::agent {

struct PollLimits {
  Duration poll_default{std::chrono::seconds{60}};  // when the server names no Ferry-Poll-After
  Duration poll_min{std::chrono::milliseconds{200}};
  Duration poll_max{std::chrono::hours{24}};
  Duration round_min{std::chrono::milliseconds{20}};  // between two rounds nobody asked for
  double jitter_share = 0.1;                          // of the interval, added; the server jitters per device already
  Duration backoff_first{std::chrono::seconds{1}};
  Duration backoff_max{std::chrono::minutes{10}};
};

struct PollPorts {
  HttpClientFactory make_client;                   // called on the loop's thread, again after a renewal
  std::function<Result<Json>()> hardware_profile;  // may block for seconds, the first time
  std::function<void(const Assignment&)> on_assignment;
  std::vector<Uploader*> uploaders;  // in order of importance
  StatusBoard& status;
  Clock& clock;
  Random& random;
  Log& log;
  std::function<void()> at_rest = {};  // after each round, before the loop's thread sleeps
};

// Everything in `ports` outlives it.
class PollLoop {
 public:
  PollLoop(Identity identity, DataTree data, PollPorts ports, PollLimits limits = {});
  ~PollLoop();
  void start();
  // Stops as soon as the request under way ends or is cut; joins. What was not sent stays in the spools.
  void stop();
  // Something waits to be uploaded. Thread-safe, returns at once.
  void wake() { sleeper_.wake(); }
  // One round, as the thread does it: uploads, and a check-in when it is due. The wait until the next is returned.
  // For the thread and for tests.
  Duration round();

 private:
  Result<> connect();
  Result<> talk();
  Result<> upload();
  std::chrono::nanoseconds put_off(ota::Backoff& backoff, const Error& error);
  Result<> put_profile();
  Result<> check_in();
  void renew();

  Identity identity_;
  DataTree data_;
  PollPorts ports_;
  PollLimits limits_;
  Sleeper sleeper_;
  ota::Backoff backoff_;
  ota::Backoff upload_backoff_;
  std::unique_ptr<WatchedClient> http_;
  std::string etag_;
  bool profile_sent_ = false;
  std::chrono::nanoseconds next_check_in_{0};
  std::chrono::nanoseconds not_before_{0};  // back-off in force until then
  std::chrono::nanoseconds uploads_not_before_{0};
  std::atomic<bool> cancel_{false};
  std::thread thread_;
};

}  // namespace ferry::agent
