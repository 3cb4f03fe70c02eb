// Keys and certificates of the server, and where they lie.
#include "server/init.hpp"

#include "common/database.hpp"
#include "common/json.hpp"
#include "server/auth/access.hpp"
#include "server/store/migrations.hpp"

#include <nlohmann/json.hpp>

namespace ferry::server {
namespace {

constexpr std::size_t pem_bytes_max = 64 * 1024;

Result<PrivateKey> make_or_load(const Path& path) {
  auto kept = PrivateKey::load(path);
  if (kept || kept.error().code != Errc::not_found) return kept;
  TRY(auto key, PrivateKey::generate());
  TRY_VOID(key.save(path));
  return key;
}

Result<CertificateAuthority> make_or_load_authority(const Config& config, Clock& clock, Random& random) {
  auto kept = load_authority(config);
  if (kept || kept.error().code != Errc::not_found) return kept;
  const Instant now = clock.now();
  TRY(auto authority,
      CertificateAuthority::create("Ferry device CA", now - std::chrono::hours{1}, now + ca_life, random));
  TRY_VOID(authority.key().save(config.ca() / "ca-key.pem"));
  TRY_VOID(write_file_atomic(config.ca() / "ca.pem", authority.certificate().pem()));
  return authority;
}

}  // namespace

Result<CertificateAuthority> load_authority(const Config& config) {
  TRY(auto certificate, read_file(config.ca() / "ca.pem", pem_bytes_max));
  TRY(auto key, read_file(config.ca() / "ca-key.pem", pem_bytes_max));
  return CertificateAuthority::load(certificate, key);
}

Result<ota::OnlineKeys> load_online_keys(const Config& config) {
  TRY(auto snapshot, PrivateKey::load(config.online() / "snapshot.pem"));
  TRY(auto timestamp, PrivateKey::load(config.online() / "timestamp.pem"));
  return ota::OnlineKeys{std::move(snapshot), std::move(timestamp)};
}

Result<ServerCertificate> server_certificate(const Config& config, const CertificateAuthority& authority, Clock& clock,
                                             Random& random) {
  const Instant now = clock.now();
  TRY(auto key, make_or_load(config.ca() / "server-key.pem"));
  const Path path = config.ca() / "server.pem";
  auto stored = read_file(path, pem_bytes_max);
  if (!stored && stored.error().code != Errc::not_found) return std::move(stored).error();
  if (stored) {
    TRY(auto leaf, certificate_from_pem(*stored));
    const bool fresh = leaf.not_after - now > server_certificate_life / 3;
    const bool ours = verify_certificate(leaf, authority.certificate(), now).has_value();
    if (fresh && ours && leaf.key_digest == sha256(key.public_key().spki_der()))
      return ServerCertificate{std::move(*stored), key.pem(), leaf.not_after};
  }
  CertificateOptions options;
  options.common_name = config.names.front();
  options.not_before = now - std::chrono::hours{1};
  options.not_after = now + server_certificate_life;
  options.server = true;
  for (const std::string& name : config.names)
    (is_ip_address(name) ? options.ip_addresses : options.dns_names).push_back(name);
  TRY(auto leaf, authority.issue(key.public_key(), options, random));
  const std::string chain = leaf.pem() + authority.certificate().pem();
  TRY_VOID(write_file_atomic(path, chain));
  return ServerCertificate{chain, key.pem(), leaf.not_after};
}

Result<> init_server(const Path& data, const std::vector<std::string>& names, Clock& clock, Random& random) {
  // Not admin.token: a careful person moves that away.
  const Path settings = data / "server.toml";
  std::error_code ignored;
  if (std::filesystem::exists(settings, ignored))
    return Error{Errc::conflict,
                 data.string() + " holds a server already; `ferryd serve --data " + data.string() + "` starts it"};
  Config config;
  config.data = data;
  config.names = names;
  TRY_VOID(make_directories(data, 0700));
  for (const Path& folder : {config.ca(), config.online()}) TRY_VOID(make_directories(folder, 0700));
  for (const Path& folder : {config.trust(), config.blobs(), data / "run"}) TRY_VOID(make_directories(folder));
  TRY(auto authority, make_or_load_authority(config, clock, random));
  TRY(auto certificate, server_certificate(config, authority, clock, random));
  (void)certificate;
  TRY(auto snapshot, make_or_load(config.online() / "snapshot.pem"));
  TRY(auto timestamp, make_or_load(config.online() / "timestamp.pem"));
  const Json online{{"format", "ferry.online-keys/1"},
                    {"snapshot", snapshot.public_key().pem()},
                    {"timestamp", timestamp.public_key().pem()}};
  TRY_VOID(write_file_atomic(config.online() / "public.json", dump_json_pretty(online) + "\n"));
  TRY(auto database, open_sqlite(config.database()));
  TRY_VOID(migrate(*database, schema_migrations()));
  TokenStore tokens(*database);
  // Of an init that was cut short: nobody has them.
  TRY(auto unfinished, tokens.access_tokens());
  for (const AccessTokenRow& row : unfinished) {
    TRY(bool removed, tokens.remove_access(row.id));
    (void)removed;
  }
  Access access(tokens, clock, random);
  TRY(auto created, access.create("admin", Role::admin, 0));
  TRY_VOID(write_file_atomic(data / "admin.token", created.token + "\n", 0600));
  // Last: its presence says that the folder is complete, and the server does not start without it.
  return write_file_atomic(settings, config_toml(names));
}

}  // namespace ferry::server
