#include "telemetry/otlp.hpp"

#include "common/crypto.hpp"
#include "telemetry/recorder.hpp"
#include "telemetry/reference_profile.hpp"
#include "tests/telemetry/hostile_uploads.hpp"

#include <random>

using namespace ferry::telemetry;
using ferry::Errc;

namespace {

WindowReport sample_report(std::uint64_t inferences = 3'600) {
  std::mt19937_64 engine(3);
  std::lognormal_distribution<double> latency(-6, 0.2);
  std::uniform_real_distribution<double> share(0.05, 1.0);
  WindowReport report{"in-1", "bo-1", 7, "0.1.0", 1'790'000'000'000, 1'790'000'060'000, 2, {}};
  ReleaseWindow window;
  window.key = {"fashion-mnist", "1.1.0", std::string(64, 'a'), "b", "ro-1", "canary"};
  window.classes.resize(10);
  const Edges edges = default_edges();
  window.confidence = BoundedHistogram(edges.confidence);
  window.mnlp = BoundedHistogram(edges.mnlp);
  for (std::uint64_t i = 0; i < inferences; ++i) {
    window.duration.record(latency(engine));
    ++window.classes[engine() % 10];
    window.confidence.record(share(engine));
    window.mnlp.record(10 * share(engine));
  }
  window.errors = {{"timeout", 3}, {"trial.memory", 1}};
  window.labels = {{{"audit", true}, 90}, {{"audit", false}, 10}};
  window.worker_memory_bytes = 123'456'789;
  report.releases.push_back(window);
  return report;
}

}  // namespace

TEST_CASE("a report survives the wire unchanged") {
  const WindowReport report = sample_report();
  const auto back = decode_otlp(encode_otlp(report));
  REQUIRE(back);
  CHECK(*back == report);
}

// Everything a window can hold.
WindowReport full_report() {
  WindowReport report = sample_report();
  report.dropped_inferences = 120;
  ReleaseWindow& window = report.releases[0];
  window.label_delay = {{0, 3}, {4, 80}, {11, 17}};
  window.labels_unjoinable = 4;
  window.requests_refused = 5;
  InputStats image{3'600, 2, 1, 7, 9, 3'600 * 784, 807'000.5, 407'000.25, -0.5, 1.0};
  window.inputs = {{"image", image}, {"nothing", InputStats{10, 10, 0, 0, 0, 0, 0, 0, 0, 0}}};
  window.outputs = {3, 2, 1};
  window.shadow["1.0.0"].agreed = 70;
  window.shadow["1.0.0"].disagreed = {{{3, 5}, 1}, {{6, 0}, 2}, {other_confusion, 1}};
  window.shadow["1.0.0"].gap_sum = 3.25;
  window.shadow["0.9.0"].agreed = 1;
  return report;
}

TEST_CASE("a window with everything in it survives the wire unchanged") {
  const WindowReport report = full_report();
  const auto back = decode_otlp(encode_otlp(report));
  REQUIRE(back);
  CHECK(*back == report);
  Rejected rejected;
  CHECK(decode_otlp(encode_otlp(report), &rejected).value() == report);
  CHECK(rejected.by_reason.empty());
}

TEST_CASE("a report with several releases keeps them apart") {
  WindowReport report = sample_report(10);
  ReleaseWindow other = report.releases[0];
  other.key.version = "1.2.0";
  other.key.arm = "none";
  report.releases.push_back(other);
  const auto back = decode_otlp(encode_otlp(report));
  REQUIRE(back);
  CHECK(*back == report);
}

