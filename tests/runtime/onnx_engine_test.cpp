// The real ONNX Runtime on tiny models: metadata, dynamic and empty shapes, NaN, wrong inputs, broken files.
#include "runtime/engine.hpp"
#include "runtime/onnx_model.hpp"
#include "tests/runtime/onnx_builder.hpp"

#include <catch2/catch.hpp>

#include <cmath>

using namespace ferry;
using namespace ferry::runtime;
using namespace ferry::test;

namespace {

Engine& engine() {  // one environment per process, as ONNX Runtime wants it
  static auto opened = *open_onnx_engine(FERRY_ONNXRUNTIME_LIBRARY);
  return *opened;
}

std::unique_ptr<Session> loaded(const std::string& model) {
  auto session = engine().load(model, {});
  if (!session) FAIL(session.error().context);
  return std::move(*session);
}

Result<std::vector<Tensor>> run(Session& session, const std::vector<Tensor>& inputs,
                                const std::vector<std::string>& outputs = {}) {
  return session.run(views_of(inputs), outputs);
}

}  // namespace

TEST_CASE("the runtime names itself, and a library that is none is refused") {
  CHECK(engine().info().name == "onnxruntime");
  CHECK_THAT(engine().info().version, Catch::StartsWith("1."));
  auto absent = open_onnx_engine("/nonexistent/libonnxruntime.so");
  REQUIRE(!absent);
  CHECK(absent.error().code == Errc::not_found);
  CHECK_THAT(absent.error().context, Catch::Contains("/nonexistent/libonnxruntime.so"));
  auto other = open_onnx_engine("libm.so.6");
  REQUIRE(!other);
  CHECK(other.error().code == Errc::unsupported);
}

TEST_CASE("a model tells its inputs, outputs and operator set") {
  auto session = loaded(doubling_model());
  CHECK(session->inputs() == std::vector<TensorInfo>{{"x", DataType::fp32, {-1, 3}}});
  CHECK(session->outputs() == std::vector<TensorInfo>{{"y", DataType::fp32, {-1, 3}}});
  CHECK(session->opset() == 13);
  CHECK(onnx_opset("") == 0);
  CHECK(onnx_opset("\xff\xff\xff\xff") == 0);
}

TEST_CASE("dynamic dimensions, none at all included, and unaligned bytes") {
  auto session = loaded(doubling_model());
  for (std::int64_t rows : {1, 2, 0, 5}) {
    std::vector<float> values(static_cast<std::size_t>(rows) * 3, 1.5F);
    auto outputs = run(*session, {float_tensor("x", {rows, 3}, values)});
    REQUIRE(outputs);
    CHECK(outputs->at(0).shape == Shape{rows, 3});
    CHECK(floats_of(outputs->at(0).bytes) == std::vector<float>(values.size(), 3.0F));
  }
  std::string shifted = "!" + bytes_of<float>({1, 2, 3});
  TensorView view{"x", DataType::fp32, {1, 3}, std::string_view(shifted).substr(1)};
  auto outputs = session->run(std::span(&view, 1), {});
  REQUIRE(outputs);
  CHECK(floats_of(outputs->at(0).bytes) == std::vector<float>{2, 4, 6});
}

TEST_CASE("NaN and infinity go through untouched") {
  auto session = loaded(log_model());
  auto outputs = run(*session, {float_tensor("x", {1, 3}, {-1, 0, 1})});
  REQUIRE(outputs);
  auto values = floats_of(outputs->at(0).bytes);
  CHECK(std::isnan(values[0]));
  CHECK(values[1] == -HUGE_VALF);
  CHECK(values[2] == 0);
  CHECK(has_nan(DataType::fp32, outputs->at(0).bytes));
}

TEST_CASE("inputs and outputs that the model does not have are the caller's error, by name") {
  auto session = loaded(doubling_model());
  auto x = float_tensor("x", {1, 3}, {1, 2, 3});
  auto wrong = [&](const std::vector<Tensor>& inputs, const std::vector<std::string>& outputs = {}) {
    auto answer = run(*session, inputs, outputs);
    REQUIRE(!answer);
    CHECK(answer.error().code == Errc::bad_input);
    return answer.error().context;
  };
  CHECK_THAT(wrong({}), Catch::Contains("\"x\": missing"));
  CHECK_THAT(wrong({float_tensor("x", {1, 4}, {1, 2, 3, 4})}), Catch::Contains("[1,4]") && Catch::Contains("[-1,3]"));
  CHECK_THAT(wrong({x}, {"z"}), Catch::Contains("\"z\"") && Catch::Contains("\"y\""));
  CHECK(run(*session, {x}, {"y"})->size() == 1);
}

