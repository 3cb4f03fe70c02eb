// Certificates, requests and PKCS#7 as the openssl program sees them, and what is refused.
#include "common/x509.hpp"

#include "common/bytes.hpp"
#include "tests/support/openssl_program.hpp"

using namespace ferry;
using Catch::Contains;
using test::openssl;
using test::TempDir;

namespace {
const Instant start = from_rfc3339("2026-01-01T00:00:00Z").value();
Instant day(int count) { return start + std::chrono::hours{24 * count}; }

struct Fixture {
  SeededRandom random{1};
  CertificateAuthority authority = CertificateAuthority::create("Ferry device CA", day(0), day(3650), random).value();
  PrivateKey key = PrivateKey::generate().value();

  CertificateOptions device() const {
    return {.common_name = "device-1", .not_before = day(1), .not_after = day(31), .client = true};
  }
  Certificate issue(const CertificateOptions& options) {
    return authority.issue(key.public_key(), options, random).value();
  }
};
std::string at_day(int count) { return " -attime " + std::to_string(to_unix_ms(day(count)) / 1000); }
}  // namespace

TEST_CASE_METHOD(Fixture, "the openssl program accepts a device certificate, strictly and for its purpose only") {
  const TempDir dir;
  REQUIRE(write_file_atomic(dir / "ca.pem", authority.certificate().pem()));
  REQUIRE(write_file_atomic(dir / "leaf.pem", issue(device()).pem()));
  const std::string verify = "verify -x509_strict -CAfile ca.pem";
  CHECK(openssl(dir, verify + at_day(2) + " -purpose sslclient leaf.pem").output == "leaf.pem: OK\n");
  CHECK(openssl(dir, verify + at_day(2) + " -purpose sslserver leaf.pem 2>/dev/null").status != 0);
  CHECK(openssl(dir, verify + at_day(40) + " leaf.pem 2>/dev/null").status != 0);
  CHECK(openssl(dir, verify + at_day(0) + " leaf.pem 2>/dev/null").status != 0);
  const std::string text = openssl(dir, "x509 -in leaf.pem -noout -text").output;
  CHECK_THAT(text, Contains("Version: 3 (0x2)") &&
                       Contains("X509v3 Basic Constraints: critical\n                CA:FALSE") &&
                       Contains("X509v3 Key Usage: critical\n                Digital Signature\n") &&
                       Contains("TLS Web Client Authentication") && Contains("Subject Key Identifier") &&
                       Contains("Authority Key Identifier"));
  CHECK_THAT(text, !Contains("Subject Alternative Name"));
}

TEST_CASE_METHOD(Fixture, "the CA may issue leaves and nothing below them") {
  const TempDir dir;
  REQUIRE(write_file_atomic(dir / "ca.pem", authority.certificate().pem()));
  CHECK_THAT(openssl(dir, "x509 -in ca.pem -noout -text").output,
             Contains("X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0") &&
                 Contains("X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign"));
  CHECK(authority.certificate().common_name == "Ferry device CA");
  CHECK(verify_certificate(authority.certificate(), authority.certificate(), day(1)));
}

TEST_CASE_METHOD(Fixture, "a server certificate carries its names and addresses") {
  const TempDir dir;
  const Certificate leaf = issue({.common_name = "ferryd",
                                  .not_before = day(0),
                                  .not_after = day(90),
                                  .dns_names = {"localhost", "*.example.com"},
                                  .ip_addresses = {"127.0.0.1", "::1"},
                                  .server = true});
  REQUIRE(write_file_atomic(dir / "ca.pem", authority.certificate().pem()));
  REQUIRE(write_file_atomic(dir / "leaf.pem", leaf.pem()));
  const std::string verify = "verify -x509_strict -CAfile ca.pem -purpose sslserver" + at_day(1);
  CHECK(openssl(dir, verify + " -verify_hostname localhost leaf.pem").status == 0);
  CHECK(openssl(dir, verify + " -verify_ip ::1 leaf.pem").status == 0);
  CHECK(openssl(dir, verify + " -verify_hostname other leaf.pem 2>/dev/null").status != 0);
}

