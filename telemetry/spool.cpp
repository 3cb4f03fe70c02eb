#include "telemetry/spool.hpp"

namespace ferry::telemetry {
namespace {

// Every window but the oldest.
constexpr std::string_view not_oldest = "id <> (SELECT MIN(id) FROM window_spool)";

}  // namespace

Result<Spool> Spool::open(Database& database, Limits limits, WindowReceiver receiver) {
  Spool spool(database, limits, receiver);
  if (auto made = spool.make_tables(); !made) return std::move(made).error().within("telemetry spool");
  TRY_VOID(spool.address_to(receiver));
  return spool;
}

Result<> Spool::make_tables() {
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
        "INSERT INTO window_receiver (one, name, cumulative) VALUES (1, '', 0) ON CONFLICT DO NOTHING",
        "CREATE TABLE IF NOT EXISTS window_budget (one INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, "
        "at_ms INTEGER NOT NULL)"})
    TRY_VOID(execute(*database_, sql));
  // Spools of agents that never merged lack these; what waits there is never merged either (boot '').
  struct Column {
    const char *table, *name, *type;
  };
  for (const Column& column : {Column{"window_spool", "boot", "TEXT NOT NULL DEFAULT ''"},
                               {"window_spool", "windows", "INTEGER NOT NULL DEFAULT 1"},
                               {"window_spool", "inferences", "INTEGER NOT NULL DEFAULT 0"},
                               {"window_spool", "told", "INTEGER NOT NULL DEFAULT 0"},
                               {"window_spool", "told_inferences", "INTEGER NOT NULL DEFAULT 0"},
                               {"window_spool", "start_ms", "INTEGER NOT NULL DEFAULT 0"},
                               {"window_spool", "end_ms", "INTEGER NOT NULL DEFAULT 0"},
                               {"window_dropped", "inferences", "INTEGER NOT NULL DEFAULT 0"},
                               {"window_dropped", "unreported_inferences", "INTEGER NOT NULL DEFAULT 0"}}) {
    TRY(auto found, database_->query("SELECT COUNT(*) FROM pragma_table_info($1) WHERE name = $2",
                                     {std::string(column.table), std::string(column.name)}));
    if (found[0].integer(0) == 0)
      TRY_VOID(execute(*database_,
                       std::string("ALTER TABLE ") + column.table + " ADD COLUMN " + column.name + " " + column.type));
  }
  return {};
}

Result<> Spool::address_to(const WindowReceiver& receiver) {
  return database_->transaction([&](Database& database) -> Result<> {
    TRY(auto known, database.query("SELECT name, cumulative FROM window_receiver WHERE one = 1"));
    const WindowReceiver before{known[0].text(0),
                                known[0].integer(1) != 0 ? Temporality::cumulative : Temporality::delta};
    if (before == receiver) return {};
    TRY_VOID(drop("id > 0", {}));
    return execute(database, "UPDATE window_receiver SET name = $1, cumulative = $2 WHERE one = 1",
                   {receiver.name, std::int64_t{receiver.temporality == Temporality::cumulative}});
  });
}

// Deletes and counts; what a dropped window was to tell about earlier losses is told by another.
Result<> Spool::drop(std::string_view which, std::vector<Value> args) {
  const std::string from = " FROM window_spool WHERE " + std::string(which);
  TRY(auto sums, database_->query("SELECT COALESCE(SUM(windows), 0), COALESCE(SUM(inferences), 0), "
                                  "COALESCE(SUM(told), 0), COALESCE(SUM(told_inferences), 0)" +
                                      from,
                                  args));
  const Row& sum = sums.front();
  TRY_VOID(execute(*database_, "DELETE" + from, std::move(args)));
  return execute(*database_,
                 "UPDATE window_dropped SET windows = windows + $1, inferences = inferences + $2, "
                 "unreported = unreported + $1 + $3, unreported_inferences = unreported_inferences + $2 + $4 "
                 "WHERE one = 1",
                 {sum.integer(0), sum.integer(1), sum.integer(2), sum.integer(3)});
}

