// Chance: shape and repeatability; its quality is the kernel's.
#include "common/random.hpp"

#include <set>

using namespace ferry;

TEST_CASE("a seed gives the same bytes again, whatever the sizes asked for") {
  SeededRandom one(7), two(7), other(8);
  CHECK(one.bytes(13) == two.bytes(13));
  CHECK(one.next() == two.next());
  CHECK(one.id("tok") == two.id("tok"));
  CHECK(SeededRandom(7).bytes(32) != other.bytes(32));
}

TEST_CASE("uniform stays in [0, 1) and its mean is near one half") {
  SeededRandom random(1);
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    const double value = random.uniform();
    REQUIRE(value >= 0.0);
    REQUIRE(value < 1.0);
    sum += value;
  }
  CHECK(sum / 10'000 == Approx(0.5).margin(0.02));  // five standard errors
}

TEST_CASE("the largest draw is still below one") {
  struct Ones final : Random {
    std::string bytes(std::size_t count) override { return std::string(count, '\xff'); }
  } ones;
  CHECK(ones.uniform() < 1.0);
  CHECK(ones.next() == ~std::uint64_t{0});
  CHECK(ones.id("ro") == "ro-ffffffffffff");
}

TEST_CASE("the system's randomness has the length asked for and does not repeat") {
  SystemRandom random;
  CHECK(random.bytes(0).empty());
  CHECK(random.bytes(1'000).size() == 1'000);  // more than getrandom's 256 uninterruptible bytes
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) seen.insert(random.id("x"));
  CHECK(seen.size() == 1'000);
}