TEST_CASE_METHOD(Fixture, "a parsed certificate says what the openssl program says") {
  const TempDir dir;
  const Certificate leaf = issue(device());
  REQUIRE(write_file_atomic(dir / "leaf.pem", leaf.pem()));
  std::string serial = openssl(dir, "x509 -in leaf.pem -noout -serial").output;
  for (char& c : serial) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  CHECK(serial == "serial=" + leaf.serial_hex + "\n");
  CHECK(leaf.serial_hex.size() == 32);
  REQUIRE(openssl(dir, "x509 -in leaf.pem -outform DER -out der").status == 0);
  CHECK(read_file(dir / "der", 10'000).value() == leaf.der);
  CHECK(leaf.fingerprint == sha256(leaf.der));
  CHECK(leaf.key_digest == sha256(key.public_key().spki_der()));
  CHECK(leaf.not_before == day(1));
  CHECK(leaf.not_after == day(31));
  CHECK(certificate_from_pem(leaf.pem()).value().der == leaf.der);
  CHECK(issue(device()).serial_hex != leaf.serial_hex);
}

TEST_CASE_METHOD(Fixture, "a leaf never outlives its CA") {
  CertificateOptions options = device();
  options.not_after = day(9999);
  CHECK(issue(options).not_after == authority.certificate().not_after);
  options.not_before = day(3650);
  CHECK(authority.issue(key.public_key(), options, random).error().code == Errc::bad_input);
}

TEST_CASE_METHOD(Fixture, "names that could change a certificate's meaning are refused") {
  const auto refused = [&](const CertificateOptions& options) {
    const auto issued = authority.issue(key.public_key(), options, random);
    return !issued && issued.error().code == Errc::bad_input;
  };
  for (const std::string& name :
       {std::string{}, std::string(65, 'a'), std::string("a\nb"), std::string("a\0b", 3), std::string("\xff")}) {
    CertificateOptions options = device();
    options.common_name = name;
    CHECK(refused(options));
  }
  for (const char* name : {"", "a,IP:10.0.0.1", "a b", "a\n", "a;b"}) {
    CertificateOptions options = device();
    options.dns_names = {name};
    CHECK(refused(options));
  }
  CertificateOptions address = device();
  address.ip_addresses = {"300.1.1.1"};
  CHECK(refused(address));
  CertificateOptions useless = device();
  useless.client = false;
  CHECK(refused(useless));
  CertificateOptions backwards = device();
  std::swap(backwards.not_before, backwards.not_after);
  CHECK(refused(backwards));
  CHECK_FALSE(CertificateAuthority::create("", day(0), day(1), random));
  CHECK_FALSE(CertificateAuthority::create("x", day(1), day(1), random));
}

TEST_CASE_METHOD(Fixture, "verification tells a foreign signature from a wrong time") {
  const Certificate leaf = issue(device());
  CHECK(verify_certificate(leaf, authority.certificate(), day(2)));
  CHECK(verify_certificate(leaf, authority.certificate(), day(40)).error().code == Errc::expired);
  CHECK(verify_certificate(leaf, authority.certificate(), day(0)).error().code == Errc::expired);
  // The same name, another key: only the signature tells them apart.
  const auto impostor = CertificateAuthority::create("Ferry device CA", day(0), day(3650), random).value();
  CHECK(verify_certificate(leaf, impostor.certificate(), day(2)).error().code == Errc::bad_signature);
  CHECK(verify_certificate(issue(device()), leaf, day(2)).error().code == Errc::bad_signature);  // a leaf is no CA
  Certificate changed = leaf;
  changed.der[changed.der.size() - 5] = static_cast<char>(changed.der[changed.der.size() - 5] ^ 1);
  CHECK(verify_certificate(changed, authority.certificate(), day(2)).error().code == Errc::bad_signature);
}

TEST_CASE_METHOD(Fixture, "a CA loads with its own key and as a CA only") {
  const auto loaded = CertificateAuthority::load(authority.certificate().pem(), authority.key().pem());
  REQUIRE(loaded);
  const Certificate leaf = loaded->issue(key.public_key(), device(), random).value();
  CHECK(verify_certificate(leaf, authority.certificate(), day(2)));
  CHECK(CertificateAuthority::load(authority.certificate().pem(), key.pem()).error().code == Errc::bad_input);
  CHECK_THAT(CertificateAuthority::load(leaf.pem(), key.pem()).error().context, Contains("not a CA"));
}

TEST_CASE_METHOD(Fixture, "a leaf's key may have any scheme") {
  for (const KeyScheme scheme : {KeyScheme::ed25519, KeyScheme::rsa_pss_sha256}) {
    const auto leaf = authority.issue(PrivateKey::generate(scheme).value().public_key(), device(), random);
    REQUIRE(leaf);
    CHECK(verify_certificate(*leaf, authority.certificate(), day(2)));
  }
}

TEST_CASE("a request proves possession of its key, ours to openssl and openssl's to us") {
  const TempDir dir;
  for (const KeyScheme scheme : {KeyScheme::ecdsa_p256_sha256, KeyScheme::ed25519, KeyScheme::rsa_pss_sha256}) {
    CAPTURE(static_cast<int>(scheme));
    const auto key = PrivateKey::generate(scheme).value();
    const std::string der = make_csr(key, "device-1").value();
    REQUIRE(write_file_atomic(dir / "csr", der));
    CHECK_THAT(openssl(dir, "req -inform DER -in csr -verify -noout -subject 2>&1").output,
               Contains("verify OK") && Contains("CN = device-1"));
    const auto parsed = parse_csr(der);
    REQUIRE(parsed);
    CHECK(parsed->common_name == "device-1");
    CHECK(parsed->key.pem() == key.public_key().pem());
  }
  REQUIRE(openssl(dir,
                  "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /CN=theirs -outform DER "
                  "-out csr "
                  "2>/dev/null")
              .status == 0);
  CHECK(parse_csr(read_file(dir / "csr", 10'000).value()).value().common_name == "theirs");
  CHECK_FALSE(make_csr(PrivateKey::generate().value(), ""));
  CHECK_FALSE(make_csr(PrivateKey::generate().value(), std::string(65, 'n')));
}

TEST_CASE("every changed, cut or lengthened request is refused") {
  const std::string der = make_csr(PrivateKey::generate().value(), "device-1").value();
  int accepted = 0;
  for (std::size_t at = 0; at < der.size(); ++at) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    if (parse_csr(changed)) ++accepted;
    if (parse_csr(std::string_view(der).substr(0, at))) ++accepted;
  }
  CHECK(accepted == 0);
  CHECK_THAT(parse_csr(der + "x").error().context, Contains("after its end"));
  CHECK(parse_csr("").error().code == Errc::bad_input);
  CHECK(parse_csr(std::string(1'000'000, 'x')).error().code == Errc::bad_input);
}

TEST_CASE("a request for a weak key is refused") {
  const TempDir dir;
  REQUIRE(openssl(dir, "req -new -newkey rsa:1024 -nodes -keyout k -subj /CN=weak -outform DER -out csr 2>/dev/null")
              .status == 0);
  CHECK(parse_csr(read_file(dir / "csr", 10'000).value()).error().code == Errc::bad_input);
}

TEST_CASE_METHOD(Fixture, "PKCS#7 certs-only is read by the openssl program, and its own by us") {
  const TempDir dir;
  const Certificate leaf = issue(device());
  const std::string der = pkcs7_certs_only({leaf, authority.certificate()}).value();
  REQUIRE(write_file_atomic(dir / "p7", der));
  const std::string printed = openssl(dir, "pkcs7 -inform DER -in p7 -print_certs").output;
  const auto theirs = certificates_from_pem(printed).value();
  REQUIRE(theirs.size() == 2);
  CHECK(theirs[0].der == leaf.der);
  CHECK(theirs[1].der == authority.certificate().der);
  CHECK(parse_pkcs7_certs(der).value().size() == 2);
  REQUIRE(write_file_atomic(dir / "leaf.pem", leaf.pem()));
  REQUIRE(openssl(dir, "crl2pkcs7 -nocrl -certfile leaf.pem -outform DER -out theirs").status == 0);
  CHECK(parse_pkcs7_certs(read_file(dir / "theirs", 10'000).value()).value().at(0).der == leaf.der);
}

TEST_CASE_METHOD(Fixture, "PKCS#7 that is cut, empty or something else is refused") {
  const std::string der = pkcs7_certs_only({issue(device())}).value();
  int accepted = 0;
  for (std::size_t length = 0; length < der.size(); ++length)
    accepted += parse_pkcs7_certs(std::string_view(der).substr(0, length)) ? 1 : 0;
  CHECK(accepted == 0);
  CHECK_THAT(parse_pkcs7_certs(der + "x").error().context, Contains("after its end"));
  CHECK_FALSE(parse_pkcs7_certs(pkcs7_certs_only({}).value()));
  CHECK_FALSE(parse_pkcs7_certs(issue(device()).der));
}

TEST_CASE_METHOD(Fixture, "certificates in one text are all read or none") {
  const std::string one = issue(device()).pem(), two = authority.certificate().pem();
  CHECK(certificates_from_pem("a comment\n" + one + two).value().size() == 2);
  CHECK_THAT(certificates_from_pem(one + two.substr(0, two.size() / 2)).error().context, Contains("damaged"));
  CHECK_FALSE(certificates_from_pem(""));
  CHECK_FALSE(certificates_from_pem(key.pem()));
  std::string many;
  for (int i = 0; i < 17; ++i) many += two;
  CHECK_THAT(certificates_from_pem(many).error().context, Contains("more than 16"));
  CHECK_FALSE(certificate_from_der(issue(device()).der + "x"));
  CHECK_FALSE(certificate_from_der(""));
  std::string encrypted = one;  // must fail, not ask for a passphrase
  encrypted.insert(encrypted.find('\n') + 1,
                   "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n");
  CHECK_FALSE(certificate_from_pem(encrypted));
}

TEST_CASE_METHOD(Fixture, "a certificate or message changed anywhere never crashes the parser") {
  const std::string der = issue(device()).der, message = pkcs7_certs_only({issue(device())}).value();
  int parsed = 0;
  for (std::size_t at = 0; at < der.size(); ++at) {
    for (int bit : {1, 0x80}) {
      std::string changed = der;
      changed[at] = static_cast<char>(changed[at] ^ bit);
      const auto certificate = certificate_from_der(changed);
      if (!certificate) continue;
      ++parsed;
      CHECK_FALSE(verify_certificate(*certificate, authority.certificate(), day(2)));
    }
  }
  CHECK(parsed > 0);
  for (std::size_t at = 0; at < message.size(); ++at) {
    std::string changed = message;
    changed[at] = static_cast<char>(changed[at] ^ 0x81);
    (void)parse_pkcs7_certs(changed);
  }
}
