// What a classifier says about the first item of an answer.
#pragma once
#include "runtime/tensor.hpp"

#include <span>
#include <string_view>
#include <vector>

namespace ferry::agent {

// Row 0 of the last dimension of the output named `class_output`, as it came; empty when there is none among `outputs`.
std::vector<float> class_scores(std::span<const runtime::TensorView> outputs, std::string_view class_output);

}  // namespace ferry::agent
