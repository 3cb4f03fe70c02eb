// The CI gate: every variant of a draft bundle against its budgets, then the frozen manifest and the signed report.
#pragma once
#include "ci_gates/checks.hpp"
#include "ci_gates/environment.hpp"
#include "ci_gates/slices.hpp"
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
  std::string hardware_class;
  std::vector<Measurement> measurements;
  std::vector<std::string> notes;  // what a person should know and no verdict says
  ota::Manifest manifest;          // frozen; still a draft when a variant could not be run at all
  std::string manifest_bytes;      // as manifest.json now is
  Json report;                     // ferry.gate-report/1
  std::string test_result;         // PASSED | WARNED | FAILED
};

using Progress = std::function<void(const std::string& line)>;

// Reads the manifest and runs every variant. A draft is frozen: golden and reference blobs and the new manifest.json
// are written into the bundle. A frozen manifest is never changed, so that reports of several hardware classes, or a
// newer one of the same, are about the same bytes; its golden outputs must come out on this machine too. A model that
// misbehaves is a failed check, not an error; errors are a bundle, policy or data set that cannot be used.
Result<GateOutcome> run_gate(const GateInput& input, Clock& clock, const Progress& progress);

// The two DSSE lines of attestations.intoto.jsonl about the outcome's manifest, signed by the gate key.
Result<std::string> attest(const GateOutcome& outcome, const GateInput& input, const PrivateKey& gate_key);

// One hardware class's lines of an attestations file.
struct ClassAttestations {
  std::string hardware_class;  // empty: statements of other kinds
  std::string lines;
};
// The lines about this manifest, by hardware class in order of appearance; those about other bytes, and what is no
// statement, left out. Signatures are not looked at.
std::vector<ClassAttestations> attestations_by_class(std::string_view attestations, const Digest& manifest);
// The file with `fresh` lines: they replace those of the same class about the same manifest, other classes' stay, lines
// about other manifests go. bad_input when the file would be larger than a verifier reads.
Result<std::string> merge_attestations(std::string_view existing, const std::string& fresh, const Digest& manifest);

}  // namespace ferry::ci_gates
