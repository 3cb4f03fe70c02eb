// Which role answers for a path: order, patterns, hashed bins, and through whom a role has its authority.
#include "tests/ota/tuf_device.hpp"

#include <set>

using namespace ferry;
using namespace ferry::ota;
using namespace ferry::test;

namespace {

struct Edge {
  std::string parent, role;
  std::vector<std::string> paths = {"*"};
  bool terminating = false;
};

void build(SimRepository& repository, const std::vector<Edge>& edges) {
  repository.roles["targets"].erase("delegations");
  repository.roles.erase("team");
  repository.snapshot["meta"].erase("team.json");
  for (const auto& edge : edges) repository.delegate(edge.parent, edge.role, edge.paths, edge.terminating);
}

// The delegated roles that a search for `path` fetched, in order.
std::vector<std::string> visited(SimRepository& repository, const std::string& path, bool* found = nullptr) {
  repository.publish();
  Device device(repository);
  repository.requests.clear();
  auto result = device.find(path);
  if (found != nullptr) *found = result.has_value();
  if (!result) CHECK(result.error().code == Errc::not_found);
  std::vector<std::string> roles;
  for (const auto& request : repository.requests) {
    auto name = request.substr(request.find('.') + 1);
    name = name.substr(0, name.size() - 5);
    if (request == "timestamp.json" || is_top_level_role(name)) continue;
    roles.push_back(name);
  }
  return roles;
}

using Roles = std::vector<std::string>;

// One delegator with succinct roles in place of its delegations; all bins have one key.
struct SuccinctRepository : SimRepository {
  explicit SuccinctRepository(int bits, const std::string& name_prefix = "bin") : prefix(name_prefix) {
    roles.erase("team");
    snapshot["meta"].erase("team.json");
    auto& delegations = roles["targets"]["delegations"];
    delegations.erase("roles");
    auto key = *PrivateKey::generate();
    auto id = tuf_key_id(key.public_key());
    delegations["keys"] = {{id, Json::parse(tuf_key_json(key.public_key()))}};
    delegations["succinct_roles"] = {{"keyids", {id}}, {"threshold", 1}, {"bit_length", bits}, {"name_prefix", prefix}};
    bin_key = {key};
  }
  void add_bin(const std::string& digits) {
    roles.try_emplace(prefix + "-" + digits, new_targets());  // two paths may share a bin
    signers[prefix + "-" + digits] = bin_key;
  }
  std::string prefix;
  std::vector<PrivateKey> bin_key;
};

}  // namespace

TEST_CASE("delegations are searched before their siblings, in listed order") {
  struct Case {
    const char* name;
    std::vector<Edge> edges;
    Roles visited;
  };
  const std::vector<std::string> python = {"*.py"}, all = {"*"};
  const std::vector<Case> cases = {
      {"one", {{"targets", "a"}}, {"a"}},
      {"two beside each other", {{"targets", "a"}, {"targets", "b"}}, {"a", "b"}},
      {"two levels", {{"targets", "a"}, {"targets", "b"}, {"b", "c"}}, {"a", "b", "c"}},
      {"depth first", {{"targets", "a"}, {"targets", "b"}, {"a", "c"}, {"a", "d"}}, {"a", "c", "d", "b"}},
      {"depth first, three levels", {{"targets", "a"}, {"targets", "b"}, {"a", "c"}, {"c", "d"}}, {"a", "c", "d", "b"}},
      {"terminating ends it at both levels",
       {{"targets", "a"}, {"targets", "b"}, {"a", "c", all, true}, {"a", "d"}},
       {"a", "c"}},
      {"terminating, but its own delegations go on",
       {{"targets", "a"}, {"targets", "b"}, {"a", "c", all, true}, {"c", "d"}},
       {"a", "c", "d"}},
      {"a terminating one that does not match ends nothing", {{"targets", "a", python, true}, {"targets", "b"}}, {"b"}},
      {"a branch whose paths do not match", {{"targets", "a", python}, {"targets", "b"}, {"a", "c"}}, {"b"}},
      {"a branch below whose paths do not match",
       {{"targets", "a"}, {"targets", "b"}, {"a", "c", python}, {"c", "d"}},
       {"a", "b"}},
      {"a cycle", {{"targets", "a"}, {"targets", "b"}, {"b", "c"}, {"c", "d"}, {"d", "b"}}, {"a", "b", "c", "d"}},
      {"two delegate to a third", {{"targets", "a"}, {"targets", "b"}, {"b", "c"}, {"a", "c"}}, {"a", "c", "b"}},
      {"two delegate to a third, one of them for this path",
       {{"targets", "a"}, {"targets", "b"}, {"b", "c"}, {"a", "c", python}},
       {"a", "b", "c"}},
  };
  for (const auto& [name, edges, expected] : cases) {
    INFO(name);
    SimRepository repository;
    build(repository, edges);
    CHECK(visited(repository, "missing") == expected);
  }
}

