#include "ota/manifest.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::ota;

namespace {

const std::string hex_a(64, 'a'), hex_b(64, 'b'), hex_c(64, 'c');

// The example of docs/formats/bundle.md.
Json example() {
  return Json::parse(R"({
  "format": "ferry.manifest/1", "model": "fashion-mnist", "version": "1.0.0", "counter": 1,
  "created": "2026-11-23T08:00:00Z", "description": "Clothing in 28x28 grey images",
  "contract": {
    "task": "classification", "labels": ["t-shirt", "trouser"], "class_output": "logits",
    "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}],
    "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]
  },
  "variants": [{
    "name": "fp32", "precision": "fp32", "opset": 13,
    "file": {"name": "model.onnx", "sha256": ")" +
                     hex_a + R"(", "length": 123456},
    "golden": {"name": "golden.bin", "sha256": ")" +
                     hex_b + R"(", "length": 4000},
    "golden_tolerance": 0.001,
    "needs": {"architectures": ["x86_64", "aarch64"], "memory_mib_min": 128},
    "budget": {"latency_p99_us": 50000, "memory_mib": 512},
    "measured": [{"hardware_class": "x86_64-avx512vnni-2c-16g-cpu", "latency_p50_us": 800, "latency_p99_us": 1500,
                  "memory_peak_bytes": 90000000, "accuracy_ppm": 870000, "samples": 10000}]
  }],
  "reference_profile": {"name": "reference.json", "sha256": ")" +
                     hex_c + R"(", "length": 2000}
})");
}

void check_refused(const std::function<void(Json&)>& change, const std::string& named) {
  Json json = example();
  change(json);
  auto result = parse_manifest(json.dump());
  INFO(named);
  REQUIRE_FALSE(result);
  CHECK_THAT(result.error().context, Catch::Contains(named));
}

Json& at(Json& json, const std::string& pointer) { return json[Json::json_pointer(pointer)]; }

void erase(Json& json, const std::string& pointer) {
  auto where = Json::json_pointer(pointer);
  json[where.parent_pointer()].erase(where.back());
}

}  // namespace

TEST_CASE("the manifest of the format's documentation is read and printed back") {
  auto manifest = parse_manifest(example().dump());
  REQUIRE(manifest);
  CHECK(manifest->model == "fashion-mnist");
  CHECK(manifest->counter == 1);
  CHECK(manifest->contract.inputs[0].shape == std::vector<std::int64_t>{-1, 1, 28, 28});
  CHECK(manifest->variants[0].file.sha256.hex() == hex_a);
  CHECK(manifest->variants[0].budget.memory_mib_or_default() == 512);
  CHECK(manifest->variants[0].measured[0].latency_p99_us == 1500);
  CHECK_FALSE(manifest->draft);
  CHECK(require_frozen(*manifest));
  CHECK(manifest->blobs().size() == 3);
  CHECK(manifest->variant("fp32") == &manifest->variants[0]);
  CHECK(manifest->variant("int8") == nullptr);
  auto again = parse_manifest(print_manifest(*manifest));
  REQUIRE(again);
  CHECK(*again == *manifest);
  CHECK(Json::parse(print_manifest(*manifest)) == example());
}

TEST_CASE("a draft parses, prints back, and is refused where a frozen manifest is wanted") {
  Json json = example();
  json["draft"] = true;
  erase(json, "/variants/0/golden");
  erase(json, "/reference_profile");
  auto draft = parse_manifest(json.dump());
  REQUIRE(draft);
  CHECK(*parse_manifest(print_manifest(*draft)) == *draft);
  CHECK_THAT(require_frozen(*draft).error().context, Catch::Contains("draft"));
  draft->draft = false;
  CHECK_THAT(require_frozen(*draft).error().context, Catch::Contains("golden"));
  auto manifest = *parse_manifest(example().dump());
  manifest.reference_profile.reset();
  CHECK_THAT(require_frozen(manifest).error().context, Catch::Contains("reference_profile"));
}

TEST_CASE("optional members may be absent and unknown ones are ignored") {
  Json json = example();
  for (const char* pointer :
       {"/variants/0/needs", "/variants/0/budget", "/variants/0/measured", "/variants/0/opset", "/description"})
    erase(json, pointer);
  json["x-new"] = {{"deep", 1.5}};
  at(json, "/variants/0/x-new") = "ignored";
  auto manifest = parse_manifest(json.dump());
  REQUIRE(manifest);
  CHECK(manifest->variants[0].budget.memory_mib_or_default() == memory_mib_default);
  CHECK(*parse_manifest(print_manifest(*manifest)) == *manifest);
}

TEST_CASE("every required field that is missing is named") {
  for (const char* pointer : {"/format",
                              "/model",
                              "/version",
                              "/counter",
                              "/created",
                              "/contract",
                              "/variants",
                              "/contract/task",
                              "/contract/labels",
                              "/contract/class_output",
                              "/contract/inputs",
                              "/contract/outputs",
                              "/contract/inputs/0/name",
                              "/contract/inputs/0/datatype",
                              "/contract/outputs/0/shape",
                              "/variants/0/name",
                              "/variants/0/precision",
                              "/variants/0/file",
                              "/variants/0/file/name",
                              "/variants/0/file/sha256",
                              "/variants/0/file/length",
                              "/variants/0/golden/sha256",
                              "/variants/0/golden_tolerance",
                              "/variants/0/measured/0/hardware_class",
                              "/reference_profile/name"})
    check_refused([&](Json& json) { erase(json, pointer); }, Json::json_pointer(pointer).back());
}

