// What every SQL back end shares: reading rows, running migrations.
#include "common/database.hpp"

namespace ferry {

Result<> execute(Database& database, std::string_view sql, std::vector<Value> args) {
  auto done = database.query(sql, std::move(args));
  if (!done) return std::move(done).error();
  return {};
}

std::string Row::text(std::size_t column) const {
  const auto* value = column < values_.size() ? std::get_if<std::string>(&values_[column]) : nullptr;
  return value ? *value : std::string{};
}

std::string Row::blob(std::size_t column) const {
  const auto* value = column < values_.size() ? std::get_if<Blob>(&values_[column]) : nullptr;
  return value ? value->bytes : std::string{};
}

std::int64_t Row::integer(std::size_t column) const {
  const auto* value = column < values_.size() ? std::get_if<std::int64_t>(&values_[column]) : nullptr;
  return value ? *value : 0;
}

double Row::real(std::size_t column) const {
  const auto* value = column < values_.size() ? std::get_if<double>(&values_[column]) : nullptr;
  return value ? *value : double(integer(column));
}

bool Row::null(std::size_t column) const {
  return column >= values_.size() || std::holds_alternative<std::monostate>(values_[column]);
}

namespace {

// Past a quoted text or a comment that starts at `at`, else `at`.
std::size_t skip_quoted(std::string_view sql, std::size_t at) {
  const auto past = [&](std::string_view end, std::size_t from) {
    const std::size_t found = sql.find(end, from);
    return found == std::string_view::npos ? sql.size() : found + end.size();
  };
  if (sql[at] == '\'' || sql[at] == '"') return past(sql.substr(at, 1), at + 1);  // '' is two quoted texts in a row
  if (sql.substr(at, 2) == "--") return past("\n", at + 2);
  if (sql.substr(at, 2) == "/*") return past("*/", at + 2);
  return at;
}

// Splits at ';' outside quotes and comments. Triggers (BEGIN … END) are outside the common subset.
std::vector<std::string_view> statements_of(std::string_view sql) {
  std::vector<std::string_view> statements;
  std::size_t start = 0;
  bool empty = true;  // so far only blanks and comments
  const auto finish = [&](std::size_t end) {
    if (!empty) statements.push_back(sql.substr(start, end - start));
    start = end + 1;
    empty = true;
  };
  for (std::size_t at = 0; at < sql.size();) {
    const std::size_t after = skip_quoted(sql, at);
    if (after != at) {
      if (sql[at] == '\'' || sql[at] == '"') empty = false;
      at = after;
      continue;
    }
    if (sql[at] == ';')
      finish(at);
    else if (sql[at] != ' ' && sql[at] != '\n' && sql[at] != '\r' && sql[at] != '\t')
      empty = false;
    ++at;
  }
  finish(sql.size());
  return statements;
}

Result<> apply(Database& database, const Migration& migration) {
  return database.transaction([&](Database& inner) -> Result<> {
    // First the record: where two programs start at once, its primary key lets only one of them go on.
    TRY(auto noted,
        inner.query("INSERT INTO schema_migrations (number) VALUES ($1)", {std::int64_t{migration.number}}));
    for (const std::string_view statement : statements_of(migration.sql)) {
      TRY(auto done, inner.query(statement));
    }
    return {};
  });
}

Result<std::int64_t> schema_number(Database& database) {
  TRY(auto rows, database.query("SELECT COUNT(*), COALESCE(MAX(number), 0) FROM schema_migrations"));
  if (rows.size() != 1 || rows[0].integer(0) != rows[0].integer(1)) {
    return Error{Errc::io, "schema_migrations: numbers are missing; restore the database from a backup"};
  }
  return rows[0].integer(1);
}

}  // namespace

Result<> migrate(Database& database, std::span<const Migration> migrations) {
  for (std::size_t i = 0; i < migrations.size(); ++i) {
    if (migrations[i].number != int(i) + 1) {
      return Error{Errc::internal, "migrations: number " + std::to_string(migrations[i].number) + " where " +
                                       std::to_string(i + 1) + " was expected"};
    }
  }
  TRY(auto made, database.query("CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY)"));
  TRY(const std::int64_t have, schema_number(database));
  if (have > std::int64_t(migrations.size())) {
    return Error{Errc::unsupported, "the database has schema " + std::to_string(have) + ", this program knows up to " +
                                        std::to_string(migrations.size()) + ": use a newer program"};
  }
  for (const Migration& migration : migrations.subspan(std::size_t(have))) {
    auto done = apply(database, migration);
    if (!done && done.error().code == Errc::conflict) {  // applied meanwhile by another program?
      TRY(const std::int64_t now, schema_number(database));
      if (now >= migration.number) continue;
    }
    if (!done) return std::move(done).error().within("migration " + std::to_string(migration.number));
  }
  return {};
}

}  // namespace ferry
