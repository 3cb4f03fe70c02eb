#include "server/store/telemetry.hpp"

#include "telemetry/otlp.hpp"
#include "tests/server/store/store_fixture.hpp"

#include <random>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using telemetry::ReleaseWindow;
using telemetry::WindowReport;

namespace {

constexpr std::int64_t now_ms = 1'790'000'000'000 / minute_ms * minute_ms + 30'000;

struct World {
  std::unique_ptr<Database> database = memory_database();
  TelemetryStore store{*database};

  UploadVerdict apply(const std::string& device, const WindowReport& report, std::int64_t at_ms = now_ms) {
    return need(store.apply(device, report, at_ms));
  }
  // Everything of the model, merged.
  ReleaseWindow sum(const std::string& model = "m") {
    ReleaseWindow total;
    for (const MinuteRow& row : need(store.minutes(model, 0, now_ms * 2))) total.merge(row.window);
    return total;
  }
};

WindowReport report(std::uint64_t seq, int inferences = 10, std::int64_t end_ms = now_ms,
                    const std::string& version = "1.0.0") {
  WindowReport made;
  made.install = "in-1";
  made.boot = "bo-1";
  made.seq = seq;
  made.agent_version = "0.1.0";
  made.start_unix_ms = end_ms - 60'000;
  made.end_unix_ms = end_ms;
  ReleaseWindow window;
  window.key = {"m", version, std::string(64, 'a'), "b", "ro-1", "canary"};
  for (int i = 0; i < inferences; ++i) window.duration.record(0.001 * static_cast<double>(seq + 1));
  window.classes = {static_cast<std::uint64_t>(inferences), 0};
  window.errors = {{"timeout", 1}};
  window.labels = {{{"audit", true}, 3}, {{"user", false}, 1}};
  window.confidence = telemetry::BoundedHistogram({0.5, 0.9});
  window.confidence.record(0.7);
  made.releases.push_back(window);
  return made;
}

}  // namespace

TEST_CASE("windows merge into the minute of their end and into the device's total") {
  World world;
  CHECK(world.apply("dev-1", report(1)) == UploadVerdict::applied);
  CHECK(world.apply("dev-1", report(2, 5)) == UploadVerdict::applied);
  CHECK(world.apply("dev-2", report(1, 7)) == UploadVerdict::applied);
  const auto minutes = need(world.store.minutes("m", 0, now_ms * 2));
  REQUIRE(minutes.size() == 1);
  CHECK(minutes[0].minute_ms == now_ms / minute_ms * minute_ms);
  const ReleaseWindow& window = minutes[0].window;
  CHECK(window.duration.count() == 22);
  CHECK(window.classes == std::vector<std::uint64_t>{22, 0});
  CHECK(window.errors == std::map<std::string, std::uint64_t>{{"timeout", 3}});
  CHECK(window.labels.at({"audit", true}) == 9);
  CHECK(window.confidence.total() == 3);
  CHECK(window.key.version == "1.0.0");
  const auto totals = need(world.store.totals("dev-1"));
  REQUIRE(totals.size() == 1);
  CHECK(totals[0].window.duration.count() == 15);
  CHECK(totals[0].last_window_ms == now_ms);
  CHECK(need(world.store.totals("dev-9")).empty());
}

TEST_CASE("every window counts exactly once, whatever is repeated and in whatever order") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    World world;
    std::mt19937_64 dice(seed);
    std::vector<std::pair<std::string, std::uint64_t>> uploads;
    for (const char* device : {"dev-1", "dev-2"})
      for (std::uint64_t seq = 1; seq <= 30; ++seq)
        for (std::uint64_t times = 1 + dice() % 3; times > 0; --times) uploads.emplace_back(device, seq);
    std::shuffle(uploads.begin(), uploads.end(), dice);
    std::size_t applied = 0;
    for (const auto& [device, seq] : uploads)
      applied += world.apply(device, report(seq, static_cast<int>(seq))) == UploadVerdict::applied ? 1 : 0;
    INFO("seed " << seed);
    CHECK(applied == 60);
    CHECK(world.sum().duration.count() == 2 * 30 * 31 / 2);
    CHECK(world.sum().error_count() == 60);
    CHECK(need(world.store.totals("dev-1"))[0].window.duration.count() == 30 * 31 / 2);
  }
}

