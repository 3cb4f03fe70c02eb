// Under which conditions a gate measured: read from the kernel, judged as quiet or noisy (STATS.md §5.2.2).
#pragma once
#include "common/file.hpp"
#include "common/json.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ferry::ci_gates {

// What the kernel does not say is empty or negative: a virtual machine often hides governor, turbo and temperature.
struct Environment {
  std::string cpu_model, kernel;
  int cores = 0;
  std::string governor;                      // of the first core
  std::string turbo;                         // on | off
  double temperature_c = -1;                 // the hottest thermal zone
  double cgroup_cpus = -1;                   // CPU time the cgroup may use, in cores; negative: no limit
  double load_before = -1, load_after = -1;  // one-minute load average
  std::vector<int> pinned;                   // cores that the measuring process was pinned to
};

inline constexpr double load_per_core_max = 0.5;  // before the gate itself runs
inline constexpr double cgroup_cpus_min = 1;

// `root` is "/" but in tests. load_after stays unknown.
Environment read_environment(const Path& root);
double read_load_average(const Path& root);  // negative when unknown

// Why figures of this machine are to be taken with care, one sentence each; empty: quiet. Pure.
std::vector<std::string> noise(const Environment& environment, bool settled);

// The report's `environment` member; unknown values are left out.
Json to_json(const Environment& environment, bool settled);

}  // namespace ferry::ci_gates
