#include "ota/metadata.hpp"

#include "tests/support/sim_repository.hpp"

#include <set>

using namespace ferry;
using namespace ferry::ota;
using ferry::test::SimRepository;

namespace {

// One refusal of a parser: what is done to the signed part, and what the error must name.
struct Case {
  const char* name;
  std::function<void(Json&)> change;
  const char* named;
};

template <class Parse>
void check_refused(const Json& good, const std::string& role, const SimRepository& repository, Parse parse,
                   const std::vector<Case>& cases) {
  auto accepted = parse(repository.sign(good, role));
  INFO(role << ": " << (accepted ? "" : accepted.error().context));
  REQUIRE(accepted);
  for (const auto& test : cases) {
    Json body = good;
    test.change(body);
    auto result = parse(repository.sign(body, role));
    INFO(role << ": " << test.name);
    REQUIRE_FALSE(result);
    CHECK_THAT(result.error().context, Catch::Contains(test.named));
  }
}

auto as_root = [](const std::string& bytes) { return parse_root(bytes); };
auto as_timestamp = [](const std::string& bytes) { return parse_timestamp(bytes); };
auto as_snapshot = [](const std::string& bytes) { return parse_snapshot(bytes); };
auto as_targets = [](const std::string& bytes) { return parse_targets(bytes); };

const std::vector<Case> header_cases = {
    {"no type", [](Json& b) { b.erase("_type"); }, "_type"},
    {"another type", [](Json& b) { b["_type"] = "mirrors"; }, "_type"},
    {"spec 2", [](Json& b) { b["spec_version"] = "2.0.0"; }, "spec_version"},
    {"spec 1 alone", [](Json& b) { b["spec_version"] = "1"; }, "spec_version"},
    {"spec 1.x.y.z", [](Json& b) { b["spec_version"] = "1.0.0.0"; }, "spec_version"},
    {"spec with letters", [](Json& b) { b["spec_version"] = "1.0.a"; }, "spec_version"},
    {"spec as number", [](Json& b) { b["spec_version"] = 1; }, "spec_version"},
    {"version 0", [](Json& b) { b["version"] = 0; }, "version"},
    {"version negative", [](Json& b) { b["version"] = -1; }, "version"},
    {"version as string", [](Json& b) { b["version"] = "1"; }, "version"},
    {"version true", [](Json& b) { b["version"] = true; }, "version"},
    {"version huge", [](Json& b) { b["version"] = 18446744073709551615u; }, "version"},
    {"no version", [](Json& b) { b.erase("version"); }, "version"},
    {"expires with offset", [](Json& b) { b["expires"] = "2030-01-01T00:00:00+00:00"; }, "expires"},
    {"expires with fraction", [](Json& b) { b["expires"] = "2030-01-01T00:00:00.5Z"; }, "expires"},
    {"expires on no day", [](Json& b) { b["expires"] = "2030-02-30T00:00:00Z"; }, "expires"},
    {"expires as number", [](Json& b) { b["expires"] = 4; }, "expires"},
    {"a float somewhere", [](Json& b) { b["x-own"]["share"] = 0.5; }, ""},
};

}  // namespace

TEST_CASE("every role refuses a bad header, naming the field") {
  SimRepository repository;
  check_refused(repository.root, "root", repository, as_root, header_cases);
  check_refused(repository.timestamp, "timestamp", repository, as_timestamp, header_cases);
  check_refused(repository.snapshot, "snapshot", repository, as_snapshot, header_cases);
  check_refused(repository.roles["targets"], "targets", repository, as_targets, header_cases);
}

TEST_CASE("spec versions 1.x and 1.x.y are accepted") {
  SimRepository repository;
  for (const char* version : {"1.0", "1.0.31", "1.0.34", "1.99.1"}) {
    repository.timestamp["spec_version"] = version;
    CHECK(parse_timestamp(repository.sign(repository.timestamp, "timestamp")));
  }
}

