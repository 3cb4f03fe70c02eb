// Reading certificates and requests, the PKCS#7 wrappers of EST, and the check of a leaf against its authority.
#include "common/x509.hpp"

#include "common/bytes.hpp"
#include "common/internal/x509_access.hpp"

#include <openssl/asn1.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509_vfy.h>
#include <ctime>

namespace ferry {
namespace {

constexpr std::size_t certificate_bytes_max = 64 * 1024;
constexpr int certificates_max = 16;
constexpr int security_level = 2;  // 112 bits: no SHA-1, no RSA below 2048

void free_pkcs7(PKCS7* pkcs7) { PKCS7_free(pkcs7); }
using Pkcs7 = Handle<PKCS7, free_pkcs7>;
using Request = Handle<X509_REQ, X509_REQ_free>;
using Store = Handle<X509_STORE, X509_STORE_free>;
using StoreContext = Handle<X509_STORE_CTX, X509_STORE_CTX_free>;

const unsigned char* data_of(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
bool read_whole(const unsigned char* at, std::string_view der) { return at == data_of(der) + der.size(); }

template <auto Encode, class T>
std::string to_der(const T* object) {
  unsigned char* der = nullptr;
  const int length = Encode(object, &der);
  std::string bytes(reinterpret_cast<char*>(der), length > 0 ? std::size_t(length) : 0);
  OPENSSL_free(der);
  return bytes;
}

Result<Instant> instant_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return openssl_error(Errc::bad_input, "certificate: validity");
  return Instant{std::chrono::seconds{timegm(&parts)}};
}

}  // namespace

Result<std::string> common_name_of(const X509_NAME* name) {
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) return std::string{};
  unsigned char* text = nullptr;
  const int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
  if (length < 0) return openssl_error(Errc::bad_input, "common name");
  std::string result(reinterpret_cast<char*>(text), std::size_t(length));
  OPENSSL_free(text);
  // "good\0.evil" is two names to two programs (CVE-2009-2408).
  if (result.find('\0') != std::string::npos) return Error{Errc::bad_input, "common name: holds a NUL byte"};
  return result;
}

Result<> set_common_name(X509_NAME* name, std::string_view common_name) {
  const bool control =
      std::any_of(common_name.begin(), common_name.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; });
  // OpenSSL checks the encoding and the limit of 64 characters.
  if (common_name.empty() || control ||
      X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, data_of(common_name), int(common_name.size()), -1,
                                 0) != 1) {
    ERR_clear_error();
    return Error{Errc::bad_input,
                 "common name '" + std::string(common_name.substr(0, 80)) + "': expected 1 to 64 printable characters"};
  }
  return {};
}

Result<X509Handle> x509_from_der(std::string_view der) {
  if (der.size() > certificate_bytes_max) return Error{Errc::bad_input, "certificate: larger than 64 KiB"};
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  X509Handle x509(d2i_X509(nullptr, &at, long(der.size())));
  if (!x509) return openssl_error(Errc::bad_input, "certificate: not an X.509 certificate in DER");
  if (!read_whole(at, der)) return Error{Errc::bad_input, "certificate: bytes after its end"};
  return x509;
}

Result<Certificate> certificate_from_x509(X509* x509) {
  Certificate made;
  made.der = to_der<i2d_X509>(x509);
  TRY(made.common_name, common_name_of(X509_get_subject_name(x509)));
  const ASN1_INTEGER* serial = X509_get0_serialNumber(x509);
  made.serial_hex = to_hex({reinterpret_cast<const char*>(serial->data), std::size_t(serial->length)});
  made.fingerprint = sha256(made.der);
  made.key_digest = sha256(to_der<i2d_X509_PUBKEY>(X509_get_X509_PUBKEY(x509)));
  TRY(made.not_before, instant_of(X509_get0_notBefore(x509)));
  TRY(made.not_after, instant_of(X509_get0_notAfter(x509)));
  return made;
}

std::string Certificate::pem() const {
  const auto x509 = x509_from_der(der);
  if (!x509) return {};
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), x509->get());
  return bio_text(bio.get());
}

Result<Certificate> certificate_from_der(std::string_view der) {
  TRY(const X509Handle x509, x509_from_der(der));
  return certificate_from_x509(x509.get());
}

