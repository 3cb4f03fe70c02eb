// OTLP/HTTP metrics, the device's upload (docs/formats/telemetry.md).
// Source: opentelemetry-proto metrics/v1 (field numbers), OTLP 1.x (size rules).
#pragma once
#include "telemetry/window.hpp"

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

// ExportMetricsServiceRequest, protobuf, not compressed.
std::string encode_otlp(const WindowReport& report, Temporality temporality = Temporality::delta);
// Refuses malformed protobuf, other scales than 5, cumulative temporality, too many of anything; unknown metrics,
// attributes and fields are ignored. bad_input names what was wrong.
Result<WindowReport> decode_otlp(std::string_view bytes);

std::string gzip(std::string_view bytes);
// bad_input when malformed, truncated or longer than `bytes_max` once inflated (reason body_too_large; never allocates
// more than that).
Result<std::string> gunzip(std::string_view bytes, std::size_t bytes_max = upload_bytes_max);

}  // namespace ferry::telemetry
