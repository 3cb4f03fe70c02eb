// Certificates as OpenSSL objects, for x509*.cpp alone.
#pragma once
#include "common/handle.hpp"
#include "common/internal/key_access.hpp"
#include "common/x509.hpp"

#include <openssl/x509.h>

namespace ferry {

using X509Handle = Handle<X509, X509_free>;

Result<X509Handle> x509_from_der(std::string_view der);
Result<Certificate> certificate_from_x509(X509* x509);
std::string common_name_of(const X509_NAME* name);

}  // namespace ferry
