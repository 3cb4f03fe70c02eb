// Tables 3 to 5: what happens window after window.
#include "telemetry/drift_cause.hpp"
#include "telemetry/drift_math.hpp"
#include "tests/sim/drift/tables.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace ferry::sim {
namespace {

using telemetry::DriftCause;
using telemetry::DriftFeature;
using telemetry::DriftLevel;
using telemetry::DriftState;
using telemetry::DriftUse;

constexpr std::int64_t hour_ms = 3'600'000;

// One cohort's detector, fed an hour at a time.
struct Cohort {
  const Reference& reference;
  std::size_t n;
  telemetry::DriftPolicy policy;
  DriftState state;
  std::int64_t now_ms = 0;

  Cohort(const Reference& of, std::size_t samples) : reference(of), n(samples) { policy.window_samples = samples; }

  telemetry::DriftReport take(const Source& source, Dice& dice) { return take(source.draw(n, dice).counts); }
  telemetry::DriftReport take(const telemetry::DriftCounts& counts) {
    auto step = telemetry::drift_step(reference.profile, policy, std::move(state), counts, now_ms, now_ms + hour_ms);
    if (!step || !step->report) {
      std::fprintf(stderr, "sim_drift: a window of %zu was not tested\n", n);
      std::exit(1);
    }
    now_ms += hour_ms;
    state = std::move(step->state);
    return *step->report;
  }
};

double middle(std::vector<int> values, double share) {
  if (values.empty()) return NAN;
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, std::size_t(share * double(values.size())))];
}

// 95 % bounds of a Poisson mean, by the chi-square quantile.
double poisson_low(int events) { return events == 0 ? 0 : telemetry::chi_square_quantile(0.975, 2.0 * events) / 2; }
double poisson_high(int events) { return telemetry::chi_square_quantile(0.025, 2.0 * events + 2) / 2; }

struct Stream {
  RunLength length;
  int plain_alarms = 0;  // the same detector on e_value(p), without the careful tail
  int single = 0;        // windows with Bonferroni p < 0.05
  int worst = 0;         // alarms of the unluckiest reference
};

