// Types, checked sizes, contract checks.
#include "runtime/tensor.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cmath>

using namespace ferry;
using namespace ferry::runtime;

TEST_CASE("every datatype has its protocol name back, and an unknown one is refused with the list") {
  for (int at = 0; at <= static_cast<int>(DataType::bf16); ++at) {
    auto type = static_cast<DataType>(at);
    CHECK(*data_type_from_string(to_string(type)) == type);
    CHECK(
        (element_bytes(type) == 1 || element_bytes(type) == 2 || element_bytes(type) == 4 || element_bytes(type) == 8));
  }
  for (const char* name : {"BYTES", "fp32", "", "FP33"}) {
    auto type = data_type_from_string(name);
    REQUIRE(!type);
    CHECK(type.error().code == Errc::bad_input);
    CHECK_THAT(type.error().context, Catch::Contains("FP32") && Catch::Contains("BF16"));
  }
}

TEST_CASE("byte counts are exact, and no shape can overflow them") {
  CHECK(*tensor_bytes(DataType::fp32, {1, 1, 28, 28}) == 3136);
  CHECK(*tensor_bytes(DataType::int64, {}) == 8);  // a scalar
  CHECK(*tensor_bytes(DataType::fp32, {0, 1'000'000}) == 0);
  CHECK(*tensor_bytes(DataType::uint8, {256 * 1024 * 1024}) == tensor_bytes_max);
  CHECK(!tensor_bytes(DataType::uint16, {256 * 1024 * 1024}));
  CHECK(!tensor_bytes(DataType::fp32, {1LL << 32, 1LL << 32}));
  CHECK(!tensor_bytes(DataType::fp32, {INT64_MAX, INT64_MAX, 4}));
  CHECK(!tensor_bytes(DataType::fp32, {0, INT64_MAX, INT64_MAX}));
  CHECK(!tensor_bytes(DataType::fp32, {-1, 3}));
  CHECK(!tensor_bytes(DataType::fp32, {INT64_MIN}));
  CHECK(!tensor_bytes(DataType::fp32, Shape(17, 1)));
  CHECK(*tensor_bytes(DataType::fp32, Shape(16, 1)) == 4);
}

TEST_CASE("a contract's -1 accepts any dimension, and nothing else does") {
  CHECK(shape_fits({-1, 3}, {0, 3}));
  CHECK(shape_fits({-1, 3}, {7, 3}));
  CHECK(!shape_fits({-1, 3}, {7, 4}));
  CHECK(!shape_fits({-1, 3}, {7}));
  CHECK(!shape_fits({-1, 3}, {7, 3, 1}));
  CHECK(!shape_fits({-1}, {-1}));
  CHECK(shape_fits({}, {}));
}

TEST_CASE("numbers are read from every type, half precision and brain floats included") {
  CHECK(to_numbers(DataType::fp16, std::string_view("\x00\x3c\x00\xc0\x01\x00\x00\x7c", 8)) ==
        std::vector<double>{1.0, -2.0, std::ldexp(1.0, -24), HUGE_VAL});
  CHECK(to_numbers(DataType::bf16, std::string_view("\x80\x3f\x00\xc0", 4)) == std::vector<double>{1.0, -2.0});
  CHECK(to_numbers(DataType::int8, "\xff\x7f") == std::vector<double>{-1, 127});
  CHECK(to_numbers(DataType::uint8, "\xff") == std::vector<double>{255});
  CHECK(to_numbers(DataType::boolean, std::string_view("\x00\x02", 2)) == std::vector<double>{0, 1});
  CHECK(has_nan(DataType::fp16, std::string_view("\x01\x7e", 2)));
  CHECK(has_nan(DataType::bf16, std::string_view("\xc0\x7f", 2)));
  CHECK(!has_nan(DataType::int16, std::string_view("\x01\x7e", 2)));
}

TEST_CASE("arg-max takes the first of equals and refuses NaN") {
  CHECK(arg_max(std::vector<double>{1, 3, 3, 2}) == 1);
  CHECK(arg_max(std::vector<double>{-HUGE_VAL}) == 0);
  CHECK(arg_max(std::vector<double>{}) == -1);
  CHECK(arg_max(std::vector<double>{1, std::nan(""), 3}) == -1);
}

TEST_CASE("inputs that do not fit the model are refused by name, with expected and got") {
  std::vector<TensorInfo> declared{{"image", DataType::fp32, {-1, 2}}, {"mask", DataType::boolean, {2}}};
  std::string pixels(16, '\0');
  TensorView image{"image", DataType::fp32, {2, 2}, pixels};
  TensorView mask{"mask", DataType::boolean, {2}, std::string_view(pixels).substr(0, 2)};
  auto message = [&](std::vector<TensorView> inputs) {
    auto checked = check_inputs(declared, inputs);
    return checked ? std::string("fits") : checked.error().context;
  };
  CHECK(message({image, mask}) == "fits");
  CHECK(message({mask, image}) == "fits");
  CHECK(message({image}) == "input \"mask\": missing, expected BOOL [2]");
  CHECK(message({image, mask, image}) == "input \"image\": given twice");
  auto other = image;
  other.name = "picture";
  CHECK(message({other, mask}) == "input \"picture\": the model has no such input, only \"image\", \"mask\"");
  other = image;
  other.datatype = DataType::int32;
  CHECK(message({other, mask}) == "input \"image\": datatype INT32, expected FP32");
  other = image;
  other.shape = {4};
  CHECK(message({other, mask}) == "input \"image\": shape [4], expected [-1,2] (-1: any)");
  other = image;
  other.bytes = std::string_view(pixels).substr(1);
  CHECK(message({other, mask}) == "input \"image\": 15 bytes, expected 16 for FP32 [2,2]");
}

TEST_CASE("tensor metadata survives JSON, and hostile JSON is refused by name") {
  TensorInfo info{"image", DataType::fp16, {-1, 1, 28, 28}};
  CHECK(*tensor_info_from_json(to_json(info)) == info);
  for (const char* text :
       {R"({"name":"a","datatype":"FP32","shape":[-2]})", R"({"name":"a","datatype":"FP32","shape":[1.5]})",
        R"({"name":"a","datatype":"FP32","shape":[18446744073709551615]})",
        R"({"name":"a","datatype":"FP32","shape":["1"]})", R"({"name":"a","datatype":"FP32","shape":{}})",
        R"({"name":"a","datatype":"FP32"})", R"({"name":"a","datatype":"FP99","shape":[]})",
        R"({"name":"a","shape":[]})",
        R"({"name":"a","datatype":"FP32","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]})"}) {
    auto parsed = tensor_info_from_json(Json::parse(text));
    INFO(text);
    REQUIRE(!parsed);
    CHECK(parsed.error().code == Errc::bad_input);
    CHECK_THAT(parsed.error().context, Catch::Contains("\"a\""));
  }
  CHECK(!tensor_info_from_json(Json::parse(R"({"datatype":"FP32","shape":[]})")));
}
