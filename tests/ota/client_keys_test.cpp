// Who must have signed: rotation of keys and thresholds, for root and below, and signatures that do not count.
#include "tests/ota/tuf_device.hpp"

using namespace ferry;
using namespace ferry::ota;
using namespace ferry::test;

namespace {

// Keys are named by numbers; the same number is the same key throughout a test.
struct Version {
  std::vector<int> keys;
  int threshold;
  std::vector<int> signers;
  bool accepted = true;
};

class Keyring {
 public:
  std::vector<PrivateKey> pick(const std::vector<int>& numbers) {
    std::vector<PrivateKey> picked;
    for (int number : numbers) picked.push_back(keys_.at(static_cast<std::size_t>(number)));
    return picked;
  }

 private:
  static std::vector<PrivateKey> make() {
    std::vector<PrivateKey> made;
    for (int i = 0; i < 10; ++i) made.push_back(*PrivateKey::generate());
    return made;
  }
  std::vector<PrivateKey> keys_ = make();
};

void give(SimRepository& repository, const std::string& role, const std::vector<PrivateKey>& keys, int threshold,
          std::vector<PrivateKey> signers) {
  repository.root["roles"][role]["keyids"] = Json::array();
  repository.root["roles"][role]["threshold"] = threshold;
  for (const auto& key : keys) SimRepository::trust(repository.root, role, key);
  repository.signers[role] = std::move(signers);
}

}  // namespace

TEST_CASE("each root is signed by the threshold before it and its own") {
  struct Case {
    const char* name;
    std::vector<Version> versions;  // the first is the one a device starts from; only the last may be refused
  };
  const std::vector<Case> cases = {
      {"one key for another", {{{1}, 1, {1}}, {{2}, 1, {2, 1}}, {{2}, 1, {2}}}},
      {"strangers sign too", {{{1}, 1, {3, 1, 4}}, {{2}, 1, {3, 2, 1, 4}}, {{2}, 1, {3, 2, 4}}}},
      {"any 3 of 5",
       {{{0, 1, 2, 3, 4}, 3, {0, 2, 4}}, {{0, 1, 2, 3, 4}, 3, {0, 4, 1}}, {{0, 1, 2, 3, 4}, 3, {0, 1, 3}}}},
      {"one of 5 replaced", {{{0, 1, 2, 3, 4}, 3, {0, 2, 4}}, {{0, 1, 3, 4, 5}, 3, {0, 4, 1}}}},
      {"one of 5 replaced, a step between",
       {{{0, 1, 2, 3, 4}, 3, {0, 2, 4}}, {{0, 1, 3, 4, 5}, 3, {0, 2, 4, 5}}, {{0, 1, 3, 4, 5}, 3, {0, 4, 5}}}},
      {"all of 5 replaced",
       {{{0, 1, 2, 3, 4}, 3, {0, 2, 4}}, {{5, 6, 7, 8, 9}, 3, {0, 2, 4, 5, 6, 7}}, {{5, 6, 7, 8, 9}, 3, {5, 6, 7}}}},
      {"threshold up", {{{1, 2, 3}, 1, {1}}, {{1, 2, 3}, 2, {1, 2}}}},
      {"threshold and keys up", {{{1}, 1, {1}}, {{1, 2}, 2, {1, 2}}}},
      {"threshold down", {{{1, 2, 3}, 2, {1, 2}}, {{1, 2, 3}, 1, {1, 2}}, {{1, 2, 3}, 1, {1}}}},
      {"not by the old key", {{{1}, 1, {1}}, {{2}, 1, {2, 3, 4}, false}}},
      {"not by the new key", {{{1}, 1, {1}}, {{2}, 1, {1, 3, 4}, false}}},
      {"too few new keys", {{{0, 1, 2, 3, 4}, 3, {0, 2, 4}}, {{0, 1, 3, 4, 5}, 3, {0, 2, 4}, false}}},
      {"too few old keys", {{{0, 1, 2, 3, 4}, 3, {0, 2, 4}}, {{0, 1, 3, 4, 5}, 3, {0, 4, 5}, false}}},
      {"the higher threshold is not met", {{{1, 2, 3}, 1, {1}}, {{1, 2, 3}, 2, {2}, false}}},
      {"the old, higher threshold is not met", {{{1, 2, 3}, 2, {1, 2}}, {{1, 2, 3}, 1, {1}, false}}},
  };
  Keyring keyring;
  for (const auto& [name, versions] : cases) {
    INFO(name);
    SimRepository repository;
    repository.served.erase("1.root.json");
    repository.root["version"] = 0;
    for (const auto& version : versions) {
      give(repository, "root", keyring.pick(version.keys), version.threshold, keyring.pick(version.signers));
      repository.publish_root();
    }
    Device device(repository);
    auto last = versions.size();
    CHECK(device.refresh().has_value() == versions.back().accepted);
    if (!versions.back().accepted) --last;
    CHECK(device.file("root.json") == repository.served[std::to_string(last) + ".root.json"]);
  }
}

