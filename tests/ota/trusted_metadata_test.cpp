#include "ota/trusted_metadata.hpp"

#include "tests/support/sim_repository.hpp"

using namespace ferry;
using namespace ferry::ota;
using namespace std::chrono_literals;
using ferry::test::SimRepository;

namespace {

TrustedMetadata from_first_root(SimRepository& repository) {
  return *TrustedMetadata::from_root(repository.served["1.root.json"], repository.now);
}

template <class T>
void check_refused(const Result<T>& result, Errc code, const char* named) {
  REQUIRE_FALSE(result);
  INFO(result.error().context);
  CHECK(result.error().code == code);
  CHECK(result.error().reason == "trust.metadata");
  CHECK_THAT(result.error().context, Catch::Contains(named));
}

// Trusts everything up to (not including) targets.
TrustedMetadata up_to_snapshot(SimRepository& repository) {
  auto trusted = from_first_root(repository);
  REQUIRE(trusted.update_timestamp(repository.served["timestamp.json"]));
  REQUIRE(trusted.update_snapshot(repository.served[repository.snapshot["version"].dump() + ".snapshot.json"]));
  return trusted;
}

}  // namespace

TEST_CASE("thresholds count distinct keys") {
  SimRepository repository;
  auto& root = repository.root;
  auto& role = root["roles"]["timestamp"];
  role["threshold"] = 2;
  Json document = Json::parse(repository.served["timestamp.json"]);

  SECTION("one key, one signature: refused") {
    repository.publish_root();
    auto trusted = TrustedMetadata::from_root(repository.served["2.root.json"], repository.now);
    REQUIRE(trusted);
    check_refused(trusted->update_timestamp(document.dump()), Errc::bad_signature,
                  "signed by 1 trusted keys, expected 2");
  }
  SECTION("one key under two key ids: counted once") {
    // An unknown member changes the digest, so the same key has a second, correct id.
    auto first = role["keyids"][0].get<std::string>();
    Json twin = root["keys"][first];
    twin["x-note"] = "twin";
    auto second = sha256(*canonical_json(twin)).hex();
    root["keys"][second] = twin;
    role["keyids"].push_back(second);
    repository.publish_root();
    document["signatures"].push_back({{"keyid", second}, {"sig", document["signatures"][0]["sig"]}});
    auto trusted = TrustedMetadata::from_root(repository.served["2.root.json"], repository.now);
    REQUIRE(trusted);
    check_refused(trusted->update_timestamp(document.dump()), Errc::bad_signature, "signed by 1 trusted keys");
  }
  SECTION("two keys: accepted, and empty, unknown and bad signatures beside them are ignored") {
    auto second = *PrivateKey::generate(KeyScheme::ed25519), idle = *PrivateKey::generate();
    SimRepository::trust(root, "timestamp", second);
    SimRepository::trust(root, "timestamp", idle);
    repository.publish_root();
    repository.signers["timestamp"].push_back(second);
    repository.publish_timestamp();
    document = Json::parse(repository.served["timestamp.json"]);
    document["signatures"].push_back({{"keyid", tuf_key_id(idle.public_key())}, {"sig", ""}});
    document["signatures"].push_back({{"keyid", "unknown"}, {"sig", "00"}});
    document["signatures"].push_back({{"keyid", "odd"}, {"sig", "xyz"}});
    auto trusted = TrustedMetadata::from_root(repository.served["2.root.json"], repository.now);
    REQUIRE(trusted);
    CHECK(*trusted->update_timestamp(document.dump()));
  }
  SECTION("a key of another role does not count") {
    repository.publish_root();
    repository.signers["timestamp"].push_back(repository.signers["targets"][0]);
    repository.publish_timestamp();
    auto trusted = TrustedMetadata::from_root(repository.served["2.root.json"], repository.now);
    REQUIRE(trusted);
    check_refused(trusted->update_timestamp(repository.served["timestamp.json"]), Errc::bad_signature, "signed by 1");
  }
}

TEST_CASE("ed25519 and RSA-PSS keys sign roles as P-256 does") {
  for (auto scheme : {KeyScheme::ed25519, KeyScheme::rsa_pss_sha256}) {
    SimRepository repository;
    repository.signers["timestamp"] = {*PrivateKey::generate(scheme)};
    repository.root["roles"]["timestamp"]["keyids"] = Json::array();
    SimRepository::trust(repository.root, "timestamp", repository.signers["timestamp"][0]);
    repository.publish_root();
    repository.publish_timestamp();
    auto trusted = TrustedMetadata::from_root(repository.served["2.root.json"], repository.now);
    REQUIRE(trusted);
    CHECK(*trusted->update_timestamp(repository.served["timestamp.json"]));
  }
}

