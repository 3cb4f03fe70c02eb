// Telemetry to another receiver than the update server: its settings arrive, and its trouble stays its own.
#include "agent/collector.hpp"

#include "ota/manifest.hpp"
#include "telemetry/otlp.hpp"
#include "tests/support/scripted_server.hpp"
#include "tests/support/sim_clock.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <unistd.h>

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::test;
using std::chrono::seconds;

namespace {

struct World {
  SimClock clock;
  SeededRandom random{5};
  TempDir directory;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::debug};
  std::unique_ptr<Database> database = *open_sqlite(":memory:");
  ScriptedAnswer answer;
  ScriptedServer receiver{[this](const ScriptedRequest&) { return answer; }};
  std::unique_ptr<TelemetryLink> link;
  std::unique_ptr<Collector> collector;
  SlotContents release;

  World() {
    CollectorConfig config;
    config.url = receiver.url() + "/opentelemetry/v1/metrics";
    config.headers = {{"Authorization", "Bearer abc"}};
    Identity identity;
    identity.server = "https://unused.invalid";
    identity.install = "ins-1";
    link = *TelemetryLink::open(identity, "boot-1", *database, clock, log, config);
    auto tls = collector_tls(config);
    collector = std::make_unique<Collector>(*link, make_http_client(*tls), clock, random, log);
    release.model = "m";
    release.version = "1.0.0";
    release.manifest_sha256 = sha256("manifest");
    release.slot = "a";
    release.directory = directory.path();
    release.manifest = std::make_shared<const ota::Manifest>();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() { ::close(null); }

  void window() {
    link->on_inference({release, std::chrono::milliseconds{2}, "", {}});
    clock.advance(link->due_in());
  }
};

}  // namespace

TEST_CASE("the receiver gets its own path and headers, and totals instead of windows") {
  World world;
  world.window();
  world.collector->round();
  world.window();
  world.collector->round();
  const auto requests = world.receiver.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].path() == "/opentelemetry/v1/metrics");
  CHECK(requests[0].has("Authorization: Bearer abc"));
  CHECK(requests[0].has("Content-Type: application/x-protobuf"));
  CHECK(requests[0].has("Content-Encoding: gzip"));
  auto sent = telemetry::gunzip(requests[1].body);
  REQUIRE(sent);
  CHECK(sent->find("ferry.report.seq") == std::string::npos);
  CHECK(world.link->counts()->windows == 0);
}

TEST_CASE("a receiver in trouble is asked again later and later, while windows go on being closed and kept") {
  World world;
  world.answer.status = 503;
  world.window();
  const Duration wait = world.collector->round();
  CHECK(wait > Duration{0});
  CHECK(wait <= seconds{60});
  CHECK(world.receiver.requests().size() == 1);
  CHECK(world.link->counts()->windows == 1);

  world.answer.headers = "Retry-After: 600\r\n";
  while (world.receiver.requests().size() < 2) world.clock.advance(world.collector->round());
  for (int windows = 2; windows <= 4; ++windows) {  // within what Retry-After asks for
    world.window();
    world.collector->round();
    CHECK(world.receiver.requests().size() == 2);
    CHECK(world.link->counts()->windows == std::uint64_t(windows));
  }
  world.answer = {};
  world.clock.advance(seconds{600});
  world.collector->round();
  CHECK(world.link->counts()->windows == 0);
  CHECK(world.receiver.requests().size() == 6);
}

TEST_CASE("what piled up leaves in bounded rounds that follow each other at once") {
  World world;
  for (int windows = 0; windows < 40; ++windows) {
    world.link->on_inference({world.release, std::chrono::milliseconds{2}, "", {}});
    REQUIRE(world.link->close_window());
  }
  const Duration wait = world.collector->round();
  CHECK(world.link->counts()->windows > 0);
  CHECK(wait < seconds{1});
  world.collector->round();
  CHECK(world.link->counts()->windows == 0);
}

TEST_CASE("its thread ends at once while it waits") {
  World world;
  world.collector->start();
  world.clock.until_waiting();
  world.window();
  world.clock.until_waiting();
  world.collector->stop();
  CHECK(world.receiver.requests().size() <= 1);
}

TEST_CASE("authorities that cannot be read are an error that names the setting") {
  CollectorConfig config;
  config.url = "https://collector/v1/metrics";
  config.ca_file = "/nowhere/ca.pem";
  auto tls = collector_tls(config);
  REQUIRE_FALSE(tls);
  CHECK_THAT(tls.error().context, Catch::Contains("telemetry.ca_file"));
  CHECK_THAT(tls.error().context, Catch::Contains("/nowhere/ca.pem"));
  config.ca_file.clear();
  REQUIRE(collector_tls(config));
  CHECK(collector_tls(config)->certificate_path.empty());
}
