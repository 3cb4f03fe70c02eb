#include "ci_gates/environment.hpp"

#include "tests/ci_gates/workbench.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::test;
using ci_gates::Environment;

namespace {

// A root with these files.
struct Machine {
  TempDir folder;
  void says(const std::string& file, const std::string& text) const {
    REQUIRE(make_directories((folder / file).parent_path()));
    write_text(folder / file, text);
  }
  Environment read() const { return ci_gates::read_environment(folder.path()); }
};

}  // namespace

TEST_CASE("what the kernel says about the machine is read") {
  const Machine machine;
  machine.says("proc/cpuinfo",
               "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\n\nprocessor\t: 1\nmodel name\t: Some CPU\n");
  machine.says("proc/sys/kernel/osrelease", "6.1.0-13-amd64\n");
  machine.says("proc/loadavg", "0.42 0.40 0.30 2/300 999\n");
  machine.says("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
  machine.says("sys/devices/system/cpu/intel_pstate/no_turbo", "0\n");
  machine.says("sys/class/thermal/thermal_zone0/temp", "41000\n");
  machine.says("sys/class/thermal/thermal_zone1/temp", "63500\n");
  machine.says("sys/fs/cgroup/cpu.max", "150000 100000\n");
  const Environment seen = machine.read();
  CHECK(seen.cpu_model.starts_with("Some CPU"));
  CHECK(seen.cores == 2);
  CHECK(seen.kernel == "6.1.0-13-amd64");
  CHECK(seen.load_before == 0.42);
  CHECK(seen.governor == "powersave");
  CHECK(seen.turbo == "on");
  CHECK(seen.temperature_c == 63.5);
  CHECK(seen.cgroup_cpus == 1.5);
}

TEST_CASE("cgroup 1, AMD's boost, and no limit are understood") {
  const Machine machine;
  machine.says("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  machine.says("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  machine.says("sys/devices/system/cpu/cpufreq/boost", "0\n");
  CHECK(machine.read().cgroup_cpus == 0.5);
  CHECK(machine.read().turbo == "off");
  machine.says("sys/fs/cgroup/cpu.max", "max 100000\n");
  CHECK(machine.read().cgroup_cpus < 0);
}

TEST_CASE("a machine that says nothing, or nonsense, is unknown and not noisy") {
  const Machine machine;
  const Json nothing = ci_gates::to_json(machine.read(), true);
  CHECK(nothing["noisy"] == false);
  for (const char* unknown : {"governor", "turbo", "temperature_c", "cgroup_cpus", "load_before", "load_after"})
    CHECK(!nothing.contains(unknown));
  machine.says("proc/loadavg", "nonsense");
  machine.says("sys/fs/cgroup/cpu.max", "x y");
  CHECK(machine.read().load_before < 0);
  CHECK(machine.read().cgroup_cpus < 0);
}

TEST_CASE("each cause of noise is named, and none of them stops a gate") {
  Environment quiet;
  quiet.cores = 2;
  quiet.governor = "performance";
  quiet.load_before = 1.0;
  quiet.cgroup_cpus = 2;
  CHECK(ci_gates::noise(quiet, true).empty());
  CHECK(ci_gates::noise(quiet, false).size() == 1);
  Environment loud = quiet;
  loud.governor = "powersave";
  loud.load_before = 1.01;
  loud.cgroup_cpus = 0.5;
  const auto why = ci_gates::noise(loud, false);
  REQUIRE(why.size() == 4);
  CHECK(contains(why[0], "governor powersave"));
  CHECK(contains(why[1], "load average 1.01 on 2 cores"));
  CHECK(contains(why[2], "0.50 of one core"));
  CHECK(contains(why[3], "had not settled"));
  const Json json = ci_gates::to_json(loud, false);
  CHECK(json["noisy"] == true);
  CHECK(json["noise"].size() == 4);
}

TEST_CASE("this machine's own kernel is read") {
  const Environment here = ci_gates::read_environment("/");
  CHECK(here.cores > 0);
  CHECK(!here.kernel.empty());
  CHECK(here.load_before >= 0);
}
