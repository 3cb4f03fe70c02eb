// The tables of the drift simulation; each prints itself and returns the figures that the goals are held against.
#pragma once
#include "tests/sim/drift/population.hpp"

#include <vector>

namespace ferry::sim {

// How much to draw. Default constants of the detector everywhere; these only set the precision of the figures.
struct Effort {
  int references = 40;       // drawn anew, as each release's gate would
  int windows = 25;          // per reference, table 1 and 2
  int run_references = 100;  // table 3
  int run_windows = 5'000;   // per reference
  int delays = 100;          // runs per shift, table 4
  int rollouts = 100;        // per scenario, table 5
  std::vector<std::size_t> window_sizes{50, 100, 200, 500, 1'000};
};

struct World {
  DataSet data;
  std::vector<Predictions> populations;  // of release 1.1.0; the first is clean
  std::vector<Predictions> successor;    // of release 1.4.0 under the same names, where a table needs it
  // References of N = 10,000, each as another release's gate would draw it; of 1.1.0 and of 1.4.0.
  std::vector<Reference> references, successor_references;
  const Predictions& clean() const { return populations.front(); }
};

struct Share {
  int flagged = 0, windows = 0;
  double value() const { return windows == 0 ? 0 : double(flagged) / windows; }
  double error() const;  // standard error, at least that of one window
};

// A population's name, 16 columns wide.
void print_name(const std::string& name);

// 1. Windows without drift that a rule flags, by size. Returns those of Ferry's rule.
std::vector<Share> false_alarms(const World& world, const Effort& effort);
struct Power {
  Share at_100, at_200, at_300;
};
// 2. Windows with drift that a rule flags, by size. Returns Ferry's, by population from the second.
std::vector<Power> power(const World& world, const Effort& effort);

struct RunLength {
  std::size_t n_ref = 0, n = 0;
  double windows = 0;
  int alarms = 0;
  double mean_e = 0, mean_e_error = 0;
  double low() const;  // lower 95 % bound of the mean run length, alarms taken as Poisson
};
// 3. Windows between false alarms at the default threshold.
std::vector<RunLength> run_lengths(const World& world, const Effort& effort);
// 4. Windows from a change to the alarm, and what the level does meanwhile and afterwards.
void delays(const World& world, const Effort& effort);
// 5. Canary and control group: who is blamed. Returns the share of rollouts in a changed world that blame the release.
Share causes(const World& world, const Effort& effort);

}  // namespace ferry::sim
