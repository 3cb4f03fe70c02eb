// The supervisor's end of one worker: a queue of requests, one writer, one reader, one watchdog.
#include "agent/worker_process.hpp"

#include "agent/worker_spawn.hpp"
#include "runtime/worker.hpp"
#include "runtime/worker_protocol.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>

namespace ferry::agent {
namespace {

namespace asio = boost::asio;
using Code = boost::system::error_code;

constexpr std::size_t log_lines_max = 50;  // of one worker's stderr; the rest is drained
constexpr std::size_t log_line_bytes_max = 400;
constexpr std::size_t last_words_bytes_max = 1024;

class Process final : public WorkerProcess, public std::enable_shared_from_this<Process> {
 public:
  Process(asio::io_context& io, SpawnedWorker spawned, WorkerLimits limits, std::string name, Log& log)
      : io_(io),
        socket_(io, asio::local::stream_protocol(), spawned.socket.release()),
        errors_(io, spawned.errors.release()),
        watchdog_(io),
        limits_(limits),
        name_(std::move(name)),
        log_(log),
        pid_(spawned.pid),
        oom_kills_before_(read_oom_kills()) {}
  ~Process() override {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }

  void begin() {
    // When the reader goes, answered or thrown away with its io_context, nobody will answer what is pending; and what
    // is pending often holds this object, so it would hold itself for ever.
    read_answers(std::shared_ptr<void>(nullptr, [self = shared_from_this()](void*) { self->abandon(); }));
    read_errors();
    Json hello{{"op", "hello"}, {"protocol", runtime::worker_protocol_version}};
    auto greeted = [self = shared_from_this()](Result<WorkerAnswer> answer) {
      self->greeted_ = static_cast<bool>(answer);
      if (answer || !self->alive_) return;
      self->kill({"device.runtime", "the worker refused to work: " + answer.error().context});
    };
    call(std::move(hello), {}, limits_.start, greeted);
  }

  void call(Json head, std::span<const runtime::TensorView> tensors, Duration limit, Done done) override;
  const WorkerLimits& limits() const override { return limits_; }
  int pid() const override { return pid_; }
  bool alive() const override { return alive_ && !killed_ && !stopping_; }
  std::size_t waiting() const override { return pending_.size(); }
  const WorkerDeath& death() const override { return death_; }
  void watch_memory(std::uint64_t bytes_max, std::function<void(std::uint64_t)> sampled) override {
    memory_bytes_max_ = bytes_max;
    memory_sampled_ = std::move(sampled);
    watch();
  }
  void on_death(std::function<void()> listener) override { listener_ = std::move(listener); }
  void stop() override;
  void kill(WorkerDeath death) override;

 private:
  struct Pending {
    std::uint64_t id;
    Duration limit;
    Done done;
  };

  void refuse(Done done, Error error);
  void send(Json head, std::span<const runtime::TensorView> tensors, Duration limit, Done done);
  void write(std::vector<iovec> parts);
  void write_rest();
  void read_answers(std::shared_ptr<void> lifeline);
  void abandon();
  void take_answers();
  void take_answer(const runtime::Frame& frame);
  void read_errors();
  void keep_words(std::string_view words);
  void new_front();
  void watch();
  void look_at_memory();
  bool has_ended() const;
  void bury();

