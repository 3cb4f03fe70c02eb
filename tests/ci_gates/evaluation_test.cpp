// Running one variant for real: what it answers, whether it keeps its contract, whether it repeats itself.
#include "ci_gates/evaluation.hpp"

#include "tests/ci_gates/workbench.hpp"

using namespace ferry;
using namespace ferry::test;
using ci_gates::Evaluation;

namespace {

struct Bench {
  TempDir folder;
  ota::Manifest manifest = manifest_of_three();
  // The largest of each row is its label, but for the last.
  ci_gates::Dataset dataset =
      rows_of_three(folder.path(), {"\x01\x02\x09\x09\x02\x01\x01\x09\x02\x09\x01\x02", 12}, {"\x02\x00\x01\x01", 4});

  ci_gates::EvaluationPlan plan{.golden_samples = 3, .cores = {}, .blocks = {.samples = 120}, .frozen_golden = {}};

  // Always in a child: this process never loads the runtime, so that the next test may fork again.
  Result<Evaluation> evaluate(const std::string& model, const ci_gates::BaselineModel* baseline = nullptr) {
    return ci_gates::evaluate_in_child(onnx_runtime, model, baseline, manifest, dataset, plan, 0,
                                       std::chrono::seconds{60});
  }
  std::string contract_error_of(const std::string& model) {
    const auto seen = evaluate(model);
    REQUIRE(seen);
    return seen->contract_error;
  }
};

std::string model_with(const OnnxValue& input, const OnnxValue& output, const std::string& op = "Identity") {
  return onnx_bytes({.inputs = {input}, .outputs = {output}, .nodes = {{op, {input.name}, {output.name}}}});
}

}  // namespace

TEST_CASE("a model's answers are counted against the labels, with everything a gate needs beside") {
  Bench bench;
  const auto seen = bench.evaluate(doubling_model());
  REQUIRE(seen);
  CHECK(seen->contract_error.empty());
  CHECK(seen->correct == "1110");
  CHECK(seen->opset == 13);
  CHECK(seen->runtime_name == "onnxruntime");
  CHECK(!seen->runtime_version.empty());
  CHECK(seen->latency.latencies_us.size() == 200);  // whole blocks of 100
  CHECK(*std::min_element(seen->latency.latencies_us.begin(), seen->latency.latencies_us.end()) > 0);
  CHECK(seen->latency.baseline_medians_us.empty());
  CHECK(seen->model_bytes == doubling_model().size());
  CHECK(seen->load_ms > 0);
  CHECK(seen->scanned == 1);  // one batch of four
  CHECK(seen->with_nan == 0);
  CHECK(seen->golden_compared == 0);
  CHECK(seen->memory_peak_bytes > mib);
  CHECK(seen->determinism_error.empty());
  CHECK(seen->baseline_correct.empty());
  CHECK(seen->reference.samples == 4);
  CHECK(seen->reference.classes == std::vector<std::uint64_t>{2, 1, 1});
  REQUIRE(seen->golden.size() == 3);
  CHECK(seen->golden[0].label == 2);
  CHECK(floats_of(seen->golden[0].outputs.at(0).bytes) == std::vector<float>{2, 4, 18});
}

TEST_CASE("a baseline is measured in the same process, block by block, on the same samples") {
  Bench bench;
  const ci_gates::BaselineModel baseline{
      model_with({"x", onnx_float, {-1, 3}}, {"y", onnx_float, {-1, 3}}, "Neg")};  // its largest is the smallest
  const auto seen = bench.evaluate(doubling_model(), &baseline);
  REQUIRE(seen);
  CHECK(seen->correct == "1110");
  CHECK(seen->baseline_correct == "0001");
  CHECK(seen->latency.baseline_medians_us.size() == seen->latency.medians_us.size());
  CHECK(seen->latency.medians_us.size() >= ci_gates::block_pairs_min);
}

TEST_CASE("frozen golden outputs are compared on this machine, within their tolerance") {
  Bench bench;
  const auto first = bench.evaluate(doubling_model());
  REQUIRE(first);
  bench.plan.frozen_golden = first->golden;
  const auto same = bench.evaluate(doubling_model());
  REQUIRE(same);
  CHECK(same->golden_compared == 3);
  CHECK(same->golden_error.empty());
  CHECK(same->golden_difference == 0);
  // As if another machine had recorded something else.
  auto values = floats_of(bench.plan.frozen_golden[1].outputs.at(0).bytes);
  values[0] += 0.25F;
  bench.plan.frozen_golden[1].outputs[0] = float_tensor("y", {1, 3}, values);
  bench.plan.golden_tolerance = 0.5;
  const auto near = bench.evaluate(doubling_model());
  REQUIRE(near);
  CHECK(near->golden_error.empty());
  CHECK(near->golden_difference == 0.25);
  bench.plan.golden_tolerance = 0.1;
  const auto far = bench.evaluate(doubling_model());
  REQUIRE(far);
  CHECK(contains(far->golden_error, "y"));
}

