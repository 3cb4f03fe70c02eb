#include "ota/device_facts.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::ota;

namespace {

Json profile() {
  return Json{{"format", "ferry.profile/1"},
              {"architecture", "x86_64"},
              {"hardware_class", "x86_64-avx2-4c-8g-cpu"},
              {"memory_bytes", 8'000'000'000},
              {"isa", "avx2"}};
}

}  // namespace

TEST_CASE("what a variant is chosen by comes from three fields of the profile") {
  const auto facts = device_facts(profile());
  REQUIRE(facts);
  CHECK(facts->architecture == "x86_64");
  CHECK(facts->hardware_class == "x86_64-avx2-4c-8g-cpu");
  CHECK(facts->memory_mib == 7629);
}

TEST_CASE("a profile without one of them, or with one that makes no sense, is refused by its name") {
  for (const char* key : {"architecture", "hardware_class", "memory_bytes"}) {
    Json damaged = profile();
    damaged.erase(key);
    INFO(key);
    CHECK_THAT(device_facts(damaged).error().context, Catch::Contains(key));
  }
  Json negative = profile();
  negative["memory_bytes"] = -1;
  CHECK_THAT(device_facts(negative).error().context, Catch::Contains("memory_bytes"));
  Json text = profile();
  text["architecture"] = 64;
  CHECK(device_facts(text).error().code == Errc::bad_input);
}
