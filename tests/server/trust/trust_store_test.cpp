#include "server/trust/trust_store.hpp"

#include "ota/repository_client.hpp"
#include "tests/server/core_fixture.hpp"
#include "tests/server/publisher.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

struct World {
  World() : null(::open("/dev/null", O_WRONLY | O_CLOEXEC)), log(clock, null.get(), LogFormat::json, LogLevel::error) {
    open();
  }
  TempDir dir;
  SimClock clock;
  FileDescriptor null;
  Log log;
  Publisher publisher{clock.now()};
  std::unique_ptr<Database> real;
  std::unique_ptr<MortalDatabase> database;
  std::optional<BlobStore> blobs;
  std::optional<TrustStore> trust;

  void open() {
    trust.reset();
    database.reset();
    real = open_migrated(dir / "ferry.sqlite");
    database = std::make_unique<MortalDatabase>(*real);
    blobs = need(BlobStore::open(dir / "blobs"));
    trust.emplace(dir / "trust", online_keys(), *database, *blobs, clock, log);
    need(trust->load());
  }
  void begin() { need(trust->update(publisher.first_trust())); }
  void upload(const BuiltRelease& built) {
    for (const auto& [digest, bytes] : built.blobs) need(blobs->put(bytes));
  }
  Result<bool> publish(const BuiltRelease& built) {
    upload(built);
    return trust->publish(built.request);
  }
  void publish_good(const std::string& version, std::int64_t counter) {
    const auto built = publisher.release(version, counter);
    CHECK(need(publish(built)));
    publisher.accepted(built);
  }
  std::string file(const std::string& name) { return *need(trust->file(name)); }
  // Everything that a device could be served, as one value.
  std::map<std::string, std::string> served() { return need(ota::served_files(trust->state())); }
};

class FromStore : public ota::Fetcher {
 public:
  explicit FromStore(TrustStore& trust) : trust_(trust) {}
  Result<std::string> fetch(const std::string& path, std::size_t) override {
    TRY(auto bytes, trust_.file(path));
    return *bytes;
  }

 private:
  TrustStore& trust_;
};

Error refusal(Result<bool> published) {
  if (published) FAIL("it was published");
  return published.error();
}
Error refusal(Result<> updated) {
  if (updated) FAIL("it was accepted");
  return updated.error();
}

}  // namespace

TEST_CASE("before the first publication there is nothing to serve") {
  World world;
  CHECK_FALSE(world.trust->published());
  CHECK(world.trust->pinned_root().empty());
  CHECK(world.trust->file("timestamp.json").error().code == Errc::not_found);
  CHECK(world.trust->gate_policy().error().code == Errc::not_found);
  CHECK_FALSE(need(world.trust->renew()));
  CHECK(world.trust->newest("root").empty());
}

