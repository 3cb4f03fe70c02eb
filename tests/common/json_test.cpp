// What a hostile sender may try with JSON, and readers whose errors name the field.
#include "common/json.hpp"

using namespace ferry;
using Catch::Contains;

namespace {
std::string refusal(std::string_view text, const JsonLimits& limits = {}) {
  const auto parsed = parse_json(text, limits);
  if (parsed) return "accepted: " + dump_json(*parsed);
  CHECK(parsed.error().code == Errc::bad_input);
  return parsed.error().context;
}
const Json sample =
    Json::parse(R"({"s":"text","i":-5,"big":18446744073709551615,"f":1.5,"b":true,"o":{},"a":[1,2,3],"n":null})");
}  // namespace

TEST_CASE("plain documents are parsed into the values they hold") {
  const auto parsed = parse_json(R"( {"a":[1,-2,1.5,true,null,"\u00e9\n"],"b":{"c":{}},"":0} )");
  REQUIRE(parsed);
  CHECK(*parsed == Json::parse(R"({"a":[1,-2,1.5,true,null,"é\n"],"b":{"c":{}},"":0})"));
  CHECK(parse_json("0").value() == Json(0));
  CHECK(parse_json("[]").value().is_array());
}

TEST_CASE("malformed documents are refused") {
  for (const char* text :
       {"",      " ",    "{",        "[1,]",     "{\"a\":1,}", "{a:1}",       "01",          "+1",     "1.",
        ".5",    "NaN",  "Infinity", "-",        "tru",        "'a'",         "\"a",         "\"\t\"", "\"\n\"",
        "[1] 2", "{} x", "// c\n1",  "/* c */1", "\"\\x41\"",  "\"\\ud800\"", "\"\\udc00x\""}) {
    CAPTURE(text);
    CHECK_THAT(refusal(text), Contains("JSON: "));
  }
}

TEST_CASE("bad UTF-8, a BOM and NUL bytes are refused") {
  CHECK_THAT(refusal("\"\xff\""), Contains("malformed"));
  CHECK_THAT(refusal("\"\xc0\x80\""), Contains("malformed"));          // overlong NUL
  CHECK_THAT(refusal("\"\xed\xa0\x80\""), Contains("malformed"));      // surrogate
  CHECK_THAT(refusal("\"\xf4\x90\x80\x80\""), Contains("malformed"));  // beyond U+10FFFF
  CHECK_THAT(refusal("\xEF\xBB\xBF{}"), Contains("byte order mark"));
  CHECK_THAT(refusal(std::string("{\"v\":1}\0junk", 12)), Contains("NUL"));  // nlohmann alone ignores the rest
  CHECK_THAT(refusal("[\"a\\u0000b\"]"), Contains("NUL"));
  CHECK_THAT(refusal("{\"a\\u0000b\":1}"), Contains("NUL"));
}

TEST_CASE("duplicate keys are refused at every level, equal keys of different objects are not") {
  CHECK_THAT(refusal(R"({"a":1,"a":1})"), Contains("duplicate key 'a'"));
  CHECK_THAT(refusal(R"({"x":[{"k":1,"\u006b":2}]})"), Contains("duplicate key 'k'"));  // the same key, escaped
  CHECK_THAT(refusal(R"({"x":{"k":1},"x":2})"), Contains("duplicate key 'x'"));
  CHECK(parse_json(R"({"a":{"a":1},"b":[{"a":1},{"a":1}]})"));
}

