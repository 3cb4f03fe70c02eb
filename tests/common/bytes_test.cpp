// Hex and base64 against RFC 4648's vectors, and what must be refused.
#include "common/bytes.hpp"

using namespace ferry;

TEST_CASE("base64 agrees with the vectors of RFC 4648 section 10") {
  const std::pair<std::string, std::string> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    CAPTURE(bytes);
    CHECK(to_base64(bytes) == text);
    CHECK(from_base64(text).value() == bytes);
    const std::string unpadded = text.substr(0, text.find('='));
    CHECK(to_base64url(bytes) == unpadded);
    CHECK(from_base64(unpadded).value() == bytes);
  }
}

TEST_CASE("hex agrees with the vectors of RFC 4648 section 10 and reads either case") {
  CHECK(to_hex("foobar") == "666f6f626172");
  CHECK(from_hex("666F6f626172").value() == "foobar");
  CHECK(from_hex("").value().empty());
  CHECK(to_hex(std::string("\x00\xff\x10", 3)) == "00ff10");
}

TEST_CASE("every byte survives hex and both base64 alphabets") {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  for (std::size_t length : {256U, 255U, 254U}) {
    const std::string part = bytes.substr(0, length);
    CHECK(from_hex(to_hex(part)).value() == part);
    CHECK(from_base64(to_base64(part)).value() == part);
    CHECK(from_base64(to_base64url(part)).value() == part);
  }
  CHECK(to_base64("\xfb\xff") == "+/8=");
  CHECK(to_base64url("\xfb\xff") == "-_8");
}

TEST_CASE("hex that is odd or holds other characters is refused") {
  for (const char* text : {"0", "abc", "0g", "g0", " 0", "0x00", "0\n", "\xff\xff"}) {
    CAPTURE(text);
    CHECK(from_hex(text).error().code == Errc::bad_input);
  }
}

TEST_CASE("base64 that is cut, wrongly padded or means the same bytes twice is refused") {
  // "Zh==" and "Zm9=" carry bits beyond the last byte.
  for (const char* text : {"Z", "Zm9vY", "Zg=", "Zg===", "=", "====", "Zm9v=", "Z=g=", "Zg==Zg==", "Zh==", "Zm9=", "Zh",
                           "Zm9v\n", "Zm 9v", "Zm9*", "Zm9\xff"}) {
    CAPTURE(text);
    const auto decoded = from_base64(text);
    REQUIRE_FALSE(decoded);
    CHECK(decoded.error().code == Errc::bad_input);
  }
}

TEST_CASE("folded base64 is read only when asked for") {
  CHECK(from_base64("Zm9v\r\n YmFy\t=\n", true).error().code == Errc::bad_input);
  CHECK(from_base64("Zm9v\r\nYmE=\n", true).value() == "fooba");
  CHECK_FALSE(from_base64("Zm9v\r\nYmE=\n"));
}
