#include "tests/bench/tls_load.hpp"

#include "common/handle.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>

namespace ferry::bench {
namespace {

using Watch = std::chrono::steady_clock;
using Context = Handle<SSL_CTX, SSL_CTX_free>;
using Tls = Handle<SSL, SSL_free>;

constexpr int silence_limit_ms = 10'000;
constexpr std::size_t events_max = 256;
constexpr std::size_t piece_bytes = 16 * 1024;
constexpr std::size_t stat_bytes_max = 4096;
constexpr int send_buffer_bytes = 512 * 1024;  // a whole request, so that none stays behind
// Both servers get the same cipher, whatever each would prefer.
constexpr const char* cipher_suite = "TLS_AES_128_GCM_SHA256";

Error tls_error(const std::string& what) {
  char text[256] = "no detail";
  if (const unsigned long code = ERR_get_error()) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return Error{Errc::unreachable, what + ": " + text};
}

// utime + stime of /proc/<pid>/stat, in seconds.
Result<double> cpu_seconds(const std::vector<int>& pids) {
  double ticks = 0;
  for (const int pid : pids) {
    TRY(const std::string stat, read_file("/proc/" + std::to_string(pid) + "/stat", stat_bytes_max));
    const char* at = stat.data() + stat.rfind(')') + 2;  // field 3; the name before it may hold anything
    for (int field = 3; field < 14; ++field) at = std::strchr(at, ' ') + 1;
    unsigned long user = 0, system = 0;
    if (std::sscanf(at, "%lu %lu", &user, &system) != 2)
      return Error{Errc::bad_input, "/proc/" + std::to_string(pid) + "/stat: not as expected"};
    ticks += static_cast<double>(user + system);
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

Result<Context> make_context(const TlsClients& clients, const ClientIdentity& identity) {
  Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(raw, cipher_suite);
  SSL_CTX_set_read_ahead(raw, 1);
  SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_load_verify_locations(raw, clients.ca_file.c_str(), nullptr) != 1) return tls_error(clients.ca_file);
  if (SSL_CTX_use_certificate_chain_file(raw, identity.certificate_file.c_str()) != 1)
    return tls_error(identity.certificate_file);
  if (SSL_CTX_use_PrivateKey_file(raw, identity.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return tls_error(identity.key_file);
  return context;
}

Result<FileDescriptor> connect_to(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_error("connect", "127.0.0.1:" + std::to_string(port));
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes);
  const timeval limit{silence_limit_ms / 1000, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return fd;
}

// The value of a header, whose name is given in lower case; empty when absent.
std::string_view header_of(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at + 2)) {
    const std::string_view line = head.substr(at + 2);
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    bool same = true;
    for (std::size_t i = 0; same && i < name.size(); ++i) same = (line[i] | 0x20) == (name[i] | 0x20);
    if (!same) continue;
    std::string_view value = line.substr(name.size() + 1, line.find("\r\n") - name.size() - 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    return value;
  }
  return {};
}

struct Answer {
  int status = 0;
  std::size_t bytes = 0;  // head and body
  std::size_t body_bytes = 0;
  std::string etag;
};

struct Connection {
  FileDescriptor fd;
  Tls tls;  // none: plain
  std::string request;
  std::string received;
  Answer expected;
  Watch::time_point asked;

  Result<> ask() {
    received.clear();
    asked = Watch::now();
    if (!tls) {
      if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size()))
        return {};
      return errno_error("send", "a request of " + std::to_string(request.size()) + " bytes");
    }
    ERR_clear_error();
    // A request is far smaller than an idle socket's buffer, so it never stays behind.
    if (SSL_write(tls.get(), request.data(), static_cast<int>(request.size())) != static_cast<int>(request.size()))
      return tls_error("write");
    return {};
  }
  // nullopt: not all of it is here yet.
  Result<std::optional<Answer>> take();
  Result<std::optional<Answer>> take_plain();
};

std::optional<Answer> whole_answer(std::string_view received) {
  const auto end = received.find("\r\n\r\n");
  if (end == received.npos) return std::nullopt;
  const std::string_view head = received.substr(0, end + 2);
  Answer answer;
  std::from_chars(head.data() + 9, head.data() + 12, answer.status);
  if (answer.status != 304 && answer.status != 204) {
    const std::string_view length = header_of(head, "content-length");
    std::from_chars(length.data(), length.data() + length.size(), answer.body_bytes);
  }
  answer.bytes = end + 4 + answer.body_bytes;
  if (received.size() < answer.bytes) return std::nullopt;
  return answer;
}

Result<std::optional<Answer>> Connection::take_plain() {
  char piece[piece_bytes];
  for (;;) {
    const ssize_t got = ::recv(fd.get(), piece, sizeof piece, 0);
    if (got < 0 && errno == EAGAIN) return std::optional<Answer>();
    if (got <= 0) return Error{Errc::unreachable, "the server ended the connection"};
    received.append(piece, static_cast<std::size_t>(got));
    if (auto answer = whole_answer(received)) return answer;
  }
}

Result<std::optional<Answer>> Connection::take() {
  if (!tls) return take_plain();
  char piece[piece_bytes];
  do {
    ERR_clear_error();
    const int got = SSL_read(tls.get(), piece, sizeof piece);
    if (got <= 0) {
      const int error = SSL_get_error(tls.get(), got);
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return std::optional<Answer>();
      return tls_error("the server ended the connection");
    }
    received.append(piece, static_cast<std::size_t>(got));
    if (auto answer = whole_answer(received)) return answer;
  } while (SSL_has_pending(tls.get()) == 1);
  return std::optional<Answer>();
}

std::string request_for(const TlsClients& clients, const Target& target, const std::string& etag) {
  std::string request = "GET " + target.path + " HTTP/1.1\r\nHost: " + clients.server_name + "\r\n";
  if (!etag.empty()) request += "If-None-Match: " + etag + "\r\n";
  return request + "\r\n";
}

Result<> shake_hands(Connection& connection, SSL_CTX* context, const TlsClients& clients, const Target& target) {
  connection.tls.reset(SSL_new(context));
  SSL_set_fd(connection.tls.get(), connection.fd.get());
  SSL_set_tlsext_host_name(connection.tls.get(), clients.server_name.c_str());
  SSL_set1_host(connection.tls.get(), clients.server_name.c_str());
  if (SSL_connect(connection.tls.get()) != 1) return tls_error(target.name + ": handshake");
  return {};
}

// On the still blocking socket: handshake, a first answer for its ETag, a second as the pattern for all others.
Result<> open_connection(Connection& connection, SSL_CTX* context, const TlsClients& clients, const Target& target,
                         std::size_t number) {
  TRY(connection.fd, connect_to(target.port));
  if (target.tls) TRY_VOID(shake_hands(connection, context, clients, target));
  std::string etag;
  for (int times = 0; times < (target.source != nullptr ? 1 : 2); ++times) {
    connection.request = target.source != nullptr ? target.source->next(number) : request_for(clients, target, etag);
    TRY_VOID(connection.ask());
    std::optional<Answer> answer;
    while (!answer) {
      TRY(answer, connection.take());
    }
    connection.expected = *answer;
    if (target.conditional) etag = header_of(connection.received, "etag");
  }
  const int status = connection.expected.status;
  if (status == (target.conditional ? 304 : 200) || (target.source != nullptr && status == 204)) return {};
  return Error{Errc::internal, target.name + ": " + connection.received.substr(0, 500)};
}

}  // namespace

struct LoadPool::State {
  Target target;
  std::vector<Connection> connections;
  FileDescriptor poll;
  std::vector<double> latencies_us;