TEST_CASE("root refuses bad roles and keys, naming the field") {
  SimRepository repository;
  check_refused(
      repository.root, "root", repository, as_root,
      {
          {"threshold 0", [](Json& b) { b["roles"]["root"]["threshold"] = 0; }, "threshold"},
          {"threshold negative", [](Json& b) { b["roles"]["timestamp"]["threshold"] = -1; }, "threshold"},
          {"threshold true", [](Json& b) { b["roles"]["timestamp"]["threshold"] = true; }, "threshold"},
          {"a key id twice",
           [](Json& b) {
             auto& ids = b["roles"]["root"]["keyids"];
             ids.push_back(ids[0]);
           },
           "twice"},
          {"a role missing", [](Json& b) { b["roles"].erase("snapshot"); }, "snapshot"},
          {"no roles", [](Json& b) { b.erase("roles"); }, "roles"},
          {"no keys", [](Json& b) { b.erase("keys"); }, "keys"},
          {"keys a list", [](Json& b) { b["keys"] = Json::array(); }, "keys"},
          {"key not an object", [](Json& b) { b["keys"].begin().value() = 1; }, "keys"},
          {"key without type", [](Json& b) { b["keys"].begin().value().erase("keytype"); }, "keytype"},
          {"key without scheme", [](Json& b) { b["keys"].begin().value().erase("scheme"); }, "scheme"},
          {"key without value", [](Json& b) { b["keys"].begin().value().erase("keyval"); }, "keyval"},
          {"a key id that is not the key's", [](Json& b) { b["keys"].begin().value()["x-note"] = "more"; }, "key id"},
          {"consistent_snapshot a string", [](Json& b) { b["consistent_snapshot"] = "true"; }, "consistent_snapshot"},
      });
}

TEST_CASE("a key id that is not the key's digest is accepted only when the switch says so") {
  SimRepository repository;
  repository.root["keys"].begin().value()["x-note"] = "changes the digest";
  auto bytes = repository.sign(repository.root, "root");
  CHECK_FALSE(parse_root(bytes));
  CHECK(parse_root(bytes, ParseOptions{.enforce_key_ids = false}));
}

TEST_CASE("timestamp lists snapshot.json and nothing else") {
  SimRepository repository;
  check_refused(
      repository.timestamp, "timestamp", repository, as_timestamp,
      {
          {"no meta", [](Json& b) { b.erase("meta"); }, "meta"},
          {"empty meta", [](Json& b) { b["meta"] = Json::object(); }, "snapshot.json"},
          {"another file",
           [](Json& b) {
             b["meta"] = {{"other.json", {{"version", 1}}}};
           },
           "snapshot.json"},
          {"one more",
           [](Json& b) {
             b["meta"]["other.json"] = {{"version", 1}};
           },
           "snapshot.json"},
          {"entry not an object", [](Json& b) { b["meta"]["snapshot.json"] = 1; }, "snapshot.json"},
          {"no version", [](Json& b) { b["meta"]["snapshot.json"].erase("version"); }, "version"},
          {"version 0", [](Json& b) { b["meta"]["snapshot.json"]["version"] = 0; }, "version"},
          {"length negative", [](Json& b) { b["meta"]["snapshot.json"]["length"] = -1; }, "length"},
          {"hashes empty", [](Json& b) { b["meta"]["snapshot.json"]["hashes"] = Json::object(); }, "hashes"},
          {"a short hash", [](Json& b) { b["meta"]["snapshot.json"]["hashes"]["sha256"] = "abcd"; }, "sha256"},
          {"a hash that is a path", [](Json& b) { b["meta"]["snapshot.json"]["hashes"]["sha256"] = "../../etc"; },
           "sha256"},
      });
}

TEST_CASE("snapshot refuses bad entries, naming the file") {
  SimRepository repository;
  check_refused(repository.snapshot, "snapshot", repository, as_snapshot,
                {
                    {"no meta", [](Json& b) { b.erase("meta"); }, "meta"},
                    {"meta a list", [](Json& b) { b["meta"] = Json::array(); }, "meta"},
                    {"entry without version", [](Json& b) { b["meta"]["team.json"].erase("version"); }, "team.json"},
                    {"entry null", [](Json& b) { b["meta"]["team.json"] = nullptr; }, "team.json"},
                });
}

