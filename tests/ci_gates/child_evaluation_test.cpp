// Whatever a model does to its process, the gate goes on and knows what happened.
#include "tests/ci_gates/workbench.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::test;
using ci_gates::Evaluation;

namespace {

Path broken(const char* behaviour) {
  return Path(FERRY_BROKEN_RUNTIMES) / ("libruntime_that_" + std::string(behaviour) + "s.so");
}

Result<Evaluation> evaluate_with(const Path& runtime, std::chrono::seconds limit = std::chrono::seconds{60}) {
  const TempDir folder;
  const auto dataset = rows_of_three(folder.path(), "\x01\x02\x03", "\x02");
  return ci_gates::evaluate_in_child(runtime, doubling_model(), nullptr, manifest_of_three(), dataset, {}, 0, limit);
}

}  // namespace

TEST_CASE("a process that crashes is reason trial.crash with the signal's name") {
  const auto seen = evaluate_with(broken("crash"));
  REQUIRE(!seen);
  CHECK(seen.error().code == Errc::gate_failed);
  CHECK(seen.error().reason == "trial.crash");
  CHECK(contains(seen.error().context, "Segmentation fault"));
}

TEST_CASE("a process that ends by itself without an answer is reason trial.crash with its exit code") {
  const auto seen = evaluate_with(broken("quit"));
  REQUIRE(!seen);
  CHECK(seen.error().reason == "trial.crash");
  CHECK(contains(seen.error().context, "ended with 7"));
}

TEST_CASE("a process that hangs is ended at the limit: reason trial.hang") {
  const auto seen = evaluate_with(broken("hang"), std::chrono::seconds{1});
  REQUIRE(!seen);
  CHECK(seen.error().code == Errc::gate_failed);
  CHECK(seen.error().reason == "trial.hang");
  CHECK(contains(seen.error().context, "within 1 s"));
}

TEST_CASE("a model that eats memory is stopped at the limit: reason trial.memory") {
  // The example's 1.3.0 takes 1.75 GiB as soon as it sees an image without a dark pixel.
  const TempDir folder;
  write_text(folder / "images", idx({2, 28, 28}, std::string(std::size_t{2} * 28 * 28, '\x64')));
  write_text(folder / "labels", idx({2}, {'\x01', '\x02'}));
  const auto hazy = ci_gates::Dataset::load(
      {.name = "haze", .images = folder / "images", .labels = folder / "labels", .scale = 1 / 255.0, .slices = {}});
  REQUIRE(hazy);
  const ota::Manifest manifest = pack_example(folder.path(), "1.3.0", {"fp32"});
  const auto model = ci_gates::read_blob(folder.path(), manifest.variants[0].file);
  REQUIRE(model);
  const auto seen = ci_gates::evaluate_in_child(onnx_runtime, *model, nullptr, manifest, *hazy, {}, 1'024 * mib,
                                                std::chrono::seconds{60});
  REQUIRE(!seen);
  INFO(seen.error().context);
  CHECK(seen.error().reason == "trial.memory");
}

TEST_CASE("an evaluation crosses the pipe whole") {
  Evaluation seen;
  seen.opset = 17;
  seen.runtime_name = "onnxruntime";
  seen.runtime_version = "1.30.0";
  seen.correct = "1101";
  seen.baseline_correct = "0101";
  seen.latency.latencies_us = {100.25, 90, 1e6};
  seen.latency.medians_us = {95};
  seen.latency.baseline_medians_us = {80};
  seen.latency.settled = false;
  seen.latency.seconds = 1.5;
  seen.model_bytes = 1;
  seen.scanned = 2;
  seen.with_nan = 3;
  seen.with_infinity = 4;
  seen.golden_compared = 5;
  seen.golden_difference = 0.125;
  seen.golden_error = "further off";
  seen.load_ms = 7.5;
  seen.memory_peak_bytes = 123'456'789;
  seen.golden = {{.sample = 7,
                  .label = 2,
                  .inputs = {float_tensor("x", {1, 3}, {1, 2, 3})},
                  .outputs = {float_tensor("y", {1, 3}, {2, 4, 6})}}};
  seen.reference = telemetry::make_reference_profile({{{2, 0.5, 1.5}, true}, {{1, 0.9, 3.5}, false}}, 3);
  const auto back = ci_gates::evaluation_from_json(ci_gates::to_json(seen));
  REQUIRE(back);
  CHECK(ci_gates::to_json(*back) == ci_gates::to_json(seen));
  CHECK(back->golden == seen.golden);
  CHECK(back->reference == seen.reference);
  CHECK(back->latency.latencies_us == seen.latency.latencies_us);
  CHECK(back->latency.log2_ratios() == seen.latency.log2_ratios());
  CHECK(!back->latency.settled);
  CHECK(back->with_infinity == 4);
  CHECK(back->golden_compared == 5);
  CHECK(back->golden_error == "further off");

  const auto empty = ci_gates::evaluation_from_json(ci_gates::to_json(Evaluation{.contract_error = "does not fit"}));
  REQUIRE(empty);
  CHECK(empty->contract_error == "does not fit");
  CHECK(empty->golden.empty());
}

TEST_CASE("golden samples that no file may hold fail the model instead of getting lost") {
  Evaluation seen;
  seen.golden.resize(1);
  seen.golden[0].outputs = {float_tensor("y", {1, 5'000'000}, std::vector<float>(5'000'000))};  // 20 MB, 16 are allowed
  const auto back = ci_gates::evaluation_from_json(ci_gates::to_json(seen));
  REQUIRE(back);
  CHECK(back->golden.empty());
  CHECK(!back->determinism_error.empty());
}

TEST_CASE("an answer that is damaged is refused by field") {
  const Json good = ci_gates::to_json(Evaluation{});
  const std::pair<const char*, Json> damages[] = {
      {"opset", "seventeen"}, {"correct", 1},     {"latency", Json::object()}, {"latency", 3},
      {"load_ms", -1},        {"scanned", "all"}, {"memory_peak_bytes", -1},   {"golden", "!"},
      {"golden", "AAAA"},     {"reference", "{}"}};
  for (const auto& [field, value] : damages) {
    Json bad = good;
    bad[field] = value;
    INFO(field << " " << value.dump());
    CHECK(!ci_gates::evaluation_from_json(bad));
    bad.erase(field);
    CHECK(!ci_gates::evaluation_from_json(bad));
  }
  for (const Json& value : {Json::array({"fast"}), Json(3), Json()}) {
    Json bad = good;
    bad["latency"]["latencies_us"] = value;
    CHECK(!ci_gates::evaluation_from_json(bad));
  }
}
