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
#include <set>

namespace ferry::cli {
namespace {

constexpr std::size_t key_file_bytes_max = 64 * 1024;
constexpr std::size_t metadata_bytes_max = 1024 * 1024;
const std::string gate_policy_stem = "gate-policy";

struct InitOptions {
  std::string online, folder;
  std::vector<std::string> models;
};

struct OnlinePublicKeys {
  PublicKey snapshot, timestamp;
};

Result<PublicKey> key_at(const Json& document, const char* role) {
  TRY(const std::string pem, string_at(document, role, key_file_bytes_max));
  auto key = PublicKey::from_pem(pem);
  if (!key) return std::move(key).error().within(role);
  return key;
}

Result<OnlinePublicKeys> parse_online_keys(const std::string& text) {
  TRY(const Json document, parse_json(text));
  if (!document.is_object()) return Error{Errc::bad_input, "expected an object"};
  TRY(const std::string format, string_at(document, "format"));
  if (format != "ferry.online-keys/1")
    return Error{Errc::unsupported, "format '" + format + "', expected ferry.online-keys/1"};
  TRY(const PublicKey snapshot, key_at(document, "snapshot"));
  TRY(const PublicKey timestamp, key_at(document, "timestamp"));
  return OnlinePublicKeys{snapshot, timestamp};
}

Result<OnlinePublicKeys> read_online_keys(const std::string& file) {
  TRY(const std::string text, read_file(file, key_file_bytes_max));
  auto keys = parse_online_keys(text);
  if (!keys) return std::move(keys).error().within(file);
  return keys;
}

// All that `key init` makes, before any of it is written.
struct NewTrust {
  std::vector<std::pair<std::string, PrivateKey>> keys;       // by file name without ending; root last
  std::vector<std::pair<std::string, std::string>> metadata;  // file name, bytes
  std::string root;
};

Result<> check_models(const std::vector<std::string>& models) {
  std::set<std::string> seen;
  for (const std::string& model : models) {
    TRY_VOID(ota::check_model_name(model));
    if (!seen.insert(model).second) return Error{Errc::bad_input, "--model " + model + ": given twice"};
    if (model == gate_policy_stem)
      return Error{Errc::bad_input, "--model " + model + ": this name is taken by the gate's policy; choose another"};
  }
  return {};
}

Result<NewTrust> make_trust(const std::vector<std::string>& models, const OnlinePublicKeys& online, Instant now) {
  TRY(const PrivateKey root_key, PrivateKey::generate());
  TRY(const PrivateKey targets_key, PrivateKey::generate());
  TRY(const PrivateKey gate_key, PrivateKey::generate());
  NewTrust made;
  ota::RootSpec root{.expires = now + ota::root_lifetime};
  root.root = {{root_key.public_key()}, 1};
  root.targets = {{targets_key.public_key()}, 1};
  root.snapshot = {{online.snapshot}, 1};
  root.timestamp = {{online.timestamp}, 1};
  TRY(made.root, ota::write_root(root, std::span(&root_key, 1)));

  ota::GatePolicy gate;
  gate.keys = {gate_key.public_key()};
  const std::string gate_policy = ota::print_gate_policy(gate);
  std::vector<ota::DelegationSpec> delegations;
  for (const std::string& model : models) {
    TRY(const PrivateKey release_key, PrivateKey::generate());
    TRY(ota::DelegationSpec delegation, ota::model_delegation(model, {{release_key.public_key()}, 1}));
    delegations.push_back(std::move(delegation));
    ota::TargetsSpec empty{.expires = now + ota::role_lifetime};
    empty.minimum_counter = 1;
    TRY(std::string role, ota::write_targets(empty, std::span(&release_key, 1)));
    made.metadata.emplace_back(model, std::move(role));
    made.keys.emplace_back("release-" + model, release_key);
  }
  TRY(std::string targets,
      ota::write_ferry_targets(1, now + ota::targets_lifetime, gate_policy, delegations, std::span(&targets_key, 1)));
  made.metadata.emplace_back("root", made.root);
  made.metadata.emplace_back("targets", std::move(targets));
  made.metadata.emplace_back(gate_policy_stem, gate_policy);
  made.keys.emplace_back("gate", gate_key);
  made.keys.emplace_back("targets", targets_key);
  made.keys.emplace_back("root", root_key);
  return made;
}

// root.pem comes last: while it is not there, `key init` may be run again.
Result<> write_trust(const Path& folder, const NewTrust& made) {
  TRY_VOID(make_directories(folder / "metadata", 0700));
  for (const auto& [name, bytes] : made.metadata)
    TRY_VOID(write_file_atomic(folder / "metadata" / (name + ".json"), bytes));
  for (const auto& [name, key] : made.keys) {
    TRY_VOID(write_file_atomic(folder / (name + ".pub.pem"), key.public_key().pem()));
    TRY_VOID(key.save(folder / (name + ".pem")));
  }
  return {};
}

// Makes every offline key and the first root, targets, gate policy and (empty) model roles.
Result<int> init(Session& session, const InitOptions& options) {
  const Path folder = options.folder;
  std::error_code unreadable;
  if (std::filesystem::exists(folder / "root.pem", unreadable)) {
    return Error{Errc::conflict,
                 (folder / "root.pem").string() + " exists: a trust root is made once; give another folder"};
  }
  TRY_VOID(check_models(options.models));
  TRY(const OnlinePublicKeys online, read_online_keys(options.online));
  TRY(const NewTrust made, make_trust(options.models, online, session.clock().now()));
  TRY_VOID(write_trust(folder, made));
  session.say("made root, targets, gate and " + std::to_string(options.models.size()) + " release key(s) in " +
              folder.string());
  session.say("keep root.pem and targets.pem offline; CI needs gate.pem and release-<model>.pem");
  session.say("next: ferry key publish -d " + folder.string());
  if (session.json()) {
    session.out() << dump_json({{"folder", folder.string()}, {"root_sha256", sha256(made.root).hex()}}) << '\n';
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
  TRY(body["gate_policy"], base64_of(metadata / (gate_policy_stem + ".json")));
  body["roles"] = Json::object();
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(metadata, ignored)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".json" || name == "root" || name == "targets" || name == gate_policy_stem)
      continue;
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
