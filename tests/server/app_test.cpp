// The composition root: what it opens, refuses, does by itself, and leaves behind.
#include "server/app.hpp"

#include "common/http_client.hpp"
#include "tests/server/api/api_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

Json status_file(const Server& server) {
  return need(parse_json(need(read_file(server.dir.path() / "data" / "run" / "server.json", 10'000))));
}

}  // namespace

TEST_CASE("two servers on one data folder: the second is refused") {
  Server server;
  auto second = App::open(need(load_config(server.dir / "data")), server.clock, server.random, server.log);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == Errc::conflict);
  CHECK_THAT(second.error().context, Catch::Contains("another ferryd"));
  server.restart();  // the lock ends with its holder
}

TEST_CASE("a folder that lacks a part is refused by the part's name") {
  for (const char* part : {"ca/ca.pem", "ca/ca-key.pem", "online/snapshot.pem", "online/timestamp.pem"}) {
    Server server;
    server.app.reset();
    std::filesystem::remove(server.dir / "data" / part);
    auto opened = App::open(need(load_config(server.dir / "data")), server.clock, server.random, server.log);
    INFO(part);
    REQUIRE_FALSE(opened);
    CHECK_THAT(opened.error().context, Catch::Contains(Path(part).filename().string()));
    server.app = nullptr;
  }
}

TEST_CASE("a started server says where it listens, answers there under its own CA, and takes the file away again") {
  Server server(SystemClock().now());
  need(server.app->start());
  const Json status = status_file(server);
  CHECK(status["format"] == "ferry.server-run/1");
  CHECK(status["pid"] == ::getpid());
  CHECK(status["device_url"] == server.app->device_url());
  CHECK(status["operator_url"] == server.app->operator_url());
  CHECK(server.services().device_url == server.app->device_url());
  CHECK(status["device_url"] != status["operator_url"]);
  const std::string url = status["operator_url"].get<std::string>();
  CHECK_THAT(url, Catch::StartsWith("https://localhost:") && !Catch::EndsWith(":0"));
  TlsClientConfig tls;
  tls.ca_pem = need(read_file(status["ca_file"].get<std::string>(), 100'000));
  const auto client = make_http_client(tls);
  HttpRequest health;
  health.url = url + "/healthz";
  CHECK(need(client->send(health)).status == 200);
  HttpRequest assignment;
  assignment.url = status["device_url"].get<std::string>() + "/device/v1/assignment";
  const HttpResponse refused = need(client->send(assignment));
  CHECK(refused.status == 403);
  CHECK_THAT(refused.body, Catch::Contains("device_unknown"));
  server.app->stop();
  CHECK_FALSE(std::filesystem::exists(server.dir / "data" / "run" / "server.json"));
  CHECK(server.services().draining);
  server.app->stop();
}

TEST_CASE("when a device was last seen is written down in time, and at the end") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  const auto stored = [&] {
    DeviceStore store(server.services().database);
    return need(store.all()).front().last_seen_ms;
  };
  server.check_in(device);
  server.app->housekeep();
  CHECK(stored() == 0);  // not with every check-in
  server.clock.advance(last_seen_flush);
  server.app->housekeep();
  CHECK(stored() != 0);
  need(server.app->start());
  server.clock.advance(1s);
  server.check_in(device);
  const std::int64_t now_ms = to_unix_ms(server.clock.now());
  server.app->stop();
  CHECK(stored() == now_ms);
}

TEST_CASE("housekeeping moves rollouts, signs anew, and forgets old telemetry") {
  Server server;
  server.publish_trust();
  server.publish("1.0.0", 1);
  const auto device = server.enrol();
  const std::string id = server.rollout("1.0.0");
  server.check_in(device);
  server.app->housekeep();
  CHECK(server.get("/api/v1/rollouts/" + id).json()["devices"]["offered"] == 1);
  const std::string timestamp = server.services().trust.newest("timestamp");
  server.clock.advance(14h);
  server.app->housekeep();
  CHECK(server.services().trust.newest("timestamp") != timestamp);
  CHECK(server.get("/api/v1/rollouts/" + id).json()["state"] == "failed");  // silent for so long
  telemetry::WindowReport report;
  report.install = report.boot = "x";
  report.seq = 1;
  report.end_unix_ms = to_unix_ms(server.clock.now());
  telemetry::ReleaseWindow window;
  window.key = {"m", "1.0.0", std::string(64, 'a'), "a", "", "none"};
  window.duration.record(0.01);
  report.releases.push_back(window);
  need(server.services().telemetry.apply(device.id, report, to_unix_ms(server.clock.now())));
  const auto minutes = [&] {
    return need(server.services().telemetry.minutes("m", 0, std::numeric_limits<std::int64_t>::max())).size();
  };
  CHECK(minutes() == 1);
  server.clock.advance(Duration{telemetry_keep_ms} + 2h);
  server.app->housekeep();
  CHECK(minutes() == 0);
}

TEST_CASE("a server that was away for long signs its metadata before it serves") {
  Server server;
  server.publish_trust();
  server.app.reset();
  server.clock.advance(std::chrono::hours{24 * 20});
  server.open();
  need(server.app->start());
  const auto timestamp = need(ota::parse_timestamp(server.services().trust.newest("timestamp")));
  CHECK(timestamp.expires > server.clock.now());
  server.app->stop();
}

TEST_CASE("the server's own certificate is renewed while it runs") {
  Server server;
  need(server.app->start());
  const std::string before = need(read_file(server.dir / "data" / "ca" / "server.pem", 100'000));
  server.app->stop();
  server.clock.advance(server_certificate_life * 3 / 4);
  server.app->housekeep();
  CHECK(need(read_file(server.dir / "data" / "ca" / "server.pem", 100'000)) != before);
}
