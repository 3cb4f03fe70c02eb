// Rules over manifests: names, versions, and which variant a device takes.
#include "ota/manifest.hpp"
#include "ota/metadata.hpp"

#include <algorithm>

namespace ferry::ota {
namespace {

constexpr std::size_t name_bytes_max = 63;
constexpr std::size_t file_name_bytes_max = 128;

bool lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool alphanumeric(char c) { return lower_or_digit(c) || (c >= 'A' && c <= 'Z'); }

Result<> check_slug(std::string_view name, std::string_view what) {
  bool fits = !name.empty() && name.size() <= name_bytes_max && lower_or_digit(name.front()) &&
              std::all_of(name.begin(), name.end(), [](char c) { return lower_or_digit(c) || c == '-'; });
  if (fits) return {};
  return Error{Errc::bad_input, "found \"" + std::string(name.substr(0, 80)) + "\", expected a " + std::string(what) +
                                    " name: 1 to 63 of a-z, 0-9 and -, the first not -"};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t start = 0; start <= text.size();) {
    auto end = std::min(text.find(separator, start), text.size());
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

bool numeric(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), digit); }
bool without_leading_zero(std::string_view text) { return numeric(text) && (text.size() == 1 || text[0] != '0'); }

std::strong_ordering compare_numbers(std::string_view a, std::string_view b) {  // any length: no overflow
  if (a.size() != b.size()) return a.size() <=> b.size();
  return a.compare(b) <=> 0;
}

std::strong_ordering compare_identifiers(std::string_view a, std::string_view b) {
  bool a_numeric = numeric(a), b_numeric = numeric(b);
  if (a_numeric && b_numeric) return compare_numbers(a, b);
  if (a_numeric != b_numeric) return a_numeric ? std::strong_ordering::less : std::strong_ordering::greater;
  return a.compare(b) <=> 0;
}

// What is known of one eligible variant on this device.
struct Candidate {
  std::size_t index = 0;
  std::optional<std::int64_t> p99_us;        // measured for the device's class
  std::optional<std::int64_t> accuracy_ppm;  // for the class, else for any class: it hardly depends on hardware
};

Candidate candidate_of(const Manifest& manifest, std::size_t index, const DeviceFacts& facts) {
  Candidate candidate{index, std::nullopt, std::nullopt};
  for (const auto& measured : manifest.variants[index].measured) {
    bool ours = measured.hardware_class == facts.hardware_class;
    if (ours && measured.latency_p99_us) candidate.p99_us = measured.latency_p99_us;
    if (measured.accuracy_ppm && (ours || !candidate.accuracy_ppm)) candidate.accuracy_ppm = measured.accuracy_ppm;
  }
  return candidate;
}

std::string unmet_need(const Variant& variant, const DeviceFacts& facts) {
  const auto& architectures = variant.needs.architectures;
  if (!architectures.empty() &&
      std::find(architectures.begin(), architectures.end(), facts.architecture) == architectures.end()) {
    std::string wanted;
    for (const auto& name : architectures) wanted += (wanted.empty() ? "" : " or ") + name;
    return variant.name + " needs " + wanted + ", this device is " + facts.architecture;
  }
  if (variant.needs.memory_mib_min > facts.memory_mib)
    return variant.name + " needs " + std::to_string(variant.needs.memory_mib_min) + " MiB, this device has " +
           std::to_string(facts.memory_mib);
  return {};
}

std::string percent(std::int64_t ppm) {
  auto hundredths = ppm / 100;
  auto rest = std::to_string(hundredths % 100);
  return std::to_string(hundredths / 100) + "." + (rest.size() < 2 ? "0" + rest : rest) + " %";
}

}  // namespace

Result<> check_model_name(std::string_view name) {
  TRY_VOID(check_slug(name, "model"));
  // A model's TUF role has its name, and its metadata is the file <name>.json on devices.
  if (is_top_level_role(name) || name == "pinned-root")
    return Error{Errc::bad_input, "found \"" + std::string(name) + "\", which is reserved; choose another name"};
  return {};
}

Result<> check_variant_name(std::string_view name) { return check_slug(name, "variant"); }

