// Parsing is strict: everything a caller may get wrong has a sentence of its own.
#include "agent/open_inference.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>
#include <cstring>

namespace ferry::agent {
namespace {

using runtime::DataType;
using runtime::TensorInfo;
using runtime::TensorView;

constexpr int data_depth_max = static_cast<int>(runtime::dimensions_max);
constexpr int json_depth_max = data_depth_max + 4;

template <class T>
void put(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

template <class T>
Result<> put_integer(std::string& out, const Json& value) {
  bool fits = value.is_number_unsigned()
                  ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<T>::max())
                  : value.is_number_integer() &&
                        std::cmp_greater_equal(value.get<std::int64_t>(), std::numeric_limits<T>::min()) &&
                        std::cmp_less_equal(value.get<std::int64_t>(), std::numeric_limits<T>::max());
  if (!fits) return Error{Errc::bad_input, "expected whole numbers within the range of the datatype"};
  put(out, static_cast<T>(value.is_number_unsigned() ? static_cast<T>(value.get<std::uint64_t>())
                                                     : static_cast<T>(value.get<std::int64_t>())));
  return {};
}

Result<> put_element(std::string& out, DataType type, const Json& value) {
  switch (type) {
    case DataType::boolean:
      if (!value.is_boolean()) return Error{Errc::bad_input, "expected true and false"};
      put(out, static_cast<char>(value.get<bool>() ? 1 : 0));
      return {};
    case DataType::uint8:
      return put_integer<std::uint8_t>(out, value);
    case DataType::uint16:
      return put_integer<std::uint16_t>(out, value);
    case DataType::uint32:
      return put_integer<std::uint32_t>(out, value);
    case DataType::uint64:
      return put_integer<std::uint64_t>(out, value);
    case DataType::int8:
      return put_integer<std::int8_t>(out, value);
    case DataType::int16:
      return put_integer<std::int16_t>(out, value);
    case DataType::int32:
      return put_integer<std::int32_t>(out, value);
    case DataType::int64:
      return put_integer<std::int64_t>(out, value);
    case DataType::fp32:
    case DataType::fp64: {
      if (!value.is_number()) return Error{Errc::bad_input, "expected numbers"};
      double number = value.get<double>();
      if (type == DataType::fp64) {
        put(out, number);
        return {};
      }
      if (std::fabs(number) > std::numeric_limits<float>::max())
        return Error{Errc::bad_input, "a number is too large for FP32"};
      put(out, static_cast<float>(number));
      return {};
    }
    case DataType::fp16:
    case DataType::bf16:
      break;
  }
  return Error{Errc::bad_input, "FP16 and BF16 have no JSON form; send them with binary_data_size"};
}

// Flat or nested arrays, row-major. Stops as soon as there are more elements than the shape has.
Result<> flatten(std::string& out, DataType type, const Json& data, std::size_t bytes_max, int depth) {
  if (depth > data_depth_max) return Error{Errc::bad_input, "data: nested too deeply"};
  for (const auto& value : data) {
    if (value.is_array()) {
      TRY_VOID(flatten(out, type, value, bytes_max, depth + 1));
      continue;
    }
    if (out.size() >= bytes_max) return Error{Errc::bad_input, "data: more elements than the shape has"};
    auto put_result = put_element(out, type, value);
    if (!put_result) return std::move(put_result).error().within("data");
  }
  return {};
}

struct Split {
  std::string_view header;
  std::string_view binary;
  bool extended = false;
};

Result<Split> split_body(const http::Request& request) {
  std::string_view body = request.body;
  auto length = request.header("inference-header-content-length");
  if (length.empty()) {
    return Split{body, {}, false};
  }
  std::size_t bytes = 0;
  auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bytes);
  if (error != std::errc() || end != length.data() + length.size() || bytes > body.size()) {
    return Error{Errc::bad_input, "Inference-Header-Content-Length: \"" + std::string(length.substr(0, 32)) +
                                      "\", expected the number of bytes of the JSON part, at most the body's " +
                                      std::to_string(body.size())};
  }
  return Split{body.substr(0, bytes), body.substr(bytes), true};
}

Result<const Json*> parameters_of(const Json& object) {
  static const Json none = Json::object();
  if (!object.contains("parameters")) return &none;
  return object_at(object, "parameters");
}

// One entry of "inputs". `binary` is what is left of the raw part.
Result<> parse_input(const Json& item, const std::vector<TensorInfo>& declared, std::string_view& binary,
                     InferenceRequest& into) {
  TRY(auto info, runtime::tensor_info_from_json(item));
  auto named = [&info](Error error) { return std::move(error).within("input \"" + info.name + "\""); };
  auto known = std::ranges::find(declared, info.name, &TensorInfo::name);
  if (known != declared.end() && known->datatype != info.datatype) {
    return named(Error{Errc::bad_input, "datatype " + std::string(to_string(info.datatype)) + ", expected " +
                                            std::string(to_string(known->datatype))});
  }
  auto expected = runtime::tensor_bytes(info.datatype, info.shape);
  if (!expected) return named(std::move(expected).error());
  auto parameters = parameters_of(item);
  if (!parameters) return named(std::move(parameters).error());
  TensorView tensor{info.name, info.datatype, info.shape, {}};
  if ((*parameters)->contains("binary_data_size")) {
    auto size = integer_at(**parameters, "binary_data_size", 0, static_cast<std::int64_t>(inference_body_bytes_max));
    if (!size) return named(std::move(size).error());
    auto bytes = static_cast<std::size_t>(*size);
    if (item.contains("data")) return named(Error{Errc::bad_input, "has both data and binary_data_size; send one"});
    if (bytes > binary.size()) {
      return named(Error{Errc::bad_input, "binary_data_size " + std::to_string(bytes) + ", but only " +
                                              std::to_string(binary.size()) + " bytes are left in the body"});
    }
    tensor.bytes = binary.substr(0, bytes);
    binary.remove_prefix(bytes);
  } else {
    auto data = array_at(item, "data", runtime::tensor_bytes_max);
    if (!data) return named(std::move(data).error());
    auto& bytes = into.decoded.emplace_back();
    auto flat = flatten(bytes, info.datatype, **data, *expected, 1);
    if (!flat) return named(std::move(flat).error());
    if (bytes.size() != *expected) {
      auto each = runtime::element_bytes(info.datatype);
      return named(Error{Errc::bad_input, "data: " + std::to_string(bytes.size() / each) + " elements, expected " +
                                              std::to_string(*expected / each) + " for shape " +
                                              runtime::to_string(info.shape)});
    }
    tensor.bytes = bytes;
  }
  into.inputs.push_back(std::move(tensor));
  return {};
}

Result<> parse_outputs(const Json& head, const std::vector<TensorInfo>& known, InferenceRequest& into) {
  if (!head.contains("outputs")) return {};
  TRY(const Json* outputs, array_at(head, "outputs", runtime::tensors_max));
  for (const auto& item : *outputs) {
    TRY(auto name, string_at(item, "name", runtime::tensor_name_bytes_max));
    if (std::ranges::find(known, name, &TensorInfo::name) == known.end()) {
      std::string names;
      for (const auto& output : known) names += (names.empty() ? "\"" : ", \"") + output.name + "\"";
      return Error{Errc::bad_input, "output \"" + name + "\": the model has no such output, only " + names};
    }
    if (std::ranges::find(into.outputs, name) != into.outputs.end()) {
      return Error{Errc::bad_input, "output \"" + name + "\": asked for twice"};
    }
    TRY(const Json* parameters, parameters_of(item));
    TRY(bool binary, bool_or(*parameters, "binary_data", into.binary_by_default));
    into.outputs.push_back(std::move(name));
    into.binary.push_back(binary);
  }
  return {};
}

template <class T>
Json numbers(std::string_view bytes) {
  Json array = Json::array();
  for (std::size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    array.push_back(value);
  }
  return array;
}

Json data_of(const TensorView& tensor) {
  switch (tensor.datatype) {
    case DataType::uint64:
      return numbers<std::uint64_t>(tensor.bytes);  // beyond 2^53 a double would round
    case DataType::int64:
      return numbers<std::int64_t>(tensor.bytes);
    case DataType::uint8:
      return numbers<std::uint8_t>(tensor.bytes);
    case DataType::uint16:
      return numbers<std::uint16_t>(tensor.bytes);
    case DataType::uint32:
      return numbers<std::uint32_t>(tensor.bytes);
    case DataType::int8:
      return numbers<std::int8_t>(tensor.bytes);
    case DataType::int16:
      return numbers<std::int16_t>(tensor.bytes);
    case DataType::int32:
      return numbers<std::int32_t>(tensor.bytes);
    case DataType::boolean: {
      Json array = Json::array();
      for (char c : tensor.bytes) array.push_back(c != 0);
      return array;
    }
    case DataType::fp32:
      return numbers<float>(tensor.bytes);
    default:
      return Json(runtime::to_numbers(tensor.datatype, tensor.bytes));
  }
}

bool wants_binary(const InferenceRequest& request, std::string_view output) {
  for (std::size_t at = 0; at < request.outputs.size(); ++at) {
    if (request.outputs[at] == output) return request.binary[at];
  }
  return request.binary_by_default;
}

}  // namespace

