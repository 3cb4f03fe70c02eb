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
