// The SQL seam (adr 0004): two verbs, SQL in the common subset of SQLite and PostgreSQL, $1 placeholders.
#pragma once
#include "common/file.hpp"
#include "common/result.hpp"

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ferry {

struct Blob {
  std::string bytes;
  auto operator<=>(const Blob&) const = default;
};
using Value = std::variant<std::monostate, std::int64_t, double, std::string, Blob>;

class Row {
 public:
  explicit Row(std::vector<Value> values) : values_(std::move(values)) {}
  // A column of another type (or NULL) reads as "", 0: the schema is ours. real() reads an integer too.
  std::string text(std::size_t column) const;
  std::string blob(std::size_t column) const;
  std::int64_t integer(std::size_t column) const;
  double real(std::size_t column) const;
  bool null(std::size_t column) const;
  std::size_t size() const { return values_.size(); }

 private:
  std::vector<Value> values_;
};

// Thread-safe (calls are serialised). Calls block: run them on a blocking thread.
class Database {
 public:
  virtual ~Database() = default;
  // One statement; as many arguments as it has distinct placeholders. Errors: conflict (a constraint), no_space,
  // unavailable (locked by another process for longer than the time-out), io (damage), internal (the SQL is wrong).
  virtual Result<std::vector<Row>> query(std::string_view sql, std::vector<Value> args = {}) = 0;
  // Everything in `body` commits or rolls back together; rolls back on error or exception. Nested calls join the outer
  // one: when one of them fails, the whole rolls back and returns its error even if `body` goes on.
  virtual Result<> transaction(const std::function<Result<>(Database&)>& body) = 0;
};

// One statement whose rows nobody wants.
Result<> execute(Database& database, std::string_view sql, std::vector<Value> args = {});

// SQLite in WAL + synchronous=FULL, foreign keys on, busy time-out 5 s. ":memory:" works.
Result<std::unique_ptr<Database>> open_sqlite(const Path& path);

struct Migration {
  int number;            // 1, 2, 3 … without gaps
  std::string_view sql;  // statements separated by ';'
};
// Applies what is missing, each in a transaction, and records it in schema_migrations. A database written by a newer
// program: unsupported.
Result<> migrate(Database& database, std::span<const Migration> migrations);

}  // namespace ferry
