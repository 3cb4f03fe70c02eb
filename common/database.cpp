#include "common/database.hpp"

namespace ferry {

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

// Statements end with ';'. Our own migrations hold no ';' in strings and no triggers, so splitting is enough.
Result<> run_all(Database& database, std::string_view sql) {
  while (!sql.empty()) {
    const std::size_t end = sql.find(';');
    const std::string_view statement = sql.substr(0, end);
    if (statement.find_first_not_of(" \n\r\t") != std::string_view::npos) {
      if (auto done = database.query(statement); !done) return std::move(done).error();
    }
    if (end == std::string_view::npos) break;
    sql.remove_prefix(end + 1);
  }
  return {};
}

}  // namespace

Result<> migrate(Database& database, std::span<const Migration> migrations) {
  for (std::size_t i = 0; i < migrations.size(); ++i) {
    if (migrations[i].number != int(i) + 1) {
      return Error{Errc::internal, "migrations: number " + std::to_string(migrations[i].number) + " where " + std::to_string(i + 1) + " was expected"};
    }
  }
  TRY(auto made, database.query("CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY)"));
  TRY(auto rows, database.query("SELECT COALESCE(MAX(number), 0) FROM schema_migrations"));
  const std::int64_t have = rows.empty() ? 0 : rows[0].integer(0);
  if (have > std::int64_t(migrations.size())) {
    return Error{Errc::unsupported, "the database has schema " + std::to_string(have) + ", this program knows up to " +
                                        std::to_string(migrations.size()) + ": use a newer program"};
  }
  for (const Migration& migration : migrations.subspan(std::size_t(have))) {
    auto done = database.transaction([&](Database& inner) -> Result<> {
      TRY_VOID(run_all(inner, migration.sql));
      TRY(auto noted, inner.query("INSERT INTO schema_migrations (number) VALUES ($1)", {std::int64_t{migration.number}}));
      return {};
    });
    if (!done) return std::move(done).error().within("migration " + std::to_string(migration.number));
  }
  return {};
}

}  // namespace ferry
