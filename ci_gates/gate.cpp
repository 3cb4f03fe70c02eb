#include "ci_gates/gate.hpp"

#include <nlohmann/json.hpp>

namespace ferry::ci_gates {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;
// What the process that runs a model needs beside the model: runtime, data set, answers.
constexpr std::uint64_t evaluation_overhead_bytes = 1024 * mib;

std::int64_t rounded_up(double value) { return std::int64_t(value) + 1; }

ota::Measured measured(const Evaluation& seen, const std::vector<Measurement>& lines,
                       const std::string& hardware_class) {
  ota::Measured result;
  result.hardware_class = hardware_class;
  std::vector<double> sorted = seen.latencies_us;
  std::sort(sorted.begin(), sorted.end());
  if (!sorted.empty()) {
    result.latency_p50_us = rounded_up(sorted[sorted.size() / 2]);
    result.latency_p99_us = rounded_up(sorted[std::min(sorted.size() - 1, sorted.size() * 99 / 100)]);
  }
  if (seen.memory_peak_bytes > 0) result.memory_peak_bytes = std::int64_t(seen.memory_peak_bytes);
  for (const Measurement& line : lines) {
    if (line.id.starts_with("accuracy.top1@") && line.n > 0) result.accuracy_ppm = std::int64_t(line.value);
  }
  if (!seen.correct.empty()) result.samples = std::int64_t(seen.correct.size());
  return result;
}

// What the variant with this name (else the first) of the deployed release weighs the candidate against.
Result<std::optional<BaselineModel>> baseline_model(const std::optional<Baseline>& baseline,
                                                    const std::string& variant) {
  if (!baseline) return std::optional<BaselineModel>{};
  const ota::Variant* same = baseline->manifest.variant(variant);
  const ota::Variant& chosen = same ? *same : baseline->manifest.variants.front();
  TRY(std::string bytes, read_blob(baseline->bundle, chosen.file));
  return std::optional<BaselineModel>{BaselineModel{std::move(bytes)}};
}

struct VariantRun {
  std::vector<Measurement> lines;
  std::optional<Evaluation> evaluation;  // absent when the model could not be run
};

Result<VariantRun> run_variant(const GateInput& input, const ota::Manifest& manifest, const ota::Variant& variant,
                               const Dataset& dataset, const std::string& scope) {
  TRY(const std::string model, read_blob(input.bundle, variant.file));
  TRY(const auto deployed, baseline_model(input.baseline, variant.name));
  const EvaluationPlan plan{.latency_samples = input.policy.latency_samples,
                            .golden_samples = input.policy.golden_samples};
  const std::uint64_t memory_max =
      std::uint64_t(variant.budget.memory_mib_or_default()) * mib * (deployed ? 2 : 1) + evaluation_overhead_bytes;
  auto seen = evaluate_in_child(input.runtime_library, model, deployed ? &*deployed : nullptr, manifest, dataset, plan,
                                memory_max, input.time_limit_per_variant);
  VariantRun run;
  if (!seen) {
    // What the model did is a verdict; what this machine lacks is an error.
    if (seen.error().reason.empty() && seen.error().code != Errc::bad_input) return std::move(seen).error();
    Error error = std::move(seen).error();
    if (error.reason == "trial.memory")
      error = std::move(error).within("out of memory, budget.memory_mib is " +
                                      std::to_string(variant.budget.memory_mib_or_default()));
    run.lines.push_back(check_not_run(error, scope));
    return run;
  }
  run.lines = check_variant(*seen, input.policy, variant.budget, scope);
  run.evaluation = std::move(*seen);
  return run;
}

Result<> freeze_variant(const GateInput& input, ota::Manifest& manifest, ota::Variant& variant, const VariantRun& run,
                        const std::string& hardware_class) {
  const Evaluation& seen = *run.evaluation;
  variant.opset = seen.opset;
  std::erase_if(variant.measured, [&](const ota::Measured& old) { return old.hardware_class == hardware_class; });
  variant.measured.push_back(measured(seen, run.lines, hardware_class));
  if (!seen.golden.empty()) {
    TRY(const std::string golden, runtime::format_golden(seen.golden));
    TRY(variant.golden, write_blob(input.bundle, "golden.bin", golden));
  }
  if (!manifest.reference_profile && seen.reference.samples > 0) {
    TRY(manifest.reference_profile,
        write_blob(input.bundle, "reference.json", telemetry::print_reference_profile(seen.reference)));
  }
  return {};
}

Json report_of(const GateInput& input, const GateOutcome& outcome, const Dataset& dataset,
               const std::optional<Evaluation>& any, Instant started, Instant finished) {
  Json report;
  report["format"] = "ferry.gate-report/1";
  report["model"] = outcome.manifest.model;
  report["version"] = outcome.manifest.version;
  report["verdict"] = to_string(outcome.verdict);
  report["startedOn"] = to_rfc3339(started);
  report["finishedOn"] = to_rfc3339(finished);
  const runtime::RuntimeInfo info{any ? any->runtime_name : "", any ? any->runtime_version : ""};
  report["hardware"] = runtime::to_json(input.hardware, "", info);
  report["runtime"] = {{"name", info.name}, {"version", info.version}, {"threads", 1}};
  report["dataset"] = {{"name", dataset.name()}, {"sha256", dataset.digest().hex()}, {"samples", dataset.size()}};
  report["policy"] = {{"name", input.policy_name}, {"sha256", input.policy.digest.hex()}};
  report["baseline"] = nullptr;
  if (input.baseline) {
    report["baseline"] = {{"version", input.baseline->manifest.version},
                          {"sha256", input.baseline->manifest_sha256.hex()}};
  }
  report["measurements"] = Json::array();
  for (const Measurement& line : outcome.measurements) report["measurements"].push_back(to_json(line));
  report["invocation"] = {{"commit", input.invocation.commit}, {"url", input.invocation.url}};
  return report;
}

Result<ota::Manifest> read_draft(const Path& bundle) {
  TRY(const std::string bytes, read_file(bundle / "manifest.json", ota::manifest_bytes_max));
  auto manifest = ota::parse_manifest(bytes);
  if (!manifest) return std::move(manifest).error().within((bundle / "manifest.json").string());
  manifest->reference_profile.reset();
  for (ota::Variant& variant : manifest->variants) variant.golden.reset();
  manifest->draft = true;
  return manifest;
}

}  // namespace

