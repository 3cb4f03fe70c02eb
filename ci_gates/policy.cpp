#include "ci_gates/policy.hpp"

namespace ferry::ci_gates {
namespace {

constexpr std::size_t policy_bytes_max = 64 * 1024;
constexpr std::int64_t samples_max = 10'000'000;
constexpr std::int64_t golden_samples_max = 256;
constexpr std::int64_t latency_us_max = 600'000'000;
constexpr std::int64_t memory_mib_max = 1 << 20;

Result<Json> section(const Json& policy, const char* name, std::initializer_list<std::string_view> known) {
  TRY(const Json* found, object_at(policy, name));
  if (auto only = only_known_fields(*found, known); !only)
    return std::move(only).error().within(std::string("[") + name + "]");
  return *found;
}

Result<DatasetSpec> parse_dataset(const Json& section, const Path& folder) {
  DatasetSpec spec;
  TRY(spec.name, string_at(section, "name", 128));
  TRY(const std::string images, string_at(section, "images"));
  TRY(const std::string labels, string_at(section, "labels"));
  spec.images = folder / images;
  spec.labels = folder / labels;
  TRY(spec.scale, number_or(section, "scale", 1.0));
  TRY(spec.offset, number_or(section, "offset", 0.0));
  TRY(const std::int64_t limit, integer_or(section, "limit", 10'000, 1, samples_max));
  spec.limit = std::uint64_t(limit);
  return spec;
}

Result<GatePolicy> parse(const Json& document, const Path& folder) {
  TRY(const std::string format, string_at(document, "format"));
  if (format != "ferry.gate/1") {
    return Error{Errc::unsupported, "format '" + format + "': expected ferry.gate/1"};
  }
  TRY_VOID(only_known_fields(document, {"format", "dataset", "accuracy", "latency", "memory", "golden"}));
  GatePolicy policy;
  TRY(const Json dataset, section(document, "dataset", {"name", "images", "labels", "scale", "offset", "limit"}));
  TRY(policy.dataset, parse_dataset(dataset, folder));
  TRY(const Json accuracy, section(document, "accuracy", {"top1_ppm_min", "margin_ppm"}));
  TRY(policy.top1_ppm_min, integer_at(accuracy, "top1_ppm_min", 0, 1'000'000));
  TRY(policy.accuracy_margin_ppm, integer_or(accuracy, "margin_ppm", 10'000, 0, 1'000'000));
  TRY(const Json latency, section(document, "latency", {"p99_us_max", "samples", "margin"}));
  TRY(policy.latency_p99_us_max, integer_or(latency, "p99_us_max", 0, 0, latency_us_max));
  TRY(const std::int64_t samples, integer_or(latency, "samples", 1'000, 1, samples_max));
  policy.latency_samples = std::uint64_t(samples);
  TRY(policy.latency_margin, number_or(latency, "margin", 0.10, 0, 10));
  TRY(const Json memory, section(document, "memory", {"peak_mib_max"}));
  TRY(policy.memory_peak_mib_max, integer_or(memory, "peak_mib_max", 0, 0, memory_mib_max));
  TRY(const Json golden, section(document, "golden", {"samples"}));
  TRY(const std::int64_t golden_samples, integer_or(golden, "samples", 16, 1, golden_samples_max));
  policy.golden_samples = std::uint64_t(golden_samples);
  return policy;
}

}  // namespace

Result<GatePolicy> parse_gate_policy(std::string_view text, const Path& file) {
  TRY(const Json document, parse_toml(text, file.string()));
  auto policy = parse(document, file.parent_path());
  if (!policy) return std::move(policy).error().within(file.string());
  policy->digest = sha256(text);
  return policy;
}

Result<GatePolicy> read_gate_policy(const Path& file) {
  TRY(const std::string text, read_file(file, policy_bytes_max));
  return parse_gate_policy(text, file);
}

}  // namespace ferry::ci_gates