TEST_CASE("a target is found where the delegations lead, and nowhere else") {
  struct Case {
    std::string path;
    bool found;
    Roles visited;
  };
  const std::vector<Case> cases = {
      {"targetfile", true, {}},
      {"README.md", true, {"a"}},
      {"releases/x/x_v1", true, {"b", "c"}},
      {"releases/y/y_v1.zip", true, {"b", "d"}},
      {"releases/z/z_v1.zip", false, {"b"}},  // d lists it, but is not asked for it
      {"releases/README.md", false, {}},      // '*' does not match '/'
      {"foo-1.tgz", true, {"a"}},
      {"foo-alpha.tgz", false, {}},
      {"README.MD", false, {}},
  };
  SimRepository repository;
  build(repository, {{"targets", "a", {"*.doc", "*.md", "foo-?.tgz"}},
                     {"targets", "b", {"releases/*/*"}},
                     {"b", "c", {"releases/x/*"}},
                     {"b", "d", {"releases/y/*.zip"}}});
  repository.add_target("targets", "targetfile", "1");
  for (const char* path : {"README.md", "releases/README.md", "foo-1.tgz", "foo-alpha.tgz", "README.MD"})
    repository.add_target("a", path, "2");
  repository.add_target("c", "releases/x/x_v1", "3");
  for (const char* path : {"releases/y/y_v1.zip", "releases/z/z_v1.zip"}) repository.add_target("d", path, "4");
  for (const auto& [path, found, expected] : cases) {
    INFO(path);
    bool was_found = false;
    CHECK(visited(repository, path, &was_found) == expected);
    CHECK(was_found == found);
  }
}

TEST_CASE("at most 32 delegated roles are visited for one target") {
  SimRepository repository;
  std::vector<Edge> edges;
  for (int i = 0; i < 40; ++i) edges.push_back({"targets", "role" + std::to_string(i)});
  build(repository, edges);
  CHECK(visited(repository, "missing").size() == 32);
  repository.add_target("role31", "reached", "x");
  repository.add_target("role32", "out of reach", "x");
  bool found = false;
  visited(repository, "reached", &found);
  CHECK(found);
  visited(repository, "out of reach", &found);
  CHECK_FALSE(found);
}

TEST_CASE("a role verified for one delegator is verified again for another, within one run") {
  SimRepository repository;
  build(repository, {{"targets", "parent-a", {"team-a/*"}}, {"targets", "parent-b", {"team-b/*"}}});
  repository.delegate("parent-a", "release", {"team-a/*"});
  auto key_of_a = repository.signers["release"];
  repository.signers["release"] = {*PrivateKey::generate()};
  repository.delegate("parent-b", "release", {"team-b/*"});
  repository.signers["release"] = key_of_a;
  repository.add_target("release", "team-a/root.json", "trusted by a");
  repository.add_target("release", "team-b/root.json", "b never signed this");
  repository.publish();
  Device device(repository);
  auto client = device.open();
  REQUIRE(client);
  REQUIRE(client->refresh());
  CHECK(client->find_target("team-a/root.json"));
  check_refused(client->find_target("team-b/root.json"), Errc::bad_signature, "release");
  CHECK(client->find_target("team-a/root.json"));
}