TEST_CASE("targets refuses bad targets and delegations, naming the field") {
  SimRepository repository;
  repository.add_target("targets", "a.bin", "hello");
  auto role = [](Json& b) -> Json& { return b["delegations"]["roles"][0]; };
  check_refused(
      repository.roles["targets"], "targets", repository, as_targets,
      {
          {"no targets", [](Json& b) { b.erase("targets"); }, "targets"},
          {"targets a list", [](Json& b) { b["targets"] = Json::array(); }, "targets"},
          {"target without length", [](Json& b) { b["targets"]["a.bin"].erase("length"); }, "length"},
          {"length negative", [](Json& b) { b["targets"]["a.bin"]["length"] = -1; }, "length"},
          {"no hashes", [](Json& b) { b["targets"]["a.bin"].erase("hashes"); }, "hashes"},
          {"empty hashes", [](Json& b) { b["targets"]["a.bin"]["hashes"] = Json::object(); }, "hashes"},
          {"hash not a string", [](Json& b) { b["targets"]["a.bin"]["hashes"]["sha256"] = 1; }, "sha256"},
          {"custom not an object", [](Json& b) { b["targets"]["a.bin"]["custom"] = 1; }, "custom"},
          {"empty path", [](Json& b) { b["targets"][""] = b["targets"]["a.bin"]; }, "targets."},
          {"delegations without keys", [](Json& b) { b["delegations"].erase("keys"); }, "keys"},
          {"delegations without roles", [](Json& b) { b["delegations"].erase("roles"); }, "roles"},
          {"delegations a list", [](Json& b) { b["delegations"] = Json::array(); }, "delegations"},
          {"role not an object", [&](Json& b) { role(b) = 1; }, "roles[0]"},
          {"role without name", [&](Json& b) { role(b).erase("name"); }, "name"},
          {"role named root", [&](Json& b) { role(b)["name"] = "root"; }, "name"},
          {"role named timestamp", [&](Json& b) { role(b)["name"] = "timestamp"; }, "name"},
          {"role with an empty name", [&](Json& b) { role(b)["name"] = ""; }, "name"},
          {"the same name twice", [&](Json& b) { b["delegations"]["roles"].push_back(role(b)); }, "twice"},
          {"threshold 0", [&](Json& b) { role(b)["threshold"] = 0; }, "threshold"},
          {"a key id twice", [&](Json& b) { role(b)["keyids"].push_back(role(b)["keyids"][0]); }, "twice"},
          {"terminating a number", [&](Json& b) { role(b)["terminating"] = 1; }, "terminating"},
          {"no terminating", [&](Json& b) { role(b).erase("terminating"); }, "terminating"},
          {"neither paths nor prefixes", [&](Json& b) { role(b).erase("paths"); }, "exactly one"},
          {"both", [&](Json& b) { role(b)["path_hash_prefixes"] = {"ab"}; }, "exactly one"},
          {"a path that is a number", [&](Json& b) { role(b)["paths"] = {1}; }, "paths"},
          {"a prefix that is not hex",
           [&](Json& b) {
             role(b).erase("paths");
             role(b)["path_hash_prefixes"] = {"xy"};
           },
           "hex"},
          {"both kinds of roles", [](Json& b) { b["delegations"]["succinct_roles"] = Json::object(); }, "exactly one"},
          {"minimum_counter a string", [](Json& b) { b["x-ferry"]["minimum_counter"] = "1"; }, "minimum_counter"},
      });
}

