// What every program's main() needs: exit codes (UX.md §3.2) and the signals that end it.
#pragma once
#include "common/result.hpp"

#include <csignal>

namespace ferry {

// 0 ok, 1 failure, 2 usage or bad input, 3 not found, 4 denied, 5 conflict, 6 gate failed, 7 gate held, 9 timeout,
// 10 signature or integrity, 11 server unreachable. (8, rollout failed, is a state and no error.)
int exit_code_of(Errc code);

// Prints "error: …" and, when there is one, "why: <reason>" to standard error; returns the exit code.
int finish(const Result<>& result);

// SIGTERM and SIGINT, taken by one thread that waits for them. Make it first in main(): threads started later inherit
// the blocked signals. SIGPIPE is ignored.
class EndSignals {
 public:
  EndSignals();
  void wait();  // until one comes

 private:
  sigset_t ends_;
};

}  // namespace ferry
