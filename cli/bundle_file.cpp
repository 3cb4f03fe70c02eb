#include "cli/bundle_file.hpp"

#include "common/config.hpp"

#include <nlohmann/json.hpp>

namespace ferry::cli {
namespace {

constexpr std::size_t bundle_file_bytes_max = 256 * 1024;
constexpr std::int64_t latency_us_max = 600'000'000;
constexpr std::int64_t memory_mib_max = 1 << 20;

Result<std::vector<std::string>> strings_at(const Json& object, std::string_view key, std::size_t items_max) {
  std::vector<std::string> strings;
  if (!object.contains(key)) return strings;
  TRY(const Json* list, array_at(object, key, items_max));
  for (const Json& item : *list) {
    if (!item.is_string()) return Error{Errc::bad_input, std::string(key) + ": expected a list of strings"};
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

Result<std::vector<ota::TensorSpec>> tensors_at(const Json& contract, std::string_view key) {
  TRY(const Json* list, array_at(contract, key, ota::tensors_max));
  std::vector<ota::TensorSpec> tensors;
  for (const Json& item : *list) {
    TRY_VOID(only_known_fields(item, {"name", "datatype", "shape"}));
    ota::TensorSpec tensor;
    TRY(tensor.name, string_at(item, "name", ota::text_bytes_max));
    TRY(tensor.datatype, string_at(item, "datatype", 16));
    TRY(const Json* shape, array_at(item, "shape", ota::dimensions_max));
    for (const Json& dimension : *shape) {
      if (!dimension.is_number_integer())
        return Error{Errc::bad_input, std::string(key) + " " + tensor.name + ".shape: expected whole numbers"};
      tensor.shape.push_back(dimension.get<std::int64_t>());
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

Result<ota::Contract> parse_contract(const Json& section) {
  TRY_VOID(only_known_fields(section, {"task", "labels", "class_output", "inputs", "outputs"}));
  ota::Contract contract;
  TRY(contract.task, string_at(section, "task", 64));
  TRY(contract.labels, strings_at(section, "labels", ota::labels_max));
  TRY(contract.class_output, string_or(section, "class_output", "", ota::text_bytes_max));
  TRY(contract.inputs, tensors_at(section, "inputs"));
  TRY(contract.outputs, tensors_at(section, "outputs"));
  return contract;
}

Result<ota::Variant> parse_variant(const Json& section) {
  TRY_VOID(only_known_fields(section, {"name", "file", "precision", "golden_tolerance", "needs", "budget"}));
  ota::Variant variant;
  TRY(variant.name, string_at(section, "name", 64));
  TRY(variant.precision, string_at(section, "precision", 32));
  TRY(variant.golden_tolerance, number_at(section, "golden_tolerance", 0, 1e9));
  if (section.contains("needs")) {
    TRY(const Json* needs, object_at(section, "needs"));
    TRY_VOID(only_known_fields(*needs, {"architectures", "memory_mib_min"}));
    TRY(variant.needs.architectures, strings_at(*needs, "architectures", ota::architectures_max));
    TRY(variant.needs.memory_mib_min, integer_or(*needs, "memory_mib_min", 0, 0, memory_mib_max));
  }
  if (section.contains("budget")) {
    TRY(const Json* budget, object_at(section, "budget"));
    TRY_VOID(only_known_fields(*budget, {"latency_p99_us", "memory_mib"}));
    if (budget->contains("latency_p99_us")) {
      TRY(variant.budget.latency_p99_us, integer_at(*budget, "latency_p99_us", 1, latency_us_max));
    }
    if (budget->contains("memory_mib")) {
      TRY(variant.budget.memory_mib, integer_at(*budget, "memory_mib", 1, memory_mib_max));
    }
  }
  return variant;
}

std::string with_version(std::string text, std::string_view version) {
  constexpr std::string_view mark = "{version}";
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + version.size())) {
    text.replace(at, mark.size(), version);
  }
  return text;
}

Result<BundleFile> parse(const Json& document, const Path& folder, std::string_view version) {
  TRY(const std::string format, string_at(document, "format"));
  if (format != "ferry.bundle/1") return Error{Errc::unsupported, "format '" + format + "': expected ferry.bundle/1"};
  TRY_VOID(only_known_fields(document, {"format", "model", "description", "contract", "variants"}));
  BundleFile bundle;
  TRY(bundle.manifest.model, string_at(document, "model", 64));
  if (auto named = ota::check_model_name(bundle.manifest.model); !named)
    return std::move(named).error().within("model");
  TRY(bundle.manifest.description, string_or(document, "description", "", ota::description_bytes_max));
  TRY(const Json* contract, object_at(document, "contract"));
  auto parsed = parse_contract(*contract);
  if (!parsed) return std::move(parsed).error().within("[contract]");
  bundle.manifest.contract = std::move(*parsed);
  TRY(const Json* variants, array_at(document, "variants", ota::variants_max));
  for (const Json& section : *variants) {
    auto variant = parse_variant(section);
    if (!variant)
      return std::move(variant).error().within("[[variants]] " + std::to_string(bundle.model_files.size() + 1));
    TRY(const std::string file, string_at(section, "file"));
    bundle.manifest.variants.push_back(std::move(*variant));
    bundle.model_files.push_back(folder / with_version(file, version));
  }
  if (bundle.model_files.empty()) return Error{Errc::bad_input, "variants: expected at least one [[variants]] section"};
  return bundle;
}

}  // namespace

Result<BundleFile> parse_bundle_file(std::string_view text, const Path& file, std::string_view version) {
  TRY(const Json document, parse_toml(text, file.string()));
  auto bundle = parse(document, file.parent_path(), version);
  if (!bundle) return std::move(bundle).error().within(file.string());
  return bundle;
}

Result<BundleFile> read_bundle_file(const Path& file, std::string_view version) {
  TRY(const std::string text, read_file(file, bundle_file_bytes_max));
  return parse_bundle_file(text, file, version);
}

}  // namespace ferry::cli
