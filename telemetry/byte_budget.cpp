#include "telemetry/byte_budget.hpp"

#include <algorithm>

namespace ferry::telemetry {
namespace {
constexpr std::int64_t day_ms = 86'400'000;
constexpr std::int64_t per_day_max = std::int64_t{1} << 36;  // times a day in ms it still fits 63 bits
}  // namespace

// A full bucket and a day's filling together are the budget.
ByteBudget::ByteBudget(std::uint64_t bytes_per_day_max)
    : bucket_(std::int64_t(std::min(bytes_per_day_max, std::uint64_t{per_day_max})) / bursts_per_day) {
  per_day_ = std::int64_t(std::min(bytes_per_day_max, std::uint64_t{per_day_max})) - bucket_;
  state_.bytes = bucket_;
}

void ByteBudget::restore(State state) {
  state_ = state;
  state_.bytes = std::min(state_.bytes, bucket_);
}

void ByteBudget::fill(std::int64_t now_ms) {
  if (state_.at_ms == 0 || now_ms < state_.at_ms) {
    state_.at_ms = now_ms;
    return;
  }
  const std::int64_t elapsed_ms = std::min(now_ms - state_.at_ms, day_ms);
  const std::int64_t earned = per_day_ * elapsed_ms / day_ms;
  if (earned == 0) return;  // the time goes on counting
  const bool long_ago = elapsed_ms == day_ms;
  state_.at_ms = long_ago ? now_ms : state_.at_ms + earned * day_ms / per_day_;
  state_.bytes = std::min(state_.bytes + earned, bucket_);
}

bool ByteBudget::allows(std::uint64_t bytes, std::int64_t now_ms) {
  if (bucket_ == 0) return true;
  fill(now_ms);
  return state_.bytes >= std::min(std::int64_t(bytes), bucket_);
}

void ByteBudget::spend(std::uint64_t bytes, std::int64_t now_ms) {
  if (bucket_ == 0) return;
  fill(now_ms);
  state_.bytes -= std::int64_t(bytes);
}

}  // namespace ferry::telemetry
