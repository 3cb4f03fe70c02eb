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
};

// The error for OpenSSL's queue, which is emptied: a leftover would be reported by the next TLS read.
Error openssl_error(Errc code, std::string_view what);

std::string bio_text(BIO* bio);

}  // namespace ferry
