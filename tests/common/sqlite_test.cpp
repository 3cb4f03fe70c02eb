// SQLite behind the seam: values, transactions, threads, damage, a full disk.
#include "common/database.hpp"

#include "tests/support/temp_dir.hpp"

#include <stdexcept>
#include <thread>

using namespace ferry;
using Catch::Contains;

namespace {
struct Fixture {
  std::unique_ptr<Database> database = open_sqlite(":memory:").value();
  Fixture() { run("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT UNIQUE)"); }

  void run(std::string_view sql, std::vector<Value> args = {}) { REQUIRE(database->query(sql, std::move(args))); }
  std::int64_t rows() { return database->query("SELECT COUNT(*) FROM t").value().at(0).integer(0); }
};
Result<> insert(Database& database, std::int64_t id) {
  TRY(auto done, database.query("INSERT INTO t (id, x) VALUES ($1, $2)", {id, std::to_string(id)}));
  return {};
}
}  // namespace

TEST_CASE_METHOD(Fixture, "every kind of value comes back as it went in") {
  run("CREATE TABLE v (n, i, r, s, b)");
  const std::string text("a\0b\xC3\xA9", 5), bytes("\0\xff\x01", 3);
  run("INSERT INTO v VALUES ($1, $2, $3, $4, $5)",
      {std::monostate{}, std::numeric_limits<std::int64_t>::min(), 0.1, text, Blob{bytes}});
  run("INSERT INTO v VALUES ($1, $2, $3, $4, $5)", {std::monostate{}, std::int64_t{0}, -1e300, std::string{}, Blob{}});
  const auto back = database->query("SELECT n, i, r, s, b FROM v ORDER BY i").value();
  CHECK(back[0].null(0));
  CHECK(back[0].integer(1) == std::numeric_limits<std::int64_t>::min());
  CHECK(back[0].real(2) == 0.1);
  CHECK(back[0].text(3) == text);
  CHECK(back[0].blob(4) == bytes);
  CHECK(back[1].real(2) == -1e300);
  CHECK_FALSE(back[1].null(3));
  CHECK_FALSE(back[1].null(4));
}

TEST_CASE_METHOD(Fixture, "placeholders are bound by number, not by first appearance") {
  const auto row = database->query("SELECT $2, $1, $2", {std::string("one"), std::string("two")}).value().at(0);
  CHECK(row.text(0) == "two");
  CHECK(row.text(1) == "one");
  CHECK(row.text(2) == "two");
  std::string many = "SELECT $11, $1";  // $1 is not a prefix of $11
  std::vector<Value> args;
  for (int i = 1; i <= 11; ++i) args.emplace_back(std::int64_t{i});
  for (int i = 2; i <= 10; ++i) many += ", $" + std::to_string(i);
  CHECK(database->query(many, args).value().at(0).integer(0) == 11);
}

TEST_CASE_METHOD(Fixture, "arguments that do not fit the statement are a bug, and named") {
  CHECK(database->query("SELECT $1").error().code == Errc::internal);
  CHECK_THAT(database->query("SELECT $1", {std::int64_t{1}, std::int64_t{2}}).error().context,
             Contains("2 arguments for 1 placeholders"));
  CHECK_THAT(database->query("SELECT $2", {std::int64_t{1}}).error().context, Contains("has no $1"));
}

TEST_CASE_METHOD(Fixture, "wrong SQL and more than one statement are refused") {
  CHECK(database->query("SELEC 1").error().code == Errc::internal);
  CHECK(database->query("").error().code == Errc::internal);
  CHECK_THAT(database->query("SELECT 1; DROP TABLE t").error().context, Contains("one statement at a time"));
  CHECK(database->query("SELECT 1; \n"));
  CHECK(rows() == 0);
}

TEST_CASE_METHOD(Fixture, "a statement is kept and used again without the old arguments or the old schema") {
  for (std::int64_t i = 0; i < 500; ++i) REQUIRE(insert(*database, i));
  for (int i = 0; i < 500; ++i) CHECK(database->query("SELECT " + std::to_string(i)).value().at(0).integer(0) == i);
  CHECK(database->query("SELECT * FROM t WHERE id = 1").value().at(0).size() == 2);
  run("ALTER TABLE t ADD COLUMN y TEXT");
  CHECK(database->query("SELECT * FROM t WHERE id = 1").value().at(0).size() == 3);
}

