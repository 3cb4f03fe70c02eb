#include "server/live/event_hub.hpp"

#include "tests/support/sim_clock.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

using namespace ferry;
using namespace ferry::server;

namespace {

struct World {
  ferry::test::SimClock clock;
  std::shared_ptr<EventHub> hub = std::make_shared<EventHub>(clock);
  std::uint64_t cursor = hub->newest();

  std::string next(const std::set<std::string>& topics = {}) { return hub->next(cursor, topics); }
  http::Response open(const std::string& topics = "", const std::string& last_id = "") {
    http::Request request;
    request.method = "GET";
    if (!topics.empty()) request.query["topics"] = topics;
    if (!last_id.empty()) request.headers["last-event-id"] = last_id;
    return EventHub::open(hub, request);
  }
};

// The next pieces of a stream, in real time: each is at most a step away.
std::vector<std::string> pieces(const http::Response& response, int count) {
  boost::asio::io_context io;
  std::vector<std::string> got;
  for (int i = 0; i < count; ++i) {
    auto piece = boost::asio::co_spawn(io, response.stream(), boost::asio::use_future);
    io.restart();
    io.run();
    got.push_back(piece.get().value_or("the end"));
  }
  return got;
}

std::size_t hints_in(const std::string& piece) {
  std::size_t count = 0;
  for (std::size_t at = piece.find("\ndata: "); at != std::string::npos; at = piece.find("\ndata: ", at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("a hint is one event that names its topic, kind and object") {
  World world;
  CHECK(world.next().empty());
  world.hub->publish("rollout:ro-1", "changed", "ro-1");
  const std::string piece = world.next();
  CHECK_THAT(piece, Catch::StartsWith("id: " + std::to_string(world.hub->newest()) + "\n"));
  CHECK_THAT(piece, Catch::Contains("event: rollout\n"));
  CHECK_THAT(piece, Catch::Contains(R"(data: {"id":"ro-1","kind":"changed","topic":"rollout:ro-1"})"));
  CHECK_THAT(piece, Catch::EndsWith("\n\n"));
  CHECK(world.next().empty());
}

TEST_CASE("what happens to one object between two looks is one hint, the latest") {
  World world;
  for (int i = 0; i < 100; ++i) {
    world.hub->publish("devices", "changed", "dev-1");
    world.hub->publish("devices", "changed", "dev-2");
  }
  world.hub->publish("devices", "removed", "dev-1");
  const std::string piece = world.next();
  CHECK(hints_in(piece) == 2);
  CHECK_THAT(piece, Catch::Contains("removed"));
  CHECK(piece.find("dev-2") < piece.find("dev-1"));  // in the order of their latest
}

TEST_CASE("a stream hears its topics alone, and is not told again what it passed over") {
  World world;
  world.hub->publish("devices", "changed", "dev-1");
  CHECK(world.next({"rollouts"}).empty());
  world.hub->publish("rollouts", "changed", "ro-1");
  CHECK(hints_in(world.next({"rollouts", "overview"})) == 1);
  CHECK(world.next().empty());
}

TEST_CASE("a stream that comes back hears what it missed") {
  World world;
  world.hub->publish("devices", "changed", "dev-1");
  std::uint64_t seen = world.hub->newest();
  world.hub->publish("devices", "changed", "dev-2");
  world.hub->publish("overview", "changed", "");
  const std::string missed = world.hub->next(seen, {});
  CHECK(hints_in(missed) == 2);
  CHECK_THAT(missed, !Catch::Contains("dev-1"));
}

TEST_CASE("a stream that missed more than is kept, or comes from another life, is told to read everything again") {
  World world;
  for (std::size_t i = 0; i < hints_kept_max; ++i) world.hub->publish("devices", "changed", "dev-1");
  CHECK(hints_in(world.next()) == 1);  // just about kept
  world.cursor -= hints_kept_max;
  CHECK(hints_in(world.next()) == 1);
  world.cursor -= hints_kept_max + 1;
  CHECK_THAT(world.next(), Catch::Contains("event: reset"));
  CHECK(world.cursor == world.hub->newest());
  for (std::uint64_t strange : {std::uint64_t{0}, std::uint64_t{1}, world.hub->newest() + 1, ~std::uint64_t{0}}) {
    world.cursor = strange;
    CHECK_THAT(world.next(), Catch::Contains("event: reset"));
    CHECK(world.next().empty());
  }
}

TEST_CASE("numbers go on rising over a restart") {
  World world;
  for (int i = 0; i < 500; ++i) world.hub->publish("devices", "changed", "dev-1");
  const std::uint64_t before = world.hub->newest();
  world.clock.advance(Duration{1000});
  EventHub reborn(world.clock);
  CHECK(reborn.newest() > before);
  std::uint64_t cursor = before;
  CHECK_THAT(reborn.next(cursor, {}), Catch::Contains("event: reset"));
}

TEST_CASE("topics that do not exist are refused by name") {
  World world;
  for (const char* topics : {"overview", "devices,releases,rollouts", "device:dev-1,rollout:ro-1", ""})
    CHECK(world.open(topics).status == 200);
  for (const char* topics :
       {"everything", "device", "device:", "rollout:", "devices:dev-1", ",overview", "overview,nonsense", "Device:x"}) {
    const http::Response refused = world.open(topics);
    INFO(topics);
    CHECK(refused.status == 400);
    CHECK_THAT(refused.body, Catch::Contains("topics"));
  }
  std::string many = "device:0";
  for (std::size_t i = 1; i <= topics_per_stream_max; ++i) many += ",device:" + std::to_string(i);
  CHECK(world.open(many).status == 400);
  CHECK(world.open("device:" + std::string(200, 'x')).status == 400);
}

TEST_CASE("a stream begins with its retry time, then tells what happens") {
  World world;
  const http::Response response = world.open("overview");
  CHECK(response.headers.at("Content-Type") == "text/event-stream");
  CHECK(response.headers.at("Cache-Control") == "no-store");
  world.hub->publish("overview", "changed", "");
  world.hub->publish("devices", "changed", "dev-1");
  const auto got = pieces(response, 2);
  CHECK(got[0] == "retry: 2000\n\n");
  CHECK(hints_in(got[1]) == 1);
}

TEST_CASE("Last-Event-ID replays; one that makes no sense resets") {
  World world;
  world.hub->publish("overview", "changed", "a");
  const std::string seen = std::to_string(world.hub->newest());
  world.hub->publish("overview", "changed", "b");
  CHECK_THAT(pieces(world.open("", seen), 2)[1], Catch::Contains("\"b\"") && !Catch::Contains("\"a\""));
  for (const char* nonsense : {"x", "-5", "1e9", "99999999999999999999999", "12 "})
    CHECK_THAT(pieces(world.open("", nonsense), 2)[1], Catch::Contains("event: reset"));
  http::Request since;
  since.query["since"] = seen;
  CHECK_THAT(pieces(EventHub::open(world.hub, since), 2)[1], Catch::Contains("\"b\""));
}

TEST_CASE("streams are counted, bounded, and give their place back; one that is open keeps the hub alive") {
  World world;
  {
    std::vector<http::Response> open;
    for (int i = 0; i < streams_max; ++i) open.push_back(world.open());
    CHECK(world.hub->streams() == streams_max);
    const http::Response busy = world.open();
    CHECK(busy.status == 503);
    CHECK(busy.headers.contains("Retry-After"));
    CHECK(world.hub->streams() == streams_max);
  }
  CHECK(world.hub->streams() == 0);
  http::Response last = world.open();
  std::weak_ptr<EventHub> watched = world.hub;
  world.hub.reset();
  CHECK_FALSE(watched.expired());
  last = {};
  CHECK(watched.expired());
}

TEST_CASE("many publish and many read at once, and nobody misses the last hint") {
  World world;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) world.hub->publish("devices", "changed", "dev-" + std::to_string(t));
    });
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      std::uint64_t cursor = world.cursor;
      for (int i = 0; i < 500; ++i) (void)world.hub->next(cursor, {});
    });
  for (std::thread& thread : threads) thread.join();
  std::uint64_t cursor = world.hub->newest() - 4000 + 1;
  CHECK(hints_in(world.hub->next(cursor, {})) >= 1);
  CHECK(world.hub->newest() - world.cursor == 8000);
}