TEST_CASE("the process runs on the cores it is pinned to, and says when there are none such") {
  Bench bench;
  bench.plan.cores = {0};
  CHECK(bench.evaluate(doubling_model()));
  bench.plan.cores = {1'000};
  const auto nowhere = bench.evaluate(doubling_model());
  REQUIRE(!nowhere);
  CHECK(nowhere.error().code == Errc::unsupported);
  CHECK(nowhere.error().reason.empty());
  CHECK(contains(nowhere.error().context, "latency.cores"));
}

TEST_CASE("a model that leaves open what the contract fixes fits; the other way round it does not") {
  Bench bench;
  const OnnxValue x{"x", onnx_float, {-1, 3}}, y{"y", onnx_float, {-1, 3}};
  CHECK(bench.contract_error_of(model_with({"x", onnx_float, {-1, -1}}, {"y", onnx_float, {-1, -1}})).empty());
  CHECK(contains(bench.contract_error_of(model_with({"x", onnx_float, {1, 3}}, y)), "contract shape [-1,3]"));
  CHECK(contains(bench.contract_error_of(model_with({"x", onnx_float, {-1, 4}}, {"y", onnx_float, {-1, 4}})),
                 "the model's is [-1,4]"));
  CHECK(contains(bench.contract_error_of(model_with({"x", onnx_float, {-1, 3, 1}}, {"y", onnx_float, {-1, 3, 1}})),
                 "input x"));
  CHECK(contains(bench.contract_error_of(model_with({"pixels", onnx_float, {-1, 3}}, y)), "input x: not in the model"));
  CHECK(
      contains(bench.contract_error_of(model_with(x, {"scores", onnx_float, {-1, 3}})), "output y: not in the model"));
  CHECK(contains(bench.contract_error_of(model_with({"x", onnx_double, {-1, 3}}, {"y", onnx_double, {-1, 3}})),
                 "contract says FP32, the model FP64"));
  OnnxModel two{.inputs = {x, {"z", onnx_float, {-1, 3}}}, .outputs = {y}, .nodes = {{"Add", {"x", "z"}, {"y"}}}};
  CHECK(contains(bench.contract_error_of(onnx_bytes(two)), "contract names 1, the model has 2"));
}

TEST_CASE("a model that answers the same input differently is found out") {
  Bench bench;
  const auto seen =
      bench.evaluate(model_with({"x", onnx_float, {-1, 3}}, {"y", onnx_float, {-1, 3}}, "RandomUniformLike"));
  REQUIRE(seen);
  CHECK(contains(seen->determinism_error, "two runs of the same input gave different outputs"));
}

TEST_CASE("a model that answers NaN is found out, and its histograms hold numbers only") {
  Bench bench;
  bench.dataset = rows_of_three(bench.folder.path(), {"\x05\x06\x07\x01\x06\x07", 6}, {"\x02\x02", 2}, -3);
  const auto seen = bench.evaluate(log_model());  // log(1 - 3)
  REQUIRE(seen);
  CHECK(contains(seen->determinism_error, "NaN"));
  CHECK(seen->with_nan == 1);
  CHECK(seen->correct == "10");
  CHECK(seen->reference.samples == 1);
}

TEST_CASE("a task other than classification has neither accuracy nor a reference, and no NaN slips through") {
  Bench bench;
  bench.manifest.contract.task = "other";
  bench.manifest.contract.class_output.clear();
  const auto seen = bench.evaluate(doubling_model());
  REQUIRE(seen);
  CHECK(seen->correct.empty());
  CHECK(seen->scanned == 1);
  CHECK(seen->reference == telemetry::ReferenceProfile{});
  CHECK(seen->golden.size() == 3);
}

TEST_CASE("data that is no input of the model, and contracts the gate cannot feed, are said as such") {
  Bench bench;
  bench.manifest.contract.inputs = {{"x", "FP32", {-1, 4}}};
  bench.manifest.contract.outputs = {{"y", "FP32", {-1, 4}}};
  const auto other = bench.evaluate(model_with({"x", onnx_float, {-1, 4}}, {"y", onnx_float, {-1, 4}}));
  REQUIRE(!other);
  CHECK(other.error().code == Errc::bad_input);
  CHECK(contains(other.error().context, "holds 4 values a sample, data set rows has 3"));

  bench.manifest = manifest_of_three();
  bench.manifest.contract.inputs[0].datatype = bench.manifest.contract.outputs[0].datatype = "FP64";
  const auto doubles = bench.evaluate(model_with({"x", onnx_double, {-1, 3}}, {"y", onnx_double, {-1, 3}}));
  REQUIRE(!doubles);
  CHECK(contains(doubles.error().context, "the gate feeds FP32"));
}

TEST_CASE("bytes that are no model do not load: reason trial.load") {
  Bench bench;
  for (const std::string& bytes :
       {std::string("not a model"), std::string(1000, '\xff'), doubling_model().substr(0, 40)}) {
    const auto seen = bench.evaluate(bytes);
    REQUIRE(!seen);
    CHECK(seen.error().reason == "trial.load");
  }
}

TEST_CASE("a runtime that is not there is this machine's trouble, not the model's") {
  Bench bench;
  const auto seen = ci_gates::evaluate_in_child(bench.folder / "libabsent.so", doubling_model(), nullptr,
                                                bench.manifest, bench.dataset, {}, 0, std::chrono::seconds{60});
  REQUIRE(!seen);
  CHECK(seen.error().code == Errc::not_found);
  CHECK(seen.error().reason.empty());
}
