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
  // Both edges of a bin may have moved by a sixteenth of it.
  for (const auto count : profile.confidence.counts) CHECK(std::abs(double(count) - 50) <= 50 / 8.0 + 1);
  for (const auto count : profile.mnlp.counts) CHECK(std::abs(double(count) - 100) <= 100 / 8.0 + 1);
  CHECK(profile.classes == std::vector<std::uint64_t>(10, 100));
  for (const auto ppm : profile.accuracy_by_confidence_ppm) CHECK(std::abs(double(ppm) - 750'000) < 20'000);
}

TEST_CASE("edges are short binary fractions, because they travel in every upload") {
  const ReferenceProfile profile = make_reference_profile(samples(), 10);
  for (const double edge : profile.confidence.bounds) CHECK(std::fmod(edge * 256, 1) == 0);
  for (const double edge : profile.mnlp.bounds) CHECK(std::fmod(edge * 16, 1) == 0);
}

TEST_CASE("edges crowded below one stay apart, rising, and below the largest value") {
  std::vector<ReferenceSample> crowded;
  for (int i = 0; i < 2'000; ++i) crowded.push_back({{0, 1.0 - std::exp2(-0.02 * i), 5.0 + 0.001 * i}, true});
  const ReferenceProfile profile = make_reference_profile(crowded, 1);
  REQUIRE(profile.confidence.bounds.size() == 19);
  CHECK(profile.confidence.bounds.back() < crowded.back().prediction.confidence);
  for (const auto count : profile.confidence.counts) CHECK(count > 50);
  CHECK(std::is_sorted(profile.confidence.bounds.begin(), profile.confidence.bounds.end(), std::less_equal<>()));
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
