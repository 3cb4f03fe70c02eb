// The committed models' accuracy, recomputed through Ferry's own runtime on the real test set.
#include "runtime/engine.hpp"
#include "tests/runtime/onnx_builder.hpp"

#include <zlib.h>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::runtime;

namespace {

const Path models = Path(FERRY_SOURCE_DIR) / "examples/fashion-mnist/models";
const Path data_set = "/usr/share/datasets/fashion-mnist";  // Debian package dataset-fashion-mnist
constexpr std::size_t pixels = 28 * 28;
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

}  // namespace

TEST_CASE("the accuracy written beside the example models is what Ferry's runtime measures") {
  auto images = idx(data_set / "t10k-images-idx3-ubyte.gz", 16);
  auto labels = idx(data_set / "t10k-labels-idx1-ubyte.gz", 8);
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
      auto session = (*engine)->load(*read_file(models / version / (variant + ".onnx"), 1024 * 1024), {});
      REQUIRE(session);
      std::int64_t right = 0;
      std::vector<float> input(pixels);
      for (std::size_t at = 0; at < labels.size(); ++at) {
        for (std::size_t pixel = 0; pixel < pixels; ++pixel) {
          input[pixel] = static_cast<float>(static_cast<unsigned char>(images[at * pixels + pixel])) / 255.0F;
        }
        auto bytes = test::bytes_of(input);
        TensorView image{"image", DataType::fp32, {1, 1, 28, 28}, bytes};
        auto outputs = (*session)->run(std::span(&image, 1), {});
        if (!outputs) FAIL(version << " " << variant << ": " << outputs.error().context);
        right += arg_max(to_numbers(DataType::fp32, outputs->at(0).bytes)) == labels[at] ? 1 : 0;
      }
      INFO(version << " " << variant);
      CHECK(std::abs(right - expected["clean"].get<std::int64_t>()) <= on_the_edge_max);
    }
  }
}
