// `ferry rollout`: what is asked for, how a wait ends, and that nobody steers a state they have not seen.
#include "telemetry/judge_record.hpp"
#include "tests/cli/api_server.hpp"
#include "tests/cli/workshop.hpp"

using namespace ferry;
using namespace ferry::test;

namespace {

Json rollout(const std::string& state, int revision = 5) {
  Json made = Json::parse(R"({
    "id": "ro-7", "name": "", "model": "fashion-mnist", "version": "1.3.0", "from_version": "1.1.0", "selector": "*",
    "reason": "", "created_ms": 1764054765000, "created_by": "ci", "ended_ms": 0, "phase": 0,
    "phases": [{"percent": 50, "soak_s": 10, "state": "failed", "devices": 2, "counts": {"committed": 0, "waiting": 1}}],
    "devices": {"selected": 4, "waiting": 3, "committed": 0, "rolled_back": 1},
    "failures": [{"reason": "trial.memory", "count": 1, "devices": ["dev-3"]}],
    "log": [{"at_ms": 1764054765000, "phase": 0, "verdict": "fail", "decision": "stop",
             "detail": "1 device failed, 0 are allowed: trial.memory on dev-3", "by": ""}]})");
  made["state"] = state;
  made["revision"] = revision;
  return made;
}

}  // namespace

TEST_CASE("create sends model, version, selector, name and the policy file as the API's policy") {
  ApiServer server;
  server.on("POST /rollouts", 201, rollout("running"));
  const Ran ran = server.ferry({"rollout", "create", "fashion-mnist@1.3.0", "--selector", "label.site=oslo", "--name",
                                "oslo first", "--policy", (example_folder / "rollout.toml").string(), "-o", "json"});
  INFO(ran.err);
  REQUIRE(ran.code == 0);
  CHECK(ran.json()["id"] == "ro-7");
  CHECK(contains(ran.err, "ferry rollout wait ro-7"));
  CHECK(server.body_of("POST /rollouts") == Json::parse(R"({
    "model": "fashion-mnist", "version": "1.3.0", "selector": "label.site=oslo", "name": "oslo first",
    "policy": {"phases": [{"percent": 100, "soak_s": 0}], "failures_max": 0, "device_timeout_s": 300,
      "trial": {"trial_deadline_s": 60, "shadow_requests": 40, "shadow_s_max": 20, "probation_requests": 60,
                "probation_s": 2, "error_share_max_ppm": 10000, "download_attempts_max": 5}}})"));
}

TEST_CASE("create without a policy leaves everything to the server's defaults") {
  ApiServer server;
  server.on("POST /rollouts", 201, rollout("running"));
  const Ran ran = server.ferry({"rollout", "create", "fashion-mnist@1.3.0"});
  CHECK(ran.code == 0);
  CHECK(contains(ran.out, "rolled_back=1 selected=4 waiting=3"));
  CHECK(server.body_of("POST /rollouts") == Json{{"model", "fashion-mnist"}, {"version", "1.3.0"}, {"selector", "*"}});
}

TEST_CASE("a policy file that is wrong is refused by name before the server is asked") {
  ApiServer server;
  const TempDir folder;
  const std::pair<const char*, const char*> cases[] = {{"[[phase]]\npercent = 100\n", "did you mean 'phases'"},
                                                       {"[rollout]\nfailure_max = 1\n", "did you mean 'failures_max'"},
                                                       {"rollout = 1\n", "rollout"},
                                                       {"phases = \n", "rollout.toml:1"}};
  for (const auto& [text, said] : cases) {
    write_text(folder / "rollout.toml", text);
    const Ran ran =
        server.ferry({"rollout", "create", "fashion-mnist@1.3.0", "--policy", (folder / "rollout.toml").string()});
    INFO(text << ran.err);
    CHECK(ran.code == 2);
    CHECK(contains(ran.err, said));
    CHECK(contains(ran.err, "rollout.toml"));
  }
  CHECK(server.ferry({"rollout", "create", "fashion-mnist@1.3.0", "--policy", (folder / "absent").string()}).code == 3);
  CHECK(server.ferry({"rollout", "create", "fashion-mnist"}).code == 2);
  CHECK(server.asked().empty());
}

