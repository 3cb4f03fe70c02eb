// ferry-worker: one model in one sandboxed process, started by ferry-agent (docs/formats/worker-frames.md).
#include "runtime/worker.hpp"

#include "runtime/worker_protocol.hpp"

#include <unistd.h>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace {

constexpr int exit_usage = 2;

int usage(const char* problem) {
  std::fprintf(stderr,
               "ferry-worker: %s\nusage: ferry-worker --fd N [--runtime-library PATH]\n"
               "It is started by ferry-agent and speaks frames over the socket N; it is of no use by hand.\n",
               problem);
  return exit_usage;
}

}  // namespace

int main(int argc, char** argv) {
  int fd = ferry::runtime::worker_fd;
  ferry::runtime::WorkerOptions options;
  for (int at = 1; at < argc; at += 2) {
    std::string_view flag = argv[at];
    if (flag == "--version") return std::puts("ferry-worker 0.1.0") < 0 ? 1 : 0;
    if (at + 1 == argc) return usage(flag == "--help" ? "help" : "a flag has no value");
    std::string_view value = argv[at + 1];
    if (flag == "--fd") {
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), fd);
      if (error != std::errc() || end != value.data() + value.size() || fd < 3)
        return usage("--fd: expected a number of at least 3");
    } else if (flag == "--runtime-library") {
      options.runtime_library = value;
    } else {
      return usage("unknown flag");
    }
  }
  int code = ferry::runtime::run_worker(fd, options);
  std::fflush(stderr);
  _exit(code);  // no destructors of the runtime library: some of them want threads and files the sandbox has taken
}