Result<InferenceRequest> parse_inference(const http::Request& request, const std::vector<TensorInfo>& declared,
                                         const std::vector<TensorInfo>& outputs) {
  TRY(auto split, split_body(request));
  JsonLimits limits;
  limits.bytes_max = inference_header_bytes_max;
  limits.depth_max = json_depth_max;
  auto head = parse_json(split.header, limits);
  if (!head) return std::move(head).error().within("request");
  if (!head->is_object()) return Error{Errc::bad_input, "request: not a JSON object"};
  InferenceRequest parsed;
  TRY(parsed.id, string_or(*head, "id", "", request_id_bytes_max));
  TRY(const Json* parameters, parameters_of(*head));
  TRY(parsed.binary_by_default, bool_or(*parameters, "binary_data_output", false));
  TRY(const Json* inputs, array_at(*head, "inputs", runtime::tensors_max));
  std::string_view binary = split.binary;
  for (const auto& item : *inputs) TRY_VOID(parse_input(item, declared, binary, parsed));
  if (!binary.empty()) {
    return Error{Errc::bad_input,
                 "request: " + std::to_string(binary.size()) +
                     " bytes behind the JSON part belong to no input; each needs parameters.binary_data_size"};
  }
  TRY_VOID(runtime::check_inputs(declared, parsed.inputs));
  TRY_VOID(parse_outputs(*head, outputs, parsed));
  return parsed;
}

