// Block medians of real gates in which candidate and deployed release were the same model, and how they are recorded.
#pragma once
#include "ci_gates/evaluation.hpp"

#include <string>
#include <vector>

namespace ferry::sim {

struct Pair {
  double candidate_us = 0, baseline_us = 0;
};

// The pairs of one process, in order.
struct Recording {
  std::string condition;  // "alone": whatever else the machine did; "busy": two more processes that only compute
  std::vector<Pair> pairs;
};

// Text: "recording <condition>" lines, each followed by lines of two medians in microseconds. '#' begins a comment.
Result<std::vector<Recording>> read_recordings(const Path& file);
std::string print_recordings(const std::vector<Recording>& recordings, const std::string& comment);

// The example's two releases and its test set, ready to be measured against each other as `ferry gate run` does it.
class Bench {
 public:
  static Result<Bench> open();
  // In a new process: "1.1.0" against "1.0.0", say.
  Result<ci_gates::Evaluation> measure(const std::string& candidate, const std::string& baseline,
                                       const ci_gates::BlockPlan& plan) const;

 private:
  explicit Bench(ci_gates::Dataset dataset) : dataset_(std::move(dataset)) {}
  ci_gates::Dataset dataset_;
};

// `processes` gates of 1.1.0 against itself, `pairs` pairs each.
Result<std::vector<Recording>> record(const Bench& bench, const std::string& condition, int processes,
                                      std::size_t pairs);

// Processes that only compute, for as long as the object lives.
class BusyProcesses {
 public:
  explicit BusyProcesses(int count);
  ~BusyProcesses();
  BusyProcesses(const BusyProcesses&) = delete;
  BusyProcesses& operator=(const BusyProcesses&) = delete;

 private:
  std::vector<int> children_;
};

}  // namespace ferry::sim
