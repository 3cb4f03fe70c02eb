// SQL of tokens.
#include "server/store/tokens.hpp"

namespace ferry::server {
namespace {

constexpr std::string_view enrolment_columns =
    "select id, secret_sha256, created_ms, expires_ms, uses_total, uses_left, labels, created_by from "
    "enrolment_tokens ";

Result<EnrolmentTokenRow> read(const Row& row) {
  EnrolmentTokenRow token{.id = row.text(0)};
  TRY(token.secret_sha256, Digest::from_hex(row.text(1)));
  token.created_ms = row.integer(2);
  token.expires_ms = row.integer(3);
  token.uses_total = row.integer(4);
  token.uses_left = row.integer(5);
  token.labels = row.text(6);
  token.created_by = row.text(7);
  return token;
}

}  // namespace

Result<> TokenStore::insert(const EnrolmentTokenRow& row) {
  return execute(database_,
                 "insert into enrolment_tokens (id, secret_sha256, created_ms, expires_ms, uses_total, uses_left, "
                 "labels, created_by) values ($1, $2, $3, $4, $5, $6, $7, $8)",
                 {row.id, row.secret_sha256.hex(), row.created_ms, row.expires_ms, row.uses_total, row.uses_left,
                  row.labels, row.created_by});
}

Result<std::optional<EnrolmentTokenRow>> TokenStore::find(const std::string& id) {
  TRY(auto rows, database_.query(std::string(enrolment_columns) + "where id = $1", {id}));
  if (rows.empty()) return std::optional<EnrolmentTokenRow>();
  TRY(auto token, read(rows.front()));
  return std::optional<EnrolmentTokenRow>(std::move(token));
}

Result<std::vector<EnrolmentTokenRow>> TokenStore::list(const std::string& after, std::int64_t limit) {
  TRY(auto rows,
      database_.query(std::string(enrolment_columns) + "where id > $1 order by id limit $2", {after, limit}));
  std::vector<EnrolmentTokenRow> tokens;
  for (const Row& row : rows) {
    TRY(auto token, read(row));
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Result<bool> TokenStore::remove(const std::string& id) {
  bool found = false;
  TRY_VOID(database_.transaction([&](Database& database) -> Result<> {
    TRY_VOID(execute(database, "delete from enrolment_uses where token = $1", {id}));
    TRY(auto rows, database.query("delete from enrolment_tokens where id = $1 returning id", {id}));
    found = !rows.empty();
    return {};
  }));
  return found;
}

Result<std::string> TokenStore::device_of(const std::string& token, const std::string& key_digest) {
  TRY(auto rows,
      database_.query("select device from enrolment_uses where token = $1 and key_digest = $2", {token, key_digest}));
  return rows.empty() ? std::string() : rows.front().text(0);
}

Result<std::vector<std::string>> TokenStore::devices_of(const std::string& token, std::int64_t limit) {
  TRY(auto rows, database_.query("select device from enrolment_uses where token = $1 order by at_ms, device limit $2",
                                 {token, limit}));
  std::vector<std::string> devices;
  for (const Row& row : rows) devices.push_back(row.text(0));
  return devices;
}

Result<> TokenStore::use(const std::string& token, const std::string& key_digest, const std::string& device,
                         std::int64_t at_ms) {
  return database_.transaction([&](Database& database) -> Result<> {
    TRY(auto taken,
        database.query(
            "update enrolment_tokens set uses_left = uses_left - 1 where id = $1 and uses_left > 0 returning id",
            {token}));
    if (taken.empty()) return Error{Errc::conflict, "token " + token + ": no use is left"};
    return execute(database, "insert into enrolment_uses (token, key_digest, device, at_ms) values ($1, $2, $3, $4)",
                   {token, key_digest, device, at_ms});
  });
}

Result<> TokenStore::insert(const AccessTokenRow& row) {
  return execute(database_,
                 "insert into access_tokens (id, secret_sha256, name, role, created_ms, expires_ms) "
                 "values ($1, $2, $3, $4, $5, $6)",
                 {row.id, row.secret_sha256.hex(), row.name, row.role, row.created_ms, row.expires_ms});
}

Result<std::vector<AccessTokenRow>> TokenStore::access_tokens() {
  TRY(auto rows,
      database_.query("select id, secret_sha256, name, role, created_ms, expires_ms from access_tokens order by id"));
  std::vector<AccessTokenRow> tokens;
  for (const Row& row : rows) {
    AccessTokenRow token{.id = row.text(0)};
    TRY(token.secret_sha256, Digest::from_hex(row.text(1)));
    token.name = row.text(2);
    token.role = row.text(3);
    token.created_ms = row.integer(4);
    token.expires_ms = row.integer(5);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Result<bool> TokenStore::remove_access(const std::string& id) {
  TRY(auto rows, database_.query("delete from access_tokens where id = $1 returning id", {id}));
  return !rows.empty();
}

}  // namespace ferry::server
