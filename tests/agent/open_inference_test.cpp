// Bodies of the Open Inference Protocol, good and hostile: every malformed field is named, nothing is read past its
// end.
#include "agent/open_inference.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <random>

using namespace ferry;
using namespace ferry::agent;
using runtime::DataType;
using runtime::TensorInfo;

namespace {

const std::vector<TensorInfo> two_inputs{{"image", DataType::fp32, {-1, 2}}, {"mask", DataType::boolean, {3}}};
const std::vector<TensorInfo> two_outputs{{"logits", DataType::fp32, {-1, 2}}, {"count", DataType::int64, {}}};

http::Request request(std::string body, std::optional<std::string> json_bytes = {}) {
  http::Request made;
  made.method = "POST";
  made.body = std::move(body);
  if (json_bytes) made.headers["inference-header-content-length"] = *json_bytes;
  return made;
}
Json good_head() {
  return Json::parse(R"({"id": "r1", "inputs": [
    {"name": "image", "datatype": "FP32", "shape": [1, 2], "data": [0.5, -2]},
    {"name": "mask", "datatype": "BOOL", "shape": [3], "data": [true, false, true]}]})");
}
// The error's sentence; "" when it was accepted.
std::string refusal(const http::Request& made, const std::vector<TensorInfo>& declared = two_inputs) {
  auto parsed = parse_inference(made, declared, two_outputs);
  if (parsed) return "";
  CHECK(parsed.error().code == Errc::bad_input);
  return parsed.error().context;
}
std::string refusal(const Json& head) { return refusal(request(head.dump())); }
// One input "x" of this type, its `data` as given.
Result<InferenceRequest> parse_x(const char* datatype, const std::string& shape, const std::string& data,
                                 const http::Request** keep = nullptr) {
  static http::Request made;
  made = request(R"({"inputs": [{"name": "x", "datatype": ")" + std::string(datatype) + R"(", "shape": )" + shape +
                 R"(, "data": )" + data + "}]}");
  if (keep) *keep = &made;
  auto type = runtime::data_type_from_string(datatype);
  REQUIRE(type);
  return parse_inference(made, {{"x", *type, {-1}}}, two_outputs);
}
template <class T>
std::vector<T> values_of(std::string_view bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}
template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

TEST_CASE("a JSON request becomes tensors, flat or nested") {
  auto made = request(good_head().dump());
  auto parsed = parse_inference(made, two_inputs, two_outputs);
  REQUIRE(parsed);
  CHECK(parsed->id == "r1");
  REQUIRE(parsed->inputs.size() == 2);
  CHECK(values_of<float>(parsed->inputs[0].bytes) == std::vector<float>{0.5F, -2});
  CHECK(parsed->inputs[0].shape == runtime::Shape{1, 2});
  CHECK(parsed->inputs[1].bytes == std::string_view("\1\0\1", 3));
  CHECK(parsed->outputs.empty());
  auto nested = good_head();
  nested["inputs"][0]["shape"] = {2, 2};
  nested["inputs"][0]["data"] = Json::parse("[[1, 2], [3, 4]]");
  auto nested_request = request(nested.dump());
  auto moved = parse_inference(nested_request, two_inputs, two_outputs);
  REQUIRE(moved);
  InferenceRequest kept = std::move(*moved);  // its views survive a move
  CHECK(values_of<float>(kept.inputs[0].bytes) == std::vector<float>{1, 2, 3, 4});
}

TEST_CASE("raw tensors lie behind the JSON part, in order, beside tensors in JSON") {
  auto head = good_head();
  head["inputs"][0].erase("data");
  head["inputs"][0]["parameters"] = {{"binary_data_size", 8}};
  std::string text = head.dump();
  auto made = request(text + bytes_of<float>({1.5F, 2.5F}), std::to_string(text.size()));
  auto parsed = parse_inference(made, two_inputs, two_outputs);
  REQUIRE(parsed);
  CHECK(values_of<float>(parsed->inputs[0].bytes) == std::vector<float>{1.5F, 2.5F});
  CHECK(parsed->inputs[0].bytes.data() == made.body.data() + text.size());  // not copied
  CHECK(parsed->inputs[1].bytes.size() == 3);

  head["inputs"][1].erase("data");
  head["inputs"][1]["parameters"] = {{"binary_data_size", 3}};
  text = head.dump();
  made = request(text + bytes_of<float>({1, 2}) + "\1\1\1", std::to_string(text.size()));
  auto both = parse_inference(made, two_inputs, two_outputs);
  REQUIRE(both);
  CHECK(both->inputs[1].bytes == "\1\1\1");
}