TEST_CASE("what a role delegates is asked of the role as its own delegator knows it") {
  // Both parents delegate to "shared" by other keys; each key holder wrote another version 1 of it, and whoever serves
  // them chooses. The child must be the one of the shared role that the path came through.
  SimRepository repository;
  repository.list_bytes = false;
  build(repository, {{"targets", "left", {"left/*"}}, {"targets", "right", {"right/*"}}});
  repository.delegate("left", "shared", {"*/*"});
  auto left_key = repository.signers["shared"];
  repository.signers["shared"] = {*PrivateKey::generate()};
  repository.delegate("right", "shared", {"*/*"});
  auto right_key = repository.signers["shared"];
  repository.delegate("shared", "child", {"*/*"});  // by the holder of right's key
  repository.add_target("child", "left/x", "bytes");
  repository.add_target("child", "right/x", "bytes");
  repository.publish();
  auto right_shared = repository.served["1.shared.json"];
  repository.roles["shared"].erase("delegations");
  repository.signers["child"] = {*PrivateKey::generate()};
  repository.delegate("shared", "child", {"*/*"});
  repository.signers["shared"] = left_key;
  auto left_shared = repository.sign(repository.roles["shared"], "shared");
  for (bool right_first : {true, false}) {
    Device device(repository);
    auto client = device.open();
    REQUIRE(client);
    REQUIRE(client->refresh());
    auto left = [&] {
      repository.served["1.shared.json"] = left_shared;
      check_refused(client->find_target("left/x"), Errc::bad_signature, "child");
    };
    if (!right_first) left();
    repository.served["1.shared.json"] = right_shared;
    CHECK(client->find_target("right/x"));
    left();
    CHECK(client->find_target("right/x"));
  }
}

TEST_CASE("a role that the snapshot does not list is not even asked for") {
  SimRepository repository;
  build(repository, {{"targets", "delegated", {"delegatedpath/*"}}});
  repository.publish();
  repository.snapshot["meta"].erase("delegated.json");
  repository.publish_snapshot();
  Device device(repository);
  REQUIRE(device.refresh());
  repository.requests.clear();
  check_refused(device.find("delegatedpath/x"), Errc::not_found, "delegated.json is not listed");
  CHECK(repository.requests == std::vector<std::string>{"2.root.json", "timestamp.json"});
  CHECK(device.trusted() == "root 1, snapshot 3, targets 1, timestamp 3");
}

TEST_CASE("unusual names of roles are quoted in requests and in the store") {
  for (const auto& [role, quoted] :
       std::vector<std::pair<std::string, std::string>>{{"?", "%3F"},
                                                        {"#", "%23"},
                                                        {"/delegatedrole", "%2Fdelegatedrole"},
                                                        {"../delegatedrole", "..%2Fdelegatedrole"},
                                                        {"a b%41", "a%20b%2541"},
                                                        {"\xc3\xa9", "%C3%A9"},
                                                        {"..", ".."},
                                                        {".", "."}}) {
    INFO(role);
    SimRepository repository;
    build(repository, {{"targets", role}});
    CHECK(visited(repository, "missing") == Roles{quoted});
  }
}

TEST_CASE("succinct roles: a path belongs to the bin of its first bits") {
  for (int bits : {1, 3, 4, 5, 8, 12, 16, 32}) {
    INFO(bits);
    SuccinctRepository repository(bits);
    for (const std::string path : {"a", "dir/file", "x.zip"}) {
      // The name as another program would make it: the whole digest in binary, cut off, in hex.
      auto first = std::stoull(sha256(path).hex().substr(0, 8), nullptr, 16) >> (32 - bits);
      char digits[16];
      std::snprintf(digits, sizeof digits, "%0*llx", (bits + 3) / 4, first);
      repository.add_bin(digits);
      repository.add_target("bin-" + std::string(digits), path, "bytes of " + path);
    }
    repository.publish();
    Device device(repository);
    for (const std::string path : {"a", "dir/file", "x.zip"}) {
      auto downloaded = device.download(path);
      INFO(path << (downloaded ? "" : ": " + downloaded.error().context));
      REQUIRE(downloaded);
      CHECK(*read_file(*downloaded, 100) == "bytes of " + path);
    }
  }
}

