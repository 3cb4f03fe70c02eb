// Bytes travel as std::string / std::string_view; these are their text forms.
#pragma once
#include "common/result.hpp"

#include <string>
#include <string_view>

namespace ferry {

std::string to_hex(std::string_view bytes);           // lower case
Result<std::string> from_hex(std::string_view text);  // either case; odd length or other characters: bad_input
std::string to_base64(std::string_view bytes);        // standard alphabet, padded (RFC 4648 §4)
std::string to_base64url(std::string_view bytes);     // URL-safe alphabet, no padding (RFC 4648 §5)
// Accepts both alphabets, padded or not; `ignore_whitespace` for bodies folded into lines (EST, RFC 8951).
Result<std::string> from_base64(std::string_view text, bool ignore_whitespace = false);

}  // namespace ferry
