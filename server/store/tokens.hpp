// Enrolment tokens (for devices) and access tokens (for people and CI); only hashes of secrets are kept.
#pragma once
#include "common/crypto.hpp"
#include "common/database.hpp"

#include <optional>

namespace ferry::server {

struct EnrolmentTokenRow {
  std::string id;
  Digest secret_sha256;
  std::int64_t created_ms = 0;
  std::int64_t expires_ms = 0;
  std::int64_t uses_total = 1;
  std::int64_t uses_left = 1;
  std::string labels = "{}";
  std::string created_by;
};

struct AccessTokenRow {
  std::string id;
  Digest secret_sha256;
  std::string name;
  std::string role;
  std::int64_t created_ms = 0;
  std::int64_t expires_ms = 0;  // 0: never
};

// Thread-safe as the database is. All calls block.
class TokenStore {
 public:
  explicit TokenStore(Database& database) : database_(database) {}

  Result<> insert(const EnrolmentTokenRow& row);
  Result<std::optional<EnrolmentTokenRow>> find(const std::string& id);
  Result<std::vector<EnrolmentTokenRow>> list(const std::string& after, std::int64_t limit);  // by id
  Result<bool> remove(const std::string& id);                                                 // false: not there
  // The device this key got with this token; "" for none.
  Result<std::string> device_of(const std::string& token, const std::string& key_digest);
  Result<std::vector<std::string>> devices_of(const std::string& token, std::int64_t limit);
  // Takes one use for `device`. conflict when none is left: nobody may take the last use twice.
  Result<> use(const std::string& token, const std::string& key_digest, const std::string& device, std::int64_t at_ms);

  Result<> insert(const AccessTokenRow& row);
  Result<std::vector<AccessTokenRow>> access_tokens();
  Result<bool> remove_access(const std::string& id);

 private:
  Database& database_;
};

}  // namespace ferry::server
