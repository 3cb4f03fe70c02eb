// `ferry gate`: the real gate over the real example models, in the real runtime.
#include "ota/attestation.hpp"
#include "ota/manifest.hpp"
#include "tests/cli/workshop.hpp"

using namespace ferry;
using namespace ferry::test;

namespace {

Json verdicts(const Json& measurements, const std::string& metric) {
  Json found = Json::array();
  for (const Json& line : measurements) {
    if (line["id"].get<std::string>().starts_with(metric + "@")) found.push_back(line["verdict"]);
  }
  return found;
}

}  // namespace

TEST_CASE("a good release passes: exit 0, every check told, the manifest frozen, the report signed") {
  Workshop& workshop = Workshop::shared();
  const Ran& ran = workshop.gate_said("1.1.0");
  INFO(ran.out << ran.err);
  REQUIRE(ran.code == 0);
  for (const char* metric : {"contract.fits", "accuracy.top1", "latency.p99", "memory.peak", "golden.determinism"})
    CHECK(contains(ran.out, metric));
  CHECK(contains(ran.err, "gate of fashion-mnist@1.1.0: pass; next: ferry release publish"));

  const TempDir folder;
  workshop.gated("1.1.0", folder / "b");
  const std::string bytes = read_text(folder / "b" / "manifest.json");
  const auto manifest = ota::parse_manifest(bytes);
  REQUIRE(manifest);
  CHECK(ota::require_frozen(*manifest));
  ota::GatePolicy policy;
  policy.keys = {*PublicKey::from_pem(read_text(workshop.key("gate.pub.pem")))};
  const auto summary = ota::check_attestations(policy, {.manifest_sha256 = sha256(bytes)},
                                               read_text(folder / "b" / "attestations.intoto.jsonl"), SimClock().now());
  REQUIRE(summary);
  CHECK(summary->result == "PASSED");
}

TEST_CASE("a release below its accuracy fails: exit 6, and the report says by how much") {
  const Ran& ran = Workshop::shared().gate_said("1.2.0");
  CHECK(ran.code == 6);
  CHECK(contains(ran.out, "fail"));
  CHECK(contains(ran.out, "of 1000 right"));
  CHECK(contains(ran.out, "required 85.00 %"));
  CHECK(contains(ran.err, "gate of fashion-mnist@1.2.0: fail\n"));
}

TEST_CASE("too little evidence holds: exit 7, and how much is needed") {
  const Ran& ran = Workshop::shared().gate_said("1.1.0", true);
  CHECK(ran.code == 7);
  CHECK(contains(ran.out, "662 are needed"));
}

TEST_CASE("against the deployed release both are measured; report file, JSON and summary say the same") {
  Workshop& workshop = Workshop::shared();
  const TempDir folder;
  workshop.gated("1.1.0", folder / "candidate");
  workshop.gated("1.2.0", folder / "deployed");
  write_text(folder / "summary.md", "### An earlier step\n");
  const Environment set{
      {"GITHUB_STEP_SUMMARY", (folder / "summary.md").string()}, {"GITHUB_SHA", "c0ffee"}, {"GITHUB_ACTIONS", "true"}};
  auto arguments = Workshop::gate_run(folder / "candidate", workshop.policy(), workshop.key("gate.pem"));
  arguments.insert(arguments.end(),
                   {"--baseline", (folder / "deployed").string(), "--report", (folder / "report.json").string(),
                    "--junit", (folder / "junit.xml").string(), "--url", "https://ci/1", "-o", "json"});
  const Ran ran = test::ferry(arguments);
  INFO(ran.err);
  const Json report = ran.json();
  CHECK(report == Json::parse(read_text(folder / "report.json")));
  CHECK(report["baseline"]["version"] == "1.2.0");
  CHECK(report["baseline"]["sha256"] == sha256(read_text(folder / "deployed" / "manifest.json")).hex());
  CHECK(report["invocation"] == Json{{"commit", "c0ffee"}, {"url", "https://ci/1"}});
  CHECK(verdicts(report["measurements"], "accuracy.regression") == Json{"pass", "pass"});
  CHECK(verdicts(report["measurements"], "latency.regression").size() == 2);
  const std::string summary = read_text(folder / "summary.md");
  CHECK(summary.starts_with("### An earlier step\n"));
  CHECK(contains(summary, "### CI gate of fashion-mnist@1.1.0: **"));
  CHECK(contains(summary, "| accuracy.regression@"));
  const std::string junit = read_text(folder / "junit.xml");
  CHECK(contains(junit, "<testsuite name=\"" + report["hardware"]["hardware_class"].get<std::string>() + "\""));
  CHECK(contains(junit, "name=\"accuracy.regression fp32\""));
  // One workflow command for each check that did not pass, on stderr: stdout is the report.
  std::size_t bad = 0, commands = 0;
  for (const Json& line : report["measurements"]) bad += line["verdict"] != "pass";
  for (const char* command : {"::error title=", "::warning title="}) {
    for (std::size_t at = ran.err.find(command); at != std::string::npos; at = ran.err.find(command, at + 1))
      ++commands;
  }
  CHECK(commands == bad);
}