TEST_CASE("every integer type takes its whole range and nothing beyond") {
  struct Row {
    const char* type;
    std::string least, most, below, above;
    std::size_t bytes;
  };
  const Row rows[] = {{"INT8", "-128", "127", "-129", "128", 1},
                      {"INT16", "-32768", "32767", "-32769", "32768", 2},
                      {"INT32", "-2147483648", "2147483647", "-2147483649", "2147483648", 4},
                      {"INT64", "-9223372036854775808", "9223372036854775807", "-1.0", "9223372036854775808", 8},
                      {"UINT8", "0", "255", "-1", "256", 1},
                      {"UINT16", "0", "65535", "-1", "65536", 2},
                      {"UINT32", "0", "4294967295", "-1", "4294967296", 4},
                      {"UINT64", "0", "18446744073709551615", "-1", "1.0", 8}};
  for (const auto& row : rows) {
    INFO(row.type);
    auto good = parse_x(row.type, "[2]", "[" + row.least + "," + row.most + "]");
    REQUIRE(good);
    CHECK(good->inputs[0].bytes.size() == 2 * row.bytes);
    auto type = *runtime::data_type_from_string(row.type);
    auto numbers = runtime::to_numbers(type, good->inputs[0].bytes);
    CHECK(numbers[0] == std::stod(row.least));
    CHECK(numbers[1] == std::stod(row.most));
    for (const std::string& bad : {row.below, row.above, std::string("1.5"), std::string("\"1\""), std::string("null"),
                                   std::string("true"), std::string("{}")}) {
      auto refused = parse_x(row.type, "[1]", "[" + bad + "]");
      REQUIRE_FALSE(refused);
      CHECK_THAT(refused.error().context,
                 Catch::Contains("input \"x\"") && Catch::Contains("data: expected whole numbers"));
    }
  }
}

TEST_CASE("floating point inputs take any finite number that fits; a BOOL takes no number") {
  CHECK(values_of<float>(parse_x("FP32", "[3]", "[1, -0.25, 3e38]")->inputs[0].bytes) ==
        std::vector<float>{1, -0.25F, 3e38F});
  CHECK(values_of<double>(parse_x("FP64", "[2]", "[1e308, 5]")->inputs[0].bytes) == std::vector<double>{1e308, 5});
  CHECK(values_of<float>(parse_x("FP32", "[1]", "[18446744073709551615]")->inputs[0].bytes)[0] ==
        18446744073709551615.0F);
  CHECK_THAT(parse_x("FP32", "[1]", "[1e39]").error().context, Catch::Contains("too large for FP32"));
  CHECK_FALSE(parse_x("FP64", "[1]", "[1e309]"));
  for (const char* bad : {"null", "\"1\"", "true", "{}"}) {
    CHECK_THAT(parse_x("FP32", "[1]", "[" + std::string(bad) + "]").error().context,
               Catch::Contains("expected numbers"));
    CHECK_FALSE(parse_x("FP64", "[1]", "[" + std::string(bad) + "]"));
  }
  for (const char* bad : {"1", "0", "\"true\"", "null"})
    CHECK_THAT(parse_x("BOOL", "[1]", "[" + std::string(bad) + "]").error().context, Catch::Contains("true and false"));
  for (const char* half : {"FP16", "BF16"})
    CHECK_THAT(parse_x(half, "[1]", "[1]").error().context, Catch::Contains("binary_data_size"));
}

