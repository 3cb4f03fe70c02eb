// Targets onto a disk: which bytes are taken, what is left after a refusal, and how a lying HTTP server is met.
#include "tests/ota/tuf_device.hpp"
#include "tests/support/scripted_server.hpp"

#include <algorithm>

using namespace ferry;
using namespace ferry::ota;
using namespace ferry::test;

namespace {

// Contents in the order in which they were written, as a test suite from outside reads the folder.
std::vector<std::string> contents(Device& device) {
  std::vector<std::filesystem::directory_entry> entries;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(device.downloads.path()))
    if (entry.is_regular_file()) entries.push_back(entry);
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.last_write_time() < b.last_write_time(); });
  std::vector<std::string> texts;
  for (const auto& entry : entries) texts.push_back(*read_file(entry.path(), 1'000'000));
  return texts;
}

using Texts = std::vector<std::string>;

std::size_t targets_requested(const SimRepository& repository) {
  return static_cast<std::size_t>(std::count_if(repository.requests.begin(), repository.requests.end(),
                                                [](const auto& path) { return path.starts_with("targets/"); }));
}

void replace_everything_served(SimRepository& repository, const std::string& bytes) {
  for (auto& [path, served] : repository.targets_served) served = bytes;
}

}  // namespace

TEST_CASE("a target below folders is asked for with its digest before the last part of its name") {
  SimRepository repository;
  repository.add_target("targets", "path/to a/file.txt", "the bytes");
  repository.publish();
  Device device(repository);
  repository.requests.clear();
  auto path = device.download("path/to a/file.txt");
  REQUIRE(path);
  CHECK(repository.requests.back() == "targets/path/to%20a/" + sha256("the bytes").hex() + ".file.txt");
  CHECK(contents(device) == Texts{"the bytes"});
  CHECK(path->filename() == "path%2Fto%20a%2Ffile.txt");
}

TEST_CASE("a repository that swaps files after the fact gets none of them onto the disk") {
  SimRepository repository;
  repository.add_target("targets", "one", "first bytes");
  repository.add_target("targets", "two", "other bytes");
  repository.publish();
  Device device(repository);
  REQUIRE(device.download("one"));
  replace_everything_served(repository, "evil bytes!");  // of the very length that is signed
  REQUIRE(device.download("one"));
  check_refused(device.download("two"), Errc::bad_signature, "sha256");
  CHECK(contents(device) == Texts{"first bytes"});
}

TEST_CASE("a target that changes is replaced under its name, and only when it is signed") {
  SimRepository repository;
  Device device(repository);
  Texts expected;
  for (int i = 0; i < 5; ++i) {
    auto now = "contents " + std::to_string(i), added = "new file " + std::to_string(i);
    repository.add_target("targets", "changes", now);
    repository.add_target("targets", "new-" + std::to_string(i), added);
    repository.bump("targets");
    repository.publish();
    if (i % 2 != 0) continue;  // a version that the device never saw
    REQUIRE(device.download("changes"));
    if (!expected.empty())
      expected.erase(std::find(expected.begin(), expected.end(), "contents " + std::to_string(i - 2)));
    expected.push_back(now);
    std::sort(expected.begin(), expected.end());
    REQUIRE(device.download("new-" + std::to_string(i)));
    expected.push_back(added);
    std::sort(expected.begin(), expected.end());
    auto honest = repository.targets_served;
    replace_everything_served(repository, std::string(now.size(), '!'));
    repository.publish();
    (void)device.download("changes");
    auto found = contents(device);
    std::sort(found.begin(), found.end());
    CHECK(found == expected);
    repository.targets_served = honest;
  }
}

TEST_CASE("the newest file is the last one written: a replaced one is new, a cached one is not touched") {
  SimRepository repository;
  repository.add_target("targets", "a", "a1");
  repository.add_target("targets", "b", "b1");
  repository.publish();
  Device device(repository);
  REQUIRE(device.download("a"));
  REQUIRE(device.download("b"));
  // Back-dated, so that the order does not hang on the clock's resolution.
  using namespace std::chrono_literals;
  auto earlier = std::filesystem::file_time_type::clock::now() - 1h;
  std::filesystem::last_write_time(device.downloads.path() / "a", earlier);
  std::filesystem::last_write_time(device.downloads.path() / "b", earlier + 1min);
  REQUIRE(device.download("a"));
  CHECK(contents(device) == Texts{"a1", "b1"});
  repository.add_target("targets", "a", "a2");
  repository.bump("targets");
  repository.publish();
  REQUIRE(device.download("a"));
  CHECK(contents(device) == Texts{"b1", "a2"});
}

TEST_CASE("what is there and right is not fetched again") {
  SimRepository repository;
  repository.add_target("targets", "dir/a", "the bytes");
  repository.publish();
  Device device(repository);
  repository.requests.clear();
  REQUIRE(device.download("dir/a"));
  REQUIRE(device.download("dir/a"));
  CHECK(targets_requested(repository) == 1);
}

