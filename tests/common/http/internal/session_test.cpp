// One connection under good, odd and hostile clients: real sockets, exact bytes.
#include "tests/common/http/http_fixture.hpp"

#include "common/task.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

using namespace ferry;
using namespace ferry::http;
using namespace ferry::http::test;

namespace {

Route echo(std::string pattern) {
  return quick("POST", std::move(pattern), [](const Request& request) { return text_response(request.body); });
}

Router table() {
  Router router;
  router.add(quick("GET", "/hello", [](const Request&) { return text_response("hello"); }));
  router.add(echo("/echo"));
  Route guarded = echo("/guarded");
  guarded.guard = [](const Request& request) -> std::optional<Response> {
    if (request.header("authorization") == "Bearer good") return std::nullopt;
    return problem(401, "denied", "a token is needed");
  };
  guarded.body_bytes_max = 64 * 1024 * 1024;
  router.add(guarded);
  Route small = echo("/small");
  small.body_bytes_max = 10;
  router.add(small);
  return router;
}

std::string post(std::string_view path, std::string_view body, std::string_view more = {}) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: h\r\n" + std::string(more) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

const std::string get_hello = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";

// A patterned text, so that a byte out of place shows.
std::string pattern(std::size_t bytes) {
  std::string text;
  text.reserve(bytes + 16);
  while (text.size() < bytes) text += std::to_string(text.size()) + ",";
  text.resize(bytes);
  return text;
}

}  // namespace

