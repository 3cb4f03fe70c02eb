// How many bytes a device may send: a bucket that fills evenly over the day, so that no 24 hours see more than allowed.
#pragma once
#include <cstdint>

namespace ferry::telemetry {

// A value; not thread-safe. Times are Unix milliseconds; a clock that is set back earns nothing, one that jumps ahead
// at most a full bucket.
class ByteBudget {
 public:
  static constexpr std::int64_t bursts_per_day = 24;  // the bucket holds an hour's share

  explicit ByteBudget(std::uint64_t bytes_per_day_max = 0);  // 0: no limit

  struct State {
    std::int64_t bytes = 0;  // left; negative: overdrawn
    std::int64_t at_ms = 0;  // 0: a new device, with a full bucket
    bool operator==(const State&) const = default;
  };
  // What is kept over restarts.
  const State& state() const { return state_; }
  void restore(State state);

  // Something larger than the bucket may go when it is full.
  bool allows(std::uint64_t bytes, std::int64_t now_ms);
  void spend(std::uint64_t bytes, std::int64_t now_ms);

 private:
  void fill(std::int64_t now_ms);
  std::int64_t per_day_ = 0, bucket_ = 0;
  State state_;
};

}  // namespace ferry::telemetry
