// Hostile telemetry against the whole device listener: refused or clamped, counted, and nobody else's numbers move.
#include "tests/server/api/api_fixture.hpp"
#include "tests/telemetry/hostile_uploads.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using ferry::test::hostile_tricks;
using ferry::test::HostileUpload;
using ferry::test::Trick;

namespace {

const Headers protobuf{{"content-type", "application/x-protobuf"}};
const Headers zipped{{"content-type", "application/x-protobuf"}, {"content-encoding", "gzip"}};

telemetry::WindowReport honest_window(const Server& server, std::uint64_t seq) {
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
  report.releases.push_back(release);
  return report;
}

std::uint64_t counter(Server& server, const std::string& line) {
  const std::string text = server.ask("GET", "/metrics", "").body();
  const auto at = text.find("\n" + line + " ");
  return at == std::string::npos ? 0 : std::stoull(text.substr(at + line.size() + 2));
}

Json telemetry_of(Server& server, const std::string& device) {
  return server.get("/api/v1/devices/" + device).json()["telemetry"];
}

}  // namespace

TEST_CASE("every trick is refused or left out, counted by reason and told; the honest data points beside it count") {
  for (const Trick& trick : hostile_tricks("2.0.0")) {
    INFO(trick.name);
    Server server;
    server.publish_trust();
    const auto device = server.enrol();
    const HostileUpload upload(to_unix_ms(server.clock.now()), 1);
    const Answer answer =
        server.device_ask("POST", "/v1/metrics", device.peer, telemetry::gzip(trick.build(upload)), zipped);
    const std::string label = "{reason=\"" + trick.reason + "\"}";
    if (trick.whole) {
      CHECK(answer.status() == (trick.reason == "body_too_large" ? 413 : 400));
      CHECK(counter(server, "ferry_telemetry_refused_total" + label) == 1);
      CHECK(telemetry_of(server, device.id).empty());
      continue;
    }
    CHECK(answer.status() == 200);
    const auto told = telemetry::decode_otlp_response(answer.body());
    CHECK((told.rejected_data_points == 0) == trick.clamped);
    CHECK_THAT(told.message, Catch::Contains(trick.reason + ": "));
    CHECK(counter(server, "ferry_telemetry_rejected_total" + label) > 0);
    Json honest;
    for (const Json& one : telemetry_of(server, device.id))
      if (one["version"] == "2.0.0") honest = one;
    REQUIRE(honest.is_object());
    CHECK(honest["count"] == ferry::test::honest_inferences);
  }
}

TEST_CASE("a gzip bomb is refused before it is inflated, and counted") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  const std::string bomb = telemetry::gzip(std::string(100'000'000, '\0'));
  CHECK(server.device_ask("POST", "/v1/metrics", device.peer, bomb, zipped).status() == 413);
  CHECK(counter(server, "ferry_telemetry_refused_total{reason=\"body_too_large\"}") == 1);
}

TEST_CASE("a window of the far future or of long ago counts as of now, and is counted as clamped") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  const std::int64_t now_ms = to_unix_ms(server.clock.now());
  std::int64_t number = 0;
  for (const std::int64_t at_ms : {std::int64_t{now_ms + 40 * 365 * std::int64_t{86'400'000}}, std::int64_t{60'000}}) {
    HostileUpload upload(at_ms, ++number);
    upload.add_latency(upload.sketch({5}, 5));
    CHECK(server.device_ask("POST", "/v1/metrics", device.peer, upload.bytes(), protobuf).status() == 200);
  }
  CHECK(counter(server, "ferry_telemetry_rejected_total{reason=\"clock\"}") == 2);
  const Json shown = server.get("/api/v1/telemetry?model=fashion-mnist&window_s=60").json();
  REQUIRE(shown["releases"].size() == 1);
  CHECK(shown["releases"][0]["count"] == 10);
}

TEST_CASE("more inferences than a machine can do are left out") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  HostileUpload upload(to_unix_ms(server.clock.now()), 1);
  constexpr std::uint64_t many = 900'000'000;
  upload.add_latency(upload.sketch({many}, many));
  CHECK(server.device_ask("POST", "/v1/metrics", device.peer, upload.bytes(), protobuf).status() == 200);
  CHECK(counter(server, "ferry_telemetry_rejected_total{reason=\"rate\"}") == 1);
  CHECK(telemetry_of(server, device.id).empty());
}

