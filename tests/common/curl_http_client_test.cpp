// The client against servers that behave badly: a real socket says exactly the bytes given.
#include "common/http_client.hpp"

#include "tests/common/http/http_fixture.hpp"

#include <nlohmann/json.hpp>
#include <set>

using namespace ferry;
using namespace ferry::http::test;

namespace {

// Accepts connections, reads one request head on each, says what it was told to, keeps what it heard.
class ScriptedServer {
 public:
  enum class Then { close, hold };
  explicit ScriptedServer(std::vector<std::string> answers, Then then = Then::close)
      : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), answers_(std::move(answers)), then_(then) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    {
      std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    thread_.join();
  }
  HttpRequest request(std::string_view path = "/") const {
    HttpRequest made;
    made.url = "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
    return made;
  }
  std::string heard() {
    std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  void serve() {
    std::vector<RawSocket> held;
    for (const std::string& answer : answers_) {
      FileDescriptor fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) return;
      {
        std::lock_guard lock(mutex_);
        open_.push_back(fd.get());
      }
      RawSocket socket(std::move(fd));
      const std::string head = socket.hear_until("\r\n\r\n");
      {
        std::lock_guard lock(mutex_);
        heard_ += head;
      }
      socket.say(answer);
      if (then_ == Then::hold) {
        socket.hear_all();
      } else {
        socket.half_close();
      }
      held.push_back(std::move(socket));
    }
  }

  FileDescriptor listener_;
  std::vector<std::string> answers_;
  Then then_;
  std::uint16_t port_ = 0;
  std::mutex mutex_;  // guards heard_ and open_
  std::string heard_;
  std::vector<int> open_;
  std::thread thread_;
};

Result<HttpResponse> answer_to(const std::string& bytes, std::function<void(HttpRequest&)> change = {}) {
  ScriptedServer server({bytes});
  HttpRequest request = server.request();
  if (change) change(request);
  return make_http_client({})->send(request);
}

std::string code_of(const Result<HttpResponse>& answer) {
  return answer ? "status " + std::to_string(answer->status) : std::string(to_string(answer.error().code));
}

}  // namespace

TEST_CASE("any status is an answer, and nothing is followed, undone or added") {
  const auto moved = answer_to(
      "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Encoding: gzip\r\nX-A: 1\r\nx-a: "
      "2\r\nContent-Length: 2\r\n\r\nhi");
  REQUIRE(moved);
  CHECK(moved->status == 302);
  CHECK(moved->body == "hi");
  CHECK(moved->headers.at("location") == "http://127.0.0.1:1/");
  CHECK(moved->headers.at("x-a") == "1, 2");
  CHECK(answer_to("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")->status == 500);
  CHECK(answer_to("HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 204 No\r\n\r\n")->headers.count("x-early") == 0);
}

