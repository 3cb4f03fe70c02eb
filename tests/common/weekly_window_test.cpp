#include "common/weekly_window.hpp"

#include "common/clock.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace ferry;

namespace {

WeeklyWindow window(const char* text) { return *parse_weekly_window(*parse_json(text)); }
std::int64_t at(const char* time) { return to_unix_ms(*from_rfc3339(time)); }

}  // namespace

TEST_CASE("a daily window is open from its first minute to the last before its end") {
  const WeeklyWindow night = window(R"({"from": "01:00", "to": "05:00"})");
  CHECK_FALSE(is_open(night, at("2026-11-25T00:59:59Z"), 0));
  CHECK(is_open(night, at("2026-11-25T01:00:00Z"), 0));
  CHECK(is_open(night, at("2026-11-25T04:59:59Z"), 0));
  CHECK_FALSE(is_open(night, at("2026-11-25T05:00:00Z"), 0));
  CHECK(cycle_s(night) == 86'400);
}

TEST_CASE("a window is judged in the device's local time") {
  const WeeklyWindow night = window(R"({"from": "01:00", "to": "05:00"})");
  CHECK(is_open(night, at("2026-11-25T00:30:00Z"), 3600));             // 01:30 in Oslo
  CHECK_FALSE(is_open(night, at("2026-11-25T04:30:00Z"), 3600));       // 05:30
  CHECK(is_open(night, at("2026-11-25T08:00:00Z"), -5 * 3600));        // 03:00 in New York
  CHECK(is_open(night, at("2026-11-24T20:00:00Z"), 5 * 3600 + 1800));  // 01:30 in Delhi
}

TEST_CASE("a window past midnight belongs to the day on which it began") {
  // 2026-11-25 is a Wednesday.
  const WeeklyWindow late = window(R"({"days": ["wed"], "from": "22:00", "to": "02:00"})");
  CHECK_FALSE(is_open(late, at("2026-11-25T01:00:00Z"), 0));  // Tuesday's night
  CHECK_FALSE(is_open(late, at("2026-11-25T21:59:00Z"), 0));
  CHECK(is_open(late, at("2026-11-25T22:00:00Z"), 0));
  CHECK(is_open(late, at("2026-11-26T01:59:00Z"), 0));
  CHECK_FALSE(is_open(late, at("2026-11-26T02:00:00Z"), 0));
  CHECK_FALSE(is_open(late, at("2026-11-26T23:00:00Z"), 0));
  CHECK(cycle_s(late) == 7 * 86'400);
}

TEST_CASE("each day of the week is the right one, also before 1970") {
  const char* days[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
  for (int day = 0; day < 7; ++day)
    for (int other = 0; other < 7; ++other) {
      const WeeklyWindow one =
          window((R"({"days": [")" + std::string(days[day]) + R"("], "from": "00:00", "to": "23:59"})").c_str());
      INFO(days[day] << " against " << days[other]);
      CHECK(is_open(one, at("2026-11-23T12:00:00Z") + other * 86'400'000LL, 0) == (day == other));     // a Monday
      CHECK(is_open(one, -3LL * 86'400'000 + 3'600'000 + other * 86'400'000LL, 0) == (day == other));  // 1969-12-29
    }
}

TEST_CASE("a window that makes no sense is refused with the field and what was expected") {
  const auto refusal = [](const char* text) { return parse_weekly_window(*parse_json(text)).error().context; };
  CHECK_THAT(refusal("[]"), Catch::Contains("expected an object"));
  CHECK_THAT(refusal(R"({"from": "1:00", "to": "05:00"})"), Catch::Contains("from") && Catch::Contains("01:30"));
  CHECK_THAT(refusal(R"({"from": "24:00", "to": "05:00"})"), Catch::Contains("from"));
  CHECK_THAT(refusal(R"({"from": "01:00", "to": "05:60"})"), Catch::Contains("to"));
  CHECK_THAT(refusal(R"({"from": "01:00"})"), Catch::Contains("to"));
  CHECK_THAT(refusal(R"({"from": "01:00", "to": "01:00"})"), Catch::Contains("leave the window out"));
  CHECK_THAT(refusal(R"({"days": ["monday"], "from": "01:00", "to": "05:00"})"), Catch::Contains("mon tue"));
  CHECK_THAT(refusal(R"({"days": [], "from": "01:00", "to": "05:00"})"), Catch::Contains("at least one"));
  CHECK_THAT(refusal(R"({"days": [1], "from": "01:00", "to": "05:00"})"), Catch::Contains("days"));
  CHECK_THAT(refusal(R"({"from": "01:00", "to": "05:00", "zone": "UTC"})"), Catch::Contains("zone"));
}

TEST_CASE("a window prints as it was read") {
  for (const char* text : {R"({"from":"01:00","to":"05:00"})", R"({"days":["mon","sun"],"from":"22:30","to":"02:00"})"})
    CHECK(dump_json(to_json(window(text))) == text);
}
