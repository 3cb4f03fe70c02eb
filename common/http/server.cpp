#include "common/http/server.hpp"

#include "common/http/internal/io_thread.hpp"
#include "common/http/internal/tls_context.hpp"
#include "common/task.hpp"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>

namespace ferry::http {
namespace {

namespace asio = boost::asio;
using internal::IoThread;
using internal::ServerParts;
using internal::Socket;
using Acceptor = asio::basic_socket_acceptor<asio::generic::stream_protocol, asio::io_context::executor_type>;
using Endpoint = asio::generic::stream_protocol::endpoint;

constexpr int accept_backlog = 1024;
constexpr mode_t unix_socket_mode = 0660;
// Connections above connections_max that are still told so (503); beyond, they are closed without a word.
constexpr std::size_t refused_connections_max = 64;
constexpr Duration accept_pause{100};  // after EMFILE and the like
constexpr Duration cut_limit{5'000};   // for what was cut to unwind

struct Listener {
  Listen listen;
  std::unique_ptr<Acceptor> acceptor;
  std::uint16_t port = 0;
  std::mutex mutex;  // guards tls
  std::shared_ptr<SSL_CTX> tls;
  asio::cancellation_signal stop;

  std::shared_ptr<SSL_CTX> current_tls() {
    std::lock_guard lock(mutex);
    return tls;
  }
};

std::string name_of(const Listen& listen) {
  return listen.unix_socket ? listen.address : listen.address + ":" + std::to_string(listen.port);
}

Error bind_error(const boost::system::error_code& code, const Listen& listen) {
  const Errc kind = code == asio::error::address_in_use                      ? Errc::conflict
                    : code == asio::error::access_denied                     ? Errc::denied
                    : code == boost::system::errc::address_not_available     ? Errc::bad_input
                    : code == boost::system::errc::no_such_file_or_directory ? Errc::not_found
                                                                             : Errc::io;
  return Error{kind, "listen on " + name_of(listen) + ": " + code.message()};
}

// Removes what a dead process left; a living one answers, and then the address is taken.
Result<> clear_stale_socket(const Listen& listen, const Endpoint& endpoint, asio::io_context& context) {
  struct stat info {};
  if (::lstat(listen.address.c_str(), &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode))
    return Error{Errc::conflict,
                 "listen on " + listen.address + ": something that is not a socket is there: move it away"};
  boost::system::error_code refused;
  Socket probe(context);
  probe.connect(endpoint, refused);
  if (!refused) return Error{Errc::conflict, "listen on " + listen.address + ": another process serves this socket"};
  ::unlink(listen.address.c_str());
  return {};
}

// generic::endpoint converts from anything, which confuses Result.
struct Address {
  explicit Address(const asio::local::stream_protocol::endpoint& e) : endpoint(e) {}
  explicit Address(const asio::ip::tcp::endpoint& e) : endpoint(e) {}
  Endpoint endpoint;
};

Result<Address> address_of(const Listen& listen) {
  if (listen.unix_socket) {
    if (listen.address.empty() || listen.address.size() >= sizeof(sockaddr_un{}.sun_path))
      return Error{Errc::bad_input, "listen on '" + listen.address + "': a Unix socket's path has 1 to " +
                                        std::to_string(sizeof(sockaddr_un{}.sun_path) - 1) + " bytes"};
    return Address(asio::local::stream_protocol::endpoint(listen.address));
  }
  boost::system::error_code failed;
  const auto address = asio::ip::make_address(listen.address == "localhost" ? "127.0.0.1" : listen.address, failed);
  if (failed) return Error{Errc::bad_input, "listen on '" + listen.address + "': expected an IP address, not a name"};
  return Address(asio::ip::tcp::endpoint(address, listen.port));
}

Result<> open_listener(Listener& listener, asio::io_context& context) {
  const Listen& listen = listener.listen;
  TRY(const Address address, address_of(listen));
  const Endpoint& endpoint = address.endpoint;
  if (listen.tls) {
    TRY(internal::TlsContext tls, internal::make_tls_context(*listen.tls));
    listener.tls = std::shared_ptr<SSL_CTX>(std::move(tls));
  }
  if (listen.unix_socket) TRY_VOID(clear_stale_socket(listen, endpoint, context));
  auto acceptor = std::make_unique<Acceptor>(context);
  boost::system::error_code failed;
  acceptor->open(endpoint.protocol(), failed);
  if (failed) return bind_error(failed, listen);
  if (!listen.unix_socket) acceptor->set_option(asio::socket_base::reuse_address(true), failed);
  acceptor->bind(endpoint, failed);
  if (failed) return bind_error(failed, listen);
  // Nobody can connect before listen(), so the mode is right for everyone.
  if (listen.unix_socket && ::chmod(listen.address.c_str(), unix_socket_mode) != 0)
    return errno_error("listen", listen.address);
  acceptor->listen(accept_backlog, failed);
  if (failed) return bind_error(failed, listen);
  if (!listen.unix_socket) {
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    ::getsockname(acceptor->native_handle(), reinterpret_cast<sockaddr*>(&bound), &size);
    listener.port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                                      : reinterpret_cast<const sockaddr_in&>(bound).sin_port);
  }
  listener.acceptor = std::move(acceptor);
  return {};
}

}  // namespace

struct Server::State {
  State(Router router, ServerLimits limits, Log& log, Observer observer)
      : parts(std::move(router), limits, log, std::move(observer)) {}

