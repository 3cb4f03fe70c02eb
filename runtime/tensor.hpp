// Tensors as plain bytes with a type, a shape and a name: what crosses every boundary of the runtime.
#pragma once
#include "common/json.hpp"
#include "common/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::runtime {

// Element types by their Open Inference Protocol names. BYTES (strings) are not supported by Ferry.
enum class DataType { boolean, uint8, uint16, uint32, uint64, int8, int16, int32, int64, fp16, fp32, fp64, bf16 };

constexpr std::size_t dimensions_max = 16;                   // docs/formats/bundle.md
constexpr std::size_t tensor_bytes_max = 256 * 1024 * 1024;  // one frame's body (worker-frames.md)
constexpr std::size_t tensors_max = 64;                      // inputs or outputs of a model (bundle.md)
constexpr std::size_t tensor_name_bytes_max = 256;

std::string_view to_string(DataType type);                      // "FP32"
Result<DataType> data_type_from_string(std::string_view name);  // bad_input naming the known ones
std::size_t element_bytes(DataType type);

using Shape = std::vector<std::int64_t>;    // row-major; -1: any (in a contract only)
std::string to_string(const Shape& shape);  // "[-1,1,28,28]"

// Elements and bytes of a concrete shape. bad_input: a negative dimension, more than dimensions_max of them, or more
// than tensor_bytes_max bytes (checked without overflow). A zero dimension is fine: no elements.
Result<std::size_t> element_count(const Shape& shape);
Result<std::size_t> tensor_bytes(DataType type, const Shape& shape);
// True when every dimension agrees; -1 on the `contract` side accepts anything.
bool shape_fits(const Shape& contract, const Shape& actual);

// One input or output of a model, as the model declares it.
struct TensorInfo {
  std::string name;
  DataType datatype = DataType::fp32;
  Shape shape;  // -1: any
  bool operator==(const TensorInfo&) const = default;
};

// A tensor that owns its little-endian, row-major bytes.
struct Tensor {
  std::string name;
  DataType datatype = DataType::fp32;
  Shape shape;
  std::string bytes;
  bool operator==(const Tensor&) const = default;
};

// The same over somebody else's bytes, which must outlive it.
struct TensorView {
  std::string name;
  DataType datatype = DataType::fp32;
  Shape shape;
  std::string_view bytes;
};
std::vector<TensorView> views_of(const std::vector<Tensor>& tensors);

// The elements as numbers, whatever the type (for comparison and arg-max; int64 beyond 2^53 rounds). `bytes` must hold
// whole elements.
std::vector<double> to_numbers(DataType type, std::string_view bytes);
bool has_nan(DataType type, std::string_view bytes);
// The index of the largest element; the first of equals; -1 when empty or any is NaN.
std::int64_t arg_max(std::span<const double> values);

// Checks `inputs` against the model's own declaration: every declared input exactly once, nothing else, same type,
// fitting shape, as many bytes as shape and type say. bad_input naming the tensor, what was expected and what came.
Result<> check_inputs(std::span<const TensorInfo> declared, std::span<const TensorView> inputs);

// {"name","datatype","shape"}: the form of contracts, model metadata and frames.
Json to_json(const TensorInfo& info);
Result<TensorInfo> tensor_info_from_json(const Json& object);  // -1 allowed in the shape

}  // namespace ferry::runtime
