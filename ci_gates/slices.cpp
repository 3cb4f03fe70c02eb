#include "ci_gates/slices.hpp"

#include "ci_gates/statistics.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <limits>

namespace ferry::ci_gates {
namespace {

// One slice's answers.
struct Tally {
  std::uint64_t total = 0, right = 0;
  std::uint64_t lost = 0, won = 0;  // against the baseline
};

Tally tally(const Evaluation& seen, const Slice& slice) {
  Tally counts;
  for (const std::uint32_t sample : slice.samples) {
    if (sample >= seen.correct.size()) continue;
    const bool right = seen.correct[sample] == '1';
    ++counts.total;
    counts.right += right;
    if (sample >= seen.baseline_correct.size()) continue;
    const bool before = seen.baseline_correct[sample] == '1';
    counts.lost += before && !right;
    counts.won += !before && right;
  }
  return counts;
}

// One slice in one kind of comparison: its line so far and the p-values of the two questions.
struct Judged {
  const Slice* slice = nullptr;
  Measurement line;
  double p_good = 1, p_bad = 1;
};

// Both questions are asked of all slices at once: one chance in twenty of any wrong pass, and of any wrong fail.
void decide(std::vector<Judged>& judged) {
  std::vector<double> good, bad;
  for (const Judged& one : judged) {
    good.push_back(one.p_good);
    bad.push_back(one.p_bad);
  }
  const std::vector<bool> passed = holm_rejected(good, slices_alpha), failed = holm_rejected(bad, slices_alpha);
  for (std::size_t i = 0; i < judged.size(); ++i)
    judged[i].line.verdict = failed[i] ? Verdict::fail : passed[i] ? Verdict::pass : Verdict::hold;
}

std::string name_of(const Slice& slice) {
  return slice.title.empty() || slice.title == slice.name ? slice.name
                                                          : fmt::format("{} ({})", slice.name, slice.title);
}

void insufficient(const Slice& slice, Measurement line, std::uint64_t needed, SliceChecks& into) {
  line.detail = fmt::format("{}: insufficient: {} samples, {} needed{}", name_of(slice), line.n, needed,
                            slice.required ? " of a required slice" : "");
  if (slice.required) {
    line.verdict = Verdict::fail;
    into.lines.push_back(std::move(line));
  } else {
    into.notes.push_back(line.id + ": " + line.detail + "; not required, not judged");
  }
}

void add_decided(std::vector<Judged> judged, SliceChecks& into) {
  decide(judged);
  for (Judged& one : judged) into.lines.push_back(std::move(one.line));
}

// The smallest sample that could show the limit with every answer right.
std::uint64_t absolute_needed(double limit, double alpha) {
  return limit >= 1 ? std::numeric_limits<std::uint64_t>::max()
                    : std::uint64_t(std::ceil(std::log(alpha) / std::log(limit)));
}

void check_absolute(const Evaluation& seen, const SlicePolicy& policy, std::span<const Slice> slices,
                    const std::string& scope, SliceChecks& into) {
  const double limit = double(policy.top1_ppm_min) / 1e6, alpha = slices_alpha / double(slices.size());
  const std::uint64_t needed = absolute_needed(limit, alpha);
  std::vector<Judged> judged;
  for (const Slice& slice : slices) {
    const Tally counts = tally(seen, slice);
    Judged one{.slice = &slice,
               .line = {.id = "accuracy.top1." + slice.name + "@" + scope,
                        .unit = "ppm",
                        .threshold = double(policy.top1_ppm_min),
                        .op = ">=",
                        .n = counts.total}};
    if (counts.total < needed || counts.total == 0) {
      insufficient(slice, std::move(one.line), needed, into);
      continue;
    }
    const double x = double(counts.right), n = double(counts.total);
    one.line.value = std::floor(x * 1e6 / n);
    one.line.low = std::floor(proportion_lower_bound(counts.right, counts.total, alpha) * 1e6);
    // P(X >= x) and P(X <= x) at the limit (Clopper & Pearson).
    one.p_good = counts.right == 0 ? 1 : boost::math::ibeta(x, n - x + 1, limit);
    one.p_bad = counts.right == counts.total ? 1 : boost::math::ibetac(x + 1, n - x, limit);
    one.line.detail = fmt::format(
        "{}: {} of {} right ({:.2f} %); at least {:.2f} % at 95 % for {} slices together, "
        "required {:.2f} %",
        name_of(slice), counts.right, counts.total, one.line.value / 1e4, *one.line.low / 1e4, slices.size(),
        one.line.threshold / 1e4);
    judged.push_back(std::move(one));
  }
  add_decided(std::move(judged), into);
}

void check_paired(const Evaluation& seen, const SlicePolicy& policy, std::span<const Slice> slices,
                  const std::string& scope, SliceChecks& into) {
  const double margin = double(policy.margin_ppm) / 1e6, alpha = slices_alpha / double(slices.size());
  std::vector<Judged> judged;
  for (const Slice& slice : slices) {
    const Tally counts = tally(seen, slice);
    Judged one{.slice = &slice,
               .line = {.id = "accuracy.regression." + slice.name + "@" + scope,
                        .unit = "ppm",
                        .threshold = double(policy.margin_ppm),
                        .op = "<=",
                        .n = counts.total}};
    const double discordant = counts.total == 0 ? 0 : double(counts.lost + counts.won) / double(counts.total);
    const std::uint64_t needed = paired_samples_needed(discordant, margin, alpha);
    const bool too_few = counts.total < needed;
    if (counts.total > 0) {
      const PairedLoss loss = paired_accuracy_loss(counts.lost, counts.won, counts.total, normal_quantile(alpha));
      one.line.value = loss.loss * 1e6;
      one.line.low = loss.lower * 1e6;
      one.line.high = loss.upper * 1e6;
      one.p_good = paired_p_not_inferior(counts.lost, counts.won, counts.total, margin);
      one.p_bad = paired_p_harm(counts.lost, counts.won, counts.total, margin);
    }
    // Harm that is beyond doubt needs no more samples.
    if (too_few && one.p_bad > alpha) {
      insufficient(slice, std::move(one.line), needed, into);
      continue;
    }
    one.line.detail = fmt::format(
        "{}: lost {} and won {} of {} samples: loss {:+.2f} points, at most {:+.2f} at 95 % "
        "for {} slices together, margin {:.2f}",
        name_of(slice), counts.lost, counts.won, counts.total, one.line.value / 1e4, *one.line.high / 1e4,
        slices.size(), one.line.threshold / 1e4);
    judged.push_back(std::move(one));
  }
  add_decided(std::move(judged), into);
}

Result<> check_required(const SlicePolicy& policy, const std::vector<Slice>& slices) {
  for (const std::string& name : policy.required) {
    if (std::any_of(slices.begin(), slices.end(), [&](const Slice& slice) { return slice.name == name; })) continue;
    return Error{Errc::bad_input, "[slices]: required: there is no slice '" + name + "'"};
  }
  return {};
}

}  // namespace

Result<std::vector<Slice>> make_slices(const SlicePolicy& policy, const Dataset& dataset,
                                       const std::vector<std::string>& labels) {
  std::vector<Slice> slices;
  const auto add = [&](std::string name, const std::string& title) {
    const bool required = std::find(policy.required.begin(), policy.required.end(), name) != policy.required.end();
    slices.push_back({std::move(name), title, required, {}});
  };
  const std::size_t by_label = policy.by_label ? labels.size() : 0;
  if (by_label > slices_max)
    return Error{Errc::bad_input, "[slices]: by_label: the contract has " + std::to_string(by_label) +
                                      " labels, at most " + std::to_string(slices_max) + " can be slices"};
  for (std::size_t label = 0; label < by_label; ++label) add("label-" + std::to_string(label), labels[label]);
  for (const std::string& name : policy.names) add(name, name);
  for (std::size_t sample = 0; sample < dataset.size(); ++sample) {
    const auto label = std::size_t(dataset.label(sample));
    if (label < by_label) slices[label].samples.push_back(std::uint32_t(sample));
    if (policy.names.empty()) continue;
    const auto number = std::size_t(dataset.slice(sample));
    if (number >= policy.names.size())
      return Error{Errc::bad_input, "[slices]: names: sample " + std::to_string(sample) + " is in slice " +
                                        std::to_string(number) + ", only " + std::to_string(policy.names.size()) +
                                        " are named"};
    slices[by_label + number].samples.push_back(std::uint32_t(sample));
  }
  TRY_VOID(check_required(policy, slices));
  return slices;
}

SliceChecks check_slices(const Evaluation& seen, const SlicePolicy& policy, std::span<const Slice> slices,
                         const std::string& scope) {
  SliceChecks checks;
  if (slices.empty() || !seen.contract_error.empty()) return checks;
  if (policy.top1_ppm_min > 0) check_absolute(seen, policy, slices, scope, checks);
  if (!seen.baseline_correct.empty() && seen.baseline_correct.size() == seen.correct.size())
    check_paired(seen, policy, slices, scope, checks);
  return checks;
}

}  // namespace ferry::ci_gates
