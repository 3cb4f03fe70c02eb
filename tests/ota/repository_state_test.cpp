#include "ota/attestation.hpp"
#include "ota/repository_client.hpp"
#include "ota/repository_writer.hpp"
#include "tests/support/temp_dir.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::ota;
using namespace std::chrono_literals;

namespace {

std::span<const PrivateKey> one(const PrivateKey& key) { return {&key, 1}; }
RoleSigners by(const PrivateKey& key) { return {.keys = {key.public_key()}, .threshold = 1}; }

// The whole house: an owner with offline keys, a CI with a release key, a server with online keys.
struct House {
  Instant now = *from_rfc3339("2026-11-23T08:00:00Z");
  PrivateKey root = *PrivateKey::generate(), targets = *PrivateKey::generate(), release = *PrivateKey::generate(),
             gate = *PrivateKey::generate();
  OnlineKeys online{*PrivateKey::generate(), *PrivateKey::generate()};
  std::string policy = print_gate_policy({.threshold = 1, .age_max_days = 365, .keys = {gate.public_key()}});
  ReleaseEntry entry{.model = "mnist", .version = "1.0.0", .manifest = "{}", .counter = 1, .attestations = {"line\n"}};

  RootSpec root_spec(std::int64_t version) const {
    return {.version = version,
            .expires = now + root_lifetime,
            .root = by(root),
            .timestamp = by(online.timestamp),
            .snapshot = by(online.snapshot),
            .targets = by(targets)};
  }
  std::string root_bytes(std::int64_t version = 1) const { return *write_root(root_spec(version), one(root)); }
  std::string targets_bytes(std::int64_t version = 1) const {
    return *write_ferry_targets(version, now + targets_lifetime, policy, {*model_delegation("mnist", by(release))},
                                one(targets));
  }
  RepositoryState published() const {
    auto state = *accept_root_update({}, root_bytes(), now);
    state = *accept_targets_update(state, targets_bytes(), now);
    return *sign_online(state, online, now);
  }
};

void check_refused(const Result<RepositoryState>& result, Errc code, const char* named) {
  REQUIRE_FALSE(result);
  INFO(result.error().context);
  CHECK(result.error().code == code);
  CHECK_THAT(result.error().context, Catch::Contains(named));
}

struct Served : Fetcher {
  std::map<std::string, std::string> files;
  Result<std::string> fetch(const std::string& path, std::size_t bytes_max) override {
    auto found = files.find(path);
    if (found == files.end()) return Error{Errc::not_found, path};
    if (found->second.size() > bytes_max) return Error{Errc::bad_input, path};
    return found->second;
  }
};

}  // namespace

TEST_CASE("what the server serves, a device trusts, release after release") {
  House house;
  test::TempDir directory;
  Served metadata, blobs;
  auto state = house.published();
  auto device = [&](const std::string& version) -> Result<ReleaseTarget> {
    TRY(auto files, served_files(state));
    metadata.files.merge(files);  // older files stay served
    metadata.files["timestamp.json"] = state.timestamp;
    RepositoryClient::Options options;
    options.directory = directory.path();
    options.pinned_root = house.root_bytes();
    TRY(auto client, RepositoryClient::open(std::move(options), metadata, blobs, house.now));
    TRY_VOID(client.refresh());
    return client.find_release("mnist", version);
  };
  CHECK(device("1.0.0").error().code == Errc::not_found);
  auto role = *add_release("", house.entry, one(house.release), house.now);
  state = *accept_role_update(state, "mnist", role, house.now);
  CHECK(needs_online_signature(state, house.now));
  state = *sign_online(state, house.online, house.now);
  CHECK_FALSE(needs_online_signature(state, house.now));
  auto found = device("1.0.0");
  REQUIRE(found);
  CHECK(found->custom.release_counter == 1);
  house.entry.version = "1.1.0", house.entry.counter = 2;
  role = *add_release(role, house.entry, one(house.release), house.now);
  state = *sign_online(*accept_role_update(state, "mnist", role, house.now), house.online, house.now);
  CHECK(device("1.1.0"));
  CHECK(device("1.0.0"));  // going back needs no new signature
  role = *raise_minimum_counter(role, 2, one(house.release), house.now);
  state = *sign_online(*accept_role_update(state, "mnist", role, house.now), house.online, house.now);
  CHECK(device("1.0.0").error().reason == "trust.counter_below_floor");
  // The gate policy is a target of its own.
  auto policy = parse_targets(state.targets)->targets.at(std::string(gate_policy_target));
  blobs.files["ferry/" + policy.hashes["sha256"] + ".gate-policy.json"] = house.policy;
}

TEST_CASE("online metadata is renewed when half of its life is spent") {
  House house;
  auto state = house.published();
  CHECK_FALSE(needs_online_signature(state, house.now + 12h));
  CHECK(needs_online_signature(state, house.now + 12h + 1s));
  auto renewed = *sign_online(state, house.online, house.now + 13h);
  CHECK(renewed.snapshot == state.snapshot);  // only the timestamp was short-lived
  CHECK(parse_timestamp(renewed.timestamp)->version == 2);
  auto later = *sign_online(renewed, house.online, house.now + 4 * 24h);
  CHECK(parse_snapshot(later.snapshot)->version == 2);
  CHECK(needs_online_signature({}, house.now) == false);
  CHECK(sign_online({}, house.online, house.now).error().code == Errc::conflict);
}

TEST_CASE("online keys that root does not name are refused") {
  House house;
  OnlineKeys others{*PrivateKey::generate(), *PrivateKey::generate()};
  check_refused(
      sign_online(house.published(), OnlineKeys{others.snapshot, house.online.timestamp}, house.now + 5 * 24h),
      Errc::bad_input, "snapshot");
  check_refused(sign_online(house.published(), OnlineKeys{house.online.snapshot, others.timestamp}, house.now),
                Errc::bad_input, "timestamp");
}

