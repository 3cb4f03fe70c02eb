// ferry-tuf: the TUF client alone, with the protocol that independent TUF test suites drive (TRUST.md §1).
#include "common/clock.hpp"
#include "common/http_client.hpp"
#include "ota/repository_client.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace ferry;

struct Options {
  std::string metadata_dir, metadata_url, target_dir, target_base_url, root_file;
  std::vector<std::string> target_names;
};

Error missing(const char* option) { return Error{Errc::bad_input, std::string(option) + " is missing"}; }

Result<> init(const Options& options) {
  TRY(auto root, read_file(options.root_file, ota::root_bytes_max));
  return ota::initialise_store(options.metadata_dir, root);
}

Result<ota::RepositoryClient> refreshed_client(const Options& options, ota::Fetcher& metadata, ota::Fetcher& targets,
                                               Instant now) {
  ota::RepositoryClient::Options client_options;
  client_options.directory = options.metadata_dir;
  TRY(auto client, ota::RepositoryClient::open(std::move(client_options), metadata, targets, now));
  TRY_VOID(client.refresh());
  return client;
}

Result<> refresh(const Options& options, HttpClient& http, Instant now) {
  if (options.metadata_url.empty()) return missing("--metadata-url");
  ota::HttpFetcher metadata(http, options.metadata_url);
  TRY_VOID(refreshed_client(options, metadata, metadata, now));
  return {};
}

Result<> download(const Options& options, HttpClient& http, Instant now) {
  if (options.metadata_url.empty()) return missing("--metadata-url");
  if (options.target_base_url.empty()) return missing("--target-base-url");
  if (options.target_dir.empty()) return missing("--target-dir");
  if (options.target_names.empty()) return missing("--target-name");
  ota::HttpFetcher metadata(http, options.metadata_url);
  ota::HttpFetcher targets(http, options.target_base_url);
  TRY(auto client, refreshed_client(options, metadata, targets, now));
  for (const auto& name : options.target_names) {
    TRY(auto target, client.find_target(name));
    TRY(auto path, client.download_target(target, options.target_dir));
    std::printf("%s\n", path.c_str());
  }
  return {};
}

int report(const Result<>& result) {
  if (result) return 0;
  std::fprintf(stderr, "ferry-tuf: %s: %s\n", std::string(to_string(result.error().code)).c_str(),
               result.error().context.c_str());
  return 1;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app{"TUF client: keeps trusted metadata and fetches verified targets", "ferry-tuf"};
  app.add_option("--metadata-dir", options.metadata_dir, "directory of the trusted metadata")->required();
  app.add_option("--metadata-url", options.metadata_url, "where metadata is served");
  app.add_option("--target-dir", options.target_dir, "directory for downloaded targets");
  app.add_option("--target-base-url", options.target_base_url, "where targets are served");
  // One value each time, so that a sub-command behind it is not taken for a second name.
  app.add_option("--target-name", options.target_names, "path of a target; may be given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  auto* init_command = app.add_subcommand("init", "start from this root.json; no request is made");
  init_command->add_option("root", options.root_file, "trusted root.json")->required();
  auto* refresh_command = app.add_subcommand("refresh", "bring the metadata up to date");
  auto* download_command = app.add_subcommand("download", "refresh, then fetch the named targets");
  app.require_subcommand(1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;  // test suites want exactly 1 for any failure
  }
  // The time is fixed once for the whole run (TRUST.md §2 item 0).
  Instant now = SystemClock().now();
  auto http = make_http_client(TlsClientConfig{});
  if (init_command->parsed()) return report(init(options));
  if (refresh_command->parsed()) return report(refresh(options, *http, now));
  if (download_command->parsed()) return report(download(options, *http, now));
  return 1;
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__)
// Test suites preload libfaketime, so the sanitizer's library is not the first one.
extern "C" const char* __asan_default_options() { return "verify_asan_link_order=0"; }
#endif

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {  // a bug: still exit 1, never a signal
    std::fprintf(stderr, "ferry-tuf: internal error: %s\n", error.what());
    return 1;
  }
}
