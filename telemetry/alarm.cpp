#include "telemetry/alarm.hpp"

#include "telemetry/judge_eprocess.hpp"

#include <cmath>

namespace ferry::telemetry {
namespace {
constexpr double tightest_after = 200;  // inferences: minutes of a slow device
}

std::vector<Alarm> hard_alarms(const SanityTotals& totals, const AlarmLimits& limits) {
  std::vector<Alarm> alarms;
  const auto judge = [&](const char* reason, const char* what, std::uint64_t bad, std::uint64_t all, double share) {
    if (bad == 0 || bad > all) return;
    const double log_e = log_e_up(double(bad), double(all - bad), share, kappa_for(tightest_after, limits.alpha));
    if (log_e < std::log(1 / limits.alpha)) return;
    alarms.push_back({reason, std::to_string(bad) + " of " + std::to_string(all) + " " + what + "; at most " +
                                  std::to_string(std::lround(share * 1e6)) + " ppm are expected"});
  };
  judge("alarm.output_nan", "answers hold a NaN", totals.output_nan, totals.answered, limits.output_nan_share);
  judge("alarm.input_nan", "input tensors hold a NaN", totals.inputs_nan, totals.inputs, limits.input_nan_share);
  judge("alarm.input_range", "input tensors hold an infinity or a number beyond 1e30", totals.inputs_out_of_range,
        totals.inputs, limits.input_range_share);
  judge("alarm.errors", "inferences failed", totals.errors, totals.answered + totals.errors, limits.error_share);
  return alarms;
}

}  // namespace ferry::telemetry
