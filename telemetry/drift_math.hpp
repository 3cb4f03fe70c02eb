// The few functions that drift detection needs from statistics: chi-square tails and the step from p to e.
#pragma once

namespace ferry::telemetry {

// P(X >= x) for X chi-square with df > 0 degrees of freedom; x below 0 or NaN counts as 0. Relative error below 1e-9
// down to 1e-300. Regularised upper incomplete gamma function Q(df/2, x/2): Abramowitz & Stegun 6.5.29 and 6.5.31.
double chi_square_tail(double x, double df);

// The same for the non-central distribution, lambda >= 0 its non-centrality (the mean is df + lambda): a Poisson
// mixture of central tails, Abramowitz & Stegun 26.4.25.
double noncentral_chi_square_tail(double x, double df, double lambda);

// The x that chi_square_tail(x, df) = tail, for tail in [1e-12, 1): Newton's method, relative error below 1e-9.
double chi_square_quantile(double tail, double df);

// Below this a p-value is not believed: the chi-square approximation is not that good, and no decision needs it.
constexpr double p_believed_min = 1e-6;

// The e-value of a p-value, STATS.md §2.4: (1 - p + p ln p) / (p ln² p), the mixture of all calibrators k p^(k-1)
// (Vovk and Wang, "E-values", 2021). Falls from 5,239 at p <= p_believed_min to 1/2 at p = 1. Its mean under
// "no drift" is 1 for exact p-values without the floor; the floor keeps 0.933 of it, and the rest pays for what the
// chi-square approximation owes. NaN: 1 (no evidence).
double e_value(double p);

}  // namespace ferry::telemetry
