// `ferry key`: the offline side of trust (docs/formats/trust.md).
#include "cli/cli.hpp"

#include "common/bytes.hpp"
#include "common/crypto.hpp"
#include "common/file.hpp"
#include "ota/attestation.hpp"
#include "ota/manifest.hpp"
#include "ota/repository_writer.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr std::size_t key_file_bytes_max = 64 * 1024;
constexpr std::size_t metadata_bytes_max = 1024 * 1024;

struct InitOptions {
  std::string online, folder;
  std::vector<std::string> models;
};

Result<PrivateKey> new_key(const Path& folder, const std::string& name) {
  TRY(PrivateKey key, PrivateKey::generate());
  TRY_VOID(key.save(folder / (name + ".pem")));
  TRY_VOID(write_file_atomic(folder / (name + ".pub.pem"), key.public_key().pem()));
  return key;
}

struct OnlinePublicKeys {
  PublicKey snapshot, timestamp;
};

Result<OnlinePublicKeys> read_online_keys(const std::string& file) {
  TRY(const std::string text, read_file(file, key_file_bytes_max));
  TRY(const Json document, parse_json(text));
  TRY(const std::string format, string_at(document, "format"));
  if (format != "ferry.online-keys/1")
    return Error{Errc::unsupported, file + ": format '" + format + "', expected ferry.online-keys/1"};
  TRY(const std::string snapshot_pem, string_at(document, "snapshot"));
  TRY(const std::string timestamp_pem, string_at(document, "timestamp"));
  TRY(const PublicKey snapshot, PublicKey::from_pem(snapshot_pem));
  TRY(const PublicKey timestamp, PublicKey::from_pem(timestamp_pem));
  return OnlinePublicKeys{snapshot, timestamp};
}

Result<> write_metadata(const Path& folder, const std::string& name, const std::string& bytes) {
  return write_file_atomic(folder / "metadata" / name, bytes);
}

// Makes every offline key and the first root, targets, gate policy and (empty) model roles.
Result<int> init(Session& session, const InitOptions& options) {
  const Path folder = options.folder;
  if (std::filesystem::exists(folder / "root.pem")) {
    return Error{Errc::conflict,
                 (folder / "root.pem").string() + " exists: a trust root is made once; give another folder"};
  }
  for (const std::string& model : options.models) TRY_VOID(ota::check_model_name(model));
  TRY(const OnlinePublicKeys online, read_online_keys(options.online));
  TRY_VOID(make_directories(folder / "metadata", 0700));
  TRY(const PrivateKey root_key, new_key(folder, "root"));
  TRY(const PrivateKey targets_key, new_key(folder, "targets"));
  TRY(const PrivateKey gate_key, new_key(folder, "gate"));

  const Instant now = session.clock().now();
  ota::RootSpec root{.expires = now + ota::root_lifetime};
  root.root = {{root_key.public_key()}, 1};
  root.targets = {{targets_key.public_key()}, 1};
  root.snapshot = {{online.snapshot}, 1};
  root.timestamp = {{online.timestamp}, 1};
  TRY(const std::string root_bytes, ota::write_root(root, std::span(&root_key, 1)));

  ota::GatePolicy gate;
  gate.keys = {gate_key.public_key()};
  const std::string gate_policy = ota::print_gate_policy(gate);

  std::vector<ota::DelegationSpec> delegations;
  for (const std::string& model : options.models) {
    TRY(const PrivateKey release_key, new_key(folder, "release-" + model));
    TRY(ota::DelegationSpec delegation, ota::model_delegation(model, {{release_key.public_key()}, 1}));
    delegations.push_back(std::move(delegation));
    ota::TargetsSpec empty{.expires = now + ota::role_lifetime};
    empty.minimum_counter = 1;
    TRY(const std::string role, ota::write_targets(empty, std::span(&release_key, 1)));
    TRY_VOID(write_metadata(folder, model + ".json", role));
  }
  TRY(const std::string targets,
      ota::write_ferry_targets(1, now + ota::targets_lifetime, gate_policy, delegations, std::span(&targets_key, 1)));
  TRY_VOID(write_metadata(folder, "root.json", root_bytes));
  TRY_VOID(write_metadata(folder, "targets.json", targets));
  TRY_VOID(write_metadata(folder, "gate-policy.json", gate_policy));
  session.say("made root, targets, gate and " + std::to_string(options.models.size()) + " release key(s) in " +
              folder.string());
  session.say("keep root.pem and targets.pem offline; CI needs gate.pem and release-<model>.pem");
  if (session.json()) {
    session.out() << dump_json({{"folder", folder.string()}, {"root_sha256", sha256(root_bytes).hex()}}) << '\n';
  }
  return exit_ok;
}

Result<std::string> base64_of(const Path& file) {
  TRY(const std::string bytes, read_file(file, metadata_bytes_max));
  return to_base64(bytes);
}

Result<int> publish(Session& session, const std::string& keys) {
  const Path metadata = Path(keys) / "metadata";
  TRY(ServerClient server, session.server());
  Json body;
  TRY(body["root"], base64_of(metadata / "root.json"));
  TRY(body["targets"], base64_of(metadata / "targets.json"));
  TRY(body["gate_policy"], base64_of(metadata / "gate-policy.json"));
  body["roles"] = Json::object();
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(metadata, ignored)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".json" || name == "root" || name == "targets" || name == "gate-policy") continue;
    TRY(body["roles"][name], base64_of(entry.path()));
  }
  TRY(const Json answer, server.post("/trust", body));
  session.say("the server trusts this root now");
  if (session.json()) session.out() << dump_json(answer) << '\n';
  return exit_ok;
}

}  // namespace

void add_key_commands(Registry& registry) {
  auto* key = registry.app.add_subcommand("key", "Signing keys and the trust root");
  key->require_subcommand(1);

  auto init_options = std::make_shared<InitOptions>();
  auto* make = key->add_subcommand("init", "Make the offline keys and the first trust root");
  make->add_option("--online", init_options->online, "public.json of the server (<data>/online/public.json)")
      ->required();
  make->add_option("--model", init_options->models, "A model name; repeat for several")->required();
  make->add_option("-d,--folder,--keys", init_options->folder, "Folder for the keys; made when absent")->required();
  make->callback([&registry, init_options] {
    registry.chosen = [init_options](Session& session) { return init(session, *init_options); };
  });

  auto keys = std::make_shared<std::string>();
  auto* send = key->add_subcommand("publish", "Give the server the trust root's public part");
  send->add_option("-d,--folder,--keys", *keys, "Folder made by `ferry key init`")->required();
  send->callback([&registry, keys] { registry.chosen = [keys](Session& session) { return publish(session, *keys); }; });
}

}  // namespace ferry::cli
