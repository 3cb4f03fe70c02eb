// Tokens and certificates of devices.
#include "server/enrolment/enrolment.hpp"

#include "common/bytes.hpp"

namespace ferry::server {
namespace {

constexpr std::size_t secret_bytes = 32;

// Issued by the clock: not_before is in whole seconds and an hour early, and the newest certificates are those kept.
CertificateRow row_of(const Certificate& certificate, const std::string& device, Instant now) {
  return {certificate.fingerprint.hex(), device, certificate.key_digest.hex(), to_unix_ms(now),
          to_unix_ms(certificate.not_after)};
}

}  // namespace

Result<Enrolment::Token> Enrolment::create_token(const EnrolmentTokenSpec& spec, const std::string& server_url,
                                                 const Digest& root_sha256) {
  if (spec.labels.size() > labels_per_device_max)
    return Error{Errc::bad_input, "labels: more than " + std::to_string(labels_per_device_max)};
  for (const auto& [key, value] : spec.labels) TRY_VOID(check_label(key, value));
  const std::string secret = to_base64url(random_.bytes(secret_bytes));
  EnrolmentTokenRow row{.id = random_.id("tok"), .secret_sha256 = sha256(secret)};
  row.created_ms = to_unix_ms(clock_.now());
  row.expires_ms = row.created_ms + spec.ttl_s * 1000;
  row.uses_total = row.uses_left = spec.uses;
  row.labels = dump_json(Json(spec.labels));
  row.created_by = spec.by;
  TRY_VOID(tokens_.insert(row));
  const Json token{{"format", "ferry.token/1"},
                   {"server", server_url},
                   {"ca_sha256", authority_.certificate().fingerprint.hex()},
                   {"root_sha256", root_sha256.hex()},
                   {"id", row.id},
                   {"secret", secret}};
  return Token{row.id, "ferry1." + to_base64url(dump_json(token)), row.expires_ms};
}

Result<Certificate> Enrolment::issue(const PublicKey& key, const std::string& device) {
  const Instant now = clock_.now();
  CertificateOptions options;
  options.common_name = device;
  options.not_before = now - clock_skew_allowed;  // a device whose clock is a little behind
  options.not_after = now + device_certificate_life;
  options.client = true;
  return authority_.issue(key, options, random_);
}

Result<> Enrolment::note(const std::string& device, const std::string& kind, Json detail) {
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  EventRow row{.device = device, .at_ms = now_ms, .received_ms = now_ms, .kind = kind};
  row.body = dump_json(Json{{"detail", std::move(detail)}});
  std::vector<EventRow> rows{std::move(row)};
  return devices_.add_events(device, std::move(rows));
}

Result<Certificate> Enrolment::enrol(const std::string& token_id, const std::string& secret, std::string_view csr_der) {
  TRY(auto csr, parse_csr(csr_der));
  const std::string key_digest = sha256(csr.key.spki_der()).hex();
  std::lock_guard lock(writer_);
  TRY(auto token, tokens_.find(token_id));
  // Compared also when the id is unknown: the time tells nothing.
  const Digest expected = token ? token->secret_sha256 : Digest{};
  const bool secret_fits = constant_time_equal(expected.bytes(), sha256(secret).bytes());
  if (!token || !secret_fits)
    return Error{Errc::denied, "the enrolment token is not valid; make a new one", "token_invalid"};
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  if (token->expires_ms <= now_ms)
    return Error{Errc::denied, "the enrolment token has expired; make a new one", "token_expired"};
  TRY(std::string device, tokens_.device_of(token_id, key_digest));
  const bool again = !device.empty();
  if (again) {
    const DevicePtr known = fleet_.find(device);
    if (!known || known->revoked) return Error{Errc::denied, "device " + device + " was revoked", "device_revoked"};
  } else {
    if (token->uses_left <= 0)
      return Error{Errc::denied, "the enrolment token was used up; make a new one", "token_used"};
    device = random_.id("dev");
  }
  TRY(auto certificate, issue(csr.key, device));
  const CertificateRow certificate_row = row_of(certificate, device, clock_.now());
  DeviceRow row{.id = device, .enrolled_ms = now_ms, .token = token_id, .labels = token->labels};
  TRY_VOID(database_.transaction([&](Database&) -> Result<> {
    if (!again) {
      TRY_VOID(tokens_.use(token_id, key_digest, device, now_ms));
      TRY_VOID(devices_.insert(row));
      TRY_VOID(note(device, "enrolled", Json{{"token", token_id}}));
    }
    return devices_.add_certificate(certificate_row);
  }));
  if (!again) fleet_.add(row);
  fleet_.add_certificate(certificate_row);
  return certificate;
}

Result<Certificate> Enrolment::renew(const std::string& device, std::string_view csr_der) {
  TRY(auto csr, parse_csr(csr_der));
  std::lock_guard lock(writer_);
  const DevicePtr known = fleet_.find(device);
  if (!known || known->revoked) return Error{Errc::denied, "device " + device + " was revoked", "device_revoked"};
  TRY(auto certificate, issue(csr.key, device));
  const CertificateRow row = row_of(certificate, device, clock_.now());
  TRY_VOID(database_.transaction([&](Database&) -> Result<> {
    TRY_VOID(devices_.add_certificate(row));
    return note(device, "renewed", Json{{"fingerprint", row.fingerprint}});
  }));
  fleet_.add_certificate(row);
  return certificate;
}

Result<> Enrolment::revoke(const std::string& device, const std::string& by) {
  std::lock_guard lock(writer_);
  const DevicePtr known = fleet_.find(device);
  if (!known) return Error{Errc::not_found, "device " + device.substr(0, 80) + ": not known"};
  TRY_VOID(database_.transaction([&](Database&) -> Result<> {
    TRY_VOID(devices_.set_state(device, "revoked"));
    return note(device, "revoked", Json{{"by", by}});
  }));
  known->revoked = true;
  ++known->version;
  fleet_.membership_changed();
  return {};
}

}  // namespace ferry::server
