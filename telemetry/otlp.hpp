// OTLP/HTTP metrics, the device's upload (docs/formats/telemetry.md).
// Source: opentelemetry-proto metrics/v1 (field numbers), OTLP 1.x (size rules).
#pragma once
#include "telemetry/window.hpp"

#include <map>
#include <string>
#include <string_view>

namespace ferry::telemetry {

constexpr std::size_t upload_bytes_max = 256 * 1024;  // after decompression
constexpr std::size_t releases_per_upload_max = 32;
constexpr std::size_t classes_max = 10'000;
constexpr std::size_t error_types_max = 64;

// Delta: a request holds one window; what ferryd takes. Cumulative: it holds totals (RunningTotals), for receivers that
// take nothing else. It then has no ferry.report.seq: they make a label of each attribute, and a new series of each
// seq.
enum class Temporality { delta, cumulative };

// Where a request says which release its numbers are of: once, with the scope, or with each data point. Both are OTLP;
// the first is much shorter and what ferryd is sent, the second is what other receivers make labels of.
enum class ReleaseNamed { by_scope, by_point };

// ExportMetricsServiceRequest, protobuf, not compressed. With releases named by point, histograms have their sums,
// metrics their units and scopes a name, which ferryd does not need and other receivers do.
std::string encode_otlp(const WindowReport& report, Temporality temporality = Temporality::delta,
                        ReleaseNamed named = ReleaseNamed::by_scope);

// What was left out of an upload or read as something else, by reason (docs/formats/telemetry.md), and the first in
// words.
struct Rejected {
  std::map<std::string, std::uint64_t> by_reason;
  std::uint64_t points = 0;  // data points left out
  std::string first;
  void add(std::string_view reason, std::string_view why);
  void clamp(std::string_view reason, std::string_view why);  // kept, as something else than it said
};

// Refuses malformed protobuf, a report without identity, and too much of anything that is not a data point; unknown
// metrics, attributes and fields are ignored. A data point that makes no sense (scale other than 5, cumulative, counts
// that do not add up, NaN, names that nobody has, …) refuses the whole, or, with `rejected`, is counted there and left
// out. bad_input names what was wrong; Error::reason is telemetry_<code>, body_too_large when it is too long.
Result<WindowReport> decode_otlp(std::string_view bytes, Rejected* rejected = nullptr);

// ExportMetricsServiceResponse: empty when all was taken as it is, else with its partial_success.
std::string encode_otlp_response(const Rejected& rejected);
constexpr std::size_t partial_message_bytes_max = 1024;
struct PartialSuccess {
  std::int64_t rejected_data_points = 0;
  std::string message;
};
// Malformed bytes read as no partial success: the upload was accepted all the same.
PartialSuccess decode_otlp_response(std::string_view bytes);

std::string gzip(std::string_view bytes);
// bad_input when malformed, truncated or longer than `bytes_max` once inflated (reason body_too_large; never allocates
// more than that).
Result<std::string> gunzip(std::string_view bytes, std::size_t bytes_max = upload_bytes_max);

}  // namespace ferry::telemetry
