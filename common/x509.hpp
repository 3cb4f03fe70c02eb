// X.509 as Ferry needs it: a small CA, CSRs, device certificates, and the PKCS#7 wrappers of EST (RFC 7030).
#pragma once
#include "common/clock.hpp"
#include "common/crypto.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ferry {

// A parsed certificate. Copyable value; parsing checks form, not trust.
struct Certificate {
  std::string der;
  std::string common_name;
  std::string serial_hex;  // lower case
  Digest fingerprint;      // SHA-256 of the DER
  Digest key_digest;       // SHA-256 of the SubjectPublicKeyInfo DER
  Instant not_before;
  Instant not_after;
  std::string pem() const;
};

Result<Certificate> certificate_from_pem(std::string_view pem);
Result<Certificate> certificate_from_der(std::string_view der);
Result<std::vector<Certificate>> certificates_from_pem(std::string_view pem);  // all in the text, at least one

// PKCS#10 request, DER.
Result<std::string> make_csr(const PrivateKey& key, std::string_view common_name);
struct Csr {
  PublicKey key;
  std::string common_name;  // what the requester would like: never an identity
};
// Checks the request's own signature (possession of the key).
Result<Csr> parse_csr(std::string_view der);

struct CertificateOptions {
  std::string common_name;
  Instant not_before;
  Instant not_after;
  std::vector<std::string> dns_names;     // subjectAltName, servers
  std::vector<std::string> ip_addresses;  // subjectAltName, servers
  // At least one of the two: without extendedKeyUsage a certificate would be good for everything.
  bool server = false;  // extendedKeyUsage serverAuth
  bool client = false;  // extendedKeyUsage clientAuth
};

// A certificate authority: self-signed P-256 root with pathlen 0 that issues leaf certificates. Thread-safe.
class CertificateAuthority {
 public:
  static Result<CertificateAuthority> create(std::string_view common_name, Instant not_before, Instant not_after,
                                             Random& random);
  static Result<CertificateAuthority> load(std::string_view certificate_pem, std::string_view key_pem);
  const Certificate& certificate() const { return certificate_; }
  const PrivateKey& key() const { return key_; }
  // Ends with the CA at the latest. Serial: 16 random bytes. Extensions are ours alone; nothing is copied from a CSR.
  Result<Certificate> issue(const PublicKey& key, const CertificateOptions& options, Random& random) const;

 private:
  CertificateAuthority(Certificate certificate, PrivateKey key)
      : certificate_(std::move(certificate)), key_(std::move(key)) {}
  Certificate certificate_;
  PrivateKey key_;
};

// PKCS#7 "certs-only", DER (RFC 7030 §4.1.3); EST bodies are base64 of this.
Result<std::string> pkcs7_certs_only(const std::vector<Certificate>& certificates);
Result<std::vector<Certificate>> parse_pkcs7_certs(std::string_view der);

// `leaf` is signed by the CA `authority`, directly, and both are within their validity at `at`; else bad_signature or
// expired.
Result<> verify_certificate(const Certificate& leaf, const Certificate& authority, Instant at);

}  // namespace ferry
