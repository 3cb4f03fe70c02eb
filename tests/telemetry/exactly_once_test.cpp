#include "telemetry/exactly_once.hpp"

#include <random>
#include <set>

using ferry::telemetry::SequenceWindow;
using Verdict = SequenceWindow::Verdict;

TEST_CASE("each sequence is applied once, in whatever order and however often it arrives within the window") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 engine(seed);
    SequenceWindow window;
    std::set<std::uint64_t> applied;
    // Lost, repeated and reordered by up to 60 places: a sender with a spool and a bad link.
    for (std::uint64_t newest = 1; newest <= 500; ++newest) {
      for (int attempt = 0; attempt < 3; ++attempt) {
        const std::uint64_t back = engine() % 60;
        const std::uint64_t seq = newest > back ? newest - back : newest;
        const Verdict verdict = window.judge(seq);
        REQUIRE(verdict == (applied.count(seq) ? Verdict::repeat : Verdict::apply));
        if (verdict == Verdict::apply) {
          window.applied(seq);
          applied.insert(seq);
        }
      }
    }
  }
}

TEST_CASE("a sequence older than the window is never applied, so it can never be applied twice") {
  SequenceWindow window;
  window.applied(100);
  CHECK(window.judge(100) == Verdict::repeat);
  CHECK(window.judge(37) == Verdict::apply);
  CHECK(window.judge(36) == Verdict::too_late);
  window.applied(10'000);
  CHECK(window.judge(100) == Verdict::too_late);
  CHECK(window.judge(9'999) == Verdict::apply);
}

TEST_CASE("a jump of exactly the window's width forgets what came before and nothing else") {
  SequenceWindow window;
  window.applied(1);
  window.applied(65);
  CHECK(window.judge(1) == Verdict::too_late);
  CHECK(window.judge(2) == Verdict::apply);
  CHECK(window.judge(65) == Verdict::repeat);
}