TEST_CASE("timestamp, snapshot and targets are signed by the threshold of the present root") {
  const std::vector<std::pair<const char*, Version>> cases = {
      {"another key", {{2}, 1, {2}}},
      {"strangers sign too", {{1}, 1, {3, 1, 4}}},
      {"not by the new key", {{2}, 1, {1, 3, 4}, false}},
      {"a former key among three", {{0, 1, 3, 4, 5}, 3, {0, 2, 4}, false}},
      {"one too few", {{0, 1, 3, 4, 5}, 3, {0, 4}, false}},
      {"3 of 5", {{0, 1, 2, 3, 4}, 3, {0, 2, 4}}},
      {"another 3 of 5", {{0, 1, 2, 3, 4}, 3, {2, 3, 4}}},
      {"a threshold that nobody can meet", {{0, 1, 2, 3, 4}, 6, {0, 1, 2, 3, 4}, false}},
  };
  Keyring keyring;
  for (const std::string role : {"timestamp", "snapshot", "targets"}) {
    for (const auto& [name, version] : cases) {
      INFO(role << ": " << name);
      SimRepository repository;
      Device device(repository);
      REQUIRE(device.refresh());
      give(repository, role, keyring.pick(version.keys), version.threshold, keyring.pick(version.signers));
      repository.publish_root();
      repository.bump("targets");
      repository.publish();
      auto refreshed = device.refresh();
      CHECK(refreshed.has_value() == version.accepted);
      // The root is fine in any case; what it names nobody for is not.
      CHECK(device.file("root.json") == repository.served["2.root.json"]);
      if (version.accepted)
        CHECK(device.trusted() == "root 2, snapshot 2, targets 2, timestamp 2");
      else
        CHECK(refreshed.error().code == Errc::bad_signature);
    }
  }
}

TEST_CASE("fewer signatures than the threshold leave the files of before") {
  SimRepository repository;
  Keyring keyring;
  give(repository, "snapshot", keyring.pick({0, 1, 2}), 3, keyring.pick({0, 1, 2}));
  repository.publish_root();
  repository.publish();
  Device device(repository);
  REQUIRE(device.refresh());
  repository.signers["snapshot"].pop_back();
  repository.publish();
  check_refused(device.refresh(), Errc::bad_signature, "snapshot: signed by 2 trusted keys, expected 3");
  CHECK(device.trusted() == "root 2, snapshot 2, targets 1, timestamp 3");
}

TEST_CASE("one key, however often it is listed and signs, is one signature") {
  SimRepository repository;
  Device device(repository);
  auto& ids = repository.root["roles"]["snapshot"]["keyids"];
  repository.root["roles"]["snapshot"]["threshold"] = 6;
  for (int i = 0; i < 8; ++i) ids.push_back(ids[0]);
  repository.publish_root();
  auto document = Json::parse(repository.served["1.snapshot.json"]);
  for (int i = 0; i < 8; ++i) document["signatures"].push_back(document["signatures"][0]);
  repository.list_bytes = false;
  repository.served["2.snapshot.json"] = document.dump();
  repository.timestamp["meta"]["snapshot.json"] = {{"version", 2}};
  repository.publish_timestamp();
  CHECK_FALSE(device.refresh());
  CHECK(device.trusted() == "root 1");
}

TEST_CASE("signatures with one key id twice are refused, though one of them would do") {
  SimRepository repository;
  repository.list_bytes = false;
  repository.publish();
  auto document = Json::parse(repository.served["2.snapshot.json"]);
  document["signatures"].push_back(document["signatures"][0]);
  repository.served["2.snapshot.json"] = document.dump();
  Device device(repository);
  check_refused(device.refresh(), Errc::bad_input, "listed twice");
  CHECK(device.trusted() == "root 1, timestamp 2");
}

