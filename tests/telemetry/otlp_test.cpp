#include "telemetry/otlp.hpp"

#include "common/crypto.hpp"
#include "telemetry/recorder.hpp"
#include "telemetry/reference_profile.hpp"

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
  return report;
}

TEST_CASE("one upload of a ten-class model stays within 800 bytes compressed") {
  const WindowReport report = device_report();
  CHECK(gzip(encode_otlp(report)).size() <= 800);
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
