// The command line as a whole: flags, environment, errors, exit codes (docs/cli.md).
#include "tests/cli/api_server.hpp"

using namespace ferry;
using namespace ferry::test;

TEST_CASE("without a command, with a wrong one or a wrong flag: exit 2, and where help is") {
  const Environment none;
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"devise"},
                                                    {"device"},
                                                    {"device", "lst"},
                                                    {"device", "list", "--colour"},
                                                    {"device", "list", "-o", "yaml"},
                                                    {"bundle", "pack"},
                                                    {"rollout", "wait", "ro-1", "--timeout", "soon"}}) {
    const Ran ran = test::ferry(arguments);
    INFO(ran.err);
    CHECK(ran.code == 2);
    CHECK(ran.out.empty());
    CHECK(contains(ran.err, "--help"));
  }
}

TEST_CASE("a command that does not exist is named, with those that do") {
  const Environment none;
  const Ran noun = test::ferry({"--server", "device", "relase", "list"});
  CHECK(contains(noun.err,
                 "unknown command 'relase': expected one of key, bundle, gate, release, rollout, device, token"));
  const Ran verb = test::ferry({"bundle", "-q", "pakc", "-f", "bundle.toml"});
  CHECK(verb.code == 2);
  CHECK(contains(verb.err, "unknown command 'pakc': expected one of pack, inspect, verify"));
  CHECK(contains(test::ferry({"bundle"}).err, "subcommand is required"));
}

TEST_CASE("help and version are answers: exit 0, on stdout, also for each command") {
  const Environment none;
  CHECK(test::ferry({"--version"}).out == "ferry 0.1.0\n");
  const Ran help = test::ferry({"--help"});
  CHECK(help.code == 0);
  for (const char* noun : {"key", "bundle", "gate", "release", "rollout", "device", "token"}) {
    CHECK(contains(help.out, noun));
    CHECK(test::ferry({noun, "--help"}).code == 0);
  }
  CHECK(contains(test::ferry({"gate", "run", "--help"}).out, "FERRY_RUNTIME_LIBRARY"));
}

TEST_CASE("global flags may stand anywhere") {
  ApiServer server;
  server.on("GET /devices", 200, items({{{"id", "dev-1"}, {"state", "ok"}}}));
  const Environment none;
  const std::string url = server.url(), token = server.token_file();
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--server", url, "--token-file", token, "-o", "json", "device", "list"},
        {"device", "--server", url, "-o", "json", "list", "--token-file", token},
        {"device", "list", "--server=" + url, "--token-file=" + token, "--output=json"}}) {
    const Ran ran = test::ferry(arguments);
    INFO(ran.err);
    CHECK(ran.code == 0);
    CHECK(ran.json()[0]["id"] == "dev-1");
  }
}

TEST_CASE("the environment says what no flag says, and a flag wins") {
  ApiServer server;
  server.on("GET /tokens", 200, items({}));
  const TempDir folder;
  REQUIRE(write_file_atomic(folder / "other", "from-the-flag"));
  {
    const Environment set(
        {{"FERRY_SERVER", server.url()}, {"FERRY_TOKEN", "from-the-environment"}, {"FERRY_OUTPUT", "json"}});
    CHECK(test::ferry({"token", "list"}).out == "[]\n");
    CHECK(contains(test::ferry({"token", "list", "-o", "table"}).out, "TOKEN"));
    CHECK(test::ferry({"token", "list", "--token-file", (folder / "other").string()}).code == 0);
    CHECK(test::ferry({"token", "list", "--server", "https://"}).code == 2);
  }
  {
    const Environment set(
        {{"FERRY_SERVER", server.url()}, {"FERRY_TOKEN", "x"}, {"FERRY_TOKEN_FILE", server.token_file()}});
    CHECK(test::ferry({"token", "list"}).code == 0);
  }
  const Environment wrong{{"FERRY_OUTPUT", "yaml"}};
  CHECK(test::ferry({"token", "list"}).code == 2);

  const auto asked = server.requests("GET /tokens?limit=1000");
  REQUIRE(asked.size() == 4);
  CHECK(has_header(asked[0], "Authorization: Bearer from-the-environment"));
  CHECK(has_header(asked[2], "Authorization: Bearer from-the-flag"));
  CHECK(has_header(asked[3], "Authorization: Bearer acc-token-1"));
}

