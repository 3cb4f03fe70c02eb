#include "agent/class_scores.hpp"

#include <catch2/catch.hpp>
#include <cstdint>

using namespace ferry;
using namespace ferry::agent;

namespace {

template <class T>
runtime::TensorView view(const char* name, runtime::DataType type, runtime::Shape shape, const std::vector<T>& values) {
  return {name, type, std::move(shape),
          std::string_view(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T))};
}

}  // namespace

TEST_CASE("the scores are the first item's row of the class output, as they came") {
  const std::vector<float> logits{1, 2, 3, 4, 5, 6};
  const std::vector<runtime::TensorView> outputs{view("boxes", runtime::DataType::fp32, {1, 2}, logits),
                                                 view("logits", runtime::DataType::fp32, {2, 3}, logits)};
  CHECK(class_scores(outputs, "logits") == std::vector<float>{1, 2, 3});
  CHECK(class_scores(outputs, "boxes") == std::vector<float>{1, 2});
  CHECK(class_scores(outputs, "nothing").empty());
  CHECK(class_scores(outputs, "").empty());
  CHECK(class_scores({}, "logits").empty());
}

TEST_CASE("scores of other types come as numbers; an empty output has none") {
  const std::vector<std::int64_t> whole{7, -2};
  CHECK(class_scores(std::vector{view("y", runtime::DataType::int64, {2}, whole)}, "y") == std::vector<float>{7, -2});
  const std::vector<float> one{0.5F};
  CHECK(class_scores(std::vector{view("y", runtime::DataType::fp32, {}, one)}, "y") == one);
  CHECK(class_scores(std::vector{view("y", runtime::DataType::fp32, {0, 3}, std::vector<float>{})}, "y").empty());
}
