#include "server/store/releases.hpp"

#include "tests/server/store/store_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

ReleaseRow row(const std::string& model, const std::string& version, std::int64_t published_ms) {
  return {model, version, 3, sha256("m" + version), 1234, sha256("a" + version), 7, published_ms, "ci", "PASSED"};
}

}  // namespace

TEST_CASE("a release is found by model and version, as it was stored") {
  auto database = memory_database();
  ReleaseStore store(*database);
  need(store.insert(row("m", "1.0.0", 10)));
  const auto found = need(store.find("m", "1.0.0"));
  REQUIRE(found);
  CHECK(found->counter == 3);
  CHECK(found->manifest_sha256 == sha256("m1.0.0"));
  CHECK(found->manifest_length == 1234);
  CHECK(found->attestations_sha256 == sha256("a1.0.0"));
  CHECK(found->created_ms == 7);
  CHECK(found->published_ms == 10);
  CHECK(found->published_by == "ci");
  CHECK(found->gate_result == "PASSED");
  CHECK_FALSE(need(store.find("m", "1.0.1")));
  CHECK_FALSE(need(store.find("n", "1.0.0")));
  CHECK(store.insert(row("m", "1.0.0", 11)).error().code == Errc::conflict);
}

TEST_CASE("releases are listed by publication, newest first") {
  auto database = memory_database();
  ReleaseStore store(*database);
  need(store.insert(row("m", "1.0.0", 10)));
  need(store.insert(row("m", "1.2.0", 30)));
  need(store.insert(row("n", "0.1.0", 20)));
  const auto names = [](const std::vector<ReleaseRow>& rows) {
    std::string text;
    for (const ReleaseRow& one : rows) text += one.model + one.version + " ";
    return text;
  };
  CHECK(names(need(store.list("", 10))) == "m1.2.0 n0.1.0 m1.0.0 ");
  CHECK(names(need(store.list("m", 10))) == "m1.2.0 m1.0.0 ");
  CHECK(names(need(store.list("m", 1))) == "m1.2.0 ");
  CHECK(names(need(store.list("x", 1))).empty());
}
