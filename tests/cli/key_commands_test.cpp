// `ferry key`: the trust root that it makes is one that ota's server and client sides accept.
#include "common/bytes.hpp"
#include "ota/attestation.hpp"
#include "ota/repository_client.hpp"
#include "ota/repository_writer.hpp"
#include "tests/cli/api_server.hpp"
#include "tests/cli/workshop.hpp"

#include <sys/stat.h>

#include <set>

using namespace ferry;
using namespace ferry::test;

namespace {

class Files : public ota::Fetcher {
 public:
  Result<std::string> fetch(const std::string& path, std::size_t) override {
    const auto found = files.find(path);
    if (found == files.end()) return Error{Errc::not_found, path};
    return found->second;
  }
  std::map<std::string, std::string> files;
};

std::string metadata(const std::string& name) { return read_text(Workshop::shared().keys() / "metadata" / name); }

unsigned mode_of(const Path& file) {
  struct stat about {};
  REQUIRE(::stat(file.c_str(), &about) == 0);
  return about.st_mode & 07777;
}

Ran init(const std::string& online, const std::vector<std::string>& models, const Path& folder) {
  const Environment none;
  std::vector<std::string> arguments{"key", "init", "--online", online, "-d", folder.string()};
  for (const std::string& model : models) arguments.insert(arguments.end(), {"--model", model});
  return test::ferry(arguments);
}

}  // namespace

TEST_CASE("key init makes a trust root that the server takes and a device's client follows to the gate policy") {
  Workshop& workshop = Workshop::shared();
  const Instant now = SimClock().now();
  auto state = ota::accept_root_update({}, metadata("root.json"), now);
  REQUIRE(state);
  state = ota::accept_targets_update(*state, metadata("targets.json"), now);
  REQUIRE(state);
  for (const char* model : {"fashion-mnist", "keyword-spotter"}) {
    state = ota::accept_role_update(*state, model, metadata(std::string(model) + ".json"), now);
    REQUIRE(state);
  }
  state = ota::sign_online(*state, {workshop.snapshot(), workshop.timestamp()}, now);
  REQUIRE(state);

  Files served, targets;
  const auto files = ota::served_files(*state);
  REQUIRE(files);
  served.files = *files;
  const std::string policy = metadata("gate-policy.json");
  targets.files["ferry/" + sha256(policy).hex() + ".gate-policy.json"] = policy;
  const TempDir device;
  ota::RepositoryClient::Options options;
  options.directory = device.path();
  options.pinned_root = metadata("root.json");
  auto client = ota::RepositoryClient::open(options, served, targets, now + std::chrono::hours{23});
  REQUIRE(client);
  REQUIRE(client->refresh());
  const auto target = client->find_target(std::string(ota::gate_policy_target));
  REQUIRE(target);
  const auto fetched = client->fetch_target(*target);
  REQUIRE(fetched);
  const auto parsed = ota::parse_gate_policy(*fetched);
  REQUIRE(parsed);
  REQUIRE(parsed->keys.size() == 1);
  CHECK(parsed->keys[0].pem() == read_text(workshop.key("gate.pub.pem")));
}

TEST_CASE("the private keys are for their owner's eyes, each fits its public one, and all differ") {
  Workshop& workshop = Workshop::shared();
  CHECK(mode_of(workshop.keys()) == 0700);
  std::set<std::string> distinct;
  for (const char* name : {"root", "targets", "gate", "release-fashion-mnist", "release-keyword-spotter"}) {
    const Path file = workshop.keys() / (std::string(name) + ".pem");
    CHECK(mode_of(file) == 0600);
    const auto key = PrivateKey::load(file);
    REQUIRE(key);
    CHECK(key->public_key().pem() == read_text(workshop.keys() / (std::string(name) + ".pub.pem")));
    distinct.insert(key->public_key().spki_der());
  }
  CHECK(distinct.size() == 5);
}

TEST_CASE("a trust root is made once: the keys that are there stay as they are") {
  Workshop& workshop = Workshop::shared();
  const std::string before = read_text(workshop.key("root.pem"));
  const Ran again = init(workshop.online_file(), {"fashion-mnist"}, workshop.keys());
  CHECK(again.code == 5);
  CHECK(contains(again.err, "root.pem exists"));
  CHECK(read_text(workshop.key("root.pem")) == before);
}

