// `ferryd init`: everything a new server needs, made once.
#pragma once
#include "common/clock.hpp"
#include "common/random.hpp"
#include "common/x509.hpp"
#include "ota/repository_writer.hpp"
#include "server/config.hpp"

namespace ferry::server {

inline constexpr std::chrono::hours ca_life{20 * 365 * 24};
inline constexpr std::chrono::hours server_certificate_life{397 * 24};

// Makes device CA, server certificate, online keys, configuration, database and the administrator's token.
// conflict when the folder was initialised before; an init that was cut short may be run again.
Result<> init_server(const Path& data, const std::vector<std::string>& names, Clock& clock, Random& random);

Result<CertificateAuthority> load_authority(const Config& config);
Result<ota::OnlineKeys> load_online_keys(const Config& config);

struct ServerCertificate {
  std::string certificate_pem;  // chain, leaf first
  std::string key_pem;
  Instant not_after;
};
// The stored one; a new one when a third of its life or less is left, or its file is gone.
Result<ServerCertificate> server_certificate(const Config& config, const CertificateAuthority& authority, Clock& clock,
                                             Random& random);

}  // namespace ferry::server
