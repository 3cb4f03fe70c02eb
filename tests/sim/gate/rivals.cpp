#include "tests/sim/gate/rivals.hpp"

#include "telemetry/judge_eprocess.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ferry::sim {
namespace {

MinuteSketch merged(const std::vector<DeviceTrace>& devices, bool after, int minute) {
  MinuteSketch sum;
  for (const DeviceTrace& device : devices) sum.merge((after ? device.after : device.before)[std::size_t(minute)]);
  return sum;
}

struct Series {
  std::vector<MinuteSketch> canary, control;  // group per minute
  MinuteSketch canary_before;
};

Series series_of(const FleetTrace& trace) {
  Series made;
  for (int minute = 0; minute < int(trace.canaries.front().after.size()); ++minute) {
    made.canary.push_back(merged(trace.canaries, true, minute));
    made.control.push_back(merged(trace.controls, true, minute));
  }
  for (int minute = 0; minute < int(trace.canaries.front().before.size()); ++minute)
    made.canary_before.merge(merged(trace.canaries, false, minute));
  return made;
}

std::vector<double> points(const std::vector<MinuteSketch>& minutes, double p, int end) {
  std::vector<double> made;
  for (int i = 0; i < end; ++i) made.push_back(minutes[std::size_t(i)].quantile(p));
  return made;
}

int kayenta_looks(const Series& series, const std::vector<double>& quantiles, const std::vector<int>& looks,
                  double allowed_increase) {
  for (const int look : looks) {
    if (look > int(series.canary.size())) break;
    for (const double p : quantiles) {
      if (kayenta_high(points(series.canary, p, look), points(series.control, p, look), allowed_increase)) return look;
    }
  }
  return never;
}

int strikes(const Series& series) {
  constexpr double factor = 1.2;
  constexpr int strikes_max = 5;
  const double limit = factor * series.canary_before.quantile(0.99);
  int failed = 0;
  for (std::size_t i = 0; i < series.canary.size(); ++i) {
    failed += series.canary[i].quantile(0.99) > limit;
    if (failed == strikes_max) return int(i) + 1;
  }
  return never;
}

// Looks less often than it may, because a look at 100 devices' requests is dear; that is in the rule's favour.
int requests_sequential(const Series& series, double p) {
  constexpr double kappa_observations = 5'000;
  constexpr int margin_buckets = 2;
  const double kappa = telemetry::kappa_for(kappa_observations, 0.05), reject = std::log(1 / 0.05);
  MinuteSketch canary, control;
  for (std::size_t i = 0; i < series.canary.size(); ++i) {
    canary.merge(series.canary[i]);
    control.merge(series.control[i]);
    const int minute = int(i) + 1;
    if (minute > 2 && minute % 5 != 0) continue;
    if (telemetry::log_e_quantile_slower(control.to_histogram(), canary.to_histogram(), p, margin_buckets, kappa) >=
        reject) {
      return minute;
    }
  }
  return never;
}

}  // namespace

bool kayenta_high(const std::vector<double>& canary, const std::vector<double>& control, double allowed_increase) {
  constexpr double z = 2.326347874;  // two-sided 98 %
  constexpr double tolerance = 0.25;
  std::vector<double> shifts;
  for (const double a : canary) {
    for (const double b : control) shifts.push_back(a - b);
  }
  std::sort(shifts.begin(), shifts.end());
  const double n = double(canary.size()), m = double(control.size());
  const double low_rank = n * m / 2 - z * std::sqrt(n * m * (n + m + 1) / 12);
  if (low_rank < 1) return false;
  const double low = shifts[std::size_t(low_rank) - 1], estimate = shifts[shifts.size() / 2];
  const auto mean = [](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / double(values.size());
  };
  return low > tolerance * std::abs(estimate) && mean(canary) / mean(control) >= allowed_increase;
}

std::vector<Fired> run_rivals(const FleetTrace& trace) {
  const Series series = series_of(trace);
  const std::vector<int> one_look{60}, looks{20, 30, 40, 50, 60};
  return {{"Kayenta p50, one look", kayenta_looks(series, {0.5}, one_look, 1.0)},
          {"Kayenta p50 or p99, every 10 min from 20", kayenta_looks(series, {0.5, 0.99}, looks, 1.0)},
          {"Kayenta p99, allowedIncrease 1.05, one look", kayenta_looks(series, {0.99}, one_look, 1.05)},
          {"p99 > 1.2 x before, 5 strikes", strikes(series)},
          {"requests, sequential, p50", requests_sequential(series, 0.5)},
          {"requests, sequential, p99", requests_sequential(series, 0.99)}};
}

}  // namespace ferry::sim
