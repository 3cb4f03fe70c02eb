#include "common/http/internal/response_head.hpp"

#include <catch2/catch.hpp>

using namespace ferry;
using namespace ferry::http;
using namespace ferry::http::internal;

TEST_CASE("a head carries the handler's headers and the server's own") {
  Response response;
  response.status = 201;
  response.headers = {{"Location", "/a"},
                      {"content-length", "99"},
                      {"Transfer-encoding", "gzip"},
                      {"DATE", "never"},
                      {"Connection", "x"}};
  HeadOptions options;
  options.length = 5;
  options.date = "D";
  std::string out = "before ";
  append_head(out, response, options);
  CHECK(out == "before HTTP/1.1 201 Created\r\nDate: D\r\nLocation: /a\r\nContent-Length: 5\r\n\r\n");
  out.clear();
  options = {};
  options.chunked = true;
  options.keep_alive = false;
  append_head(out, Response{}, options);
  CHECK(out == "HTTP/1.1 200 OK\r\nDate: \r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
}

TEST_CASE("a header value cannot split the response") {
  Response response;
  response.headers = {{"X-Name", "a\r\nSet-Cookie: b"}, {"X\nY", "c"}};
  std::string out;
  append_head(out, response, {});
  CHECK(out.find("\r\nSet-Cookie") == out.npos);
  CHECK(out.find("X-Name: a  Set-Cookie: b\r\n") != out.npos);
  CHECK(out.find("X Y: c\r\n") != out.npos);
}

TEST_CASE("dates are IMF-fixdate") { CHECK(http_date(from_unix_ms(784111777'000)) == "Sun, 06 Nov 1994 08:49:37 GMT"); }
