// Digests, keys and signatures over OpenSSL 3's EVP interface.
#include "common/crypto.hpp"

#include "common/bytes.hpp"
#include "common/internal/key_access.hpp"

#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <optional>

namespace ferry {
namespace {

constexpr int rsa_bits_min = 2048;
constexpr int rsa_bits_max = 8192;  // a verification takes milliseconds up to here
constexpr std::size_t pem_bytes_max = 64 * 1024;
constexpr std::size_t file_piece_bytes = 256 * 1024;

// A named curve by its object identifier; explicit parameters are how a curve is forged (CVE-2020-0601).
std::optional<KeyScheme> scheme_of_curve(EVP_PKEY* key) {
  char group[64] = {}, encoding[64] = {};
  const bool named =
      EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, nullptr) == 1 &&
      EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof encoding, nullptr) == 1 &&
      std::string_view(encoding) == OSSL_PKEY_EC_ENCODING_GROUP;
  if (named && std::string_view(group) == "prime256v1") return KeyScheme::ecdsa_p256_sha256;
  if (named && std::string_view(group) == "secp384r1") return KeyScheme::ecdsa_p384_sha384;
  return std::nullopt;
}

// The key decides the algorithm, never a name beside it (notary CVE-2015-9258).
Result<KeyScheme> scheme_of(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ED25519")) return KeyScheme::ed25519;
  if (EVP_PKEY_is_a(key, "EC")) {
    const auto scheme = scheme_of_curve(key);
    // Written uncompressed from here on: a compressed copy of a key must not count as a second key.
    if (!scheme || EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                                  OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) != 1) {
      ERR_clear_error();
      return Error{Errc::bad_input, "key: elliptic curve other than P-256 (prime256v1) and P-384 (secp384r1), named"};
    }
    return *scheme;
  }
  if (EVP_PKEY_is_a(key, "RSA")) {
    const int bits = EVP_PKEY_get_bits(key);
    if (bits < rsa_bits_min || bits > rsa_bits_max) {
      return Error{Errc::bad_input, "key: RSA of " + std::to_string(bits) + " bits, expected 2048 to 8192"};
    }
    return KeyScheme::rsa_pss_sha256;
  }
  return Error{Errc::bad_input, "key: expected P-256, P-384, Ed25519 or RSA"};
}

bool set_pss(EVP_PKEY_CTX* context, int salt_length) {
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt_length) == 1;
}

// Never null: OpenSSL takes a null pointer for "only tell the length".
const unsigned char* data_of(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data() ? bytes.data() : "");
}

}  // namespace

Bio memory_bio(std::string_view text) { return Bio(BIO_new_mem_buf(data_of(text), int(text.size()))); }

int no_passphrase(char*, int, int, void*) { return 0; }

const EVP_MD* digest_of(KeyScheme scheme) {
  switch (scheme) {
    case KeyScheme::ed25519:
      return nullptr;
    case KeyScheme::ecdsa_p384_sha384:
      return EVP_sha384();
    case KeyScheme::ecdsa_p256_sha256:
    case KeyScheme::rsa_pss_sha256:
      break;
  }
  return EVP_sha256();
}

Error openssl_error(Errc code, std::string_view what) {
  char text[256] = "no detail";
  if (const unsigned long last = ERR_peek_last_error(); last != 0) ERR_error_string_n(last, text, sizeof text);
  ERR_clear_error();
  return Error{code, std::string(what) + ": " + text};
}

std::string bio_text(BIO* bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio, &data);
  return std::string(data, std::size_t(length));
}

// --- digests ---

struct Hasher::State {
  DigestContext context{EVP_MD_CTX_new()};
};

Hasher::Hasher(Algorithm algorithm) : state_(std::make_unique<State>()) {
  EVP_DigestInit_ex(state_->context.get(), algorithm == Algorithm::sha256 ? EVP_sha256() : EVP_sha512(), nullptr);
}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(std::string_view bytes) { EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()); }

