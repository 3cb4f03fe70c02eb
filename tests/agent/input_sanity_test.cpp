#include "agent/input_sanity.hpp"

#include <cmath>
#include <limits>
#include <random>

using namespace ferry;
using namespace ferry::agent;
using runtime::DataType;
using runtime::TensorView;

namespace {

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}
template <class T>
telemetry::InputStats seen(DataType type, const std::vector<T>& values) {
  const std::string bytes = raw(values);
  return look_at_input({"x", type, {static_cast<std::int64_t>(values.size())}, bytes});
}
constexpr float nan32 = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity32 = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("an image becomes its sums, at every length around the lanes") {
  std::mt19937_64 dice(5);
  std::uniform_real_distribution<float> pixel(-1, 1);
  for (std::size_t count : {1u, 2u, 7u, 8u, 9u, 15u, 16u, 17u, 784u, 4096u}) {
    std::vector<float> image(count);
    double sum = 0, squares = 0;
    for (float& one : image) {
      one = pixel(dice);
      sum += double(one);
      squares += double(one) * double(one);
    }
    const auto stats = seen(DataType::fp32, image);
    CHECK(stats.tensors == 1);
    CHECK(stats.values == count);
    CHECK(stats.sum == Approx(sum));
    CHECK(stats.squares == Approx(squares));
    CHECK(stats.min == double(*std::min_element(image.begin(), image.end())));
    CHECK(stats.max == double(*std::max_element(image.begin(), image.end())));
    CHECK(stats.with_nan + stats.with_infinity + stats.constant + stats.out_of_range == 0);
    CHECK(stats.sound());
  }
}

TEST_CASE("a NaN, an infinity or something huge is found wherever it hides, and is in no sum") {
  for (std::size_t at : {0u, 5u, 8u, 782u, 783u}) {
    std::vector<float> image(784, 0.5F);
    image[(at + 1) % 784] = 0.25F;
    image[at] = nan32;
    auto stats = seen(DataType::fp32, image);
    CHECK(stats.with_nan == 1);
    CHECK(stats.with_infinity == 0);
    CHECK(stats.values == 783);
    CHECK(stats.max == 0.5);
    CHECK(stats.sound());
    image[at] = -infinity32;
    stats = seen(DataType::fp32, image);
    CHECK(stats.with_nan == 0);
    CHECK(stats.with_infinity == 1);
    CHECK(stats.out_of_range == 1);
    image[at] = 3e38F;
    stats = seen(DataType::fp32, image);
    CHECK(stats.out_of_range == 1);
    CHECK(stats.with_infinity == 0);
    CHECK(stats.sound());
  }
  const auto doubles = seen<double>(DataType::fp64, {1.0, -1e308, 1e300});
  CHECK(doubles.out_of_range == 1);
  CHECK(doubles.values == 1);
}

TEST_CASE("an image of one colour is constant; a single number is not, nor is one with a NaN") {
  CHECK(seen(DataType::fp32, std::vector<float>(784, 0.0F)).constant == 1);
  CHECK(seen<float>(DataType::fp32, {3.0F}).constant == 0);
  CHECK(seen<float>(DataType::fp32, {1.0F, nan32, 1.0F}).constant == 0);
  CHECK(seen<float>(DataType::fp32, {1.0F, 2.0F}).constant == 0);
}

TEST_CASE("whole numbers of every width are read as what they are") {
  CHECK(seen<std::uint8_t>(DataType::uint8, {0, 255}).max == 255);
  CHECK(seen<std::int8_t>(DataType::int8, {-128, 5}).min == -128);
  CHECK(seen<std::int32_t>(DataType::int32, {-7, 9}).sum == 2);
  CHECK(seen<std::int64_t>(DataType::int64, {-7, 9}).squares == 130);
  CHECK(seen<std::uint16_t>(DataType::uint16, {65'535, 1}).max == 65'535);
  CHECK(seen<std::uint16_t>(DataType::fp16, {0x3c00, 0x7e00}).with_nan == 1);  // 1.0 and a NaN
}

TEST_CASE("of a large tensor only the beginning is looked at, of an empty one nothing") {
  std::vector<float> large(2 * elements_looked_at_max, 1.0F);
  large.back() = nan32;
  const auto stats = seen(DataType::fp32, large);
  CHECK(stats.values == elements_looked_at_max);
  CHECK(stats.with_nan == 0);
  const auto none = seen<float>(DataType::fp32, {});
  CHECK(none.tensors == 1);
  CHECK(none.values == 0);
  CHECK(none.sound());
}

TEST_CASE("outputs that are empty, of another shape or not numbers are found") {
  const std::vector<ota::TensorSpec> promised = {{"y", "FP32", {-1, 2}}, {"z", "FP32", {-1}}};
  const std::string good = raw<float>({1, 2}), bad = raw<float>({1, nan32});
  const auto found = [&](std::vector<TensorView> outputs) { return look_at_outputs(outputs, promised); };
  CHECK_FALSE(found({{"y", DataType::fp32, {1, 2}, good}}).any());
  CHECK(found({{"y", DataType::fp32, {1, 2}, bad}}).nan == 1);
  CHECK(found({{"y", DataType::fp32, {2, 1}, good}}).shape == 1);
  CHECK(found({{"y", DataType::fp32, {0, 2}, ""}}).empty == 1);
  CHECK(found({}).empty == 1);
  CHECK_FALSE(found({{"unknown", DataType::fp32, {2}, good}}).any());
  CHECK_FALSE(found({{"y", DataType::int64, {1, 1}, raw<std::int64_t>({5})}}).nan);
}
