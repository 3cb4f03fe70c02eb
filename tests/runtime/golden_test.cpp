// golden.bin and the rule by which a device agrees with CI.
#include "runtime/golden.hpp"
#include "runtime/worker_protocol.hpp"
#include "tests/runtime/onnx_builder.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cmath>

using namespace ferry;
using namespace ferry::runtime;
using test::float_tensor;

namespace {

GoldenSample sample(std::int64_t index, std::vector<float> outputs) {
  auto width = static_cast<std::int64_t>(outputs.size());
  return {index, 3, {float_tensor("image", {1, 2}, {0.5F, 1})}, {float_tensor("logits", {1, width}, outputs)}};
}

std::string verdict(const GoldenSample& expected, std::vector<float> got, double tolerance,
                    const std::string& class_output = "logits") {
  auto width = static_cast<std::int64_t>(got.size());
  auto compared = compare_golden(expected, {float_tensor("logits", {1, width}, got)}, {tolerance, class_output});
  if (compared) return "pass";
  CHECK(compared.error().code == Errc::gate_failed);
  CHECK(compared.error().reason == "trial.golden");
  return compared.error().context;
}

}  // namespace

TEST_CASE("golden samples survive their file") {
  std::vector<GoldenSample> samples{sample(0, {1, 2, 3}), sample(17, {-1, 0, 0.25F})};
  samples[1].label = -1;
  samples[1].outputs.push_back({"mask", DataType::boolean, {0}, ""});
  auto bytes = format_golden(samples);
  REQUIRE(bytes);
  CHECK(*parse_golden(*bytes) == samples);
}

TEST_CASE("a golden file cut at any byte is refused, and so is any one with a broken record") {
  auto bytes = *format_golden({sample(0, {1, 2, 3}), sample(1, {4, 5, 6})});
  std::size_t record = bytes.size() / 2;  // both are equally long
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    auto parsed = parse_golden(std::string_view(bytes).substr(0, length));
    INFO(length);
    CHECK(parsed.has_value() == (length == record));
  }
  for (std::size_t at = 0; at < record; ++at) {  // no flipped byte crashes; most are noticed
    auto damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 0xff);
    auto parsed = parse_golden(damaged);
    if (!parsed) CHECK_THAT(parsed.error().context, Catch::StartsWith("golden sample"));
  }
}

TEST_CASE("golden limits hold in both directions") {
  CHECK(!format_golden({}));
  CHECK(!parse_golden(""));
  std::vector<GoldenSample> many(257, sample(0, {1, 2}));
  CHECK(!format_golden(many));
  std::string bytes;
  auto one = *format_golden({sample(0, {1, 2})});
  for (int at = 0; at < 257; ++at) bytes += one;
  CHECK(!parse_golden(bytes));
  CHECK(!parse_golden(std::string(golden_bytes_max + 1, '\0')));
  auto big = sample(0, {1});
  big.inputs[0] = {"image", DataType::uint8, {17 * 1024 * 1024}, std::string(17 * 1024 * 1024, 'x')};
  CHECK(!format_golden({big}));
  auto wrong = sample(0, {1, 2});
  wrong.outputs[0].bytes.pop_back();
  CHECK(!format_golden({wrong}));
}

TEST_CASE("outputs agree within the tolerance, element by element") {
  auto expected = sample(5, {1.0F, 2.0F, 4.0F});
  CHECK(verdict(expected, {1.0F, 2.0F, 4.0F}, 0) == "pass");
  CHECK(verdict(expected, {1.25F, 1.75F, 4.0F}, 0.25) == "pass");
  CHECK_THAT(verdict(expected, {1.0F, 2.5F, 4.0F}, 0.25),
             Catch::Contains("golden sample 5") && Catch::Contains("\"logits\"") && Catch::Contains("element 1") &&
                 Catch::Contains("2.5") && Catch::Contains("2.0"));
  CHECK_THAT(verdict(expected, {1.0F, 2.0F, NAN}, 100), Catch::Contains("NaN"));
  CHECK_THAT(verdict(expected, {1.0F, 2.0F, HUGE_VALF}, 1e30), Catch::Contains("element 2"));
  CHECK(verdict(sample(5, {-HUGE_VALF, 1}), {-HUGE_VALF, 1}, 0.1) == "pass");
  CHECK_THAT(verdict(sample(5, {HUGE_VALF, 1}), {-HUGE_VALF, 1}, 0.1), Catch::Contains("element 0"));
  CHECK_THAT(verdict(sample(5, {NAN, 1}), {1, 1}, 0.1), Catch::Contains("golden file"));
  CHECK_THAT(verdict(expected, {1.0F, 2.0F}, 100), Catch::Contains("[1,2]") && Catch::Contains("[1,3]"));
}

TEST_CASE("the class must agree only where CI was surer than the tolerance can blur") {
  auto close = sample(0, {1.0F, 1.1F, 0.0F});
  CHECK(verdict(close, {1.15F, 1.05F, 0.0F}, 0.2) == "pass");  // best two differ by 0.1 <= 0.4
  auto sure = sample(0, {1.0F, 1.5F, 0.0F});
  CHECK(verdict(sure, {1.125F, 1.375F, 0.0F}, 0.2) == "pass");
  // With |difference| <= tolerance a sure class cannot flip in one row: the rule is what catches several rows mixed up.
  GoldenSample rows{0, -1, {}, {float_tensor("logits", {2, 2}, {0, 9, 9, 0})}};
  auto swapped = compare_golden(rows, {float_tensor("logits", {2, 2}, {9, 0, 0, 9})}, {4.4, "logits"});
  REQUIRE(!swapped);
  CHECK(verdict(sure, {1.0F, 1.5F, 0.0F}, 0.2, "") == "pass");
}

TEST_CASE("a missing, an extra and a retyped output are each named") {
  auto expected = sample(2, {1, 2});
  auto got = expected.outputs;
  got[0].name = "scores";
  CHECK_THAT(compare_golden(expected, got, {}).error().context,
             Catch::Contains("\"scores\"") && Catch::Contains("not in"));
  CHECK_THAT(compare_golden(expected, {}, {}).error().context, Catch::Contains("\"logits\": missing"));
  got = expected.outputs;
  got[0].datatype = DataType::int32;
  CHECK_THAT(compare_golden(expected, got, {}).error().context, Catch::Contains("INT32") && Catch::Contains("FP32"));
}

TEST_CASE("the largest difference is reported with its output") {
  auto expected = sample(0, {1, 2, 3});
  auto difference = compare_golden(expected, {float_tensor("logits", {1, 3}, {1, 2.5F, 3})}, {1.0, ""});
  REQUIRE(difference);
  CHECK(difference->largest == 0.5);
  CHECK(difference->output == "logits");
}
