#include "telemetry/judge_pairs.hpp"

#include <cmath>
#include <limits>
#include <random>

using namespace ferry::telemetry;

namespace {

ExpHistogram sketch(std::size_t count, double seconds) {
  ExpHistogram made;
  for (std::size_t i = 0; i < count; ++i) made.record(seconds);
  return made;
}

DeviceCounts counts(std::size_t inferences, double seconds, std::uint64_t errors = 0) {
  DeviceCounts made;
  made.latency = sketch(inferences, seconds);
  made.errors = errors;
  return made;
}

PairLook look_of(DeviceCounts canary, DeviceCounts control) {
  PairLook look{.started = true};
  look.canary.counts = std::move(canary);
  look.control.counts = std::move(control);
  return look;
}

const PairBaseline usual{counts(3'600, 0.010), counts(3'600, 0.012)};
const JudgePolicy policy;

PairEvidence after(const PairLook& look, const PairBaseline& baseline = usual, PairEvidence so_far = {}) {
  return observe(std::move(so_far), baseline, look, policy, false);
}

}  // namespace

TEST_CASE("a quantile is interpolated inside its bucket, in octaves") {
  ExpHistogram one;  // all in the bucket (2^-7, 2^(-7 + 1/32)]
  for (int i = 0; i < 100; ++i) one.record(0.0079);
  const std::int64_t lower = bucket_uoct * ExpHistogram::index_of(0.0079);
  CHECK(log2_quantile_uoct(one, 500'000) == lower + bucket_uoct / 2);
  CHECK(log2_quantile_uoct(one, 990'000) == lower + 30'938);
  CHECK(log2_quantile_uoct({}, 500'000) == -20 * octave_uoct);
  ExpHistogram zeros;
  for (int i = 0; i < 100; ++i) zeros.record(0);
  CHECK(log2_quantile_uoct(zeros, 990'000) == -20 * octave_uoct);
}

TEST_CASE("every quantile of random latencies is within a bucket of the truth and rises with its rank") {
  std::mt19937_64 engine(2);
  std::lognormal_distribution<double> latency(-5, 1);
  ExpHistogram many;
  std::vector<double> truth;
  for (int i = 0; i < 5'000; ++i) {
    truth.push_back(latency(engine));
    many.record(truth.back());
  }
  std::sort(truth.begin(), truth.end());
  std::int64_t last = std::numeric_limits<std::int64_t>::min();
  for (std::int64_t ppm = 1'000; ppm <= 999'000; ppm += 1'000) {
    const std::int64_t found = log2_quantile_uoct(many, ppm);
    const double exact = 1e6 * std::log2(truth[std::size_t(std::ceil(double(ppm) / 1e6 * 5'000)) - 1]);
    REQUIRE(std::abs(double(found) - exact) <= double(bucket_uoct));
    REQUIRE(found >= last);
    last = found;
  }
}

TEST_CASE("a pair counts only once both devices have enough, and then for every resolution they have reached") {
  CHECK(after(look_of(counts(299, 0.01), counts(5'000, 0.01))).latency.empty());
  CHECK(after(look_of(counts(5'000, 0.01), counts(299, 0.01))).latency.empty());
  CHECK(after(look_of(counts(300, 0.01), counts(300, 0.01))).latency.size() == 1);
  CHECK(after(look_of(counts(900, 0.01), counts(1'000, 0.01))).latency.size() == 3);  // p50 300 and 900, p99 600
  const PairEvidence full = after(look_of(counts(3'600, 0.01), counts(3'600, 0.01)));
  REQUIRE(full.latency.size() == 6);
  CHECK(full.errors.size() == 3);
  CHECK(full.accuracy.empty());
  for (std::size_t i = 1; i < 6; ++i) {
    CHECK(std::pair(full.latency[i - 1].quantile_ppm, full.latency[i - 1].resolution) <
          std::pair(full.latency[i].quantile_ppm, full.latency[i].resolution));
  }
}

TEST_CASE("the difference is how much more the canary slowed down than its control, in octaves") {
  const PairEvidence pair = after(look_of(counts(300, 0.040), counts(300, 0.024)));  // four times, twice
  CHECK(std::abs(pair.latency.front().difference() - octave_uoct) <= bucket_uoct);
}

TEST_CASE("a value is frozen at its first maturity: later looks add resolutions and change nothing") {
  std::mt19937_64 engine(6);
  PairEvidence so_far;
  for (std::size_t inferences = 0; inferences <= 4'000; inferences += 100) {
    const PairLook look = look_of(counts(inferences, 0.01 * double(1 + engine() % 5)), counts(inferences, 0.01));
    const PairEvidence next = after(look, usual, so_far);
    REQUIRE(after(look, usual, next) == next);  // the same look twice
    for (const LatencyComparison& made : so_far.latency)
      REQUIRE(std::find(next.latency.begin(), next.latency.end(), made) != next.latency.end());
    so_far = next;
  }
  CHECK(so_far.latency.size() == 6);
}

TEST_CASE("without a baseline latency never counts; shares fall back to the two devices alone") {
  const PairBaseline none{counts(100, 0.01), counts(3'600, 0.01)};
  const PairEvidence pair = after(look_of(counts(2'700, 0.01, 300), counts(3'000, 0.01)), none);
  CHECK(pair.latency.empty());
  REQUIRE(pair.errors.size() == 3);
  CHECK_FALSE(pair.errors.front().has_baseline);
  CHECK(pair.errors.front().difference() == 100'000);
  // Enough for the median, not for p99.
  const PairBaseline half{counts(400, 0.01), counts(400, 0.01)};
  for (const auto& made : after(look_of(counts(3'600, 0.01), counts(3'600, 0.01)), half).latency)
    CHECK(made.quantile_ppm == 500'000);
}

TEST_CASE("errors count failed among all inferences, against both baselines") {
  const PairBaseline baseline{counts(900, 0.01, 100), counts(950, 0.01, 50)};  // 10 %, 5 %
  const PairEvidence pair = after(look_of(counts(700, 0.01, 300), counts(900, 0.01, 100)), baseline);
  CHECK(pair.errors.front().canary_before == 100'000);
  CHECK(pair.errors.front().canary_now == 300'000);
  CHECK(pair.errors.front().difference() == 150'000);  // +20 points, of which 5 the control has too
  // A canary that answers nothing still matures, and is as wrong as can be.
  CHECK(after(look_of(counts(0, 1, 300), counts(300, 0.01))).errors.front().difference() == 1'000'000);
}

TEST_CASE("accuracy counts audited labels, and more right ones than labels are all right") {
  DeviceCounts wrong = counts(0, 1), right = counts(0, 1), lying = counts(0, 1);
  wrong.audited = right.audited = lying.audited = 200;
  wrong.audited_correct = 100;
  right.audited_correct = 180;
  lying.audited_correct = std::numeric_limits<std::uint64_t>::max();
  const PairEvidence pair = after(look_of(wrong, right));
  REQUIRE(pair.accuracy.size() == 2);
  CHECK(pair.accuracy.front().difference() == 400'000);
  CHECK(after(look_of(lying, right)).accuracy.front().canary_now == 0);
}

TEST_CASE("who fell silent first is kept, who is silent now is not") {
  const auto silent = [](bool canary, bool control) {
    PairLook look = look_of(counts(0, 1), counts(0, 1));
    look.canary.last_report_age_s = canary ? policy.silent_after_s + 1 : policy.silent_after_s;
    look.control.last_report_age_s = control ? policy.silent_after_s + 1 : 0;
    return look;
  };
  for (const bool canary : {false, true}) {
    for (const bool control : {false, true}) {
      const PairEvidence pair = after(silent(canary, control));
      CHECK(pair.canary_silent == canary);
      CHECK(pair.control_silent == control);
      const FirstSilent expected = canary && control ? FirstSilent::both
                                   : canary          ? FirstSilent::canary
                                   : control         ? FirstSilent::control
                                                     : FirstSilent::none;
      CHECK(pair.first_silent == expected);
      for (const bool later : {false, true}) {  // whatever comes next
        const PairEvidence next = after(silent(later, !later), usual, pair);
        CHECK(next.first_silent ==
              (expected == FirstSilent::none ? (later ? FirstSilent::canary : FirstSilent::control) : expected));
        CHECK(next.canary_silent == later);
      }
    }
  }
  PairLook failed = silent(false, false);
  failed.canary.failed = true;
  CHECK(after(failed).canary_silent);
  CHECK(after(failed).first_silent == FirstSilent::canary);
}

TEST_CASE("a pair that has not started shows nothing, whatever its devices report") {
  PairLook look = look_of(counts(3'600, 1), counts(3'600, 0.01));
  look.started = false;
  look.canary.failed = true;
  CHECK(after(look) == PairEvidence{});
}

TEST_CASE("the digest names the four sketches: it changes with any count of any of them") {
  const auto digest = [](std::size_t a, std::size_t b, std::size_t c, std::size_t d) {
    return after(look_of(counts(a, 0.01), counts(b, 0.01)), {counts(c, 0.01), counts(d, 0.01)})
        .latency.front()
        .sources_sha256;
  };
  const std::string base = digest(300, 300, 600, 600);
  CHECK(base.size() == 64);
  CHECK(base == digest(300, 300, 600, 600));
  CHECK(base != digest(301, 300, 600, 600));
  CHECK(base != digest(300, 301, 600, 600));
  CHECK(base != digest(300, 300, 601, 600));
  CHECK(base != digest(300, 300, 600, 601));
}

TEST_CASE("the digest is over the text that the format document gives") {
  DeviceCounts canary_before = counts(600, 0.0079), canary_now = counts(300, 0.0079);
  canary_now.latency.record(0);
  const PairEvidence pair = after(look_of(canary_now, counts(300, 0.0079)), {canary_before, counts(600, 0.0079)});
  // sha256 of "0 -224:600\n1 -224:300\n0 -224:600\n0 -224:300\n"
  REQUIRE(ExpHistogram::index_of(0.0079) == -224);
  CHECK(pair.latency.front().sources_sha256 == "6add3c54f4c2940fdf5e3f98772820639141f0a2cd6113178fc104e36319e4f1");
}

TEST_CASE("a canary of a small fleet is compared with its own past too") {
  std::mt19937_64 engine(7);
  const auto latencies = [&](double factor) {
    std::lognormal_distribution<double> latency(std::log(0.01 * factor), 0.2);
    DeviceCounts made;
    for (int i = 0; i < 2'000; ++i) made.latency.record(latency(engine));
    return made;
  };
  const PairBaseline baseline{latencies(1), latencies(1)};
  const auto within = [&](double factor) {
    return observe({}, baseline, look_of(latencies(factor), latencies(1)), policy, true).within.value();
  };
  CHECK(within(1).p50_unats < 0);
  CHECK(within(1.15).p50_unats < 0);  // inside the 24 % margin
  CHECK(within(2).p50_unats > 10'000'000);
  CHECK(within(2).p99_unats > 3'000'000);
  CHECK_FALSE(after(look_of(latencies(1), latencies(1)), baseline).within);
}

TEST_CASE("hostile numbers do not get in: whatever is recorded, values stay in range") {
  std::mt19937_64 engine(10);
  const double odd[] = {std::nan(""), HUGE_VAL, -HUGE_VAL, -1, 0, 1e-300, 1e300, 5e-324, 0.01};
  for (int round = 0; round < 100; ++round) {
    const auto any = [&] {
      DeviceCounts made;
      for (std::size_t i = 0, count = engine() % 4'000; i < count; ++i) made.latency.record(odd[engine() % 9]);
      made.errors = engine() % 3 == 0 ? std::numeric_limits<std::uint64_t>::max() : engine() % 1'000;
      made.audited = engine() % 3 == 0 ? std::uint64_t{1} << 63 : engine() % 300;
      made.audited_correct = engine();
      return made;
    };
    const PairEvidence pair = after(look_of(any(), any()), {any(), any()});
    for (const LatencyComparison& made : pair.latency) {
      for (const std::int64_t value : {made.canary_before, made.canary_now, made.control_before, made.control_now}) {
        REQUIRE(value >= -20 * octave_uoct);
        REQUIRE(value <= 7 * octave_uoct);
      }
    }
    for (const auto* list : {&pair.errors, &pair.accuracy}) {
      for (const ShareComparison& made : *list) {
        for (const std::int64_t value : {made.canary_before, made.canary_now, made.control_before, made.control_now}) {
          REQUIRE(value >= 0);
          REQUIRE(value <= 1'000'000);
        }
        REQUIRE(std::abs(made.difference()) <= 1'000'000);
      }
    }
  }
}
