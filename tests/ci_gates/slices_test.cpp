#include "ci_gates/slices.hpp"

#include "tests/ci_gates/workbench.hpp"

using namespace ferry;
using namespace ferry::test;
using namespace ferry::ci_gates;

namespace {

const std::string scope = "x86_64-avx2-2c-16g-cpu/fp32";

// Slices one after the other; in each, so many answers right now and before.
struct Answers {
  Evaluation seen;
  std::vector<Slice> slices;

  // `right` of `total` right; of those before, `lost` are wrong now, and `won` that are right now were wrong before.
  void add(const std::string& name, std::size_t total, std::size_t right, std::size_t lost = 0, std::size_t won = 0,
           bool required = false) {
    Slice slice{name, "", required, {}};
    for (std::size_t i = 0; i < total; ++i) {
      slice.samples.push_back(std::uint32_t(seen.correct.size()));
      const bool now = i < right, before = i < won ? false : i < right + lost;
      seen.correct += now ? '1' : '0';
      seen.baseline_correct += before ? '1' : '0';
    }
    slices.push_back(std::move(slice));
  }
  SliceChecks checks(const SlicePolicy& policy) const { return check_slices(seen, policy, slices, scope); }
};

Verdict verdict_of(const SliceChecks& checks, const std::string& check) {
  const Measurement* line = test::find(checks.lines, check + "@" + scope);
  REQUIRE(line);
  return line->verdict;
}

ci_gates::Dataset labelled(const Path& folder, const std::string& labels, const std::string& slices = "") {
  const auto count = static_cast<unsigned>(labels.size());
  write_text(folder / "images", idx({count, 1, 1}, std::string(count, 'x')));
  write_text(folder / "labels", idx({count}, labels));
  DatasetSpec spec{.name = "d", .images = folder / "images", .labels = folder / "labels", .slices = {}};
  if (!slices.empty()) {
    write_text(folder / "slices", idx({count}, slices));
    spec.slices = folder / "slices";
  }
  auto dataset = Dataset::load(spec);
  REQUIRE(dataset);
  return *dataset;
}

}  // namespace

TEST_CASE("slices are made of the labels and of the slice file, empty ones too") {
  const TempDir folder;
  const Dataset dataset = labelled(folder.path(), {"\x00\x02\x02\x00", 4}, {"\x01\x00\x01\x01", 4});
  const SlicePolicy policy{.by_label = true, .names = {"day", "night"}, .required = {"night", "label-2"}};
  const auto slices = make_slices(policy, dataset, {"shoe", "bag", "coat"});
  REQUIRE(slices);
  REQUIRE(slices->size() == 5);
  CHECK((*slices)[0].name == "label-0");
  CHECK((*slices)[0].title == "shoe");
  CHECK((*slices)[0].samples == std::vector<std::uint32_t>{0, 3});
  CHECK((*slices)[1].samples.empty());
  CHECK((*slices)[2].required);
  CHECK((*slices)[3].samples == std::vector<std::uint32_t>{1});
  CHECK((*slices)[4].name == "night");
  CHECK((*slices)[4].required);
  CHECK((*slices)[4].samples == std::vector<std::uint32_t>{0, 2, 3});
}

TEST_CASE("slices that cannot be made are refused with the reason") {
  const TempDir folder;
  const Dataset dataset = labelled(folder.path(), {"\x00\x01", 2}, {"\x00\x02", 2});
  const auto error_of = [&](const SlicePolicy& policy, std::size_t labels) {
    const auto slices = make_slices(policy, dataset, std::vector<std::string>(labels, "x"));
    return slices ? std::string("accepted") : slices.error().context;
  };
  CHECK(contains(error_of({.by_label = false, .names = {"day", "night"}, .required = {}}, 2), "only 2 are named"));
  CHECK(contains(error_of({.by_label = true, .names = {}, .required = {}}, slices_max + 1), "at most 64"));
  CHECK(contains(error_of({.by_label = true, .names = {}, .required = {"label-7"}}, 2), "no slice 'label-7'"));
  CHECK(error_of({.by_label = true, .names = {}, .required = {"label-1"}}, 2) == "accepted");
}

