// The only place that asks the machine for the time.
#include "common/clock.hpp"

#include <cstdio>
#include <ctime>

namespace ferry {

std::string to_rfc3339(Instant at) {
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[80];
  // Not strftime: glibc writes the year 1 as "1", and the form is fixed.
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  return text;
}

Result<Instant> from_rfc3339(std::string_view text) {
  const auto refuse = [&] {
    return Error{Errc::bad_input, "time '" + std::string(text.substr(0, 40)) + "': expected YYYY-MM-DDTHH:MM:SSZ"};
  };
  constexpr std::string_view shape = "0000-00-00T00:00:00Z";
  if (text.size() != shape.size()) return refuse();
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (shape[i] == '0' ? !digit : text[i] != shape[i]) return refuse();
  }
  const auto number = [&](std::size_t from, std::size_t count) {
    int value = 0;
    for (std::size_t i = from; i < from + count; ++i) value = value * 10 + (text[i] - '0');
    return value;
  };
  const std::chrono::year_month_day day{std::chrono::year{number(0, 4)}, std::chrono::month(unsigned(number(5, 2))),
                                        std::chrono::day(unsigned(number(8, 2)))};
  const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!day.ok() || hour > 23 || minute > 59 || second > 59) return refuse();
  return Instant{std::chrono::sys_days{day}} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
         std::chrono::seconds{second};
}

Instant SystemClock::now() const { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }

std::chrono::nanoseconds SystemClock::monotonic() const { return std::chrono::steady_clock::now().time_since_epoch(); }

std::int64_t SystemClock::utc_offset_s(Instant at) const {
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
  std::tm local{};
  return ::localtime_r(&seconds, &local) == nullptr ? 0 : local.tm_gmtoff;
}

bool SystemClock::wait(std::unique_lock<std::mutex>& lock, std::condition_variable& wake, Duration limit,
                       const bool& flag) {
  return wake.wait_for(lock, limit, [&] { return flag; });
}

bool Sleeper::sleep(Duration limit) {
  std::unique_lock lock(mutex_);
  if (stopped_) return true;
  const bool woken = clock_.wait(lock, changed_, limit, woken_);
  woken_ = stopped_;
  return woken;
}

void Sleeper::wake() {
  std::lock_guard lock(mutex_);
  woken_ = true;
  changed_.notify_all();
}

void Sleeper::stop() {
  std::lock_guard lock(mutex_);
  woken_ = stopped_ = true;
  changed_.notify_all();
}

bool Sleeper::stopped() const {
  std::lock_guard lock(mutex_);
  return stopped_;
}

}  // namespace ferry
