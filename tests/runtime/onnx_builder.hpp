// Writes tiny ONNX models for tests, so that what a model does is visible in the test that uses it.
#pragma once
#include "runtime/tensor.hpp"

#include <protozero/pbf_writer.hpp>

#include <cstring>
#include <string>
#include <vector>

namespace ferry::test {

// Element types as ONNX numbers them (TensorProto.DataType).
enum OnnxType {
  onnx_float = 1,
  onnx_uint8 = 2,
  onnx_int8 = 3,
  onnx_int64 = 7,
  onnx_string = 8,
  onnx_bool = 9,
  onnx_double = 11
};

struct OnnxValue {
  std::string name;
  int type = onnx_float;
  std::vector<std::int64_t> shape;  // -1: symbolic
};
struct OnnxNode {
  std::string op;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::vector<std::pair<std::string, std::int64_t>> integers = {};  // attributes
};
struct OnnxConstant {
  std::string name;
  int type = onnx_float;
  std::vector<std::int64_t> shape;
  std::string bytes;
};
struct OnnxModel {
  std::vector<OnnxValue> inputs;
  std::vector<OnnxValue> outputs;
  std::vector<OnnxNode> nodes;
  std::vector<OnnxConstant> constants = {};
  std::int64_t opset = 13;
};

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline std::vector<float> floats_of(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

inline std::string onnx_value(const OnnxValue& value) {
  std::string shape;
  protozero::pbf_writer shape_writer(shape);
  for (auto dimension : value.shape) {
    std::string dim;
    protozero::pbf_writer dim_writer(dim);
    if (dimension < 0)
      dim_writer.add_string(2, "any");
    else
      dim_writer.add_int64(1, dimension);
    shape_writer.add_message(1, dim);
  }
  std::string tensor;
  protozero::pbf_writer tensor_writer(tensor);
  tensor_writer.add_int32(1, value.type);
  tensor_writer.add_message(2, shape);
  std::string type;
  protozero::pbf_writer(type).add_message(1, tensor);
  std::string out;
  protozero::pbf_writer writer(out);
  writer.add_string(1, value.name);
  writer.add_message(2, type);
  return out;
}

inline std::string onnx_node(const OnnxNode& node) {
  std::string out;
  protozero::pbf_writer writer(out);
  for (const auto& name : node.inputs) writer.add_string(1, name);
  for (const auto& name : node.outputs) writer.add_string(2, name);
  writer.add_string(4, node.op);
  for (const auto& [name, value] : node.integers) {
    std::string attribute;
    protozero::pbf_writer attribute_writer(attribute);
    attribute_writer.add_string(1, name);
    attribute_writer.add_int64(3, value);
    attribute_writer.add_int32(20, 2);  // AttributeProto.INT
    writer.add_message(5, attribute);
  }
  return out;
}

inline std::string onnx_bytes(const OnnxModel& model) {
  std::string graph;
  protozero::pbf_writer graph_writer(graph);
  for (const auto& node : model.nodes) graph_writer.add_message(1, onnx_node(node));
  graph_writer.add_string(2, "test");
  for (const auto& constant : model.constants) {
    std::string tensor;
    protozero::pbf_writer tensor_writer(tensor);
    for (auto dimension : constant.shape) tensor_writer.add_int64(1, dimension);
    tensor_writer.add_int32(2, constant.type);
    tensor_writer.add_string(8, constant.name);
    tensor_writer.add_bytes(9, constant.bytes);
    graph_writer.add_message(5, tensor);
  }
  for (const auto& input : model.inputs) graph_writer.add_message(11, onnx_value(input));
  for (const auto& output : model.outputs) graph_writer.add_message(12, onnx_value(output));
  std::string opset;
  protozero::pbf_writer(opset).add_int64(2, model.opset);
  std::string out;
  protozero::pbf_writer writer(out);
  writer.add_int64(1, 7);
  writer.add_message(7, graph);
  writer.add_message(8, opset);
  return out;
}

// y = 2·x, any number of rows of three.
inline std::string doubling_model() {
  OnnxModel model;
  model.inputs = {{"x", onnx_float, {-1, 3}}};
  model.outputs = {{"y", onnx_float, {-1, 3}}};
  model.nodes = {{"Add", {"x", "x"}, {"y"}}};
  return onnx_bytes(model);
}

// y = log(x): NaN below zero, -inf at zero.
inline std::string log_model() {
  OnnxModel model;
  model.inputs = {{"x", onnx_float, {-1, 3}}};
  model.outputs = {{"y", onnx_float, {-1, 3}}};
  model.nodes = {{"Log", {"x"}, {"y"}}};
  return onnx_bytes(model);
}

// Fills a tensor whose shape is the input and adds it up: as much memory as the caller of the model asks for.
inline std::string hungry_model() {
  OnnxModel model;
  model.inputs = {{"shape", onnx_int64, {2}}};
  model.outputs = {{"total", onnx_float, {}}};
  model.nodes = {{"ConstantOfShape", {"shape"}, {"zeros"}},
                 {"Exp", {"zeros"}, {"ones"}},
                 {"ReduceSum", {"ones"}, {"total"}, {{"keepdims", 0}}}};
  return onnx_bytes(model);
}

inline runtime::Tensor float_tensor(std::string name, runtime::Shape shape, const std::vector<float>& values) {
  return {std::move(name), runtime::DataType::fp32, std::move(shape), bytes_of(values)};
}

}  // namespace ferry::test
