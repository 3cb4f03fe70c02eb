// Minutes of the local week.
#include "common/weekly_window.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace ferry {
namespace {

constexpr std::int64_t day_s = 86'400;
constexpr std::int64_t week_days = 7;
constexpr std::uint8_t every_day = 0x7f;
constexpr std::array<std::string_view, week_days> day_names{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::int64_t epoch_weekday = 3;  // 1970-01-01 was a Thursday

bool digit(char c) { return c >= '0' && c <= '9'; }

// "HH:MM"
Result<std::int64_t> minutes_at(const Json& value, std::string_view key) {
  TRY(const std::string text, string_at(value, key, 16));
  const bool shaped =
      text.size() == 5 && digit(text[0]) && digit(text[1]) && text[2] == ':' && digit(text[3]) && digit(text[4]);
  const std::int64_t hours = shaped ? (text[0] - '0') * 10 + (text[1] - '0') : 24;
  const std::int64_t minutes = shaped ? (text[3] - '0') * 10 + (text[4] - '0') : 60;
  if (hours > 23 || minutes > 59)
    return Error{Errc::bad_input, std::string(key) + ": found \"" + text + "\", expected a local time as \"01:30\""};
  return hours * 60 + minutes;
}

std::string text_of(std::int64_t minutes) {
  const auto two_digits = [](std::int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); };
  return two_digits(minutes / 60) + ":" + two_digits(minutes % 60);
}

Result<std::uint8_t> parse_days(const Json& list) {
  unsigned days = 0;
  for (const Json& item : list) {
    const auto found =
        item.is_string() ? std::ranges::find(day_names, item.get_ref<const std::string&>()) : day_names.end();
    if (found == day_names.end()) return Error{Errc::bad_input, "days: expected a list of mon tue wed thu fri sat sun"};
    days |= 1U << static_cast<unsigned>(found - day_names.begin());
  }
  if (days == 0) return Error{Errc::bad_input, "days: expected at least one day"};
  return static_cast<std::uint8_t>(days);
}

}  // namespace

Result<WeeklyWindow> parse_weekly_window(const Json& value) {
  if (!value.is_object())
    return Error{Errc::bad_input, R"(expected an object such as {"from": "01:00", "to": "05:00"})"};
  TRY_VOID(only_known_fields(value, {"days", "from", "to"}));
  WeeklyWindow window;
  TRY(window.from_min, minutes_at(value, "from"));
  TRY(window.to_min, minutes_at(value, "to"));
  if (window.from_min == window.to_min)
    return Error{Errc::bad_input, "to: the same as from; leave the window out when any time will do"};
  if (const auto days = value.find("days"); days != value.end() && !days->is_null()) {
    TRY(auto list, array_at(value, "days", week_days));
    TRY(window.days, parse_days(*list));
  }
  return window;
}

Json to_json(const WeeklyWindow& window) {
  Json json{{"from", text_of(window.from_min)}, {"to", text_of(window.to_min)}};
  if (window.days == every_day) return json;
  json["days"] = Json::array();
  for (std::size_t day = 0; day < day_names.size(); ++day)
    if ((window.days >> day & 1U) != 0) json["days"].push_back(day_names[day]);
  return json;
}

bool is_open(const WeeklyWindow& window, std::int64_t unix_ms, std::int64_t utc_offset_s) {
  std::int64_t local_s = unix_ms / 1000 + utc_offset_s;
  std::int64_t day = local_s / day_s - (local_s % day_s < 0 ? 1 : 0);
  const std::int64_t minute = (local_s - day * day_s) / 60;
  const auto counts = [&](std::int64_t of_day) {
    const std::int64_t weekday = ((of_day + epoch_weekday) % week_days + week_days) % week_days;
    return (window.days >> static_cast<unsigned>(weekday) & 1U) != 0;
  };
  if (window.from_min < window.to_min) return counts(day) && minute >= window.from_min && minute < window.to_min;
  return (minute >= window.from_min && counts(day)) || (minute < window.to_min && counts(day - 1));
}

std::int64_t cycle_s(const WeeklyWindow& window) { return window.days == every_day ? day_s : week_days * day_s; }

}  // namespace ferry
