#include "telemetry/spool.hpp"
#include "telemetry/otlp.hpp"

#include <random>
#include <set>

using namespace ferry::telemetry;

namespace {

WindowReport report_with(std::uint64_t inferences, const std::string& boot = "bo-1") {
  WindowReport report{"in-1", boot, 0, "0.1.0", 1'000, 2'000, 0, {}};
  ReleaseWindow window;
  window.key = {"m", "1.0.0", std::string(64, 'c'), "a", "", "none"};
  for (std::uint64_t i = 0; i < inferences; ++i) window.duration.record(0.001);
  report.releases.push_back(window);
  return report;
}

WindowReport decoded(const Spool::Pending& pending) { return decode_otlp(gunzip(pending.upload).value()).value(); }

}  // namespace

TEST_CASE("windows leave the spool in order, numbered from 1 within their boot") {
  auto database = ferry::open_sqlite(":memory:").value();
  auto spool = Spool::open(*database, {}).value();
  REQUIRE(spool.add(report_with(1)));
  REQUIRE(spool.add(report_with(2)));
  REQUIRE(spool.add(report_with(3, "bo-2")));
  std::vector<std::pair<std::string, std::uint64_t>> seen;
  while (auto pending = spool.oldest().value()) {
    const WindowReport report = decoded(*pending);
    seen.emplace_back(report.boot, report.seq);
    REQUIRE(spool.remove(pending->id));
  }
  CHECK(seen == std::vector<std::pair<std::string, std::uint64_t>>{{"bo-1", 1}, {"bo-1", 2}, {"bo-2", 1}});
}

TEST_CASE("a full spool makes longer windows first: nothing is lost, and the oldest stays as it may have been sent") {
  auto database = ferry::open_sqlite(":memory:").value();
  auto spool = Spool::open(*database, {.windows_max = 3}).value();
  for (std::uint64_t i = 1; i <= 6; ++i) REQUIRE(spool.add(report_with(i)));
  CHECK(spool.counts()->windows == 3);
  CHECK(spool.counts()->dropped == 0);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> seen;  // seq and inferences
  while (auto pending = spool.oldest().value()) {
    const WindowReport report = decoded(*pending);
    seen.emplace_back(report.seq, report.inference_count());
    REQUIRE(spool.remove(pending->id));
  }
  CHECK(seen == std::vector<std::pair<std::uint64_t, std::uint64_t>>{{1, 1}, {5, 2 + 3 + 4 + 5}, {6, 6}});
}

TEST_CASE("windows of different boots, or that would span more than a day, are not merged: the second oldest goes") {
  auto database = ferry::open_sqlite(":memory:").value();
  auto spool = Spool::open(*database, {.windows_max = 3}).value();
  SECTION("boots") {
    for (std::uint64_t i = 1; i <= 5; ++i) REQUIRE(spool.add(report_with(i, "bo-" + std::to_string(i))));
  }
  SECTION("a day") {
    for (std::uint64_t i = 1; i <= 5; ++i) {
      WindowReport report = report_with(i);
      report.start_unix_ms = std::int64_t(i) * merged_window_ms_max;
      report.end_unix_ms = report.start_unix_ms + 60'000;
      REQUIRE(spool.add(report));
    }
  }
  CHECK(spool.counts()->windows == 3);
  CHECK(spool.counts()->dropped == 2);
  CHECK(spool.counts()->dropped_inferences == 2 + 3);
  CHECK(decoded(*spool.oldest().value()).inference_count() == 1);
  // Each loss is told once, also when the window that was to tell it is lost itself.
  REQUIRE(spool.add(report_with(6, "bo-9")));
  std::uint64_t told = 0, told_inferences = 0;
  for (int more = 0; more < 2; ++more) {
    while (auto pending = spool.oldest().value()) {
      told += decoded(*pending).dropped;
      told_inferences += decoded(*pending).dropped_inferences;
      REQUIRE(spool.remove(pending->id));
    }
    REQUIRE(spool.add(report_with(1, "bo-10")));
  }
  CHECK(told == spool.counts()->dropped);
  CHECK(told_inferences == spool.counts()->dropped_inferences);
}

TEST_CASE("a window that was to be a part of the newest one is, unless that may have been sent") {
  auto database = ferry::open_sqlite(":memory:").value();
  auto spool = Spool::open(*database, {}).value();
  for (std::uint64_t i = 1; i <= 4; ++i) REQUIRE(spool.add(report_with(i), true));
  CHECK(spool.counts()->windows == 2);
  REQUIRE(spool.remove(spool.oldest().value()->id));
  const WindowReport report = decoded(*spool.oldest().value());
  CHECK(report.inference_count() == 2 + 3 + 4);
  CHECK(report.seq == 4);
  REQUIRE(spool.add(report_with(9, "bo-2"), true));
  CHECK(spool.counts()->windows == 2);
}

