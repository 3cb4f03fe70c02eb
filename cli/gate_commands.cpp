// `ferry gate`: run the CI gate over a bundle, show and check its report (docs/formats/gate.md).
#include "cli/bundle_folder.hpp"
#include "cli/cli.hpp"
#include "cli/output.hpp"

#include "ci_gates/gate.hpp"
#include "ci_gates/render.hpp"
#include "common/file.hpp"
#include "ota/attestation.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr std::size_t key_bytes_max = 64 * 1024;

struct RunOptions {
  std::string folder, policy, key, report, junit, baseline, runtime_library, commit, url;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

Result<ci_gates::Baseline> read_baseline(const std::string& folder) {
  auto bundle = open_bundle(folder);
  if (!bundle) return std::move(bundle).error().within("--baseline");
  return ci_gates::Baseline{std::move(bundle->manifest), bundle->digest(), bundle->folder};
}

void print_measurements(Session& session, const Json& measurements) {
  print_table(session.out(), measurements, {{"CHECK", "id"}, {"VERDICT", "verdict"}, {"DETAIL", "detail"}});
}

int exit_of(ci_gates::Verdict verdict) {
  return verdict == ci_gates::Verdict::pass   ? exit_ok
         : verdict == ci_gates::Verdict::hold ? exit_gate_hold
                                              : exit_gate_failed;
}

// Other steps of the same job write into this file too; past its limit GitHub would drop all of it.
Result<> append_summary(const std::string& file, const ci_gates::GateOutcome& outcome) {
  std::error_code absent;
  const std::uintmax_t taken = std::filesystem::file_size(file, absent);
  const std::size_t room =
      ci_gates::summary_bytes_max - std::min<std::size_t>(ci_gates::summary_bytes_max, absent ? 0 : std::size_t(taken));
  std::ofstream summary(file, std::ios::app | std::ios::binary);
  summary << ci_gates::markdown(outcome, room) << std::flush;
  if (!summary) return Error{Errc::io, "GITHUB_STEP_SUMMARY " + file + ": cannot be written"};
  return {};
}

// The signed report into the bundle, beside those of other hardware classes; then the forms that CI systems read.
Result<> write_reports(Session& session, const RunOptions& options, const ci_gates::GateOutcome& outcome,
                       const std::string& attestations) {
  const Path file = Path(options.folder) / "attestations.intoto.jsonl";
  auto existing = read_file(file, ota::attestations_bytes_max);
  if (!existing && existing.error().code != Errc::not_found) return std::move(existing).error();
  TRY(const std::string merged,
      ci_gates::merge_attestations(existing ? *existing : std::string(), attestations, sha256(outcome.manifest_bytes)));
  TRY_VOID(write_file_atomic(file, merged));
  if (!options.report.empty()) TRY_VOID(write_file_atomic(options.report, dump_json_pretty(outcome.report)));
  if (!options.junit.empty()) TRY_VOID(write_file_atomic(options.junit, ci_gates::junit(outcome)));
  if (const std::string summary = environment("GITHUB_STEP_SUMMARY"); !summary.empty())
    TRY_VOID(append_summary(summary, outcome));
  // The runner reads both streams; stdout is data.
  if (environment("GITHUB_ACTIONS") == "true") session.err() << ci_gates::workflow_commands(outcome) << std::flush;
  return {};
}

Result<int> run_gate_command(Session& session, const RunOptions& options) {
  ci_gates::GateInput input;
  input.bundle = options.folder;
  input.policy_name = Path(options.policy).filename().string();
  TRY(input.policy, ci_gates::read_gate_policy(options.policy));
  TRY(const PrivateKey key, PrivateKey::load(options.key));
  input.runtime_library =
      options.runtime_library.empty() ? environment("FERRY_RUNTIME_LIBRARY") : options.runtime_library;
  if (input.runtime_library.empty()) {
    return Error{Errc::bad_input,
                 "no runtime: give --runtime-library /path/libonnxruntime.so or set FERRY_RUNTIME_LIBRARY"};
  }
  input.hardware = ci_gates::this_machine();
  if (!options.baseline.empty()) {
    TRY(input.baseline, read_baseline(options.baseline));
  }
  input.invocation = {options.commit.empty() ? environment("GITHUB_SHA") : options.commit, options.url};

  TRY(const ci_gates::GateOutcome outcome,
      ci_gates::run_gate(input, session.clock(), [&](const std::string& line) { session.say(line); }));
  TRY(const std::string attestations, ci_gates::attest(outcome, input, key));
  TRY_VOID(write_reports(session, options, outcome, attestations));
  if (session.json()) {
    session.out() << dump_json(outcome.report) << '\n';
  } else {
    print_measurements(session, outcome.report["measurements"]);
  }
  for (const std::string& note : outcome.notes) session.say("note: " + ci_gates::plain_text(note));
  const std::string next = outcome.verdict == ci_gates::Verdict::pass
                               ? "; next: ferry release publish " + options.folder + " --key …"
                               : std::string();
  session.say(fmt::format("gate of {}@{}: {}{}", outcome.manifest.model, outcome.manifest.version,
                          ci_gates::to_string(outcome.verdict), next));
  return exit_of(outcome.verdict);
}

// The report of a bundle, when it is signed by this key and about this manifest.
Result<int> show(Session& session, const std::string& folder, const std::string& public_key) {
  TRY(const std::string pem, read_file(public_key, key_bytes_max));
  auto parsed = PublicKey::from_pem(pem);
  if (!parsed) return std::move(parsed).error().within(public_key);
  const PublicKey key = std::move(*parsed);
  TRY(const BundleFolder bundle, open_bundle(folder));
  TRY(const std::string attestations, read_attestations(bundle));
  TRY_VOID(check_subjects(bundle, attestations));
  // Verified as a whole first: nothing is shown of a file without one good report.
  TRY(const ota::GateReportView newest, ota::read_gate_report(attestations, std::span(&key, 1)));
  if (session.json()) {
    TRY(const Json report, parse_json(newest.report_json, {.bytes_max = ota::attestations_bytes_max}));
    session.out() << dump_json(report) << '\n';
    return exit_ok;
  }
  for (const auto& one : ci_gates::attestations_by_class(attestations, bundle.digest())) {
    if (one.hardware_class.empty()) continue;  // statements of other kinds, about the same manifest
    const auto view = ota::read_gate_report(one.lines, std::span(&key, 1));
    if (!view) {
      session.say(fmt::format("{}: not shown: {}", ci_gates::plain_text(one.hardware_class), view.error().context));
      continue;
    }
    TRY(const Json report, parse_json(view->report_json, {.bytes_max = ota::attestations_bytes_max}));
    session.out() << fmt::format("{}@{}  {}  {}\n", cell(report, "model"), cell(report, "version"), view->result,
                                 cell(report, "hardware.hardware_class"));
    TRY(const Json* measurements, array_at(report, "measurements"));
    print_measurements(session, *measurements);
  }
  return exit_ok;
}

}  // namespace

