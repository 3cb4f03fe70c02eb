// A plain HTTP server on loopback that answers each request as a script says, and can hang up in the middle.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace ferry::test {

struct ScriptedRequest {
  std::string head;  // request line and headers, lower case names not guaranteed
  std::string body;
  bool has(std::string_view text) const { return head.find(text) != std::string::npos; }
  std::string path() const {
    auto first = head.find(' ');
    return head.substr(first + 1, head.find(' ', first + 1) - first - 1);
  }
  // The N of "Range: bytes=N-"; 0 without one.
  std::size_t range_start() const {
    auto at = head.find("Range: bytes=");
    return at == std::string::npos ? 0 : std::stoul(head.substr(at + 13));
  }
};

struct ScriptedAnswer {
  int status = 200;
  std::string headers;  // "Name: value\r\n…"; Content-Length is added
  std::string body;
  std::optional<std::size_t> cut_after;       // hang up after so many bytes of the body
  std::optional<std::size_t> claimed_length;  // another Content-Length than the body's
};

// One connection at a time, one thread, Connection: close.
class ScriptedServer {
 public:
  using Handler = std::function<ScriptedAnswer(const ScriptedRequest&)>;
  explicit ScriptedServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0)
      throw std::runtime_error("scripted server: no socket");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;
  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::string url(const std::string& path = "") const { return "http://127.0.0.1:" + std::to_string(port_) + path; }
  std::vector<ScriptedRequest> requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void serve() {
    for (;;) {
      int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      if (auto request = read_request(fd)) {
        {
          std::lock_guard lock(mutex_);
          requests_.push_back(*request);
        }
        send_answer(fd, handler_(*request));
      }
      ::close(fd);
    }
  }
  static std::optional<ScriptedRequest> read_request(int fd) {
    std::string text;
    char piece[4096];
    std::size_t end = std::string::npos;
    while ((end = text.find("\r\n\r\n")) == std::string::npos) {
      ssize_t count = ::recv(fd, piece, sizeof piece, 0);
      if (count <= 0) return std::nullopt;
      text.append(piece, static_cast<std::size_t>(count));
    }
    ScriptedRequest request{text.substr(0, end), text.substr(end + 4)};
    auto at = request.head.find("Content-Length: ");
    std::size_t wanted = at == std::string::npos ? 0 : std::stoul(request.head.substr(at + 16));
    while (request.body.size() < wanted) {
      ssize_t count = ::recv(fd, piece, sizeof piece, 0);
      if (count <= 0) return std::nullopt;
      request.body.append(piece, static_cast<std::size_t>(count));
    }
    return request;
  }
  static void send_answer(int fd, const ScriptedAnswer& answer) {
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) +
                       " Scripted\r\nConnection: close\r\nContent-Length: " +
                       std::to_string(answer.claimed_length.value_or(answer.body.size())) + "\r\n" + answer.headers +
                       "\r\n" + answer.body.substr(0, answer.cut_after.value_or(std::string::npos));
    std::string_view rest = text;
    while (!rest.empty()) {
      ssize_t count = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      rest.remove_prefix(static_cast<std::size_t>(count));
    }
    ::shutdown(fd, SHUT_WR);
    char piece[256];
    while (::recv(fd, piece, sizeof piece, 0) > 0) {  // until the client hangs up: no reset eats the answer
    }
  }

  Handler handler_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;  // guards requests_
  std::vector<ScriptedRequest> requests_;
  std::thread thread_;
};

}  // namespace ferry::test