  asio::io_context& io_;
  asio::local::stream_protocol::socket socket_;
  asio::posix::stream_descriptor errors_;
  asio::steady_timer watchdog_;
  bool watching_ = false;
  WorkerLimits limits_;
  std::string name_;
  Log& log_;
  pid_t pid_;
  std::uint64_t oom_kills_before_;
  std::uint64_t next_id_ = 0;
  std::deque<Pending> pending_;
  std::chrono::steady_clock::time_point front_since_{};  // when pending_.front() became the front
  std::string unsent_;                                   // what the socket would not take yet, from unsent_from_ on
  std::size_t unsent_from_ = 0;
  std::uint64_t memory_bytes_max_ = 0;
  std::function<void(std::uint64_t)> memory_sampled_;
  bool greeted_ = false;
  runtime::FrameParser parser_;
  bool alive_ = true;
  bool stopping_ = false;
  bool killed_ = false;  // by us: death_ is set
  WorkerDeath death_;
  std::function<void()> listener_;
  std::array<char, 4096> words_;
  std::string line_;
  std::size_t lines_ = 0;
  std::string last_words_;
};

void Process::refuse(Done done, Error error) {
  auto later = [done = std::move(done), error = std::move(error)] { done(error); };
  asio::post(io_, std::move(later));
}

void Process::call(Json head, std::span<const runtime::TensorView> tensors, Duration limit, Done done) {
  if (!alive()) return refuse(std::move(done), Error{Errc::cancelled, "worker " + name_ + " is not running"});
  if (pending_.size() >= limits_.waiting_max) {
    return refuse(std::move(done), Error{Errc::unavailable, "worker " + name_ + ": " + std::to_string(pending_.size()) +
                                                                " requests wait already; try again later"});
  }
  std::size_t body_bytes = 0;
  for (const auto& tensor : tensors) body_bytes += tensor.bytes.size();
  auto unsent = unsent_.size() - unsent_from_;
  if (unsent > 0 && unsent + body_bytes > limits_.unsent_bytes_max) {
    return refuse(std::move(done), Error{Errc::unavailable, "worker " + name_ + ": " + std::to_string(unsent) +
                                                                " bytes of earlier requests wait; try again later"});
  }
  send(std::move(head), tensors, limit, std::move(done));
}

void Process::send(Json head, std::span<const runtime::TensorView> tensors, Duration limit, Done done) {
  std::size_t body_bytes = 0;
  for (const auto& tensor : tensors) body_bytes += tensor.bytes.size();
  head["id"] = next_id_;
  auto prefix = runtime::frame_prefix_and_head(head, body_bytes);
  if (!prefix) return refuse(std::move(done), std::move(prefix).error());
  pending_.push_back({next_id_++, limit, std::move(done)});
  if (pending_.size() == 1) new_front();
  std::vector<iovec> parts;
  parts.reserve(1 + tensors.size());
  parts.push_back({prefix->data(), prefix->size()});
  for (const auto& tensor : tensors) {
    if (!tensor.bytes.empty()) parts.push_back({const_cast<char*>(tensor.bytes.data()), tensor.bytes.size()});
  }
  write(std::move(parts));
}

// One sendmsg per frame; what does not fit is copied and sent when the socket is writable again.
void Process::write(std::vector<iovec> parts) {
  std::size_t sent = 0;
  if (unsent_.empty()) {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    auto count = sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) sent = static_cast<std::size_t>(count);
    // An error other than "full" means that the worker is gone; the reader notices and buries it.
  }
  bool idle = unsent_.empty();
  for (const auto& part : parts) {
    auto skip = std::min(sent, part.iov_len);
    sent -= skip;
    unsent_.append(static_cast<const char*>(part.iov_base) + skip, part.iov_len - skip);
  }
  if (idle && !unsent_.empty()) write_rest();
}

void Process::write_rest() {
  auto writable = [self = shared_from_this()](Code code) {
    if (code || !self->alive_) return;
    auto& from = self->unsent_from_;
    auto count = ::send(self->socket_.native_handle(), self->unsent_.data() + from, self->unsent_.size() - from,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return;  // gone: the reader buries it
    if (count > 0) from += static_cast<std::size_t>(count);
    if (from < self->unsent_.size()) return self->write_rest();
    self->unsent_ = {};
    from = 0;
  };
  socket_.async_wait(asio::local::stream_protocol::socket::wait_write, std::move(writable));
}

void Process::abandon() {
  auto pending = std::exchange(pending_, {});
  listener_ = {};
  memory_sampled_ = {};
}

void Process::read_answers(std::shared_ptr<void> lifeline) {
  auto room = parser_.prepare();
  auto arrived = [self = shared_from_this(), lifeline = std::move(lifeline)](Code code, std::size_t bytes) {
    if (!self->alive_) return;
    if (code) return self->bury();
    self->parser_.commit(bytes);
    self->take_answers();
    if (self->alive_) self->read_answers(lifeline);
  };
  socket_.async_read_some(asio::buffer(room.data(), room.size()), std::move(arrived));
}

void Process::take_answers() {
  for (;;) {
    auto frame = parser_.next();
    if (!frame) return kill({"trial.crash", "the worker sent a broken frame: " + frame.error().context});
    if (!*frame) return;
    take_answer(**frame);
    if (!alive_ || killed_) return;
  }
}

void Process::take_answer(const runtime::Frame& frame) {
  auto head = runtime::parse_frame_head(frame.head);
  auto id = head ? integer_at(*head, "id", 0) : Result<std::int64_t>(head.error());
  auto ok = head ? bool_at(*head, "ok") : Result<bool>(head.error());
  if (!id || !ok || pending_.empty() || static_cast<std::uint64_t>(*id) != pending_.front().id) {
    return kill({"trial.crash", "the worker broke the protocol: " + (!id   ? id.error().context
                                                                     : !ok ? ok.error().context
                                                                           : "an answer out of order")});
  }
  auto done = std::move(pending_.front().done);
  pending_.pop_front();
  if (!pending_.empty()) new_front();
  if (*ok) {
    done(WorkerAnswer{std::move(*head), std::string(frame.body)});
  } else {
    done(runtime::failure_from_json(*head));
  }
}

// One timer for the whole queue, normally set anew only when it fires: a request costs no timer operation.
void Process::new_front() {
  front_since_ = std::chrono::steady_clock::now();
  if (!watching_ || watchdog_.expiry() > front_since_ + pending_.front().limit) watch();
}

// It fires once after the last request (memory may have peaked in it), then sleeps: an idle agent is not woken.
void Process::watch() {
  watching_ = alive_ && !killed_ && !pending_.empty();
  if (!watching_) return;
  auto until = front_since_ + pending_.front().limit;
  if (memory_bytes_max_ > 0) until = std::min(until, std::chrono::steady_clock::now() + limits_.memory_check);
  watchdog_.expires_at(until);
  auto fired = [self = shared_from_this()](Code code) {
    if (code || !self->alive_ || self->killed_) return;
    self->look_at_memory();
    if (!self->killed_ && !self->pending_.empty() &&
        std::chrono::steady_clock::now() >= self->front_since_ + self->pending_.front().limit) {
      auto limit = std::to_string(self->pending_.front().limit.count());
      self->kill({"trial.hang", "no answer within " + limit + " ms"});
    }
    self->watch();
  };
  watchdog_.async_wait(std::move(fired));
}

void Process::look_at_memory() {
  if (memory_bytes_max_ == 0) return;
  auto memory = read_worker_memory(pid_);
  if (memory.resident_bytes == 0) return;  // ending, or the system does not tell
  if (memory_sampled_) memory_sampled_(memory.resident_bytes);
  if (memory.peak_bytes <= memory_bytes_max_) return;
  constexpr std::uint64_t mib = 1024 * 1024;
  kill({"trial.memory", "the worker used " + std::to_string(memory.peak_bytes / mib) + " MiB, at most " +
                            std::to_string(memory_bytes_max_ / mib) + " MiB are allowed"});
}

void Process::stop() {
  if (!alive_ || killed_ || stopping_) return;
  stopping_ = true;  // from here on call() refuses; the watchdog sees to a worker that does not end
  send(Json{{"op", "stop"}}, {}, limits_.stop, [](const Result<WorkerAnswer>&) {});
}

void Process::kill(WorkerDeath death) {
  if (!alive_ || killed_) return;
  killed_ = true;
  death_ = std::move(death);
  ::kill(pid_, SIGKILL);  // the end of the socket follows, and with it bury()
}

bool Process::has_ended() const {
  siginfo_t ended{};
  return waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOWAIT | WNOHANG) == 0 && ended.si_pid == pid_;
}

// The other end is closed: the process is gone or going. Its memory was freed before its sockets were closed, so that
// waiting here is short; a process that closed its socket and lives on is killed.
void Process::bury() {
  auto self = shared_from_this();  // a listener may drop the last other reference
  int status = 0;
  bool already = has_ended();
  for (int tries = 0; tries < 20 && !already && !killed_ && !stopping_; ++tries) {  // for the true exit status
    timespec millisecond{0, 1'000'000};
    nanosleep(&millisecond, nullptr);
    already = has_ended();
  }
  if (!already) ::kill(pid_, SIGKILL);
  waitpid(pid_, &status, 0);
  pid_ = -1;
  alive_ = false;
  for (;;) {  // the last words are still in the pipe
    auto count = ::read(errors_.native_handle(), words_.data(), words_.size());
    if (count <= 0) break;
    keep_words({words_.data(), static_cast<std::size_t>(count)});
  }
  if (!killed_) death_ = explain_death(status, read_oom_kills() - oom_kills_before_, last_words_);
  if (!greeted_ && death_.reason.starts_with("trial.")) death_.reason = "device.runtime";  // no model was near it
  Code ignored;
  socket_.close(ignored);
  errors_.close(ignored);
  watchdog_.cancel();
  if (!stopping_) log_.warn("worker died", {{"worker", name_}, {"reason", death_.reason}, {"message", death_.message}});
  auto pending = std::exchange(pending_, {});
  bool front = true;
  for (auto& request : pending) {
    request.done(front ? Error{Errc::internal, death_.message, death_.reason}
                       : Error{Errc::cancelled, "the worker died before it began this request", death_.reason});
    front = false;
  }
  if (listener_ && !stopping_) std::exchange(listener_, {})();
  listener_ = {};
}

void Process::read_errors() {
  auto arrived = [self = shared_from_this()](Code code, std::size_t bytes) {
    if (code || !self->alive_) return;
    self->keep_words({self->words_.data(), bytes});
    self->read_errors();
  };
  errors_.async_read_some(asio::buffer(words_), std::move(arrived));
}

void Process::keep_words(std::string_view words) {
  last_words_.append(words);
  if (last_words_.size() > last_words_bytes_max) last_words_.erase(0, last_words_.size() - last_words_bytes_max);
  for (char c : words) {
    if (c != '\n') {
      if (line_.size() < log_line_bytes_max) line_ += c;
      continue;
    }
    if (++lines_ <= log_lines_max) log_.info("worker says", {{"worker", name_}, {"line", line_}});
    line_.clear();
  }
}

}  // namespace