TEST_CASE("data has exactly as many elements as the shape says") {
  CHECK_THAT(parse_x("FP32", "[3]", "[1,2]").error().context,
             Catch::Contains("2 elements, expected 3") && Catch::Contains("[3]"));
  CHECK_THAT(parse_x("FP32", "[3]", "[1,2,3,4]").error().context, Catch::Contains("more elements than the shape"));
  CHECK(parse_x("FP32", "[0]", "[]"));
  CHECK_FALSE(parse_x("FP32", "[0]", "[1]"));
  CHECK_FALSE(parse_x("FP32", "[-1]", "[1]"));
  CHECK_FALSE(parse_x("FP32", "[1000000000000]", "[1]"));
  CHECK_FALSE(parse_x("FP32", "[4294967296,4294967296]", "[1]"));
  CHECK_FALSE(parse_x("FP32", "[1,1]", "[1]"));  // the model's has one dimension
  std::string deep(17, '['), end(17, ']');
  CHECK_FALSE(parse_x("FP32", "[1]", deep + "1" + end));
  std::string bombs(100'000, '[');
  CHECK_FALSE(refusal(request(bombs)).empty());
}

TEST_CASE("each malformed field is named") {
  auto with = [](const std::function<void(Json&)>& edit) {
    Json head = good_head();
    edit(head);
    return refusal(head);
  };
  using Catch::Contains;
  CHECK_THAT(refusal(request("")), Contains("request"));
  CHECK_THAT(refusal(request("not json")), Contains("request"));
  CHECK_THAT(refusal(request("[]")), Contains("not a JSON object"));
  CHECK_THAT(refusal(request(std::string("{\"inputs\": [], \"inputs\": []}"))), Contains("request"));
  CHECK_THAT(refusal(request("{}")), Contains("inputs"));
  CHECK_THAT(with([](Json& head) { head["id"] = 7; }), Contains("id"));
  CHECK_THAT(with([](Json& head) { head["id"] = std::string(129, 'i'); }), Contains("id"));
  CHECK_THAT(with([](Json& head) { head["parameters"] = 1; }), Contains("parameters"));
  CHECK_THAT(with([](Json& head) {
               head["parameters"] = {{"binary_data_output", "yes"}};
             }),
             Contains("binary_data_output"));
  CHECK_THAT(with([](Json& head) { head["inputs"] = "x"; }), Contains("inputs"));
  CHECK_THAT(with([](Json& head) { head["inputs"] = Json(std::vector<Json>(65, head["inputs"][0])); }),
             Contains("inputs"));
  CHECK_FALSE(with([](Json& head) { head["inputs"][0] = 5; }).empty());
  CHECK_THAT(with([](Json& head) { head["inputs"][0].erase("name"); }), Contains("name"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["name"] = std::string(300, 'n'); }), Contains("name"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["name"] = "picture"; }), Contains("picture"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0].erase("datatype"); }), Contains("datatype"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["datatype"] = "BYTES"; }), Contains("BYTES") && Contains("FP32"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["datatype"] = "INT64"; }),
             Contains("input \"image\": datatype INT64, expected FP32"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0].erase("shape"); }), Contains("shape"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["shape"] = {1, "2"}; }), Contains("shape"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["shape"] = {1, 2, 1}; }), Contains("image"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["shape"] = {-1, 2}; }), Contains("image"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["shape"] = std::vector<int>(17, 1); }), Contains("shape"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0].erase("data"); }),
             Contains("input \"image\"") && Contains("data"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["data"] = 1; }), Contains("data"));
  CHECK_THAT(with([](Json& head) { head["inputs"][0]["parameters"] = {1}; }), Contains("parameters"));
  CHECK_THAT(with([](Json& head) { head["inputs"].erase(1); }), Contains("mask") && Contains("missing"));
  CHECK_THAT(with([](Json& head) { head["inputs"].push_back(head["inputs"][0]); }), Contains("image"));
  CHECK_THAT(with([](Json& head) { head["outputs"] = 1; }), Contains("outputs"));
  CHECK_THAT(with([](Json& head) { head["outputs"] = {1}; }), Contains("name"));
  CHECK_THAT(with([](Json& head) {
               head["outputs"] = {{{"name", "nothing"}}};
             }),
             Contains("output \"nothing\"") && Contains("\"logits\", \"count\""));
  CHECK_THAT(with([](Json& head) {
               head["outputs"] = {{{"name", "logits"}}, {{"name", "logits"}}};
             }),
             Contains("twice"));
  CHECK_THAT(with([](Json& head) {
               head["outputs"] = {{{"name", "logits"}, {"parameters", {{"binary_data", 1}}}}};
             }),
             Contains("binary_data"));
}

