#include "ci_gates/comparison.hpp"

#include "ci_gates/statistics.hpp"
#include "telemetry/judge_eprocess.hpp"

#include <cmath>
#include <random>

using namespace ferry;
using namespace ferry::ci_gates;

namespace {

constexpr double margin = 0.05;

// `slower` pairs at `above`, the rest at `below` (factors), one kind after the other.
std::vector<double> ratios(std::size_t slower, double above, std::size_t others, double below) {
  std::vector<double> made(slower, std::log2(above));
  made.insert(made.end(), others, std::log2(below));
  return made;
}

}  // namespace

TEST_CASE("fewer than twenty pairs say nothing, whatever they show") {
  for (std::size_t pairs = 0; pairs < block_pairs_min; ++pairs) {
    CHECK(compare_blocks(ratios(pairs, 3.0, 0, 1), margin).verdict == Verdict::hold);
    CHECK(compare_blocks(ratios(0, 1, pairs, 0.5), margin).verdict == Verdict::hold);
    CHECK(!is_decided(ratios(pairs, 3.0, 0, 1), margin));
  }
  CHECK(compare_blocks({}, margin).pairs == 0);
}

TEST_CASE("the verdict of twenty pairs, for every count of slower ones") {
  for (std::size_t slower = 0; slower <= 20; ++slower) {
    INFO(slower << " of 20 slower");
    const Comparison seen = compare_blocks(ratios(slower, 1.30, 20 - slower, 1.0), margin);
    CHECK(seen.slower_pairs == slower);
    // The e-process of STATS.md §4.2 at p0 = 1/2, kappa(30, .01).
    const double log_e = telemetry::log_e_up(double(slower), double(20 - slower), 0.5, telemetry::kappa_for(30, 0.01));
    CHECK(seen.log_e == Approx(log_e));
    const Verdict expected = log_e >= std::log(100.0)  ? Verdict::fail
                             : seen.high <= 1 + margin ? Verdict::pass
                                                       : Verdict::hold;
    CHECK(seen.verdict == expected);
    CHECK(is_decided(ratios(slower, 1.30, 20 - slower, 1.0), margin) == (expected != Verdict::hold));
  }
  CHECK(compare_blocks(ratios(0, 1.3, 20, 1.0), margin).verdict == Verdict::pass);
  CHECK(compare_blocks(ratios(10, 1.3, 10, 1.0), margin).verdict == Verdict::hold);
  CHECK(compare_blocks(ratios(18, 1.3, 2, 1.0), margin).verdict == Verdict::fail);
}

TEST_CASE("exactly at the margin is not slower than the margin; just above it is") {
  CHECK(compare_blocks(ratios(0, 1, 20, 1.0499), margin).verdict == Verdict::pass);
  CHECK(compare_blocks(ratios(20, 1.0501, 0, 1), margin).verdict == Verdict::fail);
  CHECK(compare_blocks(ratios(20, 1.0001, 0, 1), 0).verdict == Verdict::fail);
}

TEST_CASE("looks at the interval are at 20, 40, 80 and so on") {
  std::vector<std::size_t> looks;
  for (std::size_t pairs = 0; pairs <= block_pairs_max; ++pairs) {
    if (is_look(pairs)) looks.push_back(pairs);
  }
  CHECK(looks == std::vector<std::size_t>{20, 40, 80, 160, 320, 640, 1'280});
}

TEST_CASE("measuring ends at a verdict, and at the latest with as many pairs as are looked at") {
  std::mt19937_64 dice(3);
  std::normal_distribution<double> noise(std::log2(1 + margin), 0.3);  // at the margin: nothing to find either way
  std::vector<double> seen;
  while (!is_decided(seen, margin)) seen.push_back(noise(dice));
  CHECK(seen.size() <= block_pairs_max);
  const std::vector<double> many(block_pairs_max + 500, std::log2(1.2));
  CHECK(compare_blocks(many, margin).pairs == block_pairs_max);
  CHECK(is_decided(many, margin));
}

TEST_CASE("a candidate at the margin fails no more often than promised, however often one looks") {
  std::mt19937_64 dice(5);
  std::normal_distribution<double> noise(std::log2(1 + margin), 0.05);
  int failed = 0, passed = 0;
  constexpr int runs = 400;
  for (int run = 0; run < runs; ++run) {
    std::vector<double> seen;
    while (seen.size() < 320 && !is_decided(seen, margin)) seen.push_back(noise(dice));
    const Verdict verdict = compare_blocks(seen, margin).verdict;
    failed += verdict == Verdict::fail;
    passed += verdict == Verdict::pass;
  }
  CHECK(failed <= 4 + 3 * 2);     // 1 %, three standard errors
  CHECK(passed <= 20 + 3 * 4.4);  // 5 %
}

TEST_CASE("what is ten percent slower in noise of ten percent is found, and what is equal passes") {
  std::mt19937_64 dice(7);
  std::normal_distribution<double> noise(0, std::log2(1.10));
  int found = 0, passed = 0;
  for (int run = 0; run < 100; ++run) {
    std::vector<double> slow, same;
    while (!is_decided(slow, latency_margin_default)) slow.push_back(std::log2(1.10) + noise(dice));
    while (!is_decided(same, latency_margin_default)) same.push_back(noise(dice));
    found += compare_blocks(slow, latency_margin_default).verdict == Verdict::fail;
    passed += compare_blocks(same, latency_margin_default).verdict == Verdict::pass;
  }
  CHECK(found >= 97);
  CHECK(passed >= 97);
}
