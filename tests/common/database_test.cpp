// Migrations, on a real SQLite.
#include "common/database.hpp"

#include "tests/support/temp_dir.hpp"

using namespace ferry;
using Catch::Contains;

namespace {
constexpr Migration first{1, "CREATE TABLE a (id TEXT PRIMARY KEY); CREATE TABLE b (id TEXT);"};
constexpr Migration second{2, "ALTER TABLE a ADD COLUMN n INTEGER"};
constexpr Migration broken{2, "CREATE TABLE c (id TEXT); INSERT INTO nowhere VALUES (1)"};

std::int64_t count(Database& database, const std::string& table) {
  return database.query("SELECT COUNT(*) FROM " + table).value().at(0).integer(0);
}
}  // namespace

TEST_CASE("a row reads each column as its type and anything else as empty") {
  const Row row({std::monostate{}, std::int64_t{7}, 1.5, std::string("text"), Blob{std::string("\0b", 2)}});
  CHECK(row.size() == 5);
  CHECK(row.null(0));
  CHECK(row.integer(1) == 7);
  CHECK(row.real(1) == 7.0);
  CHECK(row.real(2) == 1.5);
  CHECK(row.text(3) == "text");
  CHECK(row.blob(4) == std::string("\0b", 2));
  CHECK(row.text(1).empty());
  CHECK(row.blob(3).empty());
  CHECK(row.integer(3) == 0);
  CHECK(row.integer(99) == 0);
  CHECK(row.null(99));
}

TEST_CASE("migrations are applied in order, once, and continued later") {
  const test::TempDir dir;
  {
    auto database = open_sqlite(dir / "db").value();
    REQUIRE(migrate(*database, std::span(&first, 1)));
    REQUIRE(database->query("INSERT INTO a (id) VALUES ($1)", {std::string("x")}));
  }
  auto database = open_sqlite(dir / "db").value();
  const Migration both[] = {first, second};
  REQUIRE(migrate(*database, both));
  REQUIRE(migrate(*database, both));
  REQUIRE(database->query("UPDATE a SET n = 5"));
  CHECK(count(*database, "a") == 1);
  CHECK(count(*database, "schema_migrations") == 2);
}

TEST_CASE("a migration that fails in the middle leaves nothing behind") {
  auto database = open_sqlite(":memory:").value();
  const Migration both[] = {first, broken};
  const auto failed = migrate(*database, both);
  REQUIRE_FALSE(failed);
  CHECK_THAT(failed.error().context, Contains("migration 2") && Contains("nowhere"));
  CHECK_FALSE(database->query("SELECT 1 FROM c"));
  CHECK(count(*database, "schema_migrations") == 1);
  const Migration repaired[] = {first, second};
  CHECK(migrate(*database, repaired));
}

TEST_CASE("numbers with gaps, repeats or a wrong start are refused before anything runs") {
  auto database = open_sqlite(":memory:").value();
  const Migration gap[] = {first, {3, "CREATE TABLE d (id TEXT)"}};
  const Migration repeat[] = {first, {1, "CREATE TABLE d (id TEXT)"}};
  const Migration late[] = {second};
  for (const auto& list :
       {std::span<const Migration>(gap), std::span<const Migration>(repeat), std::span<const Migration>(late)}) {
    CHECK(migrate(*database, list).error().code == Errc::internal);
  }
  CHECK_FALSE(database->query("SELECT 1 FROM a"));
}

TEST_CASE("a database of a newer program is left alone") {
  auto database = open_sqlite(":memory:").value();
  const Migration both[] = {first, second};
  REQUIRE(migrate(*database, both));
  const auto refused = migrate(*database, std::span(&first, 1));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::unsupported);
  CHECK_THAT(refused.error().context, Contains("schema 2") && Contains("newer program"));
}

TEST_CASE("a record of migrations with holes is damage") {
  auto database = open_sqlite(":memory:").value();
  const Migration both[] = {first, second};
  REQUIRE(migrate(*database, both));
  REQUIRE(database->query("DELETE FROM schema_migrations WHERE number = 1"));
  CHECK(migrate(*database, both).error().code == Errc::io);
}

TEST_CASE("semicolons in texts and comments do not split a statement") {
  auto database = open_sqlite(":memory:").value();
  const Migration tricky[] = {
      {1,
       "-- one; two\nCREATE TABLE t (x TEXT DEFAULT 'a;''b;'); /* ; */ ;;\n"
       "INSERT INTO t (x) VALUES ('it''s; fine -- no comment'); INSERT INTO t DEFAULT VALUES -- end;"}};
  REQUIRE(migrate(*database, tricky));
  const auto rows = database->query("SELECT x FROM t ORDER BY x").value();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].text(0) == "a;'b;");
  CHECK(rows[1].text(0) == "it's; fine -- no comment");
}

TEST_CASE("two programs that migrate at once both succeed") {
  const test::TempDir dir;
  auto one = open_sqlite(dir / "db").value(), two = open_sqlite(dir / "db").value();
  const Migration both[] = {first, second};
  REQUIRE(migrate(*one, both));
  REQUIRE(migrate(*two, both));
  CHECK(count(*two, "schema_migrations") == 2);
}
