// The tables of STATS.md §4.4 and the goals of §4.7, from fixed seeds and default constants.
#pragma once
#include <string>
#include <vector>

namespace ferry::sim {

struct Goal {
  std::string what, measured;
  bool holds = false;
};

struct Effort {
  int runs = 300;       // rollouts per cell of the first table
  int sequences = 200;  // sequences of pairs per row of the second
  int sequence_pairs = 200;
};

// Print their table and return the goals it decides.
std::vector<Goal> roll_back_table(const Effort& effort);
std::vector<Goal> pairs_needed_table(const Effort& effort);
std::vector<Goal> judge_cost(int pairs, int repeats);  // one goal

}  // namespace ferry::sim
