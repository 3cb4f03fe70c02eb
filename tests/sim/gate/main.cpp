// Prints how the live gate and other rules judge synthetic fleets, and whether the goals of STATS.md §4.7 hold.
//   sim_gate            the tables; a few minutes
//   sim_gate --smoke    the same code on two rollouts per cell, under ten seconds; time is printed, not judged
//   sim_gate --runs N   rollouts per cell (300), two thirds as many sequences
#include "tests/sim/gate/tables.hpp"

#include <cstdio>
#include <cstdlib>
#include <string_view>

int main(int argc, char** argv) {
  using namespace ferry::sim;
  Effort effort;
  bool smoke = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--smoke") {
      smoke = true;
      effort = {.runs = 2, .sequences = 1, .sequence_pairs = 12};
    } else if (word == "--runs" && i + 1 < argc && std::atoi(argv[i + 1]) > 0) {
      effort.runs = std::atoi(argv[++i]);
      effort.sequences = (2 * effort.runs + 2) / 3;
    } else {
      std::fprintf(stderr, "usage: %s [--smoke | --runs <rollouts per cell>]\n", argv[0]);
      return 2;
    }
  }
  std::vector<Goal> goals = roll_back_table(effort);
  for (const auto& more : {pairs_needed_table(effort), smoke ? judge_cost(100, 3) : judge_cost(1'000, 200)})
    goals.insert(goals.end(), more.begin(), more.end());
  if (smoke) goals.pop_back();  // the cost: a debug build on a busy machine says nothing about it
  std::printf("\n| goal | measured | holds |\n|---|---|---|\n");
  bool all = true;
  for (const Goal& goal : goals) {
    std::printf("| %s | %s | %s |\n", goal.what.c_str(), goal.measured.c_str(), goal.holds ? "yes" : "NO");
    all = all && goal.holds;
  }
  return all ? 0 : 1;
}