TEST_CASE("create --wait follows the rollout to its end: done is exit 0, failed and aborted are exit 8") {
  for (const auto& [state, code] : {std::pair{"done", 0}, std::pair{"failed", 8}, std::pair{"aborted", 8}}) {
    ApiServer server;
    server.on("POST /rollouts", 201, rollout("running"));
    server.on("GET /rollouts/ro-7", 200, rollout("running"));
    server.on("GET /rollouts/ro-7", 200, rollout("running"));
    server.on("GET /rollouts/ro-7", 200, rollout("paused"));
    server.on("GET /rollouts/ro-7", 200, rollout(state));
    const Ran ran = server.ferry({"rollout", "create", "fashion-mnist@1.3.0", "--wait", "-o", "json"});
    CHECK(ran.code == code);
    CHECK(ran.json()["state"] == state);
    CHECK(server.requests("GET /rollouts/ro-7").size() == 4);
    // One line for each change, none for each look.
    CHECK(std::count(ran.err.begin(), ran.err.end(), '\n') == 3);
    CHECK(contains(ran.err, "ro-7 paused rolled_back=1 selected=4 waiting=3"));
  }
}

TEST_CASE("a rollout that still runs at the timeout is exit 9") {
  ApiServer server;
  server.on("GET /rollouts/ro-7", 200, rollout("running"));
  SimClock clock;
  clock.advance_by_itself();
  const auto started = clock.monotonic();
  const Ran ran = server.ferry({"rollout", "wait", "ro-7", "--timeout", "30"}, clock);
  CHECK(ran.code == 9);
  CHECK(ran.out.empty());
  CHECK(contains(ran.err, "still running: ro-7"));
  CHECK(clock.monotonic() - started == std::chrono::seconds{30});
  const Ran asked = server.ferry({"rollout", "create", "a@1.0.0", "--wait", "--timeout", "0"});
  CHECK(asked.code == 2);
}

TEST_CASE("a server that is away for a while does not end a wait") {
  ApiServer server;
  server.on("GET /rollouts/ro-7", 200, rollout("running"));
  server.refuse("GET /rollouts/ro-7", 503, "unavailable", "draining");
  server.on("GET /rollouts/ro-7", ScriptedAnswer{200, "", "{", 1, 400});
  server.on("GET /rollouts/ro-7", 200, rollout("done"));
  const Ran ran = server.ferry({"rollout", "wait", "ro-7"});
  CHECK(ran.code == 0);
  CHECK(contains(ran.err, "waiting for the server: "));
}

TEST_CASE("a server that never answered, or no longer knows or allows it, ends the wait at once") {
  ApiServer server;
  server.refuse("GET /rollouts/ro-7", 503, "unavailable", "draining");
  CHECK(server.ferry({"rollout", "wait", "ro-7"}).code == 11);
  CHECK(server.ferry({"rollout", "wait", "ro-8"}).code == 3);
  server.on("GET /rollouts/ro-9", 200, rollout("running"));
  server.refuse("GET /rollouts/ro-9", 401, "denied", "the token was revoked");
  CHECK(server.ferry({"rollout", "wait", "ro-9"}).code == 4);
}

TEST_CASE("a server that stays away until the timeout is exit 11, not a rollout that runs") {
  ApiServer server;
  server.on("GET /rollouts/ro-7", 200, rollout("running"));
  server.refuse("GET /rollouts/ro-7", 503, "unavailable", "draining");
  CHECK(server.ferry({"rollout", "wait", "ro-7", "--timeout", "10"}).code == 11);
}