Result<std::shared_ptr<WorkerProcess>> WorkerProcess::start(asio::io_context& io, const WorkerLaunch& launch,
                                                            std::string name, Log& log) {
  TRY(auto spawned, spawn_worker(launch.program, launch.runtime_library));
  auto process = std::make_shared<Process>(io, std::move(spawned), launch.limits, std::move(name), log);
  process->begin();
  return std::shared_ptr<WorkerProcess>(std::move(process));
}

asio::awaitable<Result<WorkerAnswer>> WorkerProcess::ask(Json head, std::span<const runtime::TensorView> tensors,
                                                         Duration limit) {
  // Not a coroutine (adr 0002): asio's own wrapper keeps the lambda.
  auto initiate = [this, head = std::move(head), tensors, limit](auto handler) mutable {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    auto done = [shared](Result<WorkerAnswer> answer) { (*shared)(std::move(answer)); };
    call(std::move(head), tensors, limit, std::move(done));
  };
  return asio::async_initiate<const asio::use_awaitable_t<>&, void(Result<WorkerAnswer>)>(std::move(initiate),
                                                                                          asio::use_awaitable);
}

WorkerDeath explain_death(int wait_status, std::uint64_t oom_kills, std::string_view last_words) {
  bool said_memory = last_words.find("bad_alloc") != std::string_view::npos ||
                     last_words.find("out of memory") != std::string_view::npos;
  WorkerDeath death{"trial.crash", {}};
  if (WIFSIGNALED(wait_status)) {
    int signal = WTERMSIG(wait_status);
    const char* name = sigabbrev_np(signal);
    death.message =
        "the worker was killed by signal " + std::to_string(signal) + " (SIG" + (name != nullptr ? name : "?") + ")";
    if (signal == SIGKILL && oom_kills > 0) {
      death.reason = "trial.memory";
      death.message += ", by the kernel's out-of-memory killer";
    } else if (said_memory) {
      death.reason = "trial.memory";
    }
  } else {
    int code = WEXITSTATUS(wait_status);
    death.message = "the worker ended with exit code " + std::to_string(code);
    if (code == runtime::worker_exit_out_of_memory) {
      death.reason = "trial.memory";
      death.message += " (out of memory)";
    }
  }
  auto end = last_words.find_last_not_of(" \n");
  if (end != std::string_view::npos) {
    auto line = last_words.substr(0, end + 1);
    auto start = line.rfind('\n');
    if (start != std::string_view::npos) line.remove_prefix(start + 1);
    death.message += "; it said: " + std::string(line.substr(0, log_line_bytes_max));
  }
  return death;
}

Json load_request(const Path& path, const std::string& sha256_hex, std::uint64_t length,
                  std::int64_t memory_bytes_max) {
  return Json{{"op", "load"},         {"path", path.string()}, {"sha256", sha256_hex},
              {"length", length},     {"threads", 1},          {"memory_bytes_max", memory_bytes_max},
              {"optimized_cache", ""}};
}

Json infer_request(std::span<const runtime::TensorView> inputs, std::span<const std::string> outputs) {
  Json names = Json::array();
  for (const auto& name : outputs) names.push_back(name);
  return Json{{"op", "infer"}, {"inputs", runtime::tensors_to_json(inputs)}, {"outputs", std::move(names)}};
}

}  // namespace ferry::agent