TEST_CASE("nesting is bounded while parsing, so depth costs no stack") {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(parse_json(nested(32)));
  CHECK_THAT(refusal(nested(33)), Contains("deeper than 32"));
  CHECK_THAT(refusal(nested(200'000)), Contains("deeper than 32"));
  CHECK_THAT(refusal(std::string(200'000, '[')), Contains("deeper than 32"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  CHECK_THAT(refusal(objects), Contains("deeper than 32"));
  CHECK_THAT(refusal("[[1]]", JsonLimits{.depth_max = 1}), Contains("deeper than 1"));
}

TEST_CASE("numbers keep their value or are refused") {
  CHECK(parse_json("18446744073709551615").value() == Json(std::numeric_limits<std::uint64_t>::max()));
  CHECK(parse_json("-9223372036854775808").value() == Json(std::numeric_limits<std::int64_t>::min()));
  CHECK_THAT(refusal("18446744073709551616"), Contains("outside 64 bits"));
  CHECK_THAT(refusal("-9223372036854775809"), Contains("outside 64 bits"));
  CHECK_THAT(refusal("1e400"), Contains("beyond a double"));
  CHECK_THAT(refusal("-1e400"), Contains("beyond a double"));
  CHECK(parse_json("-0").value() == Json(0));
  CHECK(parse_json("1e2").value() == Json(100.0));
}

TEST_CASE("without floats every spelling of one is refused") {
  const JsonLimits whole{.floats = false};
  for (const char* text : {"1.0", "1e2", "1E2", "-0.0", "[1,{\"a\":0.5}]"}) {
    CAPTURE(text);
    CHECK_THAT(refusal(text, whole), Contains("expected an integer"));
  }
  CHECK(parse_json("[1,-2]", whole));
}

TEST_CASE("size is checked before anything is parsed") {
  CHECK_THAT(refusal("[1,2]", JsonLimits{.bytes_max = 4}), Contains("longer than 4 bytes"));
  CHECK(parse_json("[1,2]", JsonLimits{.bytes_max = 5}));
}

TEST_CASE("a hostile key does not flood the error") {
  const std::string key(100'000, 'k');
  CHECK(refusal("{\"" + key + "\":1,\"" + key + "\":1}").size() < 200);
  const auto unknown = only_known_fields(Json{{key, 1}}, {"name", "version"});
  CHECK(unknown.error().context.size() < 200);
}

TEST_CASE("dumping never throws, also for text that is not UTF-8") {
  CHECK(dump_json(Json("a\xff")) == "\"a\xEF\xBF\xBD\"");
  CHECK(dump_json_pretty(Json{{"a", 1}}) == "{\n  \"a\": 1\n}");
}

TEST_CASE("readers return the field's value") {
  CHECK(string_at(sample, "s").value() == "text");
  CHECK(integer_at(sample, "i").value() == -5);
  CHECK(number_at(sample, "f").value() == 1.5);
  CHECK(number_at(sample, "i").value() == -5.0);
  CHECK(bool_at(sample, "b").value());
  CHECK(object_at(sample, "o").value() == &sample["o"]);
  CHECK(array_at(sample, "a").value()->size() == 3);
}

TEST_CASE("readers name the field, what was expected and what was found") {
  CHECK(string_at(sample, "x").error().context == "field 'x': expected a string, it is missing");
  CHECK(string_at(sample, "i").error().context == "field 'i': expected a string, found number");
  CHECK(string_at(sample, "s", 3).error().context == "field 's': longer than 3 bytes");
  CHECK(integer_at(sample, "i", 0, 9).error().context == "field 'i': expected a whole number from 0 to 9, found -5");
  CHECK_THAT(integer_at(sample, "f").error().context, Contains("whole number"));
  CHECK_THAT(integer_at(sample, "big").error().context, Contains("whole number"));
  CHECK(number_at(sample, "f", 2, 3).error().context == "field 'f': expected a number from 2 to 3, found 1.5");
  CHECK_THAT(number_at(sample, "s").error().context, Contains("a number"));
  CHECK_THAT(bool_at(sample, "i").error().context, Contains("true or false"));
  CHECK_THAT(object_at(sample, "a").error().context, Contains("an object, found array"));
  CHECK_THAT(array_at(sample, "o").error().context, Contains("a list, found object"));
  CHECK_THAT(array_at(sample, "a", 2).error().context, Contains("more than 2 items"));
  CHECK_THAT(string_at(Json::array(), "s").error().context, Contains("in an object, found array"));
}

TEST_CASE("a default stands for an absent or null field, never for one of the wrong type") {
  CHECK(string_or(sample, "x", "d").value() == "d");
  CHECK(string_or(sample, "n", "d").value() == "d");
  CHECK(integer_or(sample, "x", 7).value() == 7);
  CHECK(number_or(sample, "n", 0.5).value() == 0.5);
  CHECK(bool_or(sample, "x", true).value());
  CHECK_FALSE(string_or(sample, "i", "d"));
  CHECK_FALSE(integer_or(sample, "s", 7));
  CHECK_FALSE(integer_or(sample, "i", 7, 0, 9));
  CHECK_FALSE(number_or(sample, "b", 1));
  CHECK_FALSE(bool_or(sample, "s", true));
}

TEST_CASE("an unknown field is named with the nearest known one") {
  CHECK(only_known_fields(Json{{"name", 1}}, {"name", "version"}));
  CHECK(only_known_fields(Json{{"verison", 1}}, {"name", "version"}).error().context ==
        "unknown field 'verison': did you mean 'version'?");
  CHECK_FALSE(only_known_fields(Json::array(), {"name"}));
}
