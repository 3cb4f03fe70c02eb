// Request targets: percent-decoding, path segments and query strings. Pure.
#pragma once
#include "common/result.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::http::internal {

// nullopt on a broken escape or a NUL byte. `plus_is_space` for query strings.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

struct Target {
  std::string_view raw_path;  // still encoded, points into the text given
  std::string path;           // decoded
  std::map<std::string, std::string> query;
};
// Origin form ("/path?query"), absolute form (its authority is ignored) or "*". bad_input: broken escapes, "." or ".."
// segments (a client that means well resolves them itself), NUL.
Result<Target> parse_target(std::string_view target);

// The path of a target, still encoded: what Router::find takes.
std::string_view raw_path(std::string_view target);

// "/a/b" → {"a","b"}; "/" → {""}.
std::vector<std::string_view> split_path(std::string_view path);

}  // namespace ferry::http::internal