TEST_CASE("any of the listed hashes names the file, all that are known are checked, and one must be") {
  const std::string bytes = "the bytes";
  auto sha2 = sha256(bytes).hex(), sha5 = sha512_hex(bytes);
  struct Case {
    Json hashes;
    std::string prefix;  // empty: refused, and nothing is asked for by another name
    bool accepted;
  };
  for (const auto& [hashes, prefix, accepted] :
       std::vector<Case>{{{{"sha256", sha2}}, sha2, true},
                         {{{"sha512", sha5}}, sha5, true},
                         {{{"sha256", sha2}, {"sha512", sha5}}, sha2, true},
                         {{{"sha256", sha2}, {"blake3", "00"}}, sha2, true},
                         {{{"sha256", sha2}, {"sha512", sha512_hex("x")}}, sha2, false},
                         {{{"sha256", sha256("x").hex()}, {"sha512", sha5}}, sha256("x").hex(), false},
                         {{{"blake3", sha2}}, "", false}}) {
    INFO(hashes.dump());
    SimRepository repository;
    repository.add_target("targets", "a", bytes, /*serve=*/false);
    repository.roles["targets"]["targets"]["a"]["hashes"] = hashes;
    repository.publish();
    repository.targets_served[prefix + ".a"] = bytes;
    Device device(repository);
    repository.requests.clear();
    auto path = device.download("a");
    CHECK(path.has_value() == accepted);
    CHECK(contents(device) == (accepted ? Texts{bytes} : Texts{}));
    CHECK(targets_requested(repository) == (prefix.empty() ? 0u : 1u));
    if (!prefix.empty()) CHECK(repository.requests.back() == "targets/" + prefix + ".a");
  }
}

TEST_CASE("a body is held to what was signed, whatever its Content-Length says") {
  SimRepository repository;
  const std::string bytes(1000, 'b');
  repository.add_target("targets", "a", bytes);
  repository.publish();
  struct Case {
    const char* name;
    std::string body;
    std::optional<std::size_t> claimed;
    bool accepted;
  };
  std::string longer = bytes + "b", shorter = bytes.substr(1);
  for (const auto& [name, body, claimed, accepted] : std::vector<Case>{
           {"honest", bytes, {}, true},
           {"one byte more", longer, {}, false},
           {"one byte less", shorter, {}, false},
           {"one byte more, claims the signed length: the rest is not of this answer", longer, 1000, true},
           {"one byte less, claims the signed length", shorter, 1000, false},
           {"claims more than it sends", bytes, 1001, false},
           {"claims less than it sends", bytes, 999, false},
           {"claims a terabyte", bytes, 1'000'000'000'000, false},
           {"claims nothing", bytes, 0, false}}) {
    INFO(name);
    ScriptedServer server([&](const ScriptedRequest&) {
      ScriptedAnswer answer;
      answer.body = body;
      answer.claimed_length = claimed;
      return answer;
    });
    auto http = make_http_client(TlsClientConfig{});
    HttpFetcher targets(*http, server.url("/targets"));
    Device device(repository);
    RepositoryClient::Options options;
    options.directory = device.directory.path();
    auto client = RepositoryClient::open(std::move(options), repository, targets, repository.now);
    REQUIRE(client);
    REQUIRE(client->refresh());
    auto found = client->find_target("a");
    REQUIRE(found);
    CHECK(client->download_target(*found, device.downloads.path()).has_value() == accepted);
    CHECK(contents(device) == (accepted ? Texts{bytes} : Texts{}));
    CHECK(server.requests().front().path() == "/targets/" + sha256(bytes).hex() + ".a");
  }
}

TEST_CASE("a target of another length is refused as that, before anything is hashed") {
  SimRepository repository;
  repository.add_target("targets", "a", "the bytes");
  repository.publish();
  Device device(repository);
  replace_everything_served(repository, "the byte");
  check_refused(device.download("a"), Errc::bad_signature, "length is 8 bytes, signed is 9");
  CHECK(contents(device).empty());
}

TEST_CASE("metadata over HTTP: an error is never a missing file, a missing root is the end of the chain") {
  SimRepository repository;
  struct Case {
    std::string path;
    int status;
    bool accepted;
  };
  for (const auto& [path, status, accepted] : std::vector<Case>{{"/2.root.json", 404, true},
                                                                {"/2.root.json", 403, true},
                                                                {"/2.root.json", 400, false},
                                                                {"/2.root.json", 429, false},
                                                                {"/2.root.json", 500, false},
                                                                {"/2.root.json", 503, false},
                                                                {"/2.root.json", 302, false},
                                                                {"/2.root.json", 204, false},
                                                                {"/timestamp.json", 404, false},
                                                                {"/timestamp.json", 403, false},
                                                                {"/timestamp.json", 500, false}}) {
    INFO(path << " " << status);
    ScriptedServer server([&](const ScriptedRequest& request) {
      ScriptedAnswer answer;
      auto served = repository.served.find(request.path().substr(1));
      answer.status = served == repository.served.end() ? 404 : 200;
      if (answer.status == 200) answer.body = served->second;
      if (request.path() == path) answer.status = status, answer.body.clear();
      return answer;
    });
    auto http = make_http_client(TlsClientConfig{});
    HttpFetcher metadata(*http, server.url());
    Device device(repository);
    RepositoryClient::Options options;
    options.directory = device.directory.path();
    auto client = RepositoryClient::open(std::move(options), metadata, repository.target_fetcher, repository.now);
    REQUIRE(client);
    CHECK(client->refresh().has_value() == accepted);
    CHECK(device.trusted() == (accepted ? "root 1, snapshot 1, targets 1, timestamp 1" : "root 1"));
  }
}
