// SQL of the event spool; marks and counters live beside the events, so that one transaction covers both.
#include "agent/event_spool.hpp"

namespace ferry::agent {
namespace {

constexpr Migration migrations[] = {
    {1,
     "CREATE TABLE event (seq BIGINT PRIMARY KEY, body TEXT NOT NULL);"
     "CREATE TABLE event_mark (name TEXT PRIMARY KEY, value BIGINT NOT NULL);"
     "INSERT INTO event_mark (name, value) VALUES ('next_seq', 1);"
     "INSERT INTO event_mark (name, value) VALUES ('dropped', 0)"},
};

Result<std::int64_t> mark(Database& database, const std::string& name) {
  TRY(auto rows, database.query("SELECT value FROM event_mark WHERE name = $1", {name}));
  return rows.empty() ? std::int64_t{0} : rows[0].integer(0);
}

Result<> set_mark(Database& database, const std::string& name, std::int64_t value) {
  TRY(auto rows, database.query("INSERT INTO event_mark (name, value) VALUES ($1, $2) "
                                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                                {name, value}));
  (void)rows;
  return {};
}

Json damaged_event() {
  return Json{{"kind", "alarm"}, {"at_ms", 0}, {"detail", {{"message", "a spooled event was damaged on disk"}}}};
}

}  // namespace

Result<std::unique_ptr<EventSpool>> EventSpool::open(Database& database) {
  TRY_VOID(migrate(database, migrations));
  return std::unique_ptr<EventSpool>(new EventSpool(database));
}

Result<> EventSpool::insert(Database& database, const Json& event) {
  std::string body = dump_json(event);
  if (body.size() > event_bytes_max)
    return Error{Errc::bad_input,
                 "event: " + std::to_string(body.size()) + " bytes, at most " + std::to_string(event_bytes_max)};
  TRY(auto seq, mark(database, "next_seq"));
  TRY(auto inserted, database.query("INSERT INTO event (seq, body) VALUES ($1, $2)", {seq, std::move(body)}));
  (void)inserted;
  TRY_VOID(set_mark(database, "next_seq", seq + 1));
  TRY(auto count, database.query("SELECT COUNT(*) FROM event"));
  std::int64_t too_many = count[0].integer(0) - events_spooled_max;
  if (too_many <= 0) return {};
  TRY(auto removed,
      database.query("DELETE FROM event WHERE seq IN (SELECT seq FROM event ORDER BY seq LIMIT $1)", {too_many}));
  (void)removed;
  TRY(auto dropped, mark(database, "dropped"));
  return set_mark(database, "dropped", dropped + too_many);
}

Result<> EventSpool::append(const Json& event) {
  return database_.transaction([&](Database& database) { return insert(database, event); });
}

Result<bool> EventSpool::append_once(const std::string& model, std::int64_t number, const Json& event) {
  bool fresh = false;
  auto done = database_.transaction([&](Database& database) -> Result<> {
    TRY(auto highest, mark(database, "report/" + model));
    if (number <= highest) return {};
    fresh = true;
    TRY_VOID(insert(database, event));
    return set_mark(database, "report/" + model, number);
  });
  if (!done) return std::move(done).error();
  return fresh;
}

Result<std::int64_t> EventSpool::highest_number(const std::string& model) { return mark(database_, "report/" + model); }

Result<EventBatch> EventSpool::batch(const std::string& install) {
  TRY(auto rows, database_.query("SELECT seq, body FROM event ORDER BY seq LIMIT $1",
                                 {static_cast<std::int64_t>(events_per_batch_max)}));
  EventBatch batch;
  if (rows.empty()) return batch;
  Json envelope{{"format", "ferry.events/1"}, {"install", install}, {"events", Json::array()}};
  std::size_t bytes = dump_json(envelope).size();
  for (const auto& row : rows) {
    std::string body = row.text(1);
    auto parsed = parse_json(body, {.bytes_max = event_bytes_max});
    Json event = parsed && parsed->is_object() ? std::move(*parsed) : damaged_event();
    event["seq"] = row.integer(0);
    std::size_t more = dump_json(event).size() + 1;
    if (batch.last_seq != 0 && bytes + more > event_batch_bytes_max) break;
    bytes += more;
    batch.last_seq = row.integer(0);
    envelope["events"].push_back(std::move(event));
  }
  batch.body = dump_json(envelope);
  return batch;
}

Result<> EventSpool::acknowledge(std::int64_t applied_seq) {
  return database_.transaction([&](Database& database) -> Result<> {
    TRY(auto next, mark(database, "next_seq"));
    if (applied_seq >= next) {
      // Two steps through negative numbers, so that no renumbered row meets one that is not yet renumbered.
      TRY(auto away, database.query("UPDATE event SET seq = -seq"));
      TRY(auto rows, database.query("SELECT seq FROM event ORDER BY seq DESC"));
      (void)away;
      std::int64_t seq = applied_seq;
      for (const auto& row : rows) {
        TRY(auto moved, database.query("UPDATE event SET seq = $1 WHERE seq = $2", {++seq, row.integer(0)}));
        (void)moved;
      }
      return set_mark(database, "next_seq", seq + 1);
    }
    TRY(auto removed, database.query("DELETE FROM event WHERE seq <= $1", {applied_seq}));
    (void)removed;
    return {};
  });
}

Result<EventSpool::Counts> EventSpool::counts() {
  TRY(auto count, database_.query("SELECT COUNT(*) FROM event"));
  TRY(auto dropped, mark(database_, "dropped"));
  return Counts{count[0].integer(0), dropped};
}

}  // namespace ferry::agent
