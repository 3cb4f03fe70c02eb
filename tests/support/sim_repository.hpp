// A TUF repository in memory that can also lie: metadata is kept as editable JSON, signed with real keys, served as
// files.
#pragma once
#include "common/bytes.hpp"
#include "common/canonical_json.hpp"
#include "ota/repository_client.hpp"
#include "ota/repository_writer.hpp"

#include <nlohmann/json.hpp>

namespace ferry::test {

inline const Instant sim_start = *from_rfc3339("2026-11-23T08:00:00Z");

// Five roles, one P-256 key each, `team` delegated for "team/*" (not terminating). Edit the Json members, then publish.
class SimRepository : public ota::Fetcher {
 public:
  SimRepository() {
    for (const char* role : {"root", "timestamp", "snapshot", "targets"}) {
      signers[role] = {*PrivateKey::generate()};
      root["roles"][role] = Json::object();
      root["roles"][role]["threshold"] = 1;
      root["roles"][role]["keyids"] = Json::array();
      trust(root, role, signers[role][0]);
    }
    root["consistent_snapshot"] = true;
    head(root, "root", 0, 365);
    head(timestamp, "timestamp", 0, 30);
    head(snapshot, "snapshot", 0, 30);
    snapshot["meta"] = Json::object();
    roles["targets"] = new_targets();
    delegate("targets", "team", {"team/*"});
    publish_root();
    publish();
  }

  Json new_targets() const {
    Json body;
    head(body, "targets", 1, 30);
    body["targets"] = Json::object();
    return body;
  }

  // Adds `key` to the keys object and to the role's keyids of root.
  static void trust(Json& body, const std::string& role, const PrivateKey& key) {
    auto id = ota::tuf_key_id(key.public_key());
    body["keys"][id] = Json::parse(ota::tuf_key_json(key.public_key()));
    body["roles"][role]["keyids"].push_back(id);
  }

  // A new delegated role with a key of its own; `paths` patterns.
  void delegate(const std::string& parent, const std::string& name, const std::vector<std::string>& paths,
                bool terminating = false) {
    if (!roles.contains(name)) roles[name] = new_targets();
    if (!signers.contains(name)) signers[name] = {*PrivateKey::generate()};
    auto& delegations = roles[parent]["delegations"];
    Json role;
    role["name"] = name;
    role["threshold"] = 1;
    role["terminating"] = terminating;
    role["paths"] = paths;
    role["keyids"] = Json::array();
    for (const auto& key : signers[name]) {
      auto id = ota::tuf_key_id(key.public_key());
      delegations["keys"][id] = Json::parse(ota::tuf_key_json(key.public_key()));
      role["keyids"].push_back(id);
    }
    delegations["roles"].push_back(role);
  }

  void add_target(const std::string& role, const std::string& path, const std::string& bytes, bool serve = true) {
    Json entry;
    entry["length"] = bytes.size();
    entry["hashes"]["sha256"] = sha256(bytes).hex();
    roles[role]["targets"][path] = entry;
    ota::TargetFile file{
        .path = path, .length_bytes = bytes.size(), .hashes = {{"sha256", sha256(bytes).hex()}}, .custom_json = {}};
    if (!serve) return;
    for (bool consistent : {true, false}) targets_served[*ota::target_url_path(file, consistent)] = bytes;
  }

  std::string sign(const Json& body, const std::string& role) const {
    Json document;
    document["signed"] = body;
    document["signatures"] = Json::array();
    auto message = canonical_json(body);
    for (const auto& key : signers.at(role)) {
      Json entry;
      entry["keyid"] = ota::tuf_key_id(key.public_key());
      // A float cannot be signed: then any bytes do, the form is refused before.
      entry["sig"] = message ? to_hex(*key.sign(*message)) : "00";
      document["signatures"].push_back(entry);
    }
    return document.dump(1);
  }

  void publish_root() {
    root["version"] = root["version"].get<int>() + 1;
    serve_root();
  }
  void serve_root() { served[root["version"].dump() + ".root.json"] = sign(root, "root"); }

  bool consistent() const { return root["consistent_snapshot"] == true; }
  std::string versioned(const Json& body, const std::string& name) const {
    return consistent() ? body["version"].dump() + "." + name : name;
  }
  void serve_role(const std::string& role) {
    served[versioned(roles[role], ota::percent_encode(role) + ".json")] = sign(roles[role], role);
  }
  // Serves every role as it is, a new snapshot that lists them (with length and hashes), and a new timestamp.
  void publish() {
    for (auto& [name, body] : roles) {
      serve_role(name);
      auto& bytes = served[versioned(body, ota::percent_encode(name) + ".json")];
      snapshot["meta"][name + ".json"] = meta(body, bytes);
    }
    publish_snapshot();
  }
  void publish_snapshot() {
    snapshot["version"] = snapshot["version"].get<int>() + 1;
    auto name = versioned(snapshot, "snapshot.json");
    served[name] = sign(snapshot, "snapshot");
    timestamp["meta"]["snapshot.json"] = meta(snapshot, served[name]);
    publish_timestamp();
  }
  void publish_timestamp() {
    timestamp["version"] = timestamp["version"].get<int>() + 1;
    serve_timestamp();
  }
  void serve_timestamp() { served["timestamp.json"] = sign(timestamp, "timestamp"); }

  Json meta(const Json& body, const std::string& bytes) const {
    Json entry;
    entry["version"] = body["version"];
    if (!list_bytes) return entry;
    entry["length"] = bytes.size();
    entry["hashes"]["sha256"] = sha256(bytes).hex();
    return entry;
  }
  void bump(const std::string& role) { roles[role]["version"] = roles[role]["version"].get<int>() + 1; }
  void expires_in(Json& body, std::chrono::seconds after) const { body["expires"] = to_rfc3339(now + after); }

  Result<std::string> fetch(const std::string& path, std::size_t bytes_max) override {
    requests.push_back(path);
    if (auto trouble = troubles.find(path); trouble != troubles.end()) return trouble->second;
    auto found = served.find(path);
    if (found == served.end()) return Error{Errc::not_found, path + ": 404"};
    if (found->second.size() > bytes_max) return Error{Errc::bad_input, path + ": longer than allowed"};
    return found->second;
  }

  class Targets : public ota::Fetcher {
   public:
    explicit Targets(SimRepository& owner) : owner_(owner) {}
    Result<std::string> fetch(const std::string& path, std::size_t bytes_max) override {
      owner_.requests.push_back("targets/" + path);
      auto found = owner_.targets_served.find(path);
      if (found == owner_.targets_served.end()) return Error{Errc::not_found, path + ": 404"};
      if (found->second.size() > bytes_max) return Error{Errc::bad_input, path + ": longer than allowed"};
      return found->second;
    }

   private:
    SimRepository& owner_;
  };

  Json root, timestamp, snapshot;
  std::map<std::string, Json> roles;  // "targets" and delegated ones
  std::map<std::string, std::vector<PrivateKey>> signers;
  std::map<std::string, std::string> served, targets_served;
  std::map<std::string, Error> troubles;  // by path: what a fetch answers instead
  std::vector<std::string> requests;
  Instant now = sim_start;
  bool list_bytes = true;  // whether timestamp and snapshot list lengths and hashes
  Targets target_fetcher{*this};

 private:
  void head(Json& body, const char* type, int version, int days) const {
    body["_type"] = type;
    body["spec_version"] = "1.0.34";
    body["version"] = version;
    body["expires"] = to_rfc3339(now + std::chrono::hours{24 * days});
  }
};

}  // namespace ferry::test