runtime::HardwareProfile this_machine() { return runtime::read_hardware_profile(); }

Result<std::string> read_blob(const Path& bundle, const ota::BlobRef& blob) {
  const Path path = bundle / "blobs" / "sha256" / blob.sha256.hex();
  TRY(std::string bytes, read_file(path, model_bytes_max));
  if (bytes.size() != blob.length_bytes || sha256(bytes) != blob.sha256) {
    return Error{Errc::bad_signature, path.string() + ": contents do not match the manifest's digest of " + blob.name};
  }
  return bytes;
}

Result<ota::BlobRef> write_blob(const Path& bundle, std::string name, std::string_view bytes) {
  const ota::BlobRef blob{std::move(name), sha256(bytes), bytes.size()};
  TRY_VOID(make_directories(bundle / "blobs" / "sha256"));
  TRY_VOID(write_file_atomic(bundle / "blobs" / "sha256" / blob.sha256.hex(), bytes));
  return blob;
}

Result<GateOutcome> run_gate(const GateInput& input, Clock& clock, const Progress& progress) {
  const Instant started = clock.now();
  GateOutcome outcome;
  TRY(outcome.manifest, read_draft(input.bundle));
  ota::Manifest& manifest = outcome.manifest;
  if (input.baseline && input.baseline->manifest.model != manifest.model) {
    return Error{Errc::bad_input, "baseline " + input.baseline->bundle.string() + " is a release of " +
                                      input.baseline->manifest.model + ", the bundle of " + manifest.model +
                                      ": give the deployed release of the same model"};
  }
  TRY(const Dataset dataset, Dataset::load(input.policy.dataset));
  const std::string hardware_class = input.hardware.hardware_class();

  std::optional<Evaluation> any;
  for (ota::Variant& variant : manifest.variants) {
    progress("running " + variant.name + " over " + std::to_string(dataset.size()) + " samples");
    TRY(VariantRun run, run_variant(input, manifest, variant, dataset, hardware_class + "/" + variant.name));
    if (run.evaluation && run.evaluation->contract_error.empty()) {
      TRY_VOID(freeze_variant(input, manifest, variant, run, hardware_class));
    }
    outcome.measurements.insert(outcome.measurements.end(), run.lines.begin(), run.lines.end());
    if (run.evaluation) any = std::move(run.evaluation);
  }
  outcome.verdict = overall(outcome.measurements);
  outcome.test_result = outcome.verdict == Verdict::pass   ? "PASSED"
                        : outcome.verdict == Verdict::hold ? "WARNED"
                                                           : "FAILED";
  // Also a failed release is frozen, so that its FAILED report is about something; a model that could not even be run
  // has no golden outputs and stays a draft.
  manifest.draft =
      !std::all_of(manifest.variants.begin(), manifest.variants.end(), [](const auto& v) { return v.golden; });
  if (!manifest.reference_profile) {
    TRY(manifest.reference_profile, write_blob(input.bundle, "reference.json", telemetry::print_reference_profile({})));
  }
  outcome.manifest_bytes = ota::print_manifest(manifest);
  outcome.report = report_of(input, outcome, dataset, any, started, clock.now());
  TRY_VOID(write_file_atomic(input.bundle / "manifest.json", outcome.manifest_bytes));
  return outcome;
}

}  // namespace ferry::ci_gates
