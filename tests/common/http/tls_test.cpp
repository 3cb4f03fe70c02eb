// Who may talk to a TLS listener, and as whom: real handshakes on loopback.
#include "tests/common/http/http_fixture.hpp"

#include <openssl/ssl.h>
#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::http;
using namespace ferry::http::test;

namespace {

// Answers with who the server thinks is calling.
Router who() {
  Router router;
  router.add(quick("GET", "/who", [](const Request& request) {
    Json body = Json::object();
    body["peer"] = request.peer != nullptr;
    if (request.peer) {
      body["common_name"] = request.peer->common_name;
      body["fingerprint"] = request.peer->fingerprint_hex;
      body["key_digest"] = request.peer->key_digest_hex;
      body["serial"] = request.peer->serial_hex;
      body["not_after"] = request.peer->not_after_unix_s;
    }
    body["remote"] = request.remote;
    return json_response(body);
  }));
  return router;
}

Json ask(HttpClient& client, const Served& served) {
  const HttpResponse response = need(client.send(served.get("/who")));
  REQUIRE(response.status == 200);
  return Json::parse(response.body);
}

// A client by OpenSSL alone, for what libcurl does not show.
struct RawTls {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  ~RawTls() { SSL_CTX_free(context); }
  // The whole answer to one request; empty when the handshake or the connection failed.
  std::string fetch(std::uint16_t port, SSL_SESSION*& session, bool& resumed) {
    RawSocket socket(port);
    SSL* ssl = SSL_new(context);
    SSL_set_fd(ssl, socket.fd());
    if (session) SSL_set_session(ssl, session);
    std::string answer;
    if (SSL_connect(ssl) == 1) {
      resumed = SSL_session_reused(ssl) == 1;
      const std::string text = "GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
      SSL_write(ssl, text.data(), static_cast<int>(text.size()));
      char buffer[4096];
      for (int got = 0; (got = SSL_read(ssl, buffer, sizeof buffer)) > 0;)
        answer.append(buffer, static_cast<std::size_t>(got));
      SSL_SESSION_free(session);
      session = SSL_get1_session(ssl);
      SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // else OpenSSL thinks the session bad
    }
    SSL_free(ssl);
    return answer;
  }
};

}  // namespace

TEST_CASE("a handler sees the verified certificate of its client") {
  TempDir directory;
  Pki pki;
  Served served(who(), pki.server_config());
  const Identity device = pki.issue("edge-7", false);
  const auto client = make_http_client(pki.client_config(device, directory.path()));
  for (int i = 0; i < 3; ++i) {  // kept alive: once per connection is enough for all its requests
    const Json seen = ask(*client, served);
    CHECK(seen["common_name"] == "edge-7");
    CHECK(seen["fingerprint"] == device.certificate.fingerprint.hex());
    CHECK(seen["key_digest"] == device.certificate.key_digest.hex());
    CHECK(seen["serial"] == device.certificate.serial_hex);
    CHECK(seen["not_after"] == to_unix_ms(device.certificate.not_after) / 1000);
    CHECK(seen["remote"].get<std::string>().starts_with("127.0.0.1:"));
  }
}

TEST_CASE("a client without a certificate may connect and is nobody") {
  Pki pki;
  Served served(who(), pki.server_config());
  const auto client = make_http_client(pki.client_config());
  CHECK(ask(*client, served)["peer"] == false);
}

TEST_CASE("a listener that asks nobody sees no peer even when a client would show one") {
  TempDir directory;
  Pki pki;
  Served served(who(), pki.server_config(false));
  const auto client = make_http_client(pki.client_config(pki.issue("edge-7", false), directory.path()));
  CHECK(ask(*client, served)["peer"] == false);
}

TEST_CASE("a certificate that does not verify ends the handshake") {
  TempDir directory;
  Pki pki, other("another CA"), same_name;
  Served served(who(), pki.server_config());
  const auto refused = [&](const Pki& issuer, const Identity& identity) {
    TlsClientConfig config = issuer.client_config(identity, directory.path());
    config.ca_pem = pki.ca_pem();
    const auto answer = make_http_client(config)->send(served.get("/who"));
    return !answer && answer.error().code == Errc::unreachable;
  };
  CHECK(refused(other, other.issue("edge-7", false)));
  CHECK(refused(same_name, same_name.issue("edge-7", false)));
  CHECK(refused(pki, pki.issue("expired", false, -std::chrono::hours{2}, -std::chrono::hours{1})));
  CHECK(refused(pki, pki.issue("not yet", false, std::chrono::hours{1}, std::chrono::hours{2})));
  CHECK(refused(pki, pki.issue("a server's", true)));
  CHECK(!refused(pki, pki.issue("fine", false)));
}

