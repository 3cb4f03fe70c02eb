// What this machine is (docs/formats/device-api.md): parsed from the kernel's own text, plus two short measurements.
#pragma once
#include "common/json.hpp"
#include "common/result.hpp"
#include "runtime/engine.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace ferry::runtime {

struct CpuInfo {
  int cores = 0;      // logical processors
  std::string model;  // "" when the kernel does not say
  std::string isa;    // x86_64: baseline avx2 avx512 avx512vnni amx; aarch64: neon dotprod i8mm; else "generic"
};

// /proc/cpuinfo of either architecture. Never fails: what is missing is empty, zero or the lowest bucket.
CpuInfo parse_cpuinfo(std::string_view text, std::string_view architecture);
std::uint64_t parse_memory_bytes(std::string_view meminfo);  // MemTotal; 0 when absent
std::string parse_os_name(std::string_view os_release);      // PRETTY_NAME; "Linux" when absent

// "x86_64-avx512vnni-2c-16g-cpu": never from a measurement.
std::string hardware_class(std::string_view architecture, std::string_view isa, int cores, std::uint64_t memory_bytes,
                           std::string_view accelerator);

struct HardwareProfile {
  std::string architecture;
  std::string isa;
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  std::string cpu_model;
  std::string accelerator = "cpu";
  std::string os;
  std::string kernel;
  double matmul_gflops = 0;    // fp32, one thread; indicative
  double memory_gb_per_s = 0;  // copy, one thread; indicative
  std::string hardware_class() const;
};

// Reads /proc, /etc/os-release and uname; no measurement. What cannot be read stays empty or zero.
HardwareProfile read_hardware_profile();
// Fills the two measurements; less than 300 ms in a release build.
void measure_hardware(HardwareProfile& profile);

// The document `ferry.profile/1`.
Json to_json(const HardwareProfile& profile, std::string_view agent_version, const RuntimeInfo& runtime);

}  // namespace ferry::runtime