TEST_CASE("key init -o json says what devices pin") {
  const TempDir folder;
  const Environment none;
  const Ran ran = test::ferry({"key", "init", "--online", Workshop::shared().online_file(), "--model", "m", "--keys",
                               (folder / "k").string(), "-o", "json"});
  REQUIRE(ran.code == 0);
  CHECK(ran.json()["root_sha256"] == sha256(read_text(folder / "k" / "metadata" / "root.json")).hex());
}

TEST_CASE("a wrong model name or online key is refused by name, and no key is left behind") {
  const TempDir folder;
  Workshop& workshop = Workshop::shared();
  const std::string good = read_text(workshop.online_file());
  const auto file = [&](const std::string& text) {
    write_text(folder / "public.json", text);
    return (folder / "public.json").string();
  };
  struct Case {
    std::string online;
    std::vector<std::string> models;
    int code;
    const char* said;
  };
  const Json keys = Json::parse(good);
  Json other_format = keys, no_timestamp = keys, bad_key = keys;
  other_format["format"] = "ferry.online-keys/2";
  no_timestamp.erase("timestamp");
  bad_key["snapshot"] = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
  const Case cases[] = {{good, {"Fashion"}, 2, "Fashion"},
                        {good, {"targets"}, 2, "targets"},
                        {good, {"gate-policy"}, 2, "gate-policy"},
                        {good, {"a", "b", "a"}, 2, "given twice"},
                        {other_format.dump(), {"a"}, 2, "ferry.online-keys/1"},
                        {no_timestamp.dump(), {"a"}, 2, "timestamp"},
                        {bad_key.dump(), {"a"}, 2, "snapshot"},
                        {"[]", {"a"}, 2, "object"},
                        {"{", {"a"}, 2, "public.json"},
                        {"", {"a"}, 2, "public.json"}};
  for (const Case& wrong : cases) {
    const Ran ran = init(file(wrong.online), wrong.models, folder / "keys");
    INFO(wrong.said << ": " << ran.err);
    CHECK(ran.code == wrong.code);
    CHECK(contains(ran.err, wrong.said));
    CHECK(!std::filesystem::exists(folder / "keys"));
  }
  CHECK(init((folder / "absent").string(), {"a"}, folder / "keys").code == 3);
}

TEST_CASE("a key init that was cut short may be run again") {
  const TempDir folder;
  REQUIRE(make_directories(folder / "keys" / "metadata"));
  write_text(folder / "keys" / "gate.pem", "half");
  CHECK(init(Workshop::shared().online_file(), {"a"}, folder / "keys").code == 0);
  CHECK(PrivateKey::load(folder / "keys" / "gate.pem"));
}

TEST_CASE("key publish sends the public part and no private key") {
  Workshop& workshop = Workshop::shared();
  ApiServer server;
  server.on("POST /trust", 200, Json{{"published", true}, {"root_sha256", "ab"}});
  const Ran ran = server.ferry({"key", "publish", "-d", workshop.keys().string(), "-o", "json"});
  REQUIRE(ran.code == 0);
  CHECK(ran.json()["published"] == true);
  const Json body = server.body_of("POST /trust");
  CHECK(body.size() == 4);
  CHECK(body["root"] == to_base64(metadata("root.json")));
  CHECK(body["targets"] == to_base64(metadata("targets.json")));
  CHECK(body["gate_policy"] == to_base64(metadata("gate-policy.json")));
  CHECK(body["roles"].size() == 2);
  CHECK(body["roles"]["fashion-mnist"] == to_base64(metadata("fashion-mnist.json")));
  CHECK(!contains(body.dump(), to_base64(read_text(workshop.key("root.pem"))).substr(0, 60)));
}

TEST_CASE("key publish without a trust root is exit 3 and asks the server nothing") {
  ApiServer server;
  const TempDir folder;
  const Ran ran = server.ferry({"key", "publish", "-d", folder.path().string()});
  CHECK(ran.code == 3);
  CHECK(contains(ran.err, "root.json"));
  CHECK(server.asked().empty());
}