  // The order matters: connections use parts; the pool's jobs hold connections; acceptors live in a context.
  ServerParts parts;
  std::vector<std::unique_ptr<IoThread>> threads;
  std::vector<std::unique_ptr<Listener>> listeners;
  std::size_t next_thread = 0;
  std::atomic<bool> running{false};

  asio::awaitable<void> accept(Listener& listener);
  void admit(Listener& listener, Socket socket, IoThread& thread);
  void on_every_thread(void (IoThread::*call)());
};

asio::awaitable<void> Server::State::accept(Listener& listener) {
  for (;;) {
    IoThread& thread = *threads[next_thread++ % threads.size()];
    boost::system::error_code failed;
    Socket socket =
        co_await listener.acceptor->async_accept(thread.context(), asio::redirect_error(asio::use_awaitable, failed));
    if (!failed) {
      admit(listener, std::move(socket), thread);
    } else if (failed != asio::error::operation_aborted && failed != asio::error::connection_aborted) {
      const std::string why = failed.message();
      parts.log.warn("cannot accept connections", {{"error", why}});
      co_await sleep_for(accept_pause);
    }
  }
}

void Server::State::admit(Listener& listener, Socket socket, IoThread& thread) {
  const std::size_t present = parts.connections.load();
  if (parts.draining || present >= parts.limits.connections_max + refused_connections_max) return;
  const bool refuse = present >= parts.limits.connections_max;
  parts.connections.fetch_add(1);
  parts.began();
  auto hand_over = [&thread, refuse, socket = std::move(socket), tls = listener.current_tls()]() mutable {
    thread.adopt(std::move(socket), std::move(tls), refuse);
  };
  if (threads.size() == 1)
    hand_over();
  else
    asio::post(thread.context(), std::move(hand_over));
}

void Server::State::on_every_thread(void (IoThread::*call)()) {
  for (const auto& thread : threads) asio::post(thread->context(), [&thread = *thread, call] { (thread.*call)(); });
}

Server::Server(Router router, std::vector<Listen> listen, ServerLimits limits, Log& log, Observer observer)
    : state_(std::make_unique<State>(std::move(router), limits, log, std::move(observer))) {
  for (int i = 0; i < std::max(1, limits.threads); ++i)
    state_->threads.push_back(std::make_unique<IoThread>(state_->parts));
  for (Listen& one : listen) {
    state_->listeners.push_back(std::make_unique<Listener>());
    state_->listeners.back()->listen = std::move(one);
  }
}

Server::~Server() {
  stop();
  state_->listeners.clear();  // before the contexts that their acceptors belong to
}

Result<> Server::start() {
  State& state = *state_;
  for (const auto& listener : state.listeners) {
    if (auto opened = open_listener(*listener, io()); !opened) {
      for (const auto& other : state.listeners) {
        if (other->acceptor && other->listen.unix_socket) ::unlink(other->listen.address.c_str());
        other->acceptor.reset();
      }
      return std::move(opened).error();
    }
  }
  state.parts.pool =
      std::make_unique<asio::thread_pool>(static_cast<std::size_t>(std::max(1, state.parts.limits.blocking_threads)));
  for (const auto& listener : state.listeners) {
    state.parts.began();
    auto ended = [&state](std::exception_ptr) { state.parts.ended(); };
    asio::co_spawn(io(), state.accept(*listener),
                   asio::bind_cancellation_slot(listener->stop.slot(), std::move(ended)));
  }
  state.running = true;
  for (const auto& thread : state.threads) thread->start();
  return {};
}

void Server::stop() {
  State& state = *state_;
  if (!state.running.exchange(false)) return;
  state.parts.draining = true;
  asio::post(io(), [&state] {
    boost::system::error_code ignored;
    for (const auto& listener : state.listeners) {
      listener->stop.emit(asio::cancellation_type::terminal);
      listener->acceptor->close(ignored);
      if (listener->listen.unix_socket) ::unlink(listener->listen.address.c_str());
    }
  });
  state.on_every_thread(&IoThread::end_waiting);
  if (!state.parts.wait_until_none(state.parts.limits.drain_limit)) {
    state.on_every_thread(&IoThread::cut_all);
    state.parts.wait_until_none(cut_limit);
  }
  state.parts.pool->stop();
  state.parts.pool->join();
  state.parts.wait_until_none(cut_limit);
  for (const auto& thread : state.threads) thread->stop_and_join();
  state.parts.pool.reset();
}

std::uint16_t Server::port(std::size_t listener) const { return state_->listeners.at(listener)->port; }

asio::io_context& Server::io() { return state_->threads.front()->context(); }

Result<> Server::set_tls(std::size_t listener, TlsServerConfig tls) {
  if (listener >= state_->listeners.size() || !state_->listeners[listener]->listen.tls)
    return Error{Errc::bad_input, "set_tls: listener " + std::to_string(listener) + " does not speak TLS"};
  TRY(internal::TlsContext made, internal::make_tls_context(tls));
  std::shared_ptr<SSL_CTX> fresh(std::move(made));
  Listener& chosen = *state_->listeners[listener];
  std::lock_guard lock(chosen.mutex);
  chosen.tls = std::move(fresh);
  return {};
}

}  // namespace ferry::http
