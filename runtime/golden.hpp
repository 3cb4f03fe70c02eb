// Golden samples: recorded inputs with the outputs CI's runtime gave, and the rule by which a device agrees.
#pragma once
#include "common/file.hpp"
#include "runtime/tensor.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::runtime {

constexpr std::size_t golden_samples_max = 256;
constexpr std::size_t golden_bytes_max = 16 * 1024 * 1024;

struct GoldenSample {
  std::int64_t sample = 0;  // its index in the data set
  std::int64_t label = -1;  // the true class; -1: unknown
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;  // all outputs of the model
  bool operator==(const GoldenSample&) const = default;
};

// golden.bin (docs/formats/golden.md). format_golden refuses what parse_golden would.
Result<std::string> format_golden(const std::vector<GoldenSample>& samples);
Result<std::vector<GoldenSample>> parse_golden(std::string_view bytes);  // at least one sample
Result<std::vector<GoldenSample>> read_golden(const Path& path);

struct GoldenRule {
  double tolerance = 0;      // largest absolute difference per element; the manifest's golden_tolerance
  std::string class_output;  // arg-max must agree here; empty: no such rule
};

struct GoldenDifference {
  double largest = 0;  // largest absolute difference over all elements
  std::string output;  // where it was
};

// Compares what this machine gave with what CI recorded. gate_failed with reason `trial.golden` naming sample, output,
// expected and got: an output missing or extra, another shape or type, a NaN, an element further off than the
// tolerance (infinities must be equal), or another arg-max where CI's best two differ by more than twice the tolerance.
// The arg-max is taken per row of the last dimension.
Result<GoldenDifference> compare_golden(const GoldenSample& expected, const std::vector<Tensor>& got,
                                        const GoldenRule& rule);

}  // namespace ferry::runtime