TEST_CASE("an invalid or empty signature beside enough good ones does no harm") {
  SimRepository repository;
  Device device(repository);
  auto former = repository.signers["timestamp"][0];
  auto second = *PrivateKey::generate();
  SimRepository::trust(repository.root, "timestamp", second);
  repository.publish_root();
  repository.signers["timestamp"].push_back(second);
  auto id = tuf_key_id(former.public_key());
  for (const std::string& signature : {to_hex(*former.sign("something else")), std::string(), std::string("zz")}) {
    repository.publish_timestamp();
    auto document = Json::parse(repository.served["timestamp.json"]);
    for (auto& entry : document["signatures"])
      if (entry["keyid"] == id) entry["sig"] = signature;
    repository.served["timestamp.json"] = document.dump();
    INFO(signature);
    CHECK(device.refresh());
    CHECK(device.file("timestamp.json") == document.dump());
  }
}

TEST_CASE("every scheme of the specification can be needed, and a wrong signature of it is refused") {
  for (auto scheme :
       {KeyScheme::ecdsa_p256_sha256, KeyScheme::ecdsa_p384_sha384, KeyScheme::ed25519, KeyScheme::rsa_pss_sha256}) {
    SimRepository repository;
    Device device(repository);
    auto key = *PrivateKey::generate(scheme);
    repository.root["roles"]["root"]["threshold"] = 2;
    SimRepository::trust(repository.root, "root", key);
    repository.signers["root"].push_back(key);
    repository.publish_root();
    REQUIRE(device.refresh());
    CHECK(device.trusted() == "root 2, snapshot 1, targets 1, timestamp 1");
    repository.publish_root();
    auto document = Json::parse(repository.served["3.root.json"]);
    for (auto& entry : document["signatures"])
      if (entry["keyid"] == tuf_key_id(key.public_key())) entry["sig"] = to_hex(*key.sign("another message"));
    repository.served["3.root.json"] = document.dump();
    check_refused(device.refresh(), Errc::bad_signature, "signed by 1 trusted keys, expected 2");
    CHECK(device.trusted() == "root 2, snapshot 1, targets 1, timestamp 1");
  }
}

TEST_CASE("fields that nobody knows are signed and otherwise without meaning") {
  SimRepository repository;
  Device device(repository);
  auto key = *PrivateKey::generate();
  Json object = Json::parse(tuf_key_json(key.public_key()));
  object["x-note"] = {{"a", 1}, {"b", 2}};
  object["keyid_hash_algorithms"] = "md5";
  auto id = sha256(*canonical_json(object)).hex();
  repository.root["keys"][id] = object;
  repository.root["roles"]["timestamp"]["keyids"] = {id};
  repository.root["roles"]["root"]["x-note"] = "value";
  repository.root["x-note"] = "value";
  repository.publish_root();
  for (auto* body : {&repository.timestamp, &repository.snapshot}) (*body)["x-note"] = Json::array({1, "two"});
  repository.roles["targets"]["x-note"] = nullptr;
  repository.bump("targets");
  repository.publish();
  // SimRepository signs under the plain key's id; this key has another.
  repository.signers["timestamp"] = {key};
  auto document = Json::parse(repository.sign(repository.timestamp, "timestamp"));
  document["signatures"][0]["keyid"] = id;
  document["x-note"] = "outside of what is signed";
  repository.served["timestamp.json"] = document.dump();
  REQUIRE(device.refresh());
  CHECK(device.trusted() == "root 2, snapshot 2, targets 2, timestamp 2");
  document["signed"]["x-note"] = Json::array({1, "three"});
  document["signed"]["version"] = 3;
  repository.served["timestamp.json"] = document.dump();
  check_refused(device.refresh(), Errc::bad_signature, "timestamp");
}

TEST_CASE("a role made by hand with threshold 0 still needs a signature") {
  SimRepository repository;
  auto timestamp = parse_timestamp(repository.served["timestamp.json"]);
  auto root = parse_root(repository.served["1.root.json"]);
  REQUIRE(timestamp);
  REQUIRE(root);
  auto role = root->roles.at("timestamp");
  role.threshold = 0;
  CHECK(verify_threshold(*timestamp, root->keys, role, "timestamp"));
  timestamp->signatures.clear();
  CHECK_FALSE(verify_threshold(*timestamp, root->keys, role, "timestamp"));
}
