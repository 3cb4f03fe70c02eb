// What a worker gives up before and after it touches a model. The model's bytes are signed, but nobody has read them.
#pragma once
#include "common/result.hpp"

#include <cstdint>

namespace ferry::runtime {

// At start: dies with its supervisor, no core dump, not readable by other processes of the same user, first victim of
// the kernel's out-of-memory killer. Best effort where a container forbids it.
void settle_as_worker();

// RLIMIT_DATA: private writable memory (heap, thread stacks, anonymous maps), hard. Zero: no limit. Sanitizer builds
// map terabytes of shadow memory, so there it is not applied: false, and true where it is.
Result<bool> limit_memory(std::uint64_t bytes_max);

enum class SandboxStage {
  loading,  // no network, no new programs or processes, no tracing, no change to any file
  serving   // also: no file is opened any more
};
// Irreversible, for every thread of the process from now on (threads started later included). A refused call returns
// EPERM instead of killing, so that a runtime that only probes goes on. Call it before any session has made threads:
// the filter is installed for all threads, serving only narrows it. `unsupported` when the kernel has no seccomp.
Result<> enter_sandbox(SandboxStage stage);

}  // namespace ferry::runtime
