#include "server/fleet/fleet.hpp"

#include "tests/server/core_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

constexpr std::int64_t now_ms = 1'790'000'000'000;
constexpr std::int64_t poll_s = 30;

CertificateRow certificate(const std::string& fingerprint, const std::string& device, std::int64_t issued_ms) {
  return {fingerprint, device, "key of " + device, issued_ms, issued_ms + 1000};
}

void say(Device& device, const std::string& models) {
  device.change([&](DeviceFacts& facts) { facts.models = *parse_json(models); });
}

}  // namespace

TEST_CASE("a device is found by its id and by the certificates that are accepted") {
  Fleet fleet;
  CHECK_FALSE(fleet.find("dev-1"));
  fleet.add({.id = "dev-1", .enrolled_ms = 5, .labels = R"({"site": "oslo", "bad": 7})"});
  fleet.add_certificate(certificate("f1", "dev-1", 1));
  fleet.add_certificate(certificate("f9", "dev-unknown", 1));
  REQUIRE(fleet.find("dev-1"));
  CHECK(fleet.find_by_fingerprint("f1") == fleet.find("dev-1"));
  CHECK_FALSE(fleet.find_by_fingerprint("f9"));
  CHECK_FALSE(fleet.find_by_fingerprint(""));
  CHECK(fleet.find("dev-1")->facts()->labels == Labels{{"site", "oslo"}});
  CHECK(fleet.size() == 1);
}

TEST_CASE("only the newest certificates of a device are accepted") {
  Fleet fleet;
  fleet.add({.id = "dev-1"});
  for (int i = 1; i <= certificates_per_device_max + 2; ++i)
    fleet.add_certificate(certificate("f" + std::to_string(i), "dev-1", i));
  CHECK_FALSE(fleet.find_by_fingerprint("f1"));
  CHECK_FALSE(fleet.find_by_fingerprint("f2"));
  CHECK(fleet.find_by_fingerprint("f3"));
  CHECK(fleet.certificates_of("dev-1").size() == static_cast<std::size_t>(certificates_per_device_max));
  CHECK(fleet.certificates_of("dev-1").back().fingerprint == "f6");
  CHECK(fleet.certificates_of("dev-2").empty());
}

TEST_CASE("pages go through the fleet by id") {
  Fleet fleet;
  for (const char* id : {"dev-c", "dev-a", "dev-d", "dev-b"}) fleet.add({.id = id});
  const auto ids = [](const std::vector<DevicePtr>& devices) {
    std::string text;
    for (const DevicePtr& device : devices) text += device->id.back();
    return text;
  };
  const auto all = [](const Device&) { return true; };
  CHECK(ids(fleet.all()) == "abcd");
  CHECK(ids(fleet.page("", 2, all)) == "ab");
  CHECK(ids(fleet.page("dev-b", 2, all)) == "cd");
  CHECK(ids(fleet.page("dev-d", 2, all)).empty());
  CHECK(ids(fleet.page("", 9, [](const Device& device) { return device.id != "dev-b"; })) == "acd");
}

TEST_CASE("membership changes whenever a selector may match otherwise") {
  Fleet fleet;
  const std::uint64_t before = fleet.membership();
  fleet.add({.id = "dev-1"});
  CHECK(fleet.membership() > before);
  const std::uint64_t added = fleet.membership();
  fleet.seen(*fleet.find("dev-1"), 5);
  CHECK(fleet.membership() == added);
  fleet.membership_changed();
  CHECK(fleet.membership() > added);
}

TEST_CASE("when a device was last seen is handed over once, with its latest time") {
  Fleet fleet;
  fleet.add({.id = "dev-1"});
  fleet.add({.id = "dev-2"});
  fleet.seen(*fleet.find("dev-1"), 5);
  fleet.seen(*fleet.find("dev-1"), 7);
  auto seen = fleet.take_seen();
  REQUIRE(seen.size() == 1);
  CHECK(seen[0] == std::pair<std::string, std::int64_t>("dev-1", 7));
  CHECK(fleet.take_seen().empty());
  fleet.seen(*fleet.find("dev-1"), 9);
  CHECK(fleet.take_seen().size() == 1);
}

