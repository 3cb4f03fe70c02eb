#include "tests/server/api/api_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* model = Publisher::model;

}  // namespace

TEST_CASE("the trust root is published once, shown with its roles, and its metadata handed to the CLI") {
  Server server;
  CHECK(server.get("/api/v1/trust").json() == Json{{"published", false}});
  CHECK(server.get("/api/v1/metadata/root.json").status() == 404);
  const TrustUpdate trust = server.publisher->first_trust();
  const Answer posted = server.post("/api/v1/trust", Server::trust_body(trust));
  REQUIRE(posted.status() == 200);
  const Json shown = server.get("/api/v1/trust").json();
  CHECK(posted.json() == shown);
  CHECK(shown["published"] == true);
  CHECK(shown["root_sha256"] == sha256(trust.root).hex());
  CHECK(shown["gate_policy"] == *parse_json(R"({"threshold": 1, "age_max_days": 365, "keys": 1})"));
  std::vector<std::string> roles;
  for (const Json& role : shown["roles"]) {
    roles.push_back(role["role"].get<std::string>());
    CHECK(role["version"] == 1);
    CHECK(role["threshold"] == 1);
    CHECK(role["key_ids"].size() == 1);
    CHECK(to_unix_ms(need(from_rfc3339(role["expires"].get<std::string>()))) == role["expires_ms"]);
  }
  CHECK(roles == std::vector<std::string>{"root", "targets", "snapshot", "timestamp"});
  CHECK(server.get("/api/v1/metadata/root.json").body() == trust.root);
  CHECK(server.get("/api/v1/metadata/targets.json").body() == trust.targets);
  CHECK(server.get("/api/v1/metadata/timestamp.json").status() == 200);
  for (const char* file : {"fashion-mnist.json", "root", "1.root.json", "nonsense.json", ".json"})
    CHECK(server.get(std::string("/api/v1/metadata/") + file).status() == 404);
}

TEST_CASE("a trust update that is malformed or not allowed is refused with its reason") {
  Server server;
  CHECK(server.post("/api/v1/trust").status() == 400);
  const Answer not_base64 = server.post("/api/v1/trust", {{"root", "!!!"}});
  CHECK(not_base64.status() == 400);
  CHECK_THAT(not_base64.detail(), Catch::StartsWith("root"));
  CHECK(server.post("/api/v1/trust", {{"roles", 5}}).status() == 400);
  CHECK_THAT(server.post("/api/v1/trust", {{"roles", {{"m", 5}}}}).detail(), Catch::Contains("roles"));
  server.publish_trust();
  TrustUpdate skip;
  skip.targets = server.publisher->targets(3, server.publisher->policy());
  const Answer skipped = server.post("/api/v1/trust", Server::trust_body(skip));
  CHECK(skipped.status() == 409);
  TrustUpdate forged;
  forged.targets = server.publisher->targets(2, server.publisher->policy(), "release");
  const Answer refused = server.post("/api/v1/trust", Server::trust_body(forged));
  CHECK(refused.status() == 422);
  CHECK(refused.code() == "bad_signature");
  const Json first = server.get("/api/v1/trust").json()["root_sha256"];
  TrustUpdate rotate;
  rotate.root = server.publisher->root(2, "root-2", "root");
  const Answer rotated = server.post("/api/v1/trust", Server::trust_body(rotate));
  CHECK(rotated.status() == 200);
  CHECK(rotated.json()["roles"][0]["version"] == 2);
  CHECK(rotated.json()["root_sha256"] == first);  // what tokens pin stays
}

TEST_CASE("a blob is uploaded once and checked against its address") {
  Server server;
  const Digest digest = sha256("bytes");
  const auto head = [&] { return server.ask("HEAD", "/api/v1/blobs/sha256/" + digest.hex(), server.admin).status(); };
  CHECK(head() == 404);
  const Answer wrong = server.upload(digest, "other bytes");
  CHECK(wrong.status() == 422);
  CHECK(wrong.code() == "bad_signature");
  CHECK(head() == 404);
  CHECK(server.upload(digest, "bytes").status() == 201);
  CHECK(server.upload(digest, "bytes").status() == 200);
  CHECK(head() == 200);
  for (const char* bad : {"00", "zz", "../x"})
    CHECK(server.ask("HEAD", std::string("/api/v1/blobs/sha256/") + bad, server.admin).status() >= 400);
  CHECK(std::filesystem::is_empty(server.services().blobs.incoming()));
}

