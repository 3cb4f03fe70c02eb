// Runs the openssl command line as an independent judge of what our own code made.
#pragma once
#include "tests/support/temp_dir.hpp"

#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace ferry::test {

struct ProgramRun {
  int status;          // exit code
  std::string output;  // standard output; add 2>&1 for both
};

// `arguments` are words for the shell, written by the test; they run inside `dir`.
inline ProgramRun openssl(const TempDir& dir, const std::string& arguments) {
  const std::string command = "cd '" + dir.path().string() + "' && openssl " + arguments + " </dev/null";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen failed");
  ProgramRun run{-1, {}};
  char piece[4096];
  while (const std::size_t got = std::fread(piece, 1, sizeof piece, pipe)) run.output.append(piece, got);
  const int state = ::pclose(pipe);
  run.status = WIFEXITED(state) ? WEXITSTATUS(state) : -1;
  return run;
}

}  // namespace ferry::test
