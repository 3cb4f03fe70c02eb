// Whether inputs and outputs are what they should be, at a cost that no request notices.
#pragma once
#include "ota/manifest.hpp"
#include "runtime/tensor.hpp"
#include "telemetry/sanity.hpp"

#include <span>

namespace ferry::agent {

// Of a larger tensor the first of these are looked at; 28 x 28 elements take about half a microsecond.
constexpr std::size_t elements_looked_at_max = 4096;

// One tensor as sums. Elements beyond telemetry::input_value_max in size are out of range and in no sum. FP16 and BF16
// are looked at no further than 256 elements: they are slow to read.
telemetry::InputStats look_at_input(const runtime::TensorView& tensor);

// `promised` are the contract's outputs; those that were not asked for are not missed.
telemetry::OutputFindings look_at_outputs(std::span<const runtime::TensorView> outputs,
                                          std::span<const ota::TensorSpec> promised);

}  // namespace ferry::agent
