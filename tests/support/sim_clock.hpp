// A clock that moves only when the test says so: a day passes in no time, and no test sleeps.
#pragma once
#include "common/clock.hpp"

#include <atomic>
#include <condition_variable>
#include <list>
#include <mutex>

namespace ferry::test {

// Thread-safe. Waits end when time is advanced past their limit, or as with any Clock when they are notified.
class SimClock final : public Clock {
 public:
  explicit SimClock(Instant start = Instant{std::chrono::sys_days{std::chrono::year{2026} / 11 / 23}}) : wall_(start) {}

  Instant now() const override { return wall_.load(); }
  std::chrono::nanoseconds monotonic() const override { return since_start_.load(); }
  std::int64_t utc_offset_s(Instant) const override { return utc_offset_s_.load(); }
  void set_utc_offset_s(std::int64_t seconds) { utc_offset_s_ = seconds; }

  bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable& wake, Duration limit,
            const bool& flag) override {
    if (advance_by_itself_) {
      if (!flag) advance(limit);
      return flag;
    }
    const std::chrono::nanoseconds deadline = monotonic() + limit;
    Waiter waiter{lock.mutex(), &wake, deadline};
    // Registered without the caller's lock: advance() takes the two in the other order.
    lock.unlock();
    const auto place = enter(waiter);
    lock.lock();
    while (!flag && monotonic() < deadline) wake.wait(lock);
    lock.unlock();
    leave(place);
    lock.lock();
    return flag;
  }

  // Moves wall and monotonic time, and ends the waits that are due.
  void advance(Duration by) {
    std::lock_guard guard(mutex_);
    wall_ = wall_.load() + by;
    since_start_ = since_start_.load() + by;
    for (const Waiter& waiter : waiters_) {
      if (waiter.deadline > since_start_.load()) continue;
      std::lock_guard held(*waiter.mutex);  // else the notice could fall between its check and its wait
      waiter.wake->notify_all();
    }
  }

  // A jump of the wall clock alone (NTP, a wrong date): waits are not touched.
  void set_now(Instant at) { wall_ = at; }

  // From now on every wait advances the time by its own limit and returns: for single-threaded tests of loops.
  void advance_by_itself(bool on = true) { advance_by_itself_ = on; }

  // Blocks until `count` threads wait on this clock: before advance(), so that the wait under test has begun.
  void until_waiting(std::size_t count = 1) {
    std::unique_lock lock(mutex_);
    entered_.wait(lock, [&] { return waiters_.size() >= count; });
  }

 private:
  struct Waiter {
    std::mutex* mutex;
    std::condition_variable* wake;
    std::chrono::nanoseconds deadline;
  };

  std::list<Waiter>::iterator enter(const Waiter& waiter) {
    std::lock_guard guard(mutex_);
    waiters_.push_back(waiter);
    entered_.notify_all();
    return std::prev(waiters_.end());
  }
  void leave(std::list<Waiter>::iterator place) {
    std::lock_guard guard(mutex_);
    waiters_.erase(place);
  }

  std::atomic<Instant> wall_;
  std::atomic<std::chrono::nanoseconds> since_start_{std::chrono::nanoseconds{0}};
  std::atomic<std::int64_t> utc_offset_s_ = 0;
  std::atomic<bool> advance_by_itself_ = false;
  std::mutex mutex_;  // guards waiters_
  std::condition_variable entered_;
  std::list<Waiter> waiters_;
};

}  // namespace ferry::test
