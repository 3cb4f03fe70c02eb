// Telemetry from recorded requests to the bytes a server decodes: windows, resending, refusals.
#include "agent/telemetry_link.hpp"

#include "ota/manifest.hpp"
#include "telemetry/otlp.hpp"
#include "tests/support/scripted_server.hpp"
#include "tests/support/sim_clock.hpp"
#include "tests/support/temp_dir.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cmath>

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::test;
using std::chrono::seconds;

namespace {

struct World {
  SimClock clock;
  TempDir directory;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::debug};
  std::unique_ptr<Database> database = *open_sqlite(":memory:");
  int status = 200;
  std::string body;
  ScriptedServer server{[this](const ScriptedRequest&) { return ScriptedAnswer{status, "", body, {}, {}}; }};
  std::unique_ptr<HttpClient> http = make_http_client({});
  std::unique_ptr<TelemetryLink> link;
  SlotContents release;

  explicit World(const TelemetryConfig& limits = {}) {
    Identity identity;
    identity.server = server.url();
    identity.install = "ins-1";
    link = *TelemetryLink::open(identity, "boot-1", *database, clock, log, {}, limits);
    ota::Manifest manifest;
    manifest.contract.labels = {"a", "b", "c"};
    release.model = "m";
    release.version = "1.0.0";
    release.manifest_sha256 = sha256("manifest");
    release.slot = "a";
    release.rollout = "ro-1";
    release.arm = "canary";
    release.directory = directory.path();
    release.manifest = std::make_shared<const ota::Manifest>(std::move(manifest));
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() { ::close(null); }

  void answer_one() {
    const float scores[] = {0.1F, 5.0F, 0.2F};
    link->on_inference({release, std::chrono::milliseconds{2}, "", scores});
  }
  telemetry::WindowReport received(std::size_t index) {
    auto requests = server.requests();
    REQUIRE(requests.size() > index);
    CHECK(requests[index].has("Content-Encoding: gzip"));
    auto bytes = telemetry::gunzip(requests[index].body);
    REQUIRE(bytes);
    auto report = telemetry::decode_otlp(*bytes);
    REQUIRE(report);
    return *report;
  }
};

}  // namespace

TEST_CASE("what was answered in an interval arrives as one window with all its attributes") {
  World world;
  for (int n = 0; n < 3; ++n) world.answer_one();
  world.link->on_inference({world.release, seconds{0}, "timeout", {}});
  world.link->on_label({world.release, true, "audit"});
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.server.requests().empty());  // the interval is not over
  world.clock.advance(world.link->due_in());
  REQUIRE(world.link->upload(*world.http));
  auto report = world.received(0);
  CHECK(report.install == "ins-1");
  CHECK(report.boot == "boot-1");
  CHECK(report.seq == 1);
  REQUIRE(report.releases.size() == 1);
  const auto& window = report.releases[0];
  CHECK(window.key.version == "1.0.0");
  CHECK(window.key.rollout == "ro-1");
  CHECK(window.key.arm == "canary");
  CHECK(window.errors.at("timeout") == 1);
  CHECK(window.labels.at({"audit", true}) == 1);
  REQUIRE(window.classes.size() >= 2);
  CHECK(window.classes[1] == 3);
}

TEST_CASE("agreement of a candidate with the active release arrives under the candidate, without what was NaN") {
  World world;
  SlotContents active = world.release;
  active.version = "0.9.0";
  const float second[] = {0, 5, 0}, third[] = {0, 0, 5}, broken[] = {0, NAN, 0};
  for (int i = 0; i < 3; ++i) world.link->on_shadow({world.release, active, second, second});
  world.link->on_shadow({world.release, active, third, second});
  world.link->on_shadow({world.release, active, broken, second});
  world.link->on_shadow({world.release, active, second, broken});
  world.clock.advance(seconds{61});
  REQUIRE(world.link->upload(*world.http));
  const auto window = world.received(0).releases.at(0);
  CHECK(window.key.version == "1.0.0");
  const telemetry::ShadowAgreement& agreement = window.shadow.at("0.9.0");
  CHECK(agreement.agreed == 3);
  CHECK(agreement.compared() == 4);
  CHECK(agreement.disagreed.at(telemetry::Confusion{1, 2}) == 1);
  CHECK(std::abs(agreement.gap_sum) < 1e-6);  // they were equally sure
}

