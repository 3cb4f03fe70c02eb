// What a device trusts after each kind of trouble: exactly the files that were verified before it, and nothing asked
// for beyond it.
#include "tests/ota/tuf_device.hpp"

using namespace ferry;
using namespace ferry::ota;
using namespace ferry::test;
using namespace std::chrono_literals;

namespace {

// Every role once more, root included, all of version 2.
void publish_all(SimRepository& repository) {
  repository.publish_root();
  repository.bump("targets");
  repository.publish();
}

const std::string all_first = "root 1, snapshot 1, targets 1, timestamp 1";

}  // namespace

TEST_CASE("an unsigned role stops the update there") {
  struct Case {
    std::string role, trusted, last_request;
  };
  for (const auto& [role, trusted, last_request] :
       std::vector<Case>{{"root", "root 1", "2.root.json"},
                         {"timestamp", "root 2", "timestamp.json"},
                         {"snapshot", "root 2, timestamp 2", "2.snapshot.json"},
                         {"targets", "root 2, snapshot 2, timestamp 2", "2.targets.json"}}) {
    INFO(role);
    SimRepository repository;
    repository.signers[role].clear();
    publish_all(repository);
    Device device(repository);
    check_refused(device.refresh(), Errc::bad_signature, role.c_str());
    CHECK(device.trusted() == trusted);
    CHECK(repository.requests.back() == last_request);
  }
}

TEST_CASE("a version other than the one in the name stops the update there") {
  struct Case {
    std::string role, trusted;
  };
  for (const auto& [role, trusted] : std::vector<Case>{
           {"root", "root 1"}, {"snapshot", "root 2, timestamp 2"}, {"targets", "root 2, snapshot 2, timestamp 2"}}) {
    INFO(role);
    SimRepository repository;
    repository.list_bytes = false;
    publish_all(repository);
    Json& body = role == "root" ? repository.root : role == "snapshot" ? repository.snapshot : repository.roles[role];
    body["version"] = 3;
    repository.served["2." + role + ".json"] = repository.sign(body, role);
    Device device(repository);
    check_refused(device.refresh(), Errc::rollback_refused, "version is 3");
    CHECK(device.trusted() == trusted);
  }
}

TEST_CASE("a file that is missing stops the update there") {
  SimRepository repository;
  Device device(repository);
  REQUIRE(device.refresh());
  SECTION("timestamp") {
    repository.served.erase("timestamp.json");
    check_refused(device.refresh(), Errc::not_found, "timestamp.json");
    CHECK(repository.requests.back() == "timestamp.json");
    CHECK(device.trusted() == all_first);
  }
  SECTION("snapshot") {
    repository.publish();
    repository.served.erase("2.snapshot.json");
    check_refused(device.refresh(), Errc::not_found, "2.snapshot.json");
    CHECK(repository.requests.back() == "2.snapshot.json");
    CHECK(device.trusted() == "root 1, snapshot 1, targets 1, timestamp 2");
  }
  SECTION("targets") {
    repository.bump("targets");
    repository.publish();
    repository.served.erase("2.targets.json");
    check_refused(device.refresh(), Errc::not_found, "2.targets.json");
    CHECK(repository.requests.back() == "2.targets.json");
    CHECK(device.trusted() == "root 1, snapshot 2, targets 1, timestamp 2");
  }
}

TEST_CASE("a hash or length that does not fit stops the update there, in each of the ways it can be wrong") {
  for (const std::string field : {"hashes", "length", "sha512"}) {
    for (const std::string role : {"snapshot", "targets"}) {
      INFO(role << " " << field);
      SimRepository repository;
      Device device(repository);
      REQUIRE(device.refresh());
      repository.bump("targets");
      repository.publish();
      auto& listed = role == "snapshot" ? repository.timestamp["meta"]["snapshot.json"]
                                        : repository.snapshot["meta"]["targets.json"];
      if (field == "hashes") listed["hashes"]["sha256"] = std::string(64, '0');
      if (field == "length") listed["length"] = listed["length"].get<int>() + 1;
      if (field == "sha512") listed["hashes"]["sha512"] = sha512_hex("other bytes");
      role == "snapshot" ? repository.publish_timestamp() : repository.publish_snapshot();
      check_refused(device.refresh(), Errc::bad_signature, role.c_str());
      CHECK(device.trusted() == (role == "snapshot" ? "root 1, snapshot 1, targets 1, timestamp 3"
                                                    : "root 1, snapshot 3, targets 1, timestamp 3"));
    }
  }
}

TEST_CASE("metadata of another type is refused, however well it is signed") {
  SimRepository repository;
  Device device(repository);
  // A snapshot that looks like a timestamp, signed by the timestamp's key.
  Json body = repository.snapshot;
  body["meta"] = {{"snapshot.json", {{"version", 1}}}};
  body["version"] = 2;
  repository.served["timestamp.json"] = repository.sign(body, "timestamp");
  check_refused(device.refresh(), Errc::bad_input, "_type");
  CHECK(device.trusted() == "root 1");
}

