#include "tests/sim/ci_gate/recording.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <sstream>

namespace ferry::sim {
namespace {

constexpr std::size_t recordings_bytes_max = 4 * 1024 * 1024;
constexpr std::size_t model_bytes_max = 16 * 1024 * 1024;
constexpr std::chrono::seconds time_limit{300};
const Path data_set = "/usr/share/datasets/fashion-mnist";

ota::Manifest example_manifest() {
  ota::Manifest manifest;
  manifest.model = "fashion-mnist";
  manifest.contract.task = "classification";
  manifest.contract.labels.assign(10, "");
  manifest.contract.class_output = "logits";
  manifest.contract.inputs = {{"image", "FP32", {-1, 1, 28, 28}}};
  manifest.contract.outputs = {{"logits", "FP32", {-1, 10}}};
  return manifest;
}

Result<std::string> example_model(const std::string& version) {
  return read_file(Path(FERRY_SOURCE_DIR) / "examples/fashion-mnist/models" / version / "fp32.onnx", model_bytes_max);
}

}  // namespace

Result<std::vector<Recording>> read_recordings(const Path& file) {
  TRY(const std::string text, read_file(file, recordings_bytes_max));
  std::vector<Recording> recordings;
  std::istringstream lines(text);
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    if (std::string word; line.starts_with("recording ")) {
      words >> word;
      words >> recordings.emplace_back().condition;
      continue;
    }
    Pair pair;
    words >> pair.candidate_us >> pair.baseline_us;
    if (!words || recordings.empty() || pair.candidate_us <= 0 || pair.baseline_us <= 0)
      return Error{Errc::bad_input, file.string() + ":" + std::to_string(number) + ": expected two medians"};
    recordings.back().pairs.push_back(pair);
  }
  return recordings;
}

std::string print_recordings(const std::vector<Recording>& recordings, const std::string& comment) {
  std::string text = comment;
  for (const Recording& recording : recordings) {
    text += "recording " + recording.condition + "\n";
    for (const Pair& pair : recording.pairs) {
      char line[64];
      std::snprintf(line, sizeof line, "%.2f %.2f\n", pair.candidate_us, pair.baseline_us);
      text += line;
    }
  }
  return text;
}

Result<Bench> Bench::open() {
  TRY(ci_gates::Dataset dataset, ci_gates::Dataset::load({.name = "fashion-mnist-test",
                                                          .images = data_set / "t10k-images-idx3-ubyte.gz",
                                                          .labels = data_set / "t10k-labels-idx1-ubyte.gz",
                                                          .scale = 1 / 255.0,
                                                          .limit = 1'000,
                                                          .slices = {}}));
  return Bench(std::move(dataset));
}

Result<ci_gates::Evaluation> Bench::measure(const std::string& candidate, const std::string& baseline,
                                            const ci_gates::BlockPlan& plan) const {
  TRY(const std::string model, example_model(candidate));
  TRY(std::string other, example_model(baseline));
  const ci_gates::BaselineModel deployed{std::move(other)};
  ci_gates::EvaluationPlan whole;
  whole.golden_samples = 1;
  whole.blocks = plan;
  return ci_gates::evaluate_in_child(FERRY_ONNXRUNTIME_LIBRARY, model, &deployed, example_manifest(), dataset_, whole,
                                     0, time_limit);
}

Result<std::vector<Recording>> record(const Bench& bench, const std::string& condition, int processes,
                                      std::size_t pairs) {
  std::vector<Recording> recordings;
  for (int process = 0; process < processes; ++process) {
    TRY(const ci_gates::Evaluation seen,
        bench.measure("1.1.0", "1.1.0", {.samples = 1, .margin = 0, .pairs_min = pairs}));
    Recording recording{condition, {}};
    for (std::size_t i = 0; i < pairs; ++i)
      recording.pairs.push_back({seen.latency.medians_us.at(i), seen.latency.baseline_medians_us.at(i)});
    recordings.push_back(std::move(recording));
  }
  return recordings;
}

BusyProcesses::BusyProcesses(int count) {
  for (int i = 0; i < count; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (std::atomic<unsigned long> spun = 0;;) spun.fetch_add(1);
    }
    if (child > 0) children_.push_back(child);
  }
}

BusyProcesses::~BusyProcesses() {
  for (const int child : children_) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
}

}  // namespace ferry::sim
