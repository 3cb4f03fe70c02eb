// The CI gate: every variant of a draft bundle against its budgets, then the frozen manifest and the signed report.
#pragma once
#include "ci_gates/checks.hpp"
#include "common/clock.hpp"
#include "ota/manifest.hpp"
#include "runtime/hardware_profile.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ferry::ci_gates {

constexpr std::uint64_t model_bytes_max = std::uint64_t{2} << 30;

// Reads a blob of a bundle folder (blobs/sha256/<hex>) and checks its digest and length.
Result<std::string> read_blob(const Path& bundle, const ota::BlobRef& blob);
// Adds a blob to a bundle folder and names it.
Result<ota::BlobRef> write_blob(const Path& bundle, std::string name, std::string_view bytes);

struct Baseline {
  ota::Manifest manifest;
  Digest manifest_sha256;
  Path bundle;  // its folder, with the blobs of its variants
};

struct Invocation {
  std::string commit;  // "" when unknown
  std::string url;     // of the CI run
};

runtime::HardwareProfile this_machine();  // what the gate runs on, without the two measurements

struct GateInput {
  Path bundle;  // folder with the draft manifest.json and blobs/
  GatePolicy policy;
  std::string policy_name;  // file name, for the report
  Path runtime_library;
  runtime::HardwareProfile hardware;
  std::optional<Baseline> baseline;
  Invocation invocation;
  std::chrono::seconds time_limit_per_variant{600};
};

struct GateOutcome {
  Verdict verdict = Verdict::hold;
  std::vector<Measurement> measurements;
  ota::Manifest manifest;      // frozen; still a draft when a variant could not be run at all
  std::string manifest_bytes;  // as written to manifest.json
  Json report;                 // ferry.gate-report/1
  std::string test_result;     // PASSED | WARNED | FAILED
};

using Progress = std::function<void(const std::string& line)>;

// Reads the draft (a frozen manifest is measured again: its measurements are replaced), runs, writes golden and
// reference blobs and the new manifest.json into the bundle. A model that misbehaves is a failed check, not an error;
// errors are a bundle, policy or data set that cannot be used.
Result<GateOutcome> run_gate(const GateInput& input, Clock& clock, const Progress& progress);

// The two DSSE lines of attestations.intoto.jsonl about the outcome's manifest, signed by the gate key.
Result<std::string> attest(const GateOutcome& outcome, const GateInput& input, const PrivateKey& gate_key);

}  // namespace ferry::ci_gates
