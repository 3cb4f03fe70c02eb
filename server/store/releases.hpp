// Published releases in the database; their bytes are blobs.
#pragma once
#include "common/crypto.hpp"
#include "common/database.hpp"

#include <optional>

namespace ferry::server {

struct ReleaseRow {
  std::string model;
  std::string version;
  std::int64_t counter = 0;
  Digest manifest_sha256;
  std::uint64_t manifest_length = 0;
  Digest attestations_sha256;
  std::int64_t created_ms = 0;
  std::int64_t published_ms = 0;
  std::string published_by;
  std::string gate_result;  // PASSED | WARNED, at publication
};

// Thread-safe as the database is. All calls block.
class ReleaseStore {
 public:
  explicit ReleaseStore(Database& database) : database_(database) {}
  Result<> insert(const ReleaseRow& row);  // conflict when it exists
  Result<std::optional<ReleaseRow>> find(const std::string& model, const std::string& version);
  // Newest publication first; `model` empty: all.
  Result<std::vector<ReleaseRow>> list(const std::string& model, std::int64_t limit);

 private:
  Database& database_;
};

inline constexpr std::int64_t releases_listed_max = 10'000;

}  // namespace ferry::server