  // False: there is nothing left to ask.
  Result<bool> ask(std::size_t at) {
    Connection& connection = connections[at];
    if (target.source != nullptr) {
      connection.request = target.source->next(at);
      if (connection.request.empty()) return false;
    }
    TRY_VOID(connection.ask());
    return true;
  }
  // Waits for answers and counts them; asks again on the same connection while `until` is not reached.
  Result<> turn(Watch::time_point until, std::size_t& under_way);
};

LoadPool::LoadPool(std::unique_ptr<State> state) : state_(std::move(state)) {}
LoadPool::~LoadPool() = default;
int LoadPool::status() const { return state_->connections.front().expected.status; }
std::size_t LoadPool::answer_bytes() const { return state_->connections.front().expected.bytes; }
std::size_t LoadPool::body_bytes() const { return state_->connections.front().expected.body_bytes; }

Result<std::unique_ptr<LoadPool>> LoadPool::open(const TlsClients& clients, const Target& target) {
  auto state = std::make_unique<State>();
  state->target = target;
  state->poll = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
  std::vector<Context> contexts;
  if (!target.tls) contexts.emplace_back();
  for (std::size_t at = 0; target.tls && at < clients.identities.size(); ++at) {
    const ClientIdentity& identity = clients.identities[at];
    TRY(auto context, make_context(clients, identity));
    contexts.push_back(std::move(context));
  }
  if (contexts.empty()) return Error{Errc::bad_input, "plan: no identities"};
  state->connections.resize(clients.connections);
  for (std::size_t at = 0; at < clients.connections; ++at) {
    Connection& connection = state->connections[at];
    TRY_VOID(open_connection(connection, contexts[at % contexts.size()].get(), clients, target, at));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = at;
    const int fd = connection.fd.get();
    if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || ::epoll_ctl(state->poll.get(), EPOLL_CTL_ADD, fd, &event) != 0)
      return errno_error("epoll", target.name);
  }
  return std::unique_ptr<LoadPool>(new LoadPool(std::move(state)));
}

