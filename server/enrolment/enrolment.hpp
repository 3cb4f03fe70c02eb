// Devices come in: EST enrolment with a token, renewal under mutual TLS.
#pragma once
#include "common/random.hpp"
#include "common/x509.hpp"
#include "server/fleet/fleet.hpp"
#include "server/store/tokens.hpp"

namespace ferry::server {

inline constexpr std::chrono::hours device_certificate_life{90 * 24};
inline constexpr std::chrono::hours clock_skew_allowed{1};
inline constexpr std::size_t csr_bytes_max = 16 * 1024;
inline constexpr std::int64_t token_uses_max = 100'000;
inline constexpr std::int64_t token_ttl_s_min = 60;
inline constexpr std::int64_t token_ttl_s_max = 365 * 86'400;

struct EnrolmentTokenSpec {
  std::int64_t uses = 1;
  std::int64_t ttl_s = 3600;
  Labels labels;
  std::string by;
};

// Thread-safe. Calls block.
class Enrolment {
 public:
  Enrolment(const CertificateAuthority& authority, Database& database, Fleet& fleet, Clock& clock, Random& random)
      : authority_(authority),
        database_(database),
        devices_(database),
        tokens_(database),
        fleet_(fleet),
        clock_(clock),
        random_(random) {}

  struct Token {
    std::string id;
    std::string text;  // "ferry1.…", shown once
    std::int64_t expires_ms = 0;
  };
  Result<Token> create_token(const EnrolmentTokenSpec& spec, const std::string& server_url, const Digest& root_sha256);

  // The device certificate for a CSR (DER). denied with reason token_invalid | token_used | token_expired |
  // device_revoked; bad_input. The same key with the same token gets its device back.
  Result<Certificate> enrol(const std::string& token_id, const std::string& secret, std::string_view csr);
  // A new certificate for a known device, for the same or another key.
  Result<Certificate> renew(const std::string& device, std::string_view csr);
  Result<> revoke(const std::string& device, const std::string& by);

  TokenStore& tokens() { return tokens_; }

 private:
  Result<Certificate> issue(const PublicKey& key, const std::string& device);
  Result<> note(const std::string& device, const std::string& kind, Json detail);

  const CertificateAuthority& authority_;
  Database& database_;
  DeviceStore devices_;
  TokenStore tokens_;
  Fleet& fleet_;
  Clock& clock_;
  Random& random_;
  std::mutex writer_;  // one enrolment at a time: the same key twice at once must not become two devices
};

}  // namespace ferry::server