namespace {
std::string finish_bytes(EVP_MD_CTX* context) {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  EVP_DigestFinal_ex(context, bytes, &length);
  return std::string(reinterpret_cast<char*>(bytes), length);
}
}  // namespace

std::string Hasher::finish_hex() { return to_hex(finish_bytes(state_->context.get())); }
Digest Hasher::finish() { return Digest::from_bytes(finish_bytes(state_->context.get())).value(); }

Result<Digest> Digest::from_hex(std::string_view text) {
  auto bytes = ferry::from_hex(text);
  if (!bytes || bytes->size() != 32) return Error{Errc::bad_input, "digest: expected 64 hex digits of a SHA-256"};
  return from_bytes(*bytes);
}

Result<Digest> Digest::from_bytes(std::string_view bytes) {
  if (bytes.size() != 32) return Error{Errc::bad_input, "digest: expected 32 bytes of a SHA-256"};
  Digest made;
  made.bytes_ = bytes;
  return made;
}

std::string Digest::hex() const { return to_hex(bytes_); }

Digest sha256(std::string_view bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

std::uint64_t hash_rank(std::string_view salt, std::string_view name) {
  std::string text(salt);
  text += '\0';
  text += name;
  const std::string digest = sha256(text).bytes();
  std::uint64_t rank = 0;
  for (std::size_t i = 0; i < 8; ++i) rank = rank << 8 | static_cast<unsigned char>(digest[i]);
  return rank;
}

std::string sha512_hex(std::string_view bytes) {
  Hasher hasher(Hasher::Algorithm::sha512);
  hasher.update(bytes);
  return hasher.finish_hex();
}

Result<FileDigest> digest_file(const Path& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error("open", path);
  Hasher hasher;
  std::uint64_t bytes = 0;
  const auto piece = std::make_unique<char[]>(file_piece_bytes);
  for (;;) {
    const ssize_t got = ::read(fd.get(), piece.get(), file_piece_bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("read", path);
    if (got == 0) return FileDigest{hasher.finish(), bytes};
    hasher.update({piece.get(), std::size_t(got)});
    bytes += std::uint64_t(got);
  }
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// --- keys ---

Result<PublicKey> KeyAccess::public_key(EvpKey key) {
  TRY(const KeyScheme scheme, scheme_of(key.get()));
  PublicKey made;
  made.state_ = std::make_shared<const PublicKey::State>(PublicKey::State{std::move(key), scheme});
  return made;
}

Result<PrivateKey> KeyAccess::private_key(EvpKey key) {
  TRY(const KeyScheme scheme, scheme_of(key.get()));
  PrivateKey made;
  made.state_ = std::make_shared<const PrivateKey::State>(PrivateKey::State{std::move(key), scheme});
  return made;
}

Result<> KeyAccess::start_signing(EVP_MD_CTX* context, const PrivateKey& key) {
  const PrivateKey::State& state = *key.state_;
  EVP_PKEY_CTX* parameters = nullptr;  // owned by context
  if (EVP_DigestSignInit(context, &parameters, digest_of(state.scheme), nullptr, state.key.get()) != 1 ||
      (state.scheme == KeyScheme::rsa_pss_sha256 && !set_pss(parameters, RSA_PSS_SALTLEN_DIGEST))) {
    return openssl_error(Errc::internal, "sign");
  }
  return {};
}

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  if (pem.size() > pem_bytes_max) return Error{Errc::bad_input, "key: PEM longer than 64 KiB"};
  const Bio bio = memory_bio(pem);
  EvpKey key(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return openssl_error(Errc::bad_input, "key: expected a PEM SubjectPublicKeyInfo");
  return KeyAccess::public_key(std::move(key));
}

Result<PublicKey> PublicKey::from_ed25519_raw(std::string_view bytes) {
  if (bytes.size() != 32)
    return Error{Errc::bad_input, "key: an Ed25519 public key has 32 bytes, found " + std::to_string(bytes.size())};
  EvpKey key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, data_of(bytes), bytes.size()));
  if (!key) return openssl_error(Errc::bad_input, "key: not an Ed25519 public key");
  return KeyAccess::public_key(std::move(key));
}

KeyScheme PublicKey::scheme() const { return state_->scheme; }

std::string PublicKey::pem() const {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), state_->key.get());
  return bio_text(bio.get());
}