Stream clean_stream(const World& world, const Effort& effort, std::size_t n_ref, std::size_t n) {
  Stream made;
  made.length.n_ref = n_ref;
  made.length.n = n;
  double sum = 0, squares = 0;  // of each reference's mean e
  for (int k = 0; k < effort.run_references; ++k) {
    Dice dice(77'777ULL * std::uint64_t(k) + n + n_ref);
    const Reference drawn = n_ref == 10'000 ? Reference{} : draw_reference(world.clean(), n_ref, dice);
    const Reference& reference = n_ref == 10'000 ? world.references[std::size_t(k) % world.references.size()] : drawn;
    const Source source(world.clean(), reference);
    Cohort cohort(reference, n);
    double plain = 0, e = 0;
    for (int w = 0; w < effort.run_windows; ++w) {
      const telemetry::DriftReport report = cohort.take(source, dice);
      double plain_e = 0, smallest = 1;
      for (const telemetry::FeatureDrift& feature : report.window.features) {
        plain_e += telemetry::e_value(feature.p) / 3;
        smallest = std::min(smallest, feature.p);
      }
      plain = (1 + plain) * plain_e;
      if (plain >= report.alarm_at) {
        ++made.plain_alarms;
        plain = 0;
      }
      made.single += smallest * 3 < 0.05 ? 1 : 0;
      e += report.window.e / effort.run_windows;
    }
    made.length.windows += effort.run_windows;
    made.length.alarms += int(cohort.state.alarms);
    made.worst = std::max(made.worst, int(cohort.state.alarms));
    sum += e;
    squares += e * e;
  }
  const double references = effort.run_references;
  made.length.mean_e = sum / references;
  made.length.mean_e_error =
      std::sqrt(std::max(0.0, squares / references - made.length.mean_e * made.length.mean_e) / references);
  return made;
}

void print_run(double windows, int alarms) {
  if (alarms == 0) {
    std::printf("   none in %.0f", windows);
  } else {
    std::printf(" %8.0f (%.0f-%.0f)", windows / alarms, windows / poisson_high(alarms), windows / poisson_low(alarms));
  }
}

// The first window that a rule flags, or `most`.
std::array<int, rules> first_flags(const Reference& reference, const Source& source, std::size_t n, int most,
                                   Dice& dice) {
  std::array<int, rules> first;
  first.fill(most);
  int open = rules;
  for (int w = 1; w <= most && open > 0; ++w) {
    const Flags flags = judge_window(reference, source.draw(n, dice, true));
    for (std::size_t rule = 0; rule < rules; ++rule) {
      if (!flags[rule] || first[rule] < most) continue;
      first[rule] = w;
      --open;
    }
  }
  return first;
}

void print_rule_runs(const World& world, const Effort& effort, std::size_t n) {
  const int windows = std::max(1, effort.run_windows / 10);
  std::array<int, rules> flagged{};
  for (int k = 0; k < effort.run_references; ++k) {
    Dice dice(99'991ULL * std::uint64_t(k) + n);
    const Reference& reference = world.references[std::size_t(k) % world.references.size()];
    const Source source(world.clean(), reference);
    for (int w = 0; w < windows; ++w) {
      const Flags flags = judge_window(reference, source.draw(n, dice, true));
      for (std::size_t rule = 0; rule < rules; ++rule) flagged[rule] += flags[rule] ? 1 : 0;
    }
  }
  const double total = double(windows) * effort.run_references;
  std::printf("   %-6zu", n);
  for (const int count : flagged) {
    if (count == 0) {
      std::printf(" %9s", ">10000");
    } else {
      std::printf(" %9.0f", total / count);
    }
  }
  std::printf("\n");
}

struct Delay {
  std::vector<int> windows;  // to the alarm, capped
  int early = 0, warned = 0, relapsed = 0;
  std::vector<int> recovery;
  std::array<std::vector<int>, rules> rule_windows;
};

constexpr int delay_max = 300, before = 30, drifting = 60, recovery_max = 100;

Delay delay_of(const World& world, const Predictions& population, std::size_t n, const Effort& effort) {
  Delay made;
  for (int run = 0; run < effort.delays; ++run) {
    Dice dice(31'337ULL * std::uint64_t(run) + n);
    const Reference& reference = world.references[std::size_t(run) % world.references.size()];
    const Source clean(world.clean(), reference), shifted(population, reference);
    Cohort cohort(reference, n);
    for (int w = 0; w < before; ++w) cohort.take(clean, dice);
    if (cohort.state.alarms > 0) {
      ++made.early;
      continue;
    }
    int length = 0;
    bool warned = false, relapsed = false;
    for (int w = 1; w <= delay_max && (length == 0 || w <= length + drifting); ++w) {
      const telemetry::DriftReport report = cohort.take(shifted, dice);
      if (length == 0 && report.alarm) length = w;
      warned = warned || report.level == DriftLevel::warn;
      relapsed = relapsed || (length > 0 && report.level == DriftLevel::ok);
    }
    made.windows.push_back(length == 0 ? delay_max : length);
    made.warned += warned ? 1 : 0;
    made.relapsed += relapsed ? 1 : 0;
    int recovery = 0;
    while (cohort.state.level != DriftLevel::ok && recovery < recovery_max) {
      cohort.take(clean, dice);
      ++recovery;
    }
    if (length > 0) made.recovery.push_back(recovery);
    const auto first = first_flags(reference, shifted, n, delay_max, dice);
    for (std::size_t rule = 0; rule < rules; ++rule) made.rule_windows[rule].push_back(first[rule]);
  }
  return made;
}

struct Scenario {
  const char* name;
  const char* shift_canary;  // population's name
  const char* shift_control;
  bool new_release;  // the canaries run 1.4.0, else 1.1.0 as the control group
};

const Predictions& named(const std::vector<Predictions>& populations, const std::string& name) {
  const auto found =
      std::find_if(populations.begin(), populations.end(), [&](const auto& p) { return p.name == name; });
  if (found != populations.end()) return *found;
  std::fprintf(stderr, "sim_drift: no population '%s'\n", name.c_str());
  std::exit(1);
}

struct Verdicts {
  std::array<int, 4> at_alarm{}, later{};
  int alarms = 0;
};

// 20 clean windows, then the scenario. The first verdict when the canaries alarm, the second ten windows later.
Verdicts play(const World& world, const Scenario& scenario, const Effort& effort) {
  Verdicts made;
  const auto& canary_world = scenario.new_release ? world.successor : world.populations;
  for (int run = 0; run < effort.rollouts; ++run) {
    Dice dice(4'242ULL * std::uint64_t(run) + 11);
    // Two gates never draw the same reference.
    const auto& canary_references = scenario.new_release ? world.successor_references : world.references;
    const Reference& canary_reference = canary_references[std::size_t(run) % canary_references.size()];
    const Reference& control_reference = world.references[std::size_t(run + 1) % world.references.size()];
    const Source canary_clean(canary_world.front(), canary_reference), control_clean(world.clean(), control_reference);
    const Source canary_then(named(canary_world, scenario.shift_canary), canary_reference);
    const Source control_then(named(world.populations, scenario.shift_control), control_reference);
    Cohort canary(canary_reference, 200), control(control_reference, 200);
    std::vector<std::pair<telemetry::DriftCounts, telemetry::DriftCounts>> hours;
    const auto judge = [&] {
      const std::int64_t from = telemetry::drift_period_start(canary.state, control.state, 0);
      telemetry::DriftCounts in_canary, in_control;
      for (std::size_t hour = std::size_t(from / hour_ms); hour < hours.size(); ++hour) {
        in_canary.add(hours[hour].first);
        in_control.add(hours[hour].second);
      }
      return telemetry::compare_drift({canary_reference.profile, canary.state.level, in_canary},
                                      {control_reference.profile, control.state.level, in_control}, canary.policy)
          .cause;
    };
    int alarm = 0;
    for (int w = 1; w <= 120; ++w) {
      const bool shifted = w > 20;
      hours.emplace_back((shifted ? canary_then : canary_clean).draw(200, dice).counts,
                         (shifted ? control_then : control_clean).draw(200, dice).counts);
      const bool alarmed = canary.take(hours.back().first).alarm;
      control.take(hours.back().second);
      if (alarm == 0 && alarmed && shifted) {
        alarm = w;
        ++made.alarms;
        ++made.at_alarm[std::size_t(judge())];
      }
      if (alarm > 0 && w == alarm + 10) break;
    }
    ++made.later[std::size_t(judge())];
  }
  return made;
}

}  // namespace

double RunLength::low() const { return windows / poisson_high(alarms); }

std::vector<RunLength> run_lengths(const World& world, const Effort& effort) {
  std::printf("\n3. Run length: windows between false alarms without drift, mean (95 %% interval); A = 1000\n");
  std::printf("   %d references x %d windows; plain: the same detector on the e-values of p itself (ablation)\n",
              effort.run_references, effort.run_windows);
  std::vector<RunLength> made;
  for (const auto& [n_ref, n] : {std::pair<std::size_t, std::size_t>{10'000, 100},
                                 {10'000, 200},
                                 {10'000, 1'000},
                                 {10'000, 5'000},
                                 {2'000, 200},
                                 {2'000, 1'000}}) {
    const Stream stream = clean_stream(world, effort, n_ref, n);
    std::printf("   Ferry e-SR, N %5zu, n %4zu: mean e %.3f +- %.3f; ", n_ref, n, stream.length.mean_e,
                stream.length.mean_e_error);
    print_run(stream.length.windows, stream.length.alarms);
    std::printf("; worst reference: %d alarms; plain:", stream.worst);
    print_run(stream.length.windows, stream.plain_alarms);
    std::printf("; p<.05 each window:");
    print_run(stream.length.windows, stream.single);
    std::printf("\n");
    made.push_back(stream.length);
  }
  std::printf("   Mean windows between flags of a rule that looks at each window, N 10000\n   n     ");
  for (int rule = 0; rule < rules; ++rule) std::printf(" %9s", to_string(Rule(rule)));
  std::printf("\n");
  for (const std::size_t n : {std::size_t(100), std::size_t(200), std::size_t(1'000)})
    print_rule_runs(world, effort, n);
  return made;
}

void delays(const World& world, const Effort& effort) {
  for (const std::size_t n : {std::size_t(100), std::size_t(200)}) {
    std::printf(
        "\n4. Delay: windows of n = %zu from the change to the alarm, A = 1000, median/p90 of %d runs (at most %d)\n",
        n, effort.delays, delay_max);
    std::printf("   warn: share that reached it; relapse: back to ok within %d windows of lasting drift; recover:\n",
                drifting);
    std::printf("   median windows to ok after the drift ends. Then each rule's median first flag.\n");
    std::printf("%-16s %11s %5s %7s %7s |", "shift", "alarm", "warn", "relapse", "recover");
    for (int rule = 0; rule < rules - 1; ++rule) std::printf(" %9s", to_string(Rule(rule)));
    std::printf("\n");
    for (std::size_t at = 1; at < world.populations.size(); ++at) {
      const Delay delay = delay_of(world, world.populations[at], n, effort);
      const double runs = std::max<double>(1, double(delay.windows.size()));
      print_name(world.populations[at].name);
      std::printf(" %5.0f/%5.0f %5.2f %7.2f %7.0f |", middle(delay.windows, 0.5), middle(delay.windows, 0.9),
                  delay.warned / runs, delay.relapsed / runs, middle(delay.recovery, 0.5));
      for (int rule = 0; rule < rules - 1; ++rule) {
        std::printf(" %9.0f", middle(delay.rule_windows[std::size_t(rule)], 0.5));
      }
      std::printf("\n");
    }
  }
}

Share causes(const World& world, const Effort& effort) {
  std::printf(
      "\n5. Canary beside control, n = 200: verdict when the canaries alarm, then ten windows later (%d rollouts)\n",
      effort.rollouts);
  std::printf("   %-46s %7s | %5s %5s %5s %5s | %5s %5s %5s %5s\n", "scenario", "alarms", "none", "model", "world",
              "wait", "none", "model", "world", "wait");
  Share blamed;
  for (const Scenario& scenario : {Scenario{"nothing changes, same release", "clean", "clean", false},
                                   {"nothing changes, 1.4.0 beside 1.1.0", "clean", "clean", true},
                                   {"the world: haze, 1.4.0 beside 1.1.0", "haze", "haze", true},
                                   {"the world: blur 1.0, 1.4.0 beside 1.1.0", "blur 1.0", "blur 1.0", true},
                                   {"the world: dim 0.9, 1.4.0 beside 1.1.0", "dim 0.9", "dim 0.9", true},
                                   {"the release: its input dimmed to 0.7", "dim 0.7", "clean", true},
                                   {"the release: its input blurred by 1.0", "blur 1.0", "clean", true}}) {
    const Verdicts verdicts = play(world, scenario, effort);
    std::printf("   %-46s %7d |", scenario.name, verdicts.alarms);
    for (const int count : verdicts.at_alarm) std::printf(" %5d", count);
    std::printf(" |");
    for (const int count : verdicts.later) std::printf(" %5d", count);
    std::printf("\n");
    if (std::string_view(scenario.shift_canary) != scenario.shift_control) continue;
    blamed.windows += effort.rollouts;
    blamed.flagged +=
        std::max(verdicts.at_alarm[std::size_t(DriftCause::model)], verdicts.later[std::size_t(DriftCause::model)]);
  }
  return blamed;
}

}  // namespace ferry::sim
