// Sends the spooled events; the poll loop calls it, so that one connection serves all traffic with the server.
#pragma once
#include "agent/event_spool.hpp"
#include "agent/identity.hpp"

namespace ferry::agent {

// Something that waits to be sent. Called by the poll loop's thread alone.
class Uploader {
 public:
  virtual ~Uploader() = default;
  // Sends what is waiting, in bounded batches, until nothing is left. Errors as HttpClient's and error_from_status:
  // the poll loop backs off. What the server will never take is dropped, logged, and is no error.
  virtual Result<> upload(HttpClient& http) = 0;
  // How long until it wants to be called again without being woken.
  virtual Duration due_in() const { return std::chrono::hours{24}; }
};

class Reporter final : public Uploader {
 public:
  // `spool` and `log` outlive it.
  Reporter(const Identity& identity, EventSpool& spool, Log& log);
  Result<> upload(HttpClient& http) override;

 private:
  std::string url_;
  std::string install_;
  EventSpool& spool_;
  Log& log_;
};

}  // namespace ferry::agent
