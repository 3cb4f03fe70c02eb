// `ferry release`: publish what passed its gate, look at what is published.
#include "cli/bundle_folder.hpp"
#include "cli/cli.hpp"
#include "cli/output.hpp"

#include "ci_gates/gate.hpp"
#include "common/bytes.hpp"
#include "common/crypto.hpp"
#include "common/file.hpp"
#include "ota/attestation.hpp"
#include "ota/manifest.hpp"
#include "ota/repository_writer.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

struct PublishOptions {
  std::string folder, key;
  bool no_local_check = false;
};

// A courtesy before anything is uploaded: what the report says of itself. Server and devices verify, this does not.
Result<> check_locally(const BundleFolder& bundle, const std::string& attestations) {
  if (auto frozen = ota::require_frozen(bundle.manifest); !frozen) {
    return Error{Errc::gate_failed,
                 "the manifest is a draft: run `ferry gate run` first (or its gate could not run a variant)"};
  }
  TRY_VOID(check_subjects(bundle, attestations));
  TRY(const std::string result, claimed_result(attestations));
  if (result == "FAILED")
    return Error{Errc::gate_failed, "the gate's attestation says FAILED: this release may not be published"};
  if (result == "WARNED")
    return Error{Errc::gate_hold, "the gate held (not enough evidence): give it more and run it again"};
  return {};
}

Result<> upload(Session& session, ServerClient& server, const Path& folder, const ota::BlobRef& blob) {
  const std::string path = "/blobs/sha256/" + blob.sha256.hex();
  TRY(const bool known, server.has(path));
  if (known) return {};
  TRY(std::string bytes, ci_gates::read_blob(folder, blob));
  session.say(fmt::format("uploading {} ({} bytes)", blob.name, bytes.size()));
  return server.put(path, std::move(bytes));
}

// The newest version of the model's role; empty when it has none yet: the first release starts it.
Result<std::string> current_role(ServerClient& server, const std::string& model) {
  auto role = server.get_text("/metadata/" + model + ".json");
  if (!role && role.error().code == Errc::not_found) return std::string();
  return role;
}

Result<int> publish(Session& session, const PublishOptions& options) {
  TRY(const BundleFolder bundle, open_bundle(options.folder));
  const ota::Manifest& manifest = bundle.manifest;
  TRY(const std::string attestations, read_attestations(bundle));
  if (!options.no_local_check) TRY_VOID(check_locally(bundle, attestations));
  TRY(const PrivateKey key, PrivateKey::load(options.key));
  TRY(ServerClient server, session.server());

  for (const ota::BlobRef& blob : manifest.blobs()) TRY_VOID(upload(session, server, bundle.folder, blob));
  TRY(const std::string current, current_role(server, manifest.model));
  const ota::ReleaseEntry entry{
      manifest.model, manifest.version, bundle.manifest_bytes, manifest.counter, {attestations}};
  TRY(const std::string role, ota::add_release(current, entry, std::span(&key, 1), session.clock().now()));
  Json body{{"model", manifest.model}, {"version", manifest.version}};
  body["manifest"] = to_base64(bundle.manifest_bytes);
  body["attestations"] = to_base64(attestations);
  body["role_metadata"] = to_base64(role);
  TRY(const Json answer, server.post("/releases", body));
  session.say(fmt::format("published {}@{}; next: ferry rollout create {}@{}", manifest.model, manifest.version,
                          manifest.model, manifest.version));
  if (session.json()) session.out() << dump_json(answer) << '\n';
  return exit_ok;
}

Result<int> list(Session& session) {
  TRY(ServerClient server, session.server());
  TRY(const Json items, server.list("/releases"));
  print_items(session, items,
              {{"MODEL", "model"},
               {"VERSION", "version"},
               {"COUNTER", "counter"},
               {"STATE", "state"},
               {"GATE", "gate_result"},
               {"PUBLISHED", "published_ms"},
               {"SHA256", "manifest_sha256"}});
  return exit_ok;
}

Result<int> show(Session& session, const std::string& text) {
  TRY(const ReleaseName name, parse_release_name(text));
  TRY(ServerClient server, session.server());
  TRY(const Json release, server.get("/releases/" + name.model + "/" + ServerClient::segment(name.version)));
  if (session.json()) {
    session.out() << dump_json(release) << '\n';
    return exit_ok;
  }
  std::vector<Column> fields{{"model", "model"},     {"version", "version"},          {"counter", "counter"},
                             {"state", "state"},     {"manifest", "manifest_sha256"}, {"published", "published_ms"},
                             {"devices", "devices"}, {"gate", "gate.result"},         {"verified", "gate.verified"}};
  if (cell(release, "gate.error") != "-") fields.push_back({"refused", "gate.error"});  // today, by today's policy
  print_fields(session.out(), release, fields);
  print_section(session.out(), "variants", release, "variants",
                {{"VARIANT", "name"}, {"PRECISION", "precision"}, {"BYTES", "file_length"}, {"DEVICES", "devices"}});
  if (const auto gate = object_at(release, "gate")) {
    if (const auto report = object_at(**gate, "report")) {
      print_section(session.out(), "gate report", **report, "measurements",
                    {{"CHECK", "id"}, {"VERDICT", "verdict"}, {"DETAIL", "detail"}});
    }
  }
  print_section(session.out(), "rollouts", release, "rollouts", {{"ROLLOUT", "id"}, {"STATE", "state"}});
  return exit_ok;
}

}  // namespace

void add_release_commands(Registry& registry) {
  auto* release = registry.app.add_subcommand("release", "Releases: publish, list, show");
  release->require_subcommand(1);

  auto options = std::make_shared<PublishOptions>();
  auto* send = release->add_subcommand("publish",
                                       "Sign the release into the model's role and upload it. Exit 6: its gate failed");
  send->add_option("folder", options->folder, "Bundle folder")->required();
  send->add_option("--key", options->key, "The model's release key (PEM)")->required();
  send->add_flag("--no-local-check", options->no_local_check, "Leave all checks to the server");
  send->callback(
      [&registry, options] { registry.chosen = [options](Session& session) { return publish(session, *options); }; });

  release->add_subcommand("list", "All releases")->callback([&registry] { registry.chosen = list; });
  auto name = std::make_shared<std::string>();
  auto* look = release->add_subcommand("show", "One release with its gate report");
  look->add_option("release", *name, "model@version")->required();
  look->callback([&registry, name] { registry.chosen = [name](Session& session) { return show(session, *name); }; });
}

}  // namespace ferry::cli
