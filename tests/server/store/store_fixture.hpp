// A migrated database: in memory, or a file that can be closed and opened again.
#pragma once
#include "common/database.hpp"
#include "server/store/migrations.hpp"
#include "tests/support/temp_dir.hpp"

namespace ferry::server::test {

template <class T>
T need(Result<T> result) {
  if (!result) FAIL(result.error().context);
  return std::move(*result);
}
inline void need(Result<> result) {
  if (!result) FAIL(result.error().context);
}

inline std::unique_ptr<Database> open_migrated(const Path& path) {
  auto database = need(open_sqlite(path));
  need(migrate(*database, schema_migrations()));
  return database;
}
inline std::unique_ptr<Database> memory_database() { return open_migrated(":memory:"); }

}  // namespace ferry::server::test
