#include "agent/input_sanity.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace ferry::agent {
namespace {

using runtime::DataType;
using telemetry::InputStats;

constexpr std::size_t slow_elements_max = 256;
constexpr std::size_t lanes = 4;  // independent sums: additions need not wait for each other

template <class T>
T element(std::string_view bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at * sizeof(T), sizeof value);
  return value;
}

// Element by element: for what holds a NaN, an infinity or something huge.
template <class Values>
void look_closely(InputStats& stats, std::size_t count, Values value_at) {
  bool nan = false, infinity = false, out_of_range = false;
  for (std::size_t i = 0; i < count; ++i) {
    const double value = value_at(i);
    nan = nan || std::isnan(value);
    infinity = infinity || std::isinf(value);
    if (std::isfinite(value) && std::fabs(value) <= telemetry::input_value_max) {
      stats.min = stats.values == 0 ? value : std::min(stats.min, value);
      stats.max = stats.values == 0 ? value : std::max(stats.max, value);
      ++stats.values;
      stats.sum += value;
      stats.squares += value * value;
    } else if (!std::isnan(value)) {
      out_of_range = true;
    }
  }
  stats.with_nan = nan ? 1 : 0;
  stats.with_infinity = infinity ? 1 : 0;
  stats.out_of_range = out_of_range ? 1 : 0;
}

template <class T>
void look(InputStats& stats, std::string_view bytes, std::size_t count) {
  std::array<double, lanes> sums{}, squares{};
  std::array<T, lanes> least, most;
  least.fill(std::numeric_limits<T>::max());
  most.fill(std::numeric_limits<T>::lowest());
  std::size_t at = 0;
  for (; at + lanes <= count; at += lanes) {
    std::array<T, lanes> some;
    std::memcpy(some.data(), bytes.data() + at * sizeof(T), sizeof some);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const auto value = static_cast<double>(some[lane]);
      sums[lane] += value;
      squares[lane] += value * value;
      least[lane] = some[lane] < least[lane] ? some[lane] : least[lane];
      most[lane] = some[lane] > most[lane] ? some[lane] : most[lane];
    }
  }
  double min = std::numeric_limits<double>::max(), max = std::numeric_limits<double>::lowest();
  double sum = 0, sum_of_squares = 0;
  const auto add = [&](double value) {
    sum += value;
    sum_of_squares += value * value;
    min = std::min(min, value);
    max = std::max(max, value);
  };
  if (at > 0) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      sum += sums[lane];
      sum_of_squares += squares[lane];
      min = std::min(min, static_cast<double>(least[lane]));
      max = std::max(max, static_cast<double>(most[lane]));
    }
  }
  for (; at < count; ++at) add(static_cast<double>(element<T>(bytes, at)));
  // A NaN or an infinity anywhere shows in the sum of squares.
  const bool ordinary =
      std::isfinite(sum_of_squares) && std::max(std::fabs(min), std::fabs(max)) <= telemetry::input_value_max;
  if (!ordinary)
    return look_closely(stats, count, [&](std::size_t i) { return static_cast<double>(element<T>(bytes, i)); });
  stats.values = count;
  stats.sum = sum;
  stats.squares = sum_of_squares;
  stats.min = min;
  stats.max = max;
}

void look_slowly(InputStats& stats, const runtime::TensorView& tensor, std::size_t count) {
  const auto each = runtime::element_bytes(tensor.datatype);
  const std::vector<double> values = runtime::to_numbers(tensor.datatype, tensor.bytes.substr(0, count * each));
  look_closely(stats, values.size(), [&](std::size_t i) { return values[i]; });
}

bool holds_nan(DataType type, std::string_view bytes) {
  if (type != DataType::fp32) return runtime::has_nan(type, bytes);
  for (std::size_t i = 0; i < bytes.size() / sizeof(float); ++i)
    if (std::isnan(element<float>(bytes, i))) return true;
  return false;
}

}  // namespace

InputStats look_at_input(const runtime::TensorView& tensor) {
  InputStats stats;
  stats.tensors = 1;
  const std::size_t count =
      std::min(tensor.bytes.size() / runtime::element_bytes(tensor.datatype), elements_looked_at_max);
  if (count == 0) return stats;
  switch (tensor.datatype) {
    case DataType::fp32:
      look<float>(stats, tensor.bytes, count);
      break;
    case DataType::fp64:
      look<double>(stats, tensor.bytes, count);
      break;
    case DataType::uint8:
    case DataType::boolean:
      look<std::uint8_t>(stats, tensor.bytes, count);
      break;
    case DataType::int8:
      look<std::int8_t>(stats, tensor.bytes, count);
      break;
    case DataType::int32:
      look<std::int32_t>(stats, tensor.bytes, count);
      break;
    case DataType::int64:
      look<std::int64_t>(stats, tensor.bytes, count);
      break;
    default:
      look_slowly(stats, tensor, std::min(count, slow_elements_max));
  }
  const bool whole = stats.values > 1 && stats.with_nan + stats.with_infinity + stats.out_of_range == 0;
  stats.constant = whole && stats.min == stats.max ? 1 : 0;
  return stats;
}

telemetry::OutputFindings look_at_outputs(std::span<const runtime::TensorView> outputs,
                                          std::span<const ota::TensorSpec> promised) {
  telemetry::OutputFindings findings;
  if (outputs.empty()) findings.empty = 1;
  for (const runtime::TensorView& output : outputs) {
    if (output.bytes.empty()) {
      findings.empty = 1;
      continue;
    }
    const auto spec = std::ranges::find(promised, output.name, &ota::TensorSpec::name);
    if (spec != promised.end() && !runtime::shape_fits(spec->shape, output.shape)) findings.shape = 1;
    const std::size_t each = runtime::element_bytes(output.datatype);
    const std::size_t looked_at = std::min(output.bytes.size() / each, elements_looked_at_max);
    if (holds_nan(output.datatype, output.bytes.substr(0, looked_at * each))) findings.nan = 1;
  }
  return findings;
}

}  // namespace ferry::agent
