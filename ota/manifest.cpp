// The manifest parsed and printed; every limit of docs/formats/bundle.md is enforced here.
#include "ota/manifest.hpp"

#include "common/json.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

namespace ferry::ota {
namespace {

constexpr std::int64_t dimension_max = 1'000'000'000;
constexpr std::int64_t opset_max = 1'000;
constexpr std::int64_t memory_mib_max = 16 * 1024 * 1024;
constexpr std::int64_t microseconds_max = 3'600'000'000;  // an hour
constexpr std::int64_t ppm_max = 1'000'000;
constexpr int manifest_depth_max = 16;

constexpr std::string_view datatypes[] = {"BOOL",  "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16",
                                          "INT32", "INT64", "FP16",   "FP32",   "FP64",   "BF16", "BYTES"};

Error bad(std::string what) { return Error{Errc::bad_input, std::move(what)}; }
std::string at(std::string_view list, std::size_t i) { return std::string(list) + "[" + std::to_string(i) + "]"; }

// Reads one member with `parse(const Json&)`, and says where it went wrong.
template <class Parse>
auto inside(const Json& object, std::string_view key, Parse parse) -> decltype(parse(object)) {
  TRY(const Json* value, object_at(object, key));
  auto parsed = parse(*value);
  if (!parsed) return std::move(parsed).error().within(key);
  return parsed;
}

template <class T, class Parse>
Result<std::vector<T>> each(const Json& object, std::string_view key, std::size_t items_max, Parse parse) {
  TRY(const Json* array, array_at(object, key, items_max));
  std::vector<T> values;
  for (std::size_t i = 0; i < array->size(); ++i) {
    if (!(*array)[i].is_object()) return bad(at(key, i) + ": expected an object");
    Result<T> value = parse((*array)[i]);
    if (!value) return std::move(value).error().within(at(key, i));
    values.push_back(std::move(*value));
  }
  return values;
}

Result<std::vector<std::string>> strings_at(const Json& object, std::string_view key, std::size_t items_max) {
  TRY(const Json* array, array_at(object, key, items_max));
  std::vector<std::string> values;
  for (std::size_t i = 0; i < array->size(); ++i) {
    const Json& value = (*array)[i];
    if (!value.is_string() || value.get_ref<const std::string&>().empty() ||
        value.get_ref<const std::string&>().size() > text_bytes_max)
      return bad(at(key, i) + ": expected a string of 1 to " + std::to_string(text_bytes_max) + " bytes");
    values.push_back(value.get<std::string>());
  }
  return values;
}

Result<std::optional<std::int64_t>> optional_integer(const Json& object, std::string_view key, std::int64_t max) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::optional<std::int64_t>();
  TRY(auto value, integer_at(object, key, 0, max));
  return std::optional<std::int64_t>(value);
}

Result<BlobRef> parse_blob(const Json& object) {
  BlobRef blob;
  TRY(blob.name, string_at(object, "name", 256));
  auto named = check_file_name(blob.name);
  if (!named) return std::move(named).error().within("name");
  TRY(auto hex, string_at(object, "sha256", 64));
  auto digest = Digest::from_hex(hex);
  if (!digest) return std::move(digest).error().within("sha256");
  blob.sha256 = *digest;
  TRY(auto length, integer_at(object, "length", 1, static_cast<std::int64_t>(file_bytes_max)));
  blob.length_bytes = static_cast<std::uint64_t>(length);
  return blob;
}

Result<TensorSpec> parse_tensor(const Json& object) {
  TensorSpec tensor;
  TRY(tensor.name, string_at(object, "name", text_bytes_max));
  if (tensor.name.empty()) return bad("name: expected a tensor's name, found an empty string");
  TRY(tensor.datatype, string_at(object, "datatype", 16));
  if (std::find(std::begin(datatypes), std::end(datatypes), tensor.datatype) == std::end(datatypes))
    return bad("datatype: found \"" + tensor.datatype + "\", expected an Open Inference Protocol name such as FP32");
  TRY(const Json* shape, array_at(object, "shape", dimensions_max));
  for (std::size_t i = 0; i < shape->size(); ++i) {
    const Json& dimension = (*shape)[i];
    if (!dimension.is_number_integer() ||
        (dimension.is_number_unsigned() && dimension.get<std::uint64_t>() > std::uint64_t{dimension_max}))
      return bad(at("shape", i) + ": expected -1 or a size up to 1000000000");
    auto size = dimension.get<std::int64_t>();
    if (size != -1 && (size < 1 || size > dimension_max))
      return bad(at("shape", i) + ": found " + std::to_string(size) + ", expected -1 or a size up to 1000000000");
    tensor.shape.push_back(size);
  }
  return tensor;
}

template <class T>
Result<> distinct_names(const std::vector<T>& values, std::string_view key) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!names.insert(values[i].name).second)
      return bad(at(key, i) + ": name: \"" + values[i].name + "\" is there twice");
  return {};
}