TEST_CASE("succinct roles: only the one bin is asked, and what it says is the end") {
  SuccinctRepository repository(1, "team/bins");
  repository.add_bin("0");
  repository.add_bin("1");
  auto in_bin = [](const std::string& path) { return sha256(path).bytes()[0] & 0x80 ? 1 : 0; };
  std::string low = "a", high = "a";
  while (in_bin(low) != 0) low += "a";
  while (in_bin(high) != 1) high += "a";
  repository.add_target("team/bins-1", low, "in the wrong bin");
  repository.add_target("team/bins-1", high, "x");
  bool found = true;
  CHECK(visited(repository, low, &found) == Roles{"team%2Fbins-0"});
  CHECK_FALSE(found);
  CHECK(visited(repository, high, &found) == Roles{"team%2Fbins-1"});
  CHECK(found);
}

TEST_CASE("succinct roles are verified like any delegated role") {
  SuccinctRepository repository(1);
  repository.add_bin("0");
  repository.add_bin("1");
  repository.add_target("bin-0", "a", "x");
  repository.add_target("bin-1", "a", "x");
  repository.publish();
  REQUIRE(Device(repository).find("a"));
  SECTION("signed by another key") {
    for (const char* bin : {"bin-0", "bin-1"}) repository.signers[bin] = {*PrivateKey::generate()};
    repository.publish();
    check_refused(Device(repository).find("a"), Errc::bad_signature, "bin-");
  }
  SECTION("below the threshold") {
    repository.roles["targets"]["delegations"]["succinct_roles"]["threshold"] = 2;
    repository.publish();
    check_refused(Device(repository).find("a"), Errc::bad_signature, "expected 2");
  }
  SECTION("expired") {
    for (const char* bin : {"bin-0", "bin-1"}) repository.expires_in(repository.roles[bin], std::chrono::seconds{0});
    repository.publish();
    check_refused(Device(repository).find("a"), Errc::expired, "bin-");
  }
}

TEST_CASE("a name is a succinct bin only when it is written as one") {
  SuccinctRepository repository(9);
  auto targets = parse_targets(repository.sign(repository.roles["targets"], "targets"));
  REQUIRE(targets);
  for (const std::string name : {"bin-000", "bin-0ff", "bin-1ff"}) {
    auto delegation = delegation_named(*targets, name);
    REQUIRE(delegation);
    CHECK(delegation->name == name);
    CHECK(delegation->terminating);
    CHECK(delegation->keys.key_ids.size() == 1);
  }
  for (const std::string name : {"bin-200", "bin-0", "bin-0FF", "bin-0000", "bin-", "bin", "", "nib-000", "bin+000",
                                 "bin-00g", "bin--01", "bin-ffffffffffffffffffff"})
    CHECK_FALSE(delegation_named(*targets, name));
}

TEST_CASE("succinct roles are refused with the field named") {
  SuccinctRepository repository(9);
  auto attempt = [&](const std::function<void(Json&)>& change, const char* named) {
    Json body = repository.roles["targets"];
    change(body["delegations"]["succinct_roles"]);
    check_refused(parse_targets(repository.sign(body, "targets")), Errc::bad_input, named);
  };
  attempt([](Json& roles) { roles["bit_length"] = 0; }, "bit_length");
  attempt([](Json& roles) { roles["bit_length"] = 33; }, "bit_length");
  attempt([](Json& roles) { roles["bit_length"] = "8"; }, "bit_length");
  attempt([](Json& roles) { roles.erase("bit_length"); }, "bit_length");
  attempt([](Json& roles) { roles.erase("name_prefix"); }, "name_prefix");
  attempt([](Json& roles) { roles["name_prefix"] = 1; }, "name_prefix");
  attempt([](Json& roles) { roles["threshold"] = 0; }, "threshold");
  attempt([](Json& roles) { roles.erase("keyids"); }, "keyids");
  attempt([](Json& roles) { roles["keyids"].push_back(roles["keyids"][0]); }, "twice");
  attempt([](Json& roles) { roles = Json::array(); }, "succinct_roles");
  Json body = repository.roles["targets"];
  body["delegations"].erase("succinct_roles");
  check_refused(parse_targets(repository.sign(body, "targets")), Errc::bad_input, "exactly one");
}
