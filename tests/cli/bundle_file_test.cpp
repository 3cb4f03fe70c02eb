// bundle.toml as a person writes it: what is wrong is said by file, section and field.
#include "cli/bundle_file.hpp"

#include "tests/cli/workshop.hpp"

using namespace ferry;
using namespace ferry::test;
using cli::parse_bundle_file;

namespace {

std::string example() { return read_text(example_folder / "bundle.toml"); }

std::string error_of(const std::string& text) {
  const auto bundle = parse_bundle_file(text, "some/bundle.toml", "1.0.0");
  return bundle ? "accepted" : bundle.error().context;
}

// The first place only.
std::string once(std::string_view what, std::string_view with) {
  std::string text = example();
  const std::size_t at = text.find(what);
  if (at == std::string::npos) throw std::runtime_error("not in the example: " + std::string(what));
  return text.replace(at, what.size(), with);
}

}  // namespace

TEST_CASE("the example's bundle.toml is read whole, the version put into file names") {
  const auto bundle = parse_bundle_file(example(), "some/bundle.toml", "1.2.3-rc.1");
  REQUIRE(bundle);
  CHECK(bundle->manifest.model == "fashion-mnist");
  CHECK(bundle->manifest.contract.labels.size() == 10);
  CHECK(bundle->manifest.contract.inputs == std::vector<ota::TensorSpec>{{"image", "FP32", {-1, 1, 28, 28}}});
  REQUIRE(bundle->manifest.variants.size() == 2);
  CHECK(bundle->manifest.variants[1].name == "int8");
  CHECK(bundle->manifest.variants[1].golden_tolerance == 1.0);
  CHECK(bundle->manifest.variants[1].budget.memory_mib == 512);
  CHECK(bundle->model_files ==
        std::vector<Path>{"some/models/1.2.3-rc.1/fp32.onnx", "some/models/1.2.3-rc.1/int8.onnx"});
}

TEST_CASE("what may be left out has its default") {
  std::string text = example();
  text = text.substr(0, text.find("[variants.budget]"));
  text = replaced(text, "description = \"Clothing in 28x28 grey images\"\n", "");
  const auto bundle = parse_bundle_file(text, "bundle.toml", "1.0.0");
  REQUIRE(bundle);
  const ota::Variant& variant = bundle->manifest.variants[0];
  CHECK(!variant.budget.latency_p99_us);
  CHECK(variant.budget.memory_mib_or_default() == 1024);
  CHECK(variant.needs == ota::Needs{});
  CHECK(bundle->manifest.description.empty());
}

TEST_CASE("needs are read") {
  const auto bundle =
      parse_bundle_file(once("[variants.budget]",
                             "[variants.needs]\narchitectures = [\"x86_64\", \"aarch64\"]\nmemory_mib_min = 128\n"
                             "[variants.budget]"),
                        "bundle.toml", "1.0.0");
  REQUIRE(bundle);
  CHECK(bundle->manifest.variants[0].needs == ota::Needs{{"x86_64", "aarch64"}, 128});
}

TEST_CASE("an unknown field is refused with the nearest name, at every level") {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"description", "descripton", "'description'"},
      {"class_output", "class_ouput", "'class_output'"},
      {"datatype = \"FP32\"\nshape = [-1, 1, 28, 28]", "dtype = \"FP32\"\nshape = [-1, 1, 28, 28]", "'datatype'"},
      {"golden_tolerance = 0.01", "golden_tolerence = 0.01", "'golden_tolerance'"},
      {"latency_p99_us", "latency_p99", "'latency_p99_us'"},
      {"[variants.budget]", "[variants.needs]\narchitecture = []\n[variants.budget]", "'architectures'"}};
  for (const auto& [what, with, nearest] : cases) {
    const std::string error = error_of(once(what, with));
    INFO(error);
    CHECK(contains(error, "some/bundle.toml: "));
    CHECK(contains(error, "did you mean " + std::string(nearest)));
  }
}

TEST_CASE("a value of the wrong kind or out of range is refused by section and field") {
  const std::tuple<const char*, const char*, const char*, const char*> cases[] = {
      {"format = \"ferry.bundle/1\"", "format = \"ferry.bundle/2\"", "format", "ferry.bundle/1"},
      {"format = \"ferry.bundle/1\"\n", "", "format", ""},
      {"model = \"fashion-mnist\"", "model = \"Fashion MNIST\"", "model", ""},
      {"model = \"fashion-mnist\"", "model = \"snapshot\"", "model", ""},
      {"model = \"fashion-mnist\"", "model = 3", "model", ""},
      {"shape = [-1, 1, 28, 28]", "shape = \"28x28\"", "[contract]", "shape"},
      {"shape = [-1, 1, 28, 28]", "shape = [-1, 1, 28.5, 28]", "inputs image.shape", "whole numbers"},
      {"[[contract.inputs]]\nname = \"image\"", "[[contract.inputs]]\nname = 1", "[contract]", "name"},
      {"labels = [\"t-shirt\",", "labels = [1,", "labels", "strings"},
      {"task = \"classification\"", "task = 1", "task", ""},
      {"precision = \"fp32\"", "precision = true", "[[variants]] 1", "precision"},
      {"golden_tolerance = 1.0", "golden_tolerance = -1.0", "[[variants]] 2", "golden_tolerance"},
      {"golden_tolerance = 1.0\n", "", "[[variants]] 2", "golden_tolerance"},
      {"latency_p99_us = 50000", "latency_p99_us = 0", "[[variants]] 1", "latency_p99_us"},
      {"memory_mib = 512", "memory_mib = \"half\"", "[[variants]] 1", "memory_mib"},
      {"file = \"models/{version}/fp32.onnx\"\n", "", "file", ""}};
  for (const auto& [what, with, where, which] : cases) {
    const std::string error = error_of(once(what, with));
    INFO(with << ": " << error);
    CHECK(contains(error, "some/bundle.toml"));
    CHECK(contains(error, where));
    CHECK(contains(error, which));
  }
}

TEST_CASE("without variants, or with something else in their place, nothing is packed") {
  std::string head = example();
  head = head.substr(0, head.find("[[variants]]"));
  CHECK(contains(error_of(head), "variants"));
  CHECK(contains(error_of("variants = []\n" + head), "at least one [[variants]]"));
  CHECK(contains(error_of("variants = [1]\n" + head), "expected an object"));
  CHECK(contains(error_of("variants = 1\n" + head), "variants"));
  CHECK(contains(error_of(replaced(example(), "[contract]\n", "[contracts]\n")), "contract"));
}

TEST_CASE("text that is not TOML is refused with its line; an endless file is not read") {
  CHECK(contains(error_of("format = \n"), "some/bundle.toml:1"));
  CHECK(error_of("") != "accepted");
  const TempDir folder;
  write_text(folder / "bundle.toml", "# " + std::string(300 * 1024, 'x'));
  const auto large = cli::read_bundle_file(folder / "bundle.toml", "1.0.0");
  REQUIRE(!large);
  CHECK(large.error().code == Errc::bad_input);
  CHECK(contains(large.error().context, "longer than 262144 bytes"));
}
