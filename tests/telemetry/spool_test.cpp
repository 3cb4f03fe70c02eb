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

TEST_CASE("a full spool drops the oldest windows, counts them and tells the server with the next one") {
  auto database = ferry::open_sqlite(":memory:").value();
  auto spool = Spool::open(*database, {.bytes_max = 1'000'000, .windows_max = 3}).value();
  for (std::uint64_t i = 1; i <= 5; ++i) REQUIRE(spool.add(report_with(i)));
  CHECK(spool.counts()->windows == 3);
  CHECK(spool.counts()->dropped == 2);
  CHECK(decoded(*spool.oldest().value()).seq == 3);
  REQUIRE(spool.add(report_with(6)));
  std::uint64_t told = 0;
  while (auto pending = spool.oldest().value()) {
    told += decoded(*pending).dropped;
    REQUIRE(spool.remove(pending->id));
  }
  CHECK(told >= 2);
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
  const std::string expected = encode_otlp(sum, Temporality::cumulative);
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