TEST_CASE("the lengths of the binary extension must add up") {
  auto head = good_head();
  head["inputs"][0].erase("data");
  head["inputs"][0]["parameters"] = {{"binary_data_size", 8}};
  std::string text = head.dump();
  std::string raw = bytes_of<float>({1, 2});
  std::string length = std::to_string(text.size());
  using Catch::Contains;
  CHECK(refusal(request(text + raw, length)).empty());
  CHECK_THAT(refusal(request(text + raw)), Contains("request"));  // no header: it is not JSON
  CHECK_THAT(refusal(request(text)), Contains("binary_data_size 8") && Contains("0 bytes are left"));
  CHECK_THAT(refusal(request(text + raw.substr(1), length)), Contains("binary_data_size 8") && Contains("only 7"));
  CHECK_THAT(refusal(request(text + raw + "x", length)), Contains("1 bytes behind the JSON part"));
  for (const char* bad : {"-1", "x", "1x", " 1", "99999999999999999999", "100000"})
    CHECK_THAT(refusal(request(text + raw, bad)), Contains("Inference-Header-Content-Length: \"" + std::string(bad)));
  CHECK_FALSE(refusal(request(text + raw, "0")).empty());
  CHECK_FALSE(refusal(request(text + raw, std::to_string(text.size() - 1))).empty());
  CHECK_FALSE(refusal(request(text + raw, std::to_string(text.size() + 1))).empty());
  for (const Json& size : {Json(-1), Json("8"), Json(1e3), Json(std::int64_t{1} << 62), Json(nullptr)}) {
    auto odd = head;
    odd["inputs"][0]["parameters"]["binary_data_size"] = size;
    std::string odd_text = odd.dump();
    CHECK_THAT(refusal(request(odd_text + raw, std::to_string(odd_text.size()))), Contains("binary_data_size"));
  }
  auto both = head;
  both["inputs"][0]["data"] = {1, 2};
  std::string both_text = both.dump();
  CHECK_THAT(refusal(request(both_text + raw, std::to_string(both_text.size()))), Contains("send one"));
  auto small = head;  // fewer bytes than the shape has
  small["inputs"][0]["parameters"]["binary_data_size"] = 4;
  std::string small_text = small.dump();
  CHECK_THAT(refusal(request(small_text + raw.substr(4), std::to_string(small_text.size()))), Contains("\"image\""));
}

TEST_CASE("a JSON part above its limit is refused before it is parsed") {
  auto refused = refusal(request(std::string(inference_header_bytes_max + 1, ' ')));
  CHECK_THAT(refused, Catch::Contains(std::to_string(inference_header_bytes_max)));
}

TEST_CASE("no damage to a good body crashes the parser or reads past its end") {
  auto head = good_head();
  head["inputs"][0].erase("data");
  head["inputs"][0]["parameters"] = {{"binary_data_size", 8}};
  std::string text = head.dump();
  std::string body = text + bytes_of<float>({1, 2});
  for (std::size_t cut = 0; cut <= body.size(); ++cut)
    (void)parse_inference(request(body.substr(0, cut), std::to_string(text.size())), two_inputs, two_outputs);
  std::mt19937 random(20261125);
  int accepted = 0;
  for (int time = 0; time < 4000; ++time) {
    auto damaged = body;
    for (unsigned flip = 0; flip <= random() % 3; ++flip)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    auto made = request(damaged, std::to_string(text.size()));
    auto parsed = parse_inference(made, two_inputs, two_outputs);
    if (!parsed) continue;
    ++accepted;  // then it really is whole
    CHECK(parsed->inputs[0].bytes.size() == 8);
    CHECK(parsed->inputs[1].bytes.size() == 3);
  }
  CHECK(accepted > 0);
}

