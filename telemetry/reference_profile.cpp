#include "telemetry/reference_profile.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

namespace ferry::telemetry {
namespace {

// How far an edge may move to become a short number, as a share of the narrower bin beside it.
constexpr double edge_slack = 1.0 / 16;
constexpr int edge_digits_max = 53;  // what a double holds

// The number with the fewest binary digits behind the point within `slack` of `value`.
double shortest_near(double value, double slack) {
  for (int digits = 0; digits < edge_digits_max; ++digits) {
    const double rounded = std::ldexp(std::round(std::ldexp(value, digits)), -digits);
    if (std::fabs(rounded - value) <= slack) return rounded;
  }
  return value;
}

// Edges travel in every upload: a measured one costs eight bytes there, a short one two.
std::vector<double> quantile_edges(std::vector<double> values, std::size_t bins) {
  std::sort(values.begin(), values.end());
  std::vector<double> edges;
  for (std::size_t k = 1; k < bins; ++k) {
    const double edge = values[std::min(values.size() - 1, k * values.size() / bins)];
    if (edges.empty() || edge > edges.back()) edges.push_back(edge);
  }
  std::vector<double> short_edges;
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const double below = edges[i] - (i == 0 ? values.front() : edges[i - 1]);
    const double above = (i + 1 == edges.size() ? values.back() : edges[i + 1]) - edges[i];
    short_edges.push_back(shortest_near(edges[i], edge_slack * std::min(below, above)));
  }
  return short_edges;
}

Result<std::vector<std::uint64_t>> counts_at(const Json& object, std::string_view key, std::size_t items_max) {
  TRY(const Json* list, array_at(object, key, items_max));
  std::vector<std::uint64_t> counts;
  for (const Json& item : *list) {
    if (!item.is_number_integer() || item.get<std::int64_t>() < 0) {
      return Error{Errc::bad_input, std::string(key) + ": expected whole numbers of at least 0"};
    }
    counts.push_back(item.get<std::uint64_t>());
  }
  return counts;
}

Result<BoundedHistogram> histogram_at(const Json& object, std::string_view key, std::size_t edges_max) {
  TRY(const Json* found, object_at(object, key));
  TRY(const Json* bounds, array_at(*found, "bounds", edges_max));
  BoundedHistogram histogram;
  for (const Json& bound : *bounds) {
    const bool rising = bound.is_number() && std::isfinite(bound.get<double>()) &&
                        (histogram.bounds.empty() || bound.get<double>() > histogram.bounds.back());
    if (!rising) return Error{Errc::bad_input, std::string(key) + ".bounds: expected finite, strictly rising numbers"};
    histogram.bounds.push_back(bound.get<double>());
  }
  TRY(histogram.counts, counts_at(*found, "counts", edges_max + 1));
  if (histogram.counts.size() != histogram.bounds.size() + 1) {
    return Error{Errc::bad_input, std::string(key) + ".counts: expected one more than bounds"};
  }
  return histogram;
}

}  // namespace

ReferenceProfile make_reference_profile(const std::vector<ReferenceSample>& samples, std::size_t classes) {
  ReferenceProfile profile;
  profile.samples = samples.size();
  profile.classes.resize(classes);
  std::vector<double> confidences, mnlps;
  for (const ReferenceSample& sample : samples) {
    confidences.push_back(sample.prediction.confidence);
    mnlps.push_back(sample.prediction.mnlp_bits);
  }
  profile.confidence = BoundedHistogram(quantile_edges(std::move(confidences), confidence_edges_max + 1));
  profile.mnlp = BoundedHistogram(quantile_edges(std::move(mnlps), mnlp_edges_max + 1));
  std::vector<std::uint64_t> right(profile.confidence.counts.size());
  for (const ReferenceSample& sample : samples) {
    if (sample.prediction.top_class < classes) ++profile.classes[sample.prediction.top_class];
    BoundedHistogram one(profile.confidence.bounds);
    one.record(sample.prediction.confidence);
    for (std::size_t bin = 0; bin < one.counts.size(); ++bin) {
      profile.confidence.counts[bin] += one.counts[bin];
      right[bin] += sample.correct ? one.counts[bin] : 0;
    }
    profile.mnlp.record(sample.prediction.mnlp_bits);
  }
  for (std::size_t bin = 0; bin < right.size(); ++bin) {
    const std::uint64_t in_bin = profile.confidence.counts[bin];
    profile.accuracy_by_confidence_ppm.push_back(in_bin == 0 ? 0 : std::int64_t(right[bin] * 1'000'000 / in_bin));
  }
  return profile;
}

std::string print_reference_profile(const ReferenceProfile& profile) {
  Json document;
  document["format"] = "ferry.reference/1";
  document["classes"] = profile.classes;
  document["confidence"] = {{"bounds", profile.confidence.bounds}, {"counts", profile.confidence.counts}};
  document["mnlp"] = {{"bounds", profile.mnlp.bounds}, {"counts", profile.mnlp.counts}};
  document["accuracy_by_confidence_ppm"] = profile.accuracy_by_confidence_ppm;
  document["samples"] = profile.samples;
  return dump_json(document);
}

Result<ReferenceProfile> parse_reference_profile(std::string_view bytes) {
  TRY(const Json document, parse_json(bytes, {.bytes_max = reference_bytes_max}));
  TRY(const std::string format, string_at(document, "format"));
  if (format != "ferry.reference/1") {
    return Error{Errc::unsupported, "reference profile: format '" + format + "', expected ferry.reference/1"};
  }
  ReferenceProfile profile;
  TRY(profile.classes, counts_at(document, "classes", 10'000));
  TRY(profile.confidence, histogram_at(document, "confidence", confidence_edges_max));
  TRY(profile.mnlp, histogram_at(document, "mnlp", mnlp_edges_max));
  TRY(const std::vector<std::uint64_t> accuracy,
      counts_at(document, "accuracy_by_confidence_ppm", confidence_edges_max + 1));
  profile.accuracy_by_confidence_ppm.assign(accuracy.begin(), accuracy.end());
  TRY(const std::int64_t samples, integer_at(document, "samples", 0));
  profile.samples = std::uint64_t(samples);
  return profile;
}

}  // namespace ferry::telemetry
