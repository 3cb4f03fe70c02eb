#include "ci_gates/gate.hpp"

#include <nlohmann/json.hpp>

namespace ferry::ci_gates {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;
constexpr std::uint64_t reference_samples_min = 2'000;  // STATS.md §2.4: fewer, and drift is judged with care
// What the process that runs a model needs beside the model: runtime, data set, answers.
constexpr std::uint64_t evaluation_overhead_bytes = 1024 * mib;

std::int64_t rounded_up(double value) { return std::int64_t(value) + 1; }

ota::Measured measured(const Evaluation& seen, const std::vector<Measurement>& lines,
                       const std::string& hardware_class) {
  ota::Measured result;
  result.hardware_class = hardware_class;
  std::vector<double> sorted = seen.latency.latencies_us;
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
  std::vector<std::string> notes;
  std::optional<Evaluation> evaluation;  // absent when the model could not be run
};

// What all variants of one gate share.
struct Setting {
  const GateInput& input;
  const ota::Manifest& manifest;
  const Dataset& dataset;
  const std::vector<Slice>& slices;
  std::string hardware_class;
};

Result<EvaluationPlan> plan_of(const GateInput& input, const ota::Manifest& manifest, const ota::Variant& variant) {
  EvaluationPlan plan{.golden_samples = input.policy.golden_samples,
                      .cores = input.policy.latency_cores,
                      .blocks = {.samples = input.policy.latency_samples,
                                 .margin = input.policy.latency_margin,
                                 .comparison_time_max = std::chrono::seconds{input.policy.latency_seconds_max}},
                      .frozen_golden = {},
                      .golden_tolerance = variant.golden_tolerance};
  if (manifest.draft || !variant.golden) return plan;
  TRY(const std::string golden, read_blob(input.bundle, *variant.golden));
  TRY(plan.frozen_golden, runtime::parse_golden(golden));
  return plan;
}

Result<VariantRun> run_variant(const Setting& setting, const ota::Variant& variant) {
  const GateInput& input = setting.input;
  const std::string scope = setting.hardware_class + "/" + variant.name;
  TRY(const std::string model, read_blob(input.bundle, variant.file));
  TRY(const auto deployed, baseline_model(input.baseline, variant.name));
  TRY(const EvaluationPlan plan, plan_of(input, setting.manifest, variant));
  const std::uint64_t memory_max =
      std::uint64_t(variant.budget.memory_mib_or_default()) * mib * (deployed ? 2 : 1) + evaluation_overhead_bytes;
  auto seen = evaluate_in_child(input.runtime_library, model, deployed ? &*deployed : nullptr, setting.manifest,
                                setting.dataset, plan, memory_max, input.time_limit_per_variant);
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
  run.lines = check_variant(*seen, input.policy, {variant.budget, variant.golden_tolerance}, scope);
  SliceChecks sliced = check_slices(*seen, input.policy.slices, setting.slices, scope);
  run.lines.insert(run.lines.end(), sliced.lines.begin(), sliced.lines.end());
  run.notes = std::move(sliced.notes);
  run.evaluation = std::move(*seen);
  return run;
}

Result<> freeze_variant(const GateInput& input, ota::Variant& variant, const VariantRun& run, GateOutcome& outcome) {
  ota::Manifest& manifest = outcome.manifest;
  const Evaluation& seen = *run.evaluation;
  variant.opset = seen.opset;
  std::erase_if(variant.measured, [&](const auto& old) { return old.hardware_class == outcome.hardware_class; });
  variant.measured.push_back(measured(seen, run.lines, outcome.hardware_class));
  if (!seen.golden.empty()) {
    TRY(const std::string golden, runtime::format_golden(seen.golden));
    TRY(variant.golden, write_blob(input.bundle, "golden.bin", golden));
  }
  if (!manifest.reference_profile && seen.reference.samples > 0) {
    TRY(manifest.reference_profile,
        write_blob(input.bundle, "reference.json", telemetry::print_reference_profile(seen.reference)));
    if (seen.reference.samples < reference_samples_min)
      outcome.notes.push_back("reference profile of " + std::to_string(seen.reference.samples) + " samples: " +
                              std::to_string(reference_samples_min) + " are needed to tell drift, 10000 are better");
  }
  return {};
}

// How one variant was measured, beside the verdicts.
Json variant_json(const std::string& name, const Evaluation& seen) {
  Json json{{"name", name},
            {"model_bytes", seen.model_bytes},
            {"load_ms", seen.load_ms},
            {"latency_settled", seen.latency.settled},
            {"latency_seconds", seen.latency.seconds},
            {"inferences", seen.latency.latencies_us.size()},
            {"block_pairs", seen.latency.log2_ratios().size()}};
  if (!seen.latency.latencies_us.empty()) json["latency_p50_us"] = median(seen.latency.latencies_us);
  return json;
}

// What the report says beside the outcome.
struct Circumstances {
  Instant started, finished;
  Environment environment;
  runtime::RuntimeInfo runtime;
  Json variants = Json::array();
  bool settled = true;
};

Json report_of(const GateInput& input, const GateOutcome& outcome, const Dataset& dataset,
               const Circumstances& around) {
  Json report;
  report["format"] = "ferry.gate-report/1";
  report["model"] = outcome.manifest.model;
  report["version"] = outcome.manifest.version;
  report["verdict"] = to_string(outcome.verdict);
  report["startedOn"] = to_rfc3339(around.started);
  report["finishedOn"] = to_rfc3339(around.finished);
  report["hardware"] = runtime::to_json(input.hardware, "", around.runtime);
  report["environment"] = to_json(around.environment, around.settled);
  report["runtime"] = {{"name", around.runtime.name},
                       {"version", around.runtime.version},
                       {"threads", 1},
                       {"execution_provider", input.hardware.accelerator}};
  report["dataset"] = {{"name", dataset.name()}, {"sha256", dataset.digest().hex()}, {"samples", dataset.size()}};
  report["policy"] = {{"name", input.policy_name}, {"sha256", input.policy.digest.hex()}};
  report["baseline"] = nullptr;
  if (input.baseline) {
    report["baseline"] = {{"version", input.baseline->manifest.version},
                          {"sha256", input.baseline->manifest_sha256.hex()}};
  }
  report["measurements"] = Json::array();
  for (const Measurement& line : outcome.measurements) report["measurements"].push_back(to_json(line));
  report["notes"] = outcome.notes;
  report["variants"] = around.variants;
  report["input_order_seed"] = input_order_seed;
  report["invocation"] = {{"commit", input.invocation.commit}, {"url", input.invocation.url}};
  return report;
}

struct ManifestFile {
  ota::Manifest manifest;
  std::string bytes;
};

Result<ManifestFile> read_manifest(const Path& bundle) {
  ManifestFile file;
  TRY(file.bytes, read_file(bundle / "manifest.json", ota::manifest_bytes_max));
  auto manifest = ota::parse_manifest(file.bytes);
  if (!manifest) return std::move(manifest).error().within((bundle / "manifest.json").string());
  file.manifest = std::move(*manifest);
  if (!file.manifest.draft) return file;
  file.manifest.reference_profile.reset();
  for (ota::Variant& variant : file.manifest.variants) variant.golden.reset();
  return file;
}

// Also a failed release is frozen, so that its FAILED report is about something; a model that could not even be run has
// no golden outputs and stays a draft.
Result<std::string> freeze(const GateInput& input, ota::Manifest& manifest) {
  manifest.draft =
      !std::all_of(manifest.variants.begin(), manifest.variants.end(), [](const auto& v) { return v.golden; });
  if (!manifest.reference_profile) {
    TRY(manifest.reference_profile, write_blob(input.bundle, "reference.json", telemetry::print_reference_profile({})));
  }
  std::string bytes = ota::print_manifest(manifest);
  TRY_VOID(write_file_atomic(input.bundle / "manifest.json", bytes));
  return bytes;
}

Result<> check_baseline(const GateInput& input, const ota::Manifest& manifest) {
  if (!input.baseline || input.baseline->manifest.model == manifest.model) return {};
  return Error{Errc::bad_input, "baseline " + input.baseline->bundle.string() + " is a release of " +
                                    input.baseline->manifest.model + ", the bundle of " + manifest.model +
                                    ": give the deployed release of the same model"};
}

std::string result_of(Verdict verdict) {
  return verdict == Verdict::pass ? "PASSED" : verdict == Verdict::hold ? "WARNED" : "FAILED";
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
  Circumstances around;
  around.started = clock.now();
  around.environment = read_environment("/");
  around.environment.pinned = input.policy.latency_cores;
  TRY(ManifestFile file, read_manifest(input.bundle));
  GateOutcome outcome;
  outcome.manifest = std::move(file.manifest);
  outcome.hardware_class = input.hardware.hardware_class();
  ota::Manifest& manifest = outcome.manifest;
  const bool was_draft = manifest.draft;
  TRY_VOID(check_baseline(input, manifest));
  TRY(const Dataset dataset, Dataset::load(input.policy.dataset));
  TRY_VOID(refuse_training_data(dataset, input.policy.training_digests));
  TRY(const std::vector<Slice> slices, make_slices(input.policy.slices, dataset, manifest.contract.labels));
  const Setting setting{input, manifest, dataset, slices, outcome.hardware_class};

  for (ota::Variant& variant : manifest.variants) {
    progress("running " + variant.name + " over " + std::to_string(dataset.size()) + " samples");
    TRY(VariantRun run, run_variant(setting, variant));
    if (was_draft && run.evaluation && run.evaluation->contract_error.empty()) {
      TRY_VOID(freeze_variant(input, variant, run, outcome));
    }
    outcome.measurements.insert(outcome.measurements.end(), run.lines.begin(), run.lines.end());
    outcome.notes.insert(outcome.notes.end(), run.notes.begin(), run.notes.end());
    if (!run.evaluation) continue;
    around.runtime = {run.evaluation->runtime_name, run.evaluation->runtime_version};
    around.settled = around.settled && run.evaluation->latency.settled;
    around.variants.push_back(variant_json(variant.name, *run.evaluation));
  }
  outcome.verdict = overall(outcome.measurements);
  outcome.test_result = result_of(outcome.verdict);
  around.finished = clock.now();
  around.environment.load_after = read_load_average("/");
  for (const std::string& why : noise(around.environment, around.settled))
    outcome.notes.push_back("this machine was noisy: " + why);
  outcome.manifest_bytes = std::move(file.bytes);
  if (was_draft) {
    TRY(outcome.manifest_bytes, freeze(input, manifest));
  }
  outcome.report = report_of(input, outcome, dataset, around);
  return outcome;
}

}  // namespace ferry::ci_gates
