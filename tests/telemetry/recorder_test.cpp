#include "telemetry/recorder.hpp"

#include <cmath>
#include <limits>

using namespace ferry::telemetry;

namespace {
const ReleaseKey key{"fashion-mnist", "1.0.0", std::string(64, 'b'), "a", "", "none"};
}

TEST_CASE("a prediction is read from logits as the formulas say") {
  const std::vector<float> logits{1.0f, 3.0f, 2.0f};
  const Prediction seen = read_prediction(logits);
  const double sum = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
  CHECK(seen.top_class == 1);
  CHECK(seen.confidence == Approx(std::exp(3.0) / sum));
  CHECK(seen.mnlp_bits == Approx((std::log(sum) - 2.0) / std::log(2.0)));
}

TEST_CASE("huge logits do not overflow and a NaN poisons only its own prediction") {
  CHECK(read_prediction(std::vector<float>{1e30f, -1e30f}).confidence == Approx(1.0));
  CHECK(std::isnan(read_prediction(std::vector<float>{1.0f, NAN}).confidence));
}

TEST_CASE("a window holds what happened since the last one, per release") {
  Recorder recorder;
  recorder.describe(key, 3, {});
  const Prediction prediction{2, 0.9, 4.5};
  recorder.inference(key, 0.002, &prediction);
  recorder.inference(key, 0.003, &prediction);
  recorder.error(key, "timeout");
  recorder.label(key, "audit", true);
  recorder.worker_memory(key, 99);
  ReleaseKey other = key;
  other.version = "1.1.0";
  recorder.inference(other, 0.001, nullptr);

  const WindowReport first = recorder.take(5'000);
  REQUIRE(first.releases.size() == 2);
  CHECK(first.releases[0].duration.count() == 2);
  CHECK(first.releases[0].classes == std::vector<std::uint64_t>{0, 0, 2});
  CHECK(first.releases[0].confidence.total() == 2);
  CHECK(first.releases[0].errors.at("timeout") == 1);
  CHECK(first.releases[0].labels.at({"audit", true}) == 1);
  CHECK(first.releases[0].worker_memory_bytes == 99);
  CHECK(first.releases[1].confidence.total() == 0);

  const WindowReport second = recorder.take(9'000);
  CHECK(second.releases.empty());
  CHECK(second.start_unix_ms == 5'000);
  CHECK(second.end_unix_ms == 9'000);
}

TEST_CASE("a clock that went back gives an empty window, never one that ends before it starts") {
  Recorder recorder;
  (void)recorder.take(9'000);
  const WindowReport report = recorder.take(4'000);
  CHECK(report.start_unix_ms <= report.end_unix_ms);
}

TEST_CASE("more releases than fit in a window are dropped, memory stays bounded") {
  Recorder recorder;
  for (int i = 0; i < 100; ++i) {
    ReleaseKey many = key;
    many.version = "1.0." + std::to_string(i);
    recorder.inference(many, 0.001, nullptr);
  }
  CHECK(recorder.take(1).releases.size() == Recorder::releases_max);
}

TEST_CASE("an inference is recorded with its inputs and outputs, and counts towards the totals of its release") {
  Recorder recorder;
  recorder.describe(key, 3, {});
  InputStats looked;
  looked.tensors = 1;
  looked.values = 4;
  looked.sum = 2;
  looked.squares = 1;
  looked.min = looked.max = 0.5;
  looked.constant = looked.out_of_range = 1;
  const InputSeen inputs[] = {{"image", looked}};
  InferenceSeen seen;
  seen.seconds = 0.002;
  seen.inputs = inputs;
  seen.outputs.nan = 1;
  CHECK_FALSE(recorder.record(key, seen));
  seen.outputs = {};
  seen.error_type = "trial.hang";
  CHECK_FALSE(recorder.record(key, seen));
  recorder.label(key, "audit", true, 70);
  recorder.label(key, "user", false);
  recorder.unjoinable_label(key);
  recorder.refused_request(key);
  recorder.shadowed(key, "0.9.0", 1, 2, 0.25);
  const WindowReport report = recorder.take(5'000);
  REQUIRE(report.releases.size() == 1);
  const ReleaseWindow& window = report.releases[0];
  CHECK(window.inputs.at("image").tensors == 2);
  CHECK(window.inputs.at("image").values == 8);
  CHECK(window.outputs.nan == 1);
  CHECK(window.errors.at("trial.hang") == 1);
  CHECK(window.label_delay == DelayOctaves{{6, 1}});
  CHECK(window.labels_unjoinable == 1);
  CHECK(window.requests_refused == 1);
  CHECK(window.shadow.at("0.9.0").disagreed.at({1, 2}) == 1);
  const auto totals = recorder.sanity();  // they go on over windows
  REQUIRE(totals.size() == 1);
  CHECK(totals[0].key == key);
  CHECK(totals[0].answered == 1);
  CHECK(totals[0].errors == 1);
  CHECK(totals[0].output_nan == 1);
  CHECK(totals[0].inputs == 2);
  CHECK(totals[0].inputs_out_of_range == 2);
}

TEST_CASE("a window says when it is full, and the closed ones wait in order") {
  Recorder recorder(3);
  InferenceSeen seen;
  for (int window = 0; window < 4; ++window) {
    CHECK_FALSE(recorder.record(key, seen));
    CHECK_FALSE(recorder.record(key, seen));
    CHECK(recorder.record(key, seen));
    recorder.close(1'000 * (window + 1));
  }
  recorder.close(9'000);  // nothing happened: no window
  auto closed = recorder.take_closed();
  REQUIRE(closed.size() == 4);
  for (std::size_t i = 0; i < closed.size(); ++i) {
    CHECK(closed[i].inference_count() == 3);
    CHECK(closed[i].end_unix_ms == 1'000 * std::int64_t(i + 1));
  }
  CHECK(recorder.take_closed().empty());
}

TEST_CASE("windows that the disk does not take wait in bounded memory: they become longer, none is lost") {
  Recorder recorder;
  constexpr int windows = 5 * int(Recorder::closed_windows_max);
  for (int window = 0; window < windows; ++window) {
    recorder.inference(key, 0.001, nullptr);
    recorder.close(1'000 * (window + 1));
    if (window % 3 == 0) recorder.put_back(recorder.take_closed());
  }
  auto closed = recorder.take_closed();
  CHECK(closed.size() == Recorder::closed_windows_max);
  std::uint64_t total = 0;
  for (const WindowReport& report : closed) total += report.inference_count();
  CHECK(total == windows);
  CHECK(closed.front().end_unix_ms == 1'000);
  CHECK(closed.back().end_unix_ms == 1'000 * windows);
}

TEST_CASE("inferences that no window has room for are counted as dropped") {
  Recorder recorder;
  for (int i = 0; i < 20; ++i) {
    ReleaseKey many = key;
    many.version = "1.0." + std::to_string(i);
    recorder.inference(many, 0.001, nullptr);
  }
  const WindowReport report = recorder.take(1);
  CHECK(report.inference_count() == Recorder::releases_max);
  CHECK(report.dropped_inferences == 20 - Recorder::releases_max);
  CHECK(recorder.take(2).dropped_inferences == 0);
}

TEST_CASE("a recorder that sees many releases in its life keeps the descriptions of those at work") {
  Recorder recorder;
  for (int i = 0; i < 200; ++i) {
    ReleaseKey one = key;
    one.manifest_sha256 = std::to_string(i);
    recorder.describe(one, 5, {});
    recorder.inference(one, 0.001, nullptr);
    const WindowReport report = recorder.take(i + 1);
    REQUIRE(report.releases.at(0).classes.size() == 5);
  }
  CHECK(recorder.sanity().size() <= 4 * Recorder::releases_max + 1);
}
