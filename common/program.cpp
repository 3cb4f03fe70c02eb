// Exit codes and end signals.
#include "common/program.hpp"

#include <cstdio>

namespace ferry {

int exit_code_of(Errc code) {
  switch (code) {
    case Errc::bad_input:
    case Errc::unsupported:
      return 2;
    case Errc::not_found:
      return 3;
    case Errc::denied:
      return 4;
    case Errc::conflict:
      return 5;
    case Errc::gate_failed:
      return 6;
    case Errc::gate_hold:
      return 7;
    case Errc::timeout:
      return 9;
    case Errc::bad_signature:
    case Errc::expired:
    case Errc::rollback_refused:
      return 10;
    case Errc::unreachable:
    case Errc::unavailable:
      return 11;
    default:
      return 1;
  }
}

int finish(const Result<>& result) {
  if (result) return 0;
  std::fprintf(stderr, "error: %s\n", result.error().context.c_str());
  if (!result.error().reason.empty()) std::fprintf(stderr, "why: %s\n", result.error().reason.c_str());
  return exit_code_of(result.error().code);
}

EndSignals::EndSignals() {
  sigemptyset(&ends_);
  sigaddset(&ends_, SIGTERM);
  sigaddset(&ends_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends_, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void EndSignals::wait() {
  int signal = 0;
  while (sigwait(&ends_, &signal) != 0) {
  }
}

}  // namespace ferry
