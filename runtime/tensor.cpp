// Tensor types, checked sizes, element access.
#include "runtime/tensor.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <iterator>

namespace ferry::runtime {
namespace {

struct TypeRow {
  std::string_view name;
  std::size_t bytes;
};
// In the order of DataType.
constexpr TypeRow type_rows[] = {{"BOOL", 1}, {"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8},
                                 {"INT8", 1}, {"INT16", 2}, {"INT32", 4},  {"INT64", 8},  {"FP16", 2},
                                 {"FP32", 4}, {"FP64", 8},  {"BF16", 2}};

double half_to_double(std::uint16_t half) {
  int exponent = (half >> 10) & 0x1f;
  double fraction = half & 0x3ff;
  double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent == 31) return fraction != 0 ? std::nan("") : sign * HUGE_VAL;
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

double brain_to_double(std::uint16_t brain) {
  std::uint32_t bits = static_cast<std::uint32_t>(brain) << 16;
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// memcpy, because bytes of a frame have no alignment.
template <class T, class Convert>
void append(std::vector<double>& out, std::string_view bytes, Convert convert) {
  for (std::size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    out.push_back(convert(value));
  }
}

template <class T>
void append(std::vector<double>& out, std::string_view bytes) {
  append<T>(out, bytes, [](T value) { return static_cast<double>(value); });
}

Result<> check_input(const TensorInfo& declared, const TensorView& input) {
  auto wrong = [&](const std::string& what) {
    return Error{Errc::bad_input, "input \"" + declared.name + "\": " + what};
  };
  if (input.datatype != declared.datatype) {
    return wrong("datatype " + std::string(to_string(input.datatype)) + ", expected " +
                 std::string(to_string(declared.datatype)));
  }
  if (!shape_fits(declared.shape, input.shape)) {
    return wrong("shape " + to_string(input.shape) + ", expected " + to_string(declared.shape) +
                 (std::ranges::find(declared.shape, -1) != declared.shape.end() ? " (-1: any)" : ""));
  }
  auto bytes = tensor_bytes(input.datatype, input.shape);
  if (!bytes) return wrong(bytes.error().context);
  if (*bytes != input.bytes.size()) {
    return wrong(std::to_string(input.bytes.size()) + " bytes, expected " + std::to_string(*bytes) + " for " +
                 std::string(to_string(input.datatype)) + " " + to_string(input.shape));
  }
  return {};
}

}  // namespace

std::string_view to_string(DataType type) { return type_rows[static_cast<std::size_t>(type)].name; }

Result<DataType> data_type_from_string(std::string_view name) {
  for (std::size_t at = 0; at < std::size(type_rows); ++at) {
    if (type_rows[at].name == name) return static_cast<DataType>(at);
  }
  std::string known;
  for (const auto& row : type_rows) known += (known.empty() ? "" : ", ") + std::string(row.name);
  return Error{Errc::bad_input, "datatype \"" + std::string(name.substr(0, 32)) + "\", expected one of " + known};
}

std::size_t element_bytes(DataType type) { return type_rows[static_cast<std::size_t>(type)].bytes; }

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (std::size_t at = 0; at < shape.size(); ++at) text += (at == 0 ? "" : ",") + std::to_string(shape[at]);
  return text + "]";
}

Result<std::size_t> element_count(const Shape& shape) {
  if (shape.size() > dimensions_max) {
    return Error{Errc::bad_input, "shape of " + std::to_string(shape.size()) + " dimensions, at most " +
                                      std::to_string(dimensions_max) + " are allowed"};
  }
  std::size_t count = 1;
  bool empty = false;  // a zero anywhere makes the product zero, but the others must still be sane
  for (auto dimension : shape) {
    if (dimension < 0) return Error{Errc::bad_input, "shape " + to_string(shape) + ": a dimension is negative"};
    if (dimension == 0) {
      empty = true;
      continue;
    }
    if (static_cast<std::uint64_t>(dimension) > tensor_bytes_max / count) {
      return Error{Errc::bad_input,
                   "shape " + to_string(shape) + ": more than " + std::to_string(tensor_bytes_max) + " bytes"};
    }
    count *= static_cast<std::size_t>(dimension);
  }
  return empty ? std::size_t{0} : count;
}

Result<std::size_t> tensor_bytes(DataType type, const Shape& shape) {
  TRY(auto count, element_count(shape));
  if (count > tensor_bytes_max / element_bytes(type)) {
    return Error{Errc::bad_input, "shape " + to_string(shape) + " of " + std::string(to_string(type)) + ": more than " +
                                      std::to_string(tensor_bytes_max) + " bytes"};
  }
  return count * element_bytes(type);
}

bool shape_fits(const Shape& contract, const Shape& actual) {
  if (contract.size() != actual.size()) return false;
  for (std::size_t at = 0; at < contract.size(); ++at) {
    if (actual[at] < 0) return false;
    if (contract[at] != -1 && contract[at] != actual[at]) return false;
  }
  return true;
}

std::vector<TensorView> views_of(const std::vector<Tensor>& tensors) {
  std::vector<TensorView> views;
  views.reserve(tensors.size());
  for (const auto& tensor : tensors) views.push_back({tensor.name, tensor.datatype, tensor.shape, tensor.bytes});
  return views;
}

std::vector<double> to_numbers(DataType type, std::string_view bytes) {
  std::vector<double> numbers;
  numbers.reserve(bytes.size() / element_bytes(type));
  switch (type) {
    case DataType::boolean:
      append<std::uint8_t>(numbers, bytes, [](auto v) { return v != 0 ? 1.0 : 0.0; });
      break;
    case DataType::uint8:
      append<std::uint8_t>(numbers, bytes);
      break;
    case DataType::uint16:
      append<std::uint16_t>(numbers, bytes);
      break;
    case DataType::uint32:
      append<std::uint32_t>(numbers, bytes);
      break;
    case DataType::uint64:
      append<std::uint64_t>(numbers, bytes);
      break;
    case DataType::int8:
      append<std::int8_t>(numbers, bytes);
      break;
    case DataType::int16:
      append<std::int16_t>(numbers, bytes);
      break;
    case DataType::int32:
      append<std::int32_t>(numbers, bytes);
      break;
    case DataType::int64:
      append<std::int64_t>(numbers, bytes);
      break;
    case DataType::fp16:
      append<std::uint16_t>(numbers, bytes, half_to_double);
      break;
    case DataType::fp32:
      append<float>(numbers, bytes);
      break;
    case DataType::fp64:
      append<double>(numbers, bytes);
      break;
    case DataType::bf16:
      append<std::uint16_t>(numbers, bytes, brain_to_double);
      break;
  }
  return numbers;
}

bool has_nan(DataType type, std::string_view bytes) {
  if (type != DataType::fp16 && type != DataType::fp32 && type != DataType::fp64 && type != DataType::bf16)
    return false;
  return std::ranges::any_of(to_numbers(type, bytes), [](double value) { return std::isnan(value); });
}

std::int64_t arg_max(std::span<const double> values) {
  std::int64_t best = -1;
  for (std::size_t at = 0; at < values.size(); ++at) {
    if (std::isnan(values[at])) return -1;
    if (best < 0 || values[at] > values[static_cast<std::size_t>(best)]) best = static_cast<std::int64_t>(at);
  }
  return best;
}

Result<> check_inputs(std::span<const TensorInfo> declared, std::span<const TensorView> inputs) {
  std::string names;
  for (const auto& info : declared) names += (names.empty() ? "\"" : ", \"") + info.name + "\"";
  for (std::size_t at = 0; at < inputs.size(); ++at) {
    const auto& input = inputs[at];
    auto info = std::ranges::find(declared, input.name, &TensorInfo::name);
    if (info == declared.end()) {
      return Error{Errc::bad_input, "input \"" + input.name + "\": the model has no such input, only " + names};
    }
    auto earlier = inputs.subspan(0, at);
    if (std::ranges::find(earlier, input.name, &TensorView::name) != earlier.end()) {
      return Error{Errc::bad_input, "input \"" + input.name + "\": given twice"};
    }
    TRY_VOID(check_input(*info, input));
  }
  for (const auto& info : declared) {
    if (std::ranges::find(inputs, info.name, &TensorView::name) == inputs.end()) {
      return Error{Errc::bad_input, "input \"" + info.name + "\": missing, expected " +
                                        std::string(to_string(info.datatype)) + " " + to_string(info.shape)};
    }
  }
  return {};
}

Json to_json(const TensorInfo& info) {
  return Json{{"name", info.name}, {"datatype", to_string(info.datatype)}, {"shape", info.shape}};
}

Result<TensorInfo> tensor_info_from_json(const Json& object) {
  TensorInfo info;
  TRY(info.name, string_at(object, "name", tensor_name_bytes_max));
  auto named = [&](Error error) { return std::move(error).within("tensor \"" + info.name + "\""); };
  auto datatype = string_at(object, "datatype", 16);
  if (!datatype) return named(datatype.error());
  auto type = data_type_from_string(*datatype);
  if (!type) return named(type.error());
  info.datatype = *type;
  auto shape = array_at(object, "shape", dimensions_max);
  if (!shape) return named(shape.error());
  for (const auto& dimension : **shape) {
    constexpr auto dimension_max = static_cast<std::int64_t>(tensor_bytes_max);
    bool whole = dimension.is_number_integer() &&
                 (!dimension.is_number_unsigned() || dimension.get<std::uint64_t>() <= tensor_bytes_max);
    if (!whole || dimension.get<std::int64_t>() < -1) {
      return named(Error{Errc::bad_input, "shape: expected whole numbers from -1 to " + std::to_string(dimension_max)});
    }
    info.shape.push_back(dimension.get<std::int64_t>());
  }
  return info;
}

}  // namespace ferry::runtime
