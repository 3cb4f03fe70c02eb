// The device listener, as docs/formats/device-api.md says.
#include "telemetry/otlp.hpp"
#include "tests/server/api/api_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

constexpr const char* guarded[][2] = {{"POST", "/.well-known/est/simplereenroll"},
                                      {"GET", "/device/v1/assignment"},
                                      {"PUT", "/device/v1/profile"},
                                      {"POST", "/device/v1/events"},
                                      {"GET", "/device/v1/metadata/timestamp.json"},
                                      {"GET", "/device/v1/targets/ferry/x.json"},
                                      {"GET", "/device/v1/blobs/sha256/00"},
                                      {"POST", "/v1/metrics"}};

telemetry::WindowReport window(const Server& server, std::uint64_t seq) {
  telemetry::WindowReport report;
  report.install = "in-1";
  report.boot = "bo-1";
  report.seq = seq;
  report.end_unix_ms = to_unix_ms(server.clock.now());
  report.start_unix_ms = report.end_unix_ms - 60'000;
  telemetry::ReleaseWindow release;
  release.key = {Publisher::model, "1.0.0", std::string(64, 'a'), "a", "", "none"};
  for (int i = 0; i < 20; ++i) release.duration.record(0.002);
  release.classes = {15, 5};
  release.labels[{"user", true}] = 9;
  release.labels[{"user", false}] = 1;
  report.releases.push_back(release);
  return report;
}

const Headers protobuf{{"content-type", "application/x-protobuf"}};

}  // namespace

TEST_CASE("without a certificate only first contact is answered") {
  Server server;
  server.publish_trust();
  CHECK(server.device_ask("GET", "/.well-known/est/cacerts", nullptr).status() == 200);
  CHECK(server.device_ask("GET", "/device/v1/root.json", nullptr).status() == 200);
  CHECK(server.device_ask("POST", "/.well-known/est/simpleenroll", nullptr).status() != 403);
  const auto stranger = std::make_shared<http::Peer>(http::Peer{"dev-1", sha256("x").hex(), "", "", 0});
  for (const auto& [method, target] : guarded)
    for (const std::shared_ptr<const http::Peer>& peer : {std::shared_ptr<const http::Peer>(), {stranger}}) {
      const Answer answer = server.device_ask(method, target, peer);
      INFO(method << " " << target);
      CHECK(answer.status() == 403);
      CHECK(answer.code() == "device_unknown");
      CHECK_THAT(answer.detail(), Catch::Contains("enrol"));
    }
  CHECK(server.device_ask("GET", "/api/v1/devices", nullptr).status() == 404);  // not on this listener
}

TEST_CASE("a revoked device is refused everywhere, over a restart too") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  CHECK(server.device_ask("GET", "/device/v1/assignment", device.peer).status() == 200);
  REQUIRE(server.post("/api/v1/devices/" + device.id + ":revoke").status() == 200);
  for (int restarts = 0; restarts < 2; ++restarts) {
    for (const auto& [method, target] : guarded) {
      const Answer answer = server.device_ask(method, target, device.peer);
      INFO(method << " " << target);
      CHECK(answer.status() == 403);
      CHECK(answer.code() == "device_revoked");
    }
    server.restart();
  }
}

TEST_CASE("a certificate that expires while its connection lives is refused") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  server.clock.advance(device_certificate_life + 1h);
  const Answer answer = server.device_ask("GET", "/device/v1/assignment", device.peer);
  CHECK(answer.status() == 403);
  CHECK(answer.code() == "device_unknown");
}