// As on a device: ids and digest without pattern, edges of a real reference profile, some minutes' inferences.
WindowReport device_report() {
  WindowReport report = sample_report(1'000);
  report.dropped = 0;
  report.install = "ins-7f3a2b9c4d8e";
  report.boot = "boot-9d2b5f8a1e4c";
  ReleaseWindow& window = report.releases[0];
  window.errors.clear();
  window.labels.clear();
  window.key.manifest_sha256 = ferry::sha256("some manifest").hex();
  window.key.rollout.clear();
  window.key.arm = "none";
  std::mt19937_64 engine(5);
  std::exponential_distribution<double> doubt(0.6);
  std::normal_distribution<double> spread(20, 4);
  std::vector<ReferenceSample> samples;
  for (int i = 0; i < 4'000; ++i) {
    const double margin = doubt(engine) * 8;
    samples.push_back({{0, 1 / (1 + std::exp(-margin)), spread(engine)}, true});
  }
  const ReferenceProfile profile = make_reference_profile(samples, 10);
  window.confidence = profile.confidence;
  window.mnlp = profile.mnlp;
  window.duration.round_to(24);  // as the recorder does
  return report;
}

TEST_CASE("one upload of a ten-class model stays within 800 bytes compressed") {
  const WindowReport report = device_report();
  CHECK(gzip(encode_otlp(report)).size() <= 800);
}

// The tenth of a window's predictions was labelled, some late; 2 % was compared with the release before.
WindowReport full_device_report() {
  WindowReport report = device_report();
  ReleaseWindow& window = report.releases[0];
  window.key.rollout = "ro-5a2b9c4d8e1f";
  window.key.arm = "canary";
  window.errors = {{"trial.hang", 2}, {"unavailable", 1}};
  window.labels = {{{"audit", true}, 83}, {{"audit", false}, 9}, {{"user", false}, 3}};
  window.label_delay = {{2, 30}, {3, 55}, {4, 10}};
  window.labels_unjoinable = 1;
  window.requests_refused = 2;
  window.inputs["image"] = {1'000, 0, 0, 1, 3, 784'000, 224'241.9375, 161'013.78125, 0, 1};
  window.outputs.nan = 1;
  window.shadow["1.0.0"].agreed = 18;
  window.shadow["1.0.0"].disagreed = {{{6, 0}, 1}, {{2, 4}, 1}};
  window.shadow["1.0.0"].gap_sum = 1.017293095588684;
  return report;
}

// These windows are a little richer than real ones: scripts/bench measures those.
TEST_CASE("one upload with everything in it stays within 1,260 bytes compressed") {
  CHECK(gzip(encode_otlp(full_device_report())).size() <= 1'260);
  CHECK(decode_otlp(encode_otlp(full_device_report())).value() == full_device_report());
}

TEST_CASE("labels leave the plain upload within 800 bytes; the sanity of inputs costs no more than 90") {
  WindowReport report = device_report();
  report.releases[0].inputs["image"] = full_device_report().releases[0].inputs["image"];
  report.releases[0].inputs["image"].constant = report.releases[0].inputs["image"].out_of_range = 0;
  CHECK(gzip(encode_otlp(report)).size() <= gzip(encode_otlp(device_report())).size() + 90);
  WindowReport labelled = device_report();
  labelled.releases[0].labels = {{{"audit", true}, 190}, {{"audit", false}, 10}};
  CHECK(gzip(encode_otlp(labelled)).size() <= 800);
}

TEST_CASE("labels and a rollout add little to an upload") {
  const WindowReport plain = device_report();
  WindowReport report = plain;
  report.releases[0].key.rollout = "ro-5a2b9c4d8e1f";
  report.releases[0].key.arm = "canary";
  report.releases[0].labels = {{{"audit", true}, 90}, {{"audit", false}, 10}};
  CHECK(gzip(encode_otlp(report)).size() <= gzip(encode_otlp(plain)).size() + 140);
}

TEST_CASE("outside a rollout an upload names neither rollout nor arm, and reads back the same") {
  const WindowReport report = device_report();
  const std::string bytes = encode_otlp(report);
  CHECK(bytes.find("ferry.rollout.id") == std::string::npos);
  CHECK(bytes.find("ferry.arm") == std::string::npos);
  const auto back = decode_otlp(bytes);
  REQUIRE(back);
  CHECK(*back == report);
}

TEST_CASE("no trick passes: strictly the upload is refused, else the data point is left out and counted") {
  for (const ferry::test::Trick& trick : ferry::test::hostile_tricks("2.0.0")) {
    INFO(trick.name);
    const std::string bytes = trick.build({1'790'000'000'000, 1});
    Rejected rejected;
    const auto read = decode_otlp(bytes, &rejected);
    if (trick.whole) {
      REQUIRE_FALSE(read);
      CHECK(read.error().code == Errc::bad_input);
      CHECK(read.error().reason == (trick.reason == "body_too_large" ? "" : "telemetry_") + trick.reason);
      continue;
    }
    if (!read) UNSCOPED_INFO(read.error().context);
    REQUIRE(read);
    CHECK(rejected.by_reason[trick.reason] > 0);
    CHECK((rejected.points == 0) == trick.clamped);
    CHECK_FALSE(rejected.first.empty());
    const auto honest = std::ranges::find(read->releases, "2.0.0", [](const auto& w) { return w.key.version; });
    REQUIRE(honest != read->releases.end());
    CHECK(honest->duration.count() == ferry::test::honest_inferences);
    if (trick.clamped) continue;
    const auto strictly = decode_otlp(bytes);
    REQUIRE_FALSE(strictly);
    CHECK(strictly.error().reason == "telemetry_" + trick.reason);
  }
}

TEST_CASE("what was left out is told in the answer, and an answer that says nothing is empty") {
  CHECK(encode_otlp_response({}).empty());
  Rejected rejected;
  rejected.add("scale", "exponential histogram of scale 3, expected 5");
  rejected.add("scale", "another");
  rejected.clamp("names", "error.type is no code");
  const PartialSuccess told = decode_otlp_response(encode_otlp_response(rejected));
  CHECK(told.rejected_data_points == 2);
  CHECK(told.message == "exponential histogram of scale 3, expected 5; names: 1; scale: 2");
  CHECK(decode_otlp_response("").rejected_data_points == 0);
  CHECK(decode_otlp_response("\xff\xff").message.empty());
}

TEST_CASE("a truncated upload is refused or, cut at a message's end, incomplete; never a crash") {
  const std::string whole = encode_otlp(sample_report());
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto cut = decode_otlp(std::string_view(whole).substr(0, length));
    REQUIRE((!cut || cut->releases.size() <= 1));
    if (!cut) REQUIRE(cut.error().code == Errc::bad_input);
  }
}

TEST_CASE("an upload with any byte changed is refused or read, never a crash") {
  const std::string whole = encode_otlp(sample_report(50));
  std::mt19937_64 engine(17);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int times = 0; times < 4; ++times) {
      std::string changed = whole;
      changed[at] = char(engine());
      const auto read = decode_otlp(changed);
      if (!read) REQUIRE(read.error().code == Errc::bad_input);
    }
  }
}

