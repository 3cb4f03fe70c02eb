// Warm-up, turns and blocks, on models and a clock that are only numbers.
#include "ci_gates/blocks.hpp"

#include "ci_gates/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace ferry;
using namespace ferry::ci_gates;

namespace {

struct Machine {
  Nanoseconds now{0};
  std::string turns;                // 'A' candidate, 'B' baseline, one letter a run
  std::vector<std::size_t> inputs;  // as fed

  Now clock() {
    return [this] { return now; };
  }
  // Takes `took(run number)` and lets the clock go on by it.
  TimedRun model(char letter, std::function<Nanoseconds(std::size_t)> took) {
    return [this, letter, took = std::move(took),
            count = std::size_t{0}](std::size_t input) mutable -> Result<Nanoseconds> {
      const Nanoseconds passed = took(count++);
      now += passed;
      turns += letter;
      inputs.push_back(input);
      return passed;
    };
  }
  TimedRun steady(char letter, Nanoseconds took) {
    return model(letter, [took](std::size_t) { return took; });
  }
};

constexpr Nanoseconds us{1'000};
constexpr Nanoseconds ms{1'000'000};

std::string runs_of(const std::string& turns) {
  std::string letters;
  for (const char letter : turns) {
    if (letters.empty() || letters.back() != letter) letters += letter;
  }
  return letters;
}

}  // namespace

TEST_CASE("two models run in turns A B B A on the same inputs, in blocks of a hundred, after a warm-up of both") {
  Machine machine;
  const auto seen = measure_blocks(machine.steady('A', 110 * us), machine.steady('B', 100 * us), 1'000,
                                   {.samples = 1, .margin = 0.05}, machine.clock());
  REQUIRE(seen);
  CHECK(seen->settled);
  const std::size_t warm_up = 3 * 2 * block_runs;  // three blocks of each show that it is settled
  CHECK(runs_of(machine.turns.substr(0, warm_up)) == "ABABAB");
  CHECK(runs_of(machine.turns.substr(warm_up)) == "ABABABABABABABABABABA");  // 20 pairs: the inner ones run together
  CHECK(machine.turns.size() == warm_up + 20 * 2 * block_runs);
  CHECK(seen->medians_us == std::vector<double>(20, 110.0));
  CHECK(seen->baseline_medians_us == std::vector<double>(20, 100.0));
  CHECK(seen->latencies_us.size() == 20 * block_runs);
  CHECK(seen->log2_ratios() == std::vector<double>(20, std::log2(110.0 / 100.0)));
  CHECK(seen->seconds == Approx(20 * 100 * 210e-6));
  for (std::size_t pair = 0; pair < 20; ++pair) {
    const auto block = machine.inputs.begin() + std::ptrdiff_t(warm_up + pair * 2 * block_runs);
    CHECK(std::equal(block, block + block_runs, block + block_runs));
  }
}

TEST_CASE("inputs come in the same shuffled order every time, each once before any comes again") {
  const std::vector<std::size_t> order = input_order(1'000);
  CHECK(order == input_order(1'000));
  CHECK(order != input_order(1'000, input_order_seed + 1));
  std::vector<std::size_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted.front() == 0);
  CHECK(sorted.back() == 999);
  CHECK(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());
  CHECK(!std::is_sorted(order.begin(), order.end()));
  CHECK(input_order(1) == std::vector<std::size_t>{0});
}

TEST_CASE("a candidate alone runs as often as the percentile needs") {
  Machine machine;
  const auto seen = measure_blocks(machine.steady('A', 50 * us), {}, 10, {.samples = 662}, machine.clock());
  REQUIRE(seen);
  CHECK(seen->latencies_us.size() == 700);  // whole blocks
  CHECK(seen->medians_us.size() == 7);
  CHECK(seen->baseline_medians_us.empty());
}

TEST_CASE("a percentile that needs more than the comparison gets it from the candidate alone, and no pair changes") {
  Machine machine;
  const auto seen = measure_blocks(machine.steady('A', 50 * us), machine.steady('B', 50 * us), 10,
                                   {.samples = 4'000, .margin = 0.05}, machine.clock());
  REQUIRE(seen);
  CHECK(seen->latencies_us.size() == 4'000);
  CHECK(seen->log2_ratios().size() == 20);
  CHECK(machine.turns.ends_with(std::string(2'000, 'A')));
}

TEST_CASE("a comparison that is never decided ends at its time limit") {
  Machine machine;
  const auto wavering = [](std::size_t run) { return run / block_runs % 2 ? 100 * us : 130 * us; };
  const auto seen =
      measure_blocks(machine.model('A', wavering), machine.steady('B', 110 * us), 10,
                     {.samples = 1, .margin = 0.02, .comparison_time_max = std::chrono::seconds{2}}, machine.clock());
  REQUIRE(seen);
  CHECK(compare_blocks(seen->log2_ratios(), 0.02).verdict == Verdict::hold);
  CHECK(seen->seconds >= 2);
  CHECK(seen->seconds < 2.1);
}

TEST_CASE("a slow model has blocks of a second, not of a hundred runs") {
  Machine machine;
  const auto seen = measure_blocks(machine.steady('A', 400 * ms), {}, 10, {.samples = 6}, machine.clock());
  REQUIRE(seen);
  CHECK(seen->medians_us == std::vector<double>(2, 400'000.0));
  CHECK(seen->latencies_us.size() == 6);
  // Warm-up: 200 runs would take 80 s; 10 s are enough.
  CHECK(machine.turns.size() <= 6 + 27);
}

TEST_CASE("the warm-up goes on until the last three blocks agree") {
  Machine machine;
  // The clock frequency rises for 12 blocks.
  const auto rising = [](std::size_t run) {
    return Nanoseconds(std::max<std::int64_t>(100, 220 - std::int64_t(run / 100) * 10)) * 1'000;
  };
  const auto seen = measure_blocks(machine.model('A', rising), {}, 10, {.samples = 1}, machine.clock());
  REQUIRE(seen);
  CHECK(seen->settled);
  CHECK(machine.turns.size() == 1'500 + 100);  // blocks 12, 13 and 14 agree; one more is measured
  CHECK(seen->medians_us.front() == 100.0);
}

TEST_CASE("a machine that never settles is measured all the same, and said to be unsettled") {
  Machine machine;
  const auto wild = [](std::size_t run) { return run / block_runs % 2 ? 100 * us : 200 * us; };
  const auto seen = measure_blocks(machine.model('A', wild), {}, 10, {.samples = 1}, machine.clock());
  REQUIRE(seen);
  CHECK(!seen->settled);
  CHECK(machine.turns.size() == warm_up_blocks_max * block_runs + block_runs);

  Machine slow;
  const auto seen_slow =
      measure_blocks(slow.model('A', [](std::size_t run) { return run % 2 ? 1'100 * ms : 1'300 * ms; }), {}, 10,
                     {.samples = 1}, slow.clock());
  REQUIRE(seen_slow);
  CHECK(!seen_slow->settled);
  CHECK(slow.now < warm_up_time_max + std::chrono::seconds{5});
}

TEST_CASE("a run that fails ends the measurement with its error") {
  Machine machine;
  const TimedRun failing = [](std::size_t) -> Result<Nanoseconds> {
    return Error{Errc::gate_failed, "out of memory", "trial.memory"};
  };
  for (const bool candidate : {true, false}) {
    const auto seen = candidate ? measure_blocks(failing, machine.steady('B', us), 10, {}, machine.clock())
                                : measure_blocks(machine.steady('A', us), failing, 10, {}, machine.clock());
    REQUIRE(!seen);
    CHECK(seen.error().reason == "trial.memory");
  }
}

TEST_CASE("the median of an even count lies between the middle two") {
  CHECK(median({3}) == 3);
  CHECK(median({4, 1}) == 2.5);
  CHECK(median({9, 1, 5}) == 5);
  CHECK(median({8, 2, 4, 6}) == 5);
}

TEST_CASE("the clock never goes back") {
  Nanoseconds before = monotonic_raw();
  for (int i = 0; i < 1'000; ++i) {
    const Nanoseconds after = monotonic_raw();
    CHECK(after >= before);
    before = after;
  }
}