TEST_CASE("what a model cannot do with fitting inputs is the model's error") {
  OnnxModel model;  // the reshape fails at run time unless there are six elements
  model.inputs = {{"x", onnx_float, {-1}}};
  model.outputs = {{"y", onnx_float, {2, 3}}};
  model.constants = {{"shape", onnx_int64, {2}, bytes_of<std::int64_t>({2, 3})}};
  model.nodes = {{"Reshape", {"x", "shape"}, {"y"}}};
  auto session = loaded(onnx_bytes(model));
  CHECK(run(*session, {float_tensor("x", {6}, {1, 2, 3, 4, 5, 6})}));
  auto answer = run(*session, {float_tensor("x", {5}, {1, 2, 3, 4, 5})});
  REQUIRE(!answer);
  CHECK(answer.error().code != Errc::bad_input);
  CHECK(answer.error().reason == "trial.errors");
  CHECK(run(*session, {float_tensor("x", {6}, {1, 2, 3, 4, 5, 6})}));  // and the session goes on
}

TEST_CASE("scalars, several outputs and other types") {
  OnnxModel model;
  model.inputs = {{"x", onnx_double, {}}, {"flag", onnx_bool, {-1}}};
  model.outputs = {{"y", onnx_double, {}}, {"not", onnx_bool, {-1}}};
  model.nodes = {{"Neg", {"x"}, {"y"}}, {"Not", {"flag"}, {"not"}}};
  auto session = loaded(onnx_bytes(model));
  std::vector<Tensor> inputs{{"flag", DataType::boolean, {2}, std::string("\x00\x01", 2)},
                             {"x", DataType::fp64, {}, bytes_of<double>({2.5})}};
  auto outputs = run(*session, inputs, {"not", "y"});
  REQUIRE(outputs);
  CHECK(outputs->at(0) == Tensor{"not", DataType::boolean, {2}, std::string("\x01\x00", 2)});
  CHECK(outputs->at(1) == Tensor{"y", DataType::fp64, {}, bytes_of<double>({-2.5})});
}

TEST_CASE("a model that this runtime cannot serve is refused with the reason") {
  OnnxModel strings;
  strings.inputs = {{"s", onnx_string, {-1}}};
  strings.outputs = {{"t", onnx_string, {-1}}};
  strings.nodes = {{"Identity", {"s"}, {"t"}}};
  OnnxModel unknown;
  unknown.inputs = {{"x", onnx_float, {1}}};
  unknown.outputs = {{"y", onnx_float, {1}}};
  unknown.nodes = {{"NoSuchOperator", {"x"}, {"y"}}};
  OnnxModel dangling = unknown;
  dangling.nodes = {{"Neg", {"nowhere"}, {"y"}}};
  OnnxModel future = unknown;
  future.nodes = {{"Neg", {"x"}, {"y"}}};
  future.opset = 9999;
  for (const auto& model : {strings, unknown, dangling, future}) {
    auto session = engine().load(onnx_bytes(model), {});
    REQUIRE(!session);
    INFO(session.error().context);
    CHECK(session.error().reason == "trial.load");
  }
  CHECK(engine().load("", {}).error().context == "model: the file is empty");
  CHECK(engine().load(doubling_model(), {.threads = 0}).error().code == Errc::bad_input);
  CHECK(engine().load(doubling_model(), {.threads = 65}).error().code == Errc::bad_input);
}

TEST_CASE("a model truncated anywhere is refused or runs, and never takes the process down") {
  auto model = doubling_model();
  for (std::size_t length = 0; length < model.size(); ++length) {
    auto session = engine().load(std::string_view(model).substr(0, length), {});
    if (!session) CHECK(session.error().reason == "trial.load");
  }
}
