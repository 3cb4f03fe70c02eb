#include "ota/repository_client.hpp"

#include "tests/ota/tuf_device.hpp"

#include <set>

using namespace ferry;
using namespace ferry::ota;
using namespace std::chrono_literals;
using namespace ferry::test;

TEST_CASE("a first refresh keeps every file byte for byte under its plain name") {
  SimRepository repository;
  Device device(repository);
  REQUIRE(device.refresh());
  CHECK(repository.requests ==
        std::vector<std::string>{"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"});
  CHECK(device.file("root.json") == repository.served["1.root.json"]);
  CHECK(device.file("timestamp.json") == repository.served["timestamp.json"]);
  CHECK(device.file("snapshot.json") == repository.served["1.snapshot.json"]);
  CHECK(device.file("targets.json") == repository.served["1.targets.json"]);
  REQUIRE(device.refresh());  // nothing new: only the two that are always asked for
  CHECK(repository.requests == std::vector<std::string>{"2.root.json", "timestamp.json"});
}

TEST_CASE("only metadata ends in .json in the store, and nothing else is left there") {
  SimRepository repository;
  Device device(repository);
  REQUIRE(device.find("team/x").error().code == Errc::not_found);
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(device.directory.path()))
    if (entry.path().extension() == ".json") names.insert(entry.path().filename());
  CHECK(names == std::set<std::string>{"root.json", "timestamp.json", "snapshot.json", "targets.json", "team.json"});
}

TEST_CASE("a bad trusted root stops before any request") {
  SimRepository repository;
  Device device(repository);
  write(device.directory.path() / "root.json", "{}");
  check_refused(device.refresh(), Errc::bad_input, "root");
  CHECK(repository.requests.empty());
  CHECK_FALSE(initialise_store(device.directory.path(), "{}"));
  std::filesystem::remove(device.directory.path() / "root.json");
  check_refused(device.refresh(), Errc::not_found, "no trusted root");
}

TEST_CASE("the pinned root starts an empty store, replaces a bad or older one, and never a newer one") {
  SimRepository repository;
  auto first = repository.served["1.root.json"];
  repository.publish_root();
  auto second = repository.served["2.root.json"];
  Device device(repository);
  REQUIRE(device.open(second));
  CHECK(device.file("root.json") == second);
  REQUIRE(device.open(first));
  CHECK(device.file("root.json") == second);
  write(device.directory.path() / "root.json", "garbage");
  REQUIRE(device.open(first));
  CHECK(device.file("root.json") == first);
  CHECK_FALSE(device.open("garbage"));
}

TEST_CASE("two updaters cannot work in one store") {
  SimRepository repository;
  Device device(repository);
  auto held = device.open();
  REQUIRE(held);
  check_refused(device.open(), Errc::conflict, "another updater");
}

TEST_CASE("the root chain is walked one by one and each step is kept") {
  SimRepository repository;
  Device device(repository);
  for (int i = 0; i < 3; ++i) repository.publish_root();
  REQUIRE(device.refresh());
  CHECK(device.file("root.json") == repository.served["4.root.json"]);
  SECTION("a root that fails leaves the last good one, and a repaired repository works again") {
    repository.publish_root();
    auto good = repository.served["5.root.json"];
    repository.served["5.root.json"] = repository.sign(repository.root, "targets");
    check_refused(device.refresh(), Errc::bad_signature, "root");
    CHECK(device.file("root.json") == repository.served["4.root.json"]);
    repository.served["5.root.json"] = good;
    CHECK(device.refresh());
  }
  SECTION("an expired final root is kept but ends the run") {
    repository.expires_in(repository.root, 0s);
    repository.publish_root();
    check_refused(device.refresh(), Errc::expired, "root");
    CHECK(device.file("root.json") == repository.served["5.root.json"]);
    repository.expires_in(repository.root, 24h);
    repository.publish_root();
    CHECK(device.refresh());
  }
  SECTION("trouble is not the end of the chain") {
    for (auto code : {Errc::unreachable, Errc::unavailable, Errc::timeout}) {
      repository.troubles.insert_or_assign("5.root.json", Error{code, "500"});
      check_refused(device.refresh(), code, "500");
      CHECK(repository.requests == std::vector<std::string>{"5.root.json"});
    }
    repository.troubles.insert_or_assign("5.root.json", Error{Errc::denied, "403"});
    CHECK(device.refresh());
  }
  SECTION("a root longer than its limit is refused") {
    repository.root["x-padding"] = std::string(root_bytes_max, 'x');
    repository.publish_root();
    check_refused(device.refresh(), Errc::bad_input, "longer");
  }
}

