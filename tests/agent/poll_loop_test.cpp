// The poll loop, round by round, against a scripted server: check-in, 304, waiting, profile, uploads.
#include "agent/poll_loop.hpp"

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

Json assignment_document() {
  Json model{{"model", "fashion-mnist"},
             {"version", "1.1.0"},
             {"target", "fashion-mnist/1.1.0/manifest.json"},
             {"sha256", std::string(64, 'a')},
             {"length", 1234},
             {"counter", 2},
             {"rollout", "ro-1"},
             {"arm", "canary"},
             {"phase", 0},
             {"policy", {{"trial_deadline_s", 60}}}};
  return Json{{"format", "ferry.assignment/1"},
              {"device", "dev-1"},
              {"models", Json::array({model})},
              {"telemetry_interval_s", 5}};
}

struct World {
  SimClock clock;
  SeededRandom random{5};
  TempDir directory;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::debug};
  StatusBoard status{"dev-1", "boot"};
  std::unique_ptr<Database> database = *open_sqlite(":memory:");
  std::unique_ptr<EventSpool> spool = *EventSpool::open(*database);
  std::map<std::string, std::function<ScriptedAnswer(const ScriptedRequest&)>> routes;
  ScriptedServer server{[this](const ScriptedRequest& request) {
    auto found = routes.find(request.path());
    return found == routes.end() ? ScriptedAnswer{404, "", "{}", {}, {}} : found->second(request);
  }};
  Identity identity;
  std::unique_ptr<Reporter> reporter;
  std::vector<Assignment> assignments;
  std::vector<std::size_t> assignments_at_rest;  // how many there were each time the thread came to rest
  int profiles_asked = 0;
  std::unique_ptr<PollLoop> loop;

  World() {
    identity.device = "dev-1";
    identity.server = server.url();
    identity.install = "ins-1";
    reporter = std::make_unique<Reporter>(identity, *spool, log);
    routes["/device/v1/profile"] = [](const ScriptedRequest&) { return ScriptedAnswer{200, "", "{}", {}, {}}; };
    routes["/device/v1/assignment"] = [](const ScriptedRequest& request) {
      if (request.has("If-None-Match: \"v1\""))
        return ScriptedAnswer{304, "Ferry-Poll-After: 30\r\nETag: \"v1\"\r\n", "", {}, {}};
      return ScriptedAnswer{200, "Ferry-Poll-After: 20\r\nETag: \"v1\"\r\n", assignment_document().dump(), {}, {}};
    };
    routes["/device/v1/events"] = [](const ScriptedRequest& request) {
      Json events = Json::parse(request.body)["events"];
      return ScriptedAnswer{200, "", Json{{"applied_seq", events.back()["seq"]}}.dump(), {}, {}};
    };
    PollPorts ports{[] { return Result<std::unique_ptr<HttpClient>>(make_http_client({})); },
                    [this] {
                      ++profiles_asked;
                      Json profile{{"format", "ferry.profile/1"}, {"hardware_class", "x86_64-avx2-2c-16g-cpu"}};
                      return Result<Json>(boost::system::in_place_value, std::move(profile));
                    },
                    [this](const Assignment& assignment) { assignments.push_back(assignment); },
                    {reporter.get()},
                    status,
                    clock,
                    random,
                    log,
                    [this] { assignments_at_rest.push_back(assignments.size()); }};
    loop = std::make_unique<PollLoop>(identity, DataTree{directory.path()}, std::move(ports));
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() {
    loop.reset();
    ::close(null);
  }
  int asked(std::string_view path) const {
    int count = 0;
    for (const auto& request : server.requests()) count += request.path() == path ? 1 : 0;
    return count;
  }
};

}  // namespace

TEST_CASE("a check-in hands over the assignment once, then 304 costs nothing, at the server's pace with jitter") {
  World world;
  Duration wait = world.loop->round();
  CHECK(wait >= seconds{20});
  CHECK(wait <= seconds{22});
  REQUIRE(world.assignments.size() == 1);
  CHECK(world.assignments[0].models[0].release.version == "1.1.0");
  CHECK(world.assignments[0].models[0].release.policy.trial_deadline_s == 60);
  CHECK(world.assignments[0].models[0].release.policy.probation_s == 30);
  CHECK(world.assignments[0].telemetry_interval == seconds{5});
  CHECK(world.status.document()["connected"] == true);
  CHECK(world.status.document()["hardware_class"] == "x86_64-avx2-2c-16g-cpu");
  world.clock.advance(wait);
  wait = world.loop->round();
  CHECK(wait >= seconds{30});
  CHECK(world.assignments.size() == 1);
  CHECK(world.asked("/device/v1/assignment") == 2);
  CHECK(world.asked("/device/v1/profile") == 1);
  CHECK(world.profiles_asked == 1);
}

