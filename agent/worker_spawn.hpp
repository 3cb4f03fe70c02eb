// Starting the ferry-worker program: descriptors, environment, signals.
#pragma once
#include "common/file.hpp"

#include <sys/types.h>
#include <string_view>

namespace ferry::agent {

struct SpawnedWorker {
  pid_t pid = -1;
  FileDescriptor socket;  // our end, non-blocking
  FileDescriptor errors;  // its stderr, non-blocking
};

// Call it on a thread that lives as long as the worker shall: the worker dies with the thread that made it
// (PR_SET_PDEATHSIG). The worker inherits the three standard descriptors and its socket, nothing else, and of the
// environment only what sanitizers and the loader need.
Result<SpawnedWorker> spawn_worker(const Path& program, const Path& runtime_library);

// Resident memory of a process, now and at its highest (/proc/<pid>/status); zeros when unknown or gone.
struct WorkerMemory {
  std::uint64_t resident_bytes = 0;
  std::uint64_t peak_bytes = 0;
};
WorkerMemory read_worker_memory(pid_t pid);
WorkerMemory parse_worker_memory(std::string_view status);

// How often the kernel's out-of-memory killer has struck on this machine (/proc/vmstat); 0 when unknown.
std::uint64_t read_oom_kills();
std::uint64_t parse_oom_kills(std::string_view vmstat);

}  // namespace ferry::agent
