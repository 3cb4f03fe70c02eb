#include "tests/sim/gate/tables.hpp"

#include "tests/sim/gate/gate_run.hpp"
#include "tests/sim/gate/rivals.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace ferry::sim {
namespace {

constexpr std::uint64_t seed = 20'261'125;
const double at_margin = std::exp2(2.0 / 32) - 1;

struct Tally {
  std::vector<int> minutes;
  int runs = 0;
  double share() const { return runs == 0 ? 0 : double(minutes.size()) / runs; }
  int median() {
    if (minutes.empty()) return never;
    const auto middle = minutes.begin() + std::ptrdiff_t((minutes.size() - 1) / 2);
    std::nth_element(minutes.begin(), middle, minutes.end());
    return *middle;
  }
};

std::string shown(Tally& tally) {
  char text[64];
  if (tally.minutes.empty()) return "0";
  std::snprintf(text, sizeof text, "%.3f (%d)", tally.share(), tally.median());
  return text;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

struct Cell {
  std::string name;
  FleetModel model;
  Effect effect;
  std::vector<std::pair<std::string, Tally>> rules;  // ours first

  Tally& ours() { return rules.front().second; }
};

FleetModel fleet(int pairs, double device_spread, double drift_spread) {
  FleetModel model;
  model.pairs = pairs;
  model.device_spread = device_spread;
  model.drift_spread = drift_spread;
  return model;
}

void note(Cell& cell, std::size_t rule, const std::string& name, int minute) {
  if (cell.rules.size() <= rule) cell.rules.push_back({name, {}});
  Tally& tally = cell.rules[rule].second;
  ++tally.runs;
  if (minute != never) tally.minutes.push_back(minute);
}

void play(Cell& cell, int runs) {
  for (int run = 0; run < runs; ++run) {
    const FleetTrace trace = simulate(cell.model, cell.effect, seed + std::uint64_t(run));
    note(cell, 0, "Ferry: matched pairs", run_gate(trace, {}));
    telemetry::JudgePolicy plain_signs;  // what the hedge is worth
    plain_signs.p50.hedge_uoct = plain_signs.p99.hedge_uoct = 1;
    note(cell, 1, "the same without the hedge", run_gate(trace, plain_signs));
    const std::vector<Fired> rivals = run_rivals(trace);
    for (std::size_t i = 0; i < rivals.size(); ++i) note(cell, i + 2, rivals[i].rule, rivals[i].minute);
  }
}

void print(std::vector<Cell>& cells) {
  std::printf("| rule |");
  for (const Cell& cell : cells) std::printf(" %s |", cell.name.c_str());
  std::printf("\n|---|");
  for (std::size_t i = 0; i < cells.size(); ++i) std::printf("---|");
  std::printf("\n");
  for (std::size_t rule = 0; rule < cells.front().rules.size(); ++rule) {
    std::printf("| %s |", cells.front().rules[rule].first.c_str());
    for (Cell& cell : cells) std::printf(" %s |", shown(cell.rules[rule].second).c_str());
    std::printf("\n");
  }
}

Goal at_most(std::string what, double measured, double limit) {
  return {std::move(what) + ": at most " + percent(limit), percent(measured), measured <= limit};
}

Goal found(std::string what, Tally& tally, double share, int minutes) {
  return {what + ": at least " + percent(share) + " found, median <= " + std::to_string(minutes) + " min",
          percent(tally.share()) + ", median " + std::to_string(tally.median()) + " min",
          tally.share() >= share && tally.median() != never && tally.median() <= minutes};
}

}  // namespace

std::vector<Goal> roll_back_table(const Effort& effort) {
  std::vector<Cell> cells{
      {"A/A equal devices, 10v10", fleet(10, 0, 0), {}, {}},
      {"A/A .10, 10v10", fleet(10, 0.10, 0.05), {}, {}},
      {"A/A .25, 10v10", fleet(10, 0.25, 0.15), {}, {}},
      {"A/A .10, 50v50", fleet(50, 0.10, 0.05), {}, {}},
      {"A/A .25, 50v50", fleet(50, 0.25, 0.15), {}, {}},
      {"at margin .10, 10v10", fleet(10, 0.10, 0.05), {.slower = at_margin}, {}},
      {"at margin .10, 50v50", fleet(50, 0.10, 0.05), {.slower = at_margin}, {}},
      {"+20 % .10, 10v10", fleet(10, 0.10, 0.05), {.slower = 0.2}, {}},
      {"+10 % .10, 50v50", fleet(50, 0.10, 0.05), {.slower = 0.1}, {}},
      {"3 % of requests x3 .10, 10v10", fleet(10, 0.10, 0.05), {.tail_share = 0.03}, {}},
      {"30 % of devices +50 % .10, 50v50", fleet(50, 0.10, 0.05), {.slower = 0.5, .device_share = 0.3}, {}}};
  for (Cell& cell : cells) play(cell, effort.runs);
  std::printf(
      "\nProbability of rolling back within 60 minutes (median minute), %d rollouts per cell, one inference per "
      "second and device\n\n",
      effort.runs);
  print(cells);
  double aa = 0;
  for (std::size_t i = 0; i < 5; ++i) aa = std::max(aa, cells[i].ours().share());
  return {at_most("false roll-back, A/A, every fleet above", aa, 0.01),
          at_most("false roll-back exactly at the margin, 10v10", cells[5].ours().share(), 0.05),
          at_most("false roll-back exactly at the margin, 50v50", cells[6].ours().share(), 0.05),
          found("+20 % on all devices, 10 pairs", cells[7].ours(), 0.99, 5),
          found("3 % of requests x3, 10 pairs", cells[9].ours(), 0.99, 10),
          found("30 % of devices +50 %, 50 pairs", cells[10].ours(), 0.95, 60)};
}

namespace {

struct Row {
  std::string name;
  FleetModel model;
  Effect effect;
  Tally needed;
};

int percentile_pairs(std::vector<int> needed, int runs, double share) {
  const auto rank = std::size_t(std::ceil(share * runs));
  if (needed.size() < rank) return never;
  std::sort(needed.begin(), needed.end());
  return needed[rank - 1];
}

double by(const Tally& tally, int pairs) {
  return double(std::count_if(tally.minutes.begin(), tally.minutes.end(), [&](int made) { return made <= pairs; })) /
         tally.runs;
}

std::string count(int pairs) { return pairs == never ? "-" : std::to_string(pairs); }

}  // namespace

std::vector<Goal> pairs_needed_table(const Effort& effort) {
  constexpr int minutes = 30;
  const auto normal = [&] {
    FleetModel model = fleet(effort.sequence_pairs, 0.10, 0.05);
    model.minutes_after = minutes;
    return model;
  };
  const auto rough = [&] {
    FleetModel model = fleet(effort.sequence_pairs, 0.25, 0.15);
    model.minutes_after = minutes;
    return model;
  };
  std::vector<Row> rows{{"none, normal", normal(), {}, {}},
                        {"none, rough", rough(), {}, {}},
                        {"exactly at margin, normal", normal(), {.slower = at_margin}, {}},
                        {"exactly at margin, rough", rough(), {.slower = at_margin}, {}},
                        {"+10 %", normal(), {.slower = 0.1}, {}},
                        {"+20 %", normal(), {.slower = 0.2}, {}},
                        {"+20 %, rough", rough(), {.slower = 0.2}, {}},
                        {"+50 %", normal(), {.slower = 0.5}, {}},
                        {"3 % of requests x3", normal(), {.tail_share = 0.03}, {}},
                        {"30 % of devices +50 %", normal(), {.slower = 0.5, .device_share = 0.3}, {}},
                        {"10 % of devices x3", normal(), {.slower = 2, .device_share = 0.1}, {}}};
  std::printf("\nPairs needed, coming one by one, %d minutes each; %d sequences of at most %d pairs\n\n", minutes,
              effort.sequences, effort.sequence_pairs);
  std::printf("| true effect | median / p90 pairs | fired by 20 | by 50 | by %d |\n|---|---|---|---|---|\n",
              effort.sequence_pairs);
  for (Row& row : rows) {
    for (int run = 0; run < effort.sequences; ++run) {
      ++row.needed.runs;
      const int pairs =
          pairs_needed(simulate(row.model, row.effect, seed + 1'000'000 + std::uint64_t(run)), {}, minutes);
      if (pairs != never) row.needed.minutes.push_back(pairs);
    }
    const Tally& made = row.needed;
    std::printf("| %s | %s / %s | %.3f | %.3f | %.3f |\n", row.name.c_str(),
                count(percentile_pairs(made.minutes, made.runs, 0.5)).c_str(),
                count(percentile_pairs(made.minutes, made.runs, 0.9)).c_str(), by(made, 20), by(made, 50),
                made.share());
  }
  std::vector<Goal> goals{at_most("false roll-back, A/A, ever, normal", rows[0].needed.share(), 0.01),
                          at_most("false roll-back, A/A, ever, rough", rows[1].needed.share(), 0.01),
                          at_most("false roll-back exactly at the margin, ever, normal", rows[2].needed.share(), 0.05),
                          at_most("false roll-back exactly at the margin, ever, rough", rows[3].needed.share(), 0.05)};
  for (const auto& [row, pairs_max] : {std::pair{4, 20}, {5, 8}}) {
    if (pairs_max >= effort.sequence_pairs) continue;  // the short form's sequences cannot show it
    const int needed = percentile_pairs(rows[std::size_t(row)].needed.minutes, rows[std::size_t(row)].needed.runs, 0.5);
    goals.push_back(
        {rows[std::size_t(row)].name + " on all devices: median at most " + std::to_string(pairs_max) + " pairs",
         count(needed) + " pairs", needed != never && needed <= pairs_max});
  }
  return goals;
}

}  // namespace ferry::sim
