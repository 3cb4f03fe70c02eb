// The certificate authority: a self-signed root and the leaves it issues.
#include "common/internal/x509_access.hpp"
#include "common/x509.hpp"

#include <openssl/asn1.h>
#include <openssl/bn.h>

namespace ferry {
namespace {

constexpr std::size_t serial_bytes = 16;

using BigNumber = Handle<BIGNUM, BN_free>;
using Time = Handle<ASN1_TIME, ASN1_TIME_free>;
using Extension = Handle<X509_EXTENSION, X509_EXTENSION_free>;

bool set_serial(X509* x509, Random& random) {
  std::string bytes = random.bytes(serial_bytes);
  bytes[0] = static_cast<char>((bytes[0] & 0x7f) | 0x40);  // positive, and always the same length
  const BigNumber number(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), int(bytes.size()), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509)) != nullptr;
}

bool set_validity(X509* x509, Instant from, Instant to) {
  const auto time_of = [](Instant at) {
    return Time(ASN1_TIME_set(nullptr, std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count()));
  };
  const Time start = time_of(from), end = time_of(to);
  return start && end && X509_set1_notBefore(x509, start.get()) == 1 && X509_set1_notAfter(x509, end.get()) == 1;
}

bool add_extension(X509* x509, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, x509, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(x509, extension.get(), -1) == 1;
}

// Names go into OpenSSL's small configuration language: only what cannot change its meaning.
bool plain(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:*_") ==
             std::string_view::npos;
}

Result<std::string> alternative_names(const CertificateOptions& options) {
  std::string names;
  const auto add = [&](const char* kind, const std::vector<std::string>& values) -> Result<> {
    for (const std::string& value : values) {
      if (!plain(value)) return Error{Errc::bad_input, "certificate: name '" + value + "' is no host name or address"};
      names += (names.empty() ? "" : ",") + std::string(kind) + ":" + value;
    }
    return {};
  };
  TRY_VOID(add("DNS", options.dns_names));
  TRY_VOID(add("IP", options.ip_addresses));
  return names;
}

Result<> check_validity(Instant from, Instant to) {
  if (from < to) return {};
  return Error{Errc::bad_input,
               "certificate: valid from " + to_rfc3339(from) + " to " + to_rfc3339(to) + ": ends before it begins"};
}

}  // namespace

Result<CertificateAuthority> CertificateAuthority::create(std::string_view common_name, Instant not_before,
                                                          Instant not_after, Random& random) {
  TRY_VOID(check_validity(not_before, not_after));
  TRY(PrivateKey key, PrivateKey::generate());
  const X509Handle x509(X509_new());
  TRY_VOID(set_common_name(X509_get_subject_name(x509.get()), common_name));
  const bool made = X509_set_version(x509.get(), X509_VERSION_3) == 1 && set_serial(x509.get(), random) &&
                    set_validity(x509.get(), not_before, not_after) &&
                    X509_set_issuer_name(x509.get(), X509_get_subject_name(x509.get())) == 1 &&
                    X509_set_pubkey(x509.get(), KeyAccess::get(key)) == 1 &&
                    add_extension(x509.get(), x509.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    add_extension(x509.get(), x509.get(), NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    add_extension(x509.get(), x509.get(), NID_subject_key_identifier, "hash") &&
                    add_extension(x509.get(), x509.get(), NID_authority_key_identifier, "keyid:always") &&
                    X509_sign(x509.get(), KeyAccess::get(key), EVP_sha256()) > 0;
  if (!made) return openssl_error(Errc::internal, "certificate authority");
  TRY(Certificate certificate, certificate_from_x509(x509.get()));
  return CertificateAuthority(std::move(certificate), std::move(key));
}

Result<CertificateAuthority> CertificateAuthority::load(std::string_view certificate_pem, std::string_view key_pem) {
  TRY(Certificate certificate, certificate_from_pem(certificate_pem));
  TRY(PrivateKey key, PrivateKey::from_pem(key_pem));
  if (sha256(key.public_key().spki_der()) != certificate.key_digest) {
    return Error{Errc::bad_input,
                 "certificate authority: the key does not belong to the certificate '" + certificate.common_name + "'"};
  }
  TRY(const X509Handle x509, x509_from_der(certificate.der));
  if (X509_check_ca(x509.get()) != 1) {  // 1: basicConstraints says CA; other values are guesses for old certificates
    ERR_clear_error();
    return Error{Errc::bad_input, "certificate authority: '" + certificate.common_name + "' is not a CA certificate"};
  }
  return CertificateAuthority(std::move(certificate), std::move(key));
}

Result<Certificate> CertificateAuthority::issue(const PublicKey& key, const CertificateOptions& options,
                                                Random& random) const {
  if (!options.server && !options.client) {
    // Without extendedKeyUsage a certificate is good for everything.
    return Error{Errc::bad_input, "certificate for '" + options.common_name + "': choose server, client or both"};
  }
  const Instant not_after = std::min(options.not_after, certificate_.not_after);  // a leaf cannot outlive its CA
  TRY_VOID(check_validity(options.not_before, not_after));
  TRY(const std::string names, alternative_names(options));
  TRY(const X509Handle authority, x509_from_der(certificate_.der));
  const X509Handle x509(X509_new());
  TRY_VOID(set_common_name(X509_get_subject_name(x509.get()), options.common_name));
  std::string usage;
  if (options.server) usage = "serverAuth";
  if (options.client) usage += usage.empty() ? "clientAuth" : ",clientAuth";
  const bool made = X509_set_version(x509.get(), X509_VERSION_3) == 1 && set_serial(x509.get(), random) &&
                    set_validity(x509.get(), options.not_before, not_after) &&
                    X509_set_issuer_name(x509.get(), X509_get_subject_name(authority.get())) == 1 &&
                    X509_set_pubkey(x509.get(), KeyAccess::get(key)) == 1 &&
                    add_extension(x509.get(), authority.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                    add_extension(x509.get(), authority.get(), NID_key_usage, "critical,digitalSignature") &&
                    add_extension(x509.get(), authority.get(), NID_ext_key_usage, usage) &&
                    (names.empty() || add_extension(x509.get(), authority.get(), NID_subject_alt_name, names)) &&
                    add_extension(x509.get(), authority.get(), NID_subject_key_identifier, "hash") &&
                    add_extension(x509.get(), authority.get(), NID_authority_key_identifier, "keyid:always") &&
                    X509_sign(x509.get(), KeyAccess::get(key_), EVP_sha256()) > 0;
  if (!made) return openssl_error(Errc::bad_input, "certificate for '" + options.common_name + "'");
  return certificate_from_x509(x509.get());
}

}  // namespace ferry
