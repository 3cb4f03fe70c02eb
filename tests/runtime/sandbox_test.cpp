// What a process may still do in each stage of the sandbox, tried from inside in a child process.
#include "runtime/sandbox.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>

using namespace ferry;
using namespace ferry::runtime;

namespace {

// Runs `attempts` in a child; its exit code is the number (from 1) of the first that was not as expected, 0: all were.
int first_surprise(const std::function<int()>& attempts) {
  pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(attempts());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool refused(long result) { return result < 0 && errno == EPERM; }

void* nothing(void*) { return nullptr; }

}  // namespace

TEST_CASE("while loading there is no network, no new program, no tracing, no change to any file") {
  char directory[] = "/tmp/ferry-sandbox-XXXXXX";
  REQUIRE(::mkdtemp(directory) != nullptr);
  const std::string file = std::string(directory) + "/file", other = std::string(directory) + "/other";
  ::close(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  int surprise = first_surprise([&] {
    if (!enter_sandbox(SandboxStage::loading)) return 100;
    if (!refused(::socket(AF_INET, SOCK_STREAM, 0))) return 1;
    if (!refused(::socket(AF_UNIX, SOCK_STREAM, 0))) return 2;
    int pair[2];
    if (!refused(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair))) return 3;
    char* arguments[] = {nullptr};
    if (!refused(::execve("/bin/true", arguments, arguments))) return 4;
    if (!refused(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr))) return 5;
    if (!refused(::kill(::getppid(), 0))) return 6;
    if (!refused(::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr))) return 7;
    if (!refused(::open(file.c_str(), O_WRONLY))) return 8;
    if (!refused(::open(file.c_str(), O_RDWR))) return 9;
    if (!refused(::creat(other.c_str(), 0644)) && !refused(::open(other.c_str(), O_WRONLY | O_CREAT, 0644))) return 10;
    if (!refused(::unlink(file.c_str()))) return 11;
    if (!refused(::rename(file.c_str(), other.c_str()))) return 12;
    if (!refused(::chmod(file.c_str(), 0777))) return 13;
    if (!refused(::mkdir(other.c_str(), 0755))) return 14;
    if (!refused(::truncate(file.c_str(), 5))) return 15;
    if (!refused(::syscall(SYS_io_uring_setup, 1, nullptr))) return 16;
    if (::syscall(SYS_clone3, nullptr, 0) >= 0 || errno != ENOSYS) return 17;
    // What an engine needs goes on: reading files, memory, threads.
    int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 18;
    void* memory = ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 19;
    pthread_t thread;
    if (::pthread_create(&thread, nullptr, nothing, nullptr) != 0) return 20;
    ::pthread_join(thread, nullptr);
    return 0;
  });
  CHECK(surprise == 0);
  struct stat left {};
  CHECK(::stat(file.c_str(), &left) == 0);
  CHECK((left.st_mode & 0777) == 0644);
  CHECK(::stat(other.c_str(), &left) != 0);
  ::unlink(file.c_str());
  ::rmdir(directory);
}

TEST_CASE("while serving no file is opened any more, and what was open stays usable") {
  int surprise = first_surprise([] {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return 101;
    int before = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (!enter_sandbox(SandboxStage::loading)) return 100;
    if (!enter_sandbox(SandboxStage::serving)) return 102;
    if (!refused(::open("/etc/hostname", O_RDONLY))) return 1;
    if (!refused(::syscall(SYS_memfd_create, "x", 0))) return 2;
    if (!refused(::chdir("/"))) return 3;
    if (!refused(::socket(AF_INET, SOCK_STREAM, 0))) return 4;
    char byte = 0;
    if (::read(before, &byte, 1) != 1) return 5;
    if (::write(ends[0], "x", 1) != 1 || ::read(ends[1], &byte, 1) != 1) return 6;
    return 0;
  });
  CHECK(surprise == 0);
}

TEST_CASE("threads that were there before are in the sandbox too") {
  int surprise = first_surprise([] {
    struct Shared {
      int go[2];
      int result = -1;
    } shared;
    if (::pipe(shared.go) != 0) return 100;
    pthread_t thread;
    auto tries = [](void* argument) -> void* {
      auto& mine = *static_cast<Shared*>(argument);
      char byte = 0;
      if (::read(mine.go[0], &byte, 1) == 1) mine.result = refused(::socket(AF_INET, SOCK_STREAM, 0)) ? 0 : 1;
      return nullptr;
    };
    if (::pthread_create(&thread, nullptr, tries, &shared) != 0) return 101;
    if (!enter_sandbox(SandboxStage::loading)) return 102;
    if (::write(shared.go[1], "x", 1) != 1) return 103;
    ::pthread_join(thread, nullptr);
    return shared.result;
  });
  CHECK(surprise == 0);
}

TEST_CASE("a settled worker leaves no core, dies with its parent, and is the first the kernel takes for memory") {
  int surprise = first_surprise([] {
    settle_as_worker();
    rlimit core{};
    ::getrlimit(RLIMIT_CORE, &core);
    if (core.rlim_max != 0) return 1;
    int signal = 0;
    ::prctl(PR_GET_PDEATHSIG, &signal);
    if (signal != SIGKILL) return 2;
    if (::prctl(PR_GET_DUMPABLE) != 0) return 3;
    return 0;
  });
  CHECK(surprise == 0);
}

TEST_CASE("the memory limit is hard where the build can have one, and zero is none") {
  int surprise = first_surprise([] {
    if (*limit_memory(0)) return 1;
    constexpr std::uint64_t limit = 64 * 1024 * 1024;
    auto limited = limit_memory(limit);
    if (!limited) return 2;
    if (!*limited) return 0;  // a sanitizer build
    rlimit data{};
    ::getrlimit(RLIMIT_DATA, &data);
    if (data.rlim_cur != limit || data.rlim_max != limit) return 3;
    void* memory = ::mmap(nullptr, 2 * limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED || errno != ENOMEM) return 4;
    return 0;
  });
  CHECK(surprise == 0);
}