TEST_CASE("nothing happened: nothing is written and nothing is sent") {
  World world;
  world.clock.advance(seconds{61});
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.server.requests().empty());
  CHECK(world.link->counts()->windows == 0);
}

TEST_CASE("a window stays until it is acknowledged, and goes out again as the same bytes") {
  World world;
  world.answer_one();
  world.clock.advance(seconds{61});
  world.status = 503;
  CHECK_FALSE(world.link->upload(*world.http));
  CHECK(world.link->counts()->windows == 1);
  world.status = 200;
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.link->counts()->windows == 0);
  auto requests = world.server.requests();
  REQUIRE(requests.size() == 2);
  CHECK(requests[0].body == requests[1].body);
}

TEST_CASE("a window the server will never take does not hold up the others") {
  World world;
  world.answer_one();
  REQUIRE(world.link->close_window());
  world.status = 400;
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.link->counts()->windows == 0);
}

TEST_CASE("the interval follows the server's word") {
  World world;
  CHECK(world.link->due_in() == seconds{60});
  world.link->set_interval(seconds{5});
  CHECK(world.link->due_in() == seconds{5});
  world.link->set_interval(seconds{300});
  CHECK(world.link->due_in() == seconds{300});
}

TEST_CASE("inputs and outputs are looked at, named by the contract") {
  World world;
  ota::Manifest manifest = *world.release.manifest;
  manifest.contract.inputs = {{"image", "FP32", {-1, 2}}, {"=strange name", "FP32", {-1, 2}}};
  manifest.contract.outputs = {{"y", "FP32", {-1, 3}}};
  world.release.manifest = std::make_shared<const ota::Manifest>(manifest);
  const float pixels[] = {0.25F, 0.75F}, nan[] = {1.0F, NAN}, scores[] = {0.1F, NAN, 0.2F};
  const auto bytes = [](const auto& values) {
    return std::string_view(reinterpret_cast<const char*>(values), sizeof values);
  };
  const std::vector<runtime::TensorView> inputs = {{"image", runtime::DataType::fp32, {1, 2}, bytes(pixels)},
                                                   {"=strange name", runtime::DataType::fp32, {1, 2}, bytes(nan)},
                                                   {"unknown", runtime::DataType::fp32, {1, 2}, bytes(nan)}};
  const std::vector<runtime::TensorView> outputs = {{"y", runtime::DataType::fp32, {1, 3}, bytes(scores)}};
  world.link->on_inference({world.release, std::chrono::milliseconds{2}, "", scores, inputs, outputs});
  world.link->on_unjoinable_label(world.release);
  world.link->on_refused_request(world.release);
  world.link->on_label({world.release, true, "audit", seconds{100}});
  world.clock.advance(seconds{61});
  REQUIRE(world.link->upload(*world.http));
  const auto window = world.received(0).releases.at(0);
  CHECK(window.inputs.size() == 2);
  CHECK(window.inputs.at("image").sum == 1.0);
  CHECK(window.inputs.at("input-1").with_nan == 1);
  CHECK(window.outputs.nan == 1);
  CHECK(window.duration.count() == 1);
  CHECK(window.confidence.total() == 0);
  CHECK(window.labels_unjoinable == 1);
  CHECK(window.requests_refused == 1);
  CHECK(window.label_delay == telemetry::DelayOctaves{{6, 1}});
}

