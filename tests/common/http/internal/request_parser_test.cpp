#include "common/http/internal/request_parser.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::http::internal;
using Status = RequestParser::Status;

namespace {

constexpr std::size_t header_bytes_max = 1024;

// Feeds in pieces of `step` bytes, keeping what was not consumed, as the session does.
struct Outcome {
  Status status;
  std::string left;
};
Outcome feed(RequestParser& parser, std::string_view bytes, std::size_t step) {
  std::string pending;
  Status status = Status::need_more;
  while (!bytes.empty()) {
    pending += bytes.substr(0, step);
    bytes.remove_prefix(std::min(step, bytes.size()));
    const auto fed = parser.feed(pending);
    pending.erase(0, fed.consumed);
    status = fed.status;
    if (status == Status::failed || status == Status::complete) break;
  }
  return {status, pending + std::string(bytes)};
}

}  // namespace

TEST_CASE("a request reads the same in one piece and byte by byte") {
  const std::string text =
      "POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nX-One: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\nGET";
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, text.size()}) {
    INFO(step);
    RequestParser parser(header_bytes_max);
    parser.read_body(13);
    const Outcome outcome = feed(parser, text, step);
    REQUIRE(outcome.status == Status::complete);
    CHECK(outcome.left == "GET");
    CHECK(parser.request.method == "POST");
    CHECK(parser.request.path == "/a");
    CHECK(parser.request.raw_target == "/a?b=c");
    CHECK(parser.request.query.at("b") == "c");
    CHECK(parser.request.header("x-one") == "1, 2");
    CHECK(parser.request.header("trailer").empty());
    CHECK(parser.request.body == "abc0123456789");
    CHECK(parser.wants_connection());
  }
}

TEST_CASE("the header is reported before the body is taken") {
  RequestParser parser(header_bytes_max);
  const auto fed = parser.feed("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\nabc");
  CHECK(fed.status == Status::header_done);
  CHECK(parser.declared_bytes() == std::optional<std::uint64_t>(5));
  CHECK(parser.expects_continue());
  CHECK(parser.request.body.empty());
  parser.read_body(4);
  CHECK(parser.feed("abcde").status == Status::failed);
  CHECK(parser.failure().status == 413);
}

TEST_CASE("requests that proxies and servers read differently are refused") {
  struct Row {
    std::string name, text;
    int status;
  };
  const std::string start = "POST / HTTP/1.1\r\nHost: h\r\n";
  for (const Row& row : std::vector<Row>{
           {"length and chunked", start + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
           {"chunked and length", start + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
           {"two lengths", start + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
           {"two different lengths", start + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400},
           {"negative length", start + "Content-Length: -3\r\n\r\n", 400},
           {"signed length", start + "Content-Length: +3\r\n\r\n", 400},
           {"hex length", start + "Content-Length: 0x3\r\n\r\n", 400},
           {"huge length", start + "Content-Length: 99999999999999999999999\r\n\r\n", 400},
           {"another coding", start + "Transfer-Encoding: gzip\r\n\r\n", 501},
           {"two codings", start + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
           {"chunked spoilt", start + "Transfer-Encoding: xchunked\r\n\r\n", 501},
           {"coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
           {"blank before colon", start + "Content-Length : 3\r\n\r\n", 400},
           {"folded line", start + "X: a\r\n b\r\n\r\n", 400},
           {"folded with tab", start + "X: a\r\n\tb\r\n\r\n", 400},
           {"bare line feeds", "GET / HTTP/1.1\nHost: h\n\n\r\n\r\n", 400},
           {"bare carriage return", start + "X: a\rb\r\n\r\n", 400},
           {"NUL in a value", start + std::string("X: a\0b\r\n\r\n", 10), 400},
           {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
           {"two hosts", start + "Host: i\r\n\r\n", 400},
           {"no version", "GET /\r\n\r\n", 400},
           {"version 2", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 400},
           {"version 1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 400},
           {"two blanks", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"no name", start + ": a\r\n\r\n", 400},
           {"traversal", "GET /../x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           {"TLS by mistake", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 15), 400},
           {"bad chunk size", start + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n", 400},
           {"chunk too short", start + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", 400},
           {"long header", start + "X: " + std::string(header_bytes_max, 'x') + "\r\n\r\n", 431},
           {"endless start", "GET /" + std::string(2 * header_bytes_max, 'x'), 431},
       }) {
    for (const std::size_t step : {std::size_t{1}, row.text.size()}) {
      INFO(row.name << " in steps of " << step);
      RequestParser parser(header_bytes_max);
      parser.read_body(100);
      CHECK(feed(parser, row.text, step).status == Status::failed);
      CHECK(parser.failure().status == row.status);
      CHECK(parser.failure().body.find("detail") != std::string::npos);
    }
  }
}

TEST_CASE("too many header lines are refused") {
  std::string text = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 100; ++i) text += "A" + std::to_string(i) + ": 1\r\n";
  RequestParser parser(16 * 1024);
  CHECK(parser.feed(text + "\r\n").status == Status::failed);
  CHECK(parser.failure().status == 431);
}

TEST_CASE("an empty line before a request is let pass, more are not") {
  RequestParser parser(header_bytes_max);
  CHECK(parser.feed("\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n").status == Status::complete);
}

TEST_CASE("who wants the connection to stay") {
  const auto stays = [](std::string_view version, std::string_view header) {
    RequestParser parser(header_bytes_max);
    REQUIRE(
        parser.feed("GET / HTTP/" + std::string(version) + "\r\nHost: h\r\n" + std::string(header) + "\r\n").status ==
        Status::complete);
    return parser.wants_connection();
  };
  CHECK(stays("1.1", ""));
  CHECK(!stays("1.1", "Connection: close\r\n"));
  CHECK(!stays("1.0", ""));
  CHECK(stays("1.0", "Connection: keep-alive\r\n"));
}
