// One ferry-worker process as the supervisor sees it: requests go out, answers come back in order, death has a cause.
#pragma once
#include "common/file.hpp"
#include "common/log.hpp"
#include "runtime/tensor.hpp"

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace boost::asio {
class io_context;
}

namespace ferry::agent {

struct WorkerLimits {
  Duration start = std::chrono::seconds{20};  // hello: program start included
  Duration load = std::chrono::seconds{120};
  Duration infer = std::chrono::seconds{10};         // one inference, from the moment it is at the head of the queue
  Duration stop = std::chrono::seconds{3};           // then it is killed
  std::size_t waiting_max = 256;                     // requests in the queue of one worker
  std::size_t unsent_bytes_max = 128 * 1024 * 1024;  // of them, copied because the worker does not read yet
  Duration memory_check{250};  // while it works, and once after: how often its peak memory is looked at
};

struct WorkerLaunch {
  Path program;          // ferry-worker
  Path runtime_library;  // empty: the worker's default
  WorkerLimits limits;
};

struct WorkerAnswer {
  Json head;
  std::string body;
};

// Why a request got no answer from a worker that died of it, or with it.
struct WorkerDeath {
  std::string reason;   // trial.crash | trial.memory | trial.hang; device.runtime: it never came to work
  std::string message;  // for a person: signal or exit code, and the last words on stderr
};

// Everything runs on the io_context's one thread, from construction to destruction; nothing here is thread-safe.
// Hold it by shared_ptr: pending work keeps it alive. The process is killed when the object goes.
class WorkerProcess {
 public:
  // The answer, or: the worker's own refusal (its code and reason); unavailable when too many requests wait; and when
  // the worker died, `cancelled` for a request that it had not begun (ask somebody else, nothing happened), `internal`
  // with the death's reason for the one that it was working on.
  using Done = std::function<void(Result<WorkerAnswer>)>;

  // Starts the program and sends hello. `name` appears in the log. Errors: io, not_found.
  static Result<std::shared_ptr<WorkerProcess>> start(boost::asio::io_context& io, const WorkerLaunch& launch,
                                                      std::string name, Log& log);
  virtual ~WorkerProcess() = default;

  // Sends `head` (op and fields; the id is added) with the tensors' bytes behind it. The bytes are copied only when
  // the socket is full. `done` is called exactly once, never from inside call().
  virtual void call(Json head, std::span<const runtime::TensorView> tensors, Duration limit, Done done) = 0;
  // The same for a coroutine on the io thread; what `tensors` views must live until it resumes.
  boost::asio::awaitable<Result<WorkerAnswer>> ask(Json head, std::span<const runtime::TensorView> tensors,
                                                   Duration limit);

  virtual const WorkerLimits& limits() const = 0;
  virtual int pid() const = 0;
  virtual bool alive() const = 0;                // runs, and neither stop() nor kill() was called
  virtual std::size_t waiting() const = 0;       // requests without an answer
  virtual const WorkerDeath& death() const = 0;  // meaningful when not alive
  // From now on the worker is killed (trial.memory) when its peak resident memory was above `bytes_max`; zero: never.
  // A second line behind its own limit (worker-frames.md), which does not count every kind of memory and which
  // sanitizer builds do not have. `sampled` gets the resident bytes at each look.
  virtual void watch_memory(std::uint64_t bytes_max, std::function<void(std::uint64_t)> sampled) = 0;
  // Called once, after the pending requests have been failed; not when stop() was asked for. Replaces an earlier one.
  virtual void on_death(std::function<void()> listener) = 0;
  // Answers what is pending, then exits; killed when that takes longer than limits().stop beyond the pending work.
  virtual void stop() = 0;
  // SIGKILL at once; `death` is what it will be said to have died of.
  virtual void kill(WorkerDeath death) = 0;
};

// Pure: what an exit status means. `oom_kills` is how often the kernel's out-of-memory killer struck while it lived.
WorkerDeath explain_death(int wait_status, std::uint64_t oom_kills, std::string_view last_words);

// Loads `path` into a fresh worker: {"op":"load",…} as worker-frames.md has it.
Json load_request(const Path& path, const std::string& sha256_hex, std::uint64_t length, std::int64_t memory_bytes_max);
// {"op":"infer",…}; the tensors themselves go to call().
Json infer_request(std::span<const runtime::TensorView> inputs, std::span<const std::string> outputs);

}  // namespace ferry::agent
