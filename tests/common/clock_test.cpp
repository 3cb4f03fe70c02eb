// RFC 3339 in exactly one form, and waits that can be woken, stopped and simulated.
#include "common/clock.hpp"

#include "tests/support/sim_clock.hpp"

#include <cstdlib>
#include <thread>

using namespace ferry;
using namespace std::chrono_literals;

TEST_CASE("times are read and written in RFC 3339, whole seconds, UTC") {
  const std::pair<const char*, std::int64_t> table[] = {{"1970-01-01T00:00:00Z", 0},
                                                        {"2000-02-29T12:30:45Z", 951'827'445},
                                                        {"2026-11-23T08:12:52Z", 1'795'421'572},
                                                        {"2038-01-19T03:14:08Z", 2'147'483'648},
                                                        {"1969-12-31T23:59:59Z", -1},
                                                        {"9999-12-31T23:59:59Z", 253'402'300'799},
                                                        {"0001-01-01T00:00:00Z", -62'135'596'800}};
  for (const auto& [text, seconds] : table) {
    CAPTURE(text);
    CHECK(to_unix_ms(from_rfc3339(text).value()) == seconds * 1000);
    CHECK(to_rfc3339(from_unix_ms(seconds * 1000)) == text);
  }
  CHECK(to_rfc3339(from_unix_ms(1'999)) == "1970-01-01T00:00:01Z");
  CHECK(to_rfc3339(from_unix_ms(-1)) == "1969-12-31T23:59:59Z");  // down, not towards zero
}

TEST_CASE("the machine's clock knows its time zone, also across a change of the clocks") {
  const char* before = std::getenv("TZ");
  const std::string kept = before == nullptr ? "" : before;
  SystemClock clock;
  // POSIX rules, so that no zone file is needed: Central Europe.
  ::setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
  ::tzset();
  CHECK(clock.utc_offset_s(from_rfc3339("2026-11-25T12:00:00Z").value()) == 3600);
  CHECK(clock.utc_offset_s(from_rfc3339("2026-07-25T12:00:00Z").value()) == 7200);
  ::setenv("TZ", "UTC0", 1);
  ::tzset();
  CHECK(clock.utc_offset_s(from_rfc3339("2026-07-25T12:00:00Z").value()) == 0);
  before == nullptr ? ::unsetenv("TZ") : ::setenv("TZ", kept.c_str(), 1);
  ::tzset();
}

TEST_CASE("times in any other form are refused") {
  for (const char* text : {"",
                           "2026-11-23",
                           "2026-11-23T08:12:52",
                           "2026-11-23t08:12:52Z",
                           "2026-11-23T08:12:52z",
                           "2026-11-23 08:12:52Z",
                           "2026-11-23T08:12:52.0Z",
                           "2026-11-23T08:12:52+00:00",
                           "2026-11-23T08:12:60Z",
                           "2026-11-23T24:00:00Z",
                           "2026-11-23T08:60:00Z",
                           "2026-13-01T00:00:00Z",
                           "2026-00-01T00:00:00Z",
                           "2026-02-29T00:00:00Z",
                           "2026-11-31T00:00:00Z",
                           "2026-11-00T00:00:00Z",
                           "+026-11-23T08:12:52Z",
                           "2026-11-23T08:12:5 Z",
                           " 2026-11-23T08:12:52Z",
                           "2026-11-23T08:12:52Z\n"}) {
    CAPTURE(text);
    const auto read = from_rfc3339(text);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == Errc::bad_input);
    CHECK_THAT(read.error().context, Catch::Contains("YYYY-MM-DDTHH:MM:SSZ"));
  }
}

TEST_CASE("a sleeper sleeps until the clock has passed its limit") {
  test::SimClock clock;
  Sleeper sleeper(clock);
  std::atomic<int> result = -1;
  std::thread thread([&] { result = sleeper.sleep(24h) ? 1 : 0; });
  clock.until_waiting();
  clock.advance(24h - 1ms);
  CHECK(result == -1);
  clock.advance(1ms);
  thread.join();
  CHECK(result == 0);
}

TEST_CASE("a wake before or during the sleep ends it once") {
  test::SimClock clock;
  Sleeper sleeper(clock);
  sleeper.wake();
  CHECK(sleeper.sleep(1h));
  std::thread thread([&] {
    clock.until_waiting();
    sleeper.wake();
  });
  CHECK(sleeper.sleep(1h));
  thread.join();
  clock.advance_by_itself();
  CHECK_FALSE(sleeper.sleep(1h));  // the wake was used up
}

TEST_CASE("a stopped sleeper never sleeps again") {
  test::SimClock clock;
  Sleeper sleeper(clock);
  std::thread thread([&] {
    clock.until_waiting();
    sleeper.stop();
  });
  CHECK(sleeper.sleep(1h));
  thread.join();
  CHECK(sleeper.stopped());
  CHECK(sleeper.sleep(1h));
  CHECK(sleeper.sleep(1h));
}

TEST_CASE("the system's clock does not go back and waits no longer than asked") {
  SystemClock clock;
  const auto before = clock.monotonic();
  Sleeper sleeper(clock);
  CHECK_FALSE(sleeper.sleep(1ms));
  CHECK(clock.monotonic() - before >= 1ms);
  CHECK(clock.now() > from_rfc3339("2024-01-01T00:00:00Z").value());
}
