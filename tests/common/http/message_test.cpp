#include "common/http/message.hpp"

#include "tests/common/http/http_fixture.hpp"

#include <fstream>
#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::http;
using ferry::http::test::TempDir;

namespace {

Response ranged(const Path& path, std::map<std::string, std::string> headers, std::string method = "GET") {
  Request request;
  request.method = std::move(method);
  request.headers = std::move(headers);
  return file_response(request, path, "v1", "application/octet-stream");
}

}  // namespace

TEST_CASE("a problem is RFC 9457 JSON with a code") {
  const Response response = problem(404, "not_found", "no device 'x'");
  CHECK(response.status == 404);
  CHECK(response.headers.at("Content-Type") == "application/problem+json");
  const Json body = Json::parse(response.body);
  CHECK(body["type"] == "/docs/problems#not_found");
  CHECK(body["title"] == "Not Found");
  CHECK(body["status"] == 404);
  CHECK(body["detail"] == "no device 'x'");
  CHECK(body["code"] == "not_found");
}

TEST_CASE("every error code has the status of the contract") {
  const std::map<Errc, int> expected{{Errc::bad_input, 400},   {Errc::denied, 403},        {Errc::not_found, 404},
                                     {Errc::conflict, 409},    {Errc::bad_signature, 422}, {Errc::gate_failed, 422},
                                     {Errc::unavailable, 503}, {Errc::no_space, 507},      {Errc::io, 500},
                                     {Errc::internal, 500},    {Errc::timeout, 500}};
  for (const auto& [code, status] : expected) {
    const Response response = problem(Error{code, "why"});
    CHECK(response.status == status);
    CHECK(Json::parse(response.body)["code"] == std::string(to_string(code)));
  }
  CHECK(Json::parse(problem(Error{Errc::gate_failed, "why", "gate.latency"}).body)["code"] == "gate.latency");
}

TEST_CASE("a file is answered whole, in part, or not at all, as RFC 9110 says") {
  TempDir directory;
  const Path path = directory.path() / "ten";
  std::ofstream(path) << "0123456789";

  SECTION("whole") {
    const Response response = ranged(path, {});
    CHECK(response.status == 200);
    CHECK(response.headers.at("ETag") == "\"v1\"");
    CHECK(response.headers.at("Accept-Ranges") == "bytes");
    REQUIRE(response.file);
    CHECK(response.file->offset == 0);
    CHECK(response.file->length == 10);
  }
  SECTION("one range") {
    struct Row {
      std::string range, content_range;
      std::uint64_t offset, length;
    };
    for (const Row& row : std::vector<Row>{{"bytes=0-0", "bytes 0-0/10", 0, 1},
                                           {"bytes=4-6", "bytes 4-6/10", 4, 3},
                                           {"bytes=4-", "bytes 4-9/10", 4, 6},
                                           {"bytes=4-400", "bytes 4-9/10", 4, 6},
                                           {"bytes=-3", "bytes 7-9/10", 7, 3},
                                           {"bytes=-300", "bytes 0-9/10", 0, 10}}) {
      INFO(row.range);
      const Response response = ranged(path, {{"range", row.range}});
      CHECK(response.status == 206);
      CHECK(response.headers.at("Content-Range") == row.content_range);
      REQUIRE(response.file);
      CHECK(response.file->offset == row.offset);
      CHECK(response.file->length == row.length);
    }
  }
  SECTION("what is not one well-formed range is ignored") {
    for (const std::string range : {"bytes=1-2,4-5", "bytes=5-4", "bytes=", "bytes=a-b", "lines=1-2", "bytes=--3",
                                    "bytes=1-99999999999999999999999999"}) {
      INFO(range);
      CHECK(ranged(path, {{"range", range}}).status == 200);
    }
    CHECK(ranged(path, {{"range", "bytes=1-2"}}, "HEAD").status == 200);
  }
  SECTION("a range beyond the end") {
    for (const std::string range : {"bytes=10-", "bytes=11-12", "bytes=-0"}) {
      INFO(range);
      const Response response = ranged(path, {{"range", range}});
      CHECK(response.status == 416);
      CHECK(response.headers.at("Content-Range") == "bytes */10");
      CHECK(!response.file);
    }
  }
  SECTION("If-Range lets a range stand only for the same bytes") {
    CHECK(ranged(path, {{"range", "bytes=1-2"}, {"if-range", "\"v1\""}}).status == 206);
    CHECK(ranged(path, {{"range", "bytes=1-2"}, {"if-range", "\"v2\""}}).status == 200);
    CHECK(ranged(path, {{"range", "bytes=1-2"}, {"if-range", "W/\"v1\""}}).status == 200);
  }
  SECTION("If-None-Match") {
    for (const std::string known : {"\"v1\"", "W/\"v1\"", "*", "\"v0\", \"v1\""}) {
      INFO(known);
      const Response response = ranged(path, {{"if-none-match", known}, {"range", "bytes=1-2"}});
      CHECK(response.status == 304);
      CHECK(response.headers.at("ETag") == "\"v1\"");
      CHECK(!response.file);
    }
    CHECK(ranged(path, {{"if-none-match", "\"v2\", v1"}}).status == 200);
  }
  SECTION("no file") {
    CHECK(ranged(directory.path() / "absent", {}).status == 404);
    CHECK(ranged(directory.path(), {}).status == 404);
  }
  SECTION("an empty file") {
    std::ofstream(directory.path() / "empty");
    CHECK(ranged(directory.path() / "empty", {}).status == 200);
    CHECK(ranged(directory.path() / "empty", {{"range", "bytes=0-"}}).status == 416);
  }
}
