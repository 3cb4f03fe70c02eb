// The server from outside: what it binds, what it answers, how it ends.
#include "tests/common/http/http_fixture.hpp"

#include "common/task.hpp"

#include <sys/stat.h>
#include <fstream>

using namespace ferry;
using namespace ferry::http;
using namespace ferry::http::test;

namespace {

Router hello() {
  Router router;
  router.add(quick("GET", "/hello", [](const Request&) { return text_response("hello"); }));
  return router;
}

struct UnixServer {
  explicit UnixServer(const Path& path) : log(clock, STDERR_FILENO, LogFormat::text, LogLevel::error) {
    Listen listen;
    listen.address = path.string();
    listen.unix_socket = true;
    server.emplace(hello(), std::vector<Listen>{listen}, ServerLimits{}, log);
  }
  SystemClock clock;
  Log log;
  std::optional<Server> server;
};

HttpRequest through(const Path& socket) {
  HttpRequest request;
  request.url = "http://localhost/hello";
  request.unix_socket = socket.string();
  return request;
}

}  // namespace

TEST_CASE("a Unix socket serves, has mode 0660, replaces a stale one and refuses a living one") {
  TempDir directory;
  const Path path = directory.path() / "api.sock";
  {  // what a killed process leaves: a bound socket that nobody listens to
    FileDescriptor stale(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(stale.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  UnixServer first(path);
  need(first.server->start());
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0660);
  const auto client = make_http_client({});
  CHECK(need(client->send(through(path))).body == "hello");

  UnixServer second(path);
  CHECK(second.server->start().error().code == Errc::conflict);
  CHECK(need(client->send(through(path))).body == "hello");
  first.server->stop();
  CHECK(!std::filesystem::exists(path));

  std::ofstream(path) << "precious";
  UnixServer third(path);
  CHECK(third.server->start().error().code == Errc::conflict);
  CHECK(std::filesystem::file_size(path) == 8);
}

TEST_CASE("addresses that cannot be bound are named") {
  SystemClock clock;
  Log log(clock, STDERR_FILENO, LogFormat::text, LogLevel::error);
  const auto start = [&](Listen listen) {
    Server server(hello(), {std::move(listen)}, {}, log);
    const auto started = server.start();
    if (started) return std::string("started");
    CHECK(started.error().context.find("listen on") != std::string::npos);
    return std::string(to_string(started.error().code));
  };
  Served taken(hello());
  Listen listen;
  listen.port = taken.server->port();
  CHECK(start(listen) == "conflict");
  listen.port = 0;
  CHECK(start(listen) == "started");
  listen.address = "ferry.example";
  CHECK(start(listen) == "bad_input");
  listen.address = "192.0.2.1";
  CHECK(start(listen) == "bad_input");
  listen.address = std::string(200, 'x');
  listen.unix_socket = true;
  CHECK(start(listen) == "bad_input");
  listen.address = "/nonexistent/ferry.sock";
  CHECK(start(listen) == "not_found");
}

TEST_CASE("several listeners and threads serve the same routes") {
  Pki pki;
  SystemClock clock;
  Log log(clock, STDERR_FILENO, LogFormat::text, LogLevel::error);
  std::vector<Listen> listen(2);
  listen[1].tls = pki.server_config();
  ServerLimits limits;
  limits.threads = 3;
  Server server(hello(), listen, limits, log);
  need(server.start());
  REQUIRE(server.port(0) != server.port(1));
  const auto client = make_http_client(pki.client_config());
  for (int i = 0; i < 10; ++i) {
    HttpRequest request;
    request.headers["Connection"] = "close";
    request.url = "http://127.0.0.1:" + std::to_string(server.port(0)) + "/hello";
    CHECK(need(client->send(request)).body == "hello");
    request.url = "https://127.0.0.1:" + std::to_string(server.port(1)) + "/hello";
    CHECK(need(client->send(request)).body == "hello");
  }
}

TEST_CASE("stop lets a request under way end and ends idle connections") {
  Router router = hello();
  Signal entered, go_on;
  Route slow = quick("GET", "/slow", {});
  slow.blocking = [&](const Request&) {
    entered.raise();
    CHECK(go_on.wait());
    return text_response("done");
  };
  router.add(slow);
  Served served(std::move(router));
  const std::uint16_t port = served.server->port();
  RawSocket idle(port), busy(port);
  idle.say("GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(idle.hear_until("hello").starts_with("HTTP/1.1 200"));
  busy.say("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
  REQUIRE(entered.wait());
  std::thread stopper([&] { served.server->stop(); });
  CHECK(idle.hear_all().empty());
  go_on.raise();
  const std::string answer = busy.hear_all();
  CHECK(answer.find("Connection: close") != answer.npos);
  CHECK(answer.ends_with("done"));
  stopper.join();
}

TEST_CASE("stop cuts what does not end in time, and streams at once") {
  struct Witness {
    explicit Witness(Signal& signal) : gone(signal) {}
    ~Witness() { gone.raise(); }
    Signal& gone;
  };
  Router router;
  Signal forever_gone, stream_gone;
  Route forever = quick("GET", "/forever", {});
  forever.async = [&](const Request&) -> boost::asio::awaitable<Response> {
    Witness witness(forever_gone);
    co_await sleep_for(std::chrono::hours{1});
    co_return Response{};
  };
  router.add(forever);
  router.add(quick("GET", "/stream", [&](const Request&) {
    Response response;
    auto first = std::make_shared<bool>(true);
    response.stream = [&, first]() -> boost::asio::awaitable<std::optional<std::string>> {
      if (std::exchange(*first, false)) co_return "tick";
      Witness witness(stream_gone);
      co_await sleep_for(std::chrono::hours{1});
      co_return std::nullopt;
    };
    return response;
  }));
  ServerLimits limits;
  limits.drain_limit = milliseconds{100};
  Served served(std::move(router), {}, limits);
  RawSocket waiting(served.server->port()), streaming(served.server->port());
  streaming.say("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(streaming.hear_until("tick\r\n").find("chunked") != std::string::npos);
  waiting.say("GET /forever HTTP/1.1\r\nHost: h\r\n\r\n");
  // Answered on another connection of the same thread only after /forever was read.
  RawSocket probe(served.server->port());
  probe.say("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  probe.hear_until("tick\r\n");
  served.server->stop();
  CHECK(forever_gone.wait());
  CHECK(stream_gone.wait());
  CHECK(waiting.hear_all().empty());
  CHECK(streaming.hear_all().find("0\r\n\r\n") == std::string::npos);  // cut, not ended: the client can tell
}

TEST_CASE("one connection too many is told so and the others go on") {
  ServerLimits limits;
  limits.connections_max = 2;
  Served served(hello(), {}, limits);
  RawSocket first(served.server->port()), second(served.server->port());
  const std::string text = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
  first.say(text);
  CHECK(first.hear_until("hello").starts_with("HTTP/1.1 200"));
  second.say(text);
  CHECK(second.hear_until("hello").starts_with("HTTP/1.1 200"));
  RawSocket third(served.server->port());
  third.say(text);
  const std::string refusal = third.hear_all();
  CHECK(refusal.starts_with("HTTP/1.1 503"));
  CHECK(refusal.find("Retry-After") != refusal.npos);
  first.say(text);
  CHECK(first.hear_until("hello").starts_with("HTTP/1.1 200"));
}

TEST_CASE("the observer hears of every request") {
  std::mutex mutex;
  std::vector<std::string> heard;
  {
    Router router = hello();
    router.add(quick("GET", "/devices/{id}", [](const Request&) { return problem(409, "conflict", "no"); }));
    Served served(std::move(router), {}, {}, [&](std::string_view route, int status, std::chrono::nanoseconds took) {
      std::lock_guard lock(mutex);
      CHECK(took.count() >= 0);
      heard.push_back(std::string(route) + " " + std::to_string(status));
    });
    const auto client = make_http_client({});
    for (const char* path : {"/hello", "/devices/7", "/nothing"}) need(client->send(served.get(path)));
    RawSocket bad(served.server->port());
    bad.say("nonsense\r\n\r\n");
    CHECK(bad.hear_all().starts_with("HTTP/1.1 400"));
  }
  CHECK(heard == std::vector<std::string>{"/hello 200", "/devices/{id} 409", "unmatched 404", "unreadable 400"});
}
