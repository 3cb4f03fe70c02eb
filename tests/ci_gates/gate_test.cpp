// The whole gate over the example's real releases in the real runtime.
#include "ci_gates/gate.hpp"

#include "runtime/golden.hpp"
#include "tests/ci_gates/workbench.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::test;
using ci_gates::Verdict;

namespace {

std::string hardware() { return ci_gates::this_machine().hardware_class(); }

}  // namespace

TEST_CASE("1.1.0 passes: the manifest is frozen with what was measured, and a device finds all it needs") {
  const TempDir folder;
  pack_example(folder.path(), "1.1.0");
  std::vector<std::string> told;
  SimClock clock;
  const auto outcome =
      ci_gates::run_gate(example_gate(folder.path()), clock, [&](const std::string& line) { told.push_back(line); });
  REQUIRE(outcome);
  for (const auto& line : outcome->measurements) INFO(line.id << ": " << line.detail);
  CHECK(outcome->verdict == Verdict::pass);
  CHECK(outcome->test_result == "PASSED");
  CHECK(outcome->measurements.size() == 12);
  CHECK(told == std::vector<std::string>{"running fp32 over 1000 samples", "running int8 over 1000 samples"});

  CHECK(read_text(folder / "manifest.json") == outcome->manifest_bytes);
  const auto manifest = ota::parse_manifest(outcome->manifest_bytes);
  REQUIRE(manifest);
  CHECK(ota::require_frozen(*manifest));
  for (const ota::BlobRef& blob : manifest->blobs()) CHECK(ci_gates::read_blob(folder.path(), blob));
  for (const ota::Variant& variant : manifest->variants) {
    CHECK(variant.opset == 17);
    REQUIRE(variant.measured.size() == 1);
    const ota::Measured& measured = variant.measured[0];
    CHECK(measured.hardware_class == hardware());
    CHECK(measured.samples == 1'000);
    CHECK(measured.accuracy_ppm.value_or(0) > 900'000);
    CHECK(measured.latency_p50_us.value_or(0) > 0);
    CHECK(measured.latency_p99_us.value_or(0) >= *measured.latency_p50_us);
    CHECK(measured.memory_peak_bytes.value_or(0) > 0);
    const auto golden = runtime::parse_golden(*ci_gates::read_blob(folder.path(), *variant.golden));
    REQUIRE(golden);
    CHECK(golden->size() == 4);
  }
  const auto reference =
      telemetry::parse_reference_profile(*ci_gates::read_blob(folder.path(), *manifest->reference_profile));
  REQUIRE(reference);
  CHECK(reference->samples == 1'000);
}

TEST_CASE("1.2.0 fails on accuracy, and the report says by how much and under which conditions") {
  const TempDir folder;
  pack_example(folder.path(), "1.2.0");
  const auto outcome = run(example_gate(folder.path()));
  REQUIRE(outcome);
  CHECK(outcome->verdict == Verdict::fail);
  CHECK(outcome->test_result == "FAILED");
  const auto* accuracy = find(outcome->measurements, "accuracy.top1@" + hardware() + "/fp32");
  REQUIRE(accuracy);
  CHECK(accuracy->verdict == Verdict::fail);
  CHECK(accuracy->value < 800'000);
  CHECK(contains(accuracy->detail, "required 85.00 %"));
  for (const char* other : {"contract.fits@", "latency.p99@", "golden.determinism@"})
    CHECK(find(outcome->measurements, other + hardware() + "/fp32")->verdict == Verdict::pass);

  const Json& report = outcome->report;
  CHECK(report["format"] == "ferry.gate-report/1");
  CHECK(report["model"] == "fashion-mnist");
  CHECK(report["version"] == "1.2.0");
  CHECK(report["verdict"] == "fail");
  CHECK(report["startedOn"] == "2026-11-23T00:00:00Z");
  CHECK(report["hardware"]["hardware_class"] == hardware());
  CHECK(report["runtime"]["name"] == "onnxruntime");
  CHECK(report["dataset"]["samples"] == 1'000);
  CHECK(report["baseline"].is_null());
  CHECK(report["measurements"].size() == outcome->measurements.size());
  CHECK(report["invocation"]["commit"] == "c0ffee");
}

TEST_CASE("a gate that runs again leaves the frozen manifest as it is, and checks its golden outputs here") {
  const TempDir folder;
  pack_example(folder.path(), "1.1.0", {"int8"});
  const auto first = run(example_gate(folder.path()));
  REQUIRE(first);
  const auto again = run(example_gate(folder.path()));
  REQUIRE(again);
  CHECK(again->verdict == Verdict::pass);
  CHECK(again->manifest_bytes == first->manifest_bytes);
  CHECK(read_text(folder / "manifest.json") == first->manifest_bytes);
  CHECK(!find(first->measurements, "golden.outputs@" + hardware() + "/int8"));
  const auto* golden = find(again->measurements, "golden.outputs@" + hardware() + "/int8");
  REQUIRE(golden);
  CHECK(golden->verdict == Verdict::pass);
  CHECK(golden->n == 4);
}

TEST_CASE("a frozen release whose outputs differ on this machine fails here") {
  const TempDir folder;
  pack_example(folder.path(), "1.1.0", {"int8"});
  REQUIRE(run(example_gate(folder.path())));
  // As if it had been frozen on a machine that computes otherwise.
  auto manifest = *ota::parse_manifest(read_text(folder / "manifest.json"));
  auto golden = *runtime::parse_golden(*ci_gates::read_blob(folder.path(), *manifest.variants[0].golden));
  auto scores = floats_of(golden[2].outputs.at(0).bytes);
  scores[0] += 1;
  golden[2].outputs[0] = float_tensor("logits", {1, 10}, scores);
  manifest.variants[0].golden = *ci_gates::write_blob(folder.path(), "golden.bin", *runtime::format_golden(golden));
  write_text(folder / "manifest.json", ota::print_manifest(manifest));
  const auto outcome = run(example_gate(folder.path()));
  REQUIRE(outcome);
  CHECK(outcome->verdict == Verdict::fail);
  const auto* line = find(outcome->measurements, "golden.outputs@" + hardware() + "/int8");
  REQUIRE(line);
  CHECK(line->verdict == Verdict::fail);
  CHECK(contains(line->detail, "logits"));
}

TEST_CASE("the report says under which conditions it was measured, and how each variant behaved") {
  const TempDir folder;
  pack_example(folder.path(), "1.1.0", {"int8"});
  const auto outcome = run(example_gate(folder.path()));
  REQUIRE(outcome);
  const Json& report = outcome->report;
  CHECK(report["environment"]["cores"] > 0);
  CHECK(report["environment"]["kernel"] != "");
  CHECK(report["environment"]["noisy"] == !report["environment"]["noise"].empty());
  CHECK(report["runtime"]["threads"] == 1);
  CHECK(report["runtime"]["execution_provider"] == "cpu");
  REQUIRE(report["variants"].size() == 1);
  CHECK(report["variants"][0]["name"] == "int8");
  CHECK(report["variants"][0]["model_bytes"] == outcome->manifest.variants[0].file.length_bytes);
  CHECK(report["variants"][0]["load_ms"] > 0);
  CHECK(report["variants"][0]["inferences"] == 700);
  CHECK(report["variants"][0]["latency_p50_us"] > 0);
  CHECK(report["input_order_seed"] == ci_gates::input_order_seed);
  // Of the 1,000 samples of this test no drift detector can be sure.
  CHECK(report["notes"].size() == report["environment"]["noise"].size() + 1);
  CHECK(contains(outcome->notes.front(), "reference profile of 1000 samples"));
}

TEST_CASE("slices by class are judged, and one that the mean hides fails the release") {
  const TempDir folder;
  pack_example(folder.path(), "1.1.0", {"int8"});
  ci_gates::GateInput input = example_gate(folder.path());
  input.policy.slices.by_label = true;
  input.policy.slices.top1_ppm_min = 500'000;
  const auto outcome = run(input);
  REQUIRE(outcome);
  CHECK(outcome->verdict == Verdict::pass);
  for (int label = 0; label < 10; ++label)
    CHECK(find(outcome->measurements, "accuracy.top1.label-" + std::to_string(label) + "@" + hardware() + "/int8"));
  input.policy.slices.top1_ppm_min = 900'000;  // 92 % on average, but shirts look like pullovers
  input.policy.dataset.limit = 4'000;          // some 400 of each are enough to be sure
  const auto strict = run(input);
  REQUIRE(strict);
  CHECK(strict->verdict == Verdict::fail);
  const auto* shirts = find(strict->measurements, "accuracy.top1.label-6@" + hardware() + "/int8");
  REQUIRE(shirts);
  CHECK(shirts->verdict == Verdict::fail);
  CHECK(contains(shirts->detail, "label-6"));
}

TEST_CASE("data that the model was trained on is refused before anything runs") {
  const TempDir folder;
  pack_example(folder.path(), "1.1.0", {"int8"});
  ci_gates::GateInput input = example_gate(folder.path());
  input.policy.training_digests = {digest_file(input.policy.dataset.images)->sha256};
  const auto refused = run(input);
  REQUIRE(!refused);
  CHECK(refused.error().code == Errc::bad_input);
  CHECK(contains(refused.error().context, "training_sha256"));
}

TEST_CASE("a model that crashes, hangs or will not load fails its own check, is said so, and stays a draft") {
  for (const auto& [behaviour, reason] :
       {std::pair{"crash", "trial.crash"}, std::pair{"hang", "trial.hang"}, std::pair{"", "trial.load"}}) {
    const TempDir folder;
    ota::Manifest manifest = pack_example(folder.path(), "1.1.0", {"int8"});
    ci_gates::GateInput input = example_gate(folder.path());
    input.time_limit_per_variant = std::chrono::seconds{1};
    if (*behaviour) {
      input.runtime_library = Path(FERRY_BROKEN_RUNTIMES) / ("libruntime_that_" + std::string(behaviour) + "s.so");
    } else {
      input.time_limit_per_variant = std::chrono::seconds{60};
      manifest.variants[0].file = *ci_gates::write_blob(folder.path(), "model.onnx", "no model at all");
      write_text(folder / "manifest.json", ota::print_manifest(manifest));
    }
    const auto outcome = run(input);
    REQUIRE(outcome);
    INFO(reason);
    CHECK(outcome->verdict == Verdict::fail);
    REQUIRE(outcome->measurements.size() == 1);
    CHECK(outcome->measurements[0].id == "contract.fits@" + hardware() + "/int8");
    CHECK(contains(outcome->measurements[0].detail, reason));
    CHECK(outcome->manifest.draft);
    CHECK(!ota::require_frozen(*ota::parse_manifest(read_text(folder / "manifest.json"))));
  }
}

TEST_CASE("one bad variant fails the release; the other one's checks are told all the same") {
  const TempDir folder;
  ota::Manifest manifest = pack_example(folder.path(), "1.1.0");
  manifest.variants[0].file = *ci_gates::write_blob(folder.path(), "model.onnx", "no model at all");
  write_text(folder / "manifest.json", ota::print_manifest(manifest));
  const auto outcome = run(example_gate(folder.path()));
  REQUIRE(outcome);
  CHECK(outcome->verdict == Verdict::fail);
  CHECK(find(outcome->measurements, "accuracy.top1@" + hardware() + "/int8")->verdict == Verdict::pass);
  CHECK(outcome->manifest.draft);
}

TEST_CASE("a release that needs more memory on its data than its budget fails: 1.3.0 in haze") {
  const TempDir folder;
  pack_example(folder.path(), "1.3.0", {"int8"});
  write_text(folder / "images", idx({2, 28, 28}, std::string(std::size_t{2} * 28 * 28, '\x64')));
  write_text(folder / "labels", idx({2}, {'\x01', '\x02'}));
  ci_gates::GateInput input = example_gate(folder.path());
  input.policy.dataset.images = folder / "images";
  input.policy.dataset.labels = folder / "labels";
  const auto outcome = run(input);
  REQUIRE(outcome);
  CHECK(outcome->verdict == Verdict::fail);
  CHECK(contains(outcome->measurements.at(0).detail, "trial.memory"));
  CHECK(contains(outcome->measurements.at(0).detail, "budget.memory_mib is 512"));
}

TEST_CASE("against a deployed release accuracy and latency are compared, and the report names it") {
  const TempDir folder;
  pack_example(folder / "candidate", "1.2.0", {"fp32"});
  ota::Manifest deployed = pack_example(folder / "deployed", "1.1.0", {"fp32"});
  ci_gates::GateInput input = example_gate(folder / "candidate");
  input.policy.top1_ppm_min = 0;  // so that only the comparison can fail it
  input.baseline = ci_gates::Baseline{deployed, sha256("its manifest"), folder / "deployed"};
  const auto outcome = run(input);
  REQUIRE(outcome);
  const auto* regression = find(outcome->measurements, "accuracy.regression@" + hardware() + "/fp32");
  REQUIRE(regression);
  CHECK(regression->verdict == Verdict::fail);
  CHECK(regression->value > 100'000);  // it lost more than ten points
  const auto* latency = find(outcome->measurements, "latency.regression@" + hardware() + "/fp32");
  REQUIRE(latency);
  CHECK(latency->n >= 20);
  CHECK(latency->low.value_or(9) <= latency->value);
  CHECK(outcome->report["baseline"]["version"] == "1.1.0");
  CHECK(outcome->report["baseline"]["sha256"] == sha256("its manifest").hex());

  input.baseline->manifest.model = "keyword-spotter";
  const auto other = run(input);
  REQUIRE(!other);
  CHECK(other.error().code == Errc::bad_input);
  CHECK(contains(other.error().context, "keyword-spotter"));
}

TEST_CASE("a task other than classification is frozen with a reference that a device can read") {
  const TempDir folder;
  ota::Manifest manifest = pack_example(folder.path(), "1.1.0", {"int8"});
  manifest.contract.task = "other";
  manifest.contract.labels.clear();
  manifest.contract.class_output.clear();
  write_text(folder / "manifest.json", ota::print_manifest(manifest));
  const auto outcome = run(example_gate(folder.path()));
  REQUIRE(outcome);
  CHECK(outcome->verdict == Verdict::hold);  // nothing is known about its accuracy
  CHECK(outcome->test_result == "WARNED");
  CHECK(ota::require_frozen(outcome->manifest));
  CHECK(telemetry::parse_reference_profile(*ci_gates::read_blob(folder.path(), *outcome->manifest.reference_profile)));
}

TEST_CASE("a bundle or data set that cannot be used is an error, not a verdict, and changes nothing") {
  const TempDir folder;
  const ota::Manifest manifest = pack_example(folder.path(), "1.1.0", {"int8"});
  const std::string before = read_text(folder / "manifest.json");
  const ci_gates::GateInput good = example_gate(folder.path());

  ci_gates::GateInput no_bundle = good;
  no_bundle.bundle = folder / "absent";
  CHECK(run(no_bundle).error().code == Errc::not_found);
  ci_gates::GateInput no_data = good;
  no_data.policy.dataset.images = folder / "absent";
  CHECK(run(no_data).error().code == Errc::not_found);
  ci_gates::GateInput no_runtime = good;
  no_runtime.runtime_library = folder / "absent.so";
  CHECK(run(no_runtime).error().code == Errc::not_found);

  const Path model = folder / "blobs" / "sha256" / manifest.variants[0].file.sha256.hex();
  write_text(model, "changed");
  const auto changed = run(good);
  REQUIRE(!changed);
  CHECK(changed.error().code == Errc::bad_signature);
  std::filesystem::remove(model);
  CHECK(run(good).error().code == Errc::not_found);
  CHECK(read_text(folder / "manifest.json") == before);
}
