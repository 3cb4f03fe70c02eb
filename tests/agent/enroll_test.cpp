// Enrolment over real TLS against a small EST server: pins, tokens, interrupted tries, renewal.
#include "agent/enroll.hpp"

#include "common/bytes.hpp"
#include "common/http/server.hpp"
#include "ota/repository_writer.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace ferry;
using namespace ferry::agent;
using ferry::test::TempDir;

namespace {

template <class T>
T need(Result<T> result) {
  if (!result) FAIL(result.error().context);
  return std::move(*result);
}

std::string write_test_root(Instant now) {
  PrivateKey key = need(PrivateKey::generate());
  std::vector<PrivateKey> signers{key};
  ota::RoleSigners role{.keys = {key.public_key()}, .threshold = 1};
  ota::RootSpec spec;
  spec.expires = now + ota::root_lifetime;
  spec.root = spec.timestamp = spec.snapshot = spec.targets = role;
  return need(ota::write_root(spec, signers));
}

// The three requests of docs/formats/device-api.md, as a server answers them. Each field may be made to lie.
struct Est {
  SystemClock clock;
  SystemRandom random;
  TempDir directory;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::error};
  CertificateAuthority ca = need(CertificateAuthority::create("Ferry test CA", clock.now() - std::chrono::hours{1},
                                                              clock.now() + std::chrono::hours{1000}, random));
  std::string root = write_test_root(clock.now());
  std::string served_root = root;
  std::string good_secret = "right";
  Duration life = std::chrono::hours{24};
  Duration age{0};  // certificates are this old already
  bool wrong_key = false;
  std::atomic<int> lose_answers{0};                  // enrol, but answer 500 so many times
  std::map<std::string, std::string> device_of_key;  // key digest -> device id
  std::string last_authorization;
  std::optional<http::Server> server;

  Est() { start(); }
  Est(const Est&) = delete;
  Est& operator=(const Est&) = delete;
  ~Est() {
    server.reset();
    ::close(null);
  }

  void start() {
    http::Router router;
    auto add = [&](std::string method, std::string path, http::SyncHandler handler) {
      http::Route route;
      route.method = std::move(method);
      route.pattern = std::move(path);
      route.blocking = std::move(handler);
      router.add(std::move(route));
    };
    add("GET", "/.well-known/est/cacerts", [this](const http::Request&) {
      return http::text_response(to_base64(need(pkcs7_certs_only({ca.certificate()}))), "application/pkcs7-mime");
    });
    add("GET", "/device/v1/root.json", [this](const http::Request&) { return http::text_response(served_root); });
    add("POST", "/.well-known/est/simpleenroll",
        [this](const http::Request& request) { return simple_enroll(request); });
    add("POST", "/.well-known/est/simplereenroll", [this](const http::Request& request) {
      if (!request.peer) return http::problem(403, "no_certificate", "a client certificate is needed");
      return issue(request, request.peer->common_name);
    });
    CertificateOptions options;
    options.common_name = "ferryd";
    options.not_before = clock.now() - std::chrono::hours{1};
    options.not_after = clock.now() + std::chrono::hours{100};
    options.server = true;
    options.ip_addresses = {"127.0.0.1"};
    PrivateKey key = need(PrivateKey::generate());
    Certificate certificate = need(ca.issue(key.public_key(), options, random));
    http::Listen listen;
    listen.tls = TlsServerConfig{certificate.pem(), key.pem(), ca.certificate().pem()};
    server.emplace(std::move(router), std::vector<http::Listen>{listen}, http::ServerLimits{}, log);
    auto started = server->start();
    REQUIRE(started);
  }

  http::Response simple_enroll(const http::Request& request) {
    last_authorization = std::string(request.header("authorization"));
    if (last_authorization != "Basic " + to_base64("tok-1:" + good_secret))
      return http::problem(401, "token_invalid", "the token is not known");
    auto der = from_base64(request.body, true);
    if (!der) return http::problem(der.error());
    auto csr = parse_csr(*der);
    if (!csr) return http::problem(csr.error());
    auto& device = device_of_key[sha256(csr->key.spki_der()).hex()];
    if (device.empty()) device = "dev-" + std::to_string(device_of_key.size());
    if (lose_answers-- > 0) return http::problem(500, "internal", "the answer is lost");
    return issue(request, device);
  }
  http::Response issue(const http::Request& request, const std::string& device) {
    Csr csr = need(parse_csr(need(from_base64(request.body, true))));
    CertificateOptions options;
    options.common_name = device;
    options.not_before = clock.now() - age;
    options.not_after = options.not_before + life;
    options.client = true;
    PublicKey key = wrong_key ? need(PrivateKey::generate()).public_key() : csr.key;
    return http::text_response(to_base64(need(pkcs7_certs_only({need(ca.issue(key, options, random))}))),
                               "application/pkcs7-mime");
  }

  Token token() const {
    Token made;
    made.server = "https://127.0.0.1:" + std::to_string(server->port());
    made.ca_sha256 = ca.certificate().fingerprint;
    made.root_sha256 = sha256(root);
    made.id = "tok-1";
    made.secret = "right";
    return made;
  }
  DataTree data() const { return DataTree{directory / "device"}; }
  EnrollPorts ports() { return {make_http_client, clock, random, log}; }
  Result<Identity> run() { return run(token()); }
  Result<Identity> run(const Token& with) { return enroll(with, data(), ports()); }
};

void check_not_enrolled(Est& est) { CHECK(load_identity(est.data()).error().code == Errc::not_found); }

}  // namespace

