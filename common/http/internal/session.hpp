// One connection from accept to close: handshake, then request after request.
#pragma once
#include "common/http/internal/io_thread.hpp"
#include "common/http/internal/request_parser.hpp"

#include <boost/asio/cancellation_signal.hpp>

namespace ferry::http::internal {

// Lives on one IoThread; everything is called there.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(ServerParts& parts, IoThread& thread, Socket socket, std::shared_ptr<SSL_CTX> tls, bool refuse);
  boost::asio::awaitable<void> run();
  boost::asio::cancellation_slot cancel_slot() { return cancel_.slot(); }
  std::int64_t deadline_ms() const { return deadline_ms_; }
  void expire();          // the deadline has passed: the pending wait fails, the session decides what to say
  void cut();             // ends it now, whatever it does (a blocking handler runs to its end first)
  void end_if_waiting();  // draining: nothing of a request is here yet, or a stream without an end
  void close();

 private:
  enum class Phase { waiting, reading, working, streaming, writing, closing };
  enum class Outcome { keep, close, linger };  // linger: the client may still be sending
  enum class Head { complete, closed, failed, timeout };
  struct Exchange;
  class BodyFile;

  boost::asio::awaitable<bool> shake_hands();
  boost::asio::awaitable<Outcome> serve_one();
  boost::asio::awaitable<Head> read_head(RequestParser& parser);
  std::optional<Response> admit(RequestParser& parser, const Route*& route);
  // The problem to answer, or nothing when the body is whole.
  boost::asio::awaitable<std::optional<Response>> take_body(RequestParser& parser, const Route& route, BodyFile& file);
  boost::asio::awaitable<bool> discard_body(RequestParser& parser);
  boost::asio::awaitable<Response> run_handler(const Route& route, const Request& request);
  Response failed_handler(const Route& route, std::string_view what);

  // session_body.cpp. False: the connection is broken.
  boost::asio::awaitable<bool> send(Exchange& exchange, Response& response);
  boost::asio::awaitable<bool> send_file(Exchange& exchange, Response& response);
  boost::asio::awaitable<bool> send_stream(Exchange& exchange, Response& response);
  void compose_head(const Exchange& exchange, const Response& response, std::optional<std::uint64_t> length,
                    bool chunked);
  void watch_client();  // while a stream runs: cuts the session when the client goes away

  boost::asio::awaitable<bool> wait_socket(IoStatus wanted);
  // Into the thread's scratch: valid until the next wait. Empty: closed or out of time.
  boost::asio::awaitable<std::string_view> read_some(bool wait_first);
  bool write_now(std::string_view& bytes);  // as much as the socket takes; false: broken
  boost::asio::awaitable<bool> write_rest(std::string_view bytes);
  boost::asio::awaitable<void> linger();

  void set_deadline(Duration limit) {
    deadline_ms_ = thread_.now_ms() + limit.count();
    expired_ = false;
  }
  void no_deadline();

  ServerParts& parts_;
  IoThread& thread_;
  SocketStream stream_;
  boost::asio::cancellation_signal cancel_;
  std::shared_ptr<const Peer> peer_;
  std::string remote_;
  std::string pending_;  // received, not parsed yet
  std::string out_;
  std::int64_t deadline_ms_ = 0;
  Phase phase_ = Phase::waiting;
  bool refuse_;  // one connection too many: 503
  bool expired_ = false;
  bool watching_ = false;
  bool cut_ = false;
};

struct Session::Exchange {
  bool keep_alive = true;
  bool head_only = false;
  bool http_1_0 = false;
};

// A request body on disk: made in the route's directory, gone after the handler unless the handler renamed it.
class Session::BodyFile {
 public:
  BodyFile() = default;
  ~BodyFile();
  BodyFile(const BodyFile&) = delete;
  BodyFile& operator=(const BodyFile&) = delete;
  Result<> create(const Path& directory);
  Result<> append(std::string_view bytes);
  bool is_open() const { return bool(fd_); }
  const Path& path() const { return path_; }
  void close() { fd_ = FileDescriptor(); }
  void remove();  // idempotent

 private:
  FileDescriptor fd_;
  Path path_;
};

}  // namespace ferry::http::internal