TEST_CASE("requests sent together are answered in order on one connection") {
  Served served(table());
  RawSocket socket(served.server->port());
  socket.say(post("/echo", "one") + post("/echo", "") + get_hello + post("/echo", "four"));
  CHECK(socket.hear_until("\r\n\r\none").starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(socket.hear_until("\r\n\r\n").find("Content-Length: 0") != std::string::npos);
  CHECK(socket.hear_until("\r\n\r\nhello").starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(socket.hear_until("\r\n\r\nfour").starts_with("HTTP/1.1 200 OK\r\n"));
}

TEST_CASE("a request may come a byte at a time") {
  Served served(table());
  RawSocket socket(served.server->port());
  for (const char byte : post("/echo", "slow")) socket.say(std::string_view(&byte, 1));
  CHECK(socket.hear_until("\r\n\r\nslow").starts_with("HTTP/1.1 200 OK\r\n"));
}

TEST_CASE("a chunked body arrives whole and its limit holds") {
  Served served(table());
  const std::string start = "POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  RawSocket good(served.server->port());
  good.say(start + "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n" + get_hello);
  CHECK(good.hear_until("0123456789").starts_with("HTTP/1.1 200"));
  CHECK(good.hear_until("hello").starts_with("HTTP/1.1 200"));
  RawSocket large(served.server->port());
  large.say(start + "5\r\n01234\r\n6\r\n567890\r\n0\r\n\r\n");
  CHECK(large.hear_all().starts_with("HTTP/1.1 413"));
  RawSocket endless(served.server->port());
  endless.say(start + "1;" + std::string(200'000, 'x'));
  CHECK(endless.hear_all().starts_with("HTTP/1.1 400"));
}

TEST_CASE("an answer that needs no body does not wait for one") {
  Served served(table());
  SECTION("a guard's refusal of a large body") {
    RawSocket socket(served.server->port());
    socket.say("POST /guarded HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n");
    const std::string answer = socket.hear_all();
    CHECK(answer.starts_with("HTTP/1.1 401"));
    CHECK(answer.find("application/problem+json") != answer.npos);
    CHECK(answer.find("Connection: close") != answer.npos);
  }
  SECTION("a body that is declared too large") {
    RawSocket socket(served.server->port());
    socket.say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 50000000\r\n\r\n");
    CHECK(socket.hear_all().starts_with("HTTP/1.1 413"));
  }
  SECTION("a client that goes on sending still gets its answer") {
    const auto client = make_http_client({});
    HttpRequest request = served.get("/guarded");
    request.method = "POST";
    request.body = pattern(8 * 1024 * 1024);
    CHECK(need(client->send(request)).status == 401);
    request.headers["Authorization"] = "Bearer good";
    request.body_bytes_max = request.body.size();
    CHECK(need(client->send(request)).body == request.body);
  }
  SECTION("a small refused body costs nobody the connection") {
    RawSocket socket(served.server->port());
    socket.say(post("/guarded", "secret") + get_hello);
    CHECK(socket.hear_until("}").starts_with("HTTP/1.1 401"));
    CHECK(socket.hear_until("hello").starts_with("HTTP/1.1 200"));
  }
}

TEST_CASE("a client that waits for 100 Continue is told to go on, or the final answer") {
  Served served(table());
  RawSocket socket(served.server->port());
  socket.say("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  CHECK(socket.hear_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  socket.say("abc");
  CHECK(socket.hear_until("abc").starts_with("HTTP/1.1 200"));
  socket.say("POST /small HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 30\r\n\r\n");
  CHECK(socket.hear_all().starts_with("HTTP/1.1 413"));
}

TEST_CASE("what is not there, not offered or not understood has its own problem") {
  Served served(table());
  const auto client = make_http_client({});
  HttpRequest request = served.get("/nothing");
  HttpResponse response = need(client->send(request));
  CHECK(response.status == 404);
  CHECK(response.headers.at("content-type") == "application/problem+json");
  request = served.get("/hello");
  request.method = "BREW";
  response = need(client->send(request));
  CHECK(response.status == 405);
  CHECK(response.headers.at("allow") == "GET, HEAD");
  request.method = "HEAD";
  response = need(client->send(request));
  CHECK(response.status == 200);
  CHECK(response.headers.at("content-length") == "5");
  CHECK(response.body.empty());
  request = served.get("/a/../hello");
  CHECK(need(client->send(request)).status == 400);
  for (const std::string bad :
       {"GET /hello HTTP/1.1\r\n\r\n", "\r\n\r\n\r\n\r\n", "GET /hello HTTP/3.0\r\nHost: h\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    INFO(bad);
    RawSocket socket(served.server->port());
    socket.say(bad);
    const std::string answer = socket.hear_all();
    CHECK(answer.starts_with("HTTP/1.1 400"));
    CHECK(answer.find("\"code\":\"bad_request\"") != answer.npos);
  }
  RawSocket large(served.server->port());
  large.say("GET /hello HTTP/1.1\r\nHost: h\r\nX: " + std::string(100'000, 'x'));
  CHECK(large.hear_all().starts_with("HTTP/1.1 431"));
}

TEST_CASE("HTTP/1.0 clients are served") {
  Router router = table();
  router.add(quick("GET", "/stream", [](const Request&) {
    Response response;
    auto left = std::make_shared<int>(2);
    response.stream = [left]() -> boost::asio::awaitable<std::optional<std::string>> {
      if ((*left)-- == 0) co_return std::nullopt;
      co_return "piece ";
    };
    return response;
  }));
  Served served(std::move(router));
  RawSocket one(served.server->port());
  one.say("GET /hello HTTP/1.0\r\n\r\n");
  CHECK(one.hear_all().ends_with("hello"));
  RawSocket kept(served.server->port());
  kept.say("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(kept.hear_until("hello").find("Connection: keep-alive") != std::string::npos);
  kept.say("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const std::string streamed = kept.hear_all();
  CHECK(streamed.ends_with("\r\n\r\npiece piece "));
  CHECK(streamed.find("chunked") == streamed.npos);
}

TEST_CASE("clients that stall are given up") {
  ServerLimits limits;
  limits.header_limit = milliseconds{200};
  limits.idle_limit = milliseconds{200};
  limits.body_stall_limit = milliseconds{200};
  Served served(table(), {}, limits);
  SECTION("a header that does not end") {
    RawSocket socket(served.server->port());
    socket.say("GET /hello HTTP/1.1\r\nHo");
    CHECK(socket.hear_all().starts_with("HTTP/1.1 408"));
  }
  SECTION("a body that does not end") {
    RawSocket socket(served.server->port());
    socket.say("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n123");
    CHECK(socket.hear_all().starts_with("HTTP/1.1 408"));
  }
  SECTION("silence from the first") {
    RawSocket socket(served.server->port());
    CHECK(socket.hear_all().empty());
  }
  SECTION("silence after an answer") {
    RawSocket socket(served.server->port());
    socket.say(get_hello);
    CHECK(socket.hear_all().ends_with("hello"));
  }
  SECTION("a client that does not read") {
    Router router;
    const auto large = std::make_shared<const std::string>(pattern(32 * 1024 * 1024));
    Signal sent;
    router.add(quick("GET", "/large", [&](const Request&) {
      Response response;
      response.shared_body = large;
      return response;
    }));
    Served slow(std::move(router), {}, limits, [&](std::string_view, int, std::chrono::nanoseconds) { sent.raise(); });
    RawSocket socket(slow.server->port());
    socket.say("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(sent.wait());
    CHECK(socket.hear_all().size() < large->size());
  }
  SECTION("a TLS handshake that does not begin") {
    Pki pki;
    Served secure(table(), pki.server_config(), limits);
    RawSocket socket(secure.server->port());
    CHECK(socket.hear_all().empty());
  }
}

TEST_CASE("a body goes to a private file that lives as long as the handler") {
  TempDir directory;
  Path seen;
  Router router;
  Route upload = quick("PUT", "/blobs/{name}", [&](const Request& request) {
    struct stat info {};
    CHECK(::stat(request.body_file.c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0600);
    CHECK(request.body.empty());
    seen = request.body_file;
    if (request.params.at("name") == "keep") std::filesystem::rename(request.body_file, directory.path() / "kept");
    return text_response(std::to_string(info.st_size));
  });
  upload.body_directory = directory.path();
  upload.body_bytes_max = 2 * 1024 * 1024;
  router.add(upload);
  Route lost = upload;
  lost.pattern = "/lost";
  lost.body_directory = directory.path() / "absent";
  router.add(lost);
  Pki pki;
  Served served(std::move(router), pki.server_config());
  const auto client = make_http_client(pki.client_config());
  HttpRequest request = served.get("/blobs/keep");
  request.method = "PUT";
  request.body = pattern(1'500'000);
  CHECK(need(client->send(request)).body == "1500000");
  CHECK(need(read_file(directory.path() / "kept", 2'000'000)) == request.body);
  request.url = served.url("/blobs/drop");
  CHECK(need(client->send(request)).body == "1500000");
  CHECK(!std::filesystem::exists(seen));
  request.body.clear();
  CHECK(need(client->send(request)).body == "0");
  CHECK(!std::filesystem::exists(seen));
  request.body = pattern(2 * 1024 * 1024 + 1);
  CHECK(need(client->send(request)).status == 413);
  request.url = served.url("/lost");
  request.body = "x";
  CHECK(need(client->send(request)).status == 404);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) files += entry.is_regular_file();
  CHECK(files == 1);  // only the kept one
}

TEST_CASE("a handler that throws is a problem for its caller only") {
  Router router;
  const SyncHandler thrower = [](const Request&) -> Response { throw std::runtime_error("a bug"); };
  router.add(quick("GET", "/quick", thrower));
  Route blocking = quick("GET", "/blocking", {});
  blocking.blocking = thrower;
  router.add(blocking);
  Route async = quick("GET", "/async", {});
  async.async = [](const Request&) -> boost::asio::awaitable<Response> {
    co_await sleep_for(milliseconds{1});
    throw std::runtime_error("a bug");
  };
  router.add(async);
  Route guard = quick("GET", "/guard", thrower);
  guard.guard = [](const Request&) -> std::optional<Response> { throw std::runtime_error("a bug"); };
  router.add(guard);
  // The log is where the reason goes; it is not for this test's output.
  SystemClock clock;
  FileDescriptor null(::open("/dev/null", O_WRONLY));
  Log log(clock, null.get(), LogFormat::text, LogLevel::error);
  Server server(std::move(router), {Listen{}}, {}, log);
  need(server.start());
  const auto client = make_http_client({});
  for (const std::string path : {"/quick", "/blocking", "/async", "/guard", "/quick"}) {
    INFO(path);
    HttpRequest request;
    request.url = "http://127.0.0.1:" + std::to_string(server.port()) + path;
    const HttpResponse response = need(client->send(request));
    CHECK(response.status == 500);
    CHECK(Json::parse(response.body)["code"] == "internal");
    CHECK(response.body.find("a bug") == std::string::npos);
  }
}

TEST_CASE("blocking and async handlers answer with what they were asked") {
  Router router;
  Route blocking = echo("/blocking/{id}");
  blocking.blocking = [](const Request& request) { return text_response(request.params.at("id") + request.body); };
  blocking.quick = {};
  router.add(blocking);
  Route async = blocking;
  async.pattern = "/async/{id}";
  async.blocking = {};
  async.async = [](const Request& request) -> boost::asio::awaitable<Response> {
    co_await sleep_for(milliseconds{1});
    co_return text_response(request.params.at("id") + request.body);
  };
  router.add(async);
  Pki pki;
  Served served(std::move(router), pki.server_config());
  const auto client = make_http_client(pki.client_config());
  for (int i = 0; i < 20; ++i) {
    HttpRequest request = served.get((i % 2 ? "/blocking/" : "/async/") + std::to_string(i));
    request.method = "POST";
    request.body = ": a body that is too long for a small string " + std::to_string(i);
    CHECK(need(client->send(request)).body == std::to_string(i) + request.body);
  }
}

TEST_CASE("files arrive whole and in part, fast and capped") {
  TempDir directory;
  const Path path = directory.path() / "blob";
  const std::string content = pattern(3'000'000);
  need(write_file_atomic(path, content));
  Router router;
  router.add(quick("GET", "/blob", [&](const Request& request) {
    return file_response(request, path, "v1", "application/octet-stream");
  }));
  router.add(quick("GET", "/capped", [&](const Request& request) {
    return file_response(request, path, "v1", "application/octet-stream", 4'000'000);
  }));
  router.add(quick("GET", "/shrunk", [&](const Request&) {
    Response response;
    response.file = FileRange{path, 1, content.size(), 0};
    return response;
  }));
  Pki pki;
  std::optional<Served> served;
  SECTION("plain") { served.emplace(std::move(router)); }
  SECTION("TLS") { served.emplace(std::move(router), pki.server_config()); }
  const auto client = make_http_client(pki.client_config());
  HttpRequest request = served->get("/blob");
  request.body_bytes_max = content.size();
  CHECK(need(client->send(request)).body == content);
  request.headers["Range"] = "bytes=1000000-1999999";
  HttpResponse part = need(client->send(request));
  CHECK(part.status == 206);
  CHECK(part.headers.at("content-range") == "bytes 1000000-1999999/3000000");
  CHECK(part.body == content.substr(1'000'000, 1'000'000));
  request.headers["If-Range"] = "\"v2\"";
  CHECK(need(client->send(request)).body == content);
  request.headers = {{"If-None-Match", "\"v1\""}};
  part = need(client->send(request));
  CHECK(part.status == 304);
  CHECK(part.body.empty());
  request.headers = {{"Range", "bytes=3000000-"}};
  CHECK(need(client->send(request)).status == 416);
  request = served->get("/capped");
  request.headers = {{"Range", "bytes=-400000"}};
  CHECK(need(client->send(request)).body == content.substr(2'600'000));
  request = served->get("/blob");
  request.method = "HEAD";
  CHECK(need(client->send(request)).headers.at("content-length") == "3000000");
}

TEST_CASE("a stream comes piece by piece and its connection goes on") {
  Router router = table();
  router.add(quick("GET", "/stream", [](const Request&) {
    Response response;
    response.headers["Content-Type"] = "text/event-stream";
    auto next = std::make_shared<int>(0);
    response.stream = [next]() -> boost::asio::awaitable<std::optional<std::string>> {
      co_await sleep_for(milliseconds{1});
      const int i = (*next)++;
      if (i == 3) co_return std::nullopt;
      if (i == 1) co_return std::string();  // nothing to say is not the end
      co_return "data: " + std::to_string(i) + "\n\n";
    };
    return response;
  }));
  Served served(std::move(router));
  RawSocket socket(served.server->port());
  for (int round = 0; round < 3; ++round) {
    socket.say("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    const std::string answer = socket.hear_until("0\r\n\r\n");
    CHECK(answer.find("Transfer-Encoding: chunked") != answer.npos);
    CHECK(answer.ends_with("\r\n\r\n9\r\ndata: 0\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"));
    socket.say(get_hello);
    CHECK(socket.hear_until("hello").starts_with("HTTP/1.1 200"));
  }
  // A request sent while the stream runs is answered after it.
  socket.say("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  socket.hear_until("data: 0\n\n\r\n");
  socket.say(get_hello);
  socket.hear_until("0\r\n\r\n");
  CHECK(socket.hear_until("hello").starts_with("HTTP/1.1 200"));
}

TEST_CASE("a stream ends when its client goes away") {
  struct Witness {
    explicit Witness(Signal& signal) : gone(signal) {}
    ~Witness() { gone.raise(); }
    Signal& gone;
  };
  Signal gone;
  Router router;
  router.add(quick("GET", "/stream", [&](const Request&) {
    Response response;
    auto first = std::make_shared<bool>(true);
    response.stream = [&gone, first]() -> boost::asio::awaitable<std::optional<std::string>> {
      if (std::exchange(*first, false)) co_return "tick";
      Witness witness(gone);
      co_await sleep_for(std::chrono::hours{1});
      co_return std::nullopt;
    };
    return response;
  }));
  Pki pki;
  SECTION("plain") {
    Served served(std::move(router));
    {
      RawSocket socket(served.server->port());
      socket.say("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
      socket.hear_until("tick\r\n");
    }
    CHECK(gone.wait());
  }
  SECTION("TLS") {
    Served served(std::move(router), pki.server_config());
    const auto client = make_http_client(pki.client_config());
    HttpRequest request = served.get("/stream");
    request.time_limit = Duration{0};
    request.sink = [](std::string_view piece) { return piece != "tick"; };
    const auto ended = client->send(request);
    REQUIRE(!ended);
    CHECK(ended.error().code == Errc::cancelled);
    CHECK(gone.wait());
  }
}

TEST_CASE("a stream that throws breaks off visibly") {
  Router router;
  router.add(quick("GET", "/stream", [](const Request&) {
    Response response;
    auto first = std::make_shared<bool>(true);
    response.stream = [first]() -> boost::asio::awaitable<std::optional<std::string>> {
      if (std::exchange(*first, false)) co_return "tick";
      throw std::runtime_error("a bug");
    };
    return response;
  }));
  SystemClock clock;
  FileDescriptor null(::open("/dev/null", O_WRONLY));
  Log log(clock, null.get(), LogFormat::text, LogLevel::error);
  Server server(std::move(router), {Listen{}}, {}, log);
  need(server.start());
  HttpRequest request;
  request.url = "http://127.0.0.1:" + std::to_string(server.port()) + "/stream";
  const auto broken = make_http_client({})->send(request);
  REQUIRE(!broken);
  CHECK(broken.error().code == Errc::unreachable);
}
