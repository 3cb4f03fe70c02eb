// The three steps of docs/formats/device-api.md, each checked against the token before the next.
#include "agent/enroll.hpp"

#include "common/bytes.hpp"
#include "ota/repository_client.hpp"

namespace ferry::agent {
namespace {

constexpr std::string_view token_prefix = "ferry1.";
constexpr std::size_t token_bytes_max = 4096;
constexpr std::size_t cacerts_bytes_max = 256 * 1024;
constexpr std::size_t cacerts_max = 16;
constexpr std::string_view pkcs10 = "application/pkcs10";

Result<std::vector<Certificate>> certificates_of(const HttpResponse& response, std::string_view what) {
  auto read = [&]() -> Result<std::vector<Certificate>> {
    TRY(auto der, from_base64(response.body, /*ignore_whitespace=*/true));
    return parse_pkcs7_certs(der);
  };
  auto certificates = read();
  if (!certificates) return std::move(certificates).error().within(what);
  if (certificates->empty() || certificates->size() > cacerts_max)
    return Error{Errc::bad_input, std::string(what) + ": found " + std::to_string(certificates->size()) +
                                      " certificates, expected 1 to " + std::to_string(cacerts_max)};
  return certificates;
}

// Peer unverified: only bytes that hash to the pin are believed.
Result<Certificate> fetch_ca(const Token& token, const EnrollPorts& ports) {
  auto http = ports.make_client({.insecure = true});
  HttpRequest request;
  request.url = token.server + "/.well-known/est/cacerts";
  request.body_bytes_max = cacerts_bytes_max;
  TRY(auto response, http->send(request));
  if (response.status != 200) return error_from_status(response, "cacerts");
  TRY(auto certificates, certificates_of(response, "cacerts"));
  for (auto& certificate : certificates)
    if (certificate.fingerprint == token.ca_sha256) return std::move(certificate);
  return Error{Errc::bad_signature,
               "cacerts: no certificate has the SHA-256 " + token.ca_sha256.hex() +
                   " of the token; this is not the server that made the token, or somebody is in between"};
}

Result<std::string> fetch_root(const Token& token, HttpClient& http) {
  HttpRequest request;
  request.url = token.server + "/device/v1/root.json";
  request.body_bytes_max = ota::root_bytes_max;
  TRY(auto response, http.send(request));
  if (response.status != 200) return error_from_status(response, "root.json");
  if (Digest found = sha256(response.body); found != token.root_sha256)
    return Error{Errc::bad_signature, "root.json: found sha256 " + found.hex() + ", the token pins " +
                                          token.root_sha256.hex() +
                                          "; make a new token if the trust root was replaced"};
  if (auto root = ota::parse_root(response.body); !root) return std::move(root).error().within("root.json");
  return std::move(response.body);
}

// A key of an earlier, interrupted try is used again: the same key asking again gets its device back.
Result<PrivateKey> device_key(const DataTree& data) {
  Path path = data.identity() / "key.pem";
  auto kept = PrivateKey::load(path);
  if (kept || kept.error().code != Errc::not_found) return kept;
  TRY(auto key, PrivateKey::generate());
  TRY_VOID(key.save(path));
  return key;
}

Result<Certificate> own_certificate(std::vector<Certificate> certificates, const PrivateKey& key, const Certificate& ca,
                                    Instant now) {
  Digest own = sha256(key.public_key().spki_der());
  for (auto& certificate : certificates) {
    if (certificate.key_digest != own) continue;
    // A device whose clock is unset judges by the certificate's own start; the server just signed it.
    Instant at = std::max(now, certificate.not_before);
    auto verified = verify_certificate(certificate, ca, at);
    if (!verified) return std::move(verified).error().within("device certificate");
    return std::move(certificate);
  }
  return Error{Errc::bad_signature,
               "device certificate: the server's answer holds no certificate for this device's key"};
}

Result<Certificate> request_certificate(const Token& token, HttpClient& http, const PrivateKey& key,
                                        const Certificate& ca, Instant now) {
  TRY(auto csr, make_csr(key, "ferry-device"));
  HttpRequest request;
  request.method = "POST";
  request.url = token.server + "/.well-known/est/simpleenroll";
  request.headers["Content-Type"] = pkcs10;
  request.headers["Content-Transfer-Encoding"] = "base64";
  request.headers["Authorization"] = "Basic " + to_base64(token.id + ":" + token.secret);
  request.body = to_base64(csr);
  request.body_bytes_max = cacerts_bytes_max;
  TRY(auto response, http.send(request));
  if (response.status != 200) return error_from_status(response, "simpleenroll");
  TRY(auto certificates, certificates_of(response, "simpleenroll"));
  return own_certificate(std::move(certificates), key, ca, now);
}

Result<> refuse_other_server(const Identity& present, const Token& token) {
  if (present.server == token.server && present.root_sha256 == token.root_sha256 &&
      present.ca_sha256 == token.ca_sha256)
    return {};
  return Error{Errc::conflict, "this device is enrolled as " + present.device + " with " + present.server +
                                   "; remove the identity folder of the data tree first to enrol it elsewhere"};
}

}  // namespace

Result<Token> parse_token(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  if (text.size() > token_bytes_max || text.substr(0, token_prefix.size()) != token_prefix)
    return Error{Errc::bad_input, "token: expected one line that starts with \"ferry1.\""};
  auto parse = [&]() -> Result<Token> {
    TRY(auto decoded, from_base64(text.substr(token_prefix.size())));
    TRY(Json document, parse_json(decoded));
    TRY(auto format, string_at(document, "format", 64));
    if (format != "ferry.token/1")
      return Error{Errc::unsupported, "format: found \"" + format + "\", expected ferry.token/1"};
    Token token;
    TRY(auto server, string_at(document, "server", 512));
    TRY(token.server, check_server_url(server));
    TRY(auto ca, string_at(document, "ca_sha256", 64));
    TRY(token.ca_sha256, Digest::from_hex(ca));
    TRY(auto root, string_at(document, "root_sha256", 64));
    TRY(token.root_sha256, Digest::from_hex(root));
    TRY(token.id, string_at(document, "id", 128));
    TRY(token.secret, string_at(document, "secret", 128));
    if (token.id.find(':') != std::string::npos) return Error{Errc::bad_input, "id: contains ':'"};
    return token;
  };
  auto token = parse();
  if (!token) return std::move(token).error().within("token");
  return token;
}

Result<Identity> enroll(const Token& token, const DataTree& data, const EnrollPorts& ports) {
  auto present = load_identity(data);
  if (present) {
    TRY_VOID(refuse_other_server(*present, token));
    return present;
  }
  if (present.error().code != Errc::not_found) return present;
  TRY_VOID(make_directories(data.identity(), 0700));
  TRY_VOID(make_directories(data.trust(), 0755));

  TRY(auto ca, fetch_ca(token, ports));
  auto http = ports.make_client({.ca_pem = ca.pem()});
  TRY(auto root, fetch_root(token, *http));
  TRY(auto key, device_key(data));
  TRY(auto certificate, request_certificate(token, *http, key, ca, ports.clock.now()));

  Identity identity;
  identity.device = certificate.common_name;
  identity.server = token.server;
  identity.root_sha256 = token.root_sha256;
  identity.ca_sha256 = token.ca_sha256;
  identity.install = ports.random.id("ins");
  TRY_VOID(write_file_atomic(data.identity() / "ca.pem", ca.pem()));
  TRY_VOID(write_file_atomic(data.pinned_root(), root));
  TRY_VOID(write_file_atomic(data.identity() / "certificate.pem", certificate.pem()));
  TRY_VOID(write_file_atomic(data.identity() / "device.json", dump_json_pretty(to_json(identity)) + "\n"));
  ports.log.info("enrolled", {{"device", identity.device}, {"server", identity.server}});
  return identity;
}

Result<bool> renew_if_due(const Identity& identity, const DataTree& data, HttpClient& http, Clock& clock) {
  TRY(auto certificate, load_certificate(data));
  auto life = certificate.not_after - certificate.not_before;
  if (clock.now() < certificate.not_before + life * 2 / 3) return false;
  TRY(auto key, PrivateKey::load(data.identity() / "key.pem"));
  TRY(auto ca_pem, read_file(data.identity() / "ca.pem", 64 * 1024));
  TRY(auto ca, certificate_from_pem(ca_pem));
  TRY(auto csr, make_csr(key, identity.device));
  HttpRequest request;
  request.method = "POST";
  request.url = identity.server + "/.well-known/est/simplereenroll";
  request.headers["Content-Type"] = pkcs10;
  request.headers["Content-Transfer-Encoding"] = "base64";
  request.body = to_base64(csr);
  request.body_bytes_max = cacerts_bytes_max;
  TRY(auto response, http.send(request));
  if (response.status != 200) return error_from_status(response, "simplereenroll");
  TRY(auto certificates, certificates_of(response, "simplereenroll"));
  TRY(auto renewed, own_certificate(std::move(certificates), key, ca, clock.now()));
  if (renewed.common_name != identity.device)
    return Error{Errc::bad_signature,
                 "simplereenroll: the certificate names " + renewed.common_name + ", expected " + identity.device};
  TRY_VOID(write_file_atomic(data.identity() / "certificate.pem", renewed.pem()));
  return true;
}

}  // namespace ferry::agent
