// Where the server is, who asks, and what happens when it cannot be reached or talks nonsense.
#include "tests/cli/api_server.hpp"
#include "tests/common/http/http_fixture.hpp"

using namespace ferry;
using namespace ferry::test;

TEST_CASE("no server and no token are said as such, with the flag and the variable") {
  const Environment none;
  const Ran no_server = test::ferry({"device", "list"});
  CHECK(no_server.code == 2);
  CHECK(contains(no_server.err, "--server"));
  CHECK(contains(no_server.err, "FERRY_SERVER"));
  const Ran no_token = test::ferry({"device", "list", "--server", "https://localhost:1"});
  CHECK(no_token.code == 2);
  CHECK(contains(no_token.err, "--token-file"));
  CHECK(contains(no_token.err, "FERRY_TOKEN"));
}

TEST_CASE("the token is sent over TLS, or in the clear to this machine alone") {
  const Environment none{{"FERRY_TOKEN", "secret"}};
  for (const char* url : {"localhost:1", "ftp://localhost", "http://fleet.example.com", "http://localhost.example.com",
                          "http://127.0.0.1.example.com:80", "https://", "file:///etc/passwd"}) {
    const Ran ran = test::ferry({"device", "list", "--server", url});
    INFO(url);
    CHECK(ran.code == 2);
    CHECK(contains(ran.err, "expected https://host:port"));
  }
}

TEST_CASE("a bad token or CA file is a wrong setting: exit 2 and its name") {
  ApiServer server;
  const TempDir folder;
  REQUIRE(write_file_atomic(folder / "empty", " \n"));
  REQUIRE(write_file_atomic(folder / "two-lines", "abc\r\nX-Evil: 1\n"));
  REQUIRE(write_file_atomic(folder / "blank", "abc def"));
  REQUIRE(write_file_atomic(folder / "large", std::string(5000, 'a')));
  const Environment none;
  for (const char* name : {"empty", "two-lines", "blank", "large", "absent", ""}) {
    const Ran ran = test::ferry({"device", "list", "--server", server.url(), "--token-file", (folder / name).string()});
    INFO(name << ": " << ran.err);
    CHECK(ran.code == 2);
    CHECK(contains(ran.err, "token"));
  }
  for (const char* name : {"absent", ""}) {
    const Ran ran = server.ferry({"device", "list", "--ca-file", (folder / name).string()});
    CHECK(ran.code == 2);
    CHECK(contains(ran.err, "--ca-file"));
  }
  CHECK(server.asked().empty());
}

TEST_CASE("an unreachable server is exit 11, with what to check") {
  std::string url;
  {
    const ScriptedServer gone([](const ScriptedRequest&) { return ScriptedAnswer{}; });
    url = gone.url();
  }
  const Environment set{{"FERRY_TOKEN", "x"}};
  const Ran ran = test::ferry({"device", "list", "--server", url});
  CHECK(ran.code == 11);
  CHECK(contains(ran.err, url));
  CHECK(contains(ran.err, "fix: check FERRY_SERVER"));
}

TEST_CASE("an answer that is cut off is exit 11; one that is no JSON, or no list, is the server's fault: exit 1") {
  ApiServer server;
  server.on("GET /devices", ScriptedAnswer{200, "", R"({"items": [])", 5, 400});
  CHECK(server.ferry({"device", "list"}).code == 11);
  server.on("GET /releases", 200, std::string("<html>"));
  CHECK(server.ferry({"release", "list"}).code == 1);
  server.on("GET /rollouts", 200, Json{{"rollouts", Json::array()}});
  const Ran ran = server.ferry({"rollout", "list"});
  CHECK(ran.code == 1);
  CHECK(contains(ran.err, "no list with items"));
}

TEST_CASE("a list is read to its end, page by page") {
  ApiServer server;
  server.on("GET /devices", 200, items({{{"id", "dev-1"}}, {{"id", "dev-2"}}}, "1000"));
  server.on("GET /devices", 200, items({{{"id", "dev-3"}}}, "a&b"));
  server.on("GET /devices", 200, items({{{"id", "dev-4"}}}));
  const Ran ran = server.ferry({"device", "list", "-o", "json"});
  REQUIRE(ran.code == 0);
  CHECK(ran.json().size() == 4);
  CHECK(server.asked() == std::vector<std::string>{"GET /devices?limit=1000", "GET /devices?limit=1000&cursor=1000",
                                                   "GET /devices?limit=1000&cursor=a%26b"});
}

TEST_CASE("a list without an end is given up") {
  ApiServer server;
  server.on("GET /tokens", 200, items({}, "again"));
  const Ran ran = server.ferry({"token", "list"});
  CHECK(ran.code == 1);
  CHECK(contains(ran.err, "no end"));
}

TEST_CASE("an id stays one segment of the path, whatever it holds") {
  ApiServer server;
  CHECK(server.ferry({"device", "show", "dev-1/../../trust?x=1"}).code == 3);
  CHECK(server.asked() == std::vector<std::string>{"GET /devices/dev-1%2F..%2F..%2Ftrust%3Fx%3D1"});
}

TEST_CASE("over TLS the server's certificate counts: its CA answers, another CA is exit 10") {
  namespace fixture = ferry::http::test;
  fixture::Pki own("own CA"), other("other CA");
  http::Router router;
  router.add(fixture::quick("GET", "/api/v1/devices", [](const http::Request&) {
    return http::json_response(Json{{"items", Json::array()}, {"next_cursor", ""}});
  }));
  const fixture::Served served(std::move(router), own.server_config(false));
  const TempDir folder;
  REQUIRE(write_file_atomic(folder / "own.pem", own.ca_pem()));
  REQUIRE(write_file_atomic(folder / "other.pem", other.ca_pem()));
  REQUIRE(write_file_atomic(folder / "none.pem", "no certificate\n"));
  const Environment set(
      {{"FERRY_SERVER", served.url("/")}, {"FERRY_TOKEN", "x"}, {"FERRY_CA_FILE", (folder / "other.pem").string()}});
  CHECK(test::ferry({"device", "list", "-o", "json", "--ca-file", (folder / "own.pem").string()}).out == "[]\n");
  const Ran refused = test::ferry({"device", "list"});
  CHECK(refused.code == 10);
  CHECK(contains(refused.err, "--ca-file"));
  const Ran unreadable = test::ferry({"device", "list", "--ca-file", (folder / "none.pem").string()});
  INFO(unreadable.err);
  CHECK(unreadable.code == 2);
}
