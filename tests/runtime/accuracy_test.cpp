// What the committed models do on the real test set, recomputed through Ferry's own runtime.
#include "runtime/engine.hpp"
#include "tests/runtime/onnx_builder.hpp"

#include <zlib.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::runtime;

namespace {

const Path models = Path(FERRY_SOURCE_DIR) / "examples/fashion-mnist/models";
const Path data_set = "/usr/share/datasets/fashion-mnist";  // Debian package dataset-fashion-mnist
constexpr std::size_t pixels = 28 * 28;
constexpr std::size_t classes = 10;
constexpr std::size_t batch = 50;  // small enough for the caches
// Of 10,000: images between two classes that another processor's instructions, and so rounding, may tip over.
constexpr std::int64_t on_the_edge_max = 10;

// An IDX file without its header (16 bytes for images, 8 for labels).
std::string idx(const Path& path, std::size_t header_bytes) {
  using Gz = Handle<gzFile_s, gzclose>;
  Gz file(gzopen(path.c_str(), "rb"));
  std::string bytes(16 * 1024 * 1024, '\0');
  int count = file ? gzread(file.get(), bytes.data(), static_cast<unsigned>(bytes.size())) : -1;
  if (count < static_cast<int>(header_bytes)) return {};
  return bytes.substr(header_bytes, static_cast<std::size_t>(count) - header_bytes);
}

std::string test_images() { return idx(data_set / "t10k-images-idx3-ubyte.gz", 16); }
std::string test_labels() { return idx(data_set / "t10k-labels-idx1-ubyte.gz", 8); }

// As to_dusk in examples/fashion-mnist/field.py.
std::string at_dusk(std::string images) {
  for (char& pixel : images) pixel = static_cast<char>(16 + 5 * static_cast<unsigned char>(pixel) / 8);
  return images;
}

std::unique_ptr<Session> load(Engine& engine, const std::string& version, const std::string& variant) {
  auto model = read_file(models / version / (variant + ".onnx"), 1024 * 1024);
  REQUIRE(model);
  auto session = engine.load(*model, {});
  REQUIRE(session);
  return std::move(*session);
}

std::vector<double> logits_of(Session& session, std::string_view images) {
  std::vector<float> input(images.size());
  std::ranges::transform(images, input.begin(),
                         [](char pixel) { return static_cast<float>(static_cast<unsigned char>(pixel)) / 255.0F; });
  auto bytes = test::bytes_of(input);
  TensorView image{"image", DataType::fp32, {static_cast<std::int64_t>(images.size() / pixels), 1, 28, 28}, bytes};
  auto outputs = session.run(std::span(&image, 1), {});
  if (!outputs) FAIL(outputs.error().context);
  return to_numbers(DataType::fp32, outputs->at(0).bytes);
}

std::int64_t right_answers(Session& session, std::string_view images, std::string_view labels) {
  std::int64_t right = 0;
  for (std::size_t first = 0; first < labels.size(); first += batch) {
    auto rows = std::min(batch, labels.size() - first);
    auto logits = logits_of(session, images.substr(first * pixels, rows * pixels));
    REQUIRE(logits.size() == rows * classes);
    for (std::size_t row = 0; row < rows; ++row) {
      auto answer = arg_max(std::span(logits).subspan(row * classes, classes));
      right += answer == labels[first + row] ? 1 : 0;
    }
  }
  return right;
}

std::chrono::nanoseconds median_latency(Session& session, std::string_view images) {
  std::vector<std::chrono::nanoseconds> latencies;
  for (std::size_t at = 0; at < images.size(); at += pixels) {
    auto start = std::chrono::steady_clock::now();
    logits_of(session, images.substr(at, pixels));
    latencies.emplace_back(std::chrono::steady_clock::now() - start);
  }
  std::ranges::nth_element(latencies, latencies.begin() + latencies.size() / 2);
  return latencies[latencies.size() / 2];
}

}  // namespace

TEST_CASE("the accuracy written beside the example models is what Ferry's runtime measures") {
  auto images = test_images();
  auto labels = test_labels();
  if (labels.empty()) {
    WARN("package dataset-fashion-mnist is not installed; nothing to measure on");
    return;
  }
  REQUIRE(images.size() == labels.size() * pixels);
  auto recorded = parse_json(*read_file(models / "accuracy.json", 1024 * 1024));
  REQUIRE(recorded);
  REQUIRE((*recorded)["images"] == labels.size());
  auto engine = open_onnx_engine(FERRY_ONNXRUNTIME_LIBRARY);
  REQUIRE(engine);
  for (const auto& [version, variants] : (*recorded)["releases"].items()) {
    for (const auto& [variant, expected] : variants.items()) {
      auto session = load(**engine, version, variant);
      auto right = right_answers(*session, images, labels);
      INFO(version << " " << variant);
      CHECK(std::abs(right - expected["clean"].get<std::int64_t>()) <= on_the_edge_max);
    }
  }
}

// The fleet story rests on these two: if they did not hold, its live gate would have nothing to find.
TEST_CASE("at dusk, and only there, release 1.5.0 takes three times as long and 1.6.0 is forty points less accurate") {
  constexpr std::size_t seen = 500;
  constexpr std::size_t timed = 60;
  constexpr std::int64_t forty_points = seen * 40 / 100;
  constexpr std::int64_t three_points = seen * 3 / 100;
  auto labels = test_labels().substr(0, seen);
  if (labels.empty()) {
    WARN("package dataset-fashion-mnist is not installed; nothing to measure on");
    return;
  }
  auto clean = test_images().substr(0, seen * pixels);
  REQUIRE(clean.size() == labels.size() * pixels);
  auto dusk = at_dusk(clean);
  auto engine = open_onnx_engine(FERRY_ONNXRUNTIME_LIBRARY);
  REQUIRE(engine);
  for (std::string variant : {"fp32", "int8"}) {
    INFO(variant);
    auto good = load(**engine, "1.4.0", variant);
    auto slow = load(**engine, "1.5.0", variant);
    auto wrong = load(**engine, "1.6.0", variant);

    CHECK(median_latency(*slow, dusk.substr(0, timed * pixels)) >
          3 * median_latency(*slow, clean.substr(0, timed * pixels)));
    CHECK(median_latency(*slow, dusk.substr(0, timed * pixels)) >
          3 * median_latency(*good, dusk.substr(0, timed * pixels)));
    CHECK(right_answers(*slow, dusk, labels) >= right_answers(*good, dusk, labels) - three_points);

    CHECK(right_answers(*wrong, clean, labels) >= right_answers(*good, clean, labels) - three_points);
    CHECK(right_answers(*wrong, dusk, labels) <= right_answers(*good, dusk, labels) - forty_points);
  }
}
