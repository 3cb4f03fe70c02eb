// The event spool: order, bounds, resending, and a spool that was lost while the server remembers its numbers.
#include "agent/event_spool.hpp"

#include "common/crypto.hpp"

using namespace ferry;
using namespace ferry::agent;

namespace {

struct World {
  std::unique_ptr<Database> database = open();
  std::unique_ptr<EventSpool> spool = open_spool();
  static std::unique_ptr<Database> open() {
    auto opened = open_sqlite(":memory:");
    if (!opened) FAIL(opened.error().context);
    return std::move(*opened);
  }
  std::unique_ptr<EventSpool> open_spool() {
    auto opened = EventSpool::open(*database);
    if (!opened) FAIL(opened.error().context);
    return std::move(*opened);
  }
  Json batch() {
    auto batch = spool->batch("ins-1");
    REQUIRE(batch);
    return batch->body.empty() ? Json::object({{"events", Json::array()}}) : Json::parse(batch->body);
  }
  std::vector<std::int64_t> pending() {
    std::vector<std::int64_t> seqs;
    Json document = batch();
    for (const auto& event : document["events"]) seqs.push_back(event["seq"].get<std::int64_t>());
    return seqs;
  }
};

Json event(int n) { return Json{{"kind", "update"}, {"at_ms", n}, {"n", n}}; }
using Seqs = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("events keep their order and numbers until the server applied them") {
  World world;
  for (int n = 0; n < 5; ++n) REQUIRE(world.spool->append(event(n)));
  CHECK(world.pending() == Seqs{1, 2, 3, 4, 5});
  Json batch = world.batch();
  CHECK(batch["format"] == "ferry.events/1");
  CHECK(batch["install"] == "ins-1");
  CHECK(batch["events"][4]["n"] == 4);
  REQUIRE(world.spool->acknowledge(3));
  CHECK(world.pending() == Seqs{4, 5});
  REQUIRE(world.spool->acknowledge(3));  // a repeated answer
  REQUIRE(world.spool->acknowledge(5));
  CHECK(world.pending().empty());
  REQUIRE(world.spool->append(event(6)));
  CHECK(world.pending() == Seqs{6});
  world.spool = world.open_spool();  // a restart
  REQUIRE(world.spool->append(event(7)));
  CHECK(world.pending() == Seqs{6, 7});
}

TEST_CASE("a report is spooled once per number, whatever restarts in between") {
  World world;
  CHECK(*world.spool->append_once("m", 1, event(1)));
  CHECK_FALSE(*world.spool->append_once("m", 1, event(1)));
  CHECK(*world.spool->append_once("other", 1, event(1)));
  world.spool = world.open_spool();
  CHECK_FALSE(*world.spool->append_once("m", 1, event(1)));
  CHECK(*world.spool->append_once("m", 2, event(2)));
  CHECK(*world.spool->highest_number("m") == 2);
  CHECK(*world.spool->highest_number("unknown") == 0);
  CHECK(world.pending() == Seqs{1, 2, 3});
}

TEST_CASE("a batch stays within 200 events and 256 KiB") {
  World world;
  SECTION("many small ones") {
    for (int n = 0; n < 250; ++n) REQUIRE(world.spool->append(event(n)));
    CHECK(world.pending().size() == 200);
  }
  SECTION("few large ones") {
    for (int n = 0; n < 10; ++n) {
      Json large = event(n);
      large["detail"] = {{"message", std::string(60'000, 'x')}};
      REQUIRE(world.spool->append(large));
    }
    auto batch = world.spool->batch("ins-1");
    CHECK(batch->body.size() <= event_batch_bytes_max);
    CHECK(batch->last_seq == 4);
  }
  SECTION("one too large to keep") {
    Json huge = event(1);
    huge["detail"] = std::string(event_bytes_max, 'x');
    CHECK(world.spool->append(huge).error().code == Errc::bad_input);
    CHECK(world.pending().empty());
  }
}

TEST_CASE("the oldest are dropped beyond the bound, and counted") {
  World world;
  auto filled = world.database->transaction([&](Database&) -> Result<> {
    for (int n = 0; n < events_spooled_max + 7; ++n) TRY_VOID(world.spool->append(event(n)));
    return {};
  });
  REQUIRE(filled);
  auto counts = world.spool->counts();
  CHECK(counts->events == events_spooled_max);
  CHECK(counts->dropped == 7);
  CHECK(world.pending().front() == 8);
}

TEST_CASE("a server that remembers higher numbers than this spool ever gave makes it renumber, and lose nothing") {
  World world;
  for (int n = 1; n <= 3; ++n) REQUIRE(world.spool->append(event(n)));
  REQUIRE(world.spool->acknowledge(500));  // it ignored 1 to 3: an earlier spool got to 500
  CHECK(world.pending() == Seqs{501, 502, 503});
  CHECK(world.batch()["events"][0]["n"] == 1);
  CHECK(world.batch()["events"][2]["n"] == 3);
  REQUIRE(world.spool->append(event(4)));
  CHECK(world.pending() == Seqs{501, 502, 503, 504});
  REQUIRE(world.spool->acknowledge(504));
  CHECK(world.pending().empty());
}
