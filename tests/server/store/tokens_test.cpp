#include "server/store/tokens.hpp"

#include "tests/server/store/store_fixture.hpp"

#include <atomic>
#include <thread>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

EnrolmentTokenRow token(const std::string& id, std::int64_t uses) {
  return {id, sha256("secret"), 1, 100, uses, uses, R"({"site":"oslo"})", "ada"};
}

}  // namespace

TEST_CASE("an enrolment token is stored by the hash of its secret and read back") {
  auto database = memory_database();
  TokenStore store(*database);
  need(store.insert(token("tok-b", 2)));
  need(store.insert(token("tok-a", 1)));
  const auto found = need(store.find("tok-b"));
  REQUIRE(found);
  CHECK(found->secret_sha256 == sha256("secret"));
  CHECK(found->uses_total == 2);
  CHECK(found->uses_left == 2);
  CHECK(found->expires_ms == 100);
  CHECK(found->labels == R"({"site":"oslo"})");
  CHECK(found->created_by == "ada");
  CHECK_FALSE(need(store.find("tok-c")));
  CHECK(need(store.list("", 10)).front().id == "tok-a");
  CHECK(need(store.list("tok-a", 10)).size() == 1);
  CHECK(need(store.list("", 1)).size() == 1);
}

TEST_CASE("each use of a token is one device's, and there are no more than it had") {
  auto database = memory_database();
  TokenStore store(*database);
  need(store.insert(token("tok-1", 2)));
  need(store.use("tok-1", "key-1", "dev-1", 5));
  CHECK(need(store.device_of("tok-1", "key-1")) == "dev-1");
  CHECK(need(store.device_of("tok-1", "key-2")).empty());
  CHECK(store.use("tok-1", "key-1", "dev-9", 6).error().code == Errc::conflict);  // the same key is the same device
  CHECK(need(store.find("tok-1"))->uses_left == 1);                               // and costs nothing
  need(store.use("tok-1", "key-2", "dev-2", 7));
  auto refused = store.use("tok-1", "key-3", "dev-3", 8);
  REQUIRE_FALSE(refused);
  CHECK_THAT(refused.error().context, Catch::Contains("no use is left"));
  CHECK(need(store.devices_of("tok-1", 10)) == std::vector<std::string>{"dev-1", "dev-2"});
  CHECK(need(store.devices_of("tok-1", 1)) == std::vector<std::string>{"dev-1"});
  CHECK_FALSE(store.use("tok-none", "key-1", "dev-1", 9));
}

TEST_CASE("the last use cannot be taken twice at once") {
  auto database = memory_database();
  TokenStore store(*database);
  need(store.insert(token("tok-1", 3)));
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      if (store.use("tok-1", "key-" + std::to_string(i), "dev-" + std::to_string(i), i)) ++taken;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(taken == 3);
  CHECK(need(store.devices_of("tok-1", 10)).size() == 3);
  CHECK(need(store.find("tok-1"))->uses_left == 0);
}

TEST_CASE("a removed token is gone with its uses") {
  auto database = memory_database();
  TokenStore store(*database);
  need(store.insert(token("tok-1", 2)));
  need(store.use("tok-1", "key-1", "dev-1", 5));
  CHECK(need(store.remove("tok-1")));
  CHECK_FALSE(need(store.remove("tok-1")));
  CHECK_FALSE(need(store.find("tok-1")));
  CHECK(need(store.devices_of("tok-1", 10)).empty());
}

TEST_CASE("access tokens are stored, listed and removed") {
  auto database = memory_database();
  TokenStore store(*database);
  need(store.insert(AccessTokenRow{"acc-2", sha256("b"), "ci", "publisher", 1, 0}));
  need(store.insert(AccessTokenRow{"acc-1", sha256("a"), "ada", "admin", 2, 9}));
  const auto all = need(store.access_tokens());
  REQUIRE(all.size() == 2);
  CHECK(all[0].id == "acc-1");
  CHECK(all[0].secret_sha256 == sha256("a"));
  CHECK(all[0].role == "admin");
  CHECK(all[0].expires_ms == 9);
  CHECK(all[1].name == "ci");
  CHECK(store.insert(AccessTokenRow{"acc-3", sha256("a"), "x", "admin", 2, 9}).error().code == Errc::conflict);
  CHECK(need(store.remove_access("acc-1")));
  CHECK_FALSE(need(store.remove_access("acc-1")));
  CHECK(need(store.access_tokens()).size() == 1);
}
