#include "telemetry/reference_profile.hpp"

#include <cmath>

using namespace ferry::telemetry;
using ferry::Errc;

namespace {

std::vector<ReferenceSample> samples() {
  std::vector<ReferenceSample> made;
  for (std::size_t i = 0; i < 1'000; ++i) {
    made.push_back({{i % 10, 0.2 + 0.0007 * double(i), 1.0 + 0.01 * double(i)}, i % 4 != 0});
  }
  return made;
}

}  // namespace

TEST_CASE("edges are quantiles, so every bin of the reference is about equally full") {
  const ReferenceProfile profile = make_reference_profile(samples(), 10);
  CHECK(profile.confidence.counts.size() == 20);
  CHECK(profile.mnlp.counts.size() == 10);
  for (const auto count : profile.confidence.counts) CHECK(std::abs(double(count) - 50) <= 1);
  for (const auto count : profile.mnlp.counts) CHECK(std::abs(double(count) - 100) <= 1);
  CHECK(profile.classes == std::vector<std::uint64_t>(10, 100));
  for (const auto ppm : profile.accuracy_by_confidence_ppm) CHECK(std::abs(double(ppm) - 750'000) < 20'000);
}

TEST_CASE("a saturated confidence gives fewer edges, never equal ones") {
  std::vector<ReferenceSample> same(500, {{0, 1.0, 30.0}, true});
  const ReferenceProfile profile = make_reference_profile(same, 2);
  CHECK(profile.confidence.bounds == std::vector<double>{1.0});
  CHECK(profile.confidence.total() == 500);
}

TEST_CASE("a reference profile survives its file") {
  const ReferenceProfile profile = make_reference_profile(samples(), 10);
  CHECK(parse_reference_profile(print_reference_profile(profile)).value() == profile);
}

TEST_CASE("a damaged reference profile is refused by field") {
  const std::string good = print_reference_profile(make_reference_profile(samples(), 10));
  const auto with = [&](const char* key, ferry::Json value) {
    ferry::Json document = ferry::Json::parse(good);
    document[key] = std::move(value);
    return parse_reference_profile(document.dump());
  };
  CHECK(with("format", "ferry.reference/2").error().code == Errc::unsupported);
  CHECK(with("classes", {-1}).error().context.find("classes") != std::string::npos);
  CHECK(with("confidence", {{"bounds", {0.5, 0.5}}, {"counts", {1, 2, 3}}}).error().context.find("confidence.bounds") !=
        std::string::npos);
  CHECK(with("mnlp", {{"bounds", {0.5}}, {"counts", {1}}}).error().context.find("mnlp.counts") != std::string::npos);
  CHECK_FALSE(parse_reference_profile("[]"));
  CHECK_FALSE(parse_reference_profile(good.substr(0, good.size() / 2)));
}
