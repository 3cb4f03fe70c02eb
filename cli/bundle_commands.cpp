// `ferry bundle`: from model files to a draft bundle, and a look into one (docs/formats/bundle.md).
#include "cli/bundle_file.hpp"
#include "cli/bundle_folder.hpp"
#include "cli/cli.hpp"
#include "cli/output.hpp"

#include "common/file.hpp"
#include "ota/manifest.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

struct PackOptions {
  std::string file, version, folder;
  std::int64_t counter = 0;
};

// Without its bytes: a file that is too large costs no memory.
Result<FileDigest> digest_model(const Path& file) {
  std::error_code unreadable;  // digest_file says why
  if (std::filesystem::file_size(file, unreadable) > ota::file_bytes_max && !unreadable)
    return Error{Errc::bad_input, file.string() + ": larger than " + std::to_string(ota::file_bytes_max) + " bytes"};
  return digest_file(file);
}

Result<int> pack(Session& session, const PackOptions& options) {
  TRY_VOID(ota::check_version(options.version));
  TRY(BundleFile bundle, read_bundle_file(options.file, options.version));
  bundle.manifest.version = options.version;
  bundle.manifest.counter = options.counter;
  bundle.manifest.created = std::chrono::floor<std::chrono::seconds>(session.clock().now());
  bundle.manifest.draft = true;
  const Path folder = options.folder;
  for (std::size_t i = 0; i < bundle.model_files.size(); ++i) {
    ota::Variant& variant = bundle.manifest.variants[i];
    auto digest = digest_model(bundle.model_files[i]);
    if (!digest)
      return std::move(digest).error().within(options.file + ": file of [[variants]] " + std::to_string(i + 1) + " (" +
                                              variant.name + ")");
    variant.file = {"model.onnx", digest->sha256, digest->bytes};
  }
  // What we write must be what everybody accepts; a bundle.toml that is refused leaves the folder as it was.
  const std::string manifest = ota::print_manifest(bundle.manifest);
  if (auto parsed = ota::parse_manifest(manifest); !parsed) return std::move(parsed).error().within(options.file);
  TRY_VOID(make_directories(folder / "blobs" / "sha256"));
  for (std::size_t i = 0; i < bundle.model_files.size(); ++i) {
    TRY(const std::string bytes, read_file(bundle.model_files[i], ota::file_bytes_max));
    const ota::BlobRef& file = bundle.manifest.variants[i].file;
    if (sha256(bytes) != file.sha256)
      return Error{Errc::conflict, bundle.model_files[i].string() + ": it changed while it was being packed"};
    TRY_VOID(write_file_atomic(folder / "blobs" / "sha256" / file.sha256.hex(), bytes));
  }
  std::error_code ignored;  // an older gate's report is about other bytes
  std::filesystem::remove(folder / "attestations.intoto.jsonl", ignored);
  TRY_VOID(write_file_atomic(folder / "manifest.json", manifest));
  session.say(fmt::format("packed {}@{} with {} variant(s) into {}; next: ferry gate run {} --policy … --key …",
                          bundle.manifest.model, options.version, bundle.manifest.variants.size(), folder.string(),
                          folder.string()));
  if (session.json()) session.out() << manifest << '\n';
  return exit_ok;
}

Result<int> inspect(Session& session, const std::string& folder) {
  TRY(const BundleFolder bundle, open_bundle(folder));
  const ota::Manifest& manifest = bundle.manifest;
  if (session.json()) {
    session.out() << bundle.manifest_bytes << '\n';
    return exit_ok;
  }
  session.out() << fmt::format("{}@{}  counter {}  {}\n{}\nsha256 {}\n\n", manifest.model, manifest.version,
                               manifest.counter, manifest.draft ? "DRAFT (not gated)" : "frozen", manifest.description,
                               bundle.digest().hex());
  Json rows = Json::array();
  for (const ota::Variant& variant : manifest.variants) {
    Json row{{"name", variant.name},
             {"precision", variant.precision},
             {"bytes", variant.file.length_bytes},
             {"sha256", variant.file.sha256.hex().substr(0, 16)}};
    if (!variant.measured.empty()) {
      const ota::Measured& measured = variant.measured.front();
      row["class"] = measured.hardware_class;
      if (measured.accuracy_ppm) row["accuracy"] = fmt::format("{:.2f} %", double(*measured.accuracy_ppm) / 1e4);
      if (measured.latency_p99_us) row["p99"] = fmt::format("{} us", *measured.latency_p99_us);
    }
    rows.push_back(row);
  }
  print_table(session.out(), rows,
              {{"VARIANT", "name"},
               {"PRECISION", "precision"},
               {"BYTES", "bytes"},
               {"SHA256", "sha256"},
               {"MEASURED ON", "class"},
               {"ACCURACY", "accuracy"},
               {"P99", "p99"}});
  return exit_ok;
}

// Every blob the manifest names is there, whole and unchanged.
Result<int> verify(Session& session, const std::string& folder) {
  TRY(const BundleFolder bundle, open_bundle(folder));
  const ota::Manifest& manifest = bundle.manifest;
  for (const ota::BlobRef& blob : manifest.blobs()) {
    const Path path = Path(folder) / "blobs" / "sha256" / blob.sha256.hex();
    auto digest = digest_file(path);
    if (!digest) return std::move(digest).error().within("blob of " + blob.name);
    const FileDigest& found = *digest;
    if (found.sha256 != blob.sha256 || found.bytes != blob.length_bytes) {
      return Error{Errc::bad_signature,
                   path.string() + ": contents do not match the manifest's digest of " + blob.name};
    }
  }
  session.say(
      fmt::format("{} blob(s) match the manifest of {}@{}", manifest.blobs().size(), manifest.model, manifest.version));
  return exit_ok;
}

}  // namespace

void add_bundle_commands(Registry& registry) {
  auto* bundle = registry.app.add_subcommand("bundle", "Bundles: pack, inspect, verify");
  bundle->require_subcommand(1);

  auto options = std::make_shared<PackOptions>();
  auto* make = bundle->add_subcommand("pack", "Pack model files into a draft bundle");
  make->add_option("-f,--file", options->file, "bundle.toml")->required();
  make->add_option("--version", options->version, "Semantic version of the release")->required();
  make->add_option("--counter", options->counter, "Release counter, larger than every earlier one")
      ->required()
      ->check(CLI::Range(std::int64_t{1}, ota::counter_max));
  make->add_option("-d,--folder", options->folder, "Bundle folder to write")->required();
  make->callback(
      [&registry, options] { registry.chosen = [options](Session& session) { return pack(session, *options); }; });

  auto folder = std::make_shared<std::string>();
  auto* look = bundle->add_subcommand("inspect", "Show what a bundle holds");
  look->add_option("folder", *folder, "Bundle folder")->required();
  look->callback(
      [&registry, folder] { registry.chosen = [folder](Session& session) { return inspect(session, *folder); }; });
  auto* check = bundle->add_subcommand("verify", "Check every blob against the manifest");
  check->add_option("folder", *folder, "Bundle folder")->required();
  check->callback(
      [&registry, folder] { registry.chosen = [folder](Session& session) { return verify(session, *folder); }; });
}

}  // namespace ferry::cli