TEST_CASE("every verdict of a slice against the deployed release") {
  Answers answers;
  answers.add("same", 1'000, 900);
  answers.add("better", 1'000, 950, 0, 40);
  answers.add("worse", 1'000, 800, 100);       // ten points lost, three allowed
  answers.add("unclear", 1'000, 870, 60, 20);  // four lost, but it may be less than three
  answers.add("few", 40, 36);                  // too few for any statement
  answers.add("few-required", 40, 36, 0, 0, true);
  answers.add("few-and-terrible", 60, 0, 60);  // harm beyond doubt needs no more samples
  const SliceChecks checks = answers.checks({.names = {}, .margin_ppm = 30'000, .required = {}});
  CHECK(verdict_of(checks, "accuracy.regression.same") == Verdict::pass);
  CHECK(verdict_of(checks, "accuracy.regression.better") == Verdict::pass);
  CHECK(verdict_of(checks, "accuracy.regression.worse") == Verdict::fail);
  CHECK(verdict_of(checks, "accuracy.regression.unclear") == Verdict::hold);
  CHECK(verdict_of(checks, "accuracy.regression.few-required") == Verdict::fail);
  CHECK(verdict_of(checks, "accuracy.regression.few-and-terrible") == Verdict::fail);
  CHECK(!test::find(checks.lines, "accuracy.regression.few@" + scope));
  REQUIRE(checks.notes.size() == 1);
  CHECK(contains(checks.notes[0], "few: insufficient: 40 samples"));
  CHECK(contains(test::find(checks.lines, "accuracy.regression.few-required@" + scope)->detail,
                 "insufficient: 40 samples"));
  CHECK(checks.lines.size() == 6);  // no absolute limit: those lines are not there
}

TEST_CASE("every verdict of a slice against an absolute limit") {
  Answers answers;
  answers.add("good", 1'000, 950);
  answers.add("bad", 1'000, 700);
  answers.add("unclear", 1'000, 905);
  answers.add("few", 20, 20);
  answers.add("few-required", 20, 20, 0, 0, true);
  answers.add("empty", 0, 0);
  answers.seen.baseline_correct.clear();
  const SliceChecks checks = answers.checks({.names = {}, .top1_ppm_min = 900'000, .required = {}});
  CHECK(verdict_of(checks, "accuracy.top1.good") == Verdict::pass);
  CHECK(verdict_of(checks, "accuracy.top1.bad") == Verdict::fail);
  CHECK(verdict_of(checks, "accuracy.top1.unclear") == Verdict::hold);
  CHECK(verdict_of(checks, "accuracy.top1.few-required") == Verdict::fail);
  CHECK(checks.notes.size() == 2);  // few, empty
  CHECK(checks.lines.size() == 4);
}

TEST_CASE("one more look at a slice costs: what passes alone may hold among many") {
  const SlicePolicy policy{.names = {}, .margin_ppm = 30'000, .required = {}};
  Answers alone;
  alone.add("it", 1'000, 870, 24, 10);
  CHECK(verdict_of(alone.checks(policy), "accuracy.regression.it") == Verdict::pass);
  Answers many;
  many.add("it", 1'000, 870, 24, 10);
  for (int i = 0; i < 40; ++i) many.add("hard-" + std::to_string(i), 1'000, 870, 30, 10);
  CHECK(verdict_of(many.checks(policy), "accuracy.regression.it") == Verdict::hold);
}

TEST_CASE("without slices, or of a model that was not run, nothing is said") {
  Answers answers;
  answers.add("it", 100, 90);
  CHECK(check_slices(answers.seen, {}, {}, scope).lines.empty());
  answers.seen.contract_error = "does not fit";
  CHECK(answers.checks({.names = {}, .top1_ppm_min = 1, .required = {}}).lines.empty());
}