TEST_CASE("another boot or install counts from one again, and what is too old is told apart") {
  World world;
  CHECK(world.apply("dev-1", report(100)) == UploadVerdict::applied);
  CHECK(world.apply("dev-1", report(100)) == UploadVerdict::repeat);
  CHECK(world.apply("dev-1", report(37)) == UploadVerdict::applied);  // inside the window of 64
  CHECK(world.apply("dev-1", report(36)) == UploadVerdict::too_late);
  WindowReport booted = report(1);
  booted.boot = "bo-2";
  CHECK(world.apply("dev-1", booted) == UploadVerdict::applied);
  booted.install = "in-2";
  CHECK(world.apply("dev-1", booted) == UploadVerdict::applied);
  CHECK(world.apply("dev-1", booted) == UploadVerdict::repeat);
  CHECK(world.sum().duration.count() == 40);
}

TEST_CASE("sequences survive a restart, also those beyond 32 bits") {
  const ferry::test::TempDir dir;
  const std::uint64_t large = (std::uint64_t{1} << 53) - 1;
  {
    auto database = open_migrated(dir / "t.sqlite");
    TelemetryStore store(*database);
    for (std::uint64_t back = 0; back < 64; ++back)
      CHECK(need(store.apply("dev-1", report(large - back), now_ms)) == UploadVerdict::applied);
  }
  auto database = open_migrated(dir / "t.sqlite");
  TelemetryStore store(*database);
  for (std::uint64_t back = 0; back < 64; ++back)
    CHECK(need(store.apply("dev-1", report(large - back), now_ms)) == UploadVerdict::repeat);
  CHECK(need(store.apply("dev-1", report(large - 64), now_ms)) == UploadVerdict::too_late);
}

TEST_CASE("a window whose clock is wrong counts as of now; a little ahead is believed") {
  World world;
  world.apply("dev-1", report(1, 1, now_ms + telemetry_ahead_ms_max + 1));
  world.apply("dev-1", report(2, 1, now_ms - telemetry_keep_ms - 1));
  world.apply("dev-1", report(3, 1, 0));
  CHECK(need(world.store.minutes("m", now_ms - minute_ms, now_ms + 1)).front().window.duration.count() == 3);
  world.apply("dev-1", report(4, 1, now_ms + telemetry_ahead_ms_max));
  world.apply("dev-1", report(5, 1, now_ms - 3'600'000));
  CHECK(need(world.store.minutes("m", 0, now_ms * 2)).size() == 3);
}

TEST_CASE("minutes are read by model and time, and forgotten when they are old") {
  World world;
  world.apply("dev-1", report(1, 1, now_ms - 10 * minute_ms));
  world.apply("dev-1", report(2, 1, now_ms - 5 * minute_ms, "1.1.0"));
  world.apply("dev-1", report(3, 1, now_ms));
  CHECK(need(world.store.minutes("m", now_ms - 6 * minute_ms, now_ms)).size() == 2);
  CHECK(need(world.store.minutes("other", 0, now_ms * 2)).empty());
  const auto all = need(world.store.minutes("m", 0, now_ms * 2));
  REQUIRE(all.size() == 3);
  CHECK(all[0].window.key.version == "1.0.0");
  CHECK(all[0].minute_ms < all[1].minute_ms);
  CHECK(all[2].window.key.version == "1.1.0");
  need(world.store.forget_before(now_ms - 7 * minute_ms));
  CHECK(need(world.store.minutes("m", 0, now_ms * 2)).size() == 2);
}

TEST_CASE("a report without a release, or with an empty one, is acknowledged and stores nothing") {
  World world;
  WindowReport none = report(1);
  none.releases.clear();
  CHECK(world.apply("dev-1", none) == UploadVerdict::applied);
  CHECK(world.apply("dev-1", none) == UploadVerdict::repeat);
  WindowReport empty = report(2);
  empty.releases[0] = ReleaseWindow{.key = empty.releases[0].key};
  CHECK(world.apply("dev-1", empty) == UploadVerdict::applied);
  CHECK(need(world.store.minutes("m", 0, now_ms * 2)).empty());
}

TEST_CASE("totals keep the newest releases of a device") {
  World world;
  for (std::int64_t i = 0; i < device_totals_max + 3; ++i)
    world.apply("dev-1", report(static_cast<std::uint64_t>(i + 1), 1, now_ms - 3'600'000 + i * 1000,
                                "1.0." + std::to_string(i)));
  const auto totals = need(world.store.totals("dev-1"));
  CHECK(totals.size() == static_cast<std::size_t>(device_totals_max));
  CHECK(totals.front().window.key.version == "1.0.66");
  CHECK(totals.back().window.key.version == "1.0.3");
}