TEST_CASE("a trusted root must be signed by itself") {
  SimRepository repository;
  Json document = Json::parse(repository.served["1.root.json"]);
  document["signatures"] = Json::array();
  check_refused(TrustedMetadata::from_root(document.dump(), repository.now), Errc::bad_signature, "trusted root");
  document = Json::parse(repository.served["1.root.json"]);
  document["signed"]["expires"] = "2040-01-01T00:00:00Z";
  check_refused(TrustedMetadata::from_root(document.dump(), repository.now), Errc::bad_signature, "trusted root");
}

TEST_CASE("a new root is one version on, signed by the old keys and its own") {
  SimRepository repository;
  auto trusted = from_first_root(repository);
  auto old_key = repository.signers["root"][0];
  auto new_key = *PrivateKey::generate();
  auto next = [&](int version, std::vector<PrivateKey> signers) {
    repository.root["version"] = version;
    repository.signers["root"] = std::move(signers);
    return repository.sign(repository.root, "root");
  };
  SECTION("the same version again") {
    check_refused(trusted.update_root(next(1, {old_key})), Errc::rollback_refused, "version is 1, expected 2");
  }
  SECTION("a version skipped") {
    check_refused(trusted.update_root(next(3, {old_key})), Errc::rollback_refused, "version is 3, expected 2");
  }
  SECTION("rotation") {
    repository.root["roles"]["root"]["keyids"] = Json::array();
    SimRepository::trust(repository.root, "root", new_key);
    check_refused(trusted.update_root(next(2, {new_key})), Errc::bad_signature, "previous");
    check_refused(trusted.update_root(next(2, {old_key})), Errc::bad_signature, "own keys");
    CHECK(trusted.root().version == 1);
    REQUIRE(trusted.update_root(next(2, {old_key, new_key})));
    CHECK(trusted.root().version == 2);
    REQUIRE(trusted.update_root(next(3, {new_key})));
    check_refused(trusted.update_root(next(4, {old_key})), Errc::bad_signature, "previous");
  }
  SECTION("an expired intermediate is fine, an expired final one is not") {
    repository.expires_in(repository.root, -1s);
    REQUIRE(trusted.update_root(next(2, {old_key})));
    check_refused(trusted.check_root_current(), Errc::expired, "root: expired");
    check_refused(trusted.update_timestamp(repository.served["timestamp.json"]), Errc::expired, "root");
    repository.expires_in(repository.root, 1s);
    REQUIRE(trusted.update_root(next(3, {old_key})));
    CHECK(trusted.check_root_current());
  }
  SECTION("it says when the keys of timestamp or snapshot changed") {
    CHECK_FALSE(*trusted.update_root(next(2, {old_key})));
    SimRepository::trust(repository.root, "snapshot", new_key);
    CHECK(*trusted.update_root(next(3, {old_key})));
    SimRepository::trust(repository.root, "timestamp", new_key);
    CHECK(*trusted.update_root(next(4, {old_key})));
    SimRepository::trust(repository.root, "targets", new_key);
    CHECK_FALSE(*trusted.update_root(next(5, {old_key})));
  }
}

TEST_CASE("expiry means: not after now") {
  SimRepository repository;
  for (auto [after, accepted] : {std::pair{0s, false}, std::pair{1s, true}}) {
    repository.expires_in(repository.timestamp, after);
    repository.publish_timestamp();
    auto trusted = from_first_root(repository);
    CHECK(trusted.update_timestamp(repository.served["timestamp.json"]).has_value() == accepted);
  }
}

TEST_CASE("a timestamp never goes back") {
  SimRepository repository;
  auto trusted = from_first_root(repository);
  repository.publish();
  REQUIRE(trusted.load_timestamp(repository.served["timestamp.json"]));  // version 2, snapshot 2
  repository.timestamp["version"] = 1;
  repository.serve_timestamp();
  check_refused(trusted.update_timestamp(repository.served["timestamp.json"]), Errc::rollback_refused,
                "timestamp: version is 1");
  repository.timestamp["version"] = 3;
  repository.timestamp["meta"]["snapshot.json"]["version"] = 1;
  repository.serve_timestamp();
  check_refused(trusted.update_timestamp(repository.served["timestamp.json"]), Errc::rollback_refused,
                "snapshot.json.version is 1");
  CHECK(trusted.timestamp()->version == 2);
}

