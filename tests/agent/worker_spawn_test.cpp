// What a worker process inherits, and how it is watched from outside.
#include "agent/worker_spawn.hpp"

#include "runtime/worker_protocol.hpp"
#include "tests/agent/serving_world.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <csignal>

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::test;

namespace {

// Everything `script` says before it ends, run in the worker's place.
std::string words_of(const TempDir& directory, const std::string& script) {
  Path program = directory / "program";
  REQUIRE(write_file_atomic(program, "#!/bin/sh\n" + script, 0755));
  auto spawned = spawn_worker(program, "/lib/some.so");
  REQUIRE(spawned);
  std::string words;
  REQUIRE(::fcntl(spawned->errors.get(), F_SETFL, 0) == 0);  // blocking: a test may wait
  char piece[4096];
  for (ssize_t count; (count = ::read(spawned->errors.get(), piece, sizeof piece)) > 0;)
    words.append(piece, static_cast<std::size_t>(count));
  ::waitpid(spawned->pid, nullptr, 0);
  return words;
}

// Says hello and waits for the answer: from then on the worker has settled (sandbox.hpp).
bool greet(int socket) {
  Json hello{{"op", "hello"}, {"id", 0}, {"protocol", runtime::worker_protocol_version}};
  auto frame = runtime::frame_prefix_and_head(hello, 0);
  if (!frame || ::send(socket, frame->data(), frame->size(), MSG_NOSIGNAL) < 0) return false;
  pollfd readable{socket, POLLIN, 0};
  char answer[64];
  return ::poll(&readable, 1, 20'000) == 1 && ::read(socket, answer, sizeof answer) > 0;
}

}  // namespace

TEST_CASE("a worker inherits its socket and its stderr, nothing else, whatever its parent has open") {
  TempDir directory;
  int leaked = ::open("/etc/hostname", O_RDONLY);  // not close-on-exec, as a careless library leaves it
  int high = ::fcntl(leaked, F_DUPFD, 200);
  REQUIRE(high >= 200);
  auto words = words_of(directory, R"sh(for fd in /proc/$$/fd/*; do echo "${fd##*/} $(readlink "$fd")" >&2; done)sh");
  ::close(leaked);
  ::close(high);
  CHECK_THAT(words, Catch::Contains("0 /dev/null"));
  CHECK_THAT(words, Catch::Contains("1 /dev/null"));
  CHECK_THAT(words, Catch::Contains("2 pipe:"));
  CHECK_THAT(words, Catch::Contains("3 socket:"));
  CHECK_THAT(words, !Catch::Contains("hostname") && !Catch::Contains("200 "));
}

TEST_CASE("a worker starts with default signals, a small environment and the flags it needs") {
  TempDir directory;
  ::setenv("FERRY_SECRET_FOR_TEST", "token", 1);
  std::signal(SIGPIPE, SIG_IGN);
  auto words = words_of(directory, R"(echo "flags $*" >&2; env >&2; grep SigIgn /proc/$$/status >&2)");
  std::signal(SIGPIPE, SIG_DFL);
  ::unsetenv("FERRY_SECRET_FOR_TEST");
  CHECK_THAT(words, Catch::Contains("flags --fd 3 --runtime-library /lib/some.so"));
  CHECK_THAT(words, !Catch::Contains("FERRY_SECRET_FOR_TEST"));
  CHECK_THAT(words, Catch::Contains("MALLOC_ARENA_MAX=2"));
  auto ignored = words.find("SigIgn:\t");
  REQUIRE(ignored != std::string::npos);
  CHECK((std::stoull(words.substr(ignored + 8), nullptr, 16) & (1U << (SIGPIPE - 1))) == 0);
}

TEST_CASE("a program that is not there, or not a program, is named") {
  auto absent = spawn_worker("/nonexistent/ferry-worker", {});
  REQUIRE_FALSE(absent);
  CHECK(absent.error().code == Errc::not_found);
  CHECK_THAT(absent.error().context, Catch::Contains("/nonexistent/ferry-worker"));
  TempDir directory;
  REQUIRE(write_file_atomic(directory / "text", "no program", 0644));
  CHECK(spawn_worker(directory / "text", {}).error().code == Errc::denied);
}

TEST_CASE("killing the supervisor leaves no worker, not even one that does not look at its socket") {
  // The grandchild becomes ours, so that its end can be waited for.
  REQUIRE(::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  int pipe_ends[2];
  REQUIRE(::pipe2(pipe_ends, O_CLOEXEC) == 0);
  FileDescriptor from(pipe_ends[0]), to(pipe_ends[1]);
  pid_t supervisor = ::fork();
  REQUIRE(supervisor >= 0);
  if (supervisor == 0) {
    auto spawned = spawn_worker(worker_program(), FERRY_ONNXRUNTIME_LIBRARY);
    pid_t pid = -1;
    if (spawned && greet(spawned->socket.get())) pid = spawned->pid;
    if (::write(to.get(), &pid, sizeof pid) != sizeof pid) ::_exit(1);
    for (;;) ::pause();
  }
  pid_t worker = -1;
  REQUIRE(::read(from.get(), &worker, sizeof worker) == sizeof worker);
  REQUIRE(worker > 0);
  REQUIRE(::kill(worker, SIGSTOP) == 0);
  REQUIRE(::kill(supervisor, SIGKILL) == 0);
  REQUIRE(::waitpid(supervisor, nullptr, 0) == supervisor);
  int status = 0;
  pid_t ended = 0;
  REQUIRE(eventually([&] { return (ended = ::waitpid(worker, &status, WNOHANG)) != 0; }));
  CHECK(ended == worker);
  CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_CASE("memory and out-of-memory kills are read from what the kernel says") {
  auto memory = parse_worker_memory("Name:\tx\nVmPeak:\t   99999 kB\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n");
  CHECK(memory.peak_bytes == 20480 * 1024);
  CHECK(memory.resident_bytes == 10240 * 1024);
  CHECK(parse_worker_memory("").resident_bytes == 0);
  CHECK(parse_worker_memory("Name:\tx\nVmRSS:\nVmHWM:\t12 kB\n").resident_bytes == 0);
  auto own = read_worker_memory(::getpid());
  CHECK(own.resident_bytes > 1024 * 1024);
  CHECK(own.peak_bytes >= own.resident_bytes);
  CHECK(read_worker_memory(-1).peak_bytes == 0);

  CHECK(parse_oom_kills("oom_kill 3\n") == 3);
  CHECK(parse_oom_kills("a 1\noom_kill 17\nb 2\n") == 17);
  CHECK(parse_oom_kills("not_oom_kill 5\n") == 0);
  CHECK(parse_oom_kills("") == 0);
  CHECK(parse_oom_kills("oom_kill x\n") == 0);
}
