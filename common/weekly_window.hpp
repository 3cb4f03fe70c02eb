// A span of local time that comes back every day or on some days of the week: maintenance windows.
#pragma once
#include "common/json.hpp"

#include <cstdint>

namespace ferry {

// [from, to) in minutes of the local day, on the days whose bit is set (bit 0: Monday). `to` <= `from` passes midnight;
// such a span belongs to the day on which it began.
struct WeeklyWindow {
  std::uint8_t days = 0x7f;
  std::int64_t from_min = 0;
  std::int64_t to_min = 0;
  bool operator==(const WeeklyWindow&) const = default;
};

// {"days": ["mon", …], "from": "01:00", "to": "05:00"}; without `days` every day. bad_input names the field; a span of
// no length is refused.
Result<WeeklyWindow> parse_weekly_window(const Json& value);
Json to_json(const WeeklyWindow& window);

// `utc_offset_s`: local time minus UTC, as it is at `unix_ms`. A change of the clocks inside a span shortens or
// lengthens it by that hour.
bool is_open(const WeeklyWindow& window, std::int64_t unix_ms, std::int64_t utc_offset_s);
// After how long it has surely been open once: a day, or a week when only some days count.
std::int64_t cycle_s(const WeeklyWindow& window);

}  // namespace ferry