std::string PublicKey::spki_der() const {
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(state_->key.get(), &der);
  std::string bytes(reinterpret_cast<char*>(der), length > 0 ? std::size_t(length) : 0);
  OPENSSL_free(der);
  return bytes;
}

bool PublicKey::verify(std::string_view message, std::string_view signature) const {
  if (!state_) return false;  // a default-made key verifies nothing
  const DigestContext context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;  // owned by context
  bool good =
      EVP_DigestVerifyInit(context.get(), &parameters, digest_of(state_->scheme), nullptr, state_->key.get()) == 1;
  if (good && state_->scheme == KeyScheme::rsa_pss_sha256) good = set_pss(parameters, RSA_PSS_SALTLEN_AUTO);
  // 1, 0 or negative: only 1 is a yes.
  good = good &&
         EVP_DigestVerify(context.get(), data_of(signature), signature.size(), data_of(message), message.size()) == 1;
  ERR_clear_error();
  return good;
}

Result<PrivateKey> PrivateKey::generate(KeyScheme scheme) {
  EVP_PKEY* raw = nullptr;
  switch (scheme) {
    case KeyScheme::ecdsa_p256_sha256:
      raw = EVP_EC_gen("P-256");
      break;
    case KeyScheme::ecdsa_p384_sha384:
      raw = EVP_EC_gen("P-384");
      break;
    case KeyScheme::ed25519:
      raw = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
      break;
    case KeyScheme::rsa_pss_sha256:
      raw = EVP_RSA_gen(3072);
      break;
  }
  EvpKey key(raw);
  if (!key) return openssl_error(Errc::internal, "key generation");
  return KeyAccess::private_key(std::move(key));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  if (pem.size() > pem_bytes_max) return Error{Errc::bad_input, "key: PEM longer than 64 KiB"};
  const Bio bio = memory_bio(pem);
  EvpKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return openssl_error(Errc::bad_input, "key: expected an unencrypted PEM private key");
  return KeyAccess::private_key(std::move(key));
}

Result<PrivateKey> PrivateKey::load(const Path& path) {
  TRY(const std::string pem, read_file(path, pem_bytes_max));
  auto key = from_pem(pem);
  if (!key) return std::move(key).error().within(path.string());
  return key;
}

std::string PrivateKey::pem() const {
  const Bio bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), state_->key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return bio_text(bio.get());
}

Result<> PrivateKey::save(const Path& path) const { return write_file_atomic(path, pem(), 0600); }

PublicKey PrivateKey::public_key() const {
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(state_->key.get(), &der);
  const unsigned char* at = der;
  EvpKey key(d2i_PUBKEY(nullptr, &at, length));
  OPENSSL_free(der);
  return KeyAccess::public_key(std::move(key)).value();  // it is the other half of a key that was checked
}

Result<std::string> PrivateKey::sign(std::string_view message) const {
  const DigestContext context(EVP_MD_CTX_new());
  TRY_VOID(KeyAccess::start_signing(context.get(), *this));
  std::size_t length = 0;
  if (EVP_DigestSign(context.get(), nullptr, &length, data_of(message), message.size()) != 1)
    return openssl_error(Errc::internal, "sign");
  std::string signature(length, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length, data_of(message),
                     message.size()) != 1) {
    return openssl_error(Errc::internal, "sign");
  }
  signature.resize(length);
  return signature;
}

}  // namespace ferry