TEST_CASE("first contact: the CA, the root, a certificate; all as the token pins them") {
  Server server;
  CHECK(server.device_ask("GET", "/device/v1/root.json", nullptr).status() == 404);
  CHECK(server.post("/api/v1/tokens").status() == 409);
  CHECK(server.post("/api/v1/tokens").code() == "trust_missing");
  server.publish_trust();
  const Json token = server.enrolment_token({{"uses", 2}, {"ttl_s", 60}, {"labels", {{"site", "oslo"}}}});
  CHECK(token["server"] == "https://localhost:8443");
  const Answer cacerts = server.device_ask("GET", "/.well-known/est/cacerts", nullptr);
  CHECK_THAT(cacerts.header("Content-Type"), Catch::StartsWith("application/pkcs7-mime"));
  CHECK(Server::certificate_of(cacerts).fingerprint.hex() == token["ca_sha256"].get<std::string>());
  CHECK(sha256(server.device_ask("GET", "/device/v1/root.json", nullptr).body()).hex() ==
        token["root_sha256"].get<std::string>());
  const Answer enrolled = server.enrol_with(token, test_key("device"));
  REQUIRE(enrolled.status() == 200);
  const Certificate certificate = Server::certificate_of(enrolled);
  CHECK(Server::certificate_of(server.enrol_with(token, test_key("device"))).common_name == certificate.common_name);
  const Json device = server.get("/api/v1/devices/" + certificate.common_name).json();
  CHECK(device["labels"] == Json{{"site", "oslo"}});
  CHECK(device["state"] == "new");
}

TEST_CASE("enrolment says why it refuses: invalid, used, expired, malformed") {
  Server server;
  server.publish_trust();
  const Json token = server.enrolment_token({{"ttl_s", 60}});
  const auto refused = [&](const Answer& answer, const std::string& code) {
    CHECK(answer.status() == 401);
    CHECK(answer.code() == code);
    CHECK_THAT(answer.header("WWW-Authenticate"), Catch::StartsWith("Basic"));
  };
  Json wrong = token;
  wrong["secret"] = "wrong";
  refused(server.enrol_with(wrong, test_key("device")), "token_invalid");
  const std::string csr = to_base64(*make_csr(test_key("device"), "device"));
  refused(server.device_ask("POST", "/.well-known/est/simpleenroll", nullptr, csr), "token_invalid");
  for (const char* header : {"Basic", "Basic !!!", "Bearer x", "Basic bm9jb2xvbg=="})
    refused(server.device_ask("POST", "/.well-known/est/simpleenroll", nullptr, csr, {{"authorization", header}}),
            "token_invalid");
  for (const char* body : {"", "!!!", "bm90IGEgY3Ny"}) {
    const std::string credential = token["id"].get<std::string>() + ":" + token["secret"].get<std::string>();
    const Answer answer = server.device_ask("POST", "/.well-known/est/simpleenroll", nullptr, body,
                                            {{"authorization", "Basic " + to_base64(credential)}});
    CHECK(answer.status() == 400);
  }
  REQUIRE(server.enrol_with(token, test_key("device")).status() == 200);
  refused(server.enrol_with(token, test_key("other")), "token_used");
  const Json old = server.enrolment_token({{"ttl_s", 60}});
  server.clock.advance(60s);
  refused(server.enrol_with(old, test_key("other")), "token_expired");
  CHECK_THAT(server.ask("GET", "/metrics", "").body(), Catch::Contains("ferry_enrolments_total 1\n"));
}

TEST_CASE("a certificate is renewed over mutual TLS, with the same key or another") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  server.clock.advance(std::chrono::hours{24 * 60});
  const std::string csr = to_base64(*make_csr(test_key("device-2"), "device"));
  const Answer renewed = server.device_ask("POST", "/.well-known/est/simplereenroll", device.peer, csr);
  REQUIRE(renewed.status() == 200);
  const Certificate certificate = Server::certificate_of(renewed);
  CHECK(certificate.common_name == device.id);
  for (const auto& peer : {device.peer, Server::peer_of(certificate)})
    CHECK(server.device_ask("GET", "/device/v1/assignment", peer).status() == 200);
  CHECK(server.device_ask("POST", "/.well-known/est/simplereenroll", device.peer, "!!!").status() == 400);
}

TEST_CASE("a check-in answers the assignment, 304 when nothing changed, and when to come again") {
  Server server;
  server.publish_trust();
  server.publish("1.0.0", 1);
  const auto device = server.enrol();
  const Answer first = server.device_ask("GET", "/device/v1/assignment", device.peer);
  CHECK(first.json()["models"] == Json::array());
  const double after = std::stod(first.header("Ferry-Poll-After"));
  CHECK(after >= 27);
  CHECK(after <= 30);
  const Headers known{{"if-none-match", first.header("ETag")}};
  const Answer again = server.device_ask("GET", "/device/v1/assignment", device.peer, "", known);
  CHECK(again.status() == 304);
  CHECK(again.body().empty());
  CHECK(again.header("ETag") == first.header("ETag"));
  CHECK_FALSE(again.header("Ferry-Poll-After").empty());
  const std::string id = server.rollout("1.0.0");
  const Answer changed = server.device_ask("GET", "/device/v1/assignment", device.peer, "", known);
  CHECK(changed.status() == 200);
  CHECK(changed.json()["models"][0]["rollout"] == id);
  CHECK(server.get("/api/v1/devices/" + device.id).json()["last_seen_ms"] == to_unix_ms(server.clock.now()));
}