http::Response format_inference(const InferenceRequest& request, const InferenceReply& reply) {
  Json outputs = Json::array();
  std::size_t binary_bytes = 0;
  bool extended = false;
  for (const auto& tensor : reply.outputs) {
    Json item{{"name", tensor.name}, {"datatype", to_string(tensor.datatype)}, {"shape", tensor.shape}};
    if (wants_binary(request, tensor.name)) {
      item["parameters"] = Json{{"binary_data_size", tensor.bytes.size()}};
      binary_bytes += tensor.bytes.size();
      extended = true;
    } else {
      item["data"] = data_of(tensor);
    }
    outputs.push_back(std::move(item));
  }
  Json head{{"model_name", reply.model}, {"model_version", reply.version}, {"outputs", std::move(outputs)}};
  head["parameters"] = Json{{"prediction_id", reply.prediction_id}};
  if (!request.id.empty()) head["id"] = request.id;
  if (!extended) return http::json_response(head);
  http::Response response;
  response.body = dump_json(head);
  response.headers["Content-Type"] = "application/octet-stream";
  response.headers["Inference-Header-Content-Length"] = std::to_string(response.body.size());
  response.body.reserve(response.body.size() + binary_bytes);
  for (const auto& tensor : reply.outputs) {
    if (wants_binary(request, tensor.name)) response.body += tensor.bytes;
  }
  return response;
}

http::Response inference_error(int status, std::string_view message) {
  return http::json_response(Json{{"error", message}}, status);
}

http::Response inference_error(const Error& error) {
  auto response = http::problem(error);  // one table from code to status for every API
  return inference_error(error.code == Errc::timeout ? 504 : response.status, error.context);
}

}  // namespace ferry::agent