Result<> Spool::add(WindowReport report, bool lengthen) {
  // A total is taken over only when the window is stored: it may come again after an error.
  RunningTotals totals = totals_;
  const auto store = [&](Database& database) -> Result<> {
    // Only the running boot's counter is ever needed again.
    TRY_VOID(execute(database, "DELETE FROM window_sequence WHERE boot <> $1", {report.boot}));
    TRY(auto seq, database.query("INSERT INTO window_sequence (boot, seq) VALUES ($1, 1) "
                                 "ON CONFLICT (boot) DO UPDATE SET seq = window_sequence.seq + 1 RETURNING seq",
                                 {report.boot}));
    if (seq.empty()) return Error{Errc::internal, "telemetry spool: no sequence number"};
    WindowReport numbered = report;
    numbered.seq = std::uint64_t(seq[0].integer(0));
    // What found no place in the window itself is lost as well.
    TRY_VOID(execute(database,
                     "UPDATE window_dropped SET inferences = inferences + $1, windows = windows + $2 WHERE one = 1",
                     {std::int64_t(report.dropped_inferences), std::int64_t(report.dropped)}));
    TRY(auto dropped, database.query("SELECT unreported, unreported_inferences FROM window_dropped WHERE one = 1"));
    numbered.dropped += std::uint64_t(dropped[0].integer(0));
    numbered.dropped_inferences += std::uint64_t(dropped[0].integer(1));
    if (temporality_ == Temporality::cumulative) numbered = totals.add(std::move(numbered));
    bool stored = false;
    if (lengthen) {
      TRY(stored, lengthen_newest(numbered));
    }
    if (!stored) TRY_VOID(insert(numbered));
    TRY_VOID(execute(database, "UPDATE window_dropped SET unreported = 0, unreported_inferences = 0 WHERE one = 1"));
    return make_room(report.end_unix_ms);
  };
  TRY_VOID(database_->transaction(store));
  totals_ = std::move(totals);
  return {};
}

Result<> Spool::insert(const WindowReport& report) {
  Blob upload{gzip(encode_otlp(report, temporality_, named_))};
  const auto bytes = std::int64_t(upload.bytes.size());
  return execute(
      *database_,
      "INSERT INTO window_spool (bytes, upload, boot, windows, inferences, told, told_inferences, start_ms, "
      "end_ms) VALUES ($1, $2, $3, 1, $4, $5, $6, $7, $8)",
      {bytes, std::move(upload), report.boot, std::int64_t(report.inference_count()), std::int64_t(report.dropped),
       std::int64_t(report.dropped_inferences), report.start_unix_ms, report.end_unix_ms});
}

Result<Spool::Held> Spool::read(std::int64_t id) {
  TRY(auto rows, database_->query("SELECT upload, windows FROM window_spool WHERE id = $1", {id}));
  if (rows.empty()) return Error{Errc::internal, "telemetry spool: window " + std::to_string(id) + " is gone"};
  TRY(auto bytes, gunzip(rows[0].blob(0)));
  Held held;
  held.id = id;
  TRY(held.report, decode_otlp(bytes));
  held.windows = rows[0].integer(1);
  return held;
}

// False: too large for one upload, nothing was changed.
Result<bool> Spool::replace(const Held& held) {
  if (held.report.releases.size() > releases_per_upload_max) return false;
  const std::string bytes = encode_otlp(held.report, temporality_, named_);
  if (bytes.size() > merged_upload_bytes_max) return false;
  Blob upload{gzip(bytes)};
  const auto size = std::int64_t(upload.bytes.size());
  TRY_VOID(execute(*database_,
                   "UPDATE window_spool SET bytes = $2, upload = $3, windows = $4, inferences = $5, told = $6, "
                   "told_inferences = $7, start_ms = $8, end_ms = $9 WHERE id = $1",
                   {held.id, size, std::move(upload), held.windows, std::int64_t(held.report.inference_count()),
                    std::int64_t(held.report.dropped), std::int64_t(held.report.dropped_inferences),
                    held.report.start_unix_ms, held.report.end_unix_ms}));
  return true;
}

Result<bool> Spool::lengthen_newest(const WindowReport& report) {
  if (temporality_ == Temporality::cumulative) return false;
  TRY(auto rows, database_->query("SELECT id FROM window_spool WHERE id = (SELECT MAX(id) FROM window_spool) AND " +
                                      std::string(not_oldest) + " AND boot = $1 AND $2 - start_ms <= $3",
                                  {report.boot, report.end_unix_ms, merged_window_ms_max}));
  if (rows.empty()) return false;
  auto held = read(rows[0].integer(0));
  if (!held) return false;  // damaged: it goes as it is
  held->report.merge(report);
  held->report.seq = report.seq;  // the numbers before it are never sent
  ++held->windows;
  return replace(*held);
}

