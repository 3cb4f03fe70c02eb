// SQLite behind the SQL seam: WAL, synchronous=FULL, one connection, statements kept.
#include "common/database.hpp"
#include "common/handle.hpp"

#include <sqlite3.h>
#include <map>
#include <mutex>
#include <optional>

namespace ferry {
namespace {

constexpr int busy_timeout_ms = 5'000;
constexpr std::size_t statements_max = 200;

void finalize(sqlite3_stmt* statement) { sqlite3_finalize(statement); }
void close_connection(sqlite3* connection) { sqlite3_close_v2(connection); }
using Connection = Handle<sqlite3, close_connection>;
using Statement = Handle<sqlite3_stmt, finalize>;

Error sqlite_error(sqlite3* connection, std::string_view what) {
  const int primary = sqlite3_errcode(connection) & 0xff;
  Errc code = Errc::io;
  std::string hint;
  if (primary == SQLITE_FULL) code = Errc::no_space;
  if (primary == SQLITE_CONSTRAINT) code = Errc::conflict;
  if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) code = Errc::unavailable;
  if (primary == SQLITE_ERROR || primary == SQLITE_MISUSE || primary == SQLITE_RANGE) code = Errc::internal;
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
    hint = " (the database file is damaged: restore it from a backup)";
  return Error{code, "sqlite: " + std::string(what.substr(0, 120)) + ": " + sqlite3_errmsg(connection) + hint};
}

class Sqlite final : public Database {
 public:
  explicit Sqlite(Connection connection) : connection_(std::move(connection)) {}

  Result<std::vector<Row>> query(std::string_view sql, std::vector<Value> args) override {
    std::lock_guard lock(mutex_);
    if (depth_ > 0 && sqlite3_get_autocommit(connection_.get()) != 0) {
      // What follows would be committed statement by statement.
      return Error{Errc::io, "sqlite: an earlier error has already rolled this transaction back"};
    }
    TRY(sqlite3_stmt * statement, prepared(sql));
    auto rows = run(statement, sql, args);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return rows;
  }

  Result<> transaction(const std::function<Result<>(Database&)>& body) override {
    std::lock_guard lock(mutex_);  // held throughout: other threads wait, our own nested calls pass
    if (depth_ > 0) return join(body);
    TRY(auto begun, query("BEGIN IMMEDIATE", {}));
    failure_.reset();
    const Rollback rollback{*this};
    auto done = join(body);
    if (failure_) return *failure_;  // the outer body may have overlooked a failure of an inner one
    auto committed = query("COMMIT", {});
    if (!committed) return std::move(committed).error();
    return {};
  }

 private:
  // Undoes what is still open at the end of a transaction: after an error, a failed COMMIT, an exception. A failed
  // statement may have rolled back by itself (disk full): then there is nothing left to undo.
  struct Rollback {
    Sqlite& self;
    ~Rollback() {
      if (sqlite3_get_autocommit(self.connection_.get()) == 0)
        sqlite3_exec(self.connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    }
  };

  struct Depth {
    int& count;
    explicit Depth(int& c) : count(c) { ++count; }
    ~Depth() { --count; }
  };

  Result<> join(const std::function<Result<>(Database&)>& body) {
    const Depth deeper(depth_);
    auto done = body(*this);
    if (!done && !failure_) failure_ = done.error();
    return done;
  }

