// Small data sets, tiny models and the example's real ones, ready for a gate.
#pragma once
#include "ci_gates/gate.hpp"
#include "tests/runtime/onnx_builder.hpp"
#include "tests/support/sim_clock.hpp"
#include "tests/support/temp_dir.hpp"

namespace ferry::test {

inline const Path example_models = Path(FERRY_SOURCE_DIR) / "examples/fashion-mnist/models";
inline const Path fashion_mnist = "/usr/share/datasets/fashion-mnist";
inline const Path onnx_runtime = FERRY_ONNXRUNTIME_LIBRARY;
inline constexpr std::uint64_t mib = 1024 * 1024;

// An IDX file of unsigned bytes.
inline std::string idx(const std::vector<unsigned>& dimensions, const std::string& data) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(dimensions.size())};
  for (const unsigned size : dimensions) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(size >> shift & 255));
  }
  return bytes + data;
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline void write_text(const Path& file, const std::string& text) {
  if (auto written = write_file_atomic(file, text); !written) throw std::runtime_error(written.error().context);
}

inline std::string read_text(const Path& file) {
  auto text = read_file(file, 16 * mib);
  if (!text) throw std::runtime_error(text.error().context);
  return *text;
}

// `pixels` are rows of three; as many labels.
inline ci_gates::Dataset rows_of_three(const Path& folder, const std::string& pixels, const std::string& labels,
                                       double offset = 0) {
  const auto count = static_cast<unsigned>(labels.size());
  write_text(folder / "images", idx({count, 1, 3}, pixels));
  write_text(folder / "labels", idx({count}, labels));
  auto dataset = ci_gates::Dataset::load(
      {.name = "rows", .images = folder / "images", .labels = folder / "labels", .offset = offset, .slices = {}});
  if (!dataset) throw std::runtime_error(dataset.error().context);
  return *dataset;
}

// x FP32 [-1,3] -> y FP32 [-1,3], the class is y's largest.
inline ota::Manifest manifest_of_three() {
  ota::Manifest manifest;
  manifest.model = "rows";
  manifest.version = "1.0.0";
  manifest.counter = 1;
  manifest.contract.task = "classification";
  manifest.contract.labels = {"a", "b", "c"};
  manifest.contract.class_output = "y";
  manifest.contract.inputs = {{"x", "FP32", {-1, 3}}};
  manifest.contract.outputs = {{"y", "FP32", {-1, 3}}};
  return manifest;
}

// The example's release as `ferry bundle pack` would leave it; limits that a busy machine under a sanitizer meets.
inline ota::Manifest pack_example(const Path& folder, const std::string& version,
                                  const std::vector<std::string>& variants = {"fp32", "int8"}) {
  ota::Manifest manifest;
  manifest.model = "fashion-mnist";
  manifest.version = version;
  manifest.counter = 2;
  manifest.created = SimClock().now();
  manifest.draft = true;
  manifest.contract.task = "classification";
  for (int label = 0; label < 10; ++label) manifest.contract.labels.push_back("label-" + std::to_string(label));
  manifest.contract.class_output = "logits";
  manifest.contract.inputs = {{"image", "FP32", {-1, 1, 28, 28}}};
  manifest.contract.outputs = {{"logits", "FP32", {-1, 10}}};
  for (const std::string& name : variants) {
    ota::Variant variant;
    variant.name = name;
    variant.precision = name;
    variant.golden_tolerance = 0.01;
    variant.budget = {.latency_p99_us = 60'000'000, .memory_mib = 512};
    variant.file = *ci_gates::write_blob(folder, "model.onnx", read_text(example_models / version / (name + ".onnx")));
    manifest.variants.push_back(variant);
  }
  write_text(folder / "manifest.json", ota::print_manifest(manifest));
  return manifest;
}

// 1,000 images are enough to tell 92 % (1.1.0) and 77 % (1.2.0) from the limit of 85 %; 700 inferences are the fewest
// for a p99, with a little to spare. Memory and latency have their own tests: the machine may be busy here.
inline ci_gates::GateInput example_gate(const Path& bundle) {
  ci_gates::GateInput input;
  input.bundle = bundle;
  input.policy.dataset = {.name = "fashion-mnist-test",
                          .images = fashion_mnist / "t10k-images-idx3-ubyte.gz",
                          .labels = fashion_mnist / "t10k-labels-idx1-ubyte.gz",
                          .scale = 1 / 255.0,
                          .limit = 1'000,
                          .slices = {}};
  input.policy.top1_ppm_min = 850'000;
  input.policy.latency_samples = 700;
  input.policy.golden_samples = 4;
  input.policy.digest = sha256("the policy's text");
  input.policy_name = "gate.toml";
  input.runtime_library = onnx_runtime;
  input.hardware = ci_gates::this_machine();
  input.invocation = {"c0ffee", "https://ci.example/1"};
  return input;
}

inline Result<ci_gates::GateOutcome> run(const ci_gates::GateInput& input) {
  SimClock clock;
  return ci_gates::run_gate(input, clock, [](const std::string&) {});
}

inline const ci_gates::Measurement* find(const std::vector<ci_gates::Measurement>& lines, const std::string& id) {
  for (const ci_gates::Measurement& line : lines) {
    if (line.id == id) return &line;
  }
  return nullptr;
}

}  // namespace ferry::test
