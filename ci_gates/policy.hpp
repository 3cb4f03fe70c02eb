// The CI gate's policy: gate.toml as values (docs/formats/gate.md).
#pragma once
#include "common/config.hpp"
#include "common/crypto.hpp"

#include "ci_gates/comparison.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ferry::ci_gates {

constexpr std::size_t slices_max = 64;  // of one kind: labels, or names
constexpr std::size_t slice_name_bytes_max = 64;
constexpr std::size_t training_digests_max = 1024;
constexpr std::size_t pinned_cores_max = 64;

struct DatasetSpec {
  std::string name;
  Path images;                       // IDX3, gzip or plain; relative to the policy file
  Path labels;                       // IDX1
  double scale = 1.0, offset = 0.0;  // input = pixel * scale + offset
  std::uint64_t limit = 10'000;      // samples, from the first
  Path slices;                       // IDX1, the number of each sample's slice; empty: none
};

// Parts of the data set that are judged on their own, so that the mean hides no harm.
struct SlicePolicy {
  bool by_label = false;           // one slice per class: label-0, label-1, …
  std::vector<std::string> names;  // of the numbers in the data set's slice file
  std::int64_t top1_ppm_min = 0;   // 0: no absolute limit
  std::int64_t margin_ppm = 30'000;
  std::vector<std::string> required;  // slices without which nothing passes
};

struct GatePolicy {
  DatasetSpec dataset;
  std::vector<Digest> training_digests;  // a data set with one of these has been seen in training
  std::int64_t top1_ppm_min = 0;
  std::int64_t accuracy_margin_ppm = 10'000;  // non-inferiority against the baseline
  SlicePolicy slices;
  std::int64_t latency_p99_us_max = 0;  // 0: no absolute limit; the variant's own budget still holds
  std::uint64_t latency_samples = 1'000;
  double latency_margin = latency_margin_default;  // p50 against the baseline
  std::int64_t latency_seconds_max = 60;           // comparing, per variant
  std::vector<int> latency_cores;                  // the process is pinned to these; empty: to none
  std::int64_t memory_peak_mib_max = 0;            // 0: no limit of the policy's own
  std::int64_t load_ms_max = 0;                    // 0: no limit
  std::int64_t size_kib_max = 0;                   // 0: no limit
  std::uint64_t golden_samples = 16;
  Digest digest;  // of the policy file's bytes, for the report
};

// Errors name file, field, what was expected. Unknown fields are refused: a typing error must not loosen a gate.
Result<GatePolicy> parse_gate_policy(std::string_view text, const Path& file);
Result<GatePolicy> read_gate_policy(const Path& file);

}  // namespace ferry::ci_gates