TEST_CASE("a field of another wire type than OTLP gives it is refused") {
  // resource_metrics (field 1) as a varint instead of a message.
  const auto read = decode_otlp(std::string("\x08\x05", 2));
  REQUIRE_FALSE(read);
  CHECK(read.error().code == Errc::bad_input);
  CHECK(read.error().context.find("field 1") != std::string::npos);
}

TEST_CASE("an upload that lacks what exactly-once needs is refused by name") {
  WindowReport report = sample_report(1);
  report.seq = 0;
  CHECK(decode_otlp(encode_otlp(report)).error().context.find("ferry.report.seq") != std::string::npos);
  report = sample_report(1);
  report.install.clear();
  CHECK(decode_otlp(encode_otlp(report)).error().context.find("service.instance.id") != std::string::npos);
  report = sample_report(1);
  report.releases[0].key.model.clear();
  CHECK(decode_otlp(encode_otlp(report)).error().context.find("model.name") != std::string::npos);
  report = sample_report(1);
  report.releases[0].labels = {{{"rumour", true}, 1}};
  CHECK(decode_otlp(encode_otlp(report)).error().context.find("source") != std::string::npos);
}

TEST_CASE("a body larger than the limit is refused before it is parsed, a gzip bomb before it is inflated") {
  CHECK(decode_otlp(std::string(upload_bytes_max + 1, '\0')).error().code == Errc::bad_input);
  const std::string bomb = gzip(std::string(50'000'000, '\0'));
  CHECK(bomb.size() < 100'000);
  CHECK(gunzip(bomb).error().context.find("262144") != std::string::npos);
}

TEST_CASE("gzip bodies round-trip; truncated, trailing and foreign ones are refused") {
  const std::string text = "forty-two " + std::string(1000, 'x');
  const std::string packed = gzip(text);
  CHECK(*gunzip(packed) == text);
  CHECK_FALSE(gunzip(packed.substr(0, packed.size() - 3)));
  CHECK_FALSE(gunzip(packed + "x"));
  CHECK_FALSE(gunzip("not gzip at all"));
  CHECK_FALSE(gunzip(""));
}