Result<> check_file_name(std::string_view name) {
  bool fits =
      !name.empty() && name.size() <= file_name_bytes_max && alphanumeric(name.front()) &&
      std::all_of(name.begin(), name.end(), [](char c) { return alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
  if (fits) return {};
  return Error{Errc::bad_input,
               "found \"" + std::string(name.substr(0, 80)) +
                   "\", expected a file name: 1 to 128 of A-Z a-z 0-9 . _ -, the first a letter or digit"};
}

Result<> check_version(std::string_view version) {
  auto refuse = [&] {
    return Error{Errc::bad_input,
                 "found \"" + std::string(version.substr(0, 80)) +
                     "\", expected a semantic version such as 1.2.0 or 1.2.0-rc.1, at most 64 characters"};
  };
  if (version.size() > version_bytes_max) return refuse();
  auto dash = version.find('-');
  auto core = split(version.substr(0, dash), '.');
  if (core.size() != 3 || !std::all_of(core.begin(), core.end(), without_leading_zero)) return refuse();
  if (dash == std::string_view::npos) return {};
  for (auto identifier : split(version.substr(dash + 1), '.')) {
    bool fits = !identifier.empty() &&
                std::all_of(identifier.begin(), identifier.end(), [](char c) { return alphanumeric(c) || c == '-'; });
    if (!fits || (numeric(identifier) && !without_leading_zero(identifier))) return refuse();
  }
  return {};
}

std::strong_ordering compare_versions(std::string_view a, std::string_view b) {
  if (!check_version(a) || !check_version(b)) return a.compare(b) <=> 0;
  auto a_dash = a.find('-'), b_dash = b.find('-');
  auto a_core = split(a.substr(0, a_dash), '.'), b_core = split(b.substr(0, b_dash), '.');
  for (std::size_t i = 0; i < 3; ++i)
    if (auto order = compare_numbers(a_core[i], b_core[i]); order != 0) return order;
  bool a_final = a_dash == std::string_view::npos, b_final = b_dash == std::string_view::npos;
  if (a_final || b_final) return a_final <=> b_final;  // a pre-release comes before its release
  auto a_parts = split(a.substr(a_dash + 1), '.'), b_parts = split(b.substr(b_dash + 1), '.');
  for (std::size_t i = 0; i < std::min(a_parts.size(), b_parts.size()); ++i)
    if (auto order = compare_identifiers(a_parts[i], b_parts[i]); order != 0) return order;
  return a_parts.size() <=> b_parts.size();
}

std::string manifest_target_path(std::string_view model, std::string_view version) {
  return std::string(model) + "/" + std::string(version) + "/manifest.json";
}

Result<VariantChoice> choose_variant(const Manifest& manifest, const DeviceFacts& facts) {
  std::vector<Candidate> eligible;
  std::string unmet;
  for (std::size_t i = 0; i < manifest.variants.size(); ++i) {
    auto why = unmet_need(manifest.variants[i], facts);
    if (why.empty())
      eligible.push_back(candidate_of(manifest, i, facts));
    else
      unmet += (unmet.empty() ? "" : "; ") + why;
  }
  if (eligible.empty())
    return Error{Errc::not_found, manifest.model + " " + manifest.version + ": no variant fits this device: " + unmet,
                 "variant.none"};
  std::int64_t best_accuracy = -1;
  for (const auto& candidate : eligible) best_accuracy = std::max(best_accuracy, candidate.accuracy_ppm.value_or(-1));
  std::string left_out;
  std::vector<Candidate> accurate;
  for (const auto& candidate : eligible) {
    if (candidate.accuracy_ppm && *candidate.accuracy_ppm < best_accuracy - accuracy_slack_ppm)
      left_out += "; " + manifest.variants[candidate.index].name + " left out: its accuracy " +
                  percent(*candidate.accuracy_ppm) + " is more than a point below " + percent(best_accuracy);
    else
      accurate.push_back(candidate);
  }
  // Measured here before unmeasured; then fastest; then smallest; then in the manifest's order.
  auto better = [&](const Candidate& a, const Candidate& b) {
    if (a.p99_us.has_value() != b.p99_us.has_value()) return a.p99_us.has_value();
    if (a.p99_us && *a.p99_us != *b.p99_us) return *a.p99_us < *b.p99_us;
    return manifest.variants[a.index].file.length_bytes < manifest.variants[b.index].file.length_bytes;
  };
  const auto& best = *std::min_element(accurate.begin(), accurate.end(), better);
  const auto& variant = manifest.variants[best.index];
  VariantChoice choice{best.index, variant.name, {}};
  auto among = std::to_string(eligible.size()) + (eligible.size() == 1 ? " variant that fits" : " variants that fit");
  choice.reason = best.p99_us ? variant.name + ": lowest expected p99 (" + std::to_string(*best.p99_us) + " us on " +
                                    facts.hardware_class + ") of " + among
                              : variant.name + ": smallest file (" + std::to_string(variant.file.length_bytes) +
                                    " bytes) of " + among + ", none measured on " + facts.hardware_class;
  choice.reason += left_out;
  if (!unmet.empty()) choice.reason += "; " + unmet;
  return choice;
}

}  // namespace ferry::ota