TEST_CASE("a failed gate tells the workflow which check failed") {
  Workshop& workshop = Workshop::shared();
  const TempDir folder;
  workshop.gated("1.2.0", folder / "b");
  const Environment set{{"GITHUB_ACTIONS", "true"}};
  const Ran ran = test::ferry(Workshop::gate_run(folder / "b", workshop.policy(), workshop.key("gate.pem")));
  CHECK(ran.code == 6);
  CHECK(contains(ran.err, "::error title=CI gate%3A accuracy.top1@"));
  CHECK(!contains(ran.out, "::error"));
}

TEST_CASE("a summary that other steps have nearly filled is not made too long") {
  Workshop& workshop = Workshop::shared();
  const TempDir folder;
  workshop.gated("1.2.0", folder / "b");
  const std::string before(1024 * 1024 - 500, 'x');
  write_text(folder / "summary.md", before);
  const Environment set{{"GITHUB_STEP_SUMMARY", (folder / "summary.md").string()}};
  CHECK(test::ferry(Workshop::gate_run(folder / "b", workshop.policy(), workshop.key("gate.pem"))).code == 6);
  const std::string after = read_text(folder / "summary.md");
  CHECK(after.size() > before.size());
  CHECK(after.size() <= 1024 * 1024);
  CHECK(contains(after, "cut here"));
}

TEST_CASE("a baseline of another model, or that is none, is refused") {
  Workshop& workshop = Workshop::shared();
  const TempDir folder;
  const Environment none;
  workshop.gated("1.1.0", folder / "b");
  REQUIRE(make_directories(folder / "other"));
  write_text(folder / "other" / "manifest.json",
             replaced(read_text(folder / "b" / "manifest.json"), "\"fashion-mnist\"", "\"keyword-spotter\""));
  auto arguments = Workshop::gate_run(folder / "b", workshop.policy(), workshop.key("gate.pem"));
  arguments.insert(arguments.end(), {"--baseline", (folder / "other").string()});
  const Ran other = test::ferry(arguments);
  CHECK(other.code == 2);
  CHECK(contains(other.err, "keyword-spotter"));
  arguments.back() = (folder / "absent").string();
  const Ran absent = test::ferry(arguments);
  CHECK(absent.code == 3);
  CHECK(contains(absent.err, "--baseline"));
}