TEST_CASE("what is older than the age limit is dropped and counted, all but the oldest window") {
  auto database = ferry::open_sqlite(":memory:").value();
  auto spool = Spool::open(*database, {.age_ms_max = 10'000}).value();
  for (std::int64_t at : {1'000, 2'000, 3'000, 12'500}) {
    WindowReport report = report_with(1);
    report.start_unix_ms = at - 500;
    report.end_unix_ms = at;
    REQUIRE(spool.add(report));
  }
  CHECK(spool.counts()->windows == 3);
  CHECK(spool.counts()->dropped == 1);
  CHECK(decoded(*spool.oldest().value()).end_unix_ms == 1'000);
}

TEST_CASE("a window that the receiver refuses for good counts as dropped, one that it takes does not") {
  auto database = ferry::open_sqlite(":memory:").value();
  auto spool = Spool::open(*database, {}).value();
  REQUIRE(spool.add(report_with(3)));
  REQUIRE(spool.add(report_with(4)));
  REQUIRE(spool.refuse(spool.oldest().value()->id));
  REQUIRE(spool.remove(spool.oldest().value()->id, {123, 456}));
  CHECK(spool.counts()->dropped == 1);
  CHECK(spool.counts()->dropped_inferences == 3);
  CHECK(spool.budget().value() == ByteBudget::State{123, 456});
}

TEST_CASE("a spool of an older agent is read on: what waits in it goes out as it is") {
  auto database = ferry::open_sqlite(":memory:").value();
  REQUIRE(ferry::execute(*database,
                         "CREATE TABLE window_spool (id INTEGER PRIMARY KEY AUTOINCREMENT, bytes INTEGER NOT NULL, "
                         "upload BLOB NOT NULL)"));
  WindowReport old = report_with(7, "bo-0");
  old.seq = 3;
  ferry::Blob upload{gzip(encode_otlp(old))};
  REQUIRE(ferry::execute(*database, "INSERT INTO window_spool (bytes, upload) VALUES (100, $1)", {upload}));
  auto spool = Spool::open(*database, {.windows_max = 2}).value();
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(spool.add(report_with(i)));
  CHECK(decoded(*spool.oldest().value()) == old);
  CHECK(spool.counts()->dropped == 0);
}

TEST_CASE("the byte budget holds whatever is added") {
  auto database = ferry::open_sqlite(":memory:").value();
  auto spool = Spool::open(*database, {.bytes_max = 2'000, .windows_max = 1'000}).value();
  for (int i = 0; i < 50; ++i) REQUIRE(spool.add(report_with(100)));
  CHECK(spool.counts()->bytes <= 2'000);
  CHECK(spool.counts()->windows > 0);
}

TEST_CASE("for a receiver of totals each upload holds everything since the start") {
  auto database = ferry::open_sqlite(":memory:").value();
  auto spool = Spool::open(*database, {}, {"https://collector/v1/metrics", Temporality::cumulative}).value();
  REQUIRE(spool.add(report_with(2)));
  REQUIRE(spool.add(report_with(3)));
  REQUIRE(spool.remove(spool.oldest().value()->id));
  WindowReport sum = report_with(5);
  const std::string expected = encode_otlp(sum, Temporality::cumulative, ReleaseNamed::by_point);
  CHECK(gunzip(spool.oldest().value()->upload).value() == expected);
}

TEST_CASE("what waits for one receiver is not sent to another: it is dropped and counted") {
  auto database = ferry::open_sqlite(":memory:").value();
  REQUIRE(Spool::open(*database, {}).value().add(report_with(1)));
  const WindowReceiver collector{"https://collector/v1/metrics", Temporality::cumulative};
  {
    auto spool = Spool::open(*database, {}, collector).value();
    CHECK(spool.counts()->windows == 0);
    CHECK(spool.counts()->dropped == 1);
    REQUIRE(spool.add(report_with(1)));
  }
  SECTION("the same receiver after a restart gets what waits for it") {
    CHECK(Spool::open(*database, {}, collector).value().counts()->windows == 1);
  }
  SECTION("and the update server, when it is the receiver again, is told how many are missing") {
    auto spool = Spool::open(*database, {}).value();
    CHECK(spool.counts()->windows == 0);
    REQUIRE(spool.add(report_with(1)));
    CHECK(decoded(*spool.oldest().value()).dropped >= 1);
  }
}