TEST_CASE("an answer in JSON has every type's numbers exactly, and null where JSON has none") {
  InferenceRequest asked;
  asked.id = "r1";
  InferenceReply reply{"m", "1.0.0", "boot-1-1", {}};
  std::string floats = bytes_of<float>({0.1F, NAN, -INFINITY}), large = bytes_of<std::int64_t>({9007199254740993, -1}),
              huge = bytes_of<std::uint64_t>({18446744073709551615U}), flags("\1\0\2", 3), tiny("\xff\x01", 2);
  std::string half = bytes_of<std::uint16_t>({0x3c00});  // 1.0
  reply.outputs = {{"f", DataType::fp32, {3}, floats},  {"i", DataType::int64, {2}, large},
                   {"u", DataType::uint64, {1}, huge},  {"b", DataType::boolean, {3}, flags},
                   {"t", DataType::int8, {2}, tiny},    {"h", DataType::fp16, {}, half},
                   {"none", DataType::fp64, {0, 3}, ""}};
  auto response = format_inference(asked, reply);
  CHECK(response.status == 200);
  CHECK(response.headers["Content-Type"] == "application/json");
  Json body = Json::parse(response.body);
  CHECK(body["id"] == "r1");
  CHECK(body["model_name"] == "m");
  CHECK(body["model_version"] == "1.0.0");
  CHECK(body["parameters"]["prediction_id"] == "boot-1-1");
  CHECK(body["outputs"][0]["data"][0].get<float>() == 0.1F);
  CHECK(body["outputs"][0]["data"][1].is_null());
  CHECK(body["outputs"][0]["data"][2].is_null());
  CHECK(body["outputs"][1]["data"] == Json::parse("[9007199254740993, -1]"));
  CHECK(body["outputs"][2]["data"] == Json::parse("[18446744073709551615]"));
  CHECK(body["outputs"][3]["data"] == Json::parse("[true, false, true]"));
  CHECK(body["outputs"][4]["data"] == Json::parse("[-1, 1]"));
  CHECK(body["outputs"][5]["data"] == Json::parse("[1.0]"));
  CHECK(body["outputs"][5]["shape"] == Json::array());
  CHECK(body["outputs"][6]["data"] == Json::array());
  CHECK(body["outputs"][6]["datatype"] == "FP64");
}

TEST_CASE("outputs are raw where they were asked raw, by name or by default") {
  InferenceReply reply{"m", "1.0.0", "p", {}};
  std::string logits = bytes_of<float>({1, 2}), count = bytes_of<std::int64_t>({3});
  reply.outputs = {{"logits", DataType::fp32, {1, 2}, logits}, {"count", DataType::int64, {}, count}};
  auto answer = [&](const Json& parts) {
    Json head = good_head();
    head.update(parts);
    auto made = request(head.dump());
    auto asked = parse_inference(made, two_inputs, two_outputs);
    REQUIRE(asked);
    return format_inference(*asked, reply);
  };
  auto all = answer(Json::parse(R"({"parameters": {"binary_data_output": true}})"));
  CHECK(all.headers["Content-Type"] == "application/octet-stream");
  auto json_bytes = std::stoul(all.headers.at("Inference-Header-Content-Length"));
  CHECK(all.body.substr(json_bytes) == logits + count);
  Json head = Json::parse(all.body.substr(0, json_bytes));
  CHECK(head["outputs"][0]["parameters"]["binary_data_size"] == 8);
  CHECK_FALSE(head["outputs"][0].contains("data"));

  auto one = answer(
      Json::parse(R"({"outputs": [{"name": "count", "parameters": {"binary_data": true}}, {"name": "logits"}]})"));
  json_bytes = std::stoul(one.headers.at("Inference-Header-Content-Length"));
  CHECK(one.body.substr(json_bytes) == count);
  head = Json::parse(one.body.substr(0, json_bytes));
  CHECK(head["outputs"][0]["data"] == Json::parse("[1.0, 2.0]"));

  auto but_one = answer(Json::parse(
      R"({"parameters": {"binary_data_output": true}, "outputs": [{"name": "logits"}, {"name": "count", "parameters": {"binary_data": false}}]})"));
  json_bytes = std::stoul(but_one.headers.at("Inference-Header-Content-Length"));
  CHECK(but_one.body.substr(json_bytes) == logits);
}

TEST_CASE("errors have the protocol's form and the status of their kind") {
  auto status = [](Errc code) { return inference_error(Error{code, "why"}).status; };
  CHECK(status(Errc::bad_input) == 400);
  CHECK(status(Errc::not_found) == 404);
  CHECK(status(Errc::unavailable) == 503);
  CHECK(status(Errc::timeout) == 504);
  CHECK(status(Errc::internal) == 500);
  auto response = inference_error(418, "a \"quoted\" reason \xff");
  CHECK(response.status == 418);
  CHECK(Json::parse(response.body)["error"].get<std::string>().starts_with("a \"quoted\" reason"));
}