  Result<sqlite3_stmt*> prepared(std::string_view sql) {
    const auto found = statements_.find(sql);
    if (found != statements_.end()) return found->second.get();
    sqlite3_stmt* raw = nullptr;
    const char* rest = nullptr;
    if (sqlite3_prepare_v3(connection_.get(), sql.data(), int(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw, &rest) !=
        SQLITE_OK) {
      return sqlite_error(connection_.get(), sql);
    }
    Statement statement(raw);
    if (!raw) return Error{Errc::internal, "sqlite: empty statement"};
    const std::string_view unread = sql.substr(std::size_t(rest - sql.data()));
    if (unread.find_first_not_of(" \n\r\t;") != std::string_view::npos) {
      return Error{Errc::internal, "sqlite: one statement at a time, found also: " + std::string(unread.substr(0, 60))};
    }
    if (statements_.size() >= statements_max && depth_ == 0) statements_.clear();
    return statements_.emplace(std::string(sql), std::move(statement)).first->second.get();
  }

  // SQLite numbers $1, $2 by first appearance, so the place is looked up by name.
  Result<> bind(sqlite3_stmt* statement, std::size_t number, const Value& value) {
    const int place = sqlite3_bind_parameter_index(statement, ("$" + std::to_string(number)).c_str());
    if (place == 0) return Error{Errc::internal, "sqlite: the statement has no $" + std::to_string(number)};
    int state = SQLITE_OK;
    if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      state = sqlite3_bind_int64(statement, place, *integer);
    } else if (const auto* real = std::get_if<double>(&value)) {
      state = sqlite3_bind_double(statement, place, *real);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      state = sqlite3_bind_text64(statement, place, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
    } else if (const auto* blob = std::get_if<Blob>(&value)) {
      state = sqlite3_bind_blob64(statement, place, blob->bytes.empty() ? "" : blob->bytes.data(), blob->bytes.size(),
                                  SQLITE_STATIC);
    } else {
      state = sqlite3_bind_null(statement, place);
    }
    if (state != SQLITE_OK) return sqlite_error(connection_.get(), "bind $" + std::to_string(number));
    return {};
  }

  Result<std::vector<Row>> run(sqlite3_stmt* statement, std::string_view sql, const std::vector<Value>& args) {
    if (const int wanted = sqlite3_bind_parameter_count(statement); std::size_t(wanted) != args.size()) {
      return Error{Errc::internal, "sqlite: " + std::to_string(args.size()) + " arguments for " +
                                       std::to_string(wanted) + " placeholders: " + std::string(sql.substr(0, 120))};
    }
    for (std::size_t i = 0; i < args.size(); ++i) TRY_VOID(bind(statement, i + 1, args[i]));
    std::vector<Row> rows;
    for (;;) {
      const int state = sqlite3_step(statement);
      if (state == SQLITE_DONE) return rows;
      if (state != SQLITE_ROW) return sqlite_error(connection_.get(), sql);
      std::vector<Value> values;
      for (int column = 0; column < sqlite3_column_count(statement); ++column)
        values.push_back(value_at(statement, column));
      rows.emplace_back(std::move(values));
    }
  }

  static Value value_at(sqlite3_stmt* statement, int column) {
    const auto bytes = [&] { return std::size_t(sqlite3_column_bytes(statement, column)); };
    switch (sqlite3_column_type(statement, column)) {
      case SQLITE_INTEGER:
        return std::int64_t{sqlite3_column_int64(statement, column)};
      case SQLITE_FLOAT:
        return sqlite3_column_double(statement, column);
      case SQLITE_TEXT: {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
        return text ? std::string(text, bytes()) : std::string{};  // null when memory is short
      }
      case SQLITE_BLOB: {
        const auto* blob = static_cast<const char*>(sqlite3_column_blob(statement, column));
        return Blob{blob ? std::string(blob, bytes()) : std::string{}};
      }
      default:
        return std::monostate{};
    }
  }

  std::recursive_mutex mutex_;  // guards all below; recursive because a transaction's body calls query()
  Connection connection_;
  std::map<std::string, Statement, std::less<>> statements_;
  int depth_ = 0;                 // of nested transaction() calls
  std::optional<Error> failure_;  // the first of the open transaction
};

}  // namespace

Result<std::unique_ptr<Database>> open_sqlite(const Path& path) {
  sqlite3* raw = nullptr;
  const int state =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  Connection connection(raw);
  if (state != SQLITE_OK) {
    return raw ? sqlite_error(raw, "open " + path.string())
               : Error{Errc::io, "sqlite: open " + path.string() + ": no memory"};
  }
  sqlite3_extended_result_codes(raw, 0);
  sqlite3_busy_timeout(raw, busy_timeout_ms);
  // A hostile database file may carry functions in its schema and damaged pages.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  auto database = std::make_unique<Sqlite>(std::move(connection));
  for (const char* pragma : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON"}) {
    if (auto set = database->query(pragma, {}); !set) return std::move(set).error().within(path.string());
  }
  return std::unique_ptr<Database>(std::move(database));
}

}  // namespace ferry