TEST_CASE("one refresh takes at most 256 roots") {
  SimRepository repository;
  Device device(repository);
  for (int i = 0; i < 300; ++i) repository.publish_root();
  REQUIRE(device.refresh());
  CHECK(device.file("root.json") == repository.served["257.root.json"]);
  REQUIRE(device.refresh());
  CHECK(device.file("root.json") == repository.served["301.root.json"]);
}

TEST_CASE("a frozen repository is refused when its timestamp has expired") {
  SimRepository repository;
  Device device(repository);
  REQUIRE(device.refresh());
  repository.now += 31 * 24h;
  check_refused(device.refresh(), Errc::expired, "timestamp");
}

TEST_CASE("an expired cached snapshot is refused under a fresh timestamp") {
  SimRepository repository;
  Device device(repository);
  REQUIRE(device.refresh());
  repository.now += 31 * 24h;
  repository.expires_in(repository.timestamp, 24h);
  repository.publish_timestamp();
  check_refused(device.refresh(), Errc::expired, "snapshot");
}

TEST_CASE("an expired cached role is refused under a fresh snapshot, at both levels") {
  for (const std::string role : {"targets", "team"}) {
    SimRepository repository;
    Device device(repository);
    repository.add_target("team", "team/a", "bytes");
    repository.publish();
    REQUIRE(device.find("team/a"));
    repository.now += 31 * 24h;
    for (auto* body : {&repository.timestamp, &repository.snapshot}) repository.expires_in(*body, 24h);
    for (auto& [name, body] : repository.roles)
      if (name != role) repository.expires_in(body, 24h), repository.bump(name);
    repository.publish();
    check_refused(device.find("team/a"), Errc::expired, role.c_str());
  }
}

