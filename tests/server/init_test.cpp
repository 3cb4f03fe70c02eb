#include "server/init.hpp"

#include "server/auth/access.hpp"
#include "server/store/migrations.hpp"
#include "tests/support/sim_clock.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/stat.h>
#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::server;
using namespace std::chrono_literals;
using ferry::test::SimClock;
using ferry::test::TempDir;

namespace {

struct World {
  TempDir dir;
  SimClock clock;
  SystemRandom random;
  Path data = dir / "data";

  Result<> init() { return init_server(data, {"fleet.example.org", "127.0.0.1"}, clock, random); }
  Config config() { return *load_config(data); }
  std::string text(const Path& name) { return *read_file(data / name, 100'000); }
  unsigned mode(const Path& name) {
    struct stat info {};
    REQUIRE(::stat((data / name).c_str(), &info) == 0);
    return info.st_mode & 0777;
  }
  // Is this token an administrator's?
  std::size_t admins(const std::string& token) {
    auto database = *open_sqlite(config().database());
    TokenStore store(*database);
    Access access(store, clock, random);
    REQUIRE(access.load());
    http::Request request;
    request.headers["authorization"] = "Bearer " + token;
    CHECK_FALSE(access.refuse(request, Role::admin));
    return access.list()->size();
  }
};

}  // namespace

TEST_CASE("a new server gets a CA, a certificate, online keys, settings, a database and one administrator") {
  World world;
  REQUIRE(world.init());
  const Config config = world.config();
  CHECK(config.names == std::vector<std::string>{"fleet.example.org", "127.0.0.1"});
  auto authority = load_authority(config);
  REQUIRE(authority);
  const auto chain = *certificates_from_pem(world.text("ca/server.pem"));
  REQUIRE(chain.size() == 2);
  CHECK(verify_certificate(chain[0], authority->certificate(), world.clock.now()));
  CHECK(chain[1].der == authority->certificate().der);
  CHECK(chain[0].not_after - world.clock.now() > server_certificate_life - 24h);
  auto keys = load_online_keys(config);
  REQUIRE(keys);
  const Json online = *parse_json(world.text("online/public.json"));
  CHECK(online["format"] == "ferry.online-keys/1");
  CHECK(online["snapshot"] == keys->snapshot.public_key().pem());
  CHECK(online["timestamp"] == keys->timestamp.public_key().pem());
  CHECK(online["snapshot"] != online["timestamp"]);
  std::string token = world.text("admin.token");
  CHECK(token.back() == '\n');
  token.pop_back();
  CHECK(world.admins(token) == 1);
}

TEST_CASE("secrets are readable by the server alone") {
  World world;
  REQUIRE(world.init());
  for (const char* name :
       {"ca/ca-key.pem", "ca/server-key.pem", "online/snapshot.pem", "online/timestamp.pem", "admin.token"}) {
    INFO(name);
    CHECK(world.mode(name) == 0600);
  }
  CHECK(world.mode("") == 0700);
  CHECK(world.mode("ca") == 0700);
  CHECK(world.mode("online") == 0700);
}

TEST_CASE("a second init is refused and changes nothing, also when the token was moved away") {
  World world;
  REQUIRE(world.init());
  const std::string ca = world.text("ca/ca.pem"), settings = world.text("server.toml");
  for (int round = 0; round < 2; ++round) {
    auto again = world.init();
    REQUIRE_FALSE(again);
    CHECK(again.error().code == Errc::conflict);
    CHECK_THAT(again.error().context, Catch::Contains("ferryd serve"));
    CHECK(world.text("ca/ca.pem") == ca);
    CHECK(world.text("server.toml") == settings);
    std::filesystem::remove(world.data / "admin.token");
  }
}

TEST_CASE("an init that was cut short at any file can be run again, and the server does not start before") {
  World whole;
  REQUIRE(whole.init());
  // In the order in which they are written, and the last one that makes it whole.
  for (const char* missing : {"ca/ca-key.pem", "ca/ca.pem", "ca/server-key.pem", "ca/server.pem", "online/snapshot.pem",
                              "online/timestamp.pem", "online/public.json", "ferry.sqlite", "admin.token"}) {
    INFO("cut before " << missing);
    World world;
    REQUIRE(world.init());
    std::filesystem::remove(world.data / "server.toml");
    std::filesystem::remove(world.data / missing);
    CHECK(load_config(world.data).error().code == Errc::not_found);
    REQUIRE(world.init());
    auto authority = load_authority(world.config());
    REQUIRE(authority);
    const auto chain = *certificates_from_pem(world.text("ca/server.pem"));
    CHECK(verify_certificate(chain[0], authority->certificate(), world.clock.now()));
    auto keys = load_online_keys(world.config());
    REQUIRE(keys);
    CHECK_THAT(world.text("online/public.json"), Catch::Contains("BEGIN PUBLIC KEY"));
    std::string token = world.text("admin.token");
    token.pop_back();
    CHECK(world.admins(token) == 1);  // no token that nobody has
  }
}

TEST_CASE("the server's certificate is kept while it is fresh, and renewed in its last third, with the same key") {
  World world;
  REQUIRE(world.init());
  const Config config = world.config();
  auto authority = load_authority(config);
  REQUIRE(authority);
  const auto certificate = [&] { return *server_certificate(config, *authority, world.clock, world.random); };
  const ServerCertificate first = certificate();
  CHECK(certificate().certificate_pem == first.certificate_pem);
  world.clock.advance(server_certificate_life * 2 / 3 - 24h);
  CHECK(certificate().certificate_pem == first.certificate_pem);
  world.clock.advance(48h);
  const ServerCertificate second = certificate();
  CHECK(second.certificate_pem != first.certificate_pem);
  CHECK(second.key_pem == first.key_pem);
  CHECK(second.not_after > first.not_after);
  CHECK(certificate().certificate_pem == second.certificate_pem);
  std::filesystem::remove(config.ca() / "server-key.pem");  // another key needs another certificate
  CHECK(certificate().certificate_pem != second.certificate_pem);
  std::filesystem::remove(config.ca() / "server.pem");
  CHECK_FALSE(certificate().certificate_pem.empty());
}

TEST_CASE("damaged keys are an error that names the file, never quietly replaced") {
  World world;
  REQUIRE(world.init());
  std::filesystem::remove(world.data / "server.toml");
  for (const char* name : {"ca/ca.pem", "ca/server-key.pem", "online/snapshot.pem"}) {
    const std::string good = world.text(name);
    REQUIRE(write_file_atomic(world.data / name, "damaged", 0600));
    INFO(name);
    CHECK_FALSE(world.init());
    CHECK(world.text(name) == "damaged");
    REQUIRE(write_file_atomic(world.data / name, good, 0600));
  }
  CHECK(world.init());
}
