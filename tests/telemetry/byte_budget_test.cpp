#include "telemetry/byte_budget.hpp"

#include <deque>
#include <random>

using namespace ferry::telemetry;

namespace {
constexpr std::int64_t hour_ms = 3'600'000;
constexpr std::int64_t day_ms = 24 * hour_ms;
}  // namespace

TEST_CASE("without a limit everything may go") {
  ByteBudget budget;
  budget.spend(1'000'000'000, 1);
  CHECK(budget.allows(1'000'000'000, 2));
}

TEST_CASE("no 24 hours see more bytes than a day's budget, and a busy device gets nearly all of it") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    std::mt19937_64 dice(seed);
    constexpr std::uint64_t per_day = 200'000;
    ByteBudget budget(per_day);
    std::deque<std::pair<std::int64_t, std::uint64_t>> sent;  // in the last day
    std::uint64_t in_day = 0, most = 0, total = 0;
    std::int64_t now = 1'790'000'000'000;
    const std::int64_t end = now + 5 * day_ms;
    while (now < end) {
      now += std::int64_t(dice() % 120'000);
      const std::uint64_t bytes = 500 + dice() % 1'000;
      if (!budget.allows(bytes, now)) continue;
      budget.spend(bytes, now);
      sent.emplace_back(now, bytes);
      in_day += bytes;
      total += bytes;
      while (sent.front().first <= now - day_ms) in_day -= sent.front().second, sent.pop_front();
      most = std::max(most, in_day);
    }
    INFO("seed " << seed);
    CHECK(most <= per_day);
    CHECK(total >= 5 * per_day * 9 / 10);
  }
}

TEST_CASE("a clock that is set back earns nothing; one that jumps ahead at most a full bucket") {
  ByteBudget budget(240'000);
  budget.spend(10'000, 1'000'000'000);
  CHECK_FALSE(budget.allows(1'000, 1'000'000'000));
  CHECK_FALSE(budget.allows(1'000, 1'000));
  CHECK(budget.allows(10'000, 1'000 + 365 * day_ms));
  budget.spend(10'000, 1'000 + 365 * day_ms);
  CHECK_FALSE(budget.allows(1'000, 1'000 + 365 * day_ms));
}

TEST_CASE("something larger than the bucket goes when it is full, and is paid for afterwards") {
  ByteBudget budget(24'000);
  CHECK(budget.allows(50'000, 1));
  budget.spend(50'000, 1);
  for (std::int64_t hours = 1; hours <= 50; ++hours) CHECK_FALSE(budget.allows(100, 1 + hours * hour_ms));
  CHECK(budget.allows(100, 1 + 53 * hour_ms));
}

TEST_CASE("what was spent is remembered over a restart") {
  ByteBudget before(240'000);
  before.spend(9'500, 5'000);
  ByteBudget after(240'000);
  after.restore(before.state());
  CHECK_FALSE(after.allows(1'000, 5'000));
  CHECK(after.allows(400, 5'000));
}
