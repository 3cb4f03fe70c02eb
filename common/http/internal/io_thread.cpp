#include "common/http/internal/io_thread.hpp"

#include "common/http/internal/response_head.hpp"
#include "common/http/internal/session.hpp"
#include "common/task.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>

namespace ferry::http::internal {
namespace {

// As large as four TLS records, and as a piece of a file.
constexpr std::size_t scratch_bytes = 64 * 1024;
constexpr Duration tick_max{250};
constexpr Duration tick_min{5};

Duration tick_for(const ServerLimits& limits) {
  const Duration shortest = std::min({limits.header_limit, limits.idle_limit, limits.body_stall_limit});
  return std::clamp(shortest / 4, tick_min, tick_max);
}

}  // namespace

void ServerParts::ended() {
  std::lock_guard lock(mutex_);  // held over the count: the waiter may destroy this object once it sees zero
  if (coroutines_.fetch_sub(1) != 1) return;
  none_left_.notify_all();
}

bool ServerParts::wait_until_none(Duration limit) {
  std::unique_lock lock(mutex_);
  return none_left_.wait_for(lock, limit, [&] { return coroutines_.load() == 0; });
}

IoThread::IoThread(ServerParts& parts)
    : parts_(parts), tick_(tick_for(parts.limits)), guard_(context_.get_executor()), scratch_(scratch_bytes) {
  refresh_time();
}

IoThread::~IoThread() { stop_and_join(); }

void IoThread::start() {
  thread_ = std::thread([this] {
    for (;;) {
      try {
        context_.run();
        return;
      } catch (const std::exception& failure) {  // out of a program's own coroutine or callback on io()
        parts_.log.error("an exception reached the io thread", {{"error", failure.what()}});
      }
    }
  });
}

void IoThread::stop_and_join() {
  guard_.reset();
  context_.stop();
  if (thread_.joinable()) thread_.join();
}

void IoThread::refresh_time() {
  now_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(parts_.clock.monotonic()).count();
  const Instant now = parts_.clock.now();
  const std::int64_t second = to_unix_ms(now) / 1000;
  if (second == date_second_) return;
  date_second_ = second;
  date_ = http_date(now);
}

void IoThread::adopt(Socket socket, std::shared_ptr<SSL_CTX> tls, bool refuse) {
  if (!sweeping_) refresh_time();
  auto session = std::make_shared<Session>(parts_, *this, std::move(socket), std::move(tls), refuse);
  sessions_.emplace(session.get(), session);
  // Owned by sessions_; stop() waits until parts_ has counted it out.
  auto finished = [this, session](std::exception_ptr) {
    sessions_.erase(session.get());
    session->close();
    parts_.connections.fetch_sub(1);
    parts_.ended();
  };
  boost::asio::co_spawn(context_, session->run(),
                        boost::asio::bind_cancellation_slot(session->cancel_slot(), std::move(finished)));
  if (sweeping_) return;
  sweeping_ = true;
  boost::asio::co_spawn(context_, sweep(),
                        [](std::exception_ptr) {});  // ends with the last connection or with context_
}

// Runs only while there are connections: an idle agent is never woken.
boost::asio::awaitable<void> IoThread::sweep() {
  while (!sessions_.empty()) {
    co_await sleep_for(tick_);
    refresh_time();
    for (const auto& [key, session] : sessions_)
      if (session->deadline_ms() < now_ms_) session->expire();
  }
  sweeping_ = false;
}

void IoThread::end_waiting() {
  std::vector<std::shared_ptr<Session>> all;  // ending one may change sessions_
  for (const auto& [key, session] : sessions_) all.push_back(session);
  for (const auto& session : all) session->end_if_waiting();
}

void IoThread::cut_all() {
  std::vector<std::shared_ptr<Session>> all;
  for (const auto& [key, session] : sessions_) all.push_back(session);
  for (const auto& session : all) session->cut();
}

}  // namespace ferry::http::internal
