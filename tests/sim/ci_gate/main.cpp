// How often the CI gate's latency comparison errs: the same model against itself, and as if it were slower. Constants
// are the gate's defaults.
//   sim_ci_gate                          replays the recorded blocks, 200 gates a row
//   sim_ci_gate --live N                 also N gates on this machine of a model against itself, N against a faster one
//   sim_ci_gate --record FILE            records anew (half a minute)
//   sim_ci_gate --blocks FILE            replays these
// Exit code 1 when a goal of STATS.md §5 does not hold, 2 when it could not run.
#include "ci_gates/comparison.hpp"
#include "tests/sim/ci_gate/replay.hpp"

#include <cstdio>
#include <cstdlib>
#include <string_view>

using namespace ferry;
using namespace ferry::sim;

namespace {

constexpr int replayed_gates = 200;
constexpr double seconds_max = 60;
constexpr int recorded_processes = 12;
constexpr std::size_t recorded_pairs = 120;
constexpr int busy_processes = 2;
const Path recorded = Path(FERRY_SOURCE_DIR) / "tests/sim/ci_gate/blocks.txt";

struct Options {
  Path blocks = recorded, record;
  int live = 0;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (i + 1 >= argc) return false;
    if (word == "--blocks")
      options.blocks = argv[++i];
    else if (word == "--record")
      options.record = argv[++i];
    else if (word == "--live" && std::atoi(argv[i + 1]) > 0)
      options.live = std::atoi(argv[++i]);
    else
      return false;
  }
  return true;
}

void print_row(const char* what, const char* condition, const Tally& tally) {
  std::printf("| %s | %s | %d | %d | %d | %d | %.0f / %.0f | %.2f / %.2f |\n", what, condition, tally.runs,
              tally.passed, tally.held, tally.failed, quantile(tally.pairs, 0.5), quantile(tally.pairs, 0.9),
              quantile(tally.seconds, 0.5), quantile(tally.seconds, 0.9));
}

void print_head() {
  std::printf("| candidate | machine | gates | pass | hold | fail | pairs median / p90 | seconds median / p90 |\n");
  std::printf("|---|---|---|---|---|---|---|---|\n");
}

bool goal(bool holds, const char* what, int count, int runs) {
  std::printf("%s  %s: %d of %d\n", holds ? "holds        " : "DOES NOT HOLD", what, count, runs);
  return holds;
}

bool replay_all(const std::vector<Recording>& recordings) {
  const std::pair<const char*, double> candidates[] = {{"the same model", 1.0}, {"+4.43 % (at the margin)", 1.0443},
                                                       {"+7 %", 1.07},          {"+10 %", 1.10},
                                                       {"+20 %", 1.20},         {"-10 %", 1 / 1.1}};
  std::printf("Replayed: blocks of %zu inferences, margin %.2f %%, fails at E >= %.0f, at most %.0f s\n\n",
              ci_gates::block_runs, 100 * ci_gates::latency_margin_default, 1 / ci_gates::slower_alpha, seconds_max);
  print_head();
  int same_failed = 0, ten_found = 0, runs = 0;
  std::uint64_t seed = 1;
  for (const char* condition : {"alone", "busy"}) {
    for (const auto& [what, factor] : candidates) {
      const Tally tally = replay(recordings, condition, factor, replayed_gates, seconds_max, seed++);
      if (tally.runs == 0) continue;
      print_row(what, condition, tally);
      if (factor == 1.0) {
        same_failed += tally.failed;
        runs += tally.runs;
      }
      if (factor == 1.10) ten_found += tally.failed;
    }
  }
  if (runs == 0) {
    std::fprintf(stderr, "sim_ci_gate: no recording of condition 'alone' or 'busy'\n");
    return false;
  }
  std::printf("\n");
  const bool calm = goal(same_failed * 100 <= runs, "a model fails against itself in at most 1 %", same_failed, runs);
  return goal(ten_found * 100 >= runs * 95, "+10 % is found within 60 s in at least 95 %", ten_found, runs) && calm;
}

Result<bool> run_live(const Bench& bench, int gates) {
  std::printf("\nLive, on this machine as it is now\n\n");
  print_head();
  bool all = true;
  for (const auto& [what, candidate, baseline] :
       {std::tuple{"1.1.0 against itself", "1.1.0", "1.1.0"}, std::tuple{"1.0.0 against 1.1.0", "1.0.0", "1.1.0"}}) {
    Tally tally;
    for (int gate = 0; gate < gates; ++gate) {
      TRY(const ci_gates::Evaluation seen,
          bench.measure(candidate, baseline, {.samples = 1, .margin = ci_gates::latency_margin_default}));
      const auto compared = ci_gates::compare_blocks(seen.latency.log2_ratios(), ci_gates::latency_margin_default);
      tally.add(compared.verdict, compared.pairs, seen.latency.seconds);
    }
    print_row(what, "live", tally);
    if (std::string_view(candidate) == baseline) all = tally.failed * 100 <= tally.runs;
  }
  return all;
}

Result<> record_all(const Bench& bench, const Path& file) {
  TRY(std::vector<Recording> recordings, record(bench, "alone", recorded_processes, recorded_pairs));
  const BusyProcesses busy(busy_processes);
  TRY(const std::vector<Recording> more, record(bench, "busy", recorded_processes, recorded_pairs));
  recordings.insert(recordings.end(), more.begin(), more.end());
  return write_file_atomic(file, print_recordings(recordings,
                                                  "# Medians of blocks of 100 inferences in microseconds, fp32 1.1.0 "
                                                  "against itself, by sim_ci_gate --record.\n"));
}

Result<bool> run(const Options& options) {
  if (!options.record.empty()) {
    TRY(const Bench bench, Bench::open());
    TRY_VOID(record_all(bench, options.record));
    return true;
  }
  TRY(const std::vector<Recording> recordings, read_recordings(options.blocks));
  bool all = replay_all(recordings);
  if (options.live == 0) return all;
  TRY(const Bench bench, Bench::open());
  TRY(const bool live, run_live(bench, options.live));
  return all && live;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    std::fprintf(stderr, "usage: sim_ci_gate [--live N] [--blocks FILE] | --record FILE\n");
    return 2;
  }
  const auto all = run(options);
  if (!all) {
    std::fprintf(stderr, "sim_ci_gate: %s\n", all.error().context.c_str());
    return 2;
  }
  return *all ? 0 : 1;
}
