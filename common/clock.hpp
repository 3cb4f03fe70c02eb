// Time comes in through an interface: a day passes in milliseconds in a test.
#pragma once
#include "common/result.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>

namespace ferry {

using Duration = std::chrono::milliseconds;
using Instant = std::chrono::sys_time<Duration>;  // UTC wall clock

// "2026-11-23T08:12:52Z" (RFC 3339, whole seconds, UTC).
std::string to_rfc3339(Instant at);
// Accepts exactly the form above (TUF 1.0.34 §4.2.1).
Result<Instant> from_rfc3339(std::string_view text);
inline std::int64_t to_unix_ms(Instant at) { return at.time_since_epoch().count(); }
inline Instant from_unix_ms(std::int64_t ms) { return Instant{Duration{ms}}; }

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;                         // may jump: never measure durations with it
  virtual std::chrono::nanoseconds monotonic() const = 0;  // never goes back
  // Local time minus UTC at `at`, in seconds, by this machine's time zone.
  virtual std::int64_t utc_offset_s(Instant) const { return 0; }
  // Blocks until `limit` has passed or `wake` is notified with *flag == true. Returns true when flagged.
  virtual bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable& wake, Duration limit,
                    const bool& flag) = 0;
};

class SystemClock final : public Clock {
 public:
  Instant now() const override;
  std::chrono::nanoseconds monotonic() const override;
  std::int64_t utc_offset_s(Instant at) const override;
  bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable& wake, Duration limit,
            const bool& flag) override;
};

// An interruptible wait, for loops that run in their own thread. Thread-safe.
class Sleeper {
 public:
  explicit Sleeper(Clock& clock) : clock_(clock) {}
  // True when woken or stopped early, false when the whole time passed. A wake() before the call counts once.
  bool sleep(Duration limit);
  void wake();
  void stop();  // every present and future sleep returns at once
  bool stopped() const;

 private:
  Clock& clock_;
  mutable std::mutex mutex_;  // guards woken_ and stopped_
  std::condition_variable changed_;
  bool woken_ = false;
  bool stopped_ = false;
};

}  // namespace ferry