TEST_CASE("metadata, targets and blobs are served to devices as they were signed") {
  Server server;
  server.publish_trust();
  const BuiltRelease built = server.publish("1.0.0", 1);
  const auto device = server.enrol();
  const auto get = [&](const std::string& target, const Headers& headers = {}) {
    return server.device_ask("GET", target, device.peer, "", headers);
  };
  for (const char* name :
       {"1.root.json", "timestamp.json", "2.snapshot.json", "1.targets.json", "1.fashion-mnist.json"}) {
    const Answer answer = get(std::string("/device/v1/metadata/") + name);
    INFO(name);
    CHECK(answer.status() == 200);
    CHECK(answer.header("Content-Type") == "application/json");
    CHECK(answer.json().contains("signatures"));
  }
  for (const char* name : {"root.json", "9.root.json", "1.stranger.json", "..", "1.timestamp.json"})
    CHECK(get(std::string("/device/v1/metadata/") + name).status() == 404);
  const std::string target =
      "/device/v1/targets/fashion-mnist/1.0.0/" + sha256(built.request.manifest).hex() + ".manifest.json";
  const Answer manifest = get(target);
  REQUIRE(manifest.status() == 200);
  REQUIRE(manifest.response.file);
  CHECK(need(read_file(manifest.response.file->path, 1'000'000)) == built.request.manifest);
  CHECK(get("/device/v1/targets/fashion-mnist/1.0.0/manifest.json").status() == 404);
  const auto& [digest, bytes] = built.blobs.front();
  const std::string blob = "/device/v1/blobs/sha256/" + digest.hex();
  const Answer whole = get(blob);
  REQUIRE(whole.response.file);
  CHECK(whole.header("ETag") == "\"" + digest.hex() + "\"");
  CHECK(whole.response.file->length == bytes.size());
  CHECK(whole.response.file->bytes_per_second_max == 0);
  const Answer part = get(blob, {{"range", "bytes=100-"}, {"if-range", whole.header("ETag")}});
  CHECK(part.status() == 206);
  CHECK(part.response.file->offset == 100);
  CHECK(get("/device/v1/blobs/sha256/" + sha256("absent").hex()).status() == 404);
  CHECK(get("/device/v1/blobs/sha256/nonsense").status() == 400);
  CHECK(get("/device/v1/blobs/sha256/" + sha256(built.request.attestations).hex()).status() == 200);
  server.download_bytes_per_second = 5000;
  server.restart();
  CHECK(get(blob).response.file->bytes_per_second_max == 5000);
}

TEST_CASE("a profile is put, checked, and shown") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  const Json profile{{"format", "ferry.profile/1"},
                     {"hardware_class", Publisher::hardware_class},
                     {"architecture", "x86_64"},
                     {"agent_version", "0.1.0"}};
  CHECK(server.device_ask("PUT", "/device/v1/profile", device.peer, dump_json(profile)).status() == 204);
  const Json shown = server.get("/api/v1/devices/" + device.id).json();
  CHECK(shown["hardware_class"] == Publisher::hardware_class);
  CHECK(shown["agent_version"] == "0.1.0");
  CHECK(shown["profile"] == profile);
  const Answer bad = server.device_ask("PUT", "/device/v1/profile", device.peer, R"({"format": "ferry.profile/1"})");
  CHECK(bad.status() == 400);
  CHECK_THAT(bad.detail(), Catch::Contains("hardware_class"));
  CHECK(server.device_ask("PUT", "/device/v1/profile", device.peer, std::string(profile_bytes_max + 1, ' ')).status() ==
        413);
}

