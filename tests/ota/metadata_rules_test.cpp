#include "tests/support/sim_repository.hpp"

using namespace ferry;
using namespace ferry::ota;

TEST_CASE("path patterns match part by part") {
  struct Case {
    const char *pattern, *path;
    bool matches;
  };
  for (const auto& c : std::vector<Case>{{"targets/*.tgz", "targets/foo.tgz", true},
                                         {"targets/*.tgz", "targets/foo.txt", false},
                                         {"targets/*.tgz", "targets/a/foo.tgz", false},
                                         {"*", "foo", true},
                                         {"*", "a/b", false},
                                         {"*/*", "a/b", true},
                                         {"foo-version-?.tgz", "foo-version-2.tgz", true},
                                         {"foo-version-?.tgz", "foo-version-22.tgz", false},
                                         {"a/?", "a/", false},
                                         {"?", "/", false},
                                         {"m/*/manifest.json", "m/1.0.0/manifest.json", true},
                                         {"m/*/manifest.json", "m/1/0/manifest.json", false},
                                         {"m/*/manifest.json", "m/manifest.json", false},
                                         {"m/*/manifest.json", "mm/1/manifest.json", false},
                                         {"FOO", "foo", false},
                                         {"[ab]", "a", false},
                                         {"[ab]", "[ab]", true},
                                         {"a\\*", "a\\b", true},
                                         {"", "", true},
                                         {"", "a", false},
                                         {"a**b*", "axxbyy", true},
                                         {"a/", "a", false},
                                         {"*a*b", "xaybzb", true}}) {
    INFO(c.pattern << " against " << c.path);
    CHECK(path_matches(c.pattern, c.path) == c.matches);
  }
}

TEST_CASE("a hostile pattern costs no exponential time") {
  std::string pattern;
  for (int i = 0; i < 1000; ++i) pattern += "*a";
  CHECK_FALSE(path_matches(pattern, std::string(3000, 'a') + "b"));
}

TEST_CASE("hashed bins cover a path by the digest of its name") {
  Delegation bin;
  bin.by_hash = true;
  auto hex = sha256("dir/file").hex();
  bin.path_hash_prefixes = {"zz", hex.substr(0, 3)};
  CHECK(delegation_covers(bin, "dir/file"));
  bin.path_hash_prefixes = {hex.substr(0, 3) == "000" ? "001" : "000"};
  CHECK_FALSE(delegation_covers(bin, "dir/file"));
  bin.paths = {"*/*"};  // ignored: the delegation is by hash
  CHECK_FALSE(delegation_covers(bin, "dir/file"));
}

TEST_CASE("role names are percent-encoded but for unreserved characters") {
  CHECK(percent_encode("../delegatedrole") == "..%2Fdelegatedrole");
  CHECK(percent_encode("aZ09_.-~") == "aZ09_.-~");
  CHECK(percent_encode("a b?[]\xff") == "a%20b%3F%5B%5D%FF");
  CHECK(percent_encode("a/b c", true) == "a/b%20c");
}

TEST_CASE("all listed hashes of known algorithms must fit, and one must be known") {
  std::string bytes = "hello", right = sha256(bytes).hex(), wrong = sha256("other").hex();
  CHECK(check_hashes(bytes, {{"sha256", right}}, "x"));
  CHECK(check_hashes(bytes, {{"sha512", sha512_hex(bytes)}}, "x"));
  CHECK(check_hashes(bytes, {{"sha256", right}, {"sha512", sha512_hex(bytes)}}, "x"));
  CHECK(check_hashes(bytes, {{"sha256", right}, {"blake3", "00"}}, "x"));
  CHECK_FALSE(check_hashes(bytes, {{"sha256", wrong}}, "x"));
  CHECK_FALSE(check_hashes(bytes, {{"sha256", wrong}, {"sha512", sha512_hex(bytes)}}, "x"));
  CHECK_FALSE(check_hashes(bytes, {{"sha256", right}, {"sha512", sha512_hex("other")}}, "x"));
  CHECK_FALSE(check_hashes(bytes, {{"blake3", right}}, "x"));
  CHECK_FALSE(check_hashes(bytes, {}, "x"));
}

TEST_CASE("the custom part of a release is read back and refuses what is missing") {
  ReleaseCustom custom{.release_counter = 3, .attestations = {{sha256("a"), 1}}};
  auto text = print_release_custom(custom);
  auto read = parse_release_custom(text);
  REQUIRE(read);
  CHECK(read->release_counter == 3);
  CHECK(check_pinned(*read, "a"));
  CHECK(check_pinned(*read, "b").error().reason == "trust.attestation_invalid");
  for (const char* bad : {"", "[]", "{}", R"({"release_counter":0,"attestations":[]})", R"({"release_counter":1})",
                          R"({"release_counter":1,"attestations":[1]})",
                          R"({"release_counter":1,"attestations":[{"sha256":"00","length":1}]})",
                          R"({"release_counter":1.5,"attestations":[]})"})
    CHECK_FALSE(parse_release_custom(bad));
}

TEST_CASE("key objects and key ids of all three schemes are read back") {
  for (auto scheme : {KeyScheme::ecdsa_p256_sha256, KeyScheme::ed25519, KeyScheme::rsa_pss_sha256}) {
    auto key = PrivateKey::generate(scheme)->public_key();
    auto read = parse_tuf_key(tuf_key_json(key));
    REQUIRE(read);
    CHECK(read->spki_der() == key.spki_der());
    CHECK(tuf_key_id(key) == sha256(*canonical_json(Json::parse(tuf_key_json(key)))).hex());
  }
}
