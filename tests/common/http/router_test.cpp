#include "common/http/router.hpp"

#include <catch2/catch.hpp>

using namespace ferry;
using namespace ferry::http;

namespace {

Route route(std::string method, std::string pattern) {
  Route made;
  made.method = std::move(method);
  made.pattern = std::move(pattern);
  made.quick = [](const Request&) { return Response{}; };
  return made;
}

Router table() {
  Router router;
  for (const auto& [method, pattern] : std::vector<std::pair<std::string, std::string>>{
           {"GET", "/"},
           {"GET", "/devices"},
           {"POST", "/devices"},
           {"GET", "/devices/{id}"},
           {"GET", "/devices/latest"},
           {"GET", "/devices/{id}/slots/{slot}"},
           {"DELETE", "/devices/{device}"},
           {"GET", "/targets/{path...}"},
           {"HEAD", "/probe"},
       })
    router.add(route(method, pattern));
  return router;
}

std::string found(std::string_view method, std::string_view path) {
  static const Router router = table();
  const auto match = router.find(method, path);
  if (!match) return std::string(to_string(match.error().code));
  std::string text = match->route->method + " " + match->route->pattern;
  for (const auto& [name, value] : match->params) text += " " + name + "=" + value;
  return text;
}

}  // namespace

TEST_CASE("a path finds its route, fixed parts before parameters before the rest") {
  CHECK(found("GET", "/") == "GET /");
  CHECK(found("GET", "/devices") == "GET /devices");
  CHECK(found("POST", "/devices") == "POST /devices");
  CHECK(found("GET", "/devices/latest") == "GET /devices/latest");
  CHECK(found("GET", "/devices/edge-7") == "GET /devices/{id} id=edge-7");
  CHECK(found("DELETE", "/devices/edge-7") == "DELETE /devices/{device} device=edge-7");
  CHECK(found("DELETE", "/devices/latest") == "DELETE /devices/{device} device=latest");
  CHECK(found("GET", "/devices/edge-7/slots/a") == "GET /devices/{id}/slots/{slot} id=edge-7 slot=a");
  CHECK(found("GET", "/devices/latest/slots/a") == "GET /devices/{id}/slots/{slot} id=latest slot=a");
  CHECK(found("GET", "/targets/a/b/c.json") == "GET /targets/{path...} path=a/b/c.json");
  CHECK(found("GET", "/targets/") == "GET /targets/{path...} path=");
}

TEST_CASE("what is not there is told apart from what is not offered") {
  CHECK(found("GET", "/nothing") == "not_found");
  CHECK(found("GET", "/devices/") == "not_found");
  CHECK(found("GET", "/devices/edge-7/slots") == "not_found");
  CHECK(found("GET", "//") == "not_found");
  CHECK(found("PUT", "/devices") == "unsupported");
  CHECK(found("get", "/devices") == "unsupported");
  CHECK(found("BREW", "/devices/edge-7") == "unsupported");
  CHECK(found("", "/devices") == "unsupported");
  CHECK(table().allowed_methods("/devices") == "GET, HEAD, POST");
  CHECK(table().allowed_methods("/devices/latest") == "DELETE, GET, HEAD");
  CHECK(table().allowed_methods("/nothing").empty());
}

TEST_CASE("HEAD is answered by GET's route unless it has its own") {
  CHECK(found("HEAD", "/devices") == "GET /devices");
  CHECK(found("HEAD", "/probe") == "HEAD /probe");
  CHECK(found("GET", "/probe") == "unsupported");
}

TEST_CASE("escapes are decoded part by part") {
  CHECK(found("GET", "/devices/a%2Fb") == "GET /devices/{id} id=a/b");
  CHECK(found("GET", "/dev%69ces") == "GET /devices");
  CHECK(found("GET", "/devices/%zz") == "bad_input");
  CHECK(found("GET", "/devices/%2") == "bad_input");
  CHECK(found("GET", "/devices/a%00b") == "bad_input");
}

TEST_CASE("a copy of a router answers as the original does") {
  Router original = table();
  const Router copy = original;
  original.add(route("GET", "/later"));
  CHECK(copy.find("GET", "/devices/x").has_value());
  CHECK(!copy.find("GET", "/later").has_value());
  CHECK(original.find("GET", "/later").has_value());
}

TEST_CASE("a table that makes no sense is a bug found at start") {
  Router router;
  router.add(route("GET", "/a/{id}"));
  CHECK_THROWS_AS(router.add(route("GET", "/a/{other}")), std::logic_error);
  CHECK_THROWS_AS(router.add(route("GET", "a")), std::logic_error);
  CHECK_THROWS_AS(router.add(route("GET", "/{rest...}/a")), std::logic_error);
  Route none;
  none.method = "GET";
  none.pattern = "/b";
  CHECK_THROWS_AS(router.add(none), std::logic_error);
  Route two = route("GET", "/b");
  two.blocking = two.quick;
  CHECK_THROWS_AS(router.add(two), std::logic_error);
}