TEST_CASE("new metadata that has expired is not kept") {
  SimRepository repository;
  Device device(repository);
  REQUIRE(device.refresh());
  SECTION("root: it is, and ends the run before another request") {
    repository.expires_in(repository.root, -24h);
    publish_all(repository);
    check_refused(device.refresh(), Errc::expired, "root");
    CHECK(device.trusted() == "root 2, snapshot 1, targets 1, timestamp 1");
    CHECK(repository.requests == std::vector<std::string>{"2.root.json", "3.root.json"});
  }
  SECTION("timestamp") {
    repository.expires_in(repository.timestamp, -24h);
    repository.publish();
    check_refused(device.refresh(), Errc::expired, "timestamp");
    CHECK(device.trusted() == all_first);
  }
  SECTION("snapshot") {
    repository.expires_in(repository.snapshot, -24h);
    repository.publish();
    check_refused(device.refresh(), Errc::expired, "snapshot");
    CHECK(device.trusted() == "root 1, snapshot 1, targets 1, timestamp 2");
  }
  SECTION("targets") {
    repository.expires_in(repository.roles["targets"], -24h);
    repository.bump("targets");
    repository.publish();
    check_refused(device.refresh(), Errc::expired, "targets");
    CHECK(device.trusted() == "root 1, snapshot 2, targets 1, timestamp 2");
  }
}

TEST_CASE("a device whose root and timestamp have expired while it slept goes on from them") {
  SimRepository repository;
  Device device(repository);
  repository.expires_in(repository.root, 7 * 24h);
  repository.publish_root();
  repository.expires_in(repository.timestamp, 7 * 24h);
  repository.publish_timestamp();
  REQUIRE(device.refresh());
  repository.now += 18 * 24h;
  repository.expires_in(repository.root, 24h);
  publish_all(repository);
  check_refused(device.refresh(), Errc::expired, "timestamp");
  repository.expires_in(repository.timestamp, 24h);
  repository.publish_timestamp();
  REQUIRE(device.refresh());
  CHECK(device.trusted() == "root 3, snapshot 2, targets 2, timestamp 4");
}

TEST_CASE("the time is fixed when the run starts") {
  SimRepository repository;
  Device device(repository);
  auto client = device.open();
  REQUIRE(client);
  repository.now += 31 * 24h;  // the run began before
  CHECK(client->refresh());
}

TEST_CASE("an expired timestamp of the version that is trusted carries nothing and asks for nothing") {
  SimRepository repository;
  Device device(repository);
  REQUIRE(device.refresh());
  std::filesystem::remove(device.directory.path() / "snapshot.json");
  repository.now += 31 * 24h;
  check_refused(device.refresh(), Errc::expired, "timestamp");
  CHECK(repository.requests == std::vector<std::string>{"2.root.json", "timestamp.json"});
}

TEST_CASE("other contents under the version that is trusted are not taken") {
  SimRepository repository;
  Device device(repository);
  REQUIRE(device.refresh());
  auto kept = device.file("timestamp.json");
  repository.timestamp["meta"]["snapshot.json"]["version"] = 100;
  repository.serve_timestamp();
  REQUIRE(device.refresh());
  CHECK(repository.requests.back() == "timestamp.json");
  CHECK(device.file("timestamp.json") == kept);
}

TEST_CASE("no role goes back, with and without listed hashes") {
  for (bool list_bytes : {true, false}) {
    INFO(list_bytes);
    SimRepository repository;
    repository.list_bytes = list_bytes;
    Device device(repository);
    repository.add_target("team", "team/a", "bytes");
    repository.bump("team");
    publish_all(repository);
    REQUIRE(device.find("team/a"));
    CHECK(device.trusted() == "root 2, snapshot 2, targets 2, team 2, timestamp 2");
    SECTION("timestamp" + std::to_string(list_bytes)) {
      repository.timestamp["version"] = 0;
      repository.publish_timestamp();
      check_refused(device.refresh(), Errc::rollback_refused, "timestamp: version is 1");
      CHECK(repository.requests.back() == "timestamp.json");
    }
    SECTION("snapshot" + std::to_string(list_bytes)) {
      repository.snapshot["version"] = 0;
      repository.publish_snapshot();
      check_refused(device.refresh(), Errc::rollback_refused, "snapshot.json.version is 1");
      CHECK(repository.requests.back() == "timestamp.json");
    }
    SECTION("targets and delegated roles" + std::to_string(list_bytes)) {
      for (const std::string role : {"targets", "team"}) {
        SimRepository other = repository;
        Device another(other);
        REQUIRE(another.find("team/a"));
        other.roles[role]["version"] = 1;
        other.publish();
        check_refused(another.refresh(), Errc::rollback_refused, (role + ".json has version 1").c_str());
        CHECK(another.trusted() == "root 2, snapshot 2, targets 2, team 2, timestamp 3");
        other.roles.erase("team");
        other.roles["targets"]["version"] = 3;
        other.snapshot["meta"].erase("team.json");
        other.publish();
        check_refused(another.refresh(), Errc::rollback_refused, "team.json was listed before and is missing");
      }
    }
    CHECK(device.trusted() == "root 2, snapshot 2, targets 2, team 2, timestamp 2");
  }
}

