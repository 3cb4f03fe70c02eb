// The telemetry that virtual devices send looks like what the plan says.
#include "tests/fleet/traffic.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

using namespace ferry;
using namespace ferry::fleet;

namespace {

constexpr std::int64_t noon_ms = 1'764'072'000'000;
constexpr std::int64_t minute_ms = 60'000;

ota::Manifest manifest() {
  ota::Manifest made;
  made.model = "fashion-mnist";
  made.version = "1.0.0";
  made.contract.labels = {"a", "b", "c"};
  return made;
}
// Class 2 twice as often as 0, never 1; sure answers are right, unsure ones are not.
std::string reference() {
  std::vector<telemetry::ReferenceSample> samples;
  for (int i = 0; i < 300; ++i) {
    const bool sure = i % 3 != 0;
    telemetry::ReferenceSample sample;
    sample.prediction = {sure ? std::size_t{2} : std::size_t{0}, sure ? 0.95 : 0.4, sure ? 8.0 : 2.0};
    sample.correct = sure;
    samples.push_back(sample);
  }
  return telemetry::print_reference_profile(telemetry::make_reference_profile(samples, 3));
}
telemetry::ReleaseWindow minutes_of(const Traffic& traffic, const ReleaseBehaviour& behaviour, int minutes,
                                    std::uint64_t seed = 3) {
  const KnownRelease release(manifest(), reference());
  DeviceTraffic device(traffic, 1, seed);
  auto window = DeviceTraffic::window_of({"fashion-mnist", "1.0.0", "", "a", "", "none"}, release);
  for (int i = 0; i < minutes; ++i)
    device.pass(noon_ms + i * minute_ms, noon_ms + (i + 1) * minute_ms, release, behaviour, window);
  return window;
}
double share(std::uint64_t part, std::uint64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

// One device without differences, drift or tail: what is left is the spread of requests.
Traffic plain() {
  return {.per_s = 50, .median_ms = 10, .device_spread = 0, .drift_spread = 0, .heavy_share = 0, .daily_swing = 0};
}

}  // namespace

TEST_CASE("inferences come at the planned rate, with lognormal latency around the planned median") {
  const auto window = minutes_of(plain(), {}, 20);
  CHECK(static_cast<double>(window.duration.count()) == Approx(50 * 60 * 20).epsilon(0.03));
  CHECK(window.duration.quantile(0.5) == Approx(0.010).epsilon(0.03));
  // 2.326 standard deviations of 0.2 above the median.
  CHECK(window.duration.quantile(0.99) == Approx(0.010 * std::exp(2.326 * 0.2)).epsilon(0.05));
  CHECK(window.errors.empty());
  CHECK(window.worker_memory_bytes == std::uint64_t{60} * 1024 * 1024);
}

TEST_CASE("a release is as slow, as heavy-tailed and as erroneous as planned") {
  const auto window = minutes_of(plain(), {.latency_factor = 3, .tail_share = 0.05, .error_share = 0.1}, 20);
  CHECK(window.duration.quantile(0.5) == Approx(0.030).epsilon(0.05));
  CHECK(window.duration.quantile(0.99) > 0.080);  // three times the median lies in the tail's 5 %
  const std::uint64_t errors = window.errors.at("runtime");
  CHECK(share(errors, errors + window.duration.count()) == Approx(0.1).epsilon(0.1));
}

TEST_CASE("devices differ from each other for ever, by the planned spread") {
  Traffic traffic = plain();
  traffic.device_spread = 0.3;
  std::vector<double> medians;
  for (std::uint64_t seed = 1; seed <= 60; ++seed)
    medians.push_back(std::log(minutes_of(traffic, {}, 1, seed).duration.quantile(0.5)));
  const double mean = std::accumulate(medians.begin(), medians.end(), 0.0) / 60;
  double squares = 0;
  for (const double median : medians) squares += (median - mean) * (median - mean);
  CHECK(std::sqrt(squares / 59) == Approx(0.3).epsilon(0.35));
}

TEST_CASE("answers, confidences and mistakes follow the release's reference profile") {
  const auto window = minutes_of(plain(), {}, 20);
  const std::uint64_t answers = window.duration.count();
  CHECK(std::accumulate(window.classes.begin(), window.classes.end(), std::uint64_t{0}) == answers);
  CHECK(share(window.classes.at(0), answers) == Approx(1.0 / 3).epsilon(0.05));
  CHECK(window.classes.at(1) == 0);
  CHECK(window.confidence.total() == answers);
  CHECK(window.mnlp.total() == answers);
  const std::uint64_t right = window.labels.at({"audit", true}), wrong = window.labels.at({"audit", false});
  CHECK(share(right + wrong, answers) == Approx(0.1).epsilon(0.1));
  CHECK(share(right, right + wrong) == Approx(2.0 / 3).epsilon(0.05));
}

TEST_CASE("accuracy and drift of a release win over its reference profile") {
  const auto window = minutes_of(plain(), {.accuracy = 0.3, .drift_share = 0.5, .drift_class = 1}, 20);
  const std::uint64_t right = window.labels.at({"audit", true}), wrong = window.labels.at({"audit", false});
  CHECK(share(right, right + wrong) == Approx(0.3).epsilon(0.1));
  CHECK(share(window.classes.at(1), window.duration.count()) == Approx(0.5).epsilon(0.05));
}

TEST_CASE("what is no reference profile leaves the default edges and equal classes") {
  const KnownRelease release(manifest(), "random bytes");
  CHECK(release.edges().confidence == telemetry::default_edges().confidence);
  CHECK(release.class_at(0.2) == 0);
  CHECK(release.class_at(0.9) == 2);
  CHECK(release.accuracy() == Approx(0.9));
}

TEST_CASE("time that does not pass, and a rate of nothing, make no inferences") {
  Traffic silent = plain();
  silent.per_s = 0;
  CHECK(minutes_of(silent, {}, 5).empty());
  const KnownRelease release(manifest(), reference());
  DeviceTraffic device(plain(), 1, 1);
  auto window = DeviceTraffic::window_of({}, release);
  device.pass(noon_ms, noon_ms, release, {}, window);
  device.pass(noon_ms, noon_ms - 5, release, {}, window);
  CHECK(window.empty());
}