TEST_CASE("each action sends the revision it has seen, and the reason given") {
  for (const char* action : {"pause", "resume", "promote", "abort", "rollback"}) {
    ApiServer server;
    server.on("GET /rollouts/ro-7", 200, rollout("running", 41));
    server.on("POST /rollouts/ro-7:" + std::string(action), 200, rollout("running", 42));
    const Ran ran = server.ferry({"rollout", action, "ro-7", "--reason", "too hot", "-o", "json"});
    INFO(ran.err);
    CHECK(ran.code == 0);
    CHECK(ran.json()["revision"] == 42);
    const auto sent = server.requests("POST /rollouts/ro-7:" + std::string(action));
    REQUIRE(sent.size() == 1);
    CHECK(has_header(sent[0], "If-Match: \"41\""));
    CHECK(Json::parse(sent[0].body) == Json{{"reason", "too hot"}});
  }
}

TEST_CASE("an action on a state that changed meanwhile, or does not allow it, is exit 5") {
  ApiServer server;
  server.on("GET /rollouts/ro-7", 200, rollout("running"));
  server.refuse("POST /rollouts/ro-7:abort", 412, "precondition_failed", "revision 6 is the present one");
  server.refuse("POST /rollouts/ro-7:resume", 409, "conflict", "state: running; only a paused rollout resumes");
  const Ran stale = server.ferry({"rollout", "abort", "ro-7"});
  CHECK(stale.code == 5);
  CHECK(contains(stale.err, "revision 6"));
  const Ran wrong = server.ferry({"rollout", "resume", "ro-7"});
  CHECK(wrong.code == 5);
  CHECK(contains(wrong.err, "only a paused rollout resumes"));
}

TEST_CASE("list and show print tables with phases, failures and the log, or the API's own JSON") {
  ApiServer server;
  server.on("GET /rollouts", 200, items({rollout("failed")}));
  server.on("GET /rollouts/ro-7", 200, rollout("failed"));
  const Ran list = server.ferry({"rollout", "list"});
  CHECK(contains(list.out, "ro-7     fashion-mnist  1.3.0    failed  0"));
  CHECK(server.ferry({"rollout", "list", "-o", "json"}).json() == Json::array({rollout("failed")}));
  const Ran show = server.ferry({"rollout", "show", "ro-7"});
  CHECK(show.code == 0);
  for (const char* part : {"state     failed", "waiting=1", "trial.memory  1", "dev-3",
                           "1 device failed, 0 are allowed: trial.memory on dev-3"}) {
    INFO(part << "\n" << show.out);
    CHECK(contains(show.out, part));
  }
  CHECK(server.ferry({"rollout", "show", "ro-7", "-o", "json"}).json() == rollout("failed"));
  CHECK(server.ferry({"rollout", "show", "ro-0"}).code == 3);
}

TEST_CASE("explain computes the live gate's verdict again: the record's own passes, another is exit 10") {
  telemetry::VerdictRecord record;
  record.verdict = telemetry::recompute(record);
  ApiServer server;
  server.on("GET /rollouts/ro-7/verdict", 200, telemetry::print_verdict(record));
  const Ran honest = server.ferry({"rollout", "explain", "ro-7"});
  INFO(honest.out << honest.err);
  CHECK(honest.code == 0);
  for (const std::string& sentence : telemetry::explain(record)) CHECK(contains(honest.out, sentence));
  CHECK(contains(honest.out, "recomputed: the same verdict"));
  CHECK(server.ferry({"rollout", "explain", "ro-7", "-o", "json"}).json() ==
        Json::parse(telemetry::print_verdict(record)));

  record.verdict.decision = telemetry::Decision::pass;
  server.on("GET /rollouts/ro-8/verdict", 200, telemetry::print_verdict(record));
  const Ran forged = server.ferry({"rollout", "explain", "ro-8"});
  CHECK(forged.code == 10);
  CHECK(contains(forged.out, "ANOTHER verdict"));
  CHECK(server.ferry({"rollout", "explain", "ro-9"}).code == 3);
}
