// The OpenSSL side of keys, for the few files that hand them to OpenSSL (x509, tls, http).
#pragma once
#include "common/crypto.hpp"
#include "common/handle.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>

namespace ferry {

using EvpKey = Handle<EVP_PKEY, EVP_PKEY_free>;
using Bio = Handle<BIO, BIO_free_all>;

struct PublicKey::State {
  EvpKey key;
  KeyScheme scheme;
};
struct PrivateKey::State {
  EvpKey key;
  KeyScheme scheme;
};

struct KeyAccess {
  static EVP_PKEY* get(const PublicKey& key) { return key.state_->key.get(); }
  static EVP_PKEY* get(const PrivateKey& key) { return key.state_->key.get(); }
  // Takes ownership; checks type, curve and size (crypto.hpp).
  static Result<PublicKey> public_key(EvpKey key);
  static Result<PrivateKey> private_key(EvpKey key);
  // Digest and padding as the key's scheme wants them, for X509_sign_ctx and its like.
  static Result<> start_signing(EVP_MD_CTX* context, const PrivateKey& key);
};

using DigestContext = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;

// Null for Ed25519, which hashes by itself.
const EVP_MD* digest_of(KeyScheme scheme);

// Reads `text`, which must outlive it; empty text is fine.
Bio memory_bio(std::string_view text);

// For every PEM_read_*: an encrypted PEM must fail. OpenSSL's own callback asks on the terminal and hangs a daemon.
int no_passphrase(char* buffer, int size, int writing, void* unused);

// The error for OpenSSL's queue, which is emptied: a leftover would be reported by the next TLS read.
Error openssl_error(Errc code, std::string_view what);

std::string bio_text(BIO* bio);

}  // namespace ferry
