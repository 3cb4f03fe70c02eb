#include "server/fleet/device_reports.hpp"

#include "tests/server/core_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

struct World : Core {
  World() : device(add_device("dev-1")) {}
  DevicePtr device;

  std::vector<EventRow> timeline(const std::string& id = "dev-1") {
    DeviceStore store(*database);
    return need(store.events(id, 0, 2000));
  }
  std::vector<InboxRow> inbox() {
    DeviceStore store(*database);
    return need(store.inbox(100));
  }
  // The error of a batch; nothing of it may have been applied.
  Error refusal(const std::string& body) {
    const auto before = timeline().size();
    const auto models = device->facts()->models;
    auto result = send("dev-1", body);
    CHECK(timeline().size() == before);
    CHECK(device->facts()->models == models);
    CHECK(inbox().empty());
    if (!result) return result.error();
    FAIL("accepted: " << body);
    return {Errc::internal, ""};
  }
};

Json started(std::int64_t seq) {
  return Json{
      {"seq", seq}, {"at_ms", 7}, {"kind", "started"}, {"detail", {{"boot", "b1"}, {"agent_version", "0.1.0"}}}};
}

}  // namespace

TEST_CASE("events are applied once and in order of their sequence, however a batch was put together") {
  World world;
  CHECK(need(world.send("dev-1", Core::events({started(2), started(1)}))) == 2);
  CHECK(need(world.send("dev-1", Core::events({started(2), started(1)}))) == 2);
  CHECK(need(world.send("dev-1", Core::events({started(1), started(2), started(3), started(3)}))) == 3);
  const auto timeline = world.timeline();
  REQUIRE(timeline.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(timeline[i].seq == std::int64_t(3 - i));
  CHECK(timeline[0].kind == "started");
  CHECK(timeline[0].at_ms == 7);
  CHECK(timeline[0].received_ms == to_unix_ms(world.clock.now()));
  CHECK(need(world.send("dev-1", Core::events({}))) == 3);
}

TEST_CASE("what was applied is remembered over a restart, per install") {
  World world;
  need(world.send("dev-1", Core::events({started(1), started(2)})));
  world.restart();
  CHECK(need(world.send("dev-1", Core::events({started(1), started(2)}))) == 2);
  CHECK(world.timeline().size() == 2);
  CHECK(need(world.send("dev-1", Core::events({started(1)}, "in-2"))) == 1);  // enrolled anew: counts from 1 again
  CHECK(world.timeline().size() == 3);
  CHECK(need(world.send("dev-1", Core::events({started(3)}))) == 3);
}

TEST_CASE("one device's sequences are nothing to another") {
  World world;
  world.add_device("dev-2");
  CHECK(need(world.send("dev-1", Core::events({started(5)}))) == 5);
  CHECK(need(world.send("dev-2", Core::events({started(1)}))) == 1);
  CHECK(world.timeline("dev-2").size() == 1);
}

TEST_CASE("a malformed batch is refused with the field's name, and nothing of it is applied") {
  World world;
  const auto with = [](const char* key, const Json& value) {
    Json event{{"seq", 2},           {"kind", "update"},  {"model", "fashion-mnist"},
               {"version", "1.0.0"}, {"rollout", "ro-1"}, {"state", "staged"},
               {"reason", ""}};
    event[key] = value;
    return Core::events({started(1), event});
  };
  const auto named = [&](const std::string& body, const std::string& what) {
    const Error error = world.refusal(body);
    INFO(body);
    CHECK(error.code == Errc::bad_input);
    CHECK_THAT(error.context, Catch::Contains(what));
  };
  named(with("seq", 0), "events[1]: field 'seq'");
  named(with("seq", "2"), "events[1]: field 'seq'");
  named(with("seq", 1e300), "events[1]: field 'seq'");
  named(with("seq", nullptr), "events[1]: field 'seq'");
  named(with("at_ms", -1), "events[1]: field 'at_ms'");
  named(with("kind", "Update"), "events[1]: kind");
  named(with("kind", ""), "events[1]: kind");
  named(with("kind", "revoked"), "events[1]: kind");
  named(with("kind", "enrolled"), "events[1]: kind");
  named(with("kind", std::string(300, 'x')), "events[1]: field 'kind'");
  named(with("model", "../etc"), "events[1]: ");
  named(with("model", ""), "events[1]: ");
  named(with("model", 5), "events[1]: field 'model'");
  named(with("version", std::string(300, '1')), "events[1]: field 'version'");
  named(with("state", "gone"), "events[1]: state");
  named(with("state", "waiting"), "events[1]: state");
  named(with("state", "offered"), "events[1]: state");
  named(with("state", "timed_out"), "events[1]: state");
  named(with("reason", Json::array()), "events[1]: field 'reason'");
  named(with("detail", Json{{"message", std::string(event_detail_bytes_max, 'x')}}), "events[1]: detail");
  named(Core::events({started(1), 7}), "events[1]");
  named(Core::events({started(1)}, ""), "install");
  named(Core::events({started(1)}, std::string(200, 'i')), "install");
  named(R"({"format": "ferry.events/1", "install": "in-1"})", "events");
  named(R"({"format": "ferry.events/1", "install": "in-1", "events": {}})", "events");
  named(R"({"install": "in-1", "events": []})", "format");
  named("[]", "format");
  named("", "");
  named("{\"format\": \"ferry.events/1\", \"install\": \"in-1\", \"events\": [", "");
  named(Core::events(std::vector<Json>(events_per_batch_max + 1, started(1))), "events");
  named(std::string(events_body_bytes_max + 1, ' '), "");
  CHECK(world.refusal(R"({"format": "ferry.events/2", "install": "in-1", "events": []})").code == Errc::unsupported);
  CHECK(need(world.send("dev-1", with("seq", 2))) == 2);  // and the good one goes through
}

TEST_CASE("a slots event replaces what the device says about itself, and is no line of the timeline") {
  World world;
  need(world.send("dev-1", Core::events({Core::slots_event(1, "1.0.0", "")})));
  CHECK(world.timeline().empty());
  CHECK(world.device->running("fashion-mnist") == sha256("manifest of 1.0.0"));
  CHECK(world.device->running("other") == Digest{});
  need(world.send("dev-1", Core::events({Core::slots_event(2, "1.1.0", "")})));
  CHECK(world.device->running("fashion-mnist") == sha256("manifest of 1.1.0"));
  need(world.send("dev-1", Core::events({Core::slots_event(1, "1.0.0", "")})));  // late: older than what is known
  CHECK(world.device->running("fashion-mnist") == sha256("manifest of 1.1.0"));
  world.restart();
  CHECK(world.fleet->find("dev-1")->running("fashion-mnist") == sha256("manifest of 1.1.0"));
}

TEST_CASE("a slots event is bounded and its models have names") {
  World world;
  const auto slots = [](Json models) {
    return Core::events({Json{{"seq", 1}, {"kind", "slots"}, {"detail", {{"models", std::move(models)}}}}});
  };
  CHECK_THAT(world.refusal(slots(Json::object())).context, Catch::Contains("detail: field 'models'"));
  CHECK_THAT(world.refusal(slots(Json::array({7}))).context, Catch::Contains("detail: models[0]"));
  CHECK_THAT(world.refusal(slots(Json::array({{{"model", "../x"}}}))).context, Catch::Contains("models[0]"));
  CHECK_THAT(world.refusal(slots(std::vector<Json>(models_per_device_max + 1, {{"model", "m"}}))).context,
             Catch::Contains("models"));
  CHECK_THAT(world.refusal(Core::events({Json{{"seq", 1}, {"kind", "slots"}}})).context, Catch::Contains("models"));
  CHECK_THAT(
      world.refusal(slots(Json::array({{{"model", "m"}, {"x", std::string(slots_detail_bytes_max, 'x')}}}))).context,
      Catch::Contains("detail"));
  // Nonsense inside an entry is shown as it is, never trusted.
  need(world.send("dev-1", slots(Json::array({{{"model", "m"}, {"active", 5}, {"slots", "none"}, {"update", 3}}}))));
  CHECK(world.device->running("m") == Digest{});
  CHECK(state_of(*world.device, 0, 30) == DeviceState::fresh);
}

TEST_CASE("facts for rollouts wait in the inbox until they are taken") {
  World world;
  need(world.send("dev-1", Core::update_event(1, "ro-1", "1.0.0", "downloading")));
  need(world.send("dev-1", Core::update_event(2, "ro-1", "1.0.0", "rejected", "trial.memory")));
  need(world.send("dev-1", Core::update_event(3, "", "1.0.0", "committed")));  // simply current: nobody's fact
  const auto inbox = world.inbox();
  REQUIRE(inbox.size() == 2);
  CHECK(inbox[0].state == Progress::downloading);
  CHECK(inbox[1].state == Progress::rejected);
  CHECK(inbox[1].reason == "trial.memory");
  CHECK(inbox[1].device == "dev-1");
  CHECK(inbox[1].rollout == "ro-1");
  world.restart();
  CHECK(world.inbox().size() == 2);
}

TEST_CASE("what serves tells its rollout that it was committed, when that is news") {
  World world;
  const auto facts = [&](std::int64_t seq, const std::string& version, const std::string& rollout) {
    const std::size_t before = world.inbox().size();
    need(world.send("dev-1", Core::events({Core::slots_event(seq, version, rollout)})));
    return world.inbox().size() - before;
  };
  CHECK(facts(1, "1.0.0", "") == 0);
  CHECK(facts(2, "1.0.0", "ro-1") == 1);  // given by a rollout what it ran already
  CHECK(world.inbox().back().state == Progress::committed);
  CHECK(facts(3, "1.0.0", "ro-1") == 0);
  CHECK(facts(4, "1.1.0", "ro-2") == 1);
  CHECK(facts(5, "1.1.0", "") == 0);
  // A candidate that answers on probation has no entry in its slot yet.
  Json trial = Core::slots_event(6, "1.2.0", "ro-3");
  trial["detail"]["models"][0]["slots"]["a"] = nullptr;
  need(world.send("dev-1", Core::events({trial})));
  CHECK(world.inbox().size() == 2);
}

TEST_CASE("an alarm is remembered") {
  World world;
  world.clock.advance(std::chrono::hours{1});
  need(world.send("dev-1", Core::events({Json{{"seq", 1}, {"kind", "alarm"}, {"reason", "slot.corrupt"}}})));
  CHECK(world.device->facts()->alarm_ms == to_unix_ms(world.clock.now()));
  world.restart();
  CHECK(world.fleet->find("dev-1")->facts()->alarm_ms == to_unix_ms(world.clock.now()));
}

TEST_CASE("the timeline keeps the newest events of a device") {
  World world;
  std::int64_t seq = 0;
  for (int batch = 0; batch < 6; ++batch) {
    std::vector<Json> events;
    for (std::size_t i = 0; i < events_per_batch_max; ++i) events.push_back(started(++seq));
    need(world.send("dev-1", Core::events(events)));
  }
  const auto timeline = world.timeline();
  CHECK(timeline.size() == static_cast<std::size_t>(timeline_events_max));
  CHECK(timeline.front().seq == seq);
  CHECK(timeline.back().seq == seq - timeline_events_max + 1);
}

TEST_CASE("a profile is checked, kept, and read back after a restart") {
  World world;
  const std::string profile =
      R"({"format": "ferry.profile/1", "hardware_class": "x86_64-avx2-2c-16g-cpu", "architecture": "x86_64", "agent_version": "0.1.0", "cores": 2})";
  need(world.reports->put_profile(*world.device, profile));
  CHECK(world.device->facts()->hardware_class == "x86_64-avx2-2c-16g-cpu");
  CHECK(world.device->facts()->agent_version == "0.1.0");
  const std::uint64_t version = world.device->version;
  need(world.reports->put_profile(*world.device, profile));
  CHECK(world.device->version == version);  // the same again is no news
  world.restart();
  CHECK(world.fleet->find("dev-1")->facts()->hardware_class == "x86_64-avx2-2c-16g-cpu");
  CHECK(parse_json(world.fleet->find("dev-1")->facts()->profile).value()["cores"] == 2);
}

TEST_CASE("a bad profile is refused with the field's name and changes nothing") {
  World world;
  const auto refusal = [&](const std::string& body) {
    auto put = world.reports->put_profile(*world.device, body);
    REQUIRE_FALSE(put);
    CHECK(world.device->facts()->profile.empty());
    return put.error().context;
  };
  CHECK_THAT(refusal(R"({"format": "ferry.profile/9", "hardware_class": "x", "architecture": "x"})"),
             Catch::Contains("ferry.profile/1"));
  CHECK_THAT(refusal(R"({"format": "ferry.profile/1", "architecture": "x86_64"})"), Catch::Contains("hardware_class"));
  CHECK_THAT(refusal(R"({"format": "ferry.profile/1", "hardware_class": "x86_64-a"})"),
             Catch::Contains("architecture"));
  CHECK_THAT(refusal(R"({"format": "ferry.profile/1", "hardware_class": "aarch64-a", "architecture": "x86_64"})"),
             Catch::Contains("hardware_class") && Catch::Contains("x86_64"));
  CHECK_THAT(refusal(R"({"format": "ferry.profile/1", "hardware_class": "", "architecture": ""})"),
             Catch::Contains("hardware_class"));
  CHECK_FALSE(refusal("nonsense").empty());
  CHECK_FALSE(refusal("\"" + std::string(profile_bytes_max, 'x') + "\"").empty());
}

TEST_CASE("labels are put over the device's own; null takes one away; a bad one changes nothing") {
  World world;
  const auto labels = [&] { return world.fleet->find("dev-1")->facts()->labels; };
  const std::uint64_t membership = world.fleet->membership();
  need(world.reports->set_labels(*world.device, Json{{"site", "oslo"}, {"kind", "camera"}}, "ada"));
  CHECK(labels() == Labels{{"kind", "camera"}, {"site", "oslo"}});
  CHECK(world.fleet->membership() > membership);
  need(world.reports->set_labels(*world.device, Json{{"kind", nullptr}, {"absent", nullptr}, {"rack", "7"}}, "ada"));
  CHECK(labels() == Labels{{"rack", "7"}, {"site", "oslo"}});
  CHECK(world.timeline().size() == 2);
  CHECK(world.timeline().front().kind == "labelled");
  need(world.reports->set_labels(*world.device, Json{{"rack", "7"}}, "ada"));
  CHECK(world.timeline().size() == 2);  // nothing changed
  for (const Json& bad :
       {Json{{"ok", "x"}, {"Bad", "x"}}, Json{{"ok", "x"}, {"a", 5}}, Json{{"ok", "x"}, {"a", "b,c"}}}) {
    auto refused = world.reports->set_labels(*world.device, bad, "ada");
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().context, Catch::StartsWith("labels: "));
    CHECK(labels() == Labels{{"rack", "7"}, {"site", "oslo"}});
  }
  Json many = Json::object();
  for (std::size_t i = 0; i <= labels_per_device_max; ++i) many["k" + std::to_string(i)] = "v";
  CHECK_THAT(world.reports->set_labels(*world.device, many, "ada").error().context, Catch::Contains("more than 32"));
  world.restart();
  CHECK(labels() == Labels{{"rack", "7"}, {"site", "oslo"}});
}

TEST_CASE("a kill between any two statements of a batch leaves all of it or nothing") {
  const std::string body = Core::events(
      {started(1), *parse_json(R"({"seq": 2, "kind": "update", "model": "m", "state": "staged", "rollout": "ro-1"})"),
       Core::slots_event(3, "1.0.0", "ro-1"), *parse_json(R"({"seq": 4, "kind": "alarm"})")});
  for (std::int64_t steps = 0;; ++steps) {
    World world;
    world.database->steps_left = steps;
    const auto sent = world.send("dev-1", body);
    const bool finished = sent.has_value();
    world.restart();
    const std::size_t facts = world.inbox().size();
    INFO("after " << steps << " steps");
    CHECK((facts == 0 || facts == 2));
    CHECK(world.timeline().size() == (facts == 0 ? 0 : 3));
    CHECK((world.fleet->find("dev-1")->facts()->alarm_ms != 0) == (facts == 2));
    CHECK((world.fleet->find("dev-1")->running("fashion-mnist") != Digest{}) == (facts == 2));
    CHECK(need(world.send("dev-1", body)) == 4);
    CHECK(world.inbox().size() == 2);
    CHECK(world.timeline().size() == 3);
    if (finished) break;
    REQUIRE(steps < 100);
  }
}
