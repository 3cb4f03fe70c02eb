// EST (RFC 7030) as devices use it: CA certificates, first enrolment with a token, renewal under mutual TLS.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"

#include "common/bytes.hpp"

namespace ferry::server::api {
namespace {

constexpr std::string_view basic = "Basic ";

http::Response certificates(const std::string& pkcs7_der) {
  http::Response response = http::text_response(to_base64(pkcs7_der), "application/pkcs7-mime; smime-type=certs-only");
  response.headers["Content-Transfer-Encoding"] = "base64";
  return response;
}

Result<std::string> csr_of(const http::Request& request) {
  auto der = from_base64(request.body, true);
  if (!der) return std::move(der).error().within("body: expected a base64 PKCS#10 request");
  return der;
}

// RFC 7617: "Basic " base64(id ":" secret)
std::pair<std::string, std::string> credential_of(const http::Request& request) {
  const std::string_view header = request.header("authorization");
  if (!header.starts_with(basic)) return {};
  const auto text = from_base64(header.substr(basic.size()));
  if (!text) return {};
  const std::size_t colon = text->find(':');
  if (colon == std::string::npos) return {};
  return {text->substr(0, colon), text->substr(colon + 1)};
}

}  // namespace

Result<http::Response> est_cacerts(Services& services, const http::Request&) {
  TRY(auto der, pkcs7_certs_only({services.authority.certificate()}));
  return certificates(der);
}

Result<http::Response> device_root(Services& services, const http::Request&) {
  std::string root = services.trust.pinned_root();
  if (root.empty()) return Error{Errc::not_found, "root.json: no trust root is published yet (ferry key publish)"};
  return http::text_response(std::move(root), "application/json");
}

Result<http::Response> est_simpleenroll(Services& services, const http::Request& request) {
  const auto [id, secret] = credential_of(request);
  TRY(auto csr, csr_of(request));
  auto certificate = services.enrolment.enrol(id, secret, csr);
  if (!certificate) {
    const Error& error = certificate.error();
    services.metrics.count("ferry_enrolments_refused_total");
    if (error.code != Errc::denied || error.reason == "device_revoked") return std::move(certificate).error();
    http::Response refused = http::problem(401, error.reason, error.context);
    refused.headers["WWW-Authenticate"] = "Basic realm=\"ferry\"";
    return refused;
  }
  services.log.info("device enrolled", {{"device", certificate->common_name}, {"token", id}, {"from", request.remote}});
  services.metrics.count("ferry_enrolments_total");
  services.hub->publish("devices", "changed", certificate->common_name);
  services.hub->publish("overview", "changed", "");
  TRY(auto der, pkcs7_certs_only({*certificate}));
  return certificates(der);
}

Result<http::Response> est_simplereenroll(Services& services, const http::Request& request) {
  const DevicePtr device = device_of(services, request);
  if (!device) return Error{Errc::denied, "no accepted device certificate", "device_unknown"};
  TRY(auto csr, csr_of(request));
  TRY(auto certificate, services.enrolment.renew(device->id, csr));
  services.hub->publish("device:" + device->id, "changed", device->id);
  TRY(auto der, pkcs7_certs_only({certificate}));
  return certificates(der);
}

}  // namespace ferry::server::api
