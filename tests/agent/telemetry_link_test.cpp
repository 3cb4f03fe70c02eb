// Telemetry from recorded requests to the bytes a server decodes: windows, resending, refusals.
#include "agent/telemetry_link.hpp"

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
  TempDir directory;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::debug};
  std::unique_ptr<Database> database = *open_sqlite(":memory:");
  int status = 200;
  ScriptedServer server{[this](const ScriptedRequest&) { return ScriptedAnswer{status, "", "", {}, {}}; }};
  std::unique_ptr<HttpClient> http = make_http_client({});
  std::unique_ptr<TelemetryLink> link;
  SlotContents release;

  World() {
    Identity identity;
    identity.server = server.url();
    identity.install = "ins-1";
    link = *TelemetryLink::open(identity, "boot-1", *database, clock, log);
    ota::Manifest manifest;
    manifest.contract.labels = {"a", "b", "c"};
    release.model = "m";
    release.version = "1.0.0";
    release.manifest_sha256 = sha256("manifest");
    release.slot = "a";
    release.rollout = "ro-1";
    release.arm = "canary";
    release.directory = directory.path();
    release.manifest = std::make_shared<const ota::Manifest>(std::move(manifest));
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() { ::close(null); }

  void answer_one() {
    const float scores[] = {0.1F, 5.0F, 0.2F};
    link->on_inference({release, std::chrono::milliseconds{2}, "", scores});
  }
  telemetry::WindowReport received(std::size_t index) {
    auto requests = server.requests();
    REQUIRE(requests.size() > index);
    CHECK(requests[index].has("Content-Encoding: gzip"));
    auto bytes = telemetry::gunzip(requests[index].body);
    REQUIRE(bytes);
    auto report = telemetry::decode_otlp(*bytes);
    REQUIRE(report);
    return *report;
  }
};

}  // namespace

TEST_CASE("what was answered in an interval arrives as one window with all its attributes") {
  World world;
  for (int n = 0; n < 3; ++n) world.answer_one();
  world.link->on_inference({world.release, seconds{0}, "timeout", {}});
  world.link->on_label({world.release, true, "audit"});
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.server.requests().empty());  // the interval is not over
  world.clock.advance(world.link->due_in());
  REQUIRE(world.link->upload(*world.http));
  auto report = world.received(0);
  CHECK(report.install == "ins-1");
  CHECK(report.boot == "boot-1");
  CHECK(report.seq == 1);
  REQUIRE(report.releases.size() == 1);
  const auto& window = report.releases[0];
  CHECK(window.key.version == "1.0.0");
  CHECK(window.key.rollout == "ro-1");
  CHECK(window.key.arm == "canary");
  CHECK(window.errors.at("timeout") == 1);
  CHECK(window.labels.at({"audit", true}) == 1);
  REQUIRE(window.classes.size() >= 2);
  CHECK(window.classes[1] == 3);
}

TEST_CASE("nothing happened: nothing is written and nothing is sent") {
  World world;
  world.clock.advance(seconds{61});
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.server.requests().empty());
  CHECK(world.link->counts()->windows == 0);
}

TEST_CASE("a window stays until it is acknowledged, and goes out again as the same bytes") {
  World world;
  world.answer_one();
  world.clock.advance(seconds{61});
  world.status = 503;
  CHECK_FALSE(world.link->upload(*world.http));
  CHECK(world.link->counts()->windows == 1);
  world.status = 200;
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.link->counts()->windows == 0);
  auto requests = world.server.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].body == requests[1].body);
}

TEST_CASE("a window the server will never take does not hold up the others") {
  World world;
  world.answer_one();
  REQUIRE(world.link->close_window());
  world.status = 400;
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.link->counts()->windows == 0);
}

TEST_CASE("the interval follows the server's word") {
  World world;
  CHECK(world.link->due_in() == seconds{60});
  world.link->set_interval(seconds{5});
  CHECK(world.link->due_in() == seconds{5});
  world.link->set_interval(seconds{300});
  CHECK(world.link->due_in() == seconds{300});
}
