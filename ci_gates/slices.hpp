// Accuracy per slice of the data set: a release that is better on average may still be worse for some (STATS.md
// §5.2.8). Pure.
#pragma once
#include "ci_gates/dataset.hpp"
#include "ci_gates/evaluation.hpp"
#include "ci_gates/measurement.hpp"

#include <span>
#include <string>
#include <vector>

namespace ferry::ci_gates {

inline constexpr double slices_alpha = 0.05;  // of all slices of one kind together (Holm)

struct Slice {
  std::string name;   // part of the check's name: "label-3", "night"
  std::string title;  // for people: the class's own name
  bool required = false;
  std::vector<std::uint32_t> samples;  // indices into the data set
};

// By class and by the slice file, as the policy says; slices without a sample are there too. bad_input when there are
// more than slices_max classes, the file has a number without a name, or a required slice does not exist.
Result<std::vector<Slice>> make_slices(const SlicePolicy& policy, const Dataset& dataset,
                                       const std::vector<std::string>& labels);

// Lines "accuracy.top1.<slice>@<scope>" (with an absolute limit) and "accuracy.regression.<slice>@<scope>" (with a
// baseline). A slice with too few samples for any verdict fails when it is required and is only noted otherwise.
struct SliceChecks {
  std::vector<Measurement> lines;
  std::vector<std::string> notes;  // sentences
};
SliceChecks check_slices(const Evaluation& evaluation, const SlicePolicy& policy, std::span<const Slice> slices,
                         const std::string& scope);

}  // namespace ferry::ci_gates
