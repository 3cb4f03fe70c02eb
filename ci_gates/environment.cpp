#include "ci_gates/environment.hpp"

#include "runtime/hardware_profile.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace ferry::ci_gates {
namespace {

constexpr std::size_t kernel_file_bytes_max = 1024 * 1024;
constexpr int thermal_zones_max = 32;

// Files of /proc and /sys have no size; what is missing or unreadable is "".
std::string first_line(const Path& file) {
  const auto text = read_file(file, kernel_file_bytes_max);
  return text ? text->substr(0, text->find('\n')) : std::string();
}

double number_or_unknown(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end == text.c_str() ? -1 : value;
}

std::string read_turbo(const Path& cpu) {
  const std::string off = first_line(cpu / "intel_pstate/no_turbo"), boost = first_line(cpu / "cpufreq/boost");
  if (!off.empty()) return off == "1" ? "off" : "on";
  if (!boost.empty()) return boost == "0" ? "off" : "on";
  return "";
}

double read_temperature(const Path& thermal) {
  double hottest = -1;
  for (int zone = 0; zone < thermal_zones_max; ++zone) {
    const double milli = number_or_unknown(first_line(thermal / fmt::format("thermal_zone{}", zone) / "temp"));
    if (milli > 0) hottest = std::max(hottest, milli / 1000);
  }
  return hottest;
}

// cpu.max of cgroup 2 ("200000 100000" or "max 100000"), else the two files of cgroup 1.
double read_cgroup_cpus(const Path& cgroup) {
  std::string quota = first_line(cgroup / "cpu.max"), period;
  if (const std::size_t space = quota.find(' '); space != std::string::npos) {
    period = quota.substr(space + 1);
    quota.resize(space);
  } else {
    quota = first_line(cgroup / "cpu/cpu.cfs_quota_us");
    period = first_line(cgroup / "cpu/cpu.cfs_period_us");
  }
  const double most = number_or_unknown(quota), of = number_or_unknown(period);
  return most > 0 && of > 0 ? most / of : -1;
}

}  // namespace

double read_load_average(const Path& root) { return number_or_unknown(first_line(root / "proc/loadavg")); }

Environment read_environment(const Path& root) {
  Environment seen;
  const auto cpuinfo = read_file(root / "proc/cpuinfo", kernel_file_bytes_max);
  const runtime::CpuInfo cpu = runtime::parse_cpuinfo(cpuinfo ? *cpuinfo : std::string(), "");
  seen.cpu_model = cpu.model;
  seen.cores = cpu.cores;
  seen.kernel = first_line(root / "proc/sys/kernel/osrelease");
  const Path system_cpu = root / "sys/devices/system/cpu";
  seen.governor = first_line(system_cpu / "cpu0/cpufreq/scaling_governor");
  seen.turbo = read_turbo(system_cpu);
  seen.temperature_c = read_temperature(root / "sys/class/thermal");
  seen.cgroup_cpus = read_cgroup_cpus(root / "sys/fs/cgroup");
  seen.load_before = read_load_average(root);
  return seen;
}

std::vector<std::string> noise(const Environment& seen, bool settled) {
  std::vector<std::string> why;
  if (!seen.governor.empty() && seen.governor != "performance")
    why.push_back(fmt::format("governor {} changes the clock, performance would not", seen.governor));
  if (seen.load_before >= 0 && seen.cores > 0 && seen.load_before > load_per_core_max * seen.cores)
    why.push_back(fmt::format("load average {:.2f} on {} cores before the gate began", seen.load_before, seen.cores));
  if (seen.cgroup_cpus > 0 && seen.cgroup_cpus < cgroup_cpus_min)
    why.push_back(fmt::format("the cgroup may use {:.2f} of one core", seen.cgroup_cpus));
  if (!settled) why.emplace_back("latency had not settled when the warm-up was over");
  return why;
}

Json to_json(const Environment& seen, bool settled) {
  Json json;
  json["cpu_model"] = seen.cpu_model;
  json["kernel"] = seen.kernel;
  json["cores"] = seen.cores;
  json["pinned"] = seen.pinned;
  if (!seen.governor.empty()) json["governor"] = seen.governor;
  if (!seen.turbo.empty()) json["turbo"] = seen.turbo;
  const std::pair<const char*, double> numbers[] = {{"temperature_c", seen.temperature_c},
                                                    {"cgroup_cpus", seen.cgroup_cpus},
                                                    {"load_before", seen.load_before},
                                                    {"load_after", seen.load_after}};
  for (const auto& [key, value] : numbers) {
    if (value >= 0) json[key] = value;
  }
  json["noise"] = noise(seen, settled);
  json["noisy"] = !json["noise"].empty();
  return json;
}

}  // namespace ferry::ci_gates