TEST_CASE("every refusal of the server has its exit code, and its detail is told") {
  const std::tuple<int, const char*, int> table[] = {{400, "bad_input", 2},
                                                     {400, "unsupported", 2},
                                                     {404, "not_found", 3},
                                                     {401, "denied", 4},
                                                     {403, "denied", 4},
                                                     {409, "conflict", 5},
                                                     {412, "precondition_failed", 5},
                                                     {409, "rollout_active", 5},
                                                     {409, "trust_missing", 5},
                                                     {422, "gate_failed", 6},
                                                     {422, "release_not_gated", 6},
                                                     {422, "gate_hold", 7},
                                                     {422, "bad_signature", 10},
                                                     {422, "expired", 10},
                                                     {409, "rollback_refused", 10},
                                                     {503, "unavailable", 11},
                                                     {429, "unavailable", 11},
                                                     {507, "no_space", 1},
                                                     {500, "internal", 1},
                                                     {400, "never heard of", 2}};
  for (const auto& [status, code, exit] : table) {
    ApiServer server;
    server.refuse("GET /releases", status, code, "counter: found 0, expected 1 to 9007199254740992");
    const Ran ran = server.ferry({"release", "list"});
    INFO(status << " " << code << ": " << ran.err);
    CHECK(ran.code == exit);
    CHECK(ran.out.empty());
    CHECK(contains(ran.err, "counter: found 0, expected 1 to 9007199254740992"));
  }
}

TEST_CASE("a status without problem+json has an exit code too") {
  for (const auto& [status, exit] : {std::pair{401, 4}, std::pair{404, 3}, std::pair{502, 11}, std::pair{418, 2}}) {
    ApiServer server;
    server.on("GET /releases", status, std::string("<html>teapot</html>"));
    const Ran ran = server.ferry({"release", "list"});
    CHECK(ran.code == exit);
    CHECK(contains(ran.err, "GET /releases"));
    CHECK(contains(ran.err, std::to_string(status)));
  }
}

TEST_CASE("an error says what happened, why, and what to do; as JSON too") {
  ApiServer server;
  server.refuse("POST /rollouts", 409, "rollout_active", "fashion-mnist: ro-7 is running; wait or abort it");
  server.refuse("GET /devices/dev-1", 422, "gate_failed", "attestations: FAILED", "trust.attestation_failed");
  const Ran people = server.ferry({"rollout", "create", "fashion-mnist@1.0.0"});
  CHECK(people.code == 5);
  CHECK(contains(people.err, "error: POST /rollouts: the server answered 409: fashion-mnist: ro-7 is running"));
  CHECK(contains(people.err, "reason: rollout_active\n"));
  CHECK(contains(people.err, "fix: "));

  const Ran machine = server.ferry({"device", "show", "dev-1", "-o", "json"});
  CHECK(machine.out.empty());
  const Json problem = Json::parse(machine.err);
  CHECK(problem["code"] == "gate_failed");
  CHECK(problem["reason"] == "trust.attestation_failed");
  CHECK(contains(problem["detail"].get<std::string>(), "attestations: FAILED"));
  CHECK(contains(problem["fix"].get<std::string>(), "gate report"));
}

TEST_CASE("what a server says cannot command the terminal") {
  ApiServer server;
  server.refuse("GET /releases", 400, "bad_input",
                "a\x1b]0;title\x07 b\xc2\x9b"
                "31m c");
  CHECK(contains(server.ferry({"release", "list"}).err, "a ]0;title  b  31m c"));
  server.on("GET /devices", 200, items({{{"id", "dev-\x1b[2J"}, {"state", "ok\nno"}}}));
  const Ran ran = server.ferry({"device", "list"});
  CHECK(contains(ran.out, "dev- [2J"));
  CHECK(contains(ran.out, "ok no"));
  CHECK(ran.out.find('\x1b') == std::string::npos);
}

TEST_CASE("with --quiet only data is printed") {
  ApiServer server;
  server.on("POST /tokens", 201, Json{{"id", "tok-1"}, {"token", "ferry1.abc"}, {"expires_ms", 0}});
  const Ran ran = server.ferry({"token", "create", "-q"});
  CHECK(ran.out == "ferry1.abc\n");
  CHECK(ran.err.empty());
  CHECK(!server.ferry({"token", "create"}).err.empty());
}

TEST_CASE("a release is named model@version and nothing else") {
  const auto good = cli::parse_release_name("fashion-mnist@1.0.0-rc.1");
  REQUIRE(good);
  CHECK(good->model == "fashion-mnist");
  CHECK(good->version == "1.0.0-rc.1");
  const Environment none;
  for (const char* bad : {"", "fashion-mnist", "@1.0.0", "fashion-mnist@", "Fashion@1.0.0", "a@1.0", "a@1.0.0@2",
                          "../x@1.0.0", "root@1.0.0", "a@1.0.0/../.."}) {
    INFO(bad);
    CHECK(!cli::parse_release_name(bad));
    const Ran ran = test::ferry({"release", "show", bad});
    CHECK(ran.code == 2);
    CHECK(!ran.err.empty());
  }
}
