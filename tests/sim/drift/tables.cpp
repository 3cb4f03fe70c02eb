#include "tests/sim/drift/tables.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ferry::sim {
namespace {

using Tally = std::array<Share, rules>;

void print_rules(const char* first, int width) {
  std::printf("%-*s", width, first);
  for (int rule = 0; rule < rules; ++rule) std::printf(" %9s", to_string(Rule(rule)));
  std::printf("\n");
}

Tally tally(const World& world, const Predictions& population, std::size_t n, const Effort& effort) {
  Tally made;
  for (int k = 0; k < effort.references; ++k) {
    Dice dice(1'000'003ULL * std::uint64_t(k) + n);
    const Reference& reference = world.references[std::size_t(k) % world.references.size()];
    const Source source(population, reference);
    for (int w = 0; w < effort.windows; ++w) {
      const Flags flags = judge_window(reference, source.draw(n, dice, true));
      for (std::size_t rule = 0; rule < rules; ++rule) {
        made[rule].flagged += flags[rule] ? 1 : 0;
        ++made[rule].windows;
      }
    }
  }
  return made;
}

void print_tally(const Tally& tally) {
  for (const Share& share : tally) std::printf(" %9.3f", share.value());
  std::printf("\n");
}

}  // namespace

// printf counts bytes, and ° has two.
void print_name(const std::string& name) {
  const bool degree = name.find("°") != std::string::npos;
  std::printf("%-*s", degree ? 17 : 16, name.c_str());
}

double Share::error() const {
  const double n = std::max(1, windows), p = std::clamp(value(), 1 / n, 1 - 1 / n);
  return std::sqrt(std::max(p * (1 - p), 0.0) / n);
}

std::vector<Share> false_alarms(const World& world, const Effort& effort) {
  std::printf("\n1. False alarms: share of windows without drift that a rule flags (%d windows per row)\n",
              effort.references * effort.windows);
  print_rules("n", 6);
  std::vector<Share> ours;
  for (const std::size_t n : effort.window_sizes) {
    const Tally row = tally(world, world.clean(), n, effort);
    std::printf("%-6zu", n);
    print_tally(row);
    ours.push_back(row[std::size_t(Rule::ferry)]);
  }
  return ours;
}

std::vector<Power> power(const World& world, const Effort& effort) {
  std::vector<Power> ours(world.populations.size() - 1);
  for (const std::size_t n : {std::size_t(100), std::size_t(200), std::size_t(300)}) {
    std::printf("\n2. Power: share of windows of n = %zu with drift that a rule flags (%d windows per row)\n", n,
                effort.references * effort.windows);
    print_rules("shift            accuracy", 24);
    for (std::size_t at = 1; at < world.populations.size(); ++at) {
      const Predictions& population = world.populations[at];
      const Tally row = tally(world, population, n, effort);
      print_name(population.name);
      std::printf(" %+6.1f ", 100 * (population.accuracy() - world.clean().accuracy()));
      print_tally(row);
      Power& one = ours[at - 1];
      (n == 100 ? one.at_100 : n == 200 ? one.at_200 : one.at_300) = row[std::size_t(Rule::ferry)];
    }
  }
  return ours;
}

}  // namespace ferry::sim
