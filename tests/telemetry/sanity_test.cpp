#include "telemetry/sanity.hpp"

#include <cmath>
#include <limits>
#include <random>

using namespace ferry::telemetry;

namespace {

InputStats stats_of(const std::vector<double>& values) {
  InputStats stats;
  stats.tensors = 1;
  stats.values = values.size();
  stats.min = *std::min_element(values.begin(), values.end());
  stats.max = *std::max_element(values.begin(), values.end());
  for (const double value : values) stats.sum += value, stats.squares += value * value;
  return stats;
}

}  // namespace

TEST_CASE("sums of inputs give the mean and squared deviation of all together, in any order") {
  std::mt19937_64 dice(11);
  std::normal_distribution<double> value(3, 2);
  std::vector<double> all;
  std::vector<InputStats> parts;
  for (int part = 0; part < 50; ++part) {
    std::vector<double> some(1 + dice() % 20);
    for (double& one : some) all.push_back(one = value(dice));
    parts.push_back(stats_of(some));
  }
  double mean = 0, m2 = 0;
  for (const double one : all) mean += one / double(all.size());
  for (const double one : all) m2 += (one - mean) * (one - mean);
  for (int order = 0; order < 5; ++order) {
    std::shuffle(parts.begin(), parts.end(), dice);
    InputStats sum;
    for (const InputStats& part : parts) sum.merge(part);
    CHECK(sum.tensors == 50);
    CHECK(sum.values == all.size());
    CHECK(sum.mean() == Approx(mean));
    CHECK(sum.squared_deviation() == Approx(m2));
    CHECK(sum.min == *std::min_element(all.begin(), all.end()));
    CHECK(sum.max == *std::max_element(all.begin(), all.end()));
    CHECK(sum.sound());
  }
}

TEST_CASE("an input without finite values does not touch the range of the others") {
  InputStats sum = stats_of({2, 3});
  InputStats nothing;
  nothing.tensors = nothing.with_nan = 1;
  sum.merge(nothing);
  CHECK(sum.min == 2);
  CHECK(sum.with_nan == 1);
  nothing.merge(stats_of({-5}));
  CHECK(nothing.max == -5);
}

TEST_CASE("sums that contradict each other are no sums of real inputs") {
  const InputStats good = stats_of({1, 2, 3});
  CHECK(good.sound());
  CHECK(InputStats{}.sound());
  const auto lying = [&](auto change) {
    InputStats stats = good;
    change(stats);
    return !stats.sound();
  };
  CHECK(lying([](InputStats& s) { s.with_nan = 2; }));
  CHECK(lying([](InputStats& s) { s.out_of_range = 9; }));
  CHECK(lying([](InputStats& s) { s.tensors = 0; }));
  CHECK(lying([](InputStats& s) { s.sum = 100; }));
  CHECK(lying([](InputStats& s) { s.sum = -100; }));
  CHECK(lying([](InputStats& s) { s.squares = 1; }));      // less than sum^2 / n
  CHECK(lying([](InputStats& s) { s.squares = 1'000; }));  // more than n * max^2
  CHECK(lying([](InputStats& s) { s.min = 4; }));
  CHECK(lying([](InputStats& s) { s.max = 1e31; }));
  CHECK(lying([](InputStats& s) { s.sum = std::numeric_limits<double>::quiet_NaN(); }));
  CHECK(lying([](InputStats& s) { s.squares = std::numeric_limits<double>::infinity(); }));
  CHECK(lying([](InputStats& s) { s.values = 0; }));
}

TEST_CASE("agreement counts pairs of classes; rare ones beyond the limit are one") {
  ShadowAgreement agreement;
  agreement.add(3, 3, 0.1);
  agreement.add(3, 5, 0.4);
  agreement.add(3, 5, 0.2);
  CHECK(agreement.agreed == 1);
  CHECK(agreement.disagreed.at({3, 5}) == 2);
  CHECK(agreement.gap_sum == Approx(0.7));
  for (std::uint32_t c = 10; c < 200; ++c) agreement.add(c, c + 1, 0);
  CHECK(agreement.disagreed.size() == confusions_max);
  CHECK(agreement.disagreements() == 192);
  CHECK(agreement.disagreed.at(other_confusion) > 100);
  ShadowAgreement twice = agreement;
  twice.merge(agreement);
  CHECK(twice.compared() == 2 * agreement.compared());
  CHECK(twice.disagreed.size() == confusions_max);
}

TEST_CASE("a delay falls into its octave of seconds") {
  CHECK(delay_octave(0) == 0);
  CHECK(delay_octave(2) == 0);
  CHECK(delay_octave(2.1) == 1);
  CHECK(delay_octave(4) == 1);
  CHECK(delay_octave(3600) == 11);
  CHECK(delay_octave(1e12) == int(delay_octaves_max) - 1);
}

TEST_CASE("names that need escaping anywhere are no names") {
  for (const char* name : {"image", "serving_default_x:0", "/conv/Cast_output_0", "input-1", "a.b"})
    CHECK(plain_tensor_name(name));
  for (const char* name : {"", "=1+1", "+x", "-x", "@x", "<b>", "a b", "a\"b", "a\nb", "a,b", "\xc3\xa9"})
    CHECK_FALSE(plain_tensor_name(name));
  CHECK_FALSE(plain_tensor_name(std::string(tensor_name_bytes_max + 1, 'a')));
  for (const char* type : {"timeout", "trial.memory", "slot.corrupt", "e0-1", "x2"}) CHECK(plain_error_type(type));
  for (const char* type : {"", ".", "a.", ".a", "a..b", "9a", "A", "=cmd()", "a b", "<x>", "-a"})
    CHECK_FALSE(plain_error_type(type));
}
