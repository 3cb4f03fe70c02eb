// The bytes of a response's head. Pure.
#pragma once
#include "common/clock.hpp"
#include "common/http/message.hpp"

namespace ferry::http::internal {

std::string_view reason_phrase(int status);  // "Not Found"; "Status" for one we do not know

struct HeadOptions {
  bool keep_alive = true;
  bool http_1_0 = false;  // says "Connection: keep-alive" where HTTP/1.1 implies it
  bool chunked = false;
  std::optional<std::uint64_t> length;  // Content-Length
  std::string_view date;                // IMF-fixdate
};
// Appends the status line and headers up to and with the empty line. Control characters in a header become spaces, so a
// handler cannot split a response. Content-Length, Transfer-Encoding, Connection and Date of `response` are ignored.
void append_head(std::string& out, const Response& response, const HeadOptions& options);

std::string http_date(Instant at);  // "Mon, 23 Nov 2026 08:37:13 GMT"

}  // namespace ferry::http::internal
