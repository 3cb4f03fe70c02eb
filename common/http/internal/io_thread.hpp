// One io thread of the server: its context, its connections, their deadlines.
#pragma once
#include "common/http/internal/socket_stream.hpp"
#include "common/http/server.hpp"
#include "common/log.hpp"

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/thread_pool.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace ferry::http::internal {

class Session;

// What every connection of one server uses. Outlives the sessions.
struct ServerParts {
  ServerParts(Router r, ServerLimits l, Log& g, Observer o)
      : router(std::move(r)), limits(l), log(g), observer(std::move(o)) {}
  const Router router;
  const ServerLimits limits;
  Log& log;
  const Observer observer;
  SystemClock clock;
  std::atomic<bool> draining{false};
  // Jobs of Route::blocking and file work; set while the server runs.
  std::unique_ptr<boost::asio::thread_pool> pool;

  // Every coroutine of the server is counted here, so that stop() can wait for the last.
  void began() { coroutines_.fetch_add(1); }
  void ended();
  bool wait_until_none(Duration limit);  // false: some are left

  std::atomic<std::size_t> connections{0};

 private:
  std::atomic<std::size_t> coroutines_{0};
  std::mutex mutex_;  // pairs ended() with wait_until_none()
  std::condition_variable none_left_;
};

// Deadlines cost one assignment per request: a sweep every `tick` cuts what is over time. So a limit is kept to
// within a tick.
class IoThread {
 public:
  explicit IoThread(ServerParts& parts);
  ~IoThread();

  boost::asio::io_context& context() { return context_; }
  void start();
  void stop_and_join();

  // On this thread only:
  void adopt(Socket socket, std::shared_ptr<SSL_CTX> tls, bool refuse);
  void end_waiting();  // closes connections between two requests, and streams
  void cut_all();
  std::int64_t now_ms() const { return now_ms_; }    // coarse, monotonic
  const std::string& date() const { return date_; }  // for the Date header, coarse
  std::span<char> scratch() { return scratch_; }     // for reading; nobody keeps anything in it over a wait

 private:
  boost::asio::awaitable<void> sweep();
  void refresh_time();

  ServerParts& parts_;
  const Duration tick_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::unordered_map<Session*, std::shared_ptr<Session>> sessions_;
  bool sweeping_ = false;
  std::int64_t now_ms_ = 0;
  std::int64_t date_second_ = -1;
  std::string date_;
  std::vector<char> scratch_;
  std::thread thread_;
};

}  // namespace ferry::http::internal
