#include "common/http/internal/target.hpp"

namespace ferry::http::internal {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Error refuse(std::string_view target, std::string_view why) {
  constexpr std::size_t shown_bytes_max = 80;
  return Error{Errc::bad_input,
               "request target '" + std::string(target.substr(0, shown_bytes_max)) + "': " + std::string(why)};
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] == '\0') {
      return std::nullopt;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string_view raw_path(std::string_view target) {
  if (!target.empty() && target.front() != '/') {
    if (const auto scheme = target.find("://"); scheme != target.npos) {
      const auto slash = target.find_first_of("/?#", scheme + 3);
      target = slash == target.npos || target[slash] != '/' ? std::string_view("/") : target.substr(slash);
    }
  }
  return target.substr(0, target.find_first_of("?#"));
}

std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> segments;
  if (!path.empty() && path.front() == '/') path.remove_prefix(1);
  for (;;) {
    const auto slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == path.npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

Result<Target> parse_target(std::string_view target) {
  Target parsed;
  parsed.raw_path = raw_path(target);
  if (parsed.raw_path.empty() || (parsed.raw_path.front() != '/' && parsed.raw_path != "*"))
    return refuse(target, "expected a path that begins with '/'");
  auto path = percent_decode(parsed.raw_path);
  if (!path) return refuse(target, "a percent escape is broken or hides a NUL byte");
  parsed.path = std::move(*path);
  if (parsed.path.find("/.") != std::string::npos) {
    for (const std::string_view segment : split_path(parsed.path))
      if (segment == "." || segment == "..") return refuse(target, "'.' and '..' segments are not resolved here");
  }
  const auto question = target.find('?');
  if (question == target.npos) return parsed;
  std::string_view query = target.substr(question + 1);
  query = query.substr(0, query.find('#'));
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    auto key = percent_decode(pair.substr(0, equals), true);
    auto value = percent_decode(equals == pair.npos ? std::string_view() : pair.substr(equals + 1), true);
    if (!key || !value) return refuse(target, "a percent escape in the query is broken or hides a NUL byte");
    parsed.query.emplace(std::move(*key), std::move(*value));
  }
  return parsed;
}

}  // namespace ferry::http::internal
