// The worker's loop: answers frames on one descriptor until told to stop (docs/formats/worker-frames.md).
#pragma once
#include "common/file.hpp"

namespace ferry::runtime {

struct WorkerOptions {
  Path runtime_library;  // empty: the engine's default
};

// Exit codes of a worker beyond 0 (stopped, or the supervisor went away).
constexpr int worker_exit_failed = 1;         // cannot read or write its socket
constexpr int worker_exit_out_of_memory = 4;  // where no answer could be made any more
// worker_exit_bad_frame (3): worker_protocol.hpp

// Takes over the whole process: limits, sandbox (with the first `load`), std::terminate. Blocks; returns the exit code.
// The runtime library is opened with the first operation that needs it.
int run_worker(int fd, const WorkerOptions& options);

}  // namespace ferry::runtime
