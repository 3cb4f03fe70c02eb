// Hex and base64, strict: no two texts mean the same bytes by way of stray bits.
#include "common/bytes.hpp"

#include <algorithm>
#include <array>

namespace ferry {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::string_view standard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_safe = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr std::array<signed char, 256> base64_values() {
  std::array<signed char, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < 64; ++i) {
    values[static_cast<unsigned char>(standard[i])] = static_cast<signed char>(i);
    values[static_cast<unsigned char>(url_safe[i])] = static_cast<signed char>(i);
  }
  return values;
}
constexpr auto base64_value = base64_values();

std::string encode_base64(std::string_view bytes, std::string_view alphabet, bool padded) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    unsigned group = 0;
    for (std::size_t i = 0; i < 3; ++i)
      group = group << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i) {
      if (i <= count)
        text.push_back(alphabet[group >> (18 - 6 * i) & 63]);
      else if (padded)
        text.push_back('=');
    }
  }
  return text;
}

}  // namespace

std::string to_hex(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    text.push_back(hex_digits[static_cast<unsigned char>(c) >> 4]);
    text.push_back(hex_digits[static_cast<unsigned char>(c) & 15]);
  }
  return text;
}

Result<std::string> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return Error{Errc::bad_input, "hex: odd number of digits"};
  std::string bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_value(text[i]), low = hex_value(text[i + 1]);
    if (high < 0 || low < 0) return Error{Errc::bad_input, "hex: expected digits 0-9 and a-f only"};
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

std::string to_base64(std::string_view bytes) { return encode_base64(bytes, standard, true); }
std::string to_base64url(std::string_view bytes) { return encode_base64(bytes, url_safe, false); }

Result<std::string> from_base64(std::string_view text, bool ignore_whitespace) {
  const auto refuse = [](const char* why) { return Error{Errc::bad_input, std::string("base64: ") + why}; };
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  unsigned group = 0;
  std::size_t digits = 0, padding = 0;
  for (const char c : text) {
    if (ignore_whitespace && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    const int value = base64_value[static_cast<unsigned char>(c)];
    if (value < 0) return refuse("a character that is in neither alphabet");
    if (padding > 0) return refuse("data after the padding");
    group = group << 6 | unsigned(value);
    if (++digits % 4 == 0) {
      for (int shift = 16; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(group >> shift & 255));
      group = 0;
    }
  }
  const std::size_t rest = digits % 4;
  if (rest == 1 || (padding > 0 && padding != (4 - rest) % 4)) return refuse("truncated or wrongly padded");
  if (rest > 1) {
    // The bits beyond the last whole byte must be zero, or two texts would mean the same bytes.
    if (group & ((rest == 2) ? 15u : 3u)) return refuse("stray bits after the last byte");
    group <<= 6 * (4 - rest);
    for (std::size_t i = 0; i + 1 < rest; ++i) bytes.push_back(static_cast<char>(group >> (16 - 8 * i) & 255));
  }
  return bytes;
}

}  // namespace ferry
