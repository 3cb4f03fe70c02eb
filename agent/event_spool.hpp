// Device events waiting for the server: in SQLite, bounded, numbered once and for all, resent until applied.
#pragma once
#include "common/database.hpp"
#include "common/json.hpp"

#include <memory>
#include <mutex>

namespace ferry::agent {

inline constexpr std::size_t events_per_batch_max = 200;          // device-api.md
inline constexpr std::size_t event_batch_bytes_max = 256 * 1024;  // device-api.md, envelope included
inline constexpr std::int64_t events_spooled_max = 5'000;         // oldest dropped beyond that, counted
inline constexpr std::size_t event_bytes_max = 64 * 1024;

struct EventBatch {
  std::string body;  // the request body; empty: nothing to send
  std::int64_t last_seq = 0;
};

// Thread-safe; calls block on the disk.
class EventSpool {
 public:
  // `database` outlives the spool.
  static Result<std::unique_ptr<EventSpool>> open(Database& database);

  // `event` without `seq`. Durable when it returns. Errors: bad_input when longer than event_bytes_max.
  Result<> append(const Json& event);
  // The same, once per (model, number): a number not above the highest seen for `model` is ignored. Returns whether
  // it was new.
  Result<bool> append_once(const std::string& model, std::int64_t number, const Json& event);
  Result<std::int64_t> highest_number(const std::string& model);

  Result<EventBatch> batch(const std::string& install);
  // Deletes what the server applied. An `applied_seq` this spool never gave out means that an earlier spool of this
  // enrolment was lost: pending events are renumbered behind it, so that the server does not take them for repeats.
  Result<> acknowledge(std::int64_t applied_seq);

  struct Counts {
    std::int64_t events = 0;
    std::int64_t dropped = 0;
  };
  Result<Counts> counts();

 private:
  explicit EventSpool(Database& database) : database_(database) {}
  Result<> insert(Database& database, const Json& event);

  Database& database_;
};

}  // namespace ferry::agent