TEST_CASE_METHOD(Fixture, "a broken constraint is a conflict, for unique, foreign and null alike") {
  run("CREATE TABLE child (parent INTEGER NOT NULL REFERENCES t (id))");
  REQUIRE(insert(*database, 1));
  CHECK(insert(*database, 1).error().code == Errc::conflict);
  CHECK(database->query("INSERT INTO child VALUES (99)").error().code == Errc::conflict);
  CHECK(database->query("INSERT INTO child VALUES (NULL)").error().code == Errc::conflict);
  CHECK(database->query("INSERT INTO child VALUES (1)"));
}

TEST_CASE_METHOD(Fixture, "a transaction commits everything or nothing") {
  REQUIRE(database->transaction([](Database& inner) -> Result<> {
    TRY_VOID(insert(inner, 1));
    return insert(inner, 2);
  }));
  CHECK(rows() == 2);
  const auto failed = database->transaction([](Database& inner) -> Result<> {
    TRY_VOID(insert(inner, 3));
    return insert(inner, 1);
  });
  CHECK(failed.error().code == Errc::conflict);
  CHECK(rows() == 2);
  const auto own = database->transaction([](Database& inner) -> Result<> {
    TRY_VOID(insert(inner, 3));
    return Error{Errc::denied, "changed my mind", "some.reason"};
  });
  CHECK(own.error().reason == "some.reason");
  CHECK(rows() == 2);
}

TEST_CASE_METHOD(Fixture, "a nested transaction joins the outer one") {
  REQUIRE(database->transaction([](Database& outer) -> Result<> {
    TRY_VOID(insert(outer, 1));
    return outer.transaction([](Database& inner) { return insert(inner, 2); });
  }));
  CHECK(rows() == 2);
  CHECK_FALSE(database->transaction([](Database& outer) -> Result<> {
    TRY_VOID(outer.transaction([](Database& inner) { return insert(inner, 3); }));
    return Error{Errc::denied, "after the inner one was done"};
  }));
  CHECK(rows() == 2);
}

TEST_CASE_METHOD(Fixture, "an overlooked failure of an inner transaction rolls the outer one back") {
  const auto done = database->transaction([](Database& outer) -> Result<> {
    TRY_VOID(insert(outer, 1));
    (void)outer.transaction([](Database& inner) -> Result<> {
      TRY_VOID(insert(inner, 2));
      return Error{Errc::gate_failed, "inner"};
    });
    return insert(outer, 3);
  });
  REQUIRE_FALSE(done);
  CHECK(done.error().code == Errc::gate_failed);
  CHECK(rows() == 0);
  REQUIRE(database->transaction([](Database& inner) { return insert(inner, 4); }));  // nothing of it remains
  CHECK(rows() == 1);
}

TEST_CASE_METHOD(Fixture, "an exception rolls back and passes on") {
  CHECK_THROWS_AS(database
                      ->transaction([](Database& inner) -> Result<> {
                        TRY_VOID(insert(inner, 1));
                        throw std::logic_error("bug");
                      })
                      .has_value(),
                  std::logic_error);
  CHECK(rows() == 0);
  CHECK(database->transaction([](Database& inner) { return insert(inner, 1); }));
  CHECK(rows() == 1);
}