TEST_CASE("a window ends at its number of inferences too, and the uploading thread is called") {
  TelemetryConfig limits;
  limits.window_inferences_max = 100;
  World world(limits);
  int woken = 0;
  world.link->on_wake([&] { ++woken; });
  for (int n = 0; n < 250; ++n) world.answer_one();
  CHECK(woken == 2);
  CHECK(world.link->due_in() == seconds{0});
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.server.requests().size() == 2);
  CHECK(world.received(0).inference_count() == 100);
  CHECK(world.received(1).seq == 2);
  CHECK(world.link->due_in() == seconds{60});  // the open window goes on to its own end
  world.clock.advance(seconds{60});
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.received(2).inference_count() == 50);
}

TEST_CASE("when the day's bytes are spent windows become longer, and nothing is lost") {
  TelemetryConfig limits;
  limits.bytes_per_day_max = 24 * 1024;  // an hour's share is about one upload
  World world(limits);
  constexpr int minutes = 600;
  for (int minute = 0; minute < minutes; ++minute) {
    world.answer_one();
    world.clock.advance(seconds{60});
    REQUIRE(world.link->upload(*world.http));
  }
  const auto requests = world.server.requests();
  std::size_t bytes = 0;
  std::uint64_t inferences = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    bytes += requests[i].body.size();
    inferences += world.received(i).inference_count();
  }
  CHECK(bytes <= 24 * 1024 * 10 / 24 + 2'048);
  CHECK(requests.size() >= 8);
  CHECK(requests.size() < minutes / 10);
  const auto counts = *world.link->counts();
  CHECK(counts.windows <= 2);
  CHECK(counts.dropped == 0);
  world.clock.advance(std::chrono::hours{72});
  REQUIRE(world.link->upload(*world.http));
  world.clock.advance(std::chrono::hours{72});
  REQUIRE(world.link->upload(*world.http));
  for (std::size_t i = requests.size(); i < world.server.requests().size(); ++i)
    inferences += world.received(i).inference_count();
  CHECK(inferences == minutes);
}

TEST_CASE("a model that answers NaN, or fails, raises one hard alarm, at once") {
  World world;
  std::vector<Json> events;
  int woken = 0;
  world.link->on_alarm([&](const Json& event) { events.push_back(event); });
  world.link->on_wake([&] { ++woken; });
  const float scores[] = {NAN, 1.0F, 2.0F};
  const std::string bytes(reinterpret_cast<const char*>(scores), sizeof scores);
  const std::vector<runtime::TensorView> outputs = {{"y", runtime::DataType::fp32, {1, 3}, bytes}};
  for (int n = 0; n < 8; ++n) {
    const int before = woken;
    world.link->on_inference({world.release, seconds{0}, "", scores, {}, outputs});
    if (woken > before) REQUIRE(world.link->upload(*world.http));
  }
  REQUIRE(events.size() == 1);
  CHECK(events[0]["kind"] == "alarm");
  CHECK(events[0]["reason"] == "alarm.output_nan");
  CHECK(events[0]["model"] == "m");
  CHECK(events[0]["manifest_sha256"] == world.release.manifest_sha256.hex());
  for (int n = 0; n < 50; ++n) world.link->on_inference({world.release, seconds{0}, "trial.hang", {}});
  REQUIRE(world.link->upload(*world.http));
  REQUIRE(world.link->upload(*world.http));
  REQUIRE(events.size() == 2);
  CHECK(events[1]["reason"] == "alarm.errors");
}

TEST_CASE("what the receiver left out is no error and is not sent again; what it refuses counts as dropped") {
  World world;
  telemetry::Rejected rejected;
  rejected.add("scale", "exponential histogram of scale 3, expected 5");
  world.body = telemetry::encode_otlp_response(rejected);
  world.answer_one();
  REQUIRE(world.link->close_window());
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.link->counts()->windows == 0);
  CHECK(world.link->counts()->dropped == 0);
  world.status = 400;
  world.answer_one();
  REQUIRE(world.link->close_window());
  REQUIRE(world.link->upload(*world.http));
  CHECK(world.link->counts()->dropped == 1);
  CHECK(world.link->counts()->dropped_inferences == 1);
}