TEST_CASE("a new role version is exactly one more, in time, signed, in its paths and above its floor") {
  House house;
  auto state = house.published();
  auto first = *add_release("", house.entry, one(house.release), house.now);
  state = *accept_role_update(state, "mnist", first, house.now);
  CHECK(accept_role_update(state, "mnist", first, house.now)->roles == state.roles);  // the same again: nothing happens
  TargetsSpec spec{.version = 2, .expires = house.now + role_lifetime, .minimum_counter = 1};
  auto signed_by = [&](const PrivateKey& key) { return *write_targets(spec, one(key)); };
  auto update = [&](const std::string& bytes, const std::string& role = "mnist") {
    return accept_role_update(state, role, bytes, house.now);
  };
  REQUIRE(update(signed_by(house.release)));
  check_refused(update(signed_by(house.gate)), Errc::bad_signature, "mnist");
  check_refused(update(signed_by(house.release), "other"), Errc::denied, "does not delegate");
  check_refused(update(signed_by(house.release), "targets"), Errc::bad_input, "reserved");
  check_refused(update("{}"), Errc::bad_input, "mnist");
  spec.version = 1;
  check_refused(update(signed_by(house.release)), Errc::rollback_refused, "version is 1, expected 2");
  spec.version = 3;
  check_refused(update(signed_by(house.release)), Errc::conflict, "version is 3, expected 2");
  spec.version = 2;
  spec.expires = house.now;
  check_refused(update(signed_by(house.release)), Errc::expired, "mnist");
  spec.expires = house.now + 1h;
  spec.minimum_counter = 0;
  check_refused(update(signed_by(house.release)), Errc::rollback_refused, "minimum_counter");
  spec.minimum_counter.reset();
  check_refused(update(signed_by(house.release)), Errc::rollback_refused, "minimum_counter");
  spec.minimum_counter = 1;
  spec.targets = {{.path = "other/1.0.0/manifest.json",
                   .length_bytes = 1,
                   .sha256 = sha256("x"),
                   .custom_json = R"({"release_counter":1,"attestations":[]})"}};
  check_refused(update(signed_by(house.release)), Errc::denied, "outside");
  spec.targets[0].path = "mnist/1.0.0/manifest.json";
  CHECK(update(signed_by(house.release)));
  spec.targets[0].custom_json.clear();
  check_refused(update(signed_by(house.release)), Errc::bad_input, "custom");
  check_refused(accept_role_update({}, "mnist", first, house.now), Errc::conflict, "publish them first");
}

TEST_CASE("a new root or targets is exactly one more and signed by its owners") {
  House house;
  auto state = house.published();
  CHECK(accept_root_update(state, house.root_bytes(2), house.now));
  check_refused(accept_root_update(state, house.root_bytes(3), house.now), Errc::conflict, "expected 2");
  check_refused(accept_root_update(state, *write_root(house.root_spec(1), one(house.root)), house.now),
                Errc::rollback_refused, "not newer");
  check_refused(accept_root_update(state, *write_root(house.root_spec(2), one(house.targets)), house.now),
                Errc::bad_signature, "root");
  check_refused(accept_root_update({}, *write_root(house.root_spec(1), one(house.targets)), house.now),
                Errc::bad_signature, "root");
  auto expired = house.root_spec(2);
  expired.expires = house.now;
  check_refused(accept_root_update(state, *write_root(expired, one(house.root)), house.now), Errc::expired, "root");

  CHECK(accept_targets_update(state, house.targets_bytes(2), house.now));
  check_refused(accept_targets_update(state, house.targets_bytes(3), house.now), Errc::conflict, "expected 2");
  check_refused(accept_targets_update({}, house.targets_bytes(), house.now), Errc::conflict, "root");
  check_refused(accept_targets_update(
                    state, *write_ferry_targets(2, house.now + 1h, house.policy, {}, one(house.release)), house.now),
                Errc::bad_signature, "targets");
  check_refused(
      accept_targets_update(state, *write_ferry_targets(2, house.now, house.policy, {}, one(house.targets)), house.now),
      Errc::expired, "targets");
}

TEST_CASE("a role whose delegation is gone or has other keys stays listed, and cannot be updated by the old key") {
  House house;
  auto state = house.published();
  auto first = *add_release("", house.entry, one(house.release), house.now);
  state = *accept_role_update(state, "mnist", first, house.now);
  house.entry.version = "1.1.0";
  auto by_old_key = *add_release(first, house.entry, one(house.release), house.now);
  auto by_new_key = *add_release(first, house.entry, one(house.gate), house.now);
  auto without = *accept_targets_update(
      state, *write_ferry_targets(2, house.now + 1h, house.policy, {}, one(house.targets)), house.now);
  CHECK(without.roles.at("mnist") == first);
  check_refused(accept_role_update(without, "mnist", by_old_key, house.now), Errc::denied, "does not delegate");
  CHECK(parse_snapshot(sign_online(without, house.online, house.now)->snapshot)->files.contains("mnist.json"));
  auto rotated =
      *accept_targets_update(state,
                             *write_ferry_targets(2, house.now + 1h, house.policy,
                                                  {*model_delegation("mnist", by(house.gate))}, one(house.targets)),
                             house.now);
  check_refused(accept_role_update(rotated, "mnist", by_old_key, house.now), Errc::bad_signature, "mnist");
  CHECK(accept_role_update(rotated, "mnist", by_new_key, house.now));
}

TEST_CASE("a policy that cannot be read is never published") {
  House house;
  CHECK_FALSE(write_ferry_targets(1, house.now, "{}", {}, one(house.targets)));
}
