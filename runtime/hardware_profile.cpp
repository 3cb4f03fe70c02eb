// Parsing of what the kernel says about the machine, and the hardware class made from it.
#include "runtime/hardware_profile.hpp"

#include "common/file.hpp"

#include <nlohmann/json.hpp>

#include <sys/utsname.h>
#include <charconv>
#include <set>
#include <thread>

namespace ferry::runtime {
namespace {

constexpr std::size_t proc_bytes_max = 4 * 1024 * 1024;  // cpuinfo of a machine with hundreds of cores
constexpr std::size_t text_bytes_max = 128;              // a CPU model or OS name longer than this is cut

std::string_view trim(std::string_view text) {
  auto begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// Calls `use(key, value)` for every "key<separator>value" line.
template <class Use>
void each_field(std::string_view text, char separator, Use use) {
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    auto at = line.find(separator);
    if (at != std::string_view::npos) use(trim(line.substr(0, at)), trim(line.substr(at + 1)));
  }
}

std::set<std::string_view> words(std::string_view text) {
  std::set<std::string_view> found;
  while (!text.empty()) {
    auto word = text.substr(0, text.find(' '));
    if (!word.empty()) found.insert(word);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return found;
}

std::string isa_of(std::string_view architecture, std::string_view flags) {
  auto all = words(flags);
  auto has = [&all](std::initializer_list<std::string_view> needed) {
    return std::ranges::all_of(needed, [&all](std::string_view flag) { return all.contains(flag); });
  };
  if (architecture == "x86_64") {
    bool avx512 = has({"avx512f", "avx512bw", "avx512dq", "avx512vl"});
    if (avx512 && has({"amx_tile", "amx_int8"})) return "amx";
    if (avx512 && has({"avx512_vnni"})) return "avx512vnni";
    if (avx512) return "avx512";
    return has({"avx2", "fma"}) ? "avx2" : "baseline";
  }
  if (architecture == "aarch64") {
    if (has({"i8mm"})) return "i8mm";
    return has({"asimddp"}) ? "dotprod" : "neon";
  }
  return "generic";
}

// The largest power of two up to `most` that is at most `value`; 0 below 1.
std::uint64_t bucket(std::uint64_t value, std::uint64_t most) {
  if (value == 0) return 0;
  std::uint64_t size = 1;
  while (size * 2 <= std::min(value, most)) size *= 2;
  return size;
}

std::string read_text(const char* path) {
  auto text = read_file(path, proc_bytes_max);
  return text ? std::move(*text) : std::string();
}

// Nothing from a file reaches a document unbounded or as broken UTF-8.
std::string printable(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, text_bytes_max)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

}  // namespace

CpuInfo parse_cpuinfo(std::string_view text, std::string_view architecture) {
  CpuInfo info;
  std::string_view flags;
  each_field(text, ':', [&](std::string_view key, std::string_view value) {
    if (key == "processor") ++info.cores;
    if (info.model.empty() && (key == "model name" || key == "Model")) info.model = printable(value);
    // Different cores of one machine may differ (big.LITTLE); the kernel lists the common features for each.
    if (flags.empty() && (key == "flags" || key == "Features")) flags = value;
  });
  info.isa = isa_of(architecture, flags);
  return info;
}

std::uint64_t parse_memory_bytes(std::string_view meminfo) {
  std::uint64_t bytes = 0;
  each_field(meminfo, ':', [&](std::string_view key, std::string_view value) {
    if (key != "MemTotal") return;
    std::uint64_t kib = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), kib);
    constexpr std::uint64_t kib_max = std::uint64_t{1} << 50;
    if (error == std::errc() && end != value.data() && kib <= kib_max) bytes = kib * 1024;
  });
  return bytes;
}

std::string parse_os_name(std::string_view os_release) {
  std::string name = "Linux";
  each_field(os_release, '=', [&](std::string_view key, std::string_view value) {
    if (key != "PRETTY_NAME") return;
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front()) {
      value = value.substr(1, value.size() - 2);
    }
    if (!value.empty()) name = printable(value);
  });
  return name;
}

std::string hardware_class(std::string_view architecture, std::string_view isa, int cores, std::uint64_t memory_bytes,
                           std::string_view accelerator) {
  constexpr std::uint64_t gib = std::uint64_t{1} << 30;
  // The kernel keeps some of it: a "4 GiB" board reports 3.8. Rounded up, but below 1 GiB stays 0.
  std::uint64_t whole_gib = memory_bytes < gib ? 0 : (memory_bytes + gib - 1) / gib;
  return std::string(architecture) + "-" + std::string(isa) + "-" +
         std::to_string(std::max<std::uint64_t>(1, bucket(static_cast<std::uint64_t>(std::max(cores, 0)), 64))) + "c-" +
         std::to_string(bucket(whole_gib, 128)) + "g-" + std::string(accelerator);
}

std::string HardwareProfile::hardware_class() const {
  return runtime::hardware_class(architecture, isa, cores, memory_bytes, accelerator);
}

HardwareProfile read_hardware_profile() {
  HardwareProfile profile;
  utsname name{};
  if (uname(&name) == 0) {
    profile.architecture = printable(name.machine);
    profile.kernel = printable(name.release);
  }
  auto cpu = parse_cpuinfo(read_text("/proc/cpuinfo"), profile.architecture);
  profile.isa = cpu.isa;
  profile.cpu_model = cpu.model;
  // Not the affinity mask: pinning the agent must not change the device's class.
  profile.cores = cpu.cores > 0 ? cpu.cores : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  profile.memory_bytes = parse_memory_bytes(read_text("/proc/meminfo"));
  profile.os = parse_os_name(read_text("/etc/os-release"));
  return profile;
}

Json to_json(const HardwareProfile& profile, std::string_view agent_version, const RuntimeInfo& runtime) {
  return Json{{"format", "ferry.profile/1"},
              {"hardware_class", profile.hardware_class()},
              {"architecture", profile.architecture},
              {"isa", profile.isa},
              {"cores", profile.cores},
              {"memory_bytes", profile.memory_bytes},
              {"cpu_model", profile.cpu_model},
              {"accelerator", profile.accelerator},
              {"os", profile.os},
              {"kernel", profile.kernel},
              {"agent_version", agent_version},
              {"runtime", {{"name", runtime.name}, {"version", runtime.version}}},
              {"measured", {{"matmul_gflops", profile.matmul_gflops}, {"memory_gb_per_s", profile.memory_gb_per_s}}}};
}

}  // namespace ferry::runtime
