#include "server/store/migrations.hpp"

#include "tests/server/store/store_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

TEST_CASE("the schema is made once and kept over a restart") {
  const ferry::test::TempDir dir;
  {
    auto database = open_migrated(dir / "a.sqlite");
    need(database->query("insert into trust_versions (role, version, sha256) values ('root', 1, 'x')"));
  }
  auto database = open_migrated(dir / "a.sqlite");
  CHECK(need(database->query("select * from trust_versions")).size() == 1);
}

TEST_CASE("migrations are numbered without gaps, and a newer database is refused") {
  int number = 0;
  for (const Migration& migration : schema_migrations()) CHECK(migration.number == ++number);
  auto database = memory_database();
  need(database->query("insert into schema_migrations (number) values ($1)", {std::int64_t{number + 1}}));
  auto refused = migrate(*database, schema_migrations());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::unsupported);
}

TEST_CASE("rows that name nobody are refused by the schema itself") {
  auto database = memory_database();
  for (const char* sql : {"insert into device_certificates values ('f', 'dev-none', 'k', 1, 2)",
                          "insert into device_installs values ('dev-none', 'i', 1, 2)",
                          "insert into rollout_devices values ('ro-none', 'd', 'offered', 1, 1, '', '', 1)",
                          "insert into rollout_log values ('ro-none', 1, 1, 0, 'hold', 'start', '', '')",
                          "insert into enrolment_uses values ('tok-none', 'k', 'd', 1)"}) {
    INFO(sql);
    CHECK(database->query(sql).error().code == Errc::conflict);
  }
}
