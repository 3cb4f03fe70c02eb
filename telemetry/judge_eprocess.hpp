// E-processes: evidence against a null hypothesis that stays valid however often it is looked at (STATS.md §4.2-4.5).
// Under the null the expected value is at most 1 at every stopping time, so P(ever E >= 1/alpha) <= alpha (Ville).
#pragma once
#include "telemetry/exp_histogram.hpp"

#include <array>
#include <cstdint>
#include <span>

namespace ferry::telemetry {

// All functions are pure and thread-safe. Evidence is a natural logarithm ("nats"); 0 means none, i.e. E = 1.

// ln I_x(a, b), the regularised incomplete beta function, for a, b > 0 and 0 <= x <= 1 (-inf at x = 0). Lentz's
// continued fraction; relative error of I below 1e-9 for a + b <= 1e6.
double log_incomplete_beta(double x, double a, double b);

// The weight of the prior that makes the process tightest after about `observations` observations at level `alpha`:
// t / L - 1, L = 2 ln(1/(2 alpha)) + ln(1 + 2 ln(1/(2 alpha))), at least 0.001. kappa_for(30, 0.05) = 3.7402.
double kappa_for(double observations, double alpha);

// Null: each of the observations succeeds with probability <= p0, given the past. `successes` and `failures` >= 0,
// 0 < p0 < 1, kappa > 0. Prior Beta(kappa p0, kappa (1 - p0)) cut to (p0, 1): a beta-binomial mixture in closed form,
// so the order of the observations does not matter (Howard, Ramdas et al., "Time-uniform Chernoff bounds", and
// confseq).
double log_e_up(double successes, double failures, double p0, double kappa);
// The mirror: null success probability >= p0.
double log_e_down(double successes, double failures, double p0, double kappa);

// ln of the weighted mean of exp(logs[i]); weights >= 0 with a positive sum, as many as logs. The mean of e-processes
// over the same data is an e-process, whatever their dependence. 0 without logs.
double log_weighted_mean_exp(std::span<const double> logs, std::span<const double> weights);
double log_mean_exp(std::span<const double> logs);

// Graded signs. A pair's score is a whole number of eighths, -8 … 8: a non-decreasing odd function of how far the pair
// is from the margin. `counts[i]` pairs have score i - 8. Null: for every size of score, plus is no likelier than
// minus, given the past. Each bet lambda in (0, 1) multiplies its capital by 1 + lambda * score/8; E is the mean over a
// fixed grid lambda_j = sin((j - 1/2) pi / 64), j = 1 … 32, with weights cos(…)^(kappa - 1). With full scores only this
// is log_e_up(s, f, 1/2, kappa) up to the grid; scores near zero stake little, so a pair at the margin cannot undo the
// rest.
constexpr int score_max = 8;
using ScoreCounts = std::array<std::int64_t, 2 * score_max + 1>;
double log_e_scores(const ScoreCounts& counts);

// Null: E[x] <= margin, for values in [-1, 1] given the past; 0 <= margin < 1. Mean of eight fixed bets
// lambda_g = (g/9) / (1 + margin): order-free, hence recomputable (Waudby-Smith & Ramdas, "Betting"). One value changes
// the result by a factor between 1/9 and 17/9, whatever it is.
double log_e_bets(std::span<const double> values, double margin);

// Requests of ONE device against its own past, or of identical machines: not for fleets, whose devices differ (§4.4).
// Null: Q_new(p) <= 2^(margin_buckets/32) Q_old(p). Exact on the counts, no sketch error (STATS.md §4.3). 0 when either
// sketch is empty. 0 < p < 1, margin_buckets >= 0.
double log_e_quantile_slower(const ExpHistogram& older, const ExpHistogram& newer, double p, int margin_buckets,
                             double kappa);

}  // namespace ferry::telemetry
