// Digests, keys and signatures. All OpenSSL of Ferry lives in crypto*, x509*, tls* and http/ (layer check).
#pragma once
#include "common/file.hpp"
#include "common/json.hpp"
#include "common/random.hpp"
#include "common/result.hpp"

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace ferry {

// A SHA-256 digest; compared as bytes. The default value is all zeroes and equals no real digest.
class Digest {
 public:
  Digest() : bytes_(32, '\0') {}
  static Result<Digest> from_hex(std::string_view text);     // exactly 64 hex digits
  static Result<Digest> from_bytes(std::string_view bytes);  // exactly 32 bytes
  const std::string& bytes() const { return bytes_; }
  std::string hex() const;
  auto operator<=>(const Digest&) const = default;

 private:
  std::string bytes_;
};

Digest sha256(std::string_view bytes);
std::string sha512_hex(std::string_view bytes);

// The place of a name in a draw: the first 64 bits, big-endian, of SHA-256(salt, one zero byte, name). Uniform,
// different for each salt, the same for ever.
std::uint64_t hash_rank(std::string_view salt, std::string_view name);

// Incremental SHA-256 (and SHA-512 for TUF targets).
class Hasher {
 public:
  enum class Algorithm { sha256, sha512 };
  explicit Hasher(Algorithm algorithm = Algorithm::sha256);
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();
  void update(std::string_view bytes);
  std::string finish_hex();  // once; afterwards the object is spent
  Digest finish();           // sha256 only

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Reads the file once in bounded memory.
struct FileDigest {
  Digest sha256;
  std::uint64_t bytes;
};
Result<FileDigest> digest_file(const Path& path);

bool constant_time_equal(std::string_view a, std::string_view b);

enum class KeyScheme { ecdsa_p256_sha256, ed25519, rsa_pss_sha256, ecdsa_p384_sha384 };

// Immutable, cheap to copy, thread-safe.
class PublicKey {
 public:
  // SubjectPublicKeyInfo PEM. Refuses curves other than P-256 and P-384, and RSA below 2048 bits (bad_input).
  static Result<PublicKey> from_pem(std::string_view pem);
  static Result<PublicKey> from_ed25519_raw(std::string_view bytes);  // 32 bytes
  KeyScheme scheme() const;
  std::string pem() const;       // SubjectPublicKeyInfo, as `openssl pkey -pubout` writes it
  std::string spki_der() const;  // key material: what thresholds count (TRUST.md §2 item 10)
  // ECDSA signatures are DER. PSS accepts any salt length; Ed25519 is one-shot. Leaves no OpenSSL error behind.
  bool verify(std::string_view message, std::string_view signature) const;

 private:
  friend class PrivateKey;
  friend struct KeyAccess;
  struct State;
  std::shared_ptr<const State> state_;
};

// Immutable, cheap to copy, thread-safe.
class PrivateKey {
 public:
  static Result<PrivateKey> generate(KeyScheme scheme = KeyScheme::ecdsa_p256_sha256);
  static Result<PrivateKey> from_pem(std::string_view pem);  // PKCS#8 or SEC1, unencrypted
  static Result<PrivateKey> load(const Path& path);          // a PEM file
  std::string pem() const;                                   // PKCS#8
  Result<> save(const Path& path) const;                     // mode 0600, atomic
  PublicKey public_key() const;
  Result<std::string> sign(std::string_view message) const;

 private:
  friend struct KeyAccess;
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace ferry
