// TOML read as JSON values.
#include "common/config.hpp"

#include "tests/support/temp_dir.hpp"

using namespace ferry;
using Catch::Contains;

TEST_CASE("every kind of TOML value becomes its JSON value") {
  const auto parsed = parse_toml(R"(
title = "agent"
port = 8443
ratio = 0.5
on = true
list = [1, 2]
day = 2026-11-23
at = 2026-11-23T08:12:52Z
[server.tls]
key = 'key.pem'
[[phase]]
percent = 1
[[phase]]
percent = 100
)",
                                 "agent.toml");
  REQUIRE(parsed);
  CHECK(*parsed == Json::parse(R"({"title":"agent","port":8443,"ratio":0.5,"on":true,"list":[1,2],"day":"2026-11-23",
    "at":"2026-11-23T08:12:52Z","server":{"tls":{"key":"key.pem"}},"phase":[{"percent":1},{"percent":100}]})"));
}

TEST_CASE("a mistake is reported with file, line and column") {
  CHECK_THAT(parse_toml("a = 1\nb = \n", "agent.toml").error().context, Catch::StartsWith("agent.toml:2:"));
  CHECK(parse_toml("a = 1\na = 2\n", "x").error().code == Errc::bad_input);  // twice the same key
  CHECK_FALSE(parse_toml("a = \"\xff\"", "x"));
  CHECK_FALSE(parse_toml(std::string_view("a = 1\0", 6), "x"));
  CHECK_FALSE(parse_toml("a = 99999999999999999999", "x"));
}

TEST_CASE("inf and nan are refused wherever they stand") {
  for (const char* text : {"a = inf", "a = -inf", "a = nan", "[t]\nx = [1.0, { y = nan }]"}) {
    CAPTURE(text);
    CHECK_THAT(parse_toml(text, "x").error().context, Contains("finite"));
  }
}

TEST_CASE("nesting of any kind is bounded") {
  CHECK_FALSE(parse_toml("a = " + std::string(100'000, '['), "x"));
  std::string key = "a";
  for (int i = 0; i < 200'000; ++i) key += ".a";
  CHECK_THAT(parse_toml(key + " = 1", "x").error().context, Contains("dots"));
  CHECK_THAT(parse_toml("[" + key + "]", "x").error().context, Contains("dots"));
  std::string quoted = "\",\"";
  for (int i = 0; i < 100'000; ++i) quoted += " . \"=,\"";
  CHECK_FALSE(parse_toml(quoted + " = 1", "x"));
  std::string allowed = "a";
  for (int i = 0; i < 1'000; ++i) allowed += ".a";
  CHECK(parse_toml(allowed + " = 1", "x"));
}

TEST_CASE("a file is read with its own name in errors, up to its limit") {
  const test::TempDir dir;
  REQUIRE(write_file_atomic(dir / "ok.toml", "a = 1\n"));
  CHECK(read_toml(dir / "ok.toml").value() == Json{{"a", 1}});
  REQUIRE(write_file_atomic(dir / "bad.toml", "a 1\n"));
  CHECK_THAT(read_toml(dir / "bad.toml").error().context, Contains("bad.toml:1:"));
  CHECK(read_toml(dir / "none.toml").error().code == Errc::not_found);
  CHECK(read_toml(dir / "ok.toml", 3).error().code == Errc::bad_input);
}