Result<> LoadPool::State::turn(Watch::time_point until, std::size_t& under_way) {
  epoll_event events[events_max];
  const int ready = ::epoll_wait(poll.get(), events, events_max, silence_limit_ms);
  if (ready == 0) return Error{Errc::timeout, target.name + ": no answer for 10 s"};
  if (ready < 0 && errno != EINTR) return errno_error("epoll_wait", target.name);
  for (int i = 0; i < ready; ++i) {
    Connection& connection = connections[events[i].data.u64];
    auto answer = connection.take();
    if (!answer) return std::move(answer).error().within(target.name);
    if (!*answer) continue;
    if ((*answer)->status != connection.expected.status || (*answer)->body_bytes != connection.expected.body_bytes)
      return Error{Errc::internal, target.name + ": unlike the first answer: " + connection.received.substr(0, 300)};
    const auto now = Watch::now();
    latencies_us.push_back(std::chrono::duration<double, std::micro>(now - connection.asked).count());
    bool more = now < until;
    if (more) {
      TRY(more, ask(events[i].data.u64));
    }
    if (!more) --under_way;
  }
  return {};
}

Result<Block> LoadPool::run(double seconds) {
  State& state = *state_;
  Block block;
  state.latencies_us.clear();
  TRY(const double cpu_before, cpu_seconds(state.target.pids));
  const auto started = Watch::now();
  const auto until = started + std::chrono::duration_cast<Watch::duration>(std::chrono::duration<double>(seconds));
  std::size_t under_way = 0;
  for (std::size_t at = 0; at < state.connections.size(); ++at) {
    TRY(const bool asked, state.ask(at));
    if (asked) ++under_way;
  }
  while (under_way > 0) TRY_VOID(state.turn(until, under_way));
  block.seconds = std::chrono::duration<double>(Watch::now() - started).count();
  TRY(const double cpu_after, cpu_seconds(state.target.pids));
  block.server_cpu_seconds = cpu_after - cpu_before;
  if (block.server_cpu_seconds <= 0)
    return Error{Errc::internal, state.target.name + ": its processes used no CPU time; are the process ids right?"};
  block.latencies_us = std::move(state.latencies_us);
  return block;
}

}  // namespace ferry::bench