TEST_CASE("a device is online for three poll intervals and a minute") {
  Device device("dev-1", 0);
  CHECK_FALSE(is_online(device, now_ms, poll_s));
  CHECK(state_of(device, now_ms, poll_s) == DeviceState::fresh);
  const std::int64_t limit = 3 * poll_s * 1000 + 60'000;
  device.last_seen_ms = now_ms - limit;
  CHECK(is_online(device, now_ms, poll_s));
  CHECK(state_of(device, now_ms, poll_s) == DeviceState::ok);
  device.last_seen_ms = now_ms - limit - 1;
  CHECK_FALSE(is_online(device, now_ms, poll_s));
  CHECK(state_of(device, now_ms, poll_s) == DeviceState::offline);
  device.last_seen_ms = now_ms;
  device.revoked = true;
  CHECK_FALSE(is_online(device, now_ms, poll_s));
  CHECK(state_of(device, now_ms, poll_s) == DeviceState::revoked);
}

TEST_CASE("a device's state is updating, attention or ok by what it said last") {
  Device device("dev-1", 0);
  device.last_seen_ms = now_ms;
  const auto state = [&] { return to_string(state_of(device, now_ms, poll_s)); };
  say(device, R"([{"model": "m", "update": {"state": "idle"}, "last_reason": ""}])");
  CHECK(state() == "ok");
  say(device, R"([{"model": "m", "update": {"state": "idle"}, "last_reason": "trial.memory"}])");
  CHECK(state() == "attention");
  say(device, R"([{"model": "m", "update": {"state": "idle"}, "last_reason": "trial.memory"},
                  {"model": "n", "update": {"state": "trial"}}])");
  CHECK(state() == "updating");
  say(device, R"([7, {"model": "m", "update": 5, "last_reason": []}])");
  CHECK(state() == "ok");
  device.change([&](DeviceFacts& facts) { facts.alarm_ms = now_ms - attention_alarm_ms + 1; });
  CHECK(state() == "attention");
  device.change([&](DeviceFacts& facts) { facts.alarm_ms = now_ms - attention_alarm_ms; });
  CHECK(state() == "ok");
}

TEST_CASE("what a device runs is read from what it said, and nonsense reads as unknown") {
  Device device("dev-1", 0);
  const std::string hex = sha256("x").hex();
  say(device, R"([{"model": "m", "active": {"manifest_sha256": ")" + hex + R"("}}])");
  CHECK(device.running("m") == sha256("x"));
  CHECK(device.running("n") == Digest{});
  for (const char* models : {R"([{"model": "m"}])", R"([{"model": "m", "active": null}])",
                             R"([{"model": "m", "active": {"manifest_sha256": "short"}}])",
                             R"([{"model": "m", "active": {"manifest_sha256": 5}}])", "[]", "[null, 5, []]"}) {
    say(device, models);
    INFO(models);
    CHECK(device.running("m") == Digest{});
  }
}

TEST_CASE("each change of a device's facts raises its version and leaves readers the old ones") {
  Device device("dev-1", 0);
  const auto before = device.facts();
  const std::uint64_t version = device.version;
  device.change([](DeviceFacts& facts) { facts.agent_version = "0.2.0"; });
  CHECK(before->agent_version.empty());
  CHECK(device.facts()->agent_version == "0.2.0");
  CHECK(device.version == version + 1);
}

TEST_CASE("the fleet is loaded from the database as it was, damaged texts read as empty") {
  Core core;
  core.add_device("dev-1", R"({"site": "oslo"})");
  DeviceRow damaged{.id = "dev-2", .state = "revoked", .labels = "{", .profile = "[]", .models = "{}"};
  DeviceStore store(*core.database);
  need(store.insert(damaged));
  need(store.add_certificate(certificate("f2", "dev-1", 2)));
  need(store.add_certificate(certificate("f1", "dev-1", 1)));
  need(store.set_last_seen({{"dev-1", 77}}));
  core.restart();
  CHECK(core.fleet->size() == 2);
  CHECK(core.fleet->find("dev-1")->last_seen_ms == 77);
  CHECK(core.fleet->find("dev-1")->facts()->labels == Labels{{"site", "oslo"}});
  CHECK(core.fleet->certificates_of("dev-1").back().fingerprint == "f2");
  CHECK(core.fleet->find("dev-2")->revoked);
  CHECK(core.fleet->find("dev-2")->facts()->models == Json::array());
}