Result<Contract> parse_contract(const Json& object) {
  Contract contract;
  TRY(contract.task, string_at(object, "task", 64));
  if (contract.task != "classification" && contract.task != "other")
    return bad("task: found \"" + contract.task + "\", expected classification or other");
  bool classes = contract.task == "classification";
  if (classes || object.contains("labels")) {
    TRY(contract.labels, strings_at(object, "labels", labels_max));
  }
  TRY(contract.inputs, each<TensorSpec>(object, "inputs", tensors_max, parse_tensor));
  TRY(contract.outputs, each<TensorSpec>(object, "outputs", tensors_max, parse_tensor));
  if (contract.inputs.empty()) return bad("inputs: expected at least one");
  if (contract.outputs.empty()) return bad("outputs: expected at least one");
  TRY_VOID(distinct_names(contract.inputs, "inputs"));
  TRY_VOID(distinct_names(contract.outputs, "outputs"));
  if (classes) {
    TRY(contract.class_output, string_at(object, "class_output", text_bytes_max));
  } else {
    TRY(contract.class_output, string_or(object, "class_output", "", text_bytes_max));
  }
  if (classes && contract.labels.empty()) return bad("labels: expected at least one for task classification");
  bool named = std::any_of(contract.outputs.begin(), contract.outputs.end(),
                           [&](const TensorSpec& output) { return output.name == contract.class_output; });
  if (!contract.class_output.empty() && !named)
    return bad("class_output: \"" + contract.class_output + "\" is not the name of an output");
  if (classes && !named) return bad("class_output: expected the name of an output");
  return contract;
}

Result<Measured> parse_measured(const Json& object) {
  Measured measured;
  TRY(measured.hardware_class, string_at(object, "hardware_class", text_bytes_max));
  TRY(measured.latency_p50_us, optional_integer(object, "latency_p50_us", microseconds_max));
  TRY(measured.latency_p99_us, optional_integer(object, "latency_p99_us", microseconds_max));
  TRY(measured.memory_peak_bytes, optional_integer(object, "memory_peak_bytes", counter_max));
  TRY(measured.accuracy_ppm, optional_integer(object, "accuracy_ppm", ppm_max));
  TRY(measured.samples, optional_integer(object, "samples", counter_max));
  return measured;
}

Result<Needs> parse_needs(const Json& object) {
  Needs needs;
  if (object.contains("architectures")) {
    TRY(needs.architectures, strings_at(object, "architectures", architectures_max));
  }
  TRY(needs.memory_mib_min, integer_or(object, "memory_mib_min", 0, 0, memory_mib_max));
  return needs;
}

Result<Budget> parse_budget(const Json& object) {
  Budget budget;
  TRY(budget.latency_p99_us, optional_integer(object, "latency_p99_us", microseconds_max));
  TRY(budget.memory_mib, optional_integer(object, "memory_mib", memory_mib_max));
  if (budget.memory_mib == 0) return bad("memory_mib: expected at least 1");
  return budget;
}

Result<Variant> parse_variant(const Json& object) {
  Variant variant;
  TRY(variant.name, string_at(object, "name", 256));
  auto named = check_variant_name(variant.name);
  if (!named) return std::move(named).error().within("name");
  TRY(variant.precision, string_at(object, "precision", 32));
  TRY(variant.opset, integer_or(object, "opset", 0, 0, opset_max));
  TRY(variant.file, inside(object, "file", parse_blob));
  if (object.contains("golden") && !object["golden"].is_null()) {
    TRY(variant.golden, inside(object, "golden", parse_blob));
  }
  TRY(variant.golden_tolerance, number_at(object, "golden_tolerance", 0.0, 1e9));
  if (object.contains("needs")) {
    TRY(variant.needs, inside(object, "needs", parse_needs));
  }
  if (object.contains("budget")) {
    TRY(variant.budget, inside(object, "budget", parse_budget));
  }
  if (object.contains("measured")) {
    TRY(variant.measured, each<Measured>(object, "measured", measurements_max, parse_measured));
  }
  return variant;
}

Result<Manifest> manifest_of(std::string_view bytes) {
  JsonLimits limits{.bytes_max = manifest_bytes_max, .depth_max = manifest_depth_max};
  TRY(auto json, parse_json(bytes, limits));
  if (!json.is_object()) return bad("expected an object");
  TRY(auto format, string_at(json, "format", 64));
  if (format != "ferry.manifest/1")
    return Error{Errc::unsupported, "format: found \"" + format + "\", this program reads ferry.manifest/1"};
  Manifest manifest;
  TRY(manifest.model, string_at(json, "model", 256));
  if (auto named = check_model_name(manifest.model); !named) return std::move(named).error().within("model");
  TRY(manifest.version, string_at(json, "version", 256));
  if (auto valid = check_version(manifest.version); !valid) return std::move(valid).error().within("version");
  TRY(manifest.counter, integer_at(json, "counter", 1, counter_max));
  TRY(auto created, string_at(json, "created", 64));
  auto instant = from_rfc3339(created);
  if (!instant) return std::move(instant).error().within("created");
  manifest.created = *instant;
  TRY(manifest.description, string_or(json, "description", "", description_bytes_max));
  TRY(manifest.contract, inside(json, "contract", parse_contract));
  TRY(manifest.variants, each<Variant>(json, "variants", variants_max, parse_variant));
  if (manifest.variants.empty()) return bad("variants: expected at least one");
  TRY_VOID(distinct_names(manifest.variants, "variants"));
  if (json.contains("reference_profile") && !json["reference_profile"].is_null()) {
    TRY(manifest.reference_profile, inside(json, "reference_profile", parse_blob));
  }
  TRY(manifest.draft, bool_or(json, "draft", false));
  return manifest;
}