TEST_CASE("a check-in tells the device's local time when it is not UTC") {
  World world;
  world.loop->round();
  world.clock.set_utc_offset_s(-5 * 3600);
  world.clock.advance(seconds{60});
  world.loop->round();
  std::vector<bool> told;
  for (const auto& request : world.server.requests())
    if (request.path() == "/device/v1/assignment") told.push_back(request.has("Ferry-Utc-Offset: -18000"));
  CHECK(told == std::vector<bool>{false, true});
}

TEST_CASE("a round before its time sends what is spooled and does not check in") {
  World world;
  world.loop->round();
  REQUIRE(world.spool->append(Json{{"kind", "update"}, {"at_ms", 1}}));
  Duration wait = world.loop->round();
  CHECK(world.asked("/device/v1/assignment") == 1);
  CHECK(world.asked("/device/v1/events") == 1);
  CHECK(world.spool->counts()->events == 0);
  CHECK(wait > seconds{15});
}

TEST_CASE("trouble backs off, honours Retry-After, and is over when the server is back") {
  World world;
  auto good = world.routes["/device/v1/assignment"];
  world.routes["/device/v1/assignment"] = [](const ScriptedRequest&) {
    return ScriptedAnswer{503, "Retry-After: 100\r\n", "", {}, {}};
  };
  Duration wait = world.loop->round();
  CHECK(wait >= seconds{100});
  CHECK(world.status.document()["connected"] == false);
  int before = world.asked("/device/v1/assignment");
  world.loop->round();  // woken early: it does not ask
  CHECK(world.asked("/device/v1/assignment") == before);
  world.routes["/device/v1/assignment"] = good;
  world.clock.advance(wait);
  world.loop->round();
  CHECK(world.assignments.size() == 1);
  CHECK(world.status.document()["connected"] == true);
}

TEST_CASE("an assignment that is malformed or another device's is not acted on") {
  World world;
  Json document = assignment_document();
  SECTION("another device") { document["device"] = "dev-2"; }
  SECTION("another format") { document["format"] = "ferry.assignment/2"; }
  SECTION("a target that is not the release's") { document["models"][0]["target"] = "other/1.1.0/manifest.json"; }
  SECTION("a name that is a path") { document["models"][0]["model"] = "../etc"; }
  SECTION("a model twice") { document["models"].push_back(document["models"][0]); }
  SECTION("an unknown arm") { document["models"][0]["arm"] = "left"; }
  SECTION("a digest that is none") { document["models"][0]["sha256"] = "zz"; }
  SECTION("a counter of 0") { document["models"][0]["counter"] = 0; }
  world.routes["/device/v1/assignment"] = [&](const ScriptedRequest&) {
    return ScriptedAnswer{200, "", document.dump(), {}, {}};
  };
  world.loop->round();
  CHECK(world.assignments.empty());
}

TEST_CASE("a hardware profile that is refused or unknown does not keep the device from checking in") {
  World world;
  world.routes["/device/v1/profile"] = [](const ScriptedRequest&) { return ScriptedAnswer{400, "", "{}", {}, {}}; };
  world.loop->round();
  CHECK(world.assignments.size() == 1);
}

TEST_CASE("events the server will never take are dropped, others wait for it") {
  World world;
  world.loop->round();
  REQUIRE(world.spool->append(Json{{"kind", "update"}, {"at_ms", 1}}));
  int status = GENERATE(400, 413, 503, 404);
  world.routes["/device/v1/events"] = [&](const ScriptedRequest&) { return ScriptedAnswer{status, "", "{}", {}, {}}; };
  world.loop->round();
  CHECK(world.spool->counts()->events == (status == 400 || status == 413 ? 0 : 1));
}

TEST_CASE("the thread stops at once while it waits for the next check-in") {
  World world;
  world.loop->start();
  world.clock.until_waiting();
  CHECK(world.assignments.size() == 1);
  world.loop->stop();
}

TEST_CASE("the thread says that it comes to rest after each round, when the round's work is done") {
  World world;
  world.loop->start();
  world.clock.until_waiting();
  world.loop->stop();
  CHECK(world.assignments_at_rest == std::vector<std::size_t>{1});
}

TEST_CASE("uploads in trouble do not keep the device from its assignments") {
  World world;
  REQUIRE(world.spool->append(Json{{"kind", "update"}, {"at_ms", 1}}));
  world.routes["/device/v1/events"] = [](const ScriptedRequest&) { return ScriptedAnswer{500, "", "{}", {}, {}}; };
  for (int round = 0; round < 100 && world.asked("/device/v1/assignment") < 5; ++round)
    world.clock.advance(world.loop->round());
  CHECK(world.asked("/device/v1/assignment") == 5);
  CHECK(world.status.document()["connected"] == true);
  CHECK(world.spool->counts()->events == 1);
}
