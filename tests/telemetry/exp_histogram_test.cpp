#include "telemetry/exp_histogram.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <random>

using ferry::Errc;
using ferry::telemetry::ExpHistogram;

TEST_CASE("every value lies in the bucket whose edges hold it, to the last bit") {
  // The definition, by a search over exact edges.
  const auto defined = [](double value) {
    int exponent = 0;
    const double fraction = std::frexp(value, &exponent);
    int edge = 0;
    while (edge < 32 && 0.5 * std::exp2(double(edge) / 32) < fraction) ++edge;
    return ((exponent - 1) * 32) + edge - 1;
  };
  for (int exponent = -1074; exponent <= 1023; ++exponent)
    for (int k = 0; k < 32; ++k) {
      const double edge = std::ldexp(0.5 * std::exp2(double(k) / 32), exponent + 1);
      for (const double value : {std::nextafter(edge, 0.0), edge, std::nextafter(edge, 1e308)})
        if (value > 0 && std::isfinite(value) && ExpHistogram::index_of(value) != defined(value)) {
          CAPTURE(value, exponent, k);
          REQUIRE(ExpHistogram::index_of(value) == defined(value));
        }
    }
  std::mt19937_64 engine(29);
  for (int i = 0; i < 200'000; ++i) {
    const double value = std::bit_cast<double>(engine() & 0x7fff'ffff'ffff'ffffULL);
    if (value > 0 && std::isfinite(value) && ExpHistogram::index_of(value) != defined(value)) {
      CAPTURE(value);
      REQUIRE(ExpHistogram::index_of(value) == defined(value));
    }
  }
  CHECK(ExpHistogram::index_of(std::numeric_limits<double>::denorm_min()) == defined(0x1p-1074));
}

TEST_CASE("a bucket holds what lies above its lower edge, up to and including its upper edge") {
  for (int index = ExpHistogram::index_min; index <= ExpHistogram::index_max; ++index) {
    const double lower = ExpHistogram::lower_edge(index), upper = ExpHistogram::lower_edge(index + 1);
    const double middle = std::sqrt(lower * upper);
    REQUIRE(ExpHistogram::index_of(middle) == index);
    REQUIRE(ExpHistogram::index_of(std::nextafter(lower, 1e300) * (1 + 1e-12)) == index);
    REQUIRE(ExpHistogram::index_of(upper * (1 - 1e-12)) == index);
  }
}

TEST_CASE("an exact power of two belongs to the bucket below it, as the specification says") {
  for (int exponent = -20; exponent <= 7; ++exponent) {
    CHECK(ExpHistogram::index_of(std::exp2(exponent)) == exponent * 32 - 1);
  }
}

TEST_CASE("every quantile is within 1.083 percent of the true one") {
  std::mt19937_64 engine(11);
  std::lognormal_distribution<double> latency(std::log(0.003), 0.6);
  std::vector<double> values;
  ExpHistogram sketch;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(latency(engine));
    sketch.record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double p : {0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0}) {
    const double truth = values[std::size_t(std::ceil(p * 20'000)) - 1];
    CHECK(std::abs(sketch.quantile(p) - truth) / truth <= 0.010831);
  }
}

TEST_CASE("merging in any order and grouping gives the sketch of all values") {
  std::mt19937_64 engine(5);
  std::lognormal_distribution<double> latency(-6, 2);
  ExpHistogram all, a, b, c;
  for (int i = 0; i < 3'000; ++i) {
    // Multiples of 2^-30 s add exactly, so that sums can be compared too.
    const double value = std::ldexp(std::round(std::ldexp(latency(engine), 30)), -30);
    all.record(value);
    (i % 3 == 0 ? a : i % 3 == 1 ? b : c).record(value);
  }
  ExpHistogram left = a, right = c;
  left.merge(b);
  left.merge(c);
  right.merge(b);
  right.merge(a);
  for (const ExpHistogram& merged : {left, right}) {
    CHECK(merged.count() == all.count());
    CHECK(merged.counts() == all.counts());
    CHECK(merged.offset() == all.offset());
    CHECK(merged.min() == all.min());
    CHECK(merged.max() == all.max());
    CHECK(merged.sum() == Approx(all.sum()));
  }
}

TEST_CASE("values outside the range are clamped into the end buckets and counted") {
  ExpHistogram sketch;
  sketch.record(1e-9);
  sketch.record(1e6);
  CHECK(sketch.clamped() == 2);
  CHECK(sketch.count() == 2);
  CHECK(sketch.counts().size() == ExpHistogram::buckets_max);
}

TEST_CASE("zero, negative and not-a-number durations count apart and break nothing") {
  ExpHistogram sketch;
  for (const double odd : {0.0, -1.0, std::nan(""), HUGE_VAL}) sketch.record(odd);
  CHECK(sketch.zero_count() == 4);
  CHECK(sketch.counts().empty());
  CHECK(sketch.quantile(0.5) == 0);
}

TEST_CASE("counts at bucket edges are exact") {
  ExpHistogram sketch;
  for (int i = 1; i <= 100; ++i) sketch.record(i * 0.001);
  const int edge = ExpHistogram::index_of(0.050);
  const double upper = ExpHistogram::lower_edge(edge + 1);
  std::uint64_t expected = 0;
  for (int i = 1; i <= 100; ++i) expected += i * 0.001 <= upper;
  CHECK(sketch.count_up_to(edge) == expected);
}

TEST_CASE("a sketch from the wire is refused when its parts do not fit together") {
  CHECK(ExpHistogram::from_parts(-100, {1, 2}, 1, 4, 0.1, 0.01, 0.02));
  CHECK(ExpHistogram::from_parts(-100, {1, 2}, 1, 5, 0.1, 0.01, 0.02).error().code == Errc::bad_input);
  CHECK_FALSE(ExpHistogram::from_parts(ExpHistogram::index_max, {1, 1}, 0, 2, 0.1, 0.01, 0.02));
  CHECK_FALSE(ExpHistogram::from_parts(ExpHistogram::index_min - 1, {1}, 0, 1, 0.1, 0.01, 0.02));
  CHECK_FALSE(ExpHistogram::from_parts(0, {UINT64_MAX, 1}, 0, 0, 0.1, 0.01, 0.02));
  CHECK_FALSE(ExpHistogram::from_parts(0, {1}, 0, 1, std::nan(""), 0.01, 0.02));
  CHECK_FALSE(ExpHistogram::from_parts(0, {1}, 0, 1, 0.1, 0.03, 0.02));
  CHECK_FALSE(ExpHistogram::from_parts(0, std::vector<std::uint64_t>(ExpHistogram::buckets_max + 1), 0, 0, 0, 0, 0));
}