TEST_CASE("a snapshot changed on the disk is not believed, though it has the version that the timestamp lists") {
  SimRepository repository;
  repository.list_bytes = false;  // with listed hashes the change would be noticed anyway
  repository.publish();
  Device device(repository);
  REQUIRE(device.refresh());
  auto changed = Json::parse(device.file("snapshot.json"));
  changed["signed"]["meta"]["targets.json"]["version"] = 7;
  write(device.directory.path() / "snapshot.json", changed.dump());
  auto refreshed = device.refresh();
  INFO((refreshed ? "" : refreshed.error().context));
  CHECK(refreshed);
  CHECK(device.file("snapshot.json") == repository.served["2.snapshot.json"]);
}

TEST_CASE("after an attacker raised versions, new keys bring them down again (fast-forward recovery)") {
  auto rotate = [](SimRepository& repository, const std::string& role) {
    repository.root["roles"][role]["keyids"] = Json::array();
    repository.signers[role] = {*PrivateKey::generate()};
    SimRepository::trust(repository.root, role, repository.signers[role][0]);
  };
  SimRepository repository;
  Device device(repository);
  SECTION("timestamp") {
    repository.timestamp["version"] = 99;
    repository.publish_timestamp();
    REQUIRE(device.refresh());
    rotate(repository, "timestamp");
    repository.publish_root();
    repository.timestamp["version"] = 0;
    repository.publish_timestamp();
    REQUIRE(device.refresh());
    CHECK(device.trusted() == "root 2, snapshot 1, targets 1, timestamp 1");
  }
  SECTION("snapshot") {
    repository.snapshot["version"] = 99;
    repository.publish();
    REQUIRE(device.refresh());
    rotate(repository, "snapshot");
    repository.publish_root();
    repository.snapshot["version"] = 0;
    repository.timestamp["version"] = 0;
    repository.publish();
    REQUIRE(device.refresh());
    CHECK(device.trusted() == "root 2, snapshot 1, targets 1, timestamp 1");
  }
  SECTION("targets, and a delegated role that disappears") {
    repository.roles["targets"]["version"] = 100;
    repository.publish();
    REQUIRE(device.refresh());
    rotate(repository, "snapshot");
    repository.publish_root();
    repository.roles["targets"]["version"] = 1;
    repository.roles.erase("team");
    repository.snapshot["meta"].erase("team.json");
    repository.publish();
    REQUIRE(device.refresh());
    CHECK(device.trusted() == "root 2, snapshot 3, targets 1, timestamp 3");
  }
}

TEST_CASE("a root skipped on the way is not skipped over") {
  SimRepository repository;
  Device device(repository);
  for (int i = 0; i < 3; ++i) repository.publish_root();
  repository.served["3.root.json"] = repository.served["4.root.json"];
  check_refused(device.refresh(), Errc::rollback_refused, "version is 4, expected 3");
  CHECK(device.trusted() == "root 2");
  repository.served.erase("3.root.json");  // withheld: nothing newer is to be had
  REQUIRE(device.refresh());
  CHECK(device.trusted() == "root 2, snapshot 1, targets 1, timestamp 1");
}

TEST_CASE("bytes are kept as they came, whatever their layout") {
  SimRepository repository;
  repository.served["timestamp.json"] = Json::parse(repository.served["timestamp.json"]).dump(7) + "\n \n";
  Device device(repository);
  REQUIRE(device.refresh());
  CHECK(device.file("timestamp.json") == repository.served["timestamp.json"]);
}

TEST_CASE("metadata of the very size that is allowed is taken, one byte more is not") {
  SimRepository repository;
  Device device(repository);
  repository.list_bytes = false;
  repository.publish();
  auto pad = [&](const std::string& name, std::size_t size) {
    auto& bytes = repository.served.at(name);
    bytes.resize(size, ' ');
  };
  struct Case {
    std::string name;
    std::size_t bytes_max;
  };
  repository.publish_root();
  for (const auto& [name, bytes_max] : std::vector<Case>{{"2.root.json", root_bytes_max},
                                                         {"timestamp.json", timestamp_bytes_max},
                                                         {"2.snapshot.json", snapshot_bytes_max},
                                                         {"1.targets.json", targets_bytes_max}}) {
    INFO(name);
    Device fresh(repository);
    pad(name, bytes_max + 1);
    check_refused(fresh.refresh(), Errc::bad_input, name.c_str());
    pad(name, bytes_max);
    CHECK(fresh.refresh());
  }
}