TEST_CASE("the same timestamp again changes nothing, but an expired one carries nothing (frozen repository)") {
  SimRepository repository;
  auto bytes = repository.served["timestamp.json"];
  auto snapshot = repository.served["1.snapshot.json"];
  auto later = *TrustedMetadata::from_root(repository.served["1.root.json"], repository.now + 31 * 24h);
  REQUIRE(later.load_timestamp(bytes));
  CHECK_FALSE(*later.update_timestamp(bytes));
  check_refused(later.update_snapshot(snapshot), Errc::expired, "timestamp: expired");
  REQUIRE(later.load_snapshot(snapshot));
  CHECK_FALSE(later.snapshot_is_current());
  check_refused(later.update_targets(repository.served["1.targets.json"], {"targets"}), Errc::expired, "timestamp");
}

TEST_CASE("a snapshot must be the one the timestamp lists") {
  SimRepository repository;
  auto good = repository.served["1.snapshot.json"];
  auto with = [&](const std::function<void(Json&)>& change, const std::string& bytes, Errc code, const char* named) {
    SimRepository other = repository;
    change(other.timestamp["meta"]["snapshot.json"]);
    other.publish_timestamp();
    auto trusted = from_first_root(other);
    REQUIRE(trusted.update_timestamp(other.served["timestamp.json"]));
    check_refused(trusted.update_snapshot(bytes), code, named);
    CHECK_FALSE(trusted.snapshot());
  };
  with([](Json& m) { m["length"] = m["length"].get<int>() + 1; }, good, Errc::bad_signature, "length");
  with([](Json& m) { m["length"] = m["length"].get<int>() - 1; }, good, Errc::bad_signature, "length");
  with([](Json& m) { m["hashes"]["sha256"] = sha256("").hex(); }, good, Errc::bad_signature, "sha256");
  with([](Json& m) { m["hashes"]["sha512"] = sha512_hex("x"); }, good, Errc::bad_signature, "sha512");
  with([](Json& m) { m["version"] = 2; }, good, Errc::rollback_refused, "version is 1");
  auto bare = [](Json& m) { m.erase("length"), m.erase("hashes"); };
  with(bare, repository.sign(repository.snapshot, "targets"), Errc::bad_signature, "snapshot");
  repository.expires_in(repository.snapshot, 0s);
  with(bare, repository.sign(repository.snapshot, "snapshot"), Errc::expired, "snapshot");
}

TEST_CASE("no file of the snapshot goes back or disappears, delegated ones included") {
  for (const std::string file : {"targets.json", "team.json"}) {
    SimRepository repository;
    repository.bump("targets");
    repository.bump("team");
    repository.publish();
    auto before = repository.served["2.snapshot.json"];
    auto attempt = [&] {
      repository.publish_snapshot();
      auto trusted = from_first_root(repository);
      REQUIRE(trusted.load_snapshot(before));
      REQUIRE(trusted.update_timestamp(repository.served["timestamp.json"]));
      return trusted.update_snapshot(repository.served[repository.snapshot["version"].dump() + ".snapshot.json"]);
    };
    REQUIRE(attempt());
    repository.snapshot["meta"][file]["version"] = 1;
    check_refused(attempt(), Errc::rollback_refused, file.c_str());
    repository.snapshot["meta"].erase(file);
    check_refused(attempt(), Errc::rollback_refused, file.c_str());
    // A cached snapshot that has expired still protects.
    repository.now += 31 * 24h;
    for (auto* body : {&repository.snapshot, &repository.timestamp}) repository.expires_in(*body, 24h);
    check_refused(attempt(), Errc::rollback_refused, file.c_str());
  }
}