TEST_CASE("what the gate needs and does not get is said by flag and file, and the bundle stays as it was") {
  Workshop& workshop = Workshop::shared();
  const TempDir folder;
  const Environment none;
  workshop.gated("1.1.0", folder / "b");
  const std::string before = read_text(folder / "b" / "manifest.json");
  const auto run = [&](const Path& bundle, const std::string& policy, const std::string& key) {
    return test::ferry(Workshop::gate_run(bundle, policy, key));
  };
  const std::string key = workshop.key("gate.pem");
  CHECK(run(folder / "absent", workshop.policy(), key).code == 3);
  CHECK(run(folder / "b", (folder / "absent.toml").string(), key).code == 3);
  CHECK(run(folder / "b", workshop.policy(), (folder / "absent.pem").string()).code == 3);
  CHECK(run(folder / "b", workshop.policy(), workshop.key("gate.pub.pem")).code == 2);

  write_text(folder / "typo.toml", replaced(read_text(workshop.policy()), "top1_ppm_min", "top_ppm_min"));
  const Ran typo = run(folder / "b", (folder / "typo.toml").string(), key);
  CHECK(typo.code == 2);
  CHECK(contains(typo.err, "did you mean 'top1_ppm_min'"));

  const Ran no_runtime =
      test::ferry({"gate", "run", (folder / "b").string(), "--policy", workshop.policy(), "--key", key});
  CHECK(no_runtime.code == 2);
  CHECK(contains(no_runtime.err, "FERRY_RUNTIME_LIBRARY"));
  const Environment set{{"FERRY_RUNTIME_LIBRARY", (folder / "libabsent.so").string()}};
  const Ran no_library =
      test::ferry({"gate", "run", (folder / "b").string(), "--policy", workshop.policy(), "--key", key});
  CHECK(no_library.code == 3);
  CHECK(contains(no_library.err, "libabsent.so"));
  CHECK(read_text(folder / "b" / "manifest.json") == before);
}

TEST_CASE("show prints a report whose signature holds, and no other") {
  Workshop& workshop = Workshop::shared();
  const TempDir folder;
  const Environment none;
  workshop.gated("1.2.0", folder / "b");
  const std::string bundle = (folder / "b").string(), key = workshop.key("gate.pub.pem");
  const Ran good = test::ferry({"gate", "show", bundle, "--key", key});
  CHECK(good.code == 0);
  CHECK(contains(good.out, "fashion-mnist@1.2.0  FAILED"));
  CHECK(contains(good.out, "accuracy.top1@"));
  CHECK(test::ferry({"gate", "show", bundle, "--key", key, "-o", "json"}).json()["verdict"] == "fail");

  const Ran stranger = test::ferry({"gate", "show", bundle, "--key", workshop.key("root.pub.pem")});
  INFO(stranger.err);
  CHECK(stranger.code != 0);
  CHECK(contains(stranger.err, "trust.attestation_invalid"));
  CHECK(stranger.out.empty());
  CHECK(test::ferry({"gate", "show", bundle, "--key", (folder / "absent").string()}).code == 3);
  CHECK(test::ferry({"gate", "show", bundle, "--key", workshop.policy()}).code == 2);
}

TEST_CASE("a report about another manifest is not shown as this bundle's") {
  Workshop& workshop = Workshop::shared();
  const TempDir folder;
  const Environment none;
  workshop.gated("1.2.0", folder / "b");
  workshop.gated("1.1.0", folder / "good");
  write_text(folder / "b" / "attestations.intoto.jsonl", read_text(folder / "good" / "attestations.intoto.jsonl"));
  const Ran swapped = test::ferry({"gate", "show", (folder / "b").string(), "--key", workshop.key("gate.pub.pem")});
  CHECK(swapped.code == 10);
  CHECK(contains(swapped.err, "run `ferry gate run` again"));
  std::filesystem::remove(folder / "b" / "attestations.intoto.jsonl");
  const Ran none_yet = test::ferry({"gate", "show", (folder / "b").string(), "--key", workshop.key("gate.pub.pem")});
  CHECK(none_yet.code == 6);
  CHECK(contains(none_yet.err, "ferry gate run"));
}
