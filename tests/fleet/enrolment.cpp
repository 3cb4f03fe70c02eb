// EST as a device does it, each step checked against the token.
#include "tests/fleet/enrolment.hpp"

#include "common/bytes.hpp"

namespace ferry::fleet {
namespace {

constexpr std::size_t cacerts_bytes_max = 256 * 1024;

Result<std::vector<Certificate>> certificates_in(std::string_view body) {
  TRY(const std::string der, from_base64(body, /*ignore_whitespace=*/true));
  return parse_pkcs7_certs(der);
}

Result<std::string> get(HttpClient& http, const std::string& url) {
  HttpRequest request;
  request.url = url;
  request.body_bytes_max = cacerts_bytes_max;
  TRY(auto answer, http.send(request));
  if (answer.status != 200) return error_from_status(answer, url);
  return std::move(answer.body);
}

}  // namespace

Result<std::unique_ptr<Enrolment>> first_contact(std::string_view token_text) {
  auto enrolment = std::make_unique<Enrolment>();
  TRY(enrolment->token, agent::parse_token(token_text));
  const agent::Token& token = enrolment->token;
  const auto stranger = make_http_client({.insecure = true});
  TRY(const std::string cacerts, get(*stranger, token.server + "/.well-known/est/cacerts"));
  TRY(const auto certificates, certificates_in(cacerts));
  const auto found = std::find_if(certificates.begin(), certificates.end(),
                                  [&](const Certificate& one) { return one.fingerprint == token.ca_sha256; });
  if (found == certificates.end())
    return Error{Errc::bad_signature, "cacerts: no certificate is the token's; this is not the server that made it"};
  enrolment->authority = *found;
  const auto http = make_http_client({.ca_pem = found->pem()});
  TRY(const std::string root, get(*http, token.server + "/device/v1/root.json"));
  if (sha256(root) != token.root_sha256)
    return Error{Errc::bad_signature, "root.json: other bytes than the token pins"};
  TRY(enrolment->endpoint, make_endpoint(token.server, found->pem()));
  return enrolment;
}

Result<Ask> enrolment_ask(const PrivateKey& key) {
  TRY(const std::string csr, make_csr(key, "ferry-device"));
  return Ask{.purpose = Purpose::profile,
             .method = "POST",
             .path = "/.well-known/est/simpleenroll",
             .content_type = "application/pkcs10",
             .body = to_base64(csr)};
}

std::string authorization_of(const agent::Token& token) { return "Basic " + to_base64(token.id + ":" + token.secret); }

Result<Certificate> own_certificate(const Heard& answer, const PrivateKey& key, const Certificate& authority,
                                    Instant now) {
  if (answer.status != 200)
    return Error{answer.status == 401 ? Errc::denied : Errc::unavailable,
                 "simpleenroll answered " + std::to_string(answer.status) + ": " + answer.body.substr(0, 300)};
  TRY(auto certificates, certificates_in(answer.body));
  const Digest own = sha256(key.public_key().spki_der());
  for (Certificate& one : certificates) {
    if (one.key_digest != own) continue;
    TRY_VOID(verify_certificate(one, authority, std::max(now, one.not_before)));
    return std::move(one);
  }
  return Error{Errc::bad_signature, "simpleenroll: no certificate for this device's key"};
}

}  // namespace ferry::fleet
