// Real predictions for the drift simulation: the committed model over Fashion-MNIST's test images, clean and corrupted.
#pragma once
#include "common/file.hpp"
#include "common/result.hpp"
#include "telemetry/recorder.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ferry::sim {

constexpr int image_side = 28;
constexpr std::size_t image_pixels = image_side * image_side;
using Image = std::vector<float>;  // 0 … 255, row by row

struct DataSet {
  std::vector<Image> images;
  std::vector<int> labels;
};
// The first `limit` test images of Debian's dataset-fashion-mnist.
Result<DataSet> load_test_images(std::size_t limit);

// A fixed change of every image. Results are whole numbers from 0 to 255, as a camera delivers them.
struct Corruption {
  std::string name;
  std::function<Image(const Image&, std::uint64_t seed)> apply;
};
// haze (examples/fashion-mnist/field.py), brightness, noise, blur, shift, rotation; from mild to strong.
std::vector<Corruption> corruptions();

// What the model said about every image, in the order of the data set.
struct Predictions {
  std::string name;
  std::vector<telemetry::Prediction> seen;
  std::vector<bool> correct;
  double accuracy() const;
};

// Runs a model through Ferry's own engine over all images, changed by `corruption` (null: as they are).
class Model {
 public:
  static Result<Model> open(const Path& library, const Path& onnx);
  Result<Predictions> predict(const DataSet& data, const Corruption* corruption) const;
  ~Model();
  Model(Model&&) noexcept;

 private:
  struct Parts;
  explicit Model(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ferry::sim
