// The manifest: the signed description of a bundle (docs/formats/bundle.md), and the choice of a variant for a device.
#pragma once
#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/result.hpp"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::ota {

constexpr std::size_t manifest_bytes_max = 256 * 1024;
constexpr std::size_t variants_max = 32;
constexpr std::size_t tensors_max = 64;  // inputs, and outputs
constexpr std::size_t labels_max = 10'000;
constexpr std::size_t dimensions_max = 16;
constexpr std::size_t measurements_max = 256;  // per variant
constexpr std::size_t architectures_max = 16;
constexpr std::uint64_t file_bytes_max = 2ull * 1024 * 1024 * 1024;
constexpr std::int64_t counter_max = 9'007'199'254'740'992;  // 2^53
constexpr std::size_t version_bytes_max = 64;
constexpr std::size_t description_bytes_max = 4096;
constexpr std::size_t text_bytes_max = 256;        // labels, tensor names, hardware classes
constexpr std::int64_t memory_mib_default = 1024;  // worker's limit when the budget names none
constexpr std::int64_t accuracy_slack_ppm = 10'000;

// A file named by digest; its bytes are the blob `sha256/<hex>`.
struct BlobRef {
  std::string name;  // [A-Za-z0-9][A-Za-z0-9._-]{0,127}
  Digest sha256;
  std::uint64_t length_bytes = 0;
  bool operator==(const BlobRef&) const = default;
};

struct TensorSpec {
  std::string name;
  std::string datatype;             // Open Inference Protocol: FP32, INT64, …
  std::vector<std::int64_t> shape;  // -1: any
  bool operator==(const TensorSpec&) const = default;
};

struct Contract {
  std::string task;  // classification | other
  std::vector<std::string> labels;
  std::string class_output;  // names an output; empty for task other
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  bool operator==(const Contract&) const = default;
};

struct Needs {
  std::vector<std::string> architectures;  // empty: any
  std::int64_t memory_mib_min = 0;
  bool operator==(const Needs&) const = default;
};

struct Budget {
  std::optional<std::int64_t> latency_p99_us;  // absent: no limit
  std::optional<std::int64_t> memory_mib;      // absent: memory_mib_default
  std::int64_t memory_mib_or_default() const { return memory_mib.value_or(memory_mib_default); }
  bool operator==(const Budget&) const = default;
};

struct Measured {
  std::string hardware_class;
  std::optional<std::int64_t> latency_p50_us;
  std::optional<std::int64_t> latency_p99_us;
  std::optional<std::int64_t> memory_peak_bytes;
  std::optional<std::int64_t> accuracy_ppm;
  std::optional<std::int64_t> samples;
  bool operator==(const Measured&) const = default;
};

struct Variant {
  std::string name;
  std::string precision;
  std::int64_t opset = 0;  // 0: not stated
  BlobRef file;
  std::optional<BlobRef> golden;  // absent in a draft
  double golden_tolerance = 0;
  Needs needs;
  Budget budget;
  std::vector<Measured> measured;
  bool operator==(const Variant&) const = default;
};

struct Manifest {
  std::string model;
  std::string version;
  std::int64_t counter = 0;  // 1 … counter_max
  Instant created;
  std::string description;
  Contract contract;
  std::vector<Variant> variants;  // at least one, distinct names
  std::optional<BlobRef> reference_profile;
  bool draft = false;
  bool operator==(const Manifest&) const = default;

  const Variant* variant(std::string_view name) const;  // null when there is none
  std::vector<BlobRef> blobs() const;                   // every file it names, each digest once
};

// bad_input naming the field, what was found and what is expected; unsupported for another format number. Unknown
// members are ignored. Drafts parse: publish, server and device refuse them with require_frozen.
Result<Manifest> parse_manifest(std::string_view bytes);
// Pretty JSON that parses back to the same value. Its digest is the release's identity: print once, keep the bytes.
std::string print_manifest(const Manifest& manifest);
// bad_input for a draft, or when golden or reference blobs are missing.
Result<> require_frozen(const Manifest& manifest);

Result<> check_model_name(std::string_view name);    // [a-z0-9][a-z0-9-]{0,62}, and not the name of a TUF role
Result<> check_variant_name(std::string_view name);  // [a-z0-9][a-z0-9-]{0,62}
Result<> check_file_name(std::string_view name);
Result<> check_version(std::string_view version);  // semantic versioning 2.0.0 without build metadata
// Precedence of semantic versioning 2.0.0 §11. Both must satisfy check_version (others compare as bytes).
std::strong_ordering compare_versions(std::string_view a, std::string_view b);
// "<model>/<version>/manifest.json"
std::string manifest_target_path(std::string_view model, std::string_view version);

// What the choice depends on.
struct DeviceFacts {
  std::string architecture;  // "x86_64"
  std::string hardware_class;
  std::int64_t memory_mib = 0;
};

struct VariantChoice {
  std::size_t index = 0;  // into Manifest::variants
  std::string name;
  std::string reason;  // a sentence for status and events
};

// Pure. not_found with reason variant.none when no variant's needs are met; the context says why for each.
Result<VariantChoice> choose_variant(const Manifest& manifest, const DeviceFacts& facts);

}  // namespace ferry::ota
