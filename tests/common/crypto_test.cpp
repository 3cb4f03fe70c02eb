// Digests and signatures against published vectors and against the openssl program.
#include "common/crypto.hpp"

#include "common/bytes.hpp"
#include "tests/support/openssl_program.hpp"
#include "tests/support/temp_dir.hpp"

#include <sys/stat.h>

#include <thread>

using namespace ferry;
using test::openssl;
using test::TempDir;

namespace {
std::string hex(std::string_view text) { return from_hex(text).value(); }
constexpr KeyScheme schemes[] = {KeyScheme::ecdsa_p256_sha256, KeyScheme::ed25519, KeyScheme::rsa_pss_sha256};
}  // namespace

TEST_CASE("SHA-256 and SHA-512 agree with the examples of FIPS 180") {
  CHECK(sha256("").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").hex() ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256(std::string(1'000'000, 'a')).hex() ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  CHECK(sha512_hex("abc") ==
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
  CHECK(sha512_hex("") ==
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e");
}

TEST_CASE("a hasher fed in pieces gives the digest of the whole") {
  Hasher hasher, wide(Hasher::Algorithm::sha512);
  for (const char* piece : {"a", "", "bc"}) {
    hasher.update(piece);
    wide.update(piece);
  }
  Hasher moved = std::move(hasher);
  CHECK(moved.finish() == sha256("abc"));
  CHECK(wide.finish_hex() == sha512_hex("abc"));
}

TEST_CASE("a file's digest and length are those of its bytes") {
  const TempDir dir;
  const std::string content(700'000, 'q');  // several reads
  REQUIRE(write_file_atomic(dir / "f", content));
  const auto digest = digest_file(dir / "f");
  CHECK(digest->sha256 == sha256(content));
  CHECK(digest->bytes == content.size());
  CHECK(digest_file(dir / "none").error().code == Errc::not_found);
  CHECK(digest_file(dir.path()).error().code == Errc::io);
}

TEST_CASE("a digest is read from exactly 64 hex digits or 32 bytes") {
  const std::string text = sha256("abc").hex();
  CHECK(Digest::from_hex(text).value() == sha256("abc"));
  std::string upper = text;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  CHECK(Digest::from_hex(upper).value() == sha256("abc"));
  for (const std::string& bad : {text.substr(2), text + "00", "g" + text.substr(1), std::string{}}) {
    CHECK(Digest::from_hex(bad).error().code == Errc::bad_input);
  }
  CHECK_FALSE(Digest::from_bytes(std::string(31, 'x')));
  CHECK(Digest{} != sha256(""));
}

TEST_CASE("secrets are compared whole") {
  CHECK(constant_time_equal("secret", "secret"));
  CHECK_FALSE(constant_time_equal("secret", "secreT"));
  CHECK_FALSE(constant_time_equal("secret", "secret "));
  CHECK(constant_time_equal("", std::string_view{}));
}

TEST_CASE("Ed25519 agrees with the vectors of RFC 8032 section 7.1") {
  struct Vector {
    const char *key, *message, *signature;
  };
  const Vector vectors[] = {{"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
                             "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
                             "cf9b46bd25bf5f0595bbe24655141438e7a100b"},
                            {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
                             "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
                             "0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
                            {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
                             "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f7609"
                             "84dc6594a7c15e9716ed28dc027beceea1ec40a"}};
  for (const Vector& vector : vectors) {
    const auto key = PublicKey::from_ed25519_raw(hex(vector.key)).value();
    CHECK(key.scheme() == KeyScheme::ed25519);
    CHECK(key.verify(hex(vector.message), hex(vector.signature)));
    CHECK_FALSE(key.verify(hex(vector.message) + "x", hex(vector.signature)));
    CHECK(PublicKey::from_pem(key.pem()).value().verify(hex(vector.message), hex(vector.signature)));
  }
  CHECK_FALSE(PublicKey::from_ed25519_raw(std::string(31, 'x')));
  CHECK_FALSE(PublicKey::from_ed25519_raw(""));
}

TEST_CASE("ECDSA P-256 agrees with the vector of RFC 6979 A.2.5") {
  // SubjectPublicKeyInfo of the RFC's key; the signature of "sample" with SHA-256, as DER.
  const std::string spki =
      hex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"
          "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
          "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
  const std::string signature =
      hex("3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
          "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
  const auto key =
      PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\n" + to_base64(spki) + "\n-----END PUBLIC KEY-----\n").value();
  CHECK(key.scheme() == KeyScheme::ecdsa_p256_sha256);
  CHECK(key.spki_der() == spki);
  CHECK(key.verify("sample", signature));
  CHECK_FALSE(key.verify("Sample", signature));
  CHECK_FALSE(key.verify("sample", signature.substr(8, 32) + signature.substr(43)));  // raw r||s is not accepted
}

TEST_CASE("each scheme verifies what it signed and nothing else") {
  for (const KeyScheme scheme : schemes) {
    CAPTURE(static_cast<int>(scheme));
    const auto key = PrivateKey::generate(scheme).value();
    const auto other = PrivateKey::generate(scheme).value().public_key();
    const PublicKey half = key.public_key();
    CHECK(half.scheme() == scheme);
    for (const std::string& message : {std::string{}, std::string("m"), std::string(100'000, 'm')}) {
      const std::string signature = key.sign(message).value();
      CHECK(half.verify(message, signature));
      CHECK_FALSE(half.verify(message + "x", signature));
      CHECK_FALSE(other.verify(message, signature));
      for (std::size_t at : {std::size_t{0}, signature.size() / 2, signature.size() - 1}) {
        std::string changed = signature;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        CHECK_FALSE(half.verify(message, changed));
      }
      CHECK_FALSE(half.verify(message, signature + "x"));
      CHECK_FALSE(half.verify(message, ""));
      CHECK_FALSE(half.verify(message, std::string_view{}));
    }
    CHECK_FALSE(PublicKey().verify("m", "s"));
  }
}

TEST_CASE("the openssl program verifies our signatures and we verify its own") {
  const TempDir dir;
  for (const KeyScheme scheme : schemes) {
    CAPTURE(static_cast<int>(scheme));
    const auto key = PrivateKey::generate(scheme).value();
    REQUIRE(key.save(dir / "key"));
    REQUIRE(write_file_atomic(dir / "pub", key.public_key().pem()));
    REQUIRE(write_file_atomic(dir / "message", "a message"));
    REQUIRE(write_file_atomic(dir / "signature", key.sign("a message").value()));
    const std::string how = scheme == KeyScheme::ed25519 ? " -rawin"
                            : scheme == KeyScheme::rsa_pss_sha256
                                ? " -rawin -digest sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:"
                                : " -rawin -digest sha256";
    const bool pss = scheme == KeyScheme::rsa_pss_sha256;
    const auto verified =
        openssl(dir, "pkeyutl -verify -pubin -inkey pub -in message -sigfile signature" + how + (pss ? "digest" : ""));
    CHECK_THAT(verified.output, Catch::Contains("Verified Successfully"));
    // Other signers salt as long as the modulus allows.
    REQUIRE(openssl(dir, "pkeyutl -sign -inkey key -in message -out theirs" + how + (pss ? "max" : "")).status == 0);
    CHECK(key.public_key().verify("a message", read_file(dir / "theirs", 10'000).value()));
    CHECK(openssl(dir, "pkey -in key -pubout").output == key.public_key().pem());
  }
}

TEST_CASE("a compressed copy of a key counts as the same key material") {
  const TempDir dir;
  const auto key = PrivateKey::generate().value().public_key();
  REQUIRE(write_file_atomic(dir / "pub", key.pem()));
  const auto compressed = openssl(dir, "ec -pubin -in pub -conv_form compressed 2>/dev/null").output;
  REQUIRE(compressed.size() < key.pem().size());
  CHECK(PublicKey::from_pem(compressed).value().spki_der() == key.spki_der());
}

TEST_CASE("weak, foreign and disguised keys are refused") {
  const TempDir dir;
  const char* commands[] = {"ecparam -name secp521r1 -genkey -noout",
                            "ecparam -name secp384r1 -genkey -noout -param_enc explicit",
                            "ecparam -name secp256k1 -genkey -noout",
                            "ecparam -name prime256v1 -genkey -noout -param_enc explicit",
                            "genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:1024",
                            "genpkey -algorithm ed448",
                            "genpkey -algorithm x25519",
                            "genpkey -algorithm rsa-pss -pkeyopt rsa_keygen_bits:2048"};
  for (const char* command : commands) {
    CAPTURE(command);
    REQUIRE(openssl(dir, std::string(command) + " -out key 2>/dev/null").status == 0);
    REQUIRE(openssl(dir, "pkey -in key -pubout -out pub").status == 0);
    const auto half = PublicKey::from_pem(read_file(dir / "pub", 10'000).value());
    REQUIRE_FALSE(half);
    CHECK(half.error().code == Errc::bad_input);
    CHECK_FALSE(PrivateKey::load(dir / "key"));
  }
}

TEST_CASE("keys are read from the PEM forms that tools write") {
  const TempDir dir;
  REQUIRE(openssl(dir, "ecparam -name prime256v1 -genkey -noout -out sec1").status == 0);
  REQUIRE(openssl(dir, "pkcs8 -topk8 -nocrypt -in sec1 -out pkcs8").status == 0);
  const auto key = PrivateKey::load(dir / "sec1").value();
  CHECK(key.pem() == read_file(dir / "pkcs8", 10'000).value());
  CHECK(PrivateKey::from_pem(key.pem()).value().public_key().pem() == key.public_key().pem());
}

TEST_CASE("an encrypted key fails at once instead of asking on a terminal") {
  const TempDir dir;
  REQUIRE(openssl(dir, "genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc -pass pass:secret -out new")
              .status == 0);
  REQUIRE(openssl(dir, "ec -in new -passin pass:secret -aes256 -passout pass:secret -out old 2>/dev/null").status == 0);
  for (const char* name : {"new", "old"}) {
    const auto refused = PrivateKey::load(dir / name);
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().context, Catch::Contains("unencrypted") && Catch::Contains(name));
  }
  CHECK_FALSE(PublicKey::from_pem(
      "-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n"
      "MFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----\n"));
}

TEST_CASE("text that is no key is refused without a trace in OpenSSL's queue") {
  const std::string pem = PrivateKey::generate().value().public_key().pem();
  const std::string huge = pem + std::string(100'000, 'x');
  for (const std::string& text :
       {std::string{}, std::string("hello"), pem.substr(0, 60), pem.substr(0, 60) + pem.substr(80), huge,
        std::string("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n")}) {
    CHECK(PublicKey::from_pem(text).error().code == Errc::bad_input);
    CHECK(PrivateKey::from_pem(text).error().code == Errc::bad_input);
  }
  CHECK_FALSE(PublicKey::from_pem(std::string_view{}));
}

TEST_CASE("a saved key is readable by its owner alone") {
  const TempDir dir;
  const auto key = PrivateKey::generate().value();
  REQUIRE(key.save(dir / "key"));
  struct stat status {};
  REQUIRE(::stat((dir / "key").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(PrivateKey::load(dir / "key").value().public_key().pem() == key.public_key().pem());
  CHECK(PrivateKey::load(dir / "none").error().code == Errc::not_found);
}

TEST_CASE("one key is used by several threads at once") {
  const auto key = PrivateKey::generate().value();
  const PublicKey half = key.public_key();
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const std::string message = std::to_string(t) + "/" + std::to_string(i);
        if (half.verify(message, key.sign(message).value())) ++good;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(good == 100);
}
