// A whole server as the composition root builds it, asked through its route tables with plain values: no sockets.
#pragma once
#include "common/bytes.hpp"
#include "common/http/router.hpp"
#include "server/app.hpp"
#include "tests/server/publisher.hpp"
#include "tests/server/store/store_fixture.hpp"
#include "tests/support/sim_clock.hpp"

#include <fcntl.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

namespace ferry::server::test {

using ferry::test::SimClock;
using ferry::test::TempDir;
using Headers = std::map<std::string, std::string>;

struct Answer {
  http::Response response;
  int status() const { return response.status; }
  std::string body() const { return response.shared_body ? *response.shared_body : response.body; }
  Json json() const { return body().empty() ? Json() : need(parse_json(body(), {.bytes_max = 64 * 1024 * 1024})); }
  std::string header(const std::string& name) const {
    const auto found = response.headers.find(name);
    return found == response.headers.end() ? "" : found->second;
  }
  // Of a problem+json body.
  std::string code() const { return json().value("code", ""); }
  std::string reason() const { return json().value("reason", ""); }
  std::string detail() const { return json().value("detail", ""); }
};

class Server {
 public:
  // `start`: for tests that speak real TLS, whose peers know only the real time.
  explicit Server(Instant start = SimClock().now())
      : clock(start),
        null_(::open("/dev/null", O_WRONLY | O_CLOEXEC)),
        log(clock, null_.get(), LogFormat::json, LogLevel::error) {
    need(init_server(dir / "data", {"localhost"}, clock, random));
    admin = need(read_file(dir / "data" / "admin.token", 1000));
    admin.pop_back();
    open();
    const Json keys = need(parse_json(need(read_file(dir / "data" / "online" / "public.json", 10'000))));
    publisher.emplace(clock.now(), need(PublicKey::from_pem(keys["snapshot"].get<std::string>())),
                      need(PublicKey::from_pem(keys["timestamp"].get<std::string>())));
  }

  void open() {
    Config config = need(load_config(dir / "data"));
    config.download_bytes_per_second = download_bytes_per_second;
    app = need(App::open(config, clock, random, log));
    app->services().device_url = "https://localhost:8443";
    devices_ = device_routes(app->services());
    operators_ = operator_routes(app->services());
  }
  void restart() {
    app.reset();
    open();
  }
  Services& services() { return app->services(); }
  void turn() { need(services().rollouts.turn()); }

  // --- the operator listener ---
  Answer ask(const std::string& method, const std::string& target, const std::string& token,
             const std::string& body = "", const Headers& headers = {}) {
    http::Request request = request_for(method, target, body, headers);
    if (!token.empty()) request.headers["authorization"] = "Bearer " + token;
    return dispatch(operators_, std::move(request));
  }
  Answer get(const std::string& target) { return ask("GET", target, admin); }
  Answer post(const std::string& target, const Json& body = Json::object(), const Headers& headers = {}) {
    return ask("POST", target, admin, dump_json(body), headers);
  }
  Answer send(http::Request request) { return dispatch(operators_, std::move(request)); }
  const http::Router& operators() const { return operators_; }
  std::string token(const std::string& role) {
    const Answer made = post("/api/v1/access-tokens", {{"name", role}, {"role", role}});
    REQUIRE(made.status() == 201);
    return made.json()["token"].get<std::string>();
  }
  // An upload as the HTTP server hands it over: in a file.
  Answer upload(const Digest& digest, const std::string& bytes) {
    http::Request request = request_for("PUT", "/api/v1/blobs/sha256/" + digest.hex(), "", {});
    request.headers["authorization"] = "Bearer " + admin;
    request.body_file = services().blobs.incoming() / ".body-test";
    need(write_file_atomic(request.body_file, bytes, 0600));
    Answer answer = dispatch(operators_, request);
    std::error_code ignored;
    std::filesystem::remove(request.body_file, ignored);
    return answer;
  }

  // --- publication ---
  void publish_trust() {
    const TrustUpdate trust = publisher->first_trust();
    const Answer answer = post("/api/v1/trust", trust_body(trust));
    INFO(answer.body());
    REQUIRE(answer.status() == 200);
  }
  static Json trust_body(const TrustUpdate& update) {
    Json body = Json::object();
    if (!update.root.empty()) body["root"] = to_base64(update.root);
    if (!update.targets.empty()) body["targets"] = to_base64(update.targets);
    if (!update.gate_policy.empty()) body["gate_policy"] = to_base64(update.gate_policy);
    for (const auto& [model, bytes] : update.roles) body["roles"][model] = to_base64(bytes);
    return body;
  }
  static Json release_body(const NewRelease& release) {
    return Json{{"model", release.model},
                {"version", release.version},
                {"manifest", to_base64(release.manifest)},
                {"attestations", to_base64(release.attestations)},
                {"role_metadata", to_base64(release.role_metadata)}};
  }
  void upload_all(const BuiltRelease& built) {
    for (const auto& [digest, bytes] : built.blobs) REQUIRE(upload(digest, bytes).status() < 300);
  }
  BuiltRelease publish(const std::string& version, std::int64_t counter) {
    BuiltRelease built = publisher->release(version, counter);
    upload_all(built);
    const Answer answer = post("/api/v1/releases", release_body(built.request));
    INFO(answer.body());
    REQUIRE(answer.status() == 201);
    publisher->accepted(built);
    return built;
  }
  std::string rollout(const std::string& version, Json policy = Json::object(), const std::string& selector = "*") {
    const Answer made = post(
        "/api/v1/rollouts",
        {{"model", Publisher::model}, {"version", version}, {"selector", selector}, {"policy", std::move(policy)}});
    INFO(made.body());
    REQUIRE(made.status() == 201);
    return made.json()["id"].get<std::string>();
  }

  // --- the device listener ---
  struct DeviceSide {
    std::string id;
    PrivateKey key = test_key("device");
    std::shared_ptr<const http::Peer> peer;
  };
  static std::shared_ptr<const http::Peer> peer_of(const Certificate& certificate) {
    return std::make_shared<http::Peer>(http::Peer{certificate.common_name, certificate.fingerprint.hex(),
                                                   certificate.key_digest.hex(), certificate.serial_hex,
                                                   to_unix_ms(certificate.not_after) / 1000});
  }
  Json enrolment_token(const Json& spec = Json::object()) {
    const Answer made = post("/api/v1/tokens", spec);
    INFO(made.body());
    REQUIRE(made.status() == 201);
    return need(parse_json(need(from_base64(made.json()["token"].get<std::string>().substr(7)))));
  }
  Answer enrol_with(const Json& token, const PrivateKey& key) {
    const std::string credential = token["id"].get<std::string>() + ":" + token["secret"].get<std::string>();
    return device_ask("POST", "/.well-known/est/simpleenroll", nullptr, to_base64(*make_csr(key, "device")),
                      {{"authorization", "Basic " + to_base64(credential)}});
  }
  static Certificate certificate_of(const Answer& answer) {
    return need(parse_pkcs7_certs(need(from_base64(answer.body(), true)))).front();
  }
  DeviceSide enrol(const Json& labels = Json::object()) {
    const Answer answer = enrol_with(enrolment_token({{"labels", labels}}), test_key("device"));
    INFO(answer.body());
    REQUIRE(answer.status() == 200);
    const Certificate certificate = certificate_of(answer);
    return {certificate.common_name, test_key("device"), peer_of(certificate)};
  }
  Answer device_ask(const std::string& method, const std::string& target, std::shared_ptr<const http::Peer> peer,
                    const std::string& body = "", const Headers& headers = {}) {
    http::Request request = request_for(method, target, body, headers);
    request.peer = std::move(peer);
    return dispatch(devices_, std::move(request));
  }
  Json check_in(const DeviceSide& device) {
    const Answer answer = device_ask("GET", "/device/v1/assignment", device.peer);
    REQUIRE(answer.status() == 200);
    return answer.json();
  }
  Answer tell(const DeviceSide& device, std::vector<Json> events) {
    return device_ask(
        "POST", "/device/v1/events", device.peer,
        dump_json(Json{{"format", "ferry.events/1"}, {"install", "in-" + device.id}, {"events", events}}));
  }
  static Json update(std::int64_t seq, const std::string& rollout, const std::string& version, const std::string& state,
                     const std::string& reason = "") {
    return Json{{"seq", seq},         {"at_ms", 5},         {"kind", "update"}, {"model", Publisher::model},
                {"version", version}, {"rollout", rollout}, {"state", state},   {"reason", reason}};
  }
  const http::Router& devices() const { return devices_; }

  static http::Request request_for(const std::string& method, const std::string& target, const std::string& body,
                                   const Headers& headers) {
    http::Request request;
    request.method = method;
    request.raw_target = target;
    request.body = body;
    request.headers = headers;
    request.remote = "127.0.0.1:1";
    const std::size_t question = target.find('?');
    request.path = target.substr(0, question);
    for (std::size_t begin = question; begin < target.size();) {
      const std::size_t end = std::min(target.find('&', begin + 1), target.size());
      const std::size_t equals = target.find('=', begin);
      request.query[target.substr(begin + 1, equals - begin - 1)] = target.substr(equals + 1, end - equals - 1);
      begin = end;
    }
    return request;
  }

  TempDir dir;
  SimClock clock;
  SystemRandom random;

 private:
  // What the HTTP server does with a request: find, guard, bound, run.
  static Answer dispatch(const http::Router& router, http::Request request) {
    auto match = router.find(request.method, request.path);
    if (!match) {
      const Errc code = match.error().code;
      return {http::problem(code == Errc::not_found     ? 404
                            : code == Errc::unsupported ? 405
                                                        : 400,
                            to_string(code), match.error().context)};
    }
    request.params = match->params;
    const http::Route& route = *match->route;
    if (route.guard)
      if (auto refused = route.guard(request)) return {std::move(*refused)};
    if (request.body.size() > route.body_bytes_max) return {http::problem(413, "bad_input", "body: too large")};
    if (route.async) return {run(route, request)};
    return {route.quick ? route.quick(request) : route.blocking(request)};
  }

  static http::Response run(const http::Route& route, const http::Request& request) {
    boost::asio::io_context io;
    auto answer = boost::asio::co_spawn(io, route.async(request), boost::asio::use_future);
    io.run();
    return answer.get();
  }

  FileDescriptor null_;

 public:
  Log log;
  std::string admin;  // the administrator's access token
  std::uint64_t download_bytes_per_second = 0;
  std::unique_ptr<App> app;
  std::optional<Publisher> publisher;

 private:
  http::Router devices_, operators_;
};

}  // namespace ferry::server::test
