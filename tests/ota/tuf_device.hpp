// A device's TUF client over a simulated repository; its store outlives each run, as it does between processes.
#pragma once
#include "tests/support/sim_repository.hpp"
#include "tests/support/temp_dir.hpp"

#include <fstream>

namespace ferry::test {

// Made from the repository's first root.
struct Device {
  explicit Device(SimRepository& r) : repository(r) {
    REQUIRE(ota::initialise_store(directory.path(), r.served["1.root.json"]));
  }
  Result<ota::RepositoryClient> open(std::string pinned = {}) {
    ota::RepositoryClient::Options options;
    options.directory = directory.path();
    options.pinned_root = std::move(pinned);
    return ota::RepositoryClient::open(std::move(options), repository, repository.target_fetcher, repository.now);
  }
  Result<> refresh() {
    repository.requests.clear();
    TRY(auto client, open());
    return client.refresh();
  }
  Result<ota::FoundTarget> find(const std::string& path) {
    TRY(auto client, open());
    TRY_VOID(client.refresh());
    return client.find_target(path);
  }
  Result<Path> download(const std::string& path) {
    TRY(auto client, open());
    TRY_VOID(client.refresh());
    TRY(auto found, client.find_target(path));
    return client.download_target(found, downloads.path());
  }
  std::string file(const std::string& name) {
    auto bytes = read_file(directory.path() / name, 10'000'000);
    return bytes ? *bytes : "<none>";
  }
  std::vector<std::string> downloaded() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(downloads.path()))
      names.push_back(entry.path().filename());
    return names;
  }
  // "root 1, snapshot 2": what the store holds and trusts, by name.
  std::string trusted() {
    std::map<std::string, std::string> versions;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
      if (entry.path().extension() == ".json")
        versions[entry.path().stem()] = Json::parse(file(entry.path().filename()))["signed"]["version"].dump();
    std::string text;
    for (const auto& [role, version] : versions) text += (text.empty() ? "" : ", ") + role + " " + version;
    return text;
  }
  SimRepository& repository;
  TempDir directory, downloads;
};

inline void write(const Path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

template <class T>
void check_refused(const Result<T>& result, Errc code, const char* named) {
  REQUIRE_FALSE(result);
  INFO(result.error().context);
  CHECK(result.error().code == code);
  CHECK_THAT(result.error().context, Catch::Contains(named));
}

}  // namespace ferry::test
