// A thief with a server's folder and one release key, but no gate key: puts a release that failed its gate into
// properly signed metadata and orders it rolled out. The genuine ferryd then serves the folder; devices are on their
// own.
//
//   dishonest-server <server data> <bundle folder> <release key> missing|failed|forged
#include "common/program.hpp"
#include "ota/manifest.hpp"
#include "server/init.hpp"
#include "server/rollout/rollout_controller.hpp"
#include "server/store/migrations.hpp"
#include "server/trust/trust_store.hpp"

#include <unistd.h>
#include <cstdio>
#include <sstream>

namespace {

using namespace ferry;
using namespace ferry::server;

// The genuine report with the verdict turned round, signed with the only key at hand.
Result<std::string> forge(const std::string& attestations, const PrivateKey& key) {
  std::istringstream lines(attestations);
  std::string forged;
  for (std::string line; std::getline(lines, line);) {
    TRY(auto envelope, ota::parse_envelope(line));
    TRY(auto statement, ota::parse_statement(envelope.payload));
    TRY(auto predicate, parse_json(statement.predicate_json));
    if (statement.predicate_type == ota::test_result_predicate) {
      predicate["result"] = "PASSED";
      for (const Json& test : predicate["failedTests"]) predicate["passedTests"].push_back(test);
      predicate["failedTests"] = Json::array();
    } else {
      predicate["verdict"] = "pass";
      for (Json& measurement : predicate["measurements"]) measurement["verdict"] = "pass";
    }
    statement.predicate_json = dump_json(predicate);
    TRY(auto signed_line, ota::sign_dsse(envelope.payload_type, ota::print_statement(statement), std::span(&key, 1)));
    forged += signed_line + "\n";
  }
  return forged;
}

// Files and versions as TrustStore keeps them, without its checks.
Result<> plant_metadata(const Config& config, Database& database, const ota::RepositoryState& state,
                        const std::string& model) {
  const auto plant = [&](const std::string& role, std::int64_t version, const std::string& bytes) -> Result<> {
    TRY_VOID(write_file_atomic(config.trust() / (std::to_string(version) + "." + role + ".json"), bytes));
    TRY(auto rows, database.query("update trust_versions set version = $2, sha256 = $3 where role = $1",
                                  {role, version, sha256(bytes).hex()}));
    (void)rows;
    return {};
  };
  TRY(auto role, ota::parse_targets(state.roles.at(model)));
  TRY(auto snapshot, ota::parse_snapshot(state.snapshot));
  TRY(auto timestamp, ota::parse_timestamp(state.timestamp));
  TRY_VOID(plant(model, role.version, role.bytes));
  TRY_VOID(plant("snapshot", snapshot.version, snapshot.bytes));
  return plant("timestamp", timestamp.version, timestamp.bytes);
}

struct Loot {
  std::string manifest, attestations;
};

Result<Loot> take_bundle(const Path& folder, BlobStore& blobs) {
  Loot loot;
  TRY(loot.manifest, read_file(folder / "manifest.json", ota::manifest_bytes_max));
  TRY(loot.attestations, read_file(folder / "attestations.intoto.jsonl", ota::attestations_bytes_max));
  for (const auto& file : std::filesystem::directory_iterator(folder / "blobs" / "sha256")) {
    TRY(auto bytes, read_file(file.path(), 64 * 1024 * 1024));
    TRY(auto digest, blobs.put(bytes));
    (void)digest;
  }
  return loot;
}

Result<std::string> plant(const Path& data, const Path& bundle, const Path& key_file, const std::string& way) {
  SystemClock clock;
  SystemRandom random;
  Log log(clock, STDERR_FILENO, LogFormat::text, LogLevel::error, "dishonest");
  TRY(auto config, load_config(data));
  TRY(auto database, open_sqlite(config.database()));
  TRY(auto online, load_online_keys(config));
  TRY(auto blobs, BlobStore::open(config.blobs()));
  TRY(auto release_key, PrivateKey::load(key_file));
  TRY(Loot loot, take_bundle(bundle, blobs));
  if (way == "missing") loot.attestations = "\n";  // metadata must pin some file: one that says nothing
  if (way == "forged") {
    TRY(loot.attestations, forge(loot.attestations, release_key));
  }

  TrustStore trust(config.trust(), online, *database, blobs, clock, log);
  TRY_VOID(trust.load());
  TRY(auto manifest, ota::parse_manifest(loot.manifest));
  ota::ReleaseEntry entry;
  entry.model = manifest.model;
  entry.version = manifest.version;
  entry.manifest = loot.manifest;
  entry.counter = manifest.counter;
  entry.attestations = {loot.attestations};
  ota::RepositoryState state = trust.state();
  TRY(auto role, ota::add_release(state.roles[entry.model], entry, std::span(&release_key, 1), clock.now()));
  TRY(state, ota::accept_role_update(state, entry.model, role, clock.now()));
  TRY(state, ota::sign_online(state, online, clock.now()));
  TRY(auto manifest_digest, blobs.put(loot.manifest));
  TRY(auto attestations_digest, blobs.put(loot.attestations));
  TRY_VOID(plant_metadata(config, *database, state, entry.model));

  ReleaseRow row{.model = entry.model, .version = entry.version, .counter = entry.counter};
  row.manifest_sha256 = manifest_digest;
  row.manifest_length = loot.manifest.size();
  row.attestations_sha256 = attestations_digest;
  row.published_ms = to_unix_ms(clock.now());
  row.published_by = "thief";
  row.gate_result = "PASSED";
  ReleaseStore releases(*database);
  TRY(auto known, releases.find(row.model, row.version));
  if (!known) TRY_VOID(releases.insert(row));

  Fleet fleet;
  DeviceStore devices(*database);
  TRY_VOID(fleet.load(devices));
  EventHub hub(clock);
  RolloutController rollouts(*database, fleet, clock, random, hub, log);
  TRY_VOID(rollouts.load());
  std::vector<std::string> under_way;
  rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [model, list] : by_model)
      for (const Rollout* rollout : list)
        if (!is_terminal(rollout->head.status)) under_way.push_back(rollout->plan.id);
  });
  for (const std::string& id : under_way) TRY_VOID(rollouts.act(id, Aborted{"thief", "", to_unix_ms(clock.now())}, {}));
  NewRollout wanted;
  wanted.model = row.model;
  wanted.version = row.version;
  wanted.policy.failures_max = failures_max_max;  // it wants to see every device try
  wanted.by = "thief";
  return rollouts.create(wanted, row);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: dishonest-server <server data> <bundle> <release key> missing|failed|forged\n");
    return 2;
  }
  auto rollout = plant(argv[1], argv[2], argv[3], argv[4]);
  if (!rollout) return finish(std::move(rollout).error());
  std::printf("%s\n", rollout->c_str());
  return 0;
}