TEST_CASE("a full disk is no_space, undoes the transaction and spares what was committed") {
  const test::TempDir dir;
  auto database = open_sqlite(dir / "db").value();
  REQUIRE(database->query("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)"));
  REQUIRE(insert(*database, 1));
  REQUIRE(database->query("PRAGMA max_page_count=10"));  // as if the disk ended there
  const auto full = database->transaction([](Database& inner) -> Result<> {
    TRY_VOID(insert(inner, 2));
    TRY(auto big, inner.query("UPDATE t SET x = $1 WHERE id = 1", {std::string(200'000, 'x')}));
    return {};
  });
  REQUIRE_FALSE(full);
  CHECK(full.error().code == Errc::no_space);
  REQUIRE(database->query("PRAGMA max_page_count=100000"));
  const auto left = database->query("SELECT id, x FROM t").value();
  REQUIRE(left.size() == 1);
  CHECK(left[0].text(1) == "1");
}

TEST_CASE("nothing is committed piecemeal after SQLite has rolled back by itself") {
  const test::TempDir dir;
  auto database = open_sqlite(dir / "db").value();
  REQUIRE(database->query("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)"));
  const auto result = database->transaction([](Database& inner) -> Result<> {
    TRY_VOID(insert(inner, 1));
    // ROLLBACK as conflict resolution ends the transaction inside the engine, as some I/O errors do.
    (void)inner.query("INSERT OR ROLLBACK INTO t (id) VALUES (1)");
    const auto late = insert(inner, 2);
    CHECK_FALSE(late);
    return late;
  });
  CHECK_FALSE(result);
  CHECK(database->query("SELECT COUNT(*) FROM t").value().at(0).integer(0) == 0);
}

TEST_CASE("what is committed is there after reopening, in WAL mode with full syncs") {
  const test::TempDir dir;
  {
    auto database = open_sqlite(dir / "db").value();
    REQUIRE(database->query("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)"));
    REQUIRE(insert(*database, 1));
    CHECK(database->query("PRAGMA journal_mode").value().at(0).text(0) == "wal");
    CHECK(database->query("PRAGMA synchronous").value().at(0).integer(0) == 2);
    CHECK(database->query("PRAGMA foreign_keys").value().at(0).integer(0) == 1);
  }
  CHECK(open_sqlite(dir / "db").value()->query("SELECT x FROM t").value().at(0).text(0) == "1");
}

TEST_CASE("a file that is no database, a damaged one and a missing folder give clear errors") {
  const test::TempDir dir;
  REQUIRE(write_file_atomic(dir / "text", std::string(10'000, 'x')));
  const auto text = open_sqlite(dir / "text");
  REQUIRE_FALSE(text);
  CHECK(text.error().code == Errc::io);
  CHECK_THAT(text.error().context, Contains("damaged") && Contains("text"));
  CHECK_FALSE(open_sqlite(dir / "no/db"));
  {
    auto database = open_sqlite(dir / "db").value();
    REQUIRE(database->query("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)"));
    for (std::int64_t i = 0; i < 1'000; ++i) REQUIRE(insert(*database, i));
  }
  std::string bytes = read_file(dir / "db", 10'000'000).value();
  for (std::size_t at = 4'096; at < bytes.size(); ++at) bytes[at] = static_cast<char>(at * 31);
  REQUIRE(write_file_atomic(dir / "db", bytes));
  const auto read = open_sqlite(dir / "db").value()->query("SELECT COUNT(x) FROM t");
  REQUIRE_FALSE(read);
  CHECK(read.error().code == Errc::io);
  CHECK_THAT(read.error().context, Contains("damaged"));
}

TEST_CASE("several threads share one database without losing a write") {
  const test::TempDir dir;
  auto database = open_sqlite(dir / "db").value();
  REQUIRE(database->query("CREATE TABLE c (n INTEGER)"));
  REQUIRE(database->query("INSERT INTO c VALUES (0)"));
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        const auto done = database->transaction([](Database& inner) -> Result<> {
          TRY(auto rows, inner.query("SELECT n FROM c"));
          TRY(auto set, inner.query("UPDATE c SET n = $1", {rows.at(0).integer(0) + 1}));
          return {};
        });
        if (!done) ++failures;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(database->query("SELECT n FROM c").value().at(0).integer(0) == 100);
}

TEST_CASE("two connections to one file take turns") {
  const test::TempDir dir;
  auto one = open_sqlite(dir / "db").value(), two = open_sqlite(dir / "db").value();
  REQUIRE(one->query("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)"));
  const auto fill = [](Database& database, std::int64_t from) {
    for (std::int64_t i = from; i < from + 50; ++i) {
      if (!insert(database, i)) return false;
    }
    return true;
  };
  bool second = false;
  std::thread thread([&] { second = fill(*two, 1'000); });
  CHECK(fill(*one, 0));
  thread.join();
  CHECK(second);
  CHECK(one->query("SELECT COUNT(*) FROM t").value().at(0).integer(0) == 100);
}