TEST_CASE("a request goes out as it was written") {
  ScriptedServer server({"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
  HttpRequest request = server.request("/a/../b%2fc/./d?x=%41");
  request.method = "DELETE";
  request.headers = {{"Authorization", "Bearer t"}, {"X-Empty", ""}};
  need(make_http_client({})->send(request));
  const std::string heard = server.heard();
  CHECK(heard.starts_with("DELETE /a/../b%2fc/./d?x=%41 HTTP/1.1\r\n"));
  CHECK(heard.find("Authorization: Bearer t\r\n") != heard.npos);
  CHECK(heard.find("X-Empty:") != heard.npos);
}

TEST_CASE("answers that break the rules are refused") {
  CHECK(code_of(answer_to("nonsense\r\n\r\n")) == "bad_input");
  CHECK(code_of(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")) == "unreachable");
  CHECK(code_of(answer_to("")) == "unreachable");
  CHECK(code_of(answer_to("HTTP/1.1 200 OK\r\nX: " + std::string(200'000, 'x') + "\r\n\r\n")) == "bad_input");
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 5'000; ++i) many += "A: 1\r\n";
  CHECK(code_of(answer_to(many + "\r\n")) == "bad_input");
  CHECK(code_of(answer_to("HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n")) != "status 200");
}

TEST_CASE("a body longer than expected is cut off, declared or not") {
  const auto limited = [](HttpRequest& request) { request.body_bytes_max = 10; };
  CHECK(code_of(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890", limited)) == "bad_input");
  CHECK(code_of(answer_to("HTTP/1.1 200 OK\r\n\r\n01234567890", limited)) == "bad_input");
  CHECK(code_of(answer_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
                          limited)) == "bad_input");
  CHECK(code_of(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", limited)) == "status 200");
}

TEST_CASE("a sink gets a good body only") {
  std::string sunk;
  const auto into_sink = [&](HttpRequest& request) {
    request.sink = [&](std::string_view piece) {
      sunk += piece;
      return true;
    };
  };
  auto answer = answer_to("HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n\r\ngood", into_sink);
  REQUIRE(answer);
  CHECK(sunk == "good");
  CHECK(answer->body.empty());
  sunk.clear();
  answer = answer_to("HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nbad", into_sink);
  REQUIRE(answer);
  CHECK(sunk.empty());
  CHECK(answer->body == "bad");
  CHECK(code_of(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", [](HttpRequest& request) {
          request.sink = [](std::string_view) { return false; };
        })) == "cancelled");
  CHECK(code_of(answer_to("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", [](HttpRequest& request) {
          request.sink = [](std::string_view) -> bool { throw std::runtime_error("a bug"); };
        })) == "internal");
}

TEST_CASE("every wait ends") {
  ScriptedServer silent({"", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome", ""}, ScriptedServer::Then::hold);
  const auto client = make_http_client({});
  SECTION("by the whole exchange's limit") {
    HttpRequest request = silent.request();
    request.time_limit = milliseconds{100};
    CHECK(code_of(client->send(request)) == "timeout");
  }
  SECTION("by the stall limit") {
    HttpRequest request = silent.request();
    request.time_limit = Duration{0};
    request.bytes_per_second_min = 1000;
    request.stall_limit = seconds{1};
    CHECK(code_of(client->send(request)) == "timeout");
  }
  SECTION("by cancelling") {
    std::atomic<bool> cancel{false};
    HttpRequest request = silent.request();
    request.time_limit = Duration{0};
    request.cancel = &cancel;
    std::thread canceller([&] {
      while (silent.heard().empty()) std::this_thread::yield();  // the request is out: nobody will answer it
      cancel = true;
    });
    CHECK(code_of(client->send(request)) == "cancelled");
    canceller.join();
    CHECK(code_of(client->send(request)) == "cancelled");  // before anything is sent
  }
}

TEST_CASE("what cannot be reached or asked is told apart") {
  const auto client = make_http_client({});
  HttpRequest request;
  request.url = "http://127.0.0.1:1/";
  CHECK(code_of(client->send(request)) == "unreachable");
  request.url = "https://127.0.0.1:1/?token=secret";
  const auto refused = client->send(request);
  CHECK(code_of(refused) == "unreachable");
  CHECK(refused.error().context.find("secret") == std::string::npos);
  request.url = "http://no-such-host.invalid/";
  CHECK(code_of(client->send(request)) == "unreachable");
  request.url = "ftp://127.0.0.1/";
  CHECK(code_of(client->send(request)) == "bad_input");
  request.url = "file:///etc/passwd";
  CHECK(code_of(client->send(request)) == "bad_input");
  request.url = "::";
  CHECK(!client->send(request));
  request.url = "http://127.0.0.1:1/";
  request.unix_socket = "/nonexistent/ferry.sock";
  CHECK(code_of(client->send(request)) == "unreachable");
  request.unix_socket.clear();
  request.headers = {{"X", "a\r\nInjected: b"}};
  CHECK(code_of(client->send(request)) == "bad_input");
  request.headers.clear();
  request.method = "GET / HTTP/1.1\r\nX: ";
  CHECK(code_of(client->send(request)) == "bad_input");
}

TEST_CASE("a proxy in the environment is not used") {
  ScriptedServer server({"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"});
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
  CHECK(code_of(make_http_client({})->send(server.request())) == "status 200");
  ::unsetenv("http_proxy");
  ::unsetenv("ALL_PROXY");
}

TEST_CASE("a connection is used again") {
  std::mutex mutex;
  std::set<std::string> remotes;
  http::Router router;
  router.add(quick("POST", "/", [&](const http::Request& request) {
    std::lock_guard lock(mutex);
    remotes.insert(request.remote);
    return http::text_response(request.body);
  }));
  Pki pki;
  Served served(std::move(router), pki.server_config());
  const auto client = make_http_client(pki.client_config());
  for (int i = 0; i < 5; ++i) {
    HttpRequest request = served.get("/");
    request.method = "POST";
    request.body = std::to_string(i);
    CHECK(need(client->send(request)).body == request.body);
  }
  CHECK(remotes.size() == 1);
}

TEST_CASE("Retry-After is read in seconds and capped") {
  const auto after = [](const std::string& value) {
    HttpResponse response;
    response.headers["retry-after"] = value;
    return response.retry_after();
  };
  CHECK(after("0") == Duration{0});
  CHECK(after("120") == std::chrono::minutes{2});
  CHECK(after("86400") == std::chrono::hours{1});
  CHECK(after("99999999999999999999") == std::chrono::hours{1});
  CHECK(!after("-1"));
  CHECK(!after("soon"));
  CHECK(!after("Mon, 23 Nov 2026 08:37:13 GMT"));
  CHECK(!after(""));
  CHECK(!HttpResponse{}.retry_after());
}

TEST_CASE("a status becomes the error that the caller acts on") {
  const std::map<int, Errc> expected{{429, Errc::unavailable}, {503, Errc::unavailable}, {500, Errc::unreachable},
                                     {502, Errc::unreachable}, {401, Errc::denied},      {403, Errc::denied},
                                     {404, Errc::not_found},   {409, Errc::conflict},    {412, Errc::conflict},
                                     {400, Errc::bad_input},   {413, Errc::bad_input},   {302, Errc::bad_input}};
  for (const auto& [status, code] : expected) {
    HttpResponse response;
    response.status = status;
    INFO(status);
    CHECK(error_from_status(response, "check-in").code == code);
    CHECK(error_from_status(response, "check-in").context.find(std::to_string(status)) != std::string::npos);
  }
  HttpResponse response;
  response.status = 409;
  response.body = R"({"detail":"the rollout is paused"})";
  CHECK(error_from_status(response, "check-in").context.find("the rollout is paused") != std::string::npos);
  response.body = R"({"detail":)";
  CHECK(error_from_status(response, "check-in").code == Errc::conflict);
}
