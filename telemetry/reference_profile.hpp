// The reference profile of a release: what its predictions looked like on the gate's data (docs/formats/golden.md).
#pragma once
#include "common/json.hpp"
#include "telemetry/recorder.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ferry::telemetry {

constexpr std::size_t reference_bytes_max = 256 * 1024;
constexpr std::size_t confidence_edges_max = 19;
constexpr std::size_t mnlp_edges_max = 9;

struct ReferenceProfile {
  std::vector<std::uint64_t> classes;  // counts of arg-max
  // Edges: quantiles of the reference, strictly rising. Without samples: one bin, so that also this parses back.
  BoundedHistogram confidence{std::vector<double>{}};
  BoundedHistogram mnlp{std::vector<double>{}};
  std::vector<std::int64_t> accuracy_by_confidence_ppm;  // per confidence bin; 0 for an empty bin
  std::uint64_t samples = 0;
  Edges edges() const { return {confidence.bounds, mnlp.bounds}; }
  bool operator==(const ReferenceProfile&) const = default;
};

// One sample of the gate's data set as the model saw it.
struct ReferenceSample {
  Prediction prediction;
  bool correct = false;
};
// `samples` not empty. Edges are quantiles (5 % steps for confidence, 10 % for mnlp); equal neighbours become one.
ReferenceProfile make_reference_profile(const std::vector<ReferenceSample>& samples, std::size_t classes);

std::string print_reference_profile(const ReferenceProfile& profile);
Result<ReferenceProfile> parse_reference_profile(std::string_view bytes);

}  // namespace ferry::telemetry