Json print_blob(const BlobRef& blob) {
  Json json = Json::object();
  json["name"] = blob.name;
  json["sha256"] = blob.sha256.hex();
  json["length"] = blob.length_bytes;
  return json;
}

Json print_tensors(const std::vector<TensorSpec>& tensors) {
  Json array = Json::array();
  for (const auto& tensor : tensors) {
    Json json = Json::object();
    json["name"] = tensor.name;
    json["datatype"] = tensor.datatype;
    json["shape"] = tensor.shape;
    array.push_back(std::move(json));
  }
  return array;
}

void put(Json& object, const char* key, const std::optional<std::int64_t>& value) {
  if (value) object[key] = *value;
}

Json print_variant(const Variant& variant) {
  Json json = Json::object();
  json["name"] = variant.name;
  json["precision"] = variant.precision;
  if (variant.opset != 0) json["opset"] = variant.opset;
  json["file"] = print_blob(variant.file);
  if (variant.golden) json["golden"] = print_blob(*variant.golden);
  json["golden_tolerance"] = variant.golden_tolerance;
  Json needs = Json::object();
  if (!variant.needs.architectures.empty()) needs["architectures"] = variant.needs.architectures;
  if (variant.needs.memory_mib_min != 0) needs["memory_mib_min"] = variant.needs.memory_mib_min;
  if (!needs.empty()) json["needs"] = std::move(needs);
  Json budget = Json::object();
  put(budget, "latency_p99_us", variant.budget.latency_p99_us);
  put(budget, "memory_mib", variant.budget.memory_mib);
  if (!budget.empty()) json["budget"] = std::move(budget);
  for (const auto& measured : variant.measured) {
    Json entry = Json::object();
    entry["hardware_class"] = measured.hardware_class;
    put(entry, "latency_p50_us", measured.latency_p50_us);
    put(entry, "latency_p99_us", measured.latency_p99_us);
    put(entry, "memory_peak_bytes", measured.memory_peak_bytes);
    put(entry, "accuracy_ppm", measured.accuracy_ppm);
    put(entry, "samples", measured.samples);
    json["measured"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view bytes) {
  if (bytes.size() > manifest_bytes_max)
    return bad("manifest: " + std::to_string(bytes.size()) + " bytes, at most " + std::to_string(manifest_bytes_max));
  auto manifest = manifest_of(bytes);
  if (!manifest) return std::move(manifest).error().within("manifest");
  return manifest;
}

std::string print_manifest(const Manifest& manifest) {
  Json json = Json::object();
  json["format"] = "ferry.manifest/1";
  json["model"] = manifest.model;
  json["version"] = manifest.version;
  json["counter"] = manifest.counter;
  json["created"] = to_rfc3339(manifest.created);
  json["description"] = manifest.description;
  if (manifest.draft) json["draft"] = true;
  Json& contract = json["contract"];
  contract["task"] = manifest.contract.task;
  if (!manifest.contract.labels.empty()) contract["labels"] = manifest.contract.labels;
  if (!manifest.contract.class_output.empty()) contract["class_output"] = manifest.contract.class_output;
  contract["inputs"] = print_tensors(manifest.contract.inputs);
  contract["outputs"] = print_tensors(manifest.contract.outputs);
  json["variants"] = Json::array();
  for (const auto& variant : manifest.variants) json["variants"].push_back(print_variant(variant));
  if (manifest.reference_profile) json["reference_profile"] = print_blob(*manifest.reference_profile);
  return dump_json_pretty(json);
}

Result<> require_frozen(const Manifest& manifest) {
  if (manifest.draft) return bad("manifest: draft: it has not passed a gate; run ferry gate run");
  for (const auto& variant : manifest.variants)
    if (!variant.golden) return bad("manifest: variant " + variant.name + ": golden: missing; run ferry gate run");
  if (!manifest.reference_profile) return bad("manifest: reference_profile: missing; run ferry gate run");
  return {};
}

const Variant* Manifest::variant(std::string_view wanted) const {
  for (const auto& candidate : variants)
    if (candidate.name == wanted) return &candidate;
  return nullptr;
}

std::vector<BlobRef> Manifest::blobs() const {
  std::vector<BlobRef> found;
  auto add = [&](const BlobRef& blob) {
    bool known = std::any_of(found.begin(), found.end(), [&](const BlobRef& b) { return b.sha256 == blob.sha256; });
    if (!known) found.push_back(blob);
  };
  for (const auto& variant : variants) {
    add(variant.file);
    if (variant.golden) add(*variant.golden);
  }
  if (reference_profile) add(*reference_profile);
  return found;
}

}  // namespace ferry::ota
