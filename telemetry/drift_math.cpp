#include "telemetry/drift_math.hpp"

#include <algorithm>
#include <cmath>

namespace ferry::telemetry {
namespace {

constexpr int terms_max = 100'000;
constexpr double enough = 1e-15;

// x^a e^-x / Gamma(a + 1)
double gamma_term(double a, double x) { return std::exp(a * std::log(x) - x - std::lgamma(a + 1)); }

// Q(a, x) for a, x > 0. Series of P below a + 1, Lentz's continued fraction of Q above: each converges fast there.
double upper_gamma(double a, double x) {
  const double front = gamma_term(a, x);
  if (x < a + 1) {
    double term = 1, sum = 1;
    for (int k = 1; k < terms_max && term > sum * enough; ++k) sum += term *= x / (a + k);
    return std::clamp(1 - front * sum, 0.0, 1.0);
  }
  double b = x + 1 - a;
  double c = 1e300, d = 1 / b, fraction = d;
  for (int k = 1; k < terms_max; ++k) {
    const double numerator = -k * (k - a);
    b += 2;
    d = 1 / (numerator * d + b);
    c = b + numerator / c;
    fraction *= c * d;
    if (std::abs(c * d - 1) < enough) break;
  }
  return std::clamp(front * a * fraction, 0.0, 1.0);
}

}  // namespace

double chi_square_tail(double x, double df) {
  if (!(x > 0)) return 1;
  if (std::isinf(x)) return 0;
  return upper_gamma(df / 2, x / 2);
}

double noncentral_chi_square_tail(double x, double df, double lambda) {
  if (!(x > 0)) return 1;
  if (std::isinf(x)) return 0;
  if (!(lambda > 0)) return chi_square_tail(x, df);
  // Only the Poisson weights around their mean count: 12 standard deviations and some leave out less than 1e-30.
  const double mean = lambda / 2, reach = 12 * std::sqrt(mean) + 40;
  const double first = std::floor(std::max(0.0, mean - reach)), last = mean + reach;
  double tail = upper_gamma(df / 2 + first, x / 2);
  double step = gamma_term(df / 2 + first, x / 2);  // Q(a + 1, x) = Q(a, x) + x^a e^-x / Gamma(a + 1)
  double weight = std::exp(first * std::log(mean) - mean - std::lgamma(first + 1));
  double sum = 0;
  for (double j = first; j <= last; ++j) {
    sum += weight * tail;
    tail = std::min(1.0, tail + step);
    step *= x / 2 / (df / 2 + j + 1);
    weight *= mean / (j + 1);
  }
  return std::clamp(sum, 0.0, 1.0);
}

double chi_square_quantile(double tail, double df) {
  double x = df;
  while (chi_square_tail(x, df) > tail) x += 2 * std::sqrt(2 * df) + 2;
  // Newton on the logarithm of the tail: concave from df = 2 on, convex below, so it never swings.
  for (int k = 0; k < 100; ++k) {
    const double at_x = chi_square_tail(x, df);
    const double density = gamma_term(df / 2, x / 2) * df / (2 * x);
    const double step = std::log(tail / at_x) * at_x / density;
    x = std::max(x / 8, x - step);
    if (!(std::abs(step) > 1e-12 * x)) break;
  }
  return x;
}

double e_value(double p) {
  if (std::isnan(p)) return 1;
  // With t = -ln p the formula is (e^t - 1 - t) / t², which near 0 is 1/2 + t/6.
  const double t = -std::log(std::clamp(p, p_believed_min, 1.0));
  return t < 1e-4 ? 0.5 + t / 6 : (std::expm1(t) - t) / (t * t);
}

}  // namespace ferry::telemetry
