// `ferry release`: what goes to the server, in which order, and what never leaves.
#include "common/bytes.hpp"
#include "ota/attestation.hpp"
#include "ota/manifest.hpp"
#include "ota/repository_writer.hpp"
#include "tests/cli/api_server.hpp"
#include "tests/cli/workshop.hpp"

using namespace ferry;
using namespace ferry::test;

namespace {

std::string role_v1() { return read_text(Workshop::shared().keys() / "metadata" / "fashion-mnist.json"); }

// Gated before the server has its thread: the gate forks.
struct Gated {
  TempDir folder;
  Gated(const std::string& version, bool hold) { Workshop::shared().gated(version, bundle(), hold); }
  Path bundle() const { return folder / "b"; }
};

struct Publishing : Gated {
  ApiServer server;
  explicit Publishing(const std::string& version, bool hold = false) : Gated(version, hold) {
    server.on("GET /metadata/fashion-mnist.json", 200, role_v1());
    server.on("POST /releases", 201, Json{{"model", "fashion-mnist"}, {"version", version}});
    for (const ota::BlobRef& blob : manifest().blobs()) server.on("PUT " + path_of(blob), 201);
  }
  std::string manifest_bytes() const { return read_text(bundle() / "manifest.json"); }
  ota::Manifest manifest() const { return *ota::parse_manifest(manifest_bytes()); }
  static std::string path_of(const ota::BlobRef& blob) { return "/blobs/sha256/" + blob.sha256.hex(); }
  Ran publish(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{"release", "publish", bundle().string(), "--key",
                                       Workshop::shared().key("release-fashion-mnist.pem")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return server.ferry(arguments);
  }
};

}  // namespace

TEST_CASE("publish uploads what the server lacks, signs into the model's role, and sends what a server accepts") {
  Publishing publishing("1.1.0");
  const auto blobs = publishing.manifest().blobs();
  publishing.server.on("HEAD " + publishing.path_of(blobs[0]), 200);  // known already
  const Ran ran = publishing.publish({"-o", "json"});
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  CHECK(ran.json()["version"] == "1.1.0");
  CHECK(contains(ran.err, "next: ferry rollout create fashion-mnist@1.1.0"));

  const ApiServer& server = publishing.server;
  CHECK(server.requests("PUT " + publishing.path_of(blobs[0])).empty());
  for (std::size_t i = 1; i < blobs.size(); ++i) {
    const auto sent = server.requests("PUT " + publishing.path_of(blobs[i]));
    REQUIRE(sent.size() == 1);
    CHECK(sha256(sent[0].body) == blobs[i].sha256);
    CHECK(has_header(sent[0], "Content-Type: application/octet-stream"));
  }
  CHECK(server.asked().back() == "POST /releases");  // last, when all blobs are there
  const Json body = server.body_of("POST /releases");
  CHECK(body["manifest"] == to_base64(publishing.manifest_bytes()));
  CHECK(body["attestations"] == to_base64(read_text(publishing.bundle() / "attestations.intoto.jsonl")));

  // The role's next version is one that the server side of ota takes after the trust root.
  const Instant now = SimClock().now();
  const Path metadata = Workshop::shared().keys() / "metadata";
  auto state = ota::accept_root_update({}, read_text(metadata / "root.json"), now);
  REQUIRE(state);
  state = ota::accept_targets_update(*state, read_text(metadata / "targets.json"), now);
  REQUIRE(state);
  state = ota::accept_role_update(*state, "fashion-mnist", role_v1(), now);
  REQUIRE(state);
  state = ota::accept_role_update(*state, "fashion-mnist", *from_base64(body["role_metadata"].get<std::string>()), now);
  REQUIRE(state);
  const Json role = Json::parse(state->roles.at("fashion-mnist"));
  CHECK(role["signed"]["version"] == 2);
  const Json& target = role["signed"]["targets"]["fashion-mnist/1.1.0/manifest.json"];
  CHECK(target["hashes"]["sha256"] == sha256(publishing.manifest_bytes()).hex());
  CHECK(target["custom"]["release_counter"] == 2);
}

TEST_CASE("the first release of a role that the server does not have starts it") {
  Publishing publishing("1.1.0");
  ApiServer empty;
  for (const ota::BlobRef& blob : publishing.manifest().blobs()) empty.on("HEAD " + publishing.path_of(blob), 200);
  empty.on("POST /releases", 201, Json{{"version", "1.1.0"}});
  const Ran ran = empty.ferry({"release", "publish", publishing.bundle().string(), "--key",
                               Workshop::shared().key("release-fashion-mnist.pem")});
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  const auto role = from_base64(empty.body_of("POST /releases")["role_metadata"].get<std::string>());
  CHECK(Json::parse(*role)["signed"]["version"] == 1);
}

TEST_CASE("a failed gate is exit 6 and a held one exit 7, and neither asks the server anything") {
  Publishing failed("1.2.0");
  const Ran refused = failed.publish();
  CHECK(refused.code == 6);
  CHECK(contains(refused.err, "FAILED"));
  CHECK(failed.server.asked().empty());

  Publishing held("1.1.0", true);
  const Ran waits = held.publish();
  CHECK(waits.code == 7);
  CHECK(contains(waits.err, "not enough evidence"));
  CHECK(held.server.asked().empty());
}

TEST_CASE("--no-local-check sends also a failed release, and the server's refusal is exit 6 with its reason") {
  Publishing failed("1.2.0");
  ApiServer strict;
  for (const ota::BlobRef& blob : failed.manifest().blobs()) strict.on("HEAD " + failed.path_of(blob), 200);
  strict.on("GET /metadata/fashion-mnist.json", 200, role_v1());
  strict.refuse("POST /releases", 422, "gate_failed", "attestations: the gate failed", "trust.attestation_failed");
  const Ran ran = strict.ferry({"release", "publish", failed.bundle().string(), "--no-local-check", "--key",
                                Workshop::shared().key("release-fashion-mnist.pem")});
  CHECK(ran.code == 6);
  CHECK(contains(ran.err, "reason: trust.attestation_failed"));
  CHECK(strict.body_of("POST /releases")["manifest"] == to_base64(failed.manifest_bytes()));
}

TEST_CASE("a draft, a bundle without a report, and one edited after its gate stay here") {
  Publishing publishing("1.1.0");
  const Path attestations = publishing.bundle() / "attestations.intoto.jsonl";
  const std::string manifest = publishing.manifest_bytes(), report = read_text(attestations);

  write_text(publishing.bundle() / "manifest.json", replaced(manifest, "28x28", "29x29"));
  const Ran edited = publishing.publish();
  CHECK(edited.code == 10);
  CHECK(contains(edited.err, "run `ferry gate run` again"));

  write_text(publishing.bundle() / "manifest.json", manifest);
  write_text(attestations, "");
  const Ran empty = publishing.publish();
  CHECK(empty.code == 6);
  CHECK(contains(empty.err, "no test result"));
  write_text(attestations, report.substr(report.find('\n') + 1));  // the second statement alone
  CHECK(publishing.publish().code == 6);
  std::filesystem::remove(attestations);
  const Ran none = publishing.publish();
  CHECK(none.code == 6);
  CHECK(contains(none.err, "run `ferry gate run` first"));
  CHECK(publishing.publish({"--no-local-check"}).code == 6);  // there is nothing to send

  write_text(attestations, report);
  const Environment env;
  REQUIRE(test::ferry({"bundle", "pack", "-f", Workshop::shared().bundle_file(), "--version", "1.1.0", "--counter", "2",
                       "-d", publishing.bundle().string()})
              .code == 0);
  write_text(attestations, report);
  const Ran draft = publishing.publish();
  CHECK(draft.code == 6);
  CHECK(contains(draft.err, "draft"));
  CHECK(publishing.server.asked().empty());
}

TEST_CASE("a blob that changed on disk is not uploaded: exit 10") {
  Publishing publishing("1.1.0");
  const ota::BlobRef blob = publishing.manifest().blobs()[1];
  write_text(publishing.bundle() / "blobs" / "sha256" / blob.sha256.hex(), "changed");
  const Ran ran = publishing.publish();
  CHECK(ran.code == 10);
  CHECK(contains(ran.err, blob.sha256.hex()));
  CHECK(publishing.server.requests("PUT " + publishing.path_of(blob)).empty());
  CHECK(publishing.server.requests("POST /releases").empty());
}

TEST_CASE("a counter below the model's floor cannot be signed; a wrong key file is named") {
  Publishing publishing("1.1.0");
  ApiServer later;
  for (const ota::BlobRef& blob : publishing.manifest().blobs()) later.on("HEAD " + publishing.path_of(blob), 200);
  const auto key = PrivateKey::load(Workshop::shared().key("release-fashion-mnist.pem"));
  REQUIRE(key);
  const auto raised = ota::raise_minimum_counter(role_v1(), 3, std::span(&*key, 1), SimClock().now());
  REQUIRE(raised);
  later.on("GET /metadata/fashion-mnist.json", 200, *raised);
  const Ran below = later.ferry({"release", "publish", publishing.bundle().string(), "--key",
                                 Workshop::shared().key("release-fashion-mnist.pem")});
  INFO(below.err);
  CHECK(below.code == 10);
  CHECK(later.requests("POST /releases").empty());
  const std::string absent = (publishing.folder / "absent.pem").string();
  const Ran no_key = later.ferry({"release", "publish", publishing.bundle().string(), "--key", absent});
  CHECK(no_key.code == 3);
  CHECK(contains(no_key.err, "absent.pem"));
}

TEST_CASE("list and show print the API's own JSON, or tables with the gate's report") {
  ApiServer server;
  const Json release = Json::parse(R"({
    "model": "fashion-mnist", "version": "1.1.0", "counter": 2, "manifest_sha256": "ab12", "created_ms": 0,
    "published_ms": 1764054765000, "published_by": "ci", "state": "current", "devices": {"running": 12, "total": 40},
    "gate_result": "PASSED", "variant_names": ["fp32", "int8"],
    "variants": [{"name": "int8", "precision": "int8", "file_length": 68974, "devices": 8}],
    "gate": {"verified": true, "result": "PASSED", "error": "", "report": {"measurements": [
      {"id": "accuracy.top1@x/fp32", "verdict": "pass", "detail": "9222 of 10000 right"}]}},
    "rollouts": [{"id": "ro-1", "state": "done"}]})");
  server.on("GET /releases", 200, items({release}));
  server.on("GET /releases/fashion-mnist/1.1.0", 200, release);
  const Ran list = server.ferry({"release", "list"});
  CHECK(list.code == 0);
  CHECK(contains(list.out, "MODEL"));
  CHECK(contains(list.out, "fashion-mnist  1.1.0    2        current  PASSED  2025-11-25T07:12:45Z  ab12"));
  CHECK(server.ferry({"release", "list", "-o", "json"}).json() == Json::array({release}));
  const Ran show = server.ferry({"release", "show", "fashion-mnist@1.1.0"});
  for (const char* part : {"current", "running=12 total=40", "PASSED", "68974", "9222 of 10000 right", "ro-1"})
    CHECK(contains(show.out, part));
  CHECK(!contains(show.out, "refused"));
  CHECK(server.ferry({"release", "show", "fashion-mnist@1.1.0", "-o", "json"}).json() == release);
  Json aged = release;
  aged["gate"]["verified"] = false;
  aged["gate"]["error"] = "attestations: older than 365 days";
  server.on("GET /releases/fashion-mnist/1.0.0", 200, aged);
  CHECK(contains(server.ferry({"release", "show", "fashion-mnist@1.0.0"}).out, "refused    attestations: older than"));
  const Ran unknown = server.ferry({"release", "show", "fashion-mnist@9.9.9"});
  CHECK(unknown.code == 3);
}