TEST_CASE("the envelope refuses what is not signed metadata") {
  SimRepository repository;
  Json good = Json::parse(repository.served["timestamp.json"]);
  auto refuse = [&](const std::function<void(Json&)>& change, const char* named) {
    Json document = good;
    change(document);
    auto result = parse_timestamp(document.dump());
    INFO(named);
    REQUIRE_FALSE(result);
    CHECK_THAT(result.error().context, Catch::Contains(named));
  };
  refuse([](Json& d) { d.erase("signed"); }, "signed");
  refuse([](Json& d) { d["signed"] = Json::array(); }, "signed");
  refuse([](Json& d) { d.erase("signatures"); }, "signatures");
  refuse([](Json& d) { d["signatures"] = Json::object(); }, "signatures");
  refuse([](Json& d) { d["signatures"][0] = "x"; }, "signatures");
  refuse([](Json& d) { d["signatures"][0].erase("keyid"); }, "keyid");
  refuse([](Json& d) { d["signatures"][0]["sig"] = 1; }, "sig");
  refuse([](Json& d) { d["signatures"].push_back(d["signatures"][0]); }, "twice");
  for (const char* text : {"", "null", "[]", "{", "{}\n{}", "\xff", "{\"signed\":{},\"signed\":{}}"})
    CHECK_FALSE(parse_timestamp(text));
  CHECK_FALSE(parse_timestamp(good.dump() + std::string("\0junk", 5)));
  CHECK_FALSE(parse_timestamp(std::string(100'000, '[')));
  CHECK_FALSE(parse_timestamp("{\"a\":" + std::string(10'000, '[') + std::string(10'000, ']') + "}"));
}

TEST_CASE("no single wrong type anywhere in any role crashes a parser") {
  SimRepository repository;
  repository.add_target("targets", "a.bin", "hello");
  const std::vector<Json> replacements = {nullptr,
                                          true,
                                          -1,
                                          0,
                                          "",
                                          "x",
                                          Json::array(),
                                          Json::object(),
                                          {1, 2},
                                          {{"a", 1}},
                                          std::string(100'000, 'x'),
                                          9223372036854775807};
  int tried = 0, refused = 0;
  auto mutate = [&](const Json& body, auto parse) {
    Json flat = body.flatten();
    std::set<std::string> pointers;
    for (const auto& [pointer, value] : flat.items())
      for (auto cut = pointer.size(); cut != std::string::npos && cut > 0; cut = pointer.rfind('/', cut - 1))
        pointers.insert(pointer.substr(0, cut));
    for (const auto& pointer : pointers) {
      for (const auto& replacement : replacements) {
        Json document;
        document["signed"] = body;
        document["signatures"] = Json::array();
        document["signed"][Json::json_pointer(pointer)] = replacement;
        ++tried;
        if (!parse(document.dump())) ++refused;
      }
    }
  };
  mutate(repository.root, as_root);
  mutate(repository.timestamp, as_timestamp);
  mutate(repository.snapshot, as_snapshot);
  mutate(repository.roles["targets"], as_targets);
  CHECK(tried > 500);
  CHECK(refused > tried / 2);
}

TEST_CASE("unknown members stay in what signatures cover") {
  SimRepository repository;
  repository.root["x-tuf-on-ci-expiry-period"] = 365;
  repository.root["roles"]["root"]["x-note"] = "kept";
  auto root = parse_root(repository.sign(repository.root, "root"));
  REQUIRE(root);
  CHECK(root->canonical == *canonical_json(repository.root));
  CHECK_THAT(root->canonical, Catch::Contains("x-note"));
}

TEST_CASE("keys outside the whitelist are kept as unusable, not as trusted") {
  SimRepository repository;
  // P-384 and RSA-1024 SubjectPublicKeyInfo made by OpenSSL; the scheme strings lie about them.
  const std::string p384 =
      "-----BEGIN PUBLIC KEY-----\n"
      "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAECoekeTZr98izkUVy1L9amKkbg2U36ROZ\n"
      "7WrgneN1cgD1p64Ge3nKeftcF6msJvzTbR53yTl/HatIQ0KaB4Z7VYUAQC9uyYT4\n"
      "2oHxS7IKNDA5HTRuy3BjKjqm7mr0WYM7\n"
      "-----END PUBLIC KEY-----\n";
  const std::string rsa1024 =
      "-----BEGIN PUBLIC KEY-----\n"
      "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDafzCjd0vw35sDDFm9HX99ojII\n"
      "miadXKxwCVKPVqyQi1btiusnsbZ3wjuYft+E+X8TaSVeaGgQ4kC1ZDv53vOBt2cz\n"
      "9Annk+9u5N9865ba7mWnIUXAN7CXDNKINVqHrmQLhQWpTWC34+bLuKexKqwGuqsP\n"
      "S7nInOijQAkcC9CzxQIDAQAB\n"
      "-----END PUBLIC KEY-----\n";
  auto pem = repository.signers["targets"][0].public_key().pem();
  struct Lie {
    const char *type, *scheme;
    std::string text;
  };
  const std::vector<Lie> lies = {{"ecdsa", "ecdsa-sha2-nistp256", p384},
                                 {"ecdsa-sha2-nistp384", "ecdsa-sha2-nistp256", p384},
                                 {"rsa", "rsassa-pss-sha256", rsa1024},
                                 {"rsa", "rsassa-pss-sha256", pem},
                                 {"ed25519", "ed25519", pem},
                                 {"ed25519", "ed25519", "00"},
                                 {"ecdsa", "ecdsa-sha2-nistp384", pem},
                                 {"ecdsa", "rsassa-pss-sha256", pem},
                                 {"rsa", "rsa-pkcs1v15-sha256", pem},
                                 {"ecdsa", "ecdsa-sha2-nistp256", "not a key"}};
  for (const auto& lie : lies) {
    Json key = {{"keytype", lie.type}, {"scheme", lie.scheme}, {"keyval", {{"public", lie.text}}}};
    auto id = sha256(*canonical_json(key)).hex();
    Json body = repository.root;
    body["keys"][id] = key;
    auto root = parse_root(repository.sign(body, "root"));
    INFO(lie.type << " " << lie.scheme << " " << (root ? "" : root.error().context));
    REQUIRE(root);
    CHECK_FALSE(root->keys.at(id).has_value());
    CHECK_FALSE(parse_tuf_key(key.dump()));
  }
}