TEST_CASE("cached files are verified again in each run") {
  SimRepository repository;
  Device device(repository);
  REQUIRE(device.refresh());
  // Unsigned changes that would stop or mislead a client that believes its own disk.
  for (const std::string name : {"timestamp.json", "snapshot.json", "targets.json"}) {
    Json document = Json::parse(device.file(name));
    document["signed"]["version"] = 1000;
    write(device.directory.path() / name, document.dump());
    INFO(name);
    CHECK(device.refresh());
    CHECK(Json::parse(device.file(name))["signed"]["version"] == 1);
    write(device.directory.path() / name, "not json");
    CHECK(device.refresh());
    write(device.directory.path() / name, std::string(100'000, '['));
    CHECK(device.refresh());
  }
}

TEST_CASE("a timestamp whose snapshot went back is not kept") {
  SimRepository repository;
  Device device(repository);
  repository.publish();
  REQUIRE(device.refresh());
  auto kept = device.file("timestamp.json");
  repository.timestamp["meta"]["snapshot.json"]["version"] = 1;
  repository.publish_timestamp();
  check_refused(device.refresh(), Errc::rollback_refused, "snapshot.json.version");
  CHECK(device.file("timestamp.json") == kept);
  repository.expires_in(repository.timestamp, -1s);
  repository.timestamp["meta"]["snapshot.json"]["version"] = 2;
  repository.publish_timestamp();
  check_refused(device.refresh(), Errc::expired, "timestamp");
  CHECK(device.file("timestamp.json") == kept);
}

TEST_CASE("rotating online keys by adding one lets versions go back (fast-forward recovery)") {
  for (const std::string role : {"timestamp", "snapshot"}) {
    INFO(role);
    SimRepository repository;
    Device device(repository);
    repository.timestamp["version"] = 900;
    repository.snapshot["version"] = 900;
    repository.roles["team"]["version"] = 900;
    repository.publish();
    REQUIRE(device.refresh());
    repository.timestamp["version"] = 1;
    repository.snapshot["version"] = 1;
    repository.roles["team"]["version"] = 2;
    repository.publish();
    check_refused(device.refresh(), Errc::rollback_refused, "timestamp");
    // The old key stays: a client that merely verifies its cached files again would still trust them.
    SimRepository::trust(repository.root, role, *PrivateKey::generate());
    repository.publish_root();
    CHECK(device.refresh());
    CHECK(device.file("snapshot.json") == repository.served["2.snapshot.json"]);
  }
}

TEST_CASE("a delegated role rolled back in the snapshot is refused across runs") {
  SimRepository repository;
  Device device(repository);
  repository.roles["team"]["version"] = 5;
  repository.publish();
  REQUIRE(device.refresh());
  repository.roles["team"]["version"] = 4;
  repository.publish();
  check_refused(device.refresh(), Errc::rollback_refused, "team.json");
}

TEST_CASE("without consistent snapshots names carry no version and targets no hash") {
  SimRepository repository;
  repository.root["consistent_snapshot"] = false;
  repository.publish_root();
  repository.served.erase("1.snapshot.json");
  repository.add_target("team", "team/a", "bytes");
  repository.publish();
  Device device(repository);
  repository.requests.clear();
  REQUIRE(device.download("team/a"));
  CHECK(repository.requests == std::vector<std::string>{"2.root.json", "3.root.json", "timestamp.json", "snapshot.json",
                                                        "targets.json", "team.json", "targets/team/a"});
}

TEST_CASE("metadata longer than listed is not taken") {
  SimRepository repository;
  Device device(repository);
  for (const std::string name : {"1.snapshot.json", "1.targets.json"}) {
    auto good = repository.served[name];
    repository.served[name] += " ";
    check_refused(device.refresh(), Errc::bad_input, "longer");
    repository.served[name] = good.substr(0, good.size() - 1);
    check_refused(device.refresh(), Errc::bad_signature, "length");
    repository.served[name] = good;
  }
  repository.timestamp["x-padding"] = std::string(timestamp_bytes_max, 'x');
  repository.publish_timestamp();
  check_refused(device.refresh(), Errc::bad_input, "longer");
}

TEST_CASE("the search is depth first in listed order, and a target needs a match at every level") {
  SimRepository repository;
  Device device(repository);
  //  targets -> a -> c ; targets -> b ; only "dir/*" passes a
  repository.delegate("targets", "a", {"dir/*"});
  repository.delegate("targets", "b", {"dir/*", "other/*"});
  repository.delegate("a", "c", {"*/*"});
  repository.add_target("b", "dir/x", "from b");
  repository.add_target("b", "other/x", "from b");
  repository.add_target("c", "dir/x", "from c");
  repository.add_target("c", "other/x", "from c");
  repository.add_target("c", "dir/deep/x", "no pattern matches this");
  repository.publish();
  CHECK(device.find("dir/x")->role == "c");
  CHECK(device.find("other/x")->role == "b");
  check_refused(device.find("dir/deep/x"), Errc::not_found, "no trusted role");
  repository.add_target("targets", "dir/x", "from the top");
  repository.bump("targets");
  repository.publish();
  CHECK(device.find("dir/x")->role == "targets");
}

TEST_CASE("a terminating delegation ends the search at every level") {
  SimRepository repository;
  Device device(repository);
  repository.delegate("targets", "a", {"dir/*"});
  repository.delegate("targets", "b", {"dir/*"});
  repository.delegate("a", "a1", {"dir/*"}, /*terminating=*/true);
  repository.delegate("a", "a2", {"dir/*"});
  repository.delegate("a1", "a1a", {"dir/*"});
  for (const char* role : {"a2", "b"}) repository.add_target(role, "dir/x", "hidden");
  repository.add_target("a1a", "dir/y", "below the terminating role");
  repository.publish();
  check_refused(device.find("dir/x"), Errc::not_found, "dir/x");
  CHECK(device.find("dir/y")->role == "a1a");
}

TEST_CASE("cycles and endless delegation chains end") {
  SimRepository repository;
  Device device(repository);
  repository.delegate("targets", "a", {"*"});
  repository.delegate("a", "b", {"*"});
  repository.delegate("b", "a", {"*"});
  repository.delegate("a", "a", {"*"});
  repository.publish();
  check_refused(device.find("x"), Errc::not_found, "x");
  std::string parent = "b";
  for (int i = 0; i < 40; ++i) {
    auto child = "chain" + std::to_string(i);
    repository.delegate(parent, child, {"*"});
    parent = child;
  }
  repository.add_target(parent, "x", "too deep");
  repository.add_target("chain5", "y", "deep enough");
  for (auto& [name, body] : repository.roles) repository.bump(name);
  repository.publish();
  check_refused(device.find("x"), Errc::not_found, "x");
  CHECK(device.find("y"));
}

TEST_CASE("a role that cannot be had or verified ends the search, though a sibling has the target") {
  SimRepository repository;
  repository.delegate("targets", "bad", {"dir/*"});
  repository.delegate("targets", "good", {"dir/*"});
  repository.add_target("good", "dir/x", "bytes");
  SECTION("unsigned") {
    repository.signers["bad"] = {*PrivateKey::generate()};
    repository.publish();
    Device device(repository);
    check_refused(device.find("dir/x"), Errc::bad_signature, "bad");
  }
  SECTION("missing") {
    repository.publish();
    repository.served.erase("1.bad.json");
    Device device(repository);
    check_refused(device.find("dir/x"), Errc::not_found, "1.bad.json");
  }
  SECTION("not listed in the snapshot") {
    repository.publish();
    repository.snapshot["meta"].erase("bad.json");
    repository.publish_snapshot();
    Device device(repository);
    check_refused(device.find("dir/x"), Errc::not_found, "bad.json is not listed");
  }
}

TEST_CASE("hashed bins are searched by the digest of the path") {
  SimRepository repository;
  auto hex = sha256("x").hex();
  repository.delegate("targets", "bin", {});
  repository.delegate("targets", "wrong-bin", {});
  auto& roles = repository.roles["targets"]["delegations"]["roles"];
  roles[1].erase("paths");
  roles[1]["path_hash_prefixes"] = {hex.substr(0, 2)};
  roles[2].erase("paths");
  roles[2]["path_hash_prefixes"] = {hex[0] == '0' ? "1" : "0"};
  repository.add_target("bin", "x", "bytes");
  repository.add_target("wrong-bin", "y", "bytes");
  repository.add_target("wrong-bin", "x", "bytes");
  repository.publish();
  Device device(repository);
  CHECK(device.find("x")->role == "bin");
}

TEST_CASE("role names become encoded file names") {
  SimRepository repository;
  for (const std::string name : {"../delegatedrole", "role name[?]", "..", "."})
    repository.delegate("targets", name, {"z"});
  repository.publish();
  Device device(repository);
  check_refused(device.find("z"), Errc::not_found, "z");
  CHECK(device.file("..%2Fdelegatedrole.json") == repository.served["1...%2Fdelegatedrole.json"]);
  CHECK(std::filesystem::exists(device.directory.path() / "role%20name%5B%3F%5D.json"));
  CHECK_FALSE(std::filesystem::exists(device.directory.path().parent_path() / "delegatedrole.json"));
}

TEST_CASE("a target is fetched, verified and kept once") {
  SimRepository repository;
  repository.add_target("team", "team/a", "the bytes");
  repository.publish();
  Device device(repository);
  auto path = device.download("team/a");
  REQUIRE(path);
  CHECK(*read_file(*path, 100) == "the bytes");
  auto written = std::filesystem::last_write_time(*path);
  repository.targets_served.clear();  // the second time nothing is fetched
  REQUIRE(device.download("team/a"));
  CHECK(std::filesystem::last_write_time(*path) == written);
  CHECK(device.downloaded() == std::vector<std::string>{"team%2Fa"});
  write(*path, "other....");
  CHECK(device.download("team/a").error().code == Errc::not_found);
}

TEST_CASE("a target whose bytes are not the signed ones is refused and nothing is left") {
  SimRepository repository;
  repository.add_target("targets", "a", "the bytes");
  auto attempt = [&](const std::string& served, const Json& hashes, Errc code) {
    auto& entry = repository.roles["targets"]["targets"]["a"];
    entry["hashes"] = hashes;
    repository.bump("targets");
    repository.publish();
    for (auto& [path, bytes] : repository.targets_served) bytes = served;
    Device device(repository);
    auto result = device.download("a");
    REQUIRE_FALSE(result);
    INFO(result.error().context);
    CHECK(result.error().code == code);
    CHECK(device.downloaded().empty());
  };
  auto right = sha256("the bytes").hex();
  attempt("the bytes!", {{"sha256", right}}, Errc::bad_input);
  attempt("the byte", {{"sha256", right}}, Errc::bad_signature);
  attempt("thE bytes", {{"sha256", right}}, Errc::bad_signature);
  attempt("the bytes", {{"sha256", right}, {"sha512", sha512_hex("x")}}, Errc::bad_signature);
  attempt("the bytes", {{"blake3", right}}, Errc::bad_signature);
}

TEST_CASE("a target with SHA-512 alone works") {
  SimRepository repository;
  repository.add_target("targets", "dir/a", "the bytes", /*serve=*/false);
  auto hex = sha512_hex("the bytes");
  repository.roles["targets"]["targets"]["dir/a"]["hashes"] = {{"sha512", hex}};
  repository.publish();
  repository.targets_served["dir/" + hex + ".a"] = "the bytes";
  Device device(repository);
  CHECK(device.download("dir/a"));
}

TEST_CASE("target paths never leave the directory") {
  SimRepository repository;
  const std::vector<std::string> paths = {"../x", "/etc/ferry-x", "a/../../b",          "..",
                                          ".",    "a\\..\\b",     std::string(300, 'n')};
  for (const auto& path : paths) repository.add_target("targets", path, "bytes of " + path);
  repository.publish();
  Device device(repository);
  for (const auto& path : paths) {
    auto where = device.download(path);
    INFO(path << (where ? "" : where.error().context));
    REQUIRE(where);
    CHECK(std::filesystem::canonical(where->parent_path()) == std::filesystem::canonical(device.downloads.path()));
    CHECK(*read_file(*where, 1000) == "bytes of " + path);
  }
  CHECK(device.downloaded().size() == paths.size());
}

TEST_CASE("a symbolic link in the target directory is replaced, not followed") {
  SimRepository repository;
  repository.add_target("targets", "a", "the bytes");
  repository.publish();
  Device device(repository);
  TempDir elsewhere;
  auto victim = elsewhere.path() / "victim";
  for (const std::string content : {"precious", "the bytes"}) {
    write(victim, content);
    std::filesystem::remove(device.downloads.path() / "a");
    std::filesystem::create_symlink(victim, device.downloads.path() / "a");
    REQUIRE(device.download("a"));
    CHECK(*read_file(victim, 100) == content);
    CHECK_FALSE(std::filesystem::is_symlink(device.downloads.path() / "a"));
  }
}

TEST_CASE("a target longer than the caller takes is refused before a byte is fetched") {
  SimRepository repository;
  repository.add_target("targets", "a", std::string(100, 'x'));
  repository.publish();
  Device device(repository);
  auto client = device.open();
  REQUIRE(client);
  REQUIRE(client->refresh());
  auto found = client->find_target("a");
  REQUIRE(found);
  repository.requests.clear();
  check_refused(client->fetch_target(*found, 99), Errc::bad_input, "length 100");
  CHECK(repository.requests.empty());
  CHECK(client->fetch_target(*found, 100));
}

TEST_CASE("a release is found with its custom part and held to the signed floor") {
  SimRepository repository;
  repository.delegate("targets", "mnist", {"mnist/*/manifest.json"}, true);
  repository.add_target("mnist", "mnist/1.0.0/manifest.json", "{}");
  auto& entry = repository.roles["mnist"]["targets"]["mnist/1.0.0/manifest.json"];
  repository.roles["mnist"]["x-ferry"]["minimum_counter"] = 2;
  auto attempt = [&](const Json& custom) {
    entry["custom"] = custom;
    repository.bump("mnist");
    repository.publish();
    Device device(repository);
    auto client = device.open();
    REQUIRE(client);
    REQUIRE(client->refresh());
    return client->find_release("mnist", "1.0.0");
  };
  auto good = attempt({{"release_counter", 2}, {"attestations", Json::array()}});
  REQUIRE(good);
  CHECK(good->custom.release_counter == 2);
  CHECK(good->minimum_counter == 2);
  CHECK(good->target.role == "mnist");
  auto low = attempt({{"release_counter", 1}, {"attestations", Json::array()}});
  REQUIRE_FALSE(low);
  CHECK(low.error().reason == "trust.counter_below_floor");
  CHECK(attempt(Json::object()).error().reason == "trust.metadata");
}
