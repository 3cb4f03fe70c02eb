#include "telemetry/drift.hpp"

#include "telemetry/drift_math.hpp"
#include "tests/telemetry/drift_fixture.hpp"

#include <cmath>

using namespace ferry;
using namespace ferry::telemetry;
using test::Draws;

namespace {

constexpr std::int64_t hour_ms = 3'600'000;

const ReferenceProfile& reference() {
  static const ReferenceProfile made = test::drift_reference();
  return made;
}

// Steps hour by hour.
struct Cohort {
  DriftPolicy policy;
  DriftState state;
  std::int64_t now_ms = 1'000 * hour_ms;

  DriftStep take(const DriftCounts& counts) {
    auto step = drift_step(reference(), policy, state, counts, now_ms, now_ms + hour_ms);
    REQUIRE(step);
    now_ms += hour_ms;
    state = step->state;
    return *step;
  }
};

// A window with exactly the reference's shares: the least evidence there is.
DriftCounts perfect() {
  DriftCounts counts;
  counts[DriftFeature::classes].assign(10, 20);
  counts[DriftFeature::confidence].assign(20, 10);
  counts[DriftFeature::mnlp].assign(10, 20);
  return counts;
}

// All confidence in the lowest bins: the most evidence there is, and a fall of the estimated accuracy.
DriftCounts broken() {
  DriftCounts counts = perfect();
  counts[DriftFeature::confidence].assign(20, 0);
  counts[DriftFeature::confidence][0] = 200;
  return counts;
}

}  // namespace

