#include "ota/manifest.hpp"

using namespace ferry;
using namespace ferry::ota;

namespace {

Variant variant(std::string name, std::uint64_t length_bytes) {
  Variant v;
  v.name = std::move(name);
  v.file.length_bytes = length_bytes;
  return v;
}

Measured measured(std::string hardware_class, std::int64_t p99_us, std::int64_t accuracy_ppm) {
  Measured m;
  m.hardware_class = std::move(hardware_class);
  m.latency_p99_us = p99_us;
  m.accuracy_ppm = accuracy_ppm;
  return m;
}

const DeviceFacts device{.architecture = "x86_64", .hardware_class = "ours", .memory_mib = 1000};

}  // namespace

TEST_CASE("versions are semantic versions without build metadata") {
  for (const char* good : {"0.0.0", "1.2.3", "10.20.30", "1.0.0-rc.1", "1.0.0-alpha-1.0.x7", "1.0.0-0"}) {
    INFO(good);
    CHECK(check_version(good));
  }
  for (const char* bad : {"", "1", "1.2", "1.2.3.4", "01.2.3", "1.2.03", "v1.2.3", "1.2.3-", "1.2.3-a..b", "1.2.3-01",
                          "1.2.3+b", "1.2.3-rc/1", "1.2.3 ", "1..3", "-1.2.3", "../1.2.3"}) {
    INFO(bad);
    CHECK_FALSE(check_version(bad));
  }
  CHECK_FALSE(check_version("1.2." + std::string(64, '3')));
}

TEST_CASE("versions are ordered as semantic versioning says") {
  // §11's own chain, and numbers beyond 64 bits.
  const std::vector<std::string> ascending = {"1.0.0-0",       "1.0.0-alpha",
                                              "1.0.0-alpha.1", "1.0.0-alpha.beta",
                                              "1.0.0-beta",    "1.0.0-beta.2",
                                              "1.0.0-beta.11", "1.0.0-rc.1",
                                              "1.0.0",         "1.0.1",
                                              "1.2.0",         "1.10.0",
                                              "2.0.0",         "99999999999999999999999.0.0"};
  for (std::size_t i = 0; i < ascending.size(); ++i)
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      INFO(ascending[i] << " and " << ascending[j]);
      CHECK((compare_versions(ascending[i], ascending[j]) <=> 0) == (i <=> j));
    }
}

TEST_CASE("names are checked, and the names of TUF roles are reserved") {
  for (const char* good : {"a", "fashion-mnist", "0", "a-"}) CHECK(check_model_name(good));
  for (const char* bad : {"", "-a", "A", "a_b", "a/b", "..", "root", "targets", "snapshot", "timestamp", "pinned-root"})
    CHECK_FALSE(check_model_name(bad));
  CHECK(check_variant_name("root"));
  for (const char* good : {"model.onnx", "A_b-c.1"}) CHECK(check_file_name(good));
  for (const char* bad : {"", ".", "..", ".hidden", "a/b", "a b", "-a", "a\\b"}) CHECK_FALSE(check_file_name(bad));
}

TEST_CASE("the fastest variant measured on this class is chosen") {
  Manifest manifest;
  manifest.variants = {variant("fp32", 400), variant("fp16", 100), variant("int8", 200)};
  manifest.variants[0].measured = {measured("ours", 900, 900'000)};
  manifest.variants[1].measured = {measured("ours", 700, 899'000), measured("other", 1, 1)};
  manifest.variants[2].measured = {measured("ours", 800, 895'000)};
  auto choice = choose_variant(manifest, device);
  REQUIRE(choice);
  CHECK(choice->name == "fp16");
  CHECK(choice->index == 1);
  CHECK(choice->reason == "fp16: lowest expected p99 (700 us on ours) of 3 variants that fit");
}

TEST_CASE("a variant more than a point less accurate than the best is left out") {
  Manifest manifest;
  manifest.variants = {variant("fp32", 400), variant("int8", 100)};
  manifest.variants[0].measured = {measured("ours", 900, 900'000)};
  manifest.variants[1].measured = {measured("ours", 100, 890'000)};
  CHECK(choose_variant(manifest, device)->name == "int8");  // exactly a point is still fine
  manifest.variants[1].measured[0].accuracy_ppm = 889'999;
  auto choice = choose_variant(manifest, device);
  CHECK(choice->name == "fp32");
  CHECK_THAT(choice->reason, Catch::Contains("int8 left out: its accuracy 88.99 % is more than a point below 90.00 %"));
  // Accuracy of an ineligible variant does not count.
  manifest.variants[0].needs.memory_mib_min = 2000;
  CHECK(choose_variant(manifest, device)->name == "int8");
}

TEST_CASE("without measurements on this class the smallest file is chosen") {
  Manifest manifest;
  manifest.variants = {variant("fp32", 400), variant("int8", 100)};
  manifest.variants[0].measured = {measured("another", 1, 900'000)};
  auto choice = choose_variant(manifest, device);
  CHECK(choice->name == "int8");
  CHECK_THAT(choice->reason, Catch::Contains("none measured on ours"));
  // Accuracy measured elsewhere still counts: it hardly depends on hardware.
  manifest.variants[1].measured = {measured("another", 1, 800'000)};
  CHECK(choose_variant(manifest, device)->name == "fp32");
}

TEST_CASE("a variant measured here goes before one that is not") {
  Manifest manifest;
  manifest.variants = {variant("fp32", 400), variant("int8", 100)};
  manifest.variants[0].measured = {measured("ours", 5000, 900'000)};
  CHECK(choose_variant(manifest, device)->name == "fp32");
}

TEST_CASE("when no variant's needs are met the refusal says why for each") {
  Manifest manifest;
  manifest.variants = {variant("big", 1), variant("arm", 1)};
  manifest.variants[0].needs.memory_mib_min = 1001;
  manifest.variants[1].needs.architectures = {"aarch64", "riscv64"};
  auto choice = choose_variant(manifest, device);
  REQUIRE_FALSE(choice);
  CHECK(choice.error().reason == "variant.none");
  CHECK_THAT(choice.error().context, Catch::Contains("big needs 1001 MiB, this device has 1000") &&
                                         Catch::Contains("arm needs aarch64 or riscv64, this device is x86_64"));
}