TEST_CASE("events are applied once and answered with the highest sequence; bad ones name the field") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  const Json event{{"seq", 1}, {"kind", "started"}, {"detail", {{"boot", "b"}}}};
  CHECK(server.tell(device, {event}).json() == Json{{"applied_seq", 1}});
  CHECK(server.tell(device, {event}).json() == Json{{"applied_seq", 1}});
  CHECK(server.get("/api/v1/devices/" + device.id + "/timeline").json()["items"].size() == 2);  // with "enrolled"
  const Answer bad = server.tell(device, {Json{{"seq", 2}, {"kind", "dance"}}});
  CHECK(bad.status() == 400);
  CHECK_THAT(bad.detail(), Catch::Contains("events[0]: kind"));
  CHECK(server.device_ask("POST", "/device/v1/events", device.peer, std::string(events_body_bytes_max + 1, ' '))
            .status() == 413);
}

TEST_CASE("telemetry is merged once, gzip or plain, and shown by release and device") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  const std::string body = telemetry::encode_otlp(window(server, 1));
  const auto post = [&](const std::string& bytes, const Headers& headers) {
    return server.device_ask("POST", "/v1/metrics", device.peer, bytes, headers);
  };
  const Answer applied = post(body, protobuf);
  CHECK(applied.status() == 200);
  CHECK(applied.body().empty());
  CHECK(applied.header("Content-Type") == "application/x-protobuf");
  Headers packed = protobuf;
  packed["content-encoding"] = "gzip";
  CHECK(post(telemetry::gzip(body), packed).status() == 200);  // a repeat is acknowledged
  CHECK(post(telemetry::gzip(telemetry::encode_otlp(window(server, 2))), packed).status() == 200);
  const Json shown = server.get("/api/v1/telemetry?model=fashion-mnist").json();
  REQUIRE(shown["releases"].size() == 1);
  CHECK(shown["releases"][0]["count"] == 40);
  CHECK(shown["releases"][0]["labelled"] == 20);
  CHECK(shown["releases"][0]["accuracy_ppm"] == 900'000);
  CHECK(shown["releases"][0]["classes"] == Json::array({30, 10}));
  const Json totals = server.get("/api/v1/devices/" + device.id).json()["telemetry"];
  REQUIRE(totals.size() == 1);
  CHECK(totals[0]["count"] == 40);
  const Json classes = server.get("/api/v1/telemetry/classes?model=fashion-mnist").json()["items"];
  REQUIRE(classes.size() == 1);
  CHECK(classes[0]["count"] == 40);
  CHECK(classes[0]["devices"] == 1);
  CHECK(classes[0]["hardware_class"] == "");
  CHECK(classes[0]["accuracy_ppm"] == 900'000);
  CHECK_THAT(server.get("/api/v1/telemetry/classes?model=../x").detail(), Catch::StartsWith("model"));
  CHECK_THAT(server.ask("GET", "/metrics", "").body(),
             Catch::Contains("ferry_telemetry_windows_applied_total 2\n") &&
                 Catch::Contains("ferry_telemetry_windows_repeated_total 1\n"));
}

TEST_CASE("telemetry that is not of its form is refused for good, and nothing of it counts") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  const std::string body = telemetry::encode_otlp(window(server, 1));
  const auto status = [&](const std::string& bytes, const Headers& headers) {
    return server.device_ask("POST", "/v1/metrics", device.peer, bytes, headers).status();
  };
  CHECK(status(body, {}) == 415);
  CHECK(status(body, {{"content-type", "application/json"}}) == 415);
  CHECK(status(body, {{"content-type", "application/x-protobuf"}, {"content-encoding", "br"}}) == 415);
  CHECK(status(body, {{"content-type", "application/x-protobuf"}, {"content-encoding", "gzip"}}) == 400);
  CHECK(status("nonsense", protobuf) == 400);
  CHECK(status(body.substr(0, body.size() / 2), protobuf) == 400);
  CHECK(status("", protobuf) == 400);
  const std::string bomb = telemetry::gzip(std::string(telemetry::upload_bytes_max + 1, 'x'));
  CHECK(status(bomb, {{"content-type", "application/x-protobuf"}, {"content-encoding", "gzip"}}) == 413);
  CHECK(server.get("/api/v1/telemetry?model=fashion-mnist").json()["releases"].empty());
}