void add_gate_commands(Registry& registry) {
  auto* gate = registry.app.add_subcommand("gate", "The CI gate: run it, show its report");
  gate->require_subcommand(1);

  auto options = std::make_shared<RunOptions>();
  auto* run = gate->add_subcommand(
      "run", "Measure every variant, freeze the manifest, sign the report. Exit 6: failed, 7: hold");
  run->add_option("folder", options->folder, "Bundle folder from `ferry bundle pack`")->required();
  run->add_option("--policy", options->policy, "gate.toml")->required();
  run->add_option("--key", options->key, "The gate's private key (PEM)")->required();
  run->add_option("--report", options->report, "Also write the report here as JSON");
  run->add_option("--junit", options->junit, "Also write the checks here as JUnit XML");
  run->add_option("--baseline", options->baseline, "Bundle folder of the deployed release, to compare with");
  run->add_option("--runtime-library", options->runtime_library, "libonnxruntime.so (FERRY_RUNTIME_LIBRARY)");
  run->add_option("--commit", options->commit, "Source commit, for the report");
  run->add_option("--url", options->url, "Address of this CI run, for the report");
  run->callback([&registry, options] {
    registry.chosen = [options](Session& session) { return run_gate_command(session, *options); };
  });

  auto folder = std::make_shared<std::string>();
  auto key = std::make_shared<std::string>();
  auto* look = gate->add_subcommand("show", "Show a bundle's gate report after checking its signature");
  look->add_option("folder", *folder, "Bundle folder")->required();
  look->add_option("--key", *key, "The gate's public key (gate.pub.pem)")->required();
  look->callback([&registry, folder, key] {
    registry.chosen = [folder, key](Session& session) { return show(session, *folder, *key); };
  });
}

}  // namespace ferry::cli