TEST_CASE("targets metadata is refused for the same reasons at both levels") {
  // The same cases for "targets" under root and for "team" under targets (CVE-2026-6967).
  for (const std::string role : {"targets", "team"}) {
    INFO(role);
    auto path = role == "team" ? RolePath{"targets", "team"} : RolePath{"targets"};
    SimRepository repository;
    auto attempt = [&] {
      auto trusted = up_to_snapshot(repository);
      if (role == "team") REQUIRE(trusted.update_targets(repository.served["1.targets.json"], {"targets"}));
      return trusted.update_targets(repository.served[repository.roles[role]["version"].dump() + "." + role + ".json"],
                                    path);
    };
    auto& body = repository.roles[role];
    auto& listed = repository.snapshot["meta"][role + ".json"];
    REQUIRE(attempt());
    SECTION(role + ": expired") {
      repository.expires_in(body, 0s);
      repository.publish();
      check_refused(attempt(), Errc::expired, role.c_str());
    }
    SECTION(role + ": listed hash") {
      listed["hashes"]["sha256"] = sha256("x").hex();
      repository.publish_snapshot();
      check_refused(attempt(), Errc::bad_signature, "sha256");
    }
    SECTION(role + ": one right and one wrong listed hash") {
      listed["hashes"]["sha512"] = sha512_hex("x");
      repository.publish_snapshot();
      check_refused(attempt(), Errc::bad_signature, "sha512");
    }
    SECTION(role + ": listed length") {
      listed["length"] = listed["length"].get<int>() + 1;
      repository.publish_snapshot();
      check_refused(attempt(), Errc::bad_signature, "length");
    }
    SECTION(role + ": version differs from the snapshot's") {
      listed = {{"version", 2}};
      repository.publish_snapshot();
      check_refused(attempt(), Errc::rollback_refused, "version is 1, the snapshot lists 2");
      listed = {{"version", 1}};
      body["version"] = 2;
      repository.served["2." + role + ".json"] = repository.sign(body, role);
      repository.publish_snapshot();
      check_refused(attempt(), Errc::rollback_refused, "version is 2, the snapshot lists 1");
    }
    SECTION(role + ": signed by another key") {
      repository.signers[role] = {*PrivateKey::generate()};
      repository.publish();
      check_refused(attempt(), Errc::bad_signature, role.c_str());
    }
    SECTION(role + ": a type that is not targets") {
      body["_type"] = "snapshot";
      repository.publish();
      check_refused(attempt(), Errc::bad_input, "_type");
    }
    SECTION(role + ": not in the snapshot") {
      repository.snapshot["meta"].erase(role + ".json");
      repository.publish_snapshot();
      check_refused(attempt(), Errc::not_found, "not listed");
    }
  }
}

TEST_CASE("a delegated threshold counts distinct keys of the delegation") {
  SimRepository repository;
  auto& role = repository.roles["targets"]["delegations"]["roles"][0];
  role["threshold"] = 2;
  auto& keys = repository.roles["targets"]["delegations"]["keys"];
  auto second = *PrivateKey::generate();
  auto id = tuf_key_id(second.public_key());
  keys[id] = Json::parse(tuf_key_json(second.public_key()));
  role["keyids"].push_back(id);
  repository.publish();
  auto attempt = [&] {
    auto trusted = up_to_snapshot(repository);
    REQUIRE(trusted.update_targets(repository.served["1.targets.json"], {"targets"}));
    return trusted.update_targets(repository.served["1.team.json"], {"targets", "team"});
  };
  check_refused(attempt(), Errc::bad_signature, "expected 2");
  repository.signers["team"].push_back(repository.signers["targets"][0]);  // a stranger to this delegation
  repository.publish();
  check_refused(attempt(), Errc::bad_signature, "expected 2");
  repository.signers["team"].push_back(second);
  repository.publish();
  CHECK(attempt());
}

TEST_CASE("a role trusted by one delegator is not trusted by another") {
  SimRepository repository;
  repository.delegate("targets", "left", {"*"});
  repository.delegate("targets", "right", {"*"});
  repository.delegate("left", "shared", {"*"});
  repository.signers["shared"] = {*PrivateKey::generate()};
  repository.delegate("right", "shared", {"*"});  // right names another key
  repository.signers["shared"] = {repository.signers["shared"][0]};
  repository.publish();
  auto trusted = up_to_snapshot(repository);
  REQUIRE(trusted.update_targets(repository.served["1.targets.json"], {"targets"}));
  REQUIRE(trusted.update_targets(repository.served["1.left.json"], {"targets", "left"}));
  REQUIRE(trusted.update_targets(repository.served["1.right.json"], {"targets", "right"}));
  check_refused(trusted.update_targets(repository.served["1.shared.json"], {"targets", "left", "shared"}),
                Errc::bad_signature, "shared");
  REQUIRE(trusted.update_targets(repository.served["1.shared.json"], {"targets", "right", "shared"}));
  CHECK(trusted.targets({"targets", "left", "shared"}) == nullptr);
  CHECK(trusted.targets({"targets", "right", "shared"}) != nullptr);
}

TEST_CASE("steps called too early are internal errors, not trust") {
  SimRepository repository;
  auto trusted = from_first_root(repository);
  CHECK(trusted.update_snapshot(repository.served["1.snapshot.json"]).error().code == Errc::internal);
  CHECK(trusted.update_targets(repository.served["1.targets.json"], {"targets"}).error().code == Errc::internal);
  CHECK(trusted.listed("targets").error().code == Errc::internal);
  trusted = up_to_snapshot(repository);
  CHECK(trusted.update_targets(repository.served["1.team.json"], {"targets", "team"}).error().code == Errc::internal);
  CHECK(trusted.update_root(repository.served["1.root.json"]).error().code == Errc::internal);
}
