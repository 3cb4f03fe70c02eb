// What drift detection costs and finds on real predictions, with the detector's default constants and fixed seeds.
//   sim_drift [--quick]     (about two minutes; --quick: seconds, on few images)
// Exit code 0: the promises hold within the error of the simulation; 1: one does not; 2: it could not run.
#include "tests/sim/drift/tables.hpp"

#include <cstdio>
#include <string_view>

using namespace ferry;
using namespace ferry::sim;

namespace {

Result<World> make_world(const Path& models, const Path& library, bool quick) {
  World world;
  TRY(world.data, load_test_images(quick ? 400 : 10'000));
  TRY(const Model model, Model::open(library, models / "1.1.0/fp32.onnx"));
  TRY(const Model successor, Model::open(library, models / "1.4.0/fp32.onnx"));
  TRY(Predictions clean, model.predict(world.data, nullptr));
  world.populations.push_back(std::move(clean));
  TRY(Predictions successor_clean, successor.predict(world.data, nullptr));
  world.successor.push_back(std::move(successor_clean));
  for (const Corruption& corruption : corruptions()) {
    const bool compared = corruption.name == "haze" || corruption.name == "blur 1.0" || corruption.name == "dim 0.9" ||
                          corruption.name == "dim 0.7";
    if (quick && !compared) continue;
    TRY(Predictions seen, model.predict(world.data, &corruption));
    world.populations.push_back(std::move(seen));
    if (!compared) continue;
    TRY(Predictions successor_seen, successor.predict(world.data, &corruption));
    world.successor.push_back(std::move(successor_seen));
  }
  const Predictions first = world.clean();
  world.populations.push_back(reweighted(first, world.data, "prior tilted", {10, 11, 12, 13, 14, 16, 17, 18, 19, 20}));
  world.populations.push_back(reweighted(first, world.data, "prior 2:1", {2, 2, 2, 2, 2, 1, 1, 1, 1, 1}));
  Dice dice(20);
  for (int k = 0; k < (quick ? 4 : 100); ++k) {
    world.references.push_back(draw_reference(world.clean(), 10'000, dice));
    world.successor_references.push_back(draw_reference(world.successor.front(), 10'000, dice));
  }
  return world;
}

enum class Verdict { holds, fails, unknown };

// Whether the run may still end with 0.
bool goal(Verdict verdict, const std::string& what) {
  constexpr const char* words[] = {"holds        ", "DOES NOT HOLD", "too short    "};
  std::printf("   %s  %s\n", words[int(verdict)], what.c_str());
  return verdict != Verdict::fails;
}
bool goal(bool holds, const std::string& what) { return goal(holds ? Verdict::holds : Verdict::fails, what); }

std::string text(const char* form, double a, double b = 0, double c = 0, double d = 0) {
  char made[200];
  std::snprintf(made, sizeof made, form, a, b, c, d);
  return made;
}

// A goal that depends on the model as much as on the detector: told as it is, no reason to fail.
void print_power_goal(const World& world, const std::vector<Power>& found) {
  std::printf("\nGoal: power at least .99 at n = 200 for every shift that costs at least 1.9 points of accuracy\n");
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Predictions& population = world.populations[i + 1];
    const double cost = 100 * (world.clean().accuracy() - population.accuracy());
    if (cost < 1.9) continue;
    goal(found[i].at_200.value() >= 0.99,
         text("costs %.1f points: %.3f, n = 300: %.3f: ", cost, found[i].at_200.value(), found[i].at_300.value()) +
             population.name);
  }
}

bool run(const World& world, const Effort& effort) {
  std::printf("Release 1.1.0 fp32 over %zu test images: accuracy %.2f %%. A window is n predictions drawn with\n",
              world.data.images.size(), 100 * world.clean().accuracy());
  std::printf("replacement; a reference is N = 10,000 drawn likewise, anew for each of many releases.\n");
  const std::vector<Share> alarms = false_alarms(world, effort);
  const std::vector<Power> found = power(world, effort);
  const std::vector<RunLength> lengths = run_lengths(world, effort);
  delays(world, effort);
  const Share blamed = causes(world, effort);

  std::printf("\nPromises (three standard errors of the simulation allowed)\n");
  bool all = true;
  for (std::size_t i = 0; i < alarms.size(); ++i) {
    const double share = alarms[i].value(), error = 3 * alarms[i].error();
    all &= goal(
        share + error >= 0.02 && share - error <= 0.07,
        text("false alarms 2-7 %% at nominal 5 %%: n = %.0f: %.1f %%", double(effort.window_sizes[i]), 100 * share));
  }
  for (const RunLength& length : lengths) {
    const Verdict verdict = length.low() >= 1'000       ? Verdict::holds
                            : length.windows >= 100'000 ? Verdict::fails
                                                        : Verdict::unknown;
    all &= goal(verdict, text("run length at least 1,000 windows: N = %.0f, n = %.0f: lower bound %.0f",
                              double(length.n_ref), double(length.n), length.low()));
    all &= goal(length.mean_e - 3 * length.mean_e_error <= 1,
                text("mean e-value at most 1 without drift: N = %.0f, n = %.0f: %.3f +- %.3f", double(length.n_ref),
                     double(length.n), length.mean_e, length.mean_e_error));
  }
  all &= goal(blamed.value() <= 0.01 + 3 * blamed.error(),
              text("a changed (or unchanged) world blames the release in at most 1 %%: %.0f of %.0f", blamed.flagged,
                   blamed.windows));
  print_power_goal(world, found);
  return all;
}

}  // namespace

// ONNX Runtime registers statics when it is opened and never frees them; it is not ours to mend.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libonnxruntime\n"; }

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::string_view(argv[1]) == "--quick";
  if (argc != 1 && !quick) {
    std::fprintf(stderr, "usage: sim_drift [--quick]\n");
    return 2;
  }
  const auto world =
      make_world(Path(FERRY_SOURCE_DIR) / "examples/fashion-mnist/models", FERRY_ONNXRUNTIME_LIBRARY, quick);
  if (!world) {
    std::fprintf(stderr, "sim_drift: %s\n", world.error().context.c_str());
    return 2;
  }
  Effort effort;
  if (quick) {
    effort = {.references = 4,
              .windows = 10,
              .run_references = 4,
              .run_windows = 40,
              .delays = 1,
              .rollouts = 3,
              .window_sizes = {50, 200}};
  }
  return run(*world, effort) ? 0 : 1;
}
