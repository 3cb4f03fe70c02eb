// Certificates as OpenSSL objects, for x509*.cpp alone.
#pragma once
#include "common/handle.hpp"
#include "common/internal/key_access.hpp"
#include "common/x509.hpp"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace ferry {

using X509Handle = Handle<X509, X509_free>;

Result<X509Handle> x509_from_der(std::string_view der);
Result<Certificate> certificate_from_x509(X509* x509);
// "" when there is none; bad_input for one that is not text (a NUL, bad encoding).
Result<std::string> common_name_of(const X509_NAME* name);
// Refuses what X.520 does not allow: empty, over 64 characters, control characters.
Result<> set_common_name(X509_NAME* name, std::string_view common_name);

}  // namespace ferry
