// SQL of releases.
#include "server/store/releases.hpp"

namespace ferry::server {
namespace {

constexpr std::string_view columns =
    "select model, version, counter, manifest_sha256, manifest_length, attestations_sha256, created_ms, published_ms, "
    "published_by, gate_result from releases ";

Result<ReleaseRow> read(const Row& row) {
  ReleaseRow release{.model = row.text(0), .version = row.text(1), .counter = row.integer(2)};
  TRY(release.manifest_sha256, Digest::from_hex(row.text(3)));
  release.manifest_length = static_cast<std::uint64_t>(row.integer(4));
  TRY(release.attestations_sha256, Digest::from_hex(row.text(5)));
  release.created_ms = row.integer(6);
  release.published_ms = row.integer(7);
  release.published_by = row.text(8);
  release.gate_result = row.text(9);
  return release;
}

}  // namespace

Result<> ReleaseStore::insert(const ReleaseRow& row) {
  TRY(auto ignored, database_.query("insert into releases (model, version, counter, manifest_sha256, manifest_length, "
                                    "attestations_sha256, created_ms, published_ms, published_by, gate_result) "
                                    "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                                    {row.model, row.version, row.counter, row.manifest_sha256.hex(),
                                     static_cast<std::int64_t>(row.manifest_length), row.attestations_sha256.hex(),
                                     row.created_ms, row.published_ms, row.published_by, row.gate_result}));
  return {};
}

Result<std::optional<ReleaseRow>> ReleaseStore::find(const std::string& model, const std::string& version) {
  TRY(auto rows, database_.query(std::string(columns) + "where model = $1 and version = $2", {model, version}));
  if (rows.empty()) return std::optional<ReleaseRow>();
  TRY(auto release, read(rows.front()));
  return std::optional<ReleaseRow>(std::move(release));
}

Result<std::vector<ReleaseRow>> ReleaseStore::list(const std::string& model, std::int64_t limit) {
  TRY(auto rows,
      model.empty()
          ? database_.query(std::string(columns) + "order by published_ms desc, model, version limit $1", {limit})
          : database_.query(std::string(columns) + "where model = $1 order by published_ms desc, version limit $2",
                            {model, limit}));
  std::vector<ReleaseRow> releases;
  for (const Row& row : rows) {
    TRY(auto release, read(row));
    releases.push_back(std::move(release));
  }
  return releases;
}

}  // namespace ferry::server