TEST_CASE("a device enrols with a key it made itself, and all files of its identity are in place") {
  Est est;
  auto identity = est.run();
  REQUIRE(identity);
  CHECK(identity->device == "dev-1");
  CHECK(identity->server == est.token().server);
  DataTree data = est.data();
  struct stat status {};
  REQUIRE(::stat((data.identity() / "key.pem").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(*read_file(data.pinned_root(), 1 << 20) == est.root);
  auto certificate = load_certificate(data);
  REQUIRE(certificate);
  CHECK(certificate->common_name == "dev-1");
  CHECK(certificate->key_digest == sha256(PrivateKey::load(data.identity() / "key.pem")->public_key().spki_der()));
  auto again = load_identity(data);
  REQUIRE(again);
  CHECK(to_json(*again) == to_json(*identity));
  // Enrolling again changes nothing and asks nobody.
  est.server->stop();
  auto twice = est.run();
  REQUIRE(twice);
  CHECK(to_json(*twice) == to_json(*identity));
}

TEST_CASE("a lost answer costs nothing: the same key gets its device back") {
  Est est;
  est.lose_answers = 1;
  auto lost = est.run();
  REQUIRE_FALSE(lost);
  CHECK(lost.error().code == Errc::unreachable);
  check_not_enrolled(est);
  auto key = *read_file(est.data().identity() / "key.pem", 1 << 16);
  auto identity = est.run();
  REQUIRE(identity);
  CHECK(identity->device == "dev-1");
  CHECK(*read_file(est.data().identity() / "key.pem", 1 << 16) == key);
}

TEST_CASE("a CA that is not the token's is refused before the secret is sent") {
  Est est;
  Token token = est.token();
  token.ca_sha256 = sha256("another CA");
  auto refused = est.run(token);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::bad_signature);
  CHECK(est.last_authorization.empty());
  check_not_enrolled(est);
}

TEST_CASE("a root that is not the token's is refused before the secret is sent") {
  Est est;
  est.served_root = write_test_root(est.clock.now());
  auto refused = est.run();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::bad_signature);
  CHECK_THAT(refused.error().context, Catch::Contains("root.json"));
  CHECK(est.last_authorization.empty());
  CHECK_FALSE(std::filesystem::exists(est.data().pinned_root()));
}

TEST_CASE("a refused token says so, and nothing is enrolled") {
  Est est;
  est.good_secret = "other";
  auto refused = est.run();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::denied);
  CHECK_THAT(refused.error().context, Catch::Contains("the token is not known"));
  CHECK(refused.error().context.find("right") == std::string::npos);  // no secret in messages
  check_not_enrolled(est);
}

TEST_CASE("a certificate for another key is refused") {
  Est est;
  est.wrong_key = true;
  auto refused = est.run();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::bad_signature);
  check_not_enrolled(est);
}

TEST_CASE("a device of one server is not silently taken by another") {
  Est one, other;
  REQUIRE(one.run());
  auto taken = enroll(other.token(), one.data(), one.ports());
  REQUIRE_FALSE(taken);
  CHECK(taken.error().code == Errc::conflict);
  CHECK_THAT(taken.error().context, Catch::Contains("dev-1"));
}

TEST_CASE("a certificate is renewed after two thirds of its life, not before") {
  Est est;
  est.life = std::chrono::hours{30};
  est.age = GENERATE(as<Duration>{}, std::chrono::hours{19}, std::chrono::hours{21});
  bool due = est.age > std::chrono::hours{20};
  auto identity = est.run();
  REQUIRE(identity);
  auto before = load_certificate(est.data());
  est.age = Duration{0};
  auto http = make_http_client(need(device_tls(est.data())));
  auto renewed = renew_if_due(*identity, est.data(), *http, est.clock);
  REQUIRE(renewed);
  CHECK(*renewed == due);
  auto after = load_certificate(est.data());
  CHECK((after->serial_hex != before->serial_hex) == due);
  CHECK(after->common_name == "dev-1");
}

TEST_CASE("a token is one line of ferry1., and each wrong field is named") {
  Json good{{"format", "ferry.token/1"},
            {"server", "https://host:8443"},
            {"ca_sha256", std::string(64, 'a')},
            {"root_sha256", std::string(64, 'b')},
            {"id", "tok-1"},
            {"secret", "s"}};
  auto text = [](const Json& json) { return "ferry1." + to_base64url(json.dump()); };
  auto token = parse_token(text(good) + "\n");
  REQUIRE(token);
  CHECK(token->server == "https://host:8443");
  struct Case {
    const char* field;
    Json value;
  };
  const Case cases[] = {{"server", "http://host"},
                        {"server", "https://user@host"},
                        {"server", "https://host/path"},
                        {"server", "https://ho st"},
                        {"server", 5},
                        {"ca_sha256", "aa"},
                        {"root_sha256", nullptr},
                        {"id", "a:b"},
                        {"secret", Json::array()},
                        {"format", "ferry.token/2"}};
  for (const auto& [field, value] : cases) {
    Json bad = good;
    bad[field] = value;
    INFO(field << " = " << value.dump());
    auto refused = parse_token(text(bad));
    REQUIRE_FALSE(refused);
    if (std::string_view(field) != "ca_sha256" && std::string_view(field) != "root_sha256")
      CHECK_THAT(refused.error().context, Catch::Contains(field));
  }
  for (std::string junk : {std::string(), std::string("ferry1."), std::string("ferry2.abc"), std::string("ferry1.!!!"),
                           "ferry1." + std::string(10'000, 'A')})
    CHECK_FALSE(parse_token(junk));
}