Result<std::vector<Certificate>> certificates_from_pem(std::string_view pem) {
  if (pem.size() > certificate_bytes_max * certificates_max)
    return Error{Errc::bad_input, "certificate: PEM larger than 1 MiB"};
  const Bio bio = memory_bio(pem);
  std::vector<Certificate> certificates;
  for (;;) {
    const X509Handle x509(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
    if (!x509 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE) break;
    if (!x509) return openssl_error(Errc::bad_input, "certificate: damaged PEM");
    if (int(certificates.size()) == certificates_max)
      return Error{Errc::bad_input, "certificate: more than 16 in one text"};
    TRY(Certificate certificate, certificate_from_x509(x509.get()));
    certificates.push_back(std::move(certificate));
  }
  ERR_clear_error();
  if (certificates.empty()) return Error{Errc::bad_input, "certificate: expected PEM text with BEGIN CERTIFICATE"};
  return certificates;
}

Result<Certificate> certificate_from_pem(std::string_view pem) {
  TRY(std::vector<Certificate> all, certificates_from_pem(pem));
  return std::move(all.front());
}

// --- requests ---

Result<std::string> make_csr(const PrivateKey& key, std::string_view common_name) {
  const Request request(X509_REQ_new());
  TRY_VOID(set_common_name(X509_REQ_get_subject_name(request.get()), common_name));
  const DigestContext context(EVP_MD_CTX_new());
  TRY_VOID(KeyAccess::start_signing(context.get(), key));
  if (X509_REQ_set_pubkey(request.get(), KeyAccess::get(key)) != 1 ||
      X509_REQ_sign_ctx(request.get(), context.get()) <= 0) {
    return openssl_error(Errc::internal, "certificate request");
  }
  return to_der<i2d_X509_REQ>(request.get());
}

Result<Csr> parse_csr(std::string_view der) {
  if (der.size() > certificate_bytes_max) return Error{Errc::bad_input, "certificate request: larger than 64 KiB"};
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const Request request(d2i_X509_REQ(nullptr, &at, long(der.size())));
  if (!request) return openssl_error(Errc::bad_input, "certificate request: not PKCS#10 in DER");
  if (!read_whole(at, der)) return Error{Errc::bad_input, "certificate request: bytes after its end"};
  EvpKey raw(X509_REQ_get_pubkey(request.get()));
  if (!raw || X509_REQ_verify(request.get(), raw.get()) != 1) {
    return openssl_error(Errc::bad_signature, "certificate request: not signed by the key it names");
  }
  TRY(PublicKey key, KeyAccess::public_key(std::move(raw)));
  TRY(std::string name, common_name_of(X509_REQ_get_subject_name(request.get())));
  return Csr{std::move(key), std::move(name)};
}

// --- PKCS#7 certs-only (RFC 7030 §4.1.3) ---

Result<std::string> pkcs7_certs_only(const std::vector<Certificate>& certificates) {
  const Pkcs7 pkcs7(PKCS7_new());
  if (PKCS7_set_type(pkcs7.get(), NID_pkcs7_signed) != 1 || PKCS7_content_new(pkcs7.get(), NID_pkcs7_data) != 1) {
    return openssl_error(Errc::internal, "PKCS#7");
  }
  PKCS7_set_detached(pkcs7.get(), 1);
  for (const Certificate& certificate : certificates) {
    TRY(const X509Handle x509, x509_from_der(certificate.der));
    if (PKCS7_add_certificate(pkcs7.get(), x509.get()) != 1) return openssl_error(Errc::internal, "PKCS#7");
  }
  return to_der<i2d_PKCS7>(pkcs7.get());
}

Result<std::vector<Certificate>> parse_pkcs7_certs(std::string_view der) {
  if (der.size() > certificate_bytes_max * certificates_max) return Error{Errc::bad_input, "PKCS#7: larger than 1 MiB"};
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const Pkcs7 pkcs7(d2i_PKCS7(nullptr, &at, long(der.size())));
  if (!pkcs7 || !PKCS7_type_is_signed(pkcs7.get()) || !pkcs7->d.sign || !pkcs7->d.sign->cert) {
    return openssl_error(Errc::bad_input, "PKCS#7: expected a certs-only message in DER");
  }
  if (!read_whole(at, der)) return Error{Errc::bad_input, "PKCS#7: bytes after its end"};
  const STACK_OF(X509)* stack = pkcs7->d.sign->cert;
  if (sk_X509_num(stack) > certificates_max) return Error{Errc::bad_input, "PKCS#7: more than 16 certificates"};
  std::vector<Certificate> certificates;
  for (int i = 0; i < sk_X509_num(stack); ++i) {
    TRY(Certificate certificate, certificate_from_x509(sk_X509_value(stack, i)));
    certificates.push_back(std::move(certificate));
  }
  if (certificates.empty()) return Error{Errc::bad_input, "PKCS#7: holds no certificate"};
  return certificates;
}

Result<> verify_certificate(const Certificate& leaf, const Certificate& authority, Instant at) {
  TRY(const X509Handle child, x509_from_der(leaf.der));
  TRY(const X509Handle parent, x509_from_der(authority.der));
  const Store store(X509_STORE_new());
  const StoreContext context(X509_STORE_CTX_new());
  if (!store || !context || X509_STORE_add_cert(store.get(), parent.get()) != 1 ||
      X509_STORE_CTX_init(context.get(), store.get(), child.get(), nullptr) != 1) {
    return openssl_error(Errc::internal, "certificate verification");
  }
  // OpenSSL's whole check, not only the signature: CA flag, path length, key usage, critical extensions.
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(parameters, std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count());
  X509_VERIFY_PARAM_set_auth_level(parameters, security_level);
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  const bool good = X509_verify_cert(context.get()) == 1;
  const int why = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (good) return {};
  const std::string where = "certificate of '" + leaf.common_name + "' under '" + authority.common_name + "': ";
  if (why == X509_V_ERR_CERT_HAS_EXPIRED || why == X509_V_ERR_CERT_NOT_YET_VALID) {
    return Error{Errc::expired, where + X509_verify_cert_error_string(why) + " at " + to_rfc3339(at) + "; valid from " +
                                    to_rfc3339(std::max(leaf.not_before, authority.not_before)) + " to " +
                                    to_rfc3339(std::min(leaf.not_after, authority.not_after))};
  }
  return Error{Errc::bad_signature, where + X509_verify_cert_error_string(why)};
}

}  // namespace ferry
