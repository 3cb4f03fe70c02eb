#include "common/x509.hpp"

#include "common/bytes.hpp"
#include "common/internal/x509_access.hpp"

#include <ctime>
#include <openssl/asn1.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/x509v3.h>

namespace ferry {
namespace {

constexpr std::size_t certificate_bytes_max = 64 * 1024;
constexpr int certificates_max = 16;

void free_pkcs7(PKCS7* pkcs7) { PKCS7_free(pkcs7); }
using Pkcs7 = Handle<PKCS7, free_pkcs7>;
using Request = Handle<X509_REQ, X509_REQ_free>;

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

std::string common_name_of(const X509_NAME* name) {
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) return {};
  unsigned char* text = nullptr;
  const int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
  std::string result(reinterpret_cast<char*>(text), length > 0 ? std::size_t(length) : 0);
  OPENSSL_free(text);
  return result;
}

Result<X509Handle> x509_from_der(std::string_view der) {
  if (der.size() > certificate_bytes_max) return Error{Errc::bad_input, "certificate: larger than 64 KiB"};
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  X509Handle x509(d2i_X509(nullptr, &at, long(der.size())));
  if (!x509) return openssl_error(Errc::bad_input, "certificate: not an X.509 certificate in DER");
  if (reinterpret_cast<const char*>(at) != der.data() + der.size()) {
    return Error{Errc::bad_input, "certificate: bytes after its end"};
  }
  return x509;
}

Result<Certificate> certificate_from_x509(X509* x509) {
  Certificate made;
  made.der = to_der<i2d_X509>(x509);
  made.common_name = common_name_of(X509_get_subject_name(x509));
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
  const Bio bio(BIO_new_mem_buf(pem.data(), int(std::min(pem.size(), certificate_bytes_max * certificates_max))));
  std::vector<Certificate> certificates;
  while (int(certificates.size()) < certificates_max) {
    const X509Handle x509(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!x509) break;
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
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  if (X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.data()),
                                 int(common_name.size()), -1, 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), KeyAccess::get(key)) != 1 ||
      X509_REQ_sign(request.get(), KeyAccess::get(key), EVP_sha256()) <= 0) {
    return openssl_error(Errc::bad_input, "certificate request");
  }
  return to_der<i2d_X509_REQ>(request.get());
}

Result<Csr> parse_csr(std::string_view der) {
  if (der.size() > certificate_bytes_max) return Error{Errc::bad_input, "certificate request: larger than 64 KiB"};
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  const Request request(d2i_X509_REQ(nullptr, &at, long(der.size())));
  if (!request) return openssl_error(Errc::bad_input, "certificate request: not PKCS#10 in DER");
  EvpKey raw(X509_REQ_get_pubkey(request.get()));
  if (!raw || X509_REQ_verify(request.get(), raw.get()) != 1) {
    return openssl_error(Errc::bad_signature, "certificate request: not signed by the key it names");
  }
  TRY(PublicKey key, KeyAccess::public_key(std::move(raw)));
  return Csr{std::move(key), common_name_of(X509_REQ_get_subject_name(request.get()))};
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
  if (X509_check_issued(parent.get(), child.get()) != X509_V_OK) {
    ERR_clear_error();
    return Error{Errc::bad_signature, "certificate of '" + leaf.common_name + "': not issued by '" + authority.common_name + "'"};
  }
  if (X509_verify(child.get(), X509_get0_pubkey(parent.get())) != 1) {
    return openssl_error(Errc::bad_signature, "certificate of '" + leaf.common_name + "'");
  }
  for (const Certificate* certificate : {&leaf, &authority}) {
    if (at < certificate->not_before || at > certificate->not_after) {
      return Error{Errc::expired, "certificate of '" + certificate->common_name + "': valid from " + to_rfc3339(certificate->not_before) +
                                      " to " + to_rfc3339(certificate->not_after) + ", it is " + to_rfc3339(at)};
    }
  }
  return {};
}

}  // namespace ferry
