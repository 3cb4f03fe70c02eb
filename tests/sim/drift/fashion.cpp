#include "tests/sim/drift/fashion.hpp"

#include "runtime/engine.hpp"

#include <zlib.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <random>

namespace ferry::sim {
namespace {

const Path data_set = "/usr/share/datasets/fashion-mnist";

// An IDX file without its header.
Result<std::string> idx(const Path& path, std::size_t header_bytes) {
  using Gz = Handle<gzFile_s, gzclose>;
  const Gz file(gzopen(path.c_str(), "rb"));
  std::string bytes(16 * 1024 * 1024, '\0');
  const int count = file ? gzread(file.get(), bytes.data(), static_cast<unsigned>(bytes.size())) : -1;
  if (count < static_cast<int>(header_bytes)) {
    return Error{Errc::not_found, path.string() + ": cannot be read; install the package dataset-fashion-mnist"};
  }
  return bytes.substr(header_bytes, static_cast<std::size_t>(count) - header_bytes);
}

float whole(double value) { return static_cast<float>(std::clamp(std::round(value), 0.0, 255.0)); }

double pixel(const Image& image, int row, int column) {
  const bool inside = row >= 0 && row < image_side && column >= 0 && column < image_side;
  return inside ? double(image[std::size_t(row * image_side + column)]) : 0;
}

template <class Function>
Image map_pixels(const Image& image, Function f) {
  Image made(image.size());
  std::transform(image.begin(), image.end(), made.begin(), [&](float value) { return whole(f(double(value))); });
  return made;
}

template <class Function>
Image map_places(Function f) {
  Image made(image_pixels);
  for (int row = 0; row < image_side; ++row) {
    for (int column = 0; column < image_side; ++column) {
      made[std::size_t(row * image_side + column)] = whole(f(row, column));
    }
  }
  return made;
}

Corruption haze() {
  return {"haze", [](const Image& image, std::uint64_t) {
            return map_pixels(image, [](double p) { return 64 + std::floor(3 * p / 4); });
          }};
}

Corruption brightness(std::string name, double factor) {
  return {std::move(name), [factor](const Image& image, std::uint64_t) {
            return map_pixels(image, [factor](double p) { return p * factor; });
          }};
}

// Box and Muller: the standard library's normal distribution differs between implementations.
Corruption noise(std::string name, double sigma) {
  return {std::move(name), [sigma](const Image& image, std::uint64_t seed) {
            std::mt19937_64 engine(seed);
            const auto uniform = [&] { return (double(engine() >> 11) + 0.5) * 0x1p-53; };
            return map_pixels(image, [&](double p) {
              const double radius = std::sqrt(-2 * std::log(uniform()));
              return p + 255 * sigma * radius * std::cos(2 * std::numbers::pi * uniform());
            });
          }};
}

Corruption blur(std::string name, double sigma) {
  return {std::move(name), [sigma](const Image& image, std::uint64_t) {
            constexpr int reach = 4;
            double weights[2 * reach + 1], sum = 0;
            for (int k = -reach; k <= reach; ++k) sum += weights[k + reach] = std::exp(-k * k / (2 * sigma * sigma));
            return map_places([&](int row, int column) {
              double value = 0;
              for (int i = -reach; i <= reach; ++i) {
                for (int k = -reach; k <= reach; ++k) {
                  value += weights[i + reach] * weights[k + reach] * pixel(image, row + i, column + k);
                }
              }
              return value / (sum * sum);
            });
          }};
}

Corruption shift(std::string name, int columns) {
  return {std::move(name), [columns](const Image& image, std::uint64_t) {
            return map_places([&](int row, int column) { return pixel(image, row, column - columns); });
          }};
}

Corruption rotation(std::string name, double degrees) {
  return {std::move(name), [degrees](const Image& image, std::uint64_t) {
            const double angle = degrees * std::numbers::pi / 180, middle = (image_side - 1) / 2.0;
            return map_places([&](int row, int column) {
              const double y = row - middle, x = column - middle;
              const double from_row = middle + y * std::cos(angle) - x * std::sin(angle);
              const double from_column = middle + y * std::sin(angle) + x * std::cos(angle);
              const int top = int(std::floor(from_row)), left = int(std::floor(from_column));
              const double down = from_row - top, right = from_column - left;
              return (1 - down) * ((1 - right) * pixel(image, top, left) + right * pixel(image, top, left + 1)) +
                     down * ((1 - right) * pixel(image, top + 1, left) + right * pixel(image, top + 1, left + 1));
            });
          }};
}

}  // namespace

Result<DataSet> load_test_images(std::size_t limit) {
  TRY(const std::string images, idx(data_set / "t10k-images-idx3-ubyte.gz", 16));
  TRY(const std::string labels, idx(data_set / "t10k-labels-idx1-ubyte.gz", 8));
  if (images.size() != labels.size() * image_pixels) {
    return Error{Errc::bad_input, "Fashion-MNIST: images and labels differ in number"};
  }
  DataSet data;
  for (std::size_t at = 0; at < std::min(limit, labels.size()); ++at) {
    const auto* first = reinterpret_cast<const unsigned char*>(images.data()) + at * image_pixels;
    data.images.emplace_back(first, first + image_pixels);
    data.labels.push_back(labels[at]);
  }
  return data;
}

std::vector<Corruption> corruptions() {
  return {haze(),
          brightness("dim 0.9", 0.9),
          brightness("dim 0.7", 0.7),
          brightness("bright 1.3", 1.3),
          noise("noise 0.05", 0.05),
          noise("noise 0.10", 0.10),
          noise("noise 0.15", 0.15),
          blur("blur 0.6", 0.6),
          blur("blur 1.0", 1.0),
          shift("shift 1 px", 1),
          shift("shift 2 px", 2),
          rotation("rotate 5°", 5),
          rotation("rotate 15°", 15)};
}

double Predictions::accuracy() const {
  return double(std::count(correct.begin(), correct.end(), true)) / double(std::max<std::size_t>(1, correct.size()));
}

struct Model::Parts {
  std::unique_ptr<runtime::Engine> engine;
  std::unique_ptr<runtime::Session> session;
};

Model::Model(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;

Result<Model> Model::open(const Path& library, const Path& onnx) {
  auto parts = std::make_unique<Parts>();
  TRY(parts->engine, runtime::open_onnx_engine(library));
  TRY(const std::string bytes, read_file(onnx, 64 * 1024 * 1024));
  TRY(parts->session, parts->engine->load(bytes, {}));
  return Model(std::move(parts));
}

Result<Predictions> Model::predict(const DataSet& data, const Corruption* corruption) const {
  constexpr std::size_t batch_max = 250;
  Predictions made;
  made.name = corruption ? corruption->name : "clean";
  for (std::size_t from = 0; from < data.images.size(); from += batch_max) {
    const std::size_t count = std::min(batch_max, data.images.size() - from);
    std::vector<float> pixels;
    for (std::size_t at = from; at < from + count; ++at) {
      const Image image = corruption ? corruption->apply(data.images[at], at + 1) : data.images[at];
      for (const float value : image) pixels.push_back(value / 255.0F);
    }
    const std::string_view bytes(reinterpret_cast<const char*>(pixels.data()), pixels.size() * sizeof(float));
    const runtime::TensorView input{
        "image", runtime::DataType::fp32, {std::int64_t(count), 1, image_side, image_side}, bytes};
    TRY(const std::vector<runtime::Tensor> outputs, parts_->session->run(std::span(&input, 1), {}));
    const std::size_t classes = outputs.at(0).bytes.size() / sizeof(float) / count;
    std::vector<float> logits(classes * count);
    std::memcpy(logits.data(), outputs.at(0).bytes.data(), logits.size() * sizeof(float));
    for (std::size_t i = 0; i < count; ++i) {
      made.seen.push_back(telemetry::read_prediction(std::span(logits).subspan(i * classes, classes)));
      made.correct.push_back(made.seen.back().top_class == std::size_t(data.labels[from + i]));
    }
  }
  return made;
}

}  // namespace ferry::sim
