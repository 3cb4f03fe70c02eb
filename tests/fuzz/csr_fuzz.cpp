// X.509 from strangers: certificate requests of enrolment, and the PKCS#7 and certificates a server answers with.
#include "common/x509.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace ferry;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = fuzz::text_of(data, size);
  if (auto csr = parse_csr(bytes)) fuzz::promise(!csr->key.spki_der().empty(), "a request has a key");
  if (auto certificate = certificate_from_der(bytes)) {
    auto again = certificate_from_pem(certificate->pem());
    fuzz::promise(again && again->fingerprint == certificate->fingerprint, "a certificate is read back as written");
    (void)verify_certificate(*certificate, *certificate, certificate->not_before);
  }
  (void)certificates_from_pem(bytes);
  (void)parse_pkcs7_certs(bytes);
  (void)PublicKey::from_pem(bytes);
  return 0;
}