TEST_CASE("a client refuses a server that it has no reason to trust") {
  Pki pki, other("another CA");
  const auto outcome = [&](const TlsServerConfig& server, const TlsClientConfig& config) {
    Served served(who(), server);
    const auto answer = make_http_client(config)->send(served.get("/who"));
    return answer ? std::string("answered") : std::string(to_string(answer.error().code));
  };
  CHECK(outcome(pki.server_config(), other.client_config()) == "bad_signature");
  CHECK(outcome(pki.server_config(), {}) == "bad_signature");  // the system's roots do not know us
  const Identity expired = pki.issue("ferryd", true, -std::chrono::hours{2}, -std::chrono::hours{1});
  CHECK(outcome({expired.certificate.pem(), expired.key.pem(), {}}, pki.client_config()) == "bad_signature");
  TlsClientConfig insecure;
  insecure.insecure = true;
  CHECK(outcome(pki.server_config(), insecure) == "answered");
  {
    Served served(who(), pki.server_config());
    HttpRequest request;
    request.url =
        "https://localhost:" + std::to_string(served.server->port()) + "/who";  // the certificate says 127.0.0.1
    const auto answer = make_http_client(pki.client_config())->send(request);
    REQUIRE(!answer);
    CHECK(answer.error().code == Errc::bad_signature);
  }
}

TEST_CASE("a resumed session keeps its peer, and TLS 1.2 is not spoken") {
  Pki pki;
  Served served(who(), pki.server_config());
  const Identity device = pki.issue("edge-7", false);
  RawTls tls;
  const std::string pem = device.certificate.pem(), key_pem = device.key.pem();
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  bio = BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size()));
  EVP_PKEY* key = PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  REQUIRE(SSL_CTX_use_certificate(tls.context, certificate) == 1);
  REQUIRE(SSL_CTX_use_PrivateKey(tls.context, key) == 1);
  X509_free(certificate);
  EVP_PKEY_free(key);

  SSL_SESSION* session = nullptr;
  bool resumed = true;
  CHECK(tls.fetch(served.server->port(), session, resumed).find("edge-7") != std::string::npos);
  CHECK(!resumed);
  CHECK(tls.fetch(served.server->port(), session, resumed).find("edge-7") != std::string::npos);
  CHECK(resumed);
  // New keys: the old ticket is worth nothing, the connection is made all the same.
  need(served.server->set_tls(0, pki.server_config()));
  CHECK(tls.fetch(served.server->port(), session, resumed).find("edge-7") != std::string::npos);
  CHECK(!resumed);
  SSL_SESSION_free(session);

  session = nullptr;
  SSL_CTX_set_max_proto_version(tls.context, TLS1_2_VERSION);
  CHECK(tls.fetch(served.server->port(), session, resumed).empty());
}

TEST_CASE("a renewed certificate serves new connections, a bad one changes nothing") {
  Pki pki, renewed("renewed CA");
  Served served(who(), pki.server_config());
  const auto old_client = make_http_client(pki.client_config());
  ask(*old_client, served);
  need(served.server->set_tls(0, renewed.server_config()));
  ask(*old_client, served);  // its connection lives on
  const auto new_client = make_http_client(renewed.client_config());
  ask(*new_client, served);

  TlsServerConfig bad = pki.server_config();
  bad.key_pem = need(PrivateKey::generate()).pem();
  CHECK(served.server->set_tls(0, bad).error().code == Errc::bad_input);
  bad = pki.server_config();
  bad.certificate_pem = "nonsense";
  CHECK(served.server->set_tls(0, bad).error().code == Errc::bad_input);
  bad = pki.server_config();
  bad.client_ca_pem = "nonsense";
  CHECK(served.server->set_tls(0, bad).error().code == Errc::bad_input);
  CHECK(served.server->set_tls(1, pki.server_config()).error().code == Errc::bad_input);
  const auto another = make_http_client(renewed.client_config());
  ask(*another, served);
}

TEST_CASE("bytes that are not TLS end the connection and nothing else") {
  Pki pki;
  Served served(who(), pki.server_config());
  RawSocket socket(served.server->port());
  socket.say("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(socket.hear_all().find("HTTP/1.1") == std::string::npos);
  const auto client = make_http_client(pki.client_config());
  ask(*client, served);
}