TEST_CASE("the error types of many devices are folded before they would break the minute") {
  World world;
  for (int device = 0; device < 4; ++device) {
    WindowReport many = report(1);
    many.releases[0].errors.clear();
    for (std::size_t i = 0; i < telemetry::error_types_max; ++i)
      many.releases[0].errors["e" + std::to_string(device) + "-" + std::to_string(i)] = 2;
    CHECK(world.apply("dev-" + std::to_string(device), many) == UploadVerdict::applied);
  }
  const ReleaseWindow sum = world.sum();
  CHECK(sum.errors.size() == telemetry::error_types_max);
  CHECK(sum.error_count() == 4 * 2 * telemetry::error_types_max);
  CHECK(sum.errors.at("other") > 0);
}

TEST_CASE("counts that no device can have are refused, and the minute stays readable") {
  World world;
  world.apply("dev-1", report(1));
  const auto refused = [&](const WindowReport& bad) {
    auto result = world.store.apply("dev-2", bad, now_ms);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::bad_input);
    CHECK(world.sum().duration.count() == 10);
  };
  WindowReport classes = report(1);
  classes.releases[0].classes = {window_count_max + 1};
  refused(classes);
  WindowReport errors = report(1);
  errors.releases[0].errors["x"] = window_count_max + 1;
  refused(errors);
  WindowReport labels = report(1);
  labels.releases[0].labels[{"user", true}] = window_count_max + 1;
  refused(labels);
  // Fits one upload each, but not one row.
  WindowReport wide = report(1), wider = report(1);
  wide.releases[0].classes.assign(telemetry::classes_max / 2, 1);
  wide.releases[0].confidence = telemetry::BoundedHistogram();
  std::vector<double> bounds(9'000);
  for (std::size_t i = 0; i < bounds.size(); ++i) bounds[i] = static_cast<double>(i);
  wider.releases[0].confidence = telemetry::BoundedHistogram();
  wider.releases[0].mnlp = telemetry::BoundedHistogram(bounds);
  wider.releases[0].mnlp.record(7);
  wider.releases[0].key.version = wide.releases[0].key.version = "2.0.0";
  WindowReport more = wider;
  more.releases[0].mnlp = telemetry::BoundedHistogram();
  more.releases[0].confidence = telemetry::BoundedHistogram(bounds);
  more.releases[0].confidence.record(7);
  world.apply("dev-3", wide);
  CHECK(world.apply("dev-4", wider) == UploadVerdict::applied);
  auto result = world.store.apply("dev-5", more, now_ms);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::bad_input);
  CHECK(need(world.store.minutes("m", 0, now_ms * 2)).size() == 2);
  // The refusal took nothing of the sequence: a corrected report with its number is applied.
  CHECK(world.apply("dev-5", report(1)) == UploadVerdict::applied);
}

TEST_CASE("what is applied together and does not commit never happened, in memory too") {
  World world;
  CHECK(world.apply("dev-1", report(1)) == UploadVerdict::applied);
  const auto failed = world.store.together([&]() -> Result<> {
    CHECK(need(world.store.apply("dev-1", report(2), now_ms)) == UploadVerdict::applied);
    CHECK(need(world.store.apply("dev-2", report(1), now_ms)) == UploadVerdict::applied);
    CHECK(need(world.store.apply("dev-2", report(1), now_ms)) == UploadVerdict::repeat);
    return Error{Errc::io, "the disk is gone"};
  });
  REQUIRE_FALSE(failed);
  CHECK(failed.error().context == "the disk is gone");
  CHECK(world.sum().duration.count() == 10);
  CHECK(need(world.store.totals("dev-2")).empty());
  const auto stored = world.store.together([&]() -> Result<> {
    CHECK(need(world.store.apply("dev-1", report(2), now_ms)) == UploadVerdict::applied);
    CHECK(need(world.store.apply("dev-2", report(1), now_ms)) == UploadVerdict::applied);
    return {};
  });
  REQUIRE(stored);
  CHECK(world.sum().duration.count() == 30);
  CHECK(need(world.store.totals("dev-1")).front().window.duration.count() == 20);
}

TEST_CASE("a device with many boots and releases goes on from what is remembered of each") {
  World world;
  for (int round = 1; round <= 2; ++round)
    for (int boot = 0; boot < static_cast<int>(boots_per_device_max); ++boot) {
      WindowReport made = report(static_cast<std::uint64_t>(round), 1, now_ms, "1.0." + std::to_string(boot));
      made.boot = "bo-" + std::to_string(boot);
      CHECK(world.apply("dev-1", made) == UploadVerdict::applied);
      CHECK(world.apply("dev-1", made) == UploadVerdict::repeat);
    }
  const auto totals = need(world.store.totals("dev-1"));
  REQUIRE(totals.size() == boots_per_device_max);
  for (const DeviceTotal& total : totals) CHECK(total.window.duration.count() == 2);
}
