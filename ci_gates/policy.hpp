// The CI gate's policy: gate.toml as values (docs/formats/gate.md).
#pragma once
#include "common/config.hpp"
#include "common/crypto.hpp"

#include <cstdint>
#include <string>

namespace ferry::ci_gates {

struct DatasetSpec {
  std::string name;
  Path images;                       // IDX3, gzip or plain; relative to the policy file
  Path labels;                       // IDX1
  double scale = 1.0, offset = 0.0;  // input = pixel * scale + offset
  std::uint64_t limit = 10'000;      // samples, from the first
};

struct GatePolicy {
  DatasetSpec dataset;
  std::int64_t top1_ppm_min = 0;
  std::int64_t accuracy_margin_ppm = 10'000;  // non-inferiority against the baseline
  std::int64_t latency_p99_us_max = 0;        // 0: no absolute limit; the variant's own budget still holds
  std::uint64_t latency_samples = 1'000;
  double latency_margin = 0.10;          // p50 against the baseline
  std::int64_t memory_peak_mib_max = 0;  // 0: no limit of the policy's own
  std::uint64_t golden_samples = 16;
  Digest digest;  // of the policy file's bytes, for the report
};

// Errors name file, field, what was expected. Unknown fields are refused: a typing error must not loosen a gate.
Result<GatePolicy> parse_gate_policy(std::string_view text, const Path& file);
Result<GatePolicy> read_gate_policy(const Path& file);

}  // namespace ferry::ci_gates
