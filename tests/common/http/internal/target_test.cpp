#include "common/http/internal/target.hpp"

#include <catch2/catch.hpp>

using namespace ferry;
using namespace ferry::http::internal;

TEST_CASE("a target is taken apart and decoded") {
  const auto target = parse_target("/api/v1/devices/a%20b?label=site%3Dberlin&limit=5&flag&q=a+b&limit=9");
  REQUIRE(target);
  CHECK(target->raw_path == "/api/v1/devices/a%20b");
  CHECK(target->path == "/api/v1/devices/a b");
  CHECK(target->query.at("label") == "site=berlin");
  CHECK(target->query.at("limit") == "5");
  CHECK(target->query.at("flag").empty());
  CHECK(target->query.at("q") == "a b");
  CHECK(parse_target("/+")->path == "/+");
}

TEST_CASE("absolute targets lose their authority") {
  CHECK(parse_target("http://example.test/a?b=c")->path == "/a");
  CHECK(parse_target("http://example.test/a?b=c")->query.at("b") == "c");
  CHECK(parse_target("http://example.test")->path == "/");
  CHECK(parse_target("*")->path == "*");
}

TEST_CASE("targets that would mislead are refused") {
  for (const std::string bad : {"", "a", "example.test:443", "/%", "/%4", "/%4g", "/a%00", "/?a=%0", "/../etc", "/a/..",
                                "/a/./b", "/%2e%2e/etc", "/a%2F..%2Fb", "?a=b"}) {
    INFO(bad);
    const auto target = parse_target(bad);
    REQUIRE(!target);
    CHECK(target.error().code == Errc::bad_input);
  }
  CHECK(parse_target("/..a/.well-known/...").has_value());
}
