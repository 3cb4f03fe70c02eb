// What the kernel says, parsed; the class made from it; the real machine.
#include "runtime/hardware_profile.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <chrono>

using namespace ferry;
using namespace ferry::runtime;

namespace {

std::string x86(std::string_view flags) {
  std::string text;
  for (int core = 0; core < 2; ++core) {
    text += "processor\t: " + std::to_string(core) + "\nmodel name\t: Some CPU @ 2.0GHz\nflags\t\t: fpu sse2 " +
            std::string(flags) + "\nbugs\t\t: x\n\n";
  }
  return text;
}

std::string isa(std::string_view flags) { return parse_cpuinfo(x86(flags), "x86_64").isa; }

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

}  // namespace

TEST_CASE("instruction sets fall into buckets, and a bucket needs all of its parts") {
  CHECK(isa("") == "baseline");
  CHECK(isa("avx avx2") == "baseline");
  CHECK(isa("avx2 fma") == "avx2");
  CHECK(isa("avx2 fma avx512f") == "avx2");
  CHECK(isa("avx2 fma avx512f avx512bw avx512dq avx512vl") == "avx512");
  CHECK(isa("avx2 fma avx512f avx512bw avx512dq avx512vl avx512_vnni") == "avx512vnni");
  CHECK(isa("avx2 fma avx512f avx512bw avx512dq avx512vl avx512_vnni amx_tile amx_int8") == "amx");
  CHECK(isa("avx2 fma avx512_vnni") == "avx2");
  auto arm = [](std::string_view features) {
    return parse_cpuinfo("processor\t: 0\nFeatures\t: " + std::string(features) + "\nModel\t: Pi\n", "aarch64");
  };
  CHECK(arm("fp asimd").isa == "neon");
  CHECK(arm("fp asimd asimddp").isa == "dotprod");
  CHECK(arm("fp asimd asimddp i8mm").isa == "i8mm");
  CHECK(arm("").model == "Pi");
  CHECK(parse_cpuinfo("", "riscv64").isa == "generic");
}

TEST_CASE("cpuinfo gives cores and a bounded, printable model") {
  auto cpu = parse_cpuinfo(x86("avx2 fma"), "x86_64");
  CHECK(cpu.cores == 2);
  CHECK(cpu.model == "Some CPU @ 2.0GHz");
  auto hostile = parse_cpuinfo("model name: \xff\x01" + std::string(10'000, 'x'), "x86_64");
  CHECK(hostile.model.size() == 128);
  CHECK(hostile.model.substr(0, 3) == "??x");
  CHECK(parse_cpuinfo(":::\n\n:\nprocessor\n", "x86_64").cores == 0);
}

TEST_CASE("memory and system name are read, and nonsense reads as nothing") {
  CHECK(parse_memory_bytes("MemTotal:       24402100 kB\nMemFree: 1 kB\n") == 24402100ULL * 1024);
  for (const char* text : {"", "MemTotal:", "MemTotal: x kB", "MemTotal: 99999999999999999999 kB", "MemFree: 5 kB"}) {
    CHECK(parse_memory_bytes(text) == 0);
  }
  CHECK(parse_os_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n") == "Debian GNU/Linux 12 (bookworm)");
  CHECK(parse_os_name("PRETTY_NAME=Alpine\n") == "Alpine");
  CHECK(parse_os_name("PRETTY_NAME=\"\n") == "\"");
  CHECK(parse_os_name("") == "Linux");
}

TEST_CASE("the hardware class buckets cores and memory downwards") {
  auto of = [](int cores, std::uint64_t memory) { return hardware_class("x86_64", "avx2", cores, memory, "cpu"); };
  CHECK(hardware_class("x86_64", "avx512vnni", 2, 25'000'000'000, "cpu") == "x86_64-avx512vnni-2c-16g-cpu");
  CHECK(of(1, gib) == "x86_64-avx2-1c-1g-cpu");
  CHECK(of(3, 4 * gib - 200'000'000) == "x86_64-avx2-2c-4g-cpu");  // a "4 GiB" board says 3.8
  CHECK(of(4, gib - 1) == "x86_64-avx2-4c-0g-cpu");
  CHECK(of(63, gib + 1) == "x86_64-avx2-32c-2g-cpu");
  CHECK(of(4096, 4096 * gib) == "x86_64-avx2-64c-128g-cpu");
  CHECK(of(0, 0) == "x86_64-avx2-1c-0g-cpu");
}

TEST_CASE("this machine has a profile with a stable class, and measuring it is short") {
  auto profile = read_hardware_profile();
  CHECK(profile.cores >= 1);
  CHECK(profile.memory_bytes > 0);
  CHECK(profile.hardware_class() == read_hardware_profile().hardware_class());
  auto start = std::chrono::steady_clock::now();
  measure_hardware(profile);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds{3});  // 0.3 s without sanitizers
  CHECK(profile.matmul_gflops > 0);
  CHECK(profile.memory_gb_per_s > 0);
  auto document = to_json(profile, "0.1.0", {"onnxruntime", "1.30.0"});
  CHECK(document["format"] == "ferry.profile/1");
  CHECK(document["hardware_class"] == profile.hardware_class());
  CHECK(document["runtime"]["version"] == "1.30.0");
  CHECK(document["measured"].contains("matmul_gflops"));
}
