#include "ci_gates/policy.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ferry::ci_gates {
namespace {

constexpr std::size_t policy_bytes_max = 64 * 1024;
constexpr std::int64_t samples_max = 10'000'000;
constexpr std::int64_t golden_samples_max = 256;
constexpr std::int64_t latency_us_max = 600'000'000;
constexpr std::int64_t latency_seconds_max = 300;  // a variant has 600 s in all
constexpr std::int64_t core_max = 1023;
constexpr std::int64_t memory_mib_max = 1 << 20;
constexpr std::int64_t load_ms_max = 600'000;
constexpr std::int64_t size_kib_max = std::int64_t{2} << 20;
constexpr std::int64_t ppm = 1'000'000;

// `optional`: a section that is not there is an empty one.
Result<Json> section(const Json& policy, const char* name, std::initializer_list<std::string_view> known,
                     bool optional = false) {
  if (optional && !policy.contains(name)) return Json(Json::object());
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
  TRY(const std::string slices, string_or(section, "slices", ""));
  spec.images = folder / images;
  spec.labels = folder / labels;
  if (!slices.empty()) spec.slices = folder / slices;
  TRY(spec.scale, number_or(section, "scale", 1.0));
  TRY(spec.offset, number_or(section, "offset", 0.0));
  TRY(const std::int64_t limit, integer_or(section, "limit", 10'000, 1, samples_max));
  spec.limit = std::uint64_t(limit);
  return spec;
}

// The strings of an optional list.
Result<std::vector<std::string>> strings_at(const Json& section, const char* key, std::size_t items_max) {
  std::vector<std::string> texts;
  if (!section.contains(key)) return texts;
  TRY(const Json* list, array_at(section, key, items_max));
  for (const Json& item : *list) {
    if (!item.is_string()) return Error{Errc::bad_input, std::string(key) + ": expected a list of strings"};
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

Result<std::vector<Digest>> parse_training(const Json& dataset) {
  TRY(const auto texts, strings_at(dataset, "training_sha256", training_digests_max));
  std::vector<Digest> digests;
  for (const std::string& text : texts) {
    auto digest = Digest::from_hex(text);
    if (!digest) return std::move(digest).error().within("training_sha256");
    digests.push_back(*digest);
  }
  return digests;
}

// Names become parts of check names ("<metric>.<slice>@<class>/<variant>").
Result<> check_slice_name(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
  if (!name.empty() && name.size() <= slice_name_bytes_max && plain) return {};
  return Error{Errc::bad_input,
               "slice '" + name.substr(0, slice_name_bytes_max) + "': expected 1 to 64 of a-z, 0-9, '-' and '_'"};
}

Result<SlicePolicy> parse_slices(const Json& section, bool has_file) {
  SlicePolicy slices;
  TRY(slices.by_label, bool_or(section, "by_label", false));
  TRY(slices.top1_ppm_min, integer_or(section, "top1_ppm_min", 0, 0, ppm));
  TRY(slices.margin_ppm, integer_or(section, "margin_ppm", 30'000, 1, ppm));
  TRY(slices.names, strings_at(section, "names", slices_max));
  TRY(slices.required, strings_at(section, "required", 2 * slices_max));
  for (const std::string& name : slices.names) {
    TRY_VOID(check_slice_name(name));
    if (name.starts_with("label-"))
      return Error{Errc::bad_input, "names: '" + name + "': label-… are the slices of by_label"};
    if (std::count(slices.names.begin(), slices.names.end(), name) > 1)
      return Error{Errc::bad_input, "names: '" + name + "' is there twice"};
  }
  if (has_file != !slices.names.empty())
    return Error{Errc::bad_input, "names: expected one for each number in [dataset] slices, and that file with them"};
  for (const std::string& name : slices.required) {
    const bool known = std::find(slices.names.begin(), slices.names.end(), name) != slices.names.end() ||
                       (slices.by_label && name.starts_with("label-"));
    if (!known)
      return Error{Errc::bad_input, "required: no slice '" + name.substr(0, slice_name_bytes_max) +
                                        "': expected one of names, or label-0, … with by_label"};
  }
  return slices;
}

Result<> parse_latency(const Json& latency, GatePolicy& policy) {
  TRY(policy.latency_p99_us_max, integer_or(latency, "p99_us_max", 0, 0, latency_us_max));
  TRY(const std::int64_t samples, integer_or(latency, "samples", 1'000, 1, samples_max));
  policy.latency_samples = std::uint64_t(samples);
  TRY(policy.latency_margin, number_or(latency, "margin", latency_margin_default, 0, 10));
  TRY(policy.latency_seconds_max, integer_or(latency, "seconds_max", 60, 1, latency_seconds_max));
  if (!latency.contains("cores")) return {};
  TRY(const Json* cores, array_at(latency, "cores", pinned_cores_max));
  for (const Json& core : *cores) {
    if (!core.is_number_integer() || core < 0 || core > core_max)
      return Error{Errc::bad_input, "[latency]: cores: expected numbers from 0 to 1023"};
    policy.latency_cores.push_back(core.get<int>());
  }
  return {};
}

Result<GatePolicy> parse(const Json& document, const Path& folder) {
  TRY(const std::string format, string_at(document, "format"));
  if (format != "ferry.gate/1") {
    return Error{Errc::unsupported, "format '" + format + "': expected ferry.gate/1"};
  }
  TRY_VOID(only_known_fields(
      document, {"format", "dataset", "accuracy", "slices", "latency", "memory", "load", "size", "golden"}));
  GatePolicy policy;
  TRY(const Json dataset,
      section(document, "dataset",
              {"name", "images", "labels", "scale", "offset", "limit", "slices", "training_sha256"}));
  TRY(policy.dataset, parse_dataset(dataset, folder));
  TRY(policy.training_digests, parse_training(dataset));
  TRY(const Json accuracy, section(document, "accuracy", {"top1_ppm_min", "margin_ppm"}));
  TRY(policy.top1_ppm_min, integer_at(accuracy, "top1_ppm_min", 0, ppm));
  TRY(policy.accuracy_margin_ppm, integer_or(accuracy, "margin_ppm", 10'000, 0, ppm));
  TRY(const Json slices,
      section(document, "slices", {"by_label", "names", "top1_ppm_min", "margin_ppm", "required"}, true));
  auto parsed_slices = parse_slices(slices, !policy.dataset.slices.empty());
  if (!parsed_slices) return std::move(parsed_slices).error().within("[slices]");
  policy.slices = std::move(*parsed_slices);
  TRY(const Json latency, section(document, "latency", {"p99_us_max", "samples", "margin", "seconds_max", "cores"}));
  TRY_VOID(parse_latency(latency, policy));
  TRY(const Json memory, section(document, "memory", {"peak_mib_max"}));
  TRY(policy.memory_peak_mib_max, integer_or(memory, "peak_mib_max", 0, 0, memory_mib_max));
  TRY(const Json load, section(document, "load", {"ms_max"}, true));
  TRY(policy.load_ms_max, integer_or(load, "ms_max", 0, 0, load_ms_max));
  TRY(const Json size, section(document, "size", {"kib_max"}, true));
  TRY(policy.size_kib_max, integer_or(size, "kib_max", 0, 0, size_kib_max));
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
