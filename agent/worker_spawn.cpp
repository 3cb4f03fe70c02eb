// posix_spawn with everything a worker must not inherit taken away.
#include "agent/worker_spawn.hpp"

#include "runtime/worker_protocol.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>
#include <charconv>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

extern char** environ;

namespace ferry::agent {
namespace {

using FileActions = Handle<posix_spawn_file_actions_t, posix_spawn_file_actions_destroy>;
using Attributes = Handle<posix_spawnattr_t, posix_spawnattr_destroy>;

constexpr int high_fd_min = 16;
constexpr std::string_view passed_on[] = {
    "ASAN_OPTIONS=", "UBSAN_OPTIONS=", "TSAN_OPTIONS=", "LD_LIBRARY_PATH=", "LD_PRELOAD=", "LANG=", "TZ="};

std::vector<std::string> worker_environment() {
  // One heap is enough for one thread, and every further one costs address space against RLIMIT_DATA.
  std::vector<std::string> variables{"MALLOC_ARENA_MAX=2"};
  for (char** at = environ; *at != nullptr; ++at) {
    std::string_view variable = *at;
    for (auto name : passed_on) {
      if (variable.starts_with(name)) variables.emplace_back(variable);
    }
  }
  return variables;
}

// Out of the way of the numbers the worker gets, so that no dup2 below overwrites what a later one needs.
Result<FileDescriptor> high_copy(int fd) {
  FileDescriptor copy(fcntl(fd, F_DUPFD_CLOEXEC, high_fd_min));
  if (!copy) return errno_error("descriptor for", "the worker");
  return copy;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (auto& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

}  // namespace

Result<SpawnedWorker> spawn_worker(const Path& program, const Path& runtime_library) {
  if (access(program.c_str(), X_OK) != 0) return errno_error("worker program", program);
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return errno_error("socketpair for", program);
  FileDescriptor ours(sockets[0]), theirs(sockets[1]);
  int pipes[2];
  if (pipe2(pipes, O_CLOEXEC) != 0) return errno_error("pipe for", program);
  FileDescriptor errors(pipes[0]), errors_in(pipes[1]);
  for (int fd : {ours.get(), errors.get()}) {
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return errno_error("non-blocking socket for", program);
  }

  TRY(auto socket_in, high_copy(theirs.get()));
  TRY(auto words_in, high_copy(errors_in.get()));

  posix_spawn_file_actions_t actions_storage;
  posix_spawnattr_t attributes_storage;
  posix_spawn_file_actions_init(&actions_storage);
  FileActions actions(&actions_storage);
  posix_spawnattr_init(&attributes_storage);
  Attributes attributes(&attributes_storage);
  posix_spawn_file_actions_addopen(actions.get(), 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(actions.get(), 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(actions.get(), words_in.get(), 2);
  posix_spawn_file_actions_adddup2(actions.get(), socket_in.get(), runtime::worker_fd);
  // Whatever else this process holds, close-on-exec or not (a library's, or inherited from who started us).
  posix_spawn_file_actions_addclosefrom_np(actions.get(), runtime::worker_fd + 1);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(attributes.get(), &none);
  posix_spawnattr_setsigdefault(attributes.get(), &all);
  posix_spawnattr_setflags(attributes.get(), POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<std::string> arguments{program.string(), "--fd", std::to_string(runtime::worker_fd)};
  if (!runtime_library.empty()) {
    arguments.emplace_back("--runtime-library");
    arguments.push_back(runtime_library.string());
  }
  auto environment = worker_environment();
  pid_t pid = -1;
  int code = posix_spawn(&pid, program.c_str(), actions.get(), attributes.get(), pointers(arguments).data(),
                         pointers(environment).data());
  if (code != 0) {
    errno = code;
    return errno_error("starting the worker program", program);
  }
  SpawnedWorker worker;
  worker.pid = pid;
  worker.socket = std::move(ours);
  worker.errors = std::move(errors);
  return worker;
}

std::uint64_t parse_oom_kills(std::string_view vmstat) {
  constexpr std::string_view key = "oom_kill ";
  auto at = vmstat.starts_with(key) ? 0 : vmstat.find("\noom_kill ");
  if (at == std::string_view::npos) return 0;
  auto digits = vmstat.substr(at + (at == 0 ? 0 : 1) + key.size());
  std::uint64_t count = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), count);
  return count;
}

WorkerMemory parse_worker_memory(std::string_view status) {
  auto bytes_of = [status](std::string_view key) -> std::uint64_t {
    auto at = status.find(key);
    if (at == std::string_view::npos) return 0;
    at = status.find_first_of("0123456789\n", at + key.size());
    std::uint64_t kib = 0;
    if (at != std::string_view::npos) std::from_chars(status.data() + at, status.data() + status.size(), kib);
    return kib * 1024;
  };
  return {bytes_of("\nVmRSS:"), bytes_of("\nVmHWM:")};
}

WorkerMemory read_worker_memory(pid_t pid) {
  auto text = read_file("/proc/" + std::to_string(pid) + "/status", 64 * 1024);
  return text ? parse_worker_memory(*text) : WorkerMemory{};
}

std::uint64_t read_oom_kills() {
  auto text = read_file("/proc/vmstat", 1024 * 1024);
  return text ? parse_oom_kills(*text) : 0;
}

}  // namespace ferry::agent
