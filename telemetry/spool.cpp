#include "telemetry/spool.hpp"

namespace ferry::telemetry {

Result<Spool> Spool::open(Database& database, Limits limits, WindowReceiver receiver) {
  for (const char* sql :
       {"CREATE TABLE IF NOT EXISTS window_spool (id INTEGER PRIMARY KEY AUTOINCREMENT, bytes INTEGER NOT NULL, "
        "upload BLOB NOT NULL)",
        "CREATE TABLE IF NOT EXISTS window_sequence (boot TEXT PRIMARY KEY, seq INTEGER NOT NULL)",
        "CREATE TABLE IF NOT EXISTS window_dropped (one INTEGER PRIMARY KEY, windows INTEGER NOT NULL, "
        "unreported INTEGER NOT NULL)",
        "INSERT INTO window_dropped (one, windows, unreported) VALUES (1, 0, 0) ON CONFLICT DO NOTHING",
        "CREATE TABLE IF NOT EXISTS window_receiver (one INTEGER PRIMARY KEY, name TEXT NOT NULL, "
        "cumulative INTEGER NOT NULL)",
        // Spools of agents that knew no other receiver have no row.
        "INSERT INTO window_receiver (one, name, cumulative) VALUES (1, '', 0) ON CONFLICT DO NOTHING"}) {
    if (auto made = database.query(sql); !made) return std::move(made).error().within("telemetry spool");
  }
  Spool spool(database, limits, receiver.temporality);
  TRY_VOID(spool.address_to(receiver));
  return spool;
}

Result<> Spool::address_to(const WindowReceiver& receiver) {
  return database_->transaction([&](Database& database) -> Result<> {
    TRY(auto known, database.query("SELECT name, cumulative FROM window_receiver WHERE one = 1"));
    const WindowReceiver before{known[0].text(0),
                                known[0].integer(1) != 0 ? Temporality::cumulative : Temporality::delta};
    if (before == receiver) return {};
    TRY_VOID(execute(database,
                     "UPDATE window_dropped SET windows = windows + (SELECT COUNT(*) FROM window_spool), "
                     "unreported = unreported + (SELECT COUNT(*) FROM window_spool) WHERE one = 1"));
    TRY_VOID(execute(database, "DELETE FROM window_spool"));
    return execute(database, "UPDATE window_receiver SET name = $1, cumulative = $2 WHERE one = 1",
                   {receiver.name, std::int64_t{receiver.temporality == Temporality::cumulative}});
  });
}

Result<> Spool::add(WindowReport report) {
  return database_->transaction([&](Database& database) -> Result<> {
    // Only the running boot's counter is ever needed again.
    TRY_VOID([&]() -> Result<> {
      auto forgotten = database.query("DELETE FROM window_sequence WHERE boot <> $1", {report.boot});
      if (!forgotten) return std::move(forgotten).error();
      return {};
    }());
    TRY(auto seq, database.query("INSERT INTO window_sequence (boot, seq) VALUES ($1, 1) "
                                 "ON CONFLICT (boot) DO UPDATE SET seq = window_sequence.seq + 1 RETURNING seq",
                                 {report.boot}));
    if (seq.empty()) return Error{Errc::internal, "telemetry spool: no sequence number"};
    report.seq = std::uint64_t(seq[0].integer(0));
    TRY(auto dropped, database.query("SELECT unreported FROM window_dropped WHERE one = 1"));
    if (!dropped.empty()) report.dropped = std::uint64_t(dropped[0].integer(0));
    if (temporality_ == Temporality::cumulative) report = totals_.add(std::move(report));
    std::string upload = gzip(encode_otlp(report, temporality_));
    const auto bytes = std::int64_t(upload.size());
    TRY(auto added,
        database.query("INSERT INTO window_spool (bytes, upload) VALUES ($1, $2)", {bytes, Blob{std::move(upload)}}));
    TRY(auto reset, database.query("UPDATE window_dropped SET unreported = 0 WHERE one = 1"));
    return make_room();
  });
}

Result<> Spool::make_room() {
  for (;;) {
    TRY(auto held, database_->query("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM window_spool"));
    if (std::uint64_t(held[0].integer(0)) <= limits_.windows_max &&
        std::uint64_t(held[0].integer(1)) <= limits_.bytes_max)
      return {};
    TRY(auto gone, database_->query("DELETE FROM window_spool WHERE id = (SELECT MIN(id) FROM window_spool)"));
    TRY(auto counted,
        database_->query("UPDATE window_dropped SET windows = windows + 1, unreported = unreported + 1 WHERE one = 1"));
  }
}

Result<std::optional<Spool::Pending>> Spool::oldest() {
  TRY(auto rows, database_->query("SELECT id, upload FROM window_spool ORDER BY id LIMIT 1"));
  if (rows.empty()) return std::optional<Pending>{};
  return std::optional<Pending>{Pending{rows[0].integer(0), rows[0].blob(1)}};
}

Result<> Spool::remove(std::int64_t id) {
  TRY(auto gone, database_->query("DELETE FROM window_spool WHERE id = $1", {id}));
  return {};
}

Result<Spool::Counts> Spool::counts() {
  TRY(auto rows, database_->query("SELECT (SELECT COUNT(*) FROM window_spool), "
                                  "(SELECT COALESCE(SUM(bytes), 0) FROM window_spool), "
                                  "(SELECT windows FROM window_dropped WHERE one = 1)"));
  return Counts{std::uint64_t(rows[0].integer(0)), std::uint64_t(rows[0].integer(1)),
                std::uint64_t(rows[0].integer(2))};
}

}  // namespace ferry::telemetry
