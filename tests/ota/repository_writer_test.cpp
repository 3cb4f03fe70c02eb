#include "ota/repository_writer.hpp"

#include "ota/attestation.hpp"
#include "ota/repository_client.hpp"
#include "tests/support/temp_dir.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::ota;
using namespace std::chrono_literals;

namespace {

const Instant now = *from_rfc3339("2026-11-23T08:00:00Z");
std::span<const PrivateKey> one(const PrivateKey& key) { return {&key, 1}; }
RoleSigners by(const PrivateKey& key) { return {.keys = {key.public_key()}, .threshold = 1}; }

}  // namespace

TEST_CASE("a root is written that its own reader trusts, in the layout of the format") {
  auto root = *PrivateKey::generate(), online = *PrivateKey::generate();
  RootSpec spec{.version = 1,
                .expires = now + root_lifetime,
                .root = by(root),
                .timestamp = by(online),
                .snapshot = by(online),
                .targets = by(root)};
  auto bytes = write_root(spec, one(root));
  REQUIRE(bytes);
  auto read = parse_root(*bytes);
  REQUIRE(read);
  CHECK(read->consistent_snapshot);
  CHECK(read->keys.size() == 2);
  CHECK(Json::parse(*bytes)["signed"]["spec_version"] == "1.0.34");
  CHECK(verify_threshold(*read, read->keys, read->roles["root"], "root"));
}

TEST_CASE("roles that could never be signed are not written") {
  auto key = *PrivateKey::generate();
  RootSpec spec{.expires = now, .root = by(key), .timestamp = by(key), .snapshot = by(key), .targets = by(key)};
  spec.targets.threshold = 2;
  CHECK_THAT(write_root(spec, one(key)).error().context, Catch::Contains("targets: threshold 2 with 1 keys"));
  spec.targets.threshold = 0;
  CHECK_FALSE(write_root(spec, one(key)));
  spec.targets = {.keys = {key.public_key(), key.public_key()}, .threshold = 2};
  CHECK_THAT(write_root(spec, one(key)).error().context, Catch::Contains("twice"));
  spec.targets = by(key);
  CHECK_FALSE(write_root(spec, {}));
}

TEST_CASE("a k-of-n role is signed by each holder in turn") {
  auto a = *PrivateKey::generate(), b = *PrivateKey::generate();
  RoleSigners both{.keys = {a.public_key(), b.public_key()}, .threshold = 2};
  RootSpec spec{.expires = now, .root = both, .timestamp = both, .snapshot = both, .targets = both};
  auto bytes = *write_root(spec, one(a));
  auto trusted = [](const std::string& text) {
    auto root = parse_root(text);
    return root && verify_threshold(*root, root->keys, root->roles["root"], "root");
  };
  CHECK_FALSE(trusted(bytes));
  bytes = *add_signatures(bytes, one(b));
  CHECK(trusted(bytes));
  bytes = *add_signatures(bytes, one(b));  // again: replaced, not doubled
  CHECK(trusted(bytes));
  CHECK(Json::parse(bytes)["signatures"].size() == 2);
}

TEST_CASE("releases are added to a model's role and everything else stays") {
  auto key = *PrivateKey::generate();
  ReleaseEntry release{
      .model = "mnist", .version = "1.0.0", .manifest = "{}", .counter = 1, .attestations = {"line\n"}};
  auto first = add_release("", release, one(key), now);
  REQUIRE(first);
  auto read = *parse_targets(*first);
  CHECK(read.version == 1);
  CHECK(read.minimum_counter == 1);
  CHECK(read.expires == now + role_lifetime);
  auto custom = parse_release_custom(read.targets.at("mnist/1.0.0/manifest.json").custom_json);
  REQUIRE(custom);
  CHECK(custom->release_counter == 1);
  CHECK(check_pinned(*custom, "line\n"));

  // Members we do not know survive the next version.
  Json document = Json::parse(*first);
  document["signed"]["x-note"] = {{"kept", true}};
  document["signed"]["x-ferry"]["more"] = 1;
  release.version = "1.1.0", release.counter = 2;
  auto second = add_release(*add_signatures(document.dump(), one(key)), release, one(key), now + 1h);
  REQUIRE(second);
  read = *parse_targets(*second);
  CHECK(read.version == 2);
  CHECK(read.targets.size() == 2);
  CHECK(Json::parse(*second)["signed"]["x-note"]["kept"] == true);
  CHECK(Json::parse(*second)["signed"]["x-ferry"]["more"] == 1);

  auto raised = raise_minimum_counter(*second, 2, one(key), now);
  REQUIRE(raised);
  CHECK(parse_targets(*raised)->minimum_counter == 2);
  CHECK(parse_targets(*raised)->version == 3);
  CHECK(raise_minimum_counter(*raised, 1, one(key), now).error().code == Errc::rollback_refused);
  release.counter = 1;
  CHECK(add_release(*raised, release, one(key), now).error().reason == "trust.counter_below_floor");
  CHECK(parse_targets(*renew_targets(*raised, now + 10h, one(key)))->expires == now + 10h);
}

TEST_CASE("a release with a bad name, version, counter or no attestation is not written") {
  auto key = *PrivateKey::generate();
  const ReleaseEntry good{.model = "mnist", .version = "1.0.0", .manifest = "{}", .counter = 1, .attestations = {"x"}};
  auto refused = [&](const std::function<void(ReleaseEntry&)>& change) {
    auto entry = good;
    change(entry);
    return !add_release("", entry, one(key), now);
  };
  CHECK(refused([](auto& r) { r.model = "targets"; }));
  CHECK(refused([](auto& r) { r.version = "../1"; }));
  CHECK(refused([](auto& r) { r.counter = 0; }));
  CHECK(refused([](auto& r) { r.attestations.clear(); }));
  CHECK_FALSE(add_release("not metadata", good, one(key), now));
  CHECK_FALSE(model_delegation("a/b", by(key)));
}
