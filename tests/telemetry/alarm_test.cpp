#include "telemetry/alarm.hpp"

#include <random>

using namespace ferry::telemetry;

namespace {

SanityTotals healthy() {
  SanityTotals totals;
  totals.answered = totals.inputs = 10'000;
  return totals;
}
std::vector<std::string> reasons_of(const SanityTotals& totals) {
  std::vector<std::string> reasons;
  for (const Alarm& alarm : hard_alarms(totals)) reasons.push_back(alarm.reason);
  return reasons;
}
using Reasons = std::vector<std::string>;

}  // namespace

TEST_CASE("a healthy release and a few odd inferences raise nothing") {
  CHECK(reasons_of({}) == Reasons{});
  SanityTotals totals = healthy();
  CHECK(reasons_of(totals) == Reasons{});
  totals.output_nan = 1;
  totals.inputs_nan = 50;
  totals.inputs_out_of_range = 300;
  totals.errors = 100;
  CHECK(reasons_of(totals) == Reasons{});
}

TEST_CASE("each kind of trouble raises its own alarm, with the counts") {
  SanityTotals totals = healthy();
  totals.output_nan = 200;
  CHECK(reasons_of(totals) == Reasons{"alarm.output_nan"});
  CHECK(hard_alarms(totals)[0].message == "200 of 10000 answers hold a NaN; at most 1000 ppm are expected");
  totals = healthy();
  totals.inputs_nan = 400;
  CHECK(reasons_of(totals) == Reasons{"alarm.input_nan"});
  totals = healthy();
  totals.inputs_out_of_range = 1'000;
  CHECK(reasons_of(totals) == Reasons{"alarm.input_range"});
  totals = healthy();
  totals.errors = 600;
  CHECK(reasons_of(totals) == Reasons{"alarm.errors"});
}

TEST_CASE("a model that only answers NaN is told after a handful of inferences") {
  SanityTotals totals;
  totals.answered = totals.output_nan = 5;
  CHECK(reasons_of(totals) == Reasons{"alarm.output_nan"});
}

TEST_CASE("at the limit itself an alarm is rare, however often one looks") {
  int alarms = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    std::mt19937_64 dice(seed);
    std::bernoulli_distribution fails(AlarmLimits{}.error_share);
    SanityTotals totals;
    bool raised = false;
    for (int n = 0; n < 2'000 && !raised; ++n) {
      if (fails(dice))
        ++totals.errors;
      else
        ++totals.answered;
      raised = !hard_alarms(totals).empty();
    }
    alarms += raised ? 1 : 0;
  }
  CHECK(alarms <= 2);
}