TEST_CASE("every field of a wrong type is named") {
  const Json flat = example().flatten();
  std::vector<std::string> pointers;
  for (const auto& [pointer, value] : flat.items()) pointers.push_back(pointer);
  for (const char* pointer :
       {"/contract", "/contract/labels", "/contract/inputs", "/contract/inputs/0", "/contract/inputs/0/shape",
        "/variants", "/variants/0", "/variants/0/file", "/variants/0/golden", "/variants/0/needs",
        "/variants/0/needs/architectures", "/variants/0/budget", "/variants/0/measured", "/variants/0/measured/0",
        "/reference_profile"})
    pointers.push_back(pointer);
  for (const auto& pointer : pointers) {
    auto last = pointer.substr(pointer.rfind('/') + 1);
    // A list's element is named by its list.
    auto named = last.find_first_not_of("0123456789") == std::string::npos ? "[" + last + "]" : last;
    check_refused([&](Json& json) { at(json, pointer) = {{{"neither", "object"}}, true}; }, named);
    check_refused([&](Json& json) { at(json, pointer) = true; }, named);
  }
}

TEST_CASE("every limit refuses what is beyond it") {
  auto set = [](const char* pointer, Json value) { return [=](Json& json) { at(json, pointer) = value; }; };
  check_refused(set("/format", "ferry.manifest/2"), "ferry.manifest/1");
  check_refused(set("/counter", 0), "counter");
  check_refused(set("/counter", 9'007'199'254'740'993), "counter");
  check_refused(set("/counter", 1.5), "counter");
  check_refused(set("/created", "2026-11-23 08:00"), "created");
  check_refused(set("/model", "Fashion"), "model");
  check_refused(set("/model", std::string(64, 'a')), "model");
  check_refused(set("/model", "snapshot"), "reserved");
  check_refused(set("/version", "1.0"), "version");
  check_refused(set("/version", "1.0.0+build"), "version");
  check_refused(set("/description", std::string(5000, 'x')), "description");
  check_refused(set("/contract/task", "regression"), "task");
  check_refused(set("/contract/labels", Json::array()), "labels");
  check_refused(set("/contract/labels", Json(std::vector<std::string>(10'001, "x"))), "labels");
  check_refused(set("/contract/labels/0", std::string(300, 'x')), "labels");
  check_refused(set("/contract/class_output", "probabilities"), "class_output");
  check_refused(set("/contract/inputs", Json::array()), "inputs");
  check_refused(set("/contract/inputs/0/datatype", "FLOAT"), "datatype");
  check_refused(set("/contract/inputs/0/shape", Json(std::vector<int>(17, 1))), "shape");
  check_refused(set("/contract/inputs/0/shape/0", 0), "shape");
  check_refused(set("/contract/inputs/0/shape/0", -2), "shape");
  check_refused(set("/contract/inputs/0/shape/0", 18446744073709551615u), "shape");
  check_refused(set("/variants", Json::array()), "variants");
  check_refused(set("/variants/0/name", "FP32"), "name");
  check_refused(set("/variants/0/file/name", "../model.onnx"), "name");
  check_refused(set("/variants/0/file/name", ""), "name");
  check_refused(set("/variants/0/file/name", std::string(129, 'x')), "name");
  check_refused(set("/variants/0/file/sha256", "abc"), "sha256");
  check_refused(set("/variants/0/file/length", 0), "length");
  check_refused(set("/variants/0/file/length", 2147483649), "length");
  check_refused(set("/variants/0/golden_tolerance", -1), "golden_tolerance");
  check_refused(set("/variants/0/budget/memory_mib", 0), "memory_mib");
  check_refused(set("/variants/0/budget/latency_p99_us", -1), "latency_p99_us");
  check_refused(set("/variants/0/measured/0/accuracy_ppm", 1'000'001), "accuracy_ppm");
  check_refused([](Json& json) { json["variants"].push_back(json["variants"][0]); }, "twice");
  check_refused(
      [](Json& json) {
        auto& inputs = json["contract"]["inputs"];
        inputs.push_back(inputs[0]);
      },
      "twice");
  check_refused(
      [](Json& json) {
        for (int i = 0; i < 33; ++i) {
          auto v = json["variants"][0];
          v["name"] = "v" + std::to_string(i);
          json["variants"].push_back(v);
        }
      },
      "variants");
  check_refused(
      [](Json& json) {
        for (int i = 0; i < 65; ++i) {
          auto t = json["contract"]["inputs"][0];
          t["name"] = "t" + std::to_string(i);
          json["contract"]["inputs"].push_back(t);
        }
      },
      "inputs");
  for (const char* text : {"", "[]", "null", "{", "\xff"}) CHECK_FALSE(parse_manifest(text));
  CHECK_THAT(parse_manifest(std::string(manifest_bytes_max + 1, ' ')).error().context, Catch::Contains("262144"));
}

TEST_CASE("a truncated manifest is refused wherever it is cut") {
  auto text = example().dump();
  for (std::size_t cut = 0; cut < text.size(); ++cut) REQUIRE_FALSE(parse_manifest(text.substr(0, cut)));
}