TEST_CASE("the first publication is verified, signed online and served as files") {
  World world;
  world.begin();
  CHECK(world.trust->published());
  for (const char* name : {"1.root.json", "1.targets.json", "1.snapshot.json", "timestamp.json"}) {
    INFO(name);
    CHECK_FALSE(world.file(name).empty());
  }
  CHECK(world.trust->pinned_root() == world.file("1.root.json"));
  CHECK(world.trust->newest("targets") == world.file("1.targets.json"));
  const std::string policy = world.publisher.policy();
  const std::string path = "ferry/" + sha256(policy).hex() + ".gate-policy.json";
  CHECK(need(world.trust->target(path)) == sha256(policy));
  CHECK(need(world.blobs->read(sha256(policy), 100'000)) == policy);
  CHECK(need(world.trust->gate_policy()).keys.size() == 1);
}

TEST_CASE("a first publication that lacks a part or does not fit together changes nothing") {
  World world;
  const TrustUpdate good = world.publisher.first_trust();
  const auto refused = [&](const TrustUpdate& update, Errc code, const std::string& named) {
    const Error error = refusal(world.trust->update(update));
    INFO(error.context);
    CHECK(error.code == code);
    CHECK_THAT(error.context, Catch::Contains(named));
    CHECK_FALSE(world.trust->published());
    world.open();
    CHECK_FALSE(world.trust->published());
  };
  TrustUpdate update;
  refused(update, Errc::bad_input, "first publication");
  update.root = good.root;
  refused(update, Errc::bad_input, "first publication");
  update.targets = good.targets;
  refused(update, Errc::bad_input, "gate_policy");
  update.gate_policy = world.publisher.policy("release");
  refused(update, Errc::bad_signature, "gate_policy");
  update = good;
  update.targets = world.publisher.targets(1, good.gate_policy, "root");
  refused(update, Errc::bad_signature, "targets");
  update = good;
  update.root.replace(update.root.find("2027-"), 5, "2028-");  // lives longer than was signed
  refused(update, Errc::bad_signature, "root");
  update = good;
  update.root += "x";
  refused(update, Errc::bad_input, "root");
  update = good;
  update.gate_policy = "{}";
  ota::TargetsSpec spec{.expires = world.clock.now() + ota::targets_lifetime};
  spec.targets = {{std::string(ota::gate_policy_target), 2, sha256("{}"), ""}};
  const std::vector<PrivateKey> targets_key{test_key("targets")};
  update.targets = need(ota::write_targets(spec, targets_key));
  refused(update, Errc::bad_input, "gate_policy");
  spec.targets.clear();
  update.targets = need(ota::write_targets(spec, targets_key));
  refused(update, Errc::bad_input, "does not list ferry/gate-policy.json");
  Publisher other(world.clock.now(), test_key("foreign").public_key(), test_key("foreign").public_key());
  update = good;
  update.root = other.root();
  refused(update, Errc::bad_input, "");  // the server has not the online keys of this root
  world.clock.advance(std::chrono::hours{24 * 366});
  refused(good, Errc::expired, "root");
}

TEST_CASE("the root is rotated: the whole chain stays served, tokens go on pinning the first") {
  World world;
  world.begin();
  const std::string first = world.file("1.root.json");
  TrustUpdate update;
  update.root = world.publisher.root(2, "root-2", "root");
  need(world.trust->update(update));
  CHECK(world.file("1.root.json") == first);
  CHECK(world.file("2.root.json") == update.root);
  CHECK(world.trust->newest("root") == update.root);
  CHECK(world.trust->pinned_root() == first);
  TrustUpdate third;
  third.root = world.publisher.root(3, "root-3", "root-2");
  need(world.trust->update(third));
  world.open();
  CHECK(world.file("1.root.json") == first);
  CHECK(world.file("2.root.json") == update.root);
  CHECK(world.file("3.root.json") == third.root);
  CHECK(world.trust->pinned_root() == first);
  CHECK(world.trust->file("4.root.json").error().code == Errc::not_found);
}

TEST_CASE("a root that skips a version, goes back, or is not signed by the one before is refused") {
  World world;
  world.begin();
  const auto refused = [&](const std::string& root, Errc code) {
    const auto before = world.served();
    TrustUpdate update;
    update.root = root;
    const Error error = refusal(world.trust->update(update));
    INFO(error.context);
    CHECK(error.code == code);
    CHECK(world.served() == before);
  };
  refused(world.publisher.root(3, "root", "root"), Errc::conflict);
  refused(world.publisher.root(1, "root-2", "root-2"), Errc::rollback_refused);
  refused(world.publisher.root(2, "root-2", "root-2"), Errc::bad_signature);
  TrustUpdate same;  // the very bytes again change nothing
  same.root = world.trust->newest("root");
  const auto before = world.served();
  need(world.trust->update(same));
  CHECK(world.served() == before);
}

TEST_CASE("new targets need the next version, the right key, and their gate policy") {
  World world;
  world.begin();
  const std::string policy = world.publisher.policy("gate-2");
  TrustUpdate update;
  update.targets = world.publisher.targets(2, policy);
  CHECK(refusal(world.trust->update(update)).code == Errc::bad_input);  // the policy is not here
  update.gate_policy = policy;
  need(world.trust->update(update));
  CHECK(world.file("2.targets.json") == update.targets);
  CHECK_FALSE(world.file("1.targets.json").empty());
  CHECK_FALSE(world.file("2.snapshot.json").empty());
  update.targets = world.publisher.targets(4, policy);
  CHECK(refusal(world.trust->update(update)).code == Errc::conflict);
  update.targets = world.publisher.targets(2, world.publisher.policy());
  update.gate_policy.clear();
  CHECK(refusal(world.trust->update(update)).code == Errc::rollback_refused);
  update.targets = world.publisher.targets(3, policy, "release");
  CHECK(refusal(world.trust->update(update)).code == Errc::bad_signature);
  update.targets = world.publisher.targets(3, world.publisher.policy());  // back to the first policy, still a blob here
  need(world.trust->update(update));
}

TEST_CASE("a release is published: listed, served, signed, and found again after a restart") {
  World world;
  world.begin();
  world.publish_good("1.0.0", 1);
  world.publish_good("1.1.0", 2);
  const auto built = world.publisher.release("1.2.0", 3);
  CHECK(need(world.publish(built)));
  for (int restarts = 0; restarts < 2; ++restarts) {
    ReleaseStore releases(*world.database);
    const auto row = need(releases.find(Publisher::model, "1.2.0"));
    REQUIRE(row);
    CHECK(row->manifest_sha256 == sha256(built.request.manifest));
    CHECK(row->counter == 3);
    CHECK(row->gate_result == "PASSED");
    CHECK(row->published_by == "ci");
    CHECK(world.file("3.fashion-mnist.json") == built.request.role_metadata);
    CHECK_FALSE(world.file("1.fashion-mnist.json").empty());
    const std::string path = "fashion-mnist/1.2.0/" + sha256(built.request.manifest).hex() + ".manifest.json";
    CHECK(need(world.trust->target(path)) == sha256(built.request.manifest));
    CHECK(need(world.blobs->read(sha256(built.request.attestations), 1'000'000)) == built.request.attestations);
    world.open();
  }
  CHECK(need(world.trust->publish(built.request)) == false);  // the very same again
}

TEST_CASE("other bytes for a published release are refused") {
  World world;
  world.begin();
  world.publish_good("1.0.0", 1);
  const auto other = world.publisher.release("1.0.0", 2);
  const Error error = refusal(world.publish(other));
  CHECK(error.code == Errc::conflict);
  CHECK_THAT(error.context, Catch::Contains("1.0.0") && Catch::Contains("already"));
}

TEST_CASE("what must not be published is refused with the reason, and nothing of it is served") {
  World world;
  world.begin();
  world.publish_good("1.0.0", 5);
  using Wrong = Publisher::Wrong;
  const auto refused = [&](const BuiltRelease& built, Errc code, const std::string& reason, const std::string& named) {
    const auto before = world.served();
    const Error error = refusal(world.trust->publish(built.request));
    INFO(error.context);
    CHECK(error.code == code);
    CHECK(error.reason == reason);
    CHECK_THAT(error.context, Catch::Contains(named));
    CHECK(world.served() == before);
    ReleaseStore releases(*world.database);
    CHECK_FALSE(need(releases.find(Publisher::model, "1.1.0")));
  };
  const auto build = [&](const Wrong& wrong, std::int64_t counter = 6) {
    auto built = world.publisher.release("1.1.0", counter, wrong);
    world.upload(built);
    return built;
  };
  refused(build({.gate_result = "FAILED"}), Errc::gate_failed, "trust.attestation_failed", "");
  refused(build({.no_attestation = true}), Errc::gate_failed, "trust.attestation_missing", "empty");
  refused(build({.gate_key = "release"}), Errc::bad_signature, "trust.attestation_invalid", "");  // CI attests itself
  refused(build({.gate_key = "stranger"}), Errc::bad_signature, "trust.attestation_invalid", "");
  refused(build({.gate_finished = world.clock.now() - std::chrono::hours{24 * 400}}), Errc::expired,
          "trust.attestation_invalid", "");
  refused(build({.pin_other = true}), Errc::bad_signature, "trust.attestation_invalid", "");
  refused(build({.draft = true}), Errc::bad_input, "", "draft");
  refused(build({.manifest_model = "other"}), Errc::bad_input, "", "other");
  refused(build({.manifest_version = "1.9.0"}), Errc::bad_input, "", "1.9.0");
  refused(build({.counter_custom = 7}), Errc::bad_input, "", "release_counter 7");
  refused(build({.changed_manifest = " "}), Errc::bad_signature, "trust.metadata", "length");
  auto swapped = build({});
  swapped.request.manifest[swapped.request.manifest.find("Clothing")] = 'c';
  refused(swapped, Errc::bad_signature, "trust.metadata", "");
  refused(build({.release_key = "gate"}), Errc::bad_signature, "trust.metadata", "role_metadata");
  refused(build({.release_key = "targets"}), Errc::bad_signature, "trust.metadata", "role_metadata");
  auto missing = world.publisher.release("1.1.0", 99);
  refused(missing, Errc::bad_input, "", "upload it first");
  auto unlisted = build({});
  unlisted.request.version = "1.1.1";
  refused(unlisted, Errc::bad_input, "", "1.1.1");
  auto bad_name = build({});
  bad_name.request.model = "../x";
  refused(bad_name, Errc::bad_input, "", "");
  bad_name.request.model = "keyword-spotter";  // no delegation
  CHECK_FALSE(world.trust->publish(bad_name.request));
  CHECK(need(world.publish(build({}))));  // and the good one goes through
}

TEST_CASE("a blob of another length than the manifest says is refused") {
  World world;
  world.begin();
  const auto built = world.publisher.release("1.0.0", 1);
  world.upload(built);
  need(write_file_atomic(world.blobs->path_of(built.blobs.front().first), "short"));
  const Error error = refusal(world.trust->publish(built.request));
  CHECK(error.code == Errc::bad_input);
  CHECK_THAT(error.context, Catch::Contains("has 5 bytes"));
}

TEST_CASE("a role that skips a version, goes back, or lowers the floor is refused") {
  World world;
  world.begin();
  world.publish_good("1.0.0", 3);
  world.publish_good("1.1.0", 4);
  const std::string role = world.publisher.role;
  const std::vector<PrivateKey> release_key{test_key("release")};
  TrustUpdate raise;
  raise.roles[Publisher::model] = *ota::raise_minimum_counter(role, 4, release_key, world.clock.now());
  need(world.trust->update(raise));
  // From the role before the floor was raised: its version is not the next one.
  CHECK(refusal(world.publish(world.publisher.release("1.2.0", 5))).code == Errc::rollback_refused);
  world.publisher.role = raise.roles[Publisher::model];
  world.publisher.role = *ota::renew_targets(world.publisher.role, world.clock.now() + 24h, release_key);
  CHECK(refusal(world.publish(world.publisher.release("1.2.0", 5))).code == Errc::conflict);
  Json lowered = *parse_json(raise.roles[Publisher::model]);
  lowered["signed"]["x-ferry"]["minimum_counter"] = 1;
  lowered["signed"]["version"] = lowered["signed"]["version"].get<int>() + 1;
  TrustUpdate lower;
  lower.roles[Publisher::model] = *ota::add_signatures(lowered.dump(), release_key);
  CHECK(refusal(world.trust->update(lower)).code == Errc::rollback_refused);
  lower.roles = {{"stranger", role}};
  CHECK_FALSE(world.trust->update(lower));
}

TEST_CASE("snapshot and timestamp are signed anew before they expire, and only then") {
  World world;
  world.begin();
  world.publish_good("1.0.0", 1);
  const std::string timestamp = world.file("timestamp.json");
  world.clock.advance(11h);
  CHECK_FALSE(need(world.trust->renew()));
  CHECK(world.file("timestamp.json") == timestamp);
  world.clock.advance(2h);
  CHECK(need(world.trust->renew()));
  const std::string renewed = world.file("timestamp.json");
  CHECK(renewed != timestamp);
  CHECK_FALSE(need(world.trust->renew()));
  world.open();
  CHECK(world.file("timestamp.json") == renewed);
  for (int hours = 0; hours < 24 * 20; hours += 6) {
    world.clock.advance(6h);
    need(world.trust->renew());
    const auto state = world.trust->state();
    CHECK(need(ota::parse_timestamp(state.timestamp)).expires > world.clock.now() + 6h);
    CHECK(need(ota::parse_snapshot(state.snapshot)).expires > world.clock.now() + 24h);
  }
}

TEST_CASE("a server that slept past the expiry signs again at once") {
  World world;
  world.begin();
  world.clock.advance(std::chrono::hours{24 * 30});
  CHECK(need(world.trust->renew()));
  CHECK(need(ota::parse_timestamp(world.trust->state().timestamp)).expires > world.clock.now());
}

TEST_CASE("killed at any step of a publication, the old repository is served or the new one, never a mixture") {
  std::set<std::size_t> ends;
  for (std::int64_t steps = 0;; ++steps) {
    World world;
    world.begin();
    world.publish_good("1.0.0", 1);
    const auto before = world.served();
    const auto built = world.publisher.release("1.1.0", 2);
    world.upload(built);
    world.database->steps_left = steps;
    const auto published = world.trust->publish(built.request);
    world.open();
    const auto after = world.served();
    ReleaseStore releases(*world.database);
    const bool there = need(releases.find(Publisher::model, "1.1.0")).has_value();
    INFO("after " << steps << " steps");
    CHECK((after == before) == !there);
    CHECK(after.contains("2.fashion-mnist.json") == there);
    // Files above the served version may lie on disk; they are not handed out.
    CHECK(world.trust->file("2.fashion-mnist.json").has_value() == there);
    CHECK(world.trust->file("3.snapshot.json").has_value() == there);
    ends.insert(there ? 1 : 0);
    CHECK(need(world.trust->publish(built.request)) == !there);
    CHECK(world.trust->file("2.fashion-mnist.json").has_value());
    if (published) break;
    REQUIRE(steps < 100);
  }
  CHECK(ends.size() == 2);
}

TEST_CASE("killed in the first publication, another first root can still be published") {
  World world;
  world.database->steps_left = 0;
  CHECK_FALSE(world.trust->update(world.publisher.first_trust()));
  world.open();
  CHECK_FALSE(world.trust->published());
  Publisher other(world.clock.now());
  TrustUpdate update = other.first_trust();
  update.root = other.root(1, "root-9", "root-9");
  need(world.trust->update(update));
  world.open();
  CHECK(world.trust->pinned_root() == update.root);
}

TEST_CASE("a metadata file that was changed on disk stops the start with a word on what to do") {
  World world;
  world.begin();
  need(write_file_atomic(world.dir / "trust" / "1.targets.json", "{}"));
  TrustStore damaged(world.dir / "trust", online_keys(), *world.database, *world.blobs, world.clock, world.log);
  auto loaded = damaged.load();
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().code == Errc::bad_signature);
  CHECK_THAT(loaded.error().context, Catch::Contains("1.targets.json") && Catch::Contains("backup"));
  std::filesystem::remove(world.dir / "trust" / "1.targets.json");
  CHECK(damaged.load().error().code == Errc::not_found);
}

TEST_CASE("nothing but metadata is served by name") {
  World world;
  world.begin();
  world.publish_good("1.0.0", 1);
  for (const char* name : {"", "root.json", "0.root.json", "01.root.json", "-1.root.json", "1.root", "1..json",
                           "../1.root.json", "1.../ferry.sqlite.json", "1.pinned-root.json", "pinned-root.json",
                           "1.timestamp.json", "2.targets.json", "1.stranger.json", "99999999999999999999.root.json",
                           "1.root.json.json", "1.fashion-mnist.json/", "1.a/../root.json"}) {
    INFO(name);
    CHECK(world.trust->file(name).error().code == Errc::not_found);
  }
  CHECK(world.trust->target("fashion-mnist/1.0.0/manifest.json").error().code == Errc::not_found);
  CHECK(world.trust->target("").error().code == Errc::not_found);
}

TEST_CASE("old versions of all roles but root are cleared away, the newest ten stay") {
  World world;
  world.begin();
  for (int i = 0; i < 14; ++i) world.publish_good("1." + std::to_string(i) + ".0", i + 1);
  CHECK(world.trust->file("4.fashion-mnist.json").error().code == Errc::not_found);
  CHECK(world.trust->file("5.fashion-mnist.json"));
  CHECK(world.trust->file("14.fashion-mnist.json"));
  CHECK(world.trust->file("1.root.json"));
}

TEST_CASE("a device that pinned the first root walks to what is served now") {
  World world;
  world.begin();
  const std::string pinned = world.trust->pinned_root();
  TrustUpdate rotate;
  rotate.root = world.publisher.root(2, "root-2", "root");
  need(world.trust->update(rotate));
  const auto built = world.publisher.release("1.0.0", 1);
  CHECK(need(world.publish(built)));
  FromStore fetcher(*world.trust);
  for (int round = 0; round < 2; ++round) {
    TempDir device;
    ota::RepositoryClient::Options options{.directory = device / "trust", .pinned_root = pinned, .parse = {}};
    auto client = need(ota::RepositoryClient::open(options, fetcher, fetcher, world.clock.now()));
    need(client.refresh());
    const auto found = need(client.find_target("fashion-mnist/1.0.0/manifest.json"));
    CHECK(found.file.length_bytes == built.request.manifest.size());
    CHECK(found.role == "fashion-mnist");
    world.clock.advance(20h);
    need(world.trust->renew());
  }
}
