// Copies one row.
#include "agent/class_scores.hpp"

#include <algorithm>
#include <cstring>

namespace ferry::agent {

std::vector<float> class_scores(std::span<const runtime::TensorView> outputs, std::string_view class_output) {
  std::vector<float> scores;
  const auto output = std::ranges::find(outputs, class_output, &runtime::TensorView::name);
  if (class_output.empty() || output == outputs.end() || output->bytes.empty()) return scores;
  const auto each = runtime::element_bytes(output->datatype);
  const auto width =
      output->shape.empty() ? output->bytes.size() / each : static_cast<std::size_t>(output->shape.back());
  const auto row = output->bytes.substr(0, width * each);
  if (output->datatype == runtime::DataType::fp32) {  // nearly always
    scores.resize(width);
    std::memcpy(scores.data(), row.data(), row.size());
  } else {
    for (double value : runtime::to_numbers(output->datatype, row)) scores.push_back(static_cast<float>(value));
  }
  return scores;
}

}  // namespace ferry::agent
