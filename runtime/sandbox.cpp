// seccomp filters and limits of the worker.
#include "runtime/sandbox.hpp"

#include "common/file.hpp"

#include <seccomp.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace ferry::runtime {
namespace {

// Refused with EPERM from loading on. A deny list: engines and vendor libraries differ too much in what they need for
// an allow list, and what a hostile model wants is here.
constexpr const char* denied_calls[] = {
    // network: descriptors that exist already (the supervisor's) stay usable
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
    // programs and processes (threads are let through below)
    "execve", "execveat", "fork", "vfork", "kill", "pidfd_open", "pidfd_getfd", "pidfd_send_signal",
    // other processes' memory and the kernel
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "bpf", "perf_event_open", "userfaultfd", "keyctl",
    "add_key", "request_key", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
    "swapon", "swapoff", "mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "open_by_handle_at",
    "move_mount", "open_tree", "fsopen", "fsmount", "quotactl", "acct", "settimeofday", "clock_settime", "adjtimex",
    // io_uring would do all of the above past this filter
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    // changes to files
    "creat", "truncate", "ftruncate", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat",
    "rmdir", "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "chown",
    "fchown", "lchown", "fchownat", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "utimensat"};

constexpr const char* opening_calls[] = {"open", "openat", "memfd_create", "chdir", "fchdir"};

Error failed(int code, const char* what) {
  return Error{Errc::unsupported, std::string("sandbox: ") + what + ": " + std::strerror(-code) +
                                      "; the kernel must offer seccomp filters"};
}

// A call this architecture does not have is denied already.
int deny(scmp_filter_ctx filter, const char* name, std::uint32_t action = SCMP_ACT_ERRNO(EPERM)) {
  int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return 0;
  int code = seccomp_rule_add(filter, action, number, 0);
  return code == -EDOM ? 0 : code;
}

int deny_loading(scmp_filter_ctx filter) {
  for (const char* name : denied_calls) {
    if (int code = deny(filter, name); code != 0) return code;
  }
  // clone3 hides its flags in memory: ENOSYS makes the C library fall back to clone, whose flags can be seen. openat2
  // likewise.
  for (const char* name : {"clone3", "openat2"}) {
    if (int code = deny(filter, name, SCMP_ACT_ERRNO(ENOSYS)); code != 0) return code;
  }
  int code =
      seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
  if (code != 0) return code;
  for (int access : {O_WRONLY, O_RDWR}) {
    code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(openat), 1,
                            SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, static_cast<scmp_datum_t>(access)));
    if (code != 0) return code;
    code = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(open), 1,
                            SCMP_A1(SCMP_CMP_MASKED_EQ, O_ACCMODE, static_cast<scmp_datum_t>(access)));
    if (code != 0 && code != -EDOM) return code;
  }
  return 0;
}

}  // namespace

void settle_as_worker() {
  // Before PR_SET_DUMPABLE, which makes these files root's.
  if (int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) {
    constexpr std::string_view score = "800";
    [[maybe_unused]] auto written = write(fd, score.data(), score.size());
    close(fd);
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

Result<bool> limit_memory(std::uint64_t bytes_max) {
  if (bytes_max == 0) return false;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  rlimit limit{bytes_max, bytes_max};
  if (setrlimit(RLIMIT_DATA, &limit) != 0) return errno_error("memory limit", "RLIMIT_DATA");
  return true;
#endif
}

Result<> enter_sandbox(SandboxStage stage) {
  // TSYNC covers every thread; no_new_privs (set by libseccomp) makes it work without root.
  using Filter = Handle<void, seccomp_release>;
  Filter filter(seccomp_init(SCMP_ACT_ALLOW));
  if (!filter) return failed(-ENOMEM, "filter");
  int code = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (code == 0 && stage == SandboxStage::loading) code = deny_loading(filter.get());
  if (code == 0 && stage == SandboxStage::serving) {
    for (const char* name : opening_calls) {
      if (code == 0) code = deny(filter.get(), name);
    }
  }
  if (code != 0) return failed(code, "rule");
  code = seccomp_load(filter.get());
  if (code != 0) return failed(code, "load");
  return {};
}

}  // namespace ferry::runtime
