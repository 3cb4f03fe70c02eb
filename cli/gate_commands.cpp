// `ferry gate`: run the CI gate over a bundle, show and check its report (docs/formats/gate.md).
#include "cli/bundle_folder.hpp"
#include "cli/cli.hpp"
#include "cli/output.hpp"

#include "ci_gates/gate.hpp"
#include "common/file.hpp"
#include "ota/attestation.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr std::size_t key_bytes_max = 64 * 1024;

struct RunOptions {
  std::string folder, policy, key, report, baseline, runtime_library, commit, url;
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

// A Markdown table for the pull request (GITHUB_STEP_SUMMARY).
std::string markdown(const ci_gates::GateOutcome& outcome) {
  std::string text =
      fmt::format("### CI gate of {}@{}: **{}**\n\n| check | verdict | detail |\n| --- | --- | --- |\n",
                  outcome.manifest.model, outcome.manifest.version, ci_gates::to_string(outcome.verdict));
  for (const auto& line : outcome.measurements) {
    std::string detail = line.detail;
    std::replace_if(
        detail.begin(), detail.end(), [](char c) { return c == '|' || c == '\n' || c == '\r'; }, ' ');
    text += fmt::format("| {} | {} | {} |\n", line.id, ci_gates::to_string(line.verdict), detail);
  }
  return text + "\n";
}

// Other steps of the same job write into this file too.
Result<> append_summary(const std::string& file, const std::string& text) {
  std::ofstream summary(file, std::ios::app | std::ios::binary);
  summary << text << std::flush;
  if (!summary) return Error{Errc::io, "GITHUB_STEP_SUMMARY " + file + ": cannot be written"};
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
  TRY_VOID(write_file_atomic(Path(options.folder) / "attestations.intoto.jsonl", attestations));
  if (!options.report.empty()) TRY_VOID(write_file_atomic(options.report, dump_json_pretty(outcome.report)));
  if (const std::string summary = environment("GITHUB_STEP_SUMMARY"); !summary.empty()) {
    TRY_VOID(append_summary(summary, markdown(outcome)));
  }
  if (session.json()) {
    session.out() << dump_json(outcome.report) << '\n';
  } else {
    print_measurements(session, outcome.report["measurements"]);
  }
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
  TRY(const ota::GateReportView view, ota::read_gate_report(attestations, std::span(&key, 1)));
  TRY(const Json report, parse_json(view.report_json, {.bytes_max = ota::attestations_bytes_max}));
  if (session.json()) {
    session.out() << dump_json(report) << '\n';
    return exit_ok;
  }
  session.out() << fmt::format("{}@{}  {}\n", cell(report, "model"), cell(report, "version"), view.result);
  TRY(const Json* measurements, array_at(report, "measurements"));
  print_measurements(session, *measurements);
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