TEST_CASE("predictions are collected until a window is full, and tested once") {
  Cohort cohort;
  Draws draws(1);
  CHECK_FALSE(cohort.take(test::drift_window(draws, reference(), 99)).report);
  CHECK_FALSE(cohort.take(test::drift_window(draws, reference(), 100)).report);
  CHECK(cohort.state.windows == 0);
  const DriftStep full = cohort.take(test::drift_window(draws, reference(), 1));
  REQUIRE(full.report);
  CHECK(full.report->start_ms == 1'000 * hour_ms);
  CHECK(full.report->end_ms == 1'003 * hour_ms);
  CHECK(full.report->window.tested == 3);
  for (const FeatureDrift& feature : full.report->window.features) CHECK(feature.n == 200);
  CHECK(full.state.pending.samples() == 0);
  CHECK(full.state.windows == 1);
}

TEST_CASE("an old window is tested from the minimum, and one below it waits for more") {
  Cohort cohort;
  Draws draws(2);
  CHECK_FALSE(cohort.take(test::drift_window(draws, reference(), 60)).report);
  for (int i = 0; i < 30; ++i) CHECK_FALSE(cohort.take({}).report);  // 31 h, 60 predictions: never tested
  const DriftStep old = cohort.take(test::drift_window(draws, reference(), 40));
  REQUIRE(old.report);
  CHECK(old.report->window[DriftFeature::mnlp].n == 100);
  CHECK_FALSE(cohort.take(test::drift_window(draws, reference(), 150)).report);  // the age starts anew
}

TEST_CASE("a feature with too few predictions waits while the others are tested") {
  Cohort cohort;
  DriftCounts counts = perfect();
  counts[DriftFeature::mnlp].assign(10, 5);
  const DriftStep first = cohort.take(counts);
  REQUIRE(first.report);
  CHECK(first.report->window.tested == 2);
  CHECK(first.report->window[DriftFeature::mnlp].use == DriftUse::missing);
  CHECK(first.state.pending.total(DriftFeature::mnlp) == 50);
  const DriftStep second = cohort.take(counts);
  REQUIRE(second.report);
  CHECK(second.report->window.tested == 3);
  CHECK(second.report->window[DriftFeature::mnlp].n == 100);
}

TEST_CASE("the detector is M = (1 + M) e, alarms at A and starts again at 0") {
  Cohort cohort;
  Draws draws(3);
  double m = 0;
  std::uint64_t alarms = 0;
  for (int i = 0; i < 60; ++i) {
    const DriftStep step = cohort.take(test::drift_window(draws, reference(), 200, i < 20 ? 0.0 : 0.1));
    REQUIRE(step.report);
    m = (1 + m) * step.report->window.e;
    CHECK(step.report->sr == m);
    CHECK(step.report->alarm == (m >= 1'000));
    if (m >= 1'000) {
      m = 0;
      ++alarms;
      CHECK(step.state.last_alarm_ms == step.report->end_ms);
    }
    CHECK(step.state.sr == m);
    CHECK(step.state.alarms == alarms);
  }
  CHECK(alarms >= 2);
}

TEST_CASE("without drift the mean run to a false alarm is at least A windows") {
  // A small, so that a unit test can count; the simulation (tests/sim/drift) does it at the default.
  Draws draws(4);
  const double alarm_at = 10;
  const int runs = 40;
  double sum = 0, squares = 0;
  for (int run = 0; run < runs; ++run) {
    Cohort cohort;
    cohort.policy.alarm_at = alarm_at;
    cohort.policy.hold_evidence = alarm_at;
    cohort.policy.window_samples = 100;
    int length = 0;
    while (cohort.state.alarms == 0 && length < 200) {  // cut short: the mean can only come out too small
      cohort.take(test::drift_window(draws, reference(), 100));
      ++length;
    }
    sum += length;
    squares += double(length) * length;
  }
  const double mean = sum / runs, error = std::sqrt((squares / runs - mean * mean) / runs);
  INFO("mean run " << mean << " windows, standard error " << error);
  CHECK(mean + 3 * error >= alarm_at);
  CHECK(mean < 200);  // it does alarm
}

TEST_CASE("more evidence in a window never lowers the detector, and never delays its alarm") {
  int alarm_before = 1'000;
  for (const double off : {0.05, 0.1, 0.2, 0.4, 0.8}) {
    Cohort cohort;
    DriftCounts counts = perfect();
    for (std::size_t bin = 0; bin < 20; ++bin) {  // exact shares: no chance in it
      counts[DriftFeature::confidence][bin] = std::uint64_t(std::llround(10 * (1 - off) + (bin < 2 ? 100 * off : 0)));
    }
    int length = 0;
    double e = 0;
    while (cohort.state.alarms == 0 && length < 500) {
      const DriftStep step = cohort.take(counts);
      e = step.report->window.e;
      ++length;
    }
    INFO("off " << off << ", e " << e);
    CHECK(length <= alarm_before);
    alarm_before = length;
  }
  CHECK(alarm_before == 1);
  for (const double m : {0.0, 0.3, 10.0, 999.0}) {  // and the detector rises with what came before
    Cohort low, high;
    low.state.sr = m;
    high.state.sr = m + 1;
    CHECK(low.take(perfect()).report->sr < high.take(perfect()).report->sr);
  }
}

TEST_CASE("a stored state continues as if it had never stopped") {
  Cohort straight, stopped;
  Draws draws(6);
  for (int i = 0; i < 150; ++i) {
    const double off = i > 60 && i < 90 ? 0.15 : 0;
    const DriftCounts counts = test::drift_window(draws, reference(), 20 + draws.below(300), off);
    auto printed = parse_drift_state(print_drift_state(stopped.state));
    REQUIRE(printed);
    REQUIRE(*printed == stopped.state);
    stopped.state = *printed;
    const DriftStep a = straight.take(counts), b = stopped.take(counts);
    REQUIRE(a.state == b.state);
    REQUIRE(a.report.has_value() == b.report.has_value());
    if (a.report) CHECK(drift_report_json(*a.report) == drift_report_json(*b.report));
  }
  CHECK(straight.state.alarms > 0);
}

TEST_CASE("the level rises with an alarm, to warn with a relevant shift, and falls when the evidence is gone") {
  Cohort cohort;
  CHECK(cohort.take(perfect()).report->level == DriftLevel::ok);
  const DriftStep alarm = cohort.take(broken());
  REQUIRE(alarm.report->alarm);
  CHECK(alarm.report->relevant);
  CHECK(alarm.report->level == DriftLevel::warn);
  CHECK(alarm.report->accuracy.now < alarm.report->accuracy.reference);
  CHECK(alarm.report->shift[std::size_t(DriftFeature::confidence)].tv > 0.8);
  CHECK(alarm.state.run_start_ms == alarm.report->start_ms);
  CHECK(alarm.state.run.samples() == 200);
  CHECK(alarm.state.run_log == Approx(std::log(100)));
  int windows = 0;
  double product = 100;  // the evidence that holds the level
  while (cohort.state.level != DriftLevel::ok) {
    const DriftStep step = cohort.take(perfect());
    ++windows;
    product *= step.report->window.e;
    CHECK(step.report->level == (product >= 1 ? DriftLevel::warn : DriftLevel::ok));
  }
  CHECK(windows == 7);  // of e = 1/2 each
  CHECK(cohort.state.run.samples() == 0);
  CHECK(cohort.state.run_log == 0);
  CHECK(cohort.state.run_start_ms == cohort.now_ms);
  CHECK(cohort.state.alarms == 1);
}

TEST_CASE("a lasting shift keeps its level between alarms, though the detector starts at 0 after each") {
  Cohort cohort;
  Draws draws(21);
  while (cohort.state.alarms == 0) cohort.take(test::drift_window(draws, reference(), 200, 0.1));
  int below_ten = 0;
  for (int i = 0; i < 100; ++i) {
    const DriftStep step = cohort.take(test::drift_window(draws, reference(), 200, 0.1));
    CHECK(step.report->level != DriftLevel::ok);
    below_ten += step.state.sr < 10 ? 1 : 0;
  }
  CHECK(below_ten > 10);
  CHECK(cohort.state.alarms > 5);
}

TEST_CASE("an alarm over a small shift stays a notice") {
  Cohort cohort;
  cohort.policy.tv_relevant = 0.9;
  cohort.policy.cbpe_drop_relevant = 0.9;
  const DriftStep step = cohort.take(broken());
  CHECK(step.report->alarm);
  CHECK_FALSE(step.report->relevant);
  CHECK(step.report->level == DriftLevel::notice);
  cohort.policy = {};  // the next window finds it relevant, without a new alarm
  cohort.state.sr = 0;
  CHECK(cohort.take(perfect()).report->level == DriftLevel::warn);
}

TEST_CASE("a relevant shift without an alarm raises nothing") {
  Cohort cohort;
  cohort.policy.alarm_at = 1e9;
  const DriftStep step = cohort.take(broken());
  CHECK(step.report->relevant);
  CHECK_FALSE(step.report->alarm);
  CHECK(step.report->level == DriftLevel::ok);
}

TEST_CASE("a shift is relevant by its distance, by the estimated accuracy or by the median, each alone") {
  const auto relevant = [](const DriftCounts& counts, bool tv, bool accuracy) {
    Cohort cohort;
    if (!tv) cohort.policy.tv_relevant = 1;
    if (!accuracy) cohort.policy.cbpe_drop_relevant = 1;
    const DriftStep step = cohort.take(counts);
    return step.report->relevant;
  };
  DriftCounts classes = perfect(), accuracy = perfect(), median = perfect();
  classes[DriftFeature::classes] = {110, 10, 10, 10, 10, 10, 10, 10, 10, 10};
  accuracy[DriftFeature::confidence][0] = 30;  // a tenth falls from the top to the bottom: 4.6 points
  accuracy[DriftFeature::confidence][18] = accuracy[DriftFeature::confidence][19] = 0;
  median[DriftFeature::mnlp] = {101, 11, 11, 11, 11, 11, 11, 11, 11, 11};
  CHECK(relevant(classes, true, false));
  CHECK_FALSE(relevant(classes, false, true));
  CHECK(relevant(accuracy, false, true));
  CHECK_FALSE(relevant(accuracy, true, false));
  CHECK(relevant(median, false, false));
  CHECK_FALSE(relevant(perfect(), true, true));
}

TEST_CASE("only a warning becomes critical, and only by a second witness") {
  for (const DriftLevel level : {DriftLevel::ok, DriftLevel::notice, DriftLevel::warn, DriftLevel::critical}) {
    for (int bits = 0; bits < 8; ++bits) {
      const DriftWitness witness{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
      const DriftLevel expected = level == DriftLevel::warn && bits != 0 ? DriftLevel::critical : level;
      CHECK(with_witness(level, witness) == expected);
    }
  }
}

TEST_CASE("the run begins at the estimated change") {
  Cohort cohort;
  Draws draws(8);
  for (int i = 0; i < 50; ++i) cohort.take(test::drift_window(draws, reference(), 200));
  const std::int64_t change_ms = cohort.now_ms;
  while (cohort.state.alarms == 0) cohort.take(test::drift_window(draws, reference(), 200, 0.12));
  CHECK(std::abs(cohort.state.run_start_ms - change_ms) <= 5 * hour_ms);
  CHECK(cohort.state.run_log > 0);
}

TEST_CASE("the state stays bounded however long and hard it drifts") {
  Cohort cohort;
  DriftCounts huge = broken();
  for (auto& bins : huge.bins) {
    for (auto& count : bins) count *= 1'000'000'000;
  }
  for (int i = 0; i < 50; ++i) {
    const DriftStep step = cohort.take(huge);
    CHECK(step.state.run_log <= std::log(cohort.policy.hold_evidence));
    CHECK(step.state.sr < cohort.policy.alarm_at);
    CHECK(step.state.run.samples() <= drift_counts_max);
    CHECK(parse_drift_state(print_drift_state(step.state)).has_value());
  }
}

TEST_CASE("hostile windows change nothing but are told") {
  Cohort cohort;
  Draws draws(9);
  ReleaseWindow window = test::as_release_window(reference(), test::drift_window(draws, reference(), 150));
  window.classes[0] = std::numeric_limits<std::uint64_t>::max();
  window.confidence.bounds.pop_back();
  window.mnlp = {};
  const auto step = drift_step(reference(), cohort.policy, cohort.state, window, 0, 1);
  REQUIRE(step);
  CHECK(step->read == std::array{DriftUse::impossible, DriftUse::other_bins, DriftUse::missing});
  CHECK(step->state.pending.samples() == 0);
  CHECK_FALSE(step->report);

  DriftCounts counts;
  counts[DriftFeature::classes].assign(11, 100);
  counts[DriftFeature::confidence].assign(20, drift_counts_max);
  counts[DriftFeature::mnlp].assign(10, 0);
  const auto pooled = drift_step(reference(), cohort.policy, cohort.state, counts, 0, 1);
  REQUIRE(pooled);
  CHECK(pooled->read == std::array{DriftUse::other_bins, DriftUse::impossible, DriftUse::missing});
  CHECK(pooled->state.pending.samples() == 0);

  const auto thin = drift_step(test::drift_reference(1'000), cohort.policy, cohort.state, perfect(), 0, 1);
  REQUIRE(thin);
  for (const DriftUse use : thin->read) CHECK(use == DriftUse::no_reference);
  CHECK_FALSE(thin->report);
  CHECK_FALSE(drift_step({}, cohort.policy, cohort.state, perfect(), 0, 1)->report);
}

TEST_CASE("times, policies and states that do not fit are refused") {
  const DriftPolicy policy;
  const std::int64_t far = std::numeric_limits<std::int64_t>::max();
  for (const auto& [start, end] : {std::pair{-1LL, 1LL}, {2LL, 1LL}, {0LL, (long long)far}, {(long long)far, 0LL}}) {
    const auto step = drift_step(reference(), policy, {}, perfect(), start, end);
    REQUIRE_FALSE(step);
    CHECK(step.error().code == Errc::bad_input);
    CHECK_THAT(step.error().context, Catch::Contains("times"));
  }
  CHECK(drift_step(reference(), {.alarm_at = NAN}, {}, perfect(), 0, 1).error().code == Errc::bad_input);
  DriftState other;
  other.run[DriftFeature::classes].assign(7, 1);
  CHECK(drift_step(reference(), policy, other, perfect(), 0, 1).error().code == Errc::conflict);
  other = {};
  other.pending[DriftFeature::mnlp].assign(3, 1);
  CHECK(drift_step(reference(), policy, other, perfect(), 0, 1).error().code == Errc::conflict);
}