TEST_CASE("whatever one device sends, under whosever name, another's numbers stay and its next window counts") {
  Server server;
  server.publish_trust();
  const Json token = server.enrolment_token({{"uses", 2}});
  const auto certificate_of = [&](const std::string& key) {
    const Answer enrolled = server.enrol_with(token, test_key(key));
    REQUIRE(enrolled.status() == 200);
    return Server::certificate_of(enrolled);
  };
  const Certificate victim = certificate_of("device"), attacker = certificate_of("device-2");
  const auto post = [&](const Certificate& who, const std::string& bytes) {
    return server.device_ask("POST", "/v1/metrics", Server::peer_of(who), bytes, protobuf);
  };
  REQUIRE(post(victim, telemetry::encode_otlp(honest_window(server, 1))).status() == 200);
  const Json before = telemetry_of(server, victim.common_name);
  // The victim's install and boot, its next sequence number, and the largest there is.
  for (const std::int64_t seq : {std::int64_t{2}, INT64_MAX}) {
    for (const Trick& trick : hostile_tricks("2.0.0")) {
      HostileUpload upload(to_unix_ms(server.clock.now()), seq);
      post(attacker, trick.build(upload));
    }
    HostileUpload plausible(to_unix_ms(server.clock.now()), seq);
    plausible.add_latency(plausible.sketch({50'000}, 50'000));
    post(attacker, plausible.bytes());
  }
  // What the victim sent, replayed by the attacker, is the attacker's.
  post(attacker, telemetry::encode_otlp(honest_window(server, 77)));
  CHECK(telemetry_of(server, victim.common_name) == before);
  REQUIRE(post(victim, telemetry::encode_otlp(honest_window(server, 2))).status() == 200);
  CHECK(telemetry_of(server, victim.common_name)[0]["count"] == 40);
  // And replayed by or for the victim it counts once.
  REQUIRE(post(victim, telemetry::encode_otlp(honest_window(server, 2))).status() == 200);
  CHECK(telemetry_of(server, victim.common_name)[0]["count"] == 40);
}

TEST_CASE("inputs, outputs, label delays and agreement of releases are merged and shown") {
  Server server;
  server.publish_trust();
  const auto device = server.enrol();
  for (std::uint64_t seq = 1; seq <= 2; ++seq) {
    telemetry::WindowReport report = honest_window(server, seq);
    auto& window = report.releases[0];
    window.inputs["image"] = {20, 1, 0, 2, 3, 20 * 4, 40, 25, 0, 1};
    window.outputs = {1, 0, 2};
    window.labels[{"audit", true}] = 5;
    window.label_delay = {{3, 5}};
    window.labels_unjoinable = 4;
    window.requests_refused = 6;
    window.shadow["0.9.0"].agreed = 1'990;
    window.shadow["0.9.0"].disagreed = {{{3, 5}, 10}};
    window.shadow["0.9.0"].gap_sum = 20;
    REQUIRE(server.device_ask("POST", "/v1/metrics", device.peer, telemetry::encode_otlp(report), protobuf).status() ==
            200);
  }
  const Json shown = server.get("/api/v1/telemetry?model=fashion-mnist").json()["releases"][0];
  CHECK(shown["inputs"]["image"]["tensors"] == 40);
  CHECK(shown["inputs"]["image"]["nan"] == 2);
  CHECK(shown["inputs"]["image"]["constant"] == 4);
  CHECK(shown["inputs"]["image"]["out_of_range"] == 6);
  CHECK(shown["inputs"]["image"]["mean"] == 0.5);
  CHECK(shown["inputs"]["image"]["max"] == 1.0);
  CHECK(shown["outputs"] == Json{{"nan", 2}, {"shape", 0}, {"empty", 4}});
  CHECK(shown["label_delay"] == Json::array({Json{{"s_max", 16}, {"count", 10}}}));
  CHECK(shown["labels_unjoinable"] == 8);
  CHECK(shown["requests_refused"] == 12);
  REQUIRE(shown["shadow"].size() == 1);
  const Json& shadow = shown["shadow"][0];
  CHECK(shadow["against"] == "0.9.0");
  CHECK(shadow["compared"] == 4'000);
  CHECK(shadow["share_ppm"] == 5'000);
  CHECK(shadow["certified"] == true);
  CHECK(shadow["accuracy_change_max_ppm"].get<std::int64_t>() < 20'000);
  CHECK(shadow["mean_gap_ppm"] == 10'000);
  CHECK(shadow["pairs"] == Json::array({Json{{"older", 3}, {"newer", 5}, {"count", 20}}}));
}