TEST_CASE("a release is published and shown with manifest, gate report and adoption") {
  Server server;
  server.publish_trust();
  const BuiltRelease built = server.publish("1.0.0", 1);
  const Json release = server.get("/api/v1/releases/fashion-mnist/1.0.0").json();
  CHECK(release["model"] == model);
  CHECK(release["version"] == "1.0.0");
  CHECK(release["counter"] == 1);
  CHECK(release["manifest_sha256"] == sha256(built.request.manifest).hex());
  CHECK(release["manifest_length"] == built.request.manifest.size());
  CHECK(release["target"] == "fashion-mnist/1.0.0/manifest.json");
  CHECK(release["published_by"] == "admin");
  CHECK(release["published_ms"] == to_unix_ms(server.clock.now()));
  CHECK(release["description"] == "Clothing in 28x28 grey images");
  CHECK(release["state"] == "published");
  CHECK(release["devices"] == *parse_json(R"({"running": 0, "total": 0})"));
  CHECK(release["variants"][0]["name"] == "fp32");
  CHECK(release["variants"][0]["file_length"] == 2000);
  CHECK(release["variants"][0]["budget"]["latency_p99_us"] == 50'000);
  CHECK(release["contract"]["labels"] == Json::array({"t-shirt", "trouser"}));
  CHECK(release["contract"]["inputs"][0]["shape"] == Json::array({-1, 4}));
  CHECK(release["gate"]["verified"] == true);
  CHECK(release["gate"]["result"] == "PASSED");
  CHECK(release["gate"]["keys_counted"] == 1);
  CHECK(release["gate"]["error"] == "");
  CHECK(release["gate"]["passed"].size() == 3);
  CHECK(release["gate"]["report"]["verdict"] == "pass");
  CHECK(release["gate"]["attestations_sha256"] == sha256(built.request.attestations).hex());
  CHECK(release["rollouts"] == Json::array());
  const Answer again = server.post("/api/v1/releases", Server::release_body(built.request));
  CHECK(again.status() == 200);
  CHECK(again.json() == release);
  CHECK(server.get("/api/v1/releases/fashion-mnist/9.9.9").status() == 404);
  CHECK(server.get("/api/v1/releases/other/1.0.0").status() == 404);
  CHECK(server.get("/api/v1/trust").json()["roles"][4]["minimum_counter"] == 1);
}

TEST_CASE("a release that must not go out is refused with the status, code and reason of the format") {
  Server server;
  server.publish_trust();
  server.publish("1.0.0", 1);
  using Wrong = Publisher::Wrong;
  const auto post = [&](const Wrong& wrong) {
    const BuiltRelease built = server.publisher->release("1.1.0", 2, wrong);
    server.upload_all(built);
    return server.post("/api/v1/releases", Server::release_body(built.request));
  };
  const Answer failed = post({.gate_result = "FAILED"});
  CHECK(failed.status() == 422);
  CHECK(failed.code() == "gate_failed");
  CHECK(failed.reason() == "trust.attestation_failed");
  const Answer missing = post({.no_attestation = true});
  CHECK(missing.status() == 422);
  CHECK(missing.code() == "gate_failed");
  CHECK(missing.reason() == "trust.attestation_missing");
  const Answer forged = post({.gate_key = "release"});
  CHECK(forged.status() == 422);
  CHECK(forged.code() == "bad_signature");
  CHECK(forged.reason() == "trust.attestation_invalid");
  const Answer unpinned = post({.pin_other = true});
  CHECK(unpinned.status() == 422);
  CHECK(unpinned.code() == "bad_signature");
  const Answer old = post({.gate_finished = server.clock.now() - std::chrono::hours{24 * 400}});
  CHECK(old.status() == 422);
  CHECK(old.code() == "expired");
  const Answer draft = post({.draft = true});
  CHECK(draft.status() == 400);
  CHECK_THAT(draft.detail(), Catch::Contains("draft"));
  const BuiltRelease never_uploaded = server.publisher->release("1.1.0", 77);
  const Answer blob = server.post("/api/v1/releases", Server::release_body(never_uploaded.request));
  CHECK(blob.status() == 400);
  CHECK_THAT(blob.detail(), Catch::Contains(never_uploaded.blobs.front().first.hex()));
  const Answer other =
      server.post("/api/v1/releases", Server::release_body(server.publisher->release("1.0.0", 5).request));
  CHECK(other.status() == 409);
  CHECK(other.code() == "conflict");
  Json body = Server::release_body(never_uploaded.request);
  body["manifest"] = "%%%";
  CHECK_THAT(server.post("/api/v1/releases", body).detail(), Catch::StartsWith("manifest"));
  body.erase("version");
  CHECK_THAT(server.post("/api/v1/releases", body).detail(), Catch::Contains("version"));
  CHECK(server.get("/api/v1/releases").json()["items"].size() == 1);
  CHECK_THAT(server.ask("GET", "/metrics", "").body(), Catch::Contains("ferry_releases_refused_total 8\n"));
}

TEST_CASE("a release whose gate key left the policy is shown as no longer verified, and cannot be rolled out") {
  Server server;
  server.publish_trust();
  server.publish("1.0.0", 1);
  TrustUpdate other_gate;
  other_gate.gate_policy = server.publisher->policy("gate-2");
  other_gate.targets = server.publisher->targets(2, other_gate.gate_policy);
  REQUIRE(server.post("/api/v1/trust", Server::trust_body(other_gate)).status() == 200);
  const Json gate = server.get("/api/v1/releases/fashion-mnist/1.0.0").json()["gate"];
  CHECK(gate["verified"] == false);
  CHECK_FALSE(gate["error"] == "");
  const Answer refused = server.post("/api/v1/rollouts", {{"model", model}, {"version", "1.0.0"}});
  CHECK(refused.status() == 422);
  CHECK(refused.code() == "release_not_gated");
}

TEST_CASE("releases and models are listed, newest first, page by page, with their states") {
  Server server;
  server.publish_trust();
  for (int i = 0; i < 3; ++i) {
    server.publish("1." + std::to_string(i) + ".0", i + 1);
    server.clock.advance(1s);
  }
  const Json first = server.get("/api/v1/releases?limit=2").json();
  REQUIRE(first["items"].size() == 2);
  CHECK(first["items"][0]["version"] == "1.2.0");
  CHECK(first["items"][0]["gate_result"] == "PASSED");
  CHECK(first["items"][0]["variant_names"] == Json::array({"fp32"}));
  CHECK_FALSE(first["items"][0].contains("gate"));
  const std::string cursor = first["next_cursor"].get<std::string>();
  const Json second = server.get("/api/v1/releases?limit=2&cursor=" + cursor).json();
  REQUIRE(second["items"].size() == 1);
  CHECK(second["items"][0]["version"] == "1.0.0");
  CHECK(second["next_cursor"] == "");
  CHECK(server.get("/api/v1/releases?model=other").json()["items"].empty());
  CHECK(server.get("/api/v1/releases?model=fashion-mnist").json()["items"].size() == 3);
  const auto state = [&](const char* version) {
    return server.get(std::string("/api/v1/releases/fashion-mnist/") + version).json()["state"];
  };
  const std::string old = server.rollout("1.0.0");
  CHECK(state("1.0.0") == "rolling_out");
  CHECK(server.get("/api/v1/models").json()["items"][0]["active_rollout"] == old);
  REQUIRE(server.post("/api/v1/rollouts/" + old + ":promote").status() == 200);
  CHECK(state("1.0.0") == "current");
  const std::string next = server.rollout("1.1.0");
  REQUIRE(server.post("/api/v1/rollouts/" + next + ":promote").status() == 200);
  CHECK(state("1.0.0") == "superseded");
  CHECK(state("1.1.0") == "current");
  const Json models = server.get("/api/v1/models").json()["items"];
  REQUIRE(models.size() == 1);
  CHECK(models[0] == *parse_json(R"({"model": "fashion-mnist", "releases": 3, "latest": "1.2.0", "current": "1.1.0",
                                     "devices": 0, "active_rollout": "", "minimum_counter": 1})"));
  CHECK(server.get("/api/v1/releases/fashion-mnist/1.1.0").json()["rollouts"] ==
        Json::array({Json{{"id", next}, {"state", "done"}}}));
}