// The first neighbours that may become one do. Totals hold what came before and are not added.
Result<bool> Spool::merge_oldest_pair() {
  if (temporality_ == Temporality::cumulative) return false;
  TRY(auto rows, database_->query("SELECT a.id, b.id FROM window_spool a JOIN window_spool b "
                                  "ON b.id = (SELECT MIN(id) FROM window_spool WHERE id > a.id) "
                                  "WHERE a.id <> (SELECT MIN(id) FROM window_spool) AND a.boot = b.boot "
                                  "AND a.boot <> '' AND MAX(a.end_ms, b.end_ms) - MIN(a.start_ms, b.start_ms) <= $1 "
                                  "ORDER BY a.id",
                                  {merged_window_ms_max}));
  for (const Row& row : rows) {
    auto held = read(row.integer(0));
    auto next = read(row.integer(1));
    if (!held || !next) continue;  // damaged: it goes as it is
    held->report.merge(next->report);
    held->report.seq = next->report.seq;
    held->windows += next->windows;
    TRY(const bool replaced, replace(*held));
    if (!replaced) continue;
    TRY_VOID(execute(*database_, "DELETE FROM window_spool WHERE id = $1", {next->id}));
    return true;
  }
  return false;
}

Result<> Spool::drop_aged(std::int64_t now_ms) {
  TRY(auto aged, database_->query("SELECT COUNT(*) FROM window_spool WHERE end_ms < $1 AND end_ms > 0 AND " +
                                      std::string(not_oldest),
                                  {now_ms - limits_.age_ms_max}));
  if (aged[0].integer(0) == 0) return {};
  return drop("end_ms < $1 AND end_ms > 0 AND " + std::string(not_oldest), {now_ms - limits_.age_ms_max});
}

Result<> Spool::make_room(std::int64_t now_ms) {
  TRY_VOID(drop_aged(now_ms));
  for (;;) {
    TRY(auto held, database_->query("SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM window_spool"));
    const auto windows = std::uint64_t(held[0].integer(0));
    const bool fits = windows <= limits_.windows_max && std::uint64_t(held[0].integer(1)) <= limits_.bytes_max;
    if (fits || windows <= 1) return {};
    TRY(const bool merged, merge_oldest_pair());
    if (merged) continue;
    TRY_VOID(drop("id = (SELECT MIN(id) FROM window_spool WHERE " + std::string(not_oldest) + ")", {}));
  }
}

Result<std::optional<Spool::Pending>> Spool::oldest() {
  TRY(auto rows, database_->query("SELECT id, upload FROM window_spool ORDER BY id LIMIT 1"));
  if (rows.empty()) return std::optional<Pending>{};
  return std::optional<Pending>{Pending{rows[0].integer(0), rows[0].blob(1)}};
}

Result<> Spool::remove(std::int64_t id, const ByteBudget::State& budget) {
  return database_->transaction([&](Database& database) -> Result<> {
    TRY_VOID(execute(database, "DELETE FROM window_spool WHERE id = $1", {id}));
    if (budget == ByteBudget::State{}) return {};
    return execute(database,
                   "INSERT INTO window_budget (one, bytes, at_ms) VALUES (1, $1, $2) "
                   "ON CONFLICT (one) DO UPDATE SET bytes = $1, at_ms = $2",
                   {budget.bytes, budget.at_ms});
  });
}

Result<> Spool::refuse(std::int64_t id) {
  return database_->transaction([&](Database&) { return drop("id = $1", {id}); });
}

Result<ByteBudget::State> Spool::budget() {
  TRY(auto rows, database_->query("SELECT bytes, at_ms FROM window_budget WHERE one = 1"));
  if (rows.empty()) return ByteBudget::State{};
  return ByteBudget::State{rows[0].integer(0), rows[0].integer(1)};
}

Result<Spool::Counts> Spool::counts() {
  TRY(auto rows, database_->query("SELECT (SELECT COUNT(*) FROM window_spool), "
                                  "(SELECT COALESCE(SUM(bytes), 0) FROM window_spool), windows, inferences "
                                  "FROM window_dropped WHERE one = 1"));
  return Counts{std::uint64_t(rows[0].integer(0)), std::uint64_t(rows[0].integer(1)), std::uint64_t(rows[0].integer(2)),
                std::uint64_t(rows[0].integer(3))};
}

}  // namespace ferry::telemetry
