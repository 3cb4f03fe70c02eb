// The traps of canonical JSON (TRUST.md 3.1), each once.
#include "common/canonical_json.hpp"

using namespace ferry;

namespace {
std::string canonical(std::string_view text) { return canonical_json(parse_json(text).value()).value(); }
}  // namespace

TEST_CASE("canonical JSON sorts keys, writes no blanks and keeps every value") {
  CHECK(canonical(R"( { "b" : [ 1 , true , null , false ] , "a" : { "z" : -5 , "y" : "" } } )") ==
        R"({"a":{"y":"","z":-5},"b":[1,true,null,false]})");
  CHECK(canonical("[]") == "[]");
  CHECK(canonical("{}") == "{}");
  CHECK(canonical("\"\"") == "\"\"");
}

TEST_CASE("only the backslash and the quotation mark are escaped: newlines go out raw") {
  CHECK(canonical(R"("-----BEGIN PUBLIC KEY-----\nMFk\n")") == "\"-----BEGIN PUBLIC KEY-----\nMFk\n\"");
  CHECK(canonical(R"("a\\b\"c\/d\te\u0001\u007f")") == "\"a\\\\b\\\"c/d\te\x01\x7f\"");
  CHECK(canonical(R"({"k\n\"":1})") == "{\"k\n\\\"\":1}");
}

TEST_CASE("text stays UTF-8 and is never escaped") {
  CHECK(canonical(R"("\u00e9\u20ac\ud834\udd1e")") == "\"\xC3\xA9\xE2\x82\xAC\xF0\x9D\x84\x9E\"");
}

TEST_CASE("keys are sorted by bytes, not by UTF-16 units") {
  // U+FFEE sorts before U+1D11E by code point; by UTF-16 units (D834 DD1E) it is the other way round.
  CHECK(canonical(R"({"\ud834\udd1e":1,"\uffee":2,"a":3,"B":4})") ==
        "{\"B\":4,\"a\":3,\"\xEF\xBF\xAE\":2,\"\xF0\x9D\x84\x9E\":1}");
}

TEST_CASE("integers of 64 bits are written whole") {
  CHECK(canonical("[18446744073709551615,-9223372036854775808,-0]") == "[18446744073709551615,-9223372036854775808,0]");
}

TEST_CASE("a float anywhere is refused") {
  for (const char* text : {"1.5", "1.0", "1e2", "[{\"a\":0.1}]"}) {
    CAPTURE(text);
    const auto refused = canonical_json(parse_json(text).value());
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::bad_input);
  }
}
