#include "telemetry/drift_math.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace ferry::telemetry;

namespace {

double normal_tail(double z) { return std::erfc(z / std::sqrt(2.0)) / 2; }

// Simpson's rule.
template <class Function>
double integral(Function f, double from, double to, int steps) {
  const double h = (to - from) / steps;
  double sum = f(from) + f(to);
  for (int k = 1; k < steps; ++k) sum += f(from + k * h) * (k % 2 == 1 ? 4 : 2);
  return sum * h / 3;
}

}  // namespace

TEST_CASE("the chi-square tail is the closed form where there is one") {
  for (const double x : {1e-9, 0.1, 1.0, 3.84, 10.0, 40.0, 200.0, 1'000.0}) {
    INFO(x);
    CHECK(chi_square_tail(x, 1) == Approx(2 * normal_tail(std::sqrt(x))).epsilon(1e-9));
    CHECK(chi_square_tail(x, 2) == Approx(std::exp(-x / 2)).epsilon(1e-9));
    CHECK(chi_square_tail(x, 4) == Approx(std::exp(-x / 2) * (1 + x / 2)).epsilon(1e-9));
    CHECK(chi_square_tail(x, 6) == Approx(std::exp(-x / 2) * (1 + x / 2 + x * x / 8)).epsilon(1e-9));
  }
  CHECK(chi_square_tail(16.918977604620448, 9) == Approx(0.05).epsilon(1e-9));  // printed tables
  CHECK(chi_square_tail(30.143527205646155, 19) == Approx(0.05).epsilon(1e-9));
}

TEST_CASE("the chi-square tail stays a probability at every size") {
  double before = 1;
  for (double x = 0; x < 20'000; x += 37) {
    const double tail = chi_square_tail(x, 9'999);
    CHECK((tail >= 0 && tail <= before));
    before = tail;
  }
  CHECK(chi_square_tail(9'998.33, 9'999) == Approx(0.5).epsilon(1e-4));  // the median is near df - 2/3
  for (const double odd : {-1.0, -double(INFINITY), 0.0, double(NAN)}) CHECK(chi_square_tail(odd, 3) == 1);
  CHECK(chi_square_tail(INFINITY, 3) == 0);
  CHECK(chi_square_tail(1e300, 3) == 0);
}

TEST_CASE("the non-central tail is that of a shifted square, and its mean is df + lambda") {
  for (const double shift : {0.1, 1.0, 3.0, 10.0}) {
    for (const double root : {0.1, 1.0, 4.0, 12.0}) {
      INFO(shift << " " << root);
      const double expected = normal_tail(root - shift) + normal_tail(root + shift);
      CHECK(noncentral_chi_square_tail(root * root, 1, shift * shift) == Approx(expected).epsilon(1e-9));
    }
  }
  for (const double lambda : {0.0, 0.5, 20.0, 700.0}) {
    const auto tail = [&](double x) { return noncentral_chi_square_tail(x, 9, lambda); };
    CHECK(integral(tail, 0, 9 + lambda + 40 * std::sqrt(2 * (9 + 2 * lambda)), 2'000) ==
          Approx(9 + lambda).epsilon(1e-3));
  }
  CHECK(noncentral_chi_square_tail(20, 9, 0) == chi_square_tail(20, 9));
  CHECK(noncentral_chi_square_tail(12'000, 9'999, 2'000) == Approx(0.5).epsilon(0.02));
  CHECK(noncentral_chi_square_tail(NAN, 9, 5) == 1);
  CHECK(noncentral_chi_square_tail(INFINITY, 9, 5) == 0);
}

TEST_CASE("the chi-square quantile undoes the tail") {
  for (const double df : {1.0, 2.0, 3.0, 9.0, 99.0, 9'999.0}) {
    for (const double tail : {1e-12, 1e-4, 0.0033, 0.05, 0.5, 0.95, 0.999}) {
      CHECK(chi_square_tail(chi_square_quantile(tail, df), df) == Approx(tail).epsilon(1e-6));
    }
  }
}

TEST_CASE("an e-value is the mixture of all power calibrators") {
  for (const double p : {1e-5, 0.001, 0.05, 0.3, 0.9, 0.999, 0.99995}) {
    INFO(p);
    const auto one = [&](double k) { return k * std::pow(p, k - 1); };
    CHECK(e_value(p) == Approx(integral(one, 1e-12, 1, 20'000)).epsilon(1e-5));
  }
  CHECK(e_value(1) == 0.5);
}

TEST_CASE("an e-value never rises with p, is bounded, and NaN is no evidence") {
  double before = std::numeric_limits<double>::infinity();
  for (double log_p = -800; log_p <= 0; log_p += 0.01) {
    const double e = e_value(std::exp(log_p));
    REQUIRE(e <= before);
    before = e;
  }
  CHECK(e_value(0) == e_value(p_believed_min));
  CHECK(e_value(-1) == Approx(5'239.1).epsilon(1e-4));
  CHECK(e_value(2) == 0.5);
  CHECK(e_value(NAN) == 1);
}

TEST_CASE("the mean of an e-value of exact p-values is below 1 by what the floor takes") {
  const auto weighted = [](double t) { return e_value(std::exp(-t)) * std::exp(-t); };  // p = exp(-t)
  CHECK(integral(weighted, 0, 60, 200'000) == Approx(0.9329).epsilon(1e-3));
}
