// What the gate guarantees, whatever the pairs show: properties of the evidence as a whole.
#include "telemetry/judge.hpp"

#include "telemetry/judge_record.hpp"
#include "tests/telemetry/judge_world.hpp"

#include <cmath>
#include <random>

using namespace ferry::telemetry;
using namespace judge_world;

TEST_CASE("four pairs can never fail a release, whatever they show; five that all say the same in everything can") {
  const Shown awful{.p50 = 3'000'000, .p99 = 3'000'000, .errors = 1'000'000, .accuracy = 1'000'000};
  for (std::size_t pairs = 0; pairs <= 4; ++pairs) {
    GateEvidence evidence = evidence_of(same(pairs, awful));
    for (PairEvidence& pair : evidence.pairs) silence(pair);
    const Verdict verdict = judge(evidence);
    CHECK(verdict.log_e_unats < verdict.threshold_unats);
    CHECK(verdict.decision == Decision::hold);
  }
  CHECK(judge(evidence_of(same(8, awful))).decision == Decision::fail);
}

TEST_CASE("silence never counts as good: it never turns a verdict into a pass, nor raises a certificate") {
  std::mt19937_64 engine(21);
  for (int round = 0; round < 80; ++round) {
    GateEvidence evidence = any_evidence(engine);
    if (evidence.pairs.empty()) continue;
    const Verdict before = judge(evidence);
    PairEvidence& pair = evidence.pairs[engine() % evidence.pairs.size()];
    if (!pair.started) continue;
    silence(pair);
    const Verdict after = judge(evidence);
    if (before.decision != Decision::pass) REQUIRE(after.decision != Decision::pass);
    REQUIRE(after.pairs.complete <= before.pairs.complete);
    REQUIRE(after.pairs.silent_canaries >= before.pairs.silent_canaries);
    for (std::size_t i = 0; i < after.certificates.size(); ++i)
      REQUIRE(after.certificates[i].log_e_unats <= before.certificates[i].log_e_unats);
    REQUIRE(after.log_e_unats >= before.log_e_unats);
  }
}

TEST_CASE("more harm is never less evidence, whichever number of whichever pair grows") {
  std::mt19937_64 engine(22);
  for (int round = 0; round < 80; ++round) {
    GateEvidence evidence = any_evidence(engine, 25);
    if (evidence.pairs.empty()) continue;
    const std::int64_t before = judge(evidence).log_e_unats;
    PairEvidence& pair = evidence.pairs[engine() % evidence.pairs.size()];
    const auto more = std::int64_t(engine() % 300'000);
    if (!pair.latency.empty()) pair.latency[engine() % pair.latency.size()].canary_now += more;
    if (!pair.errors.empty()) {
      ShareComparison& made = pair.errors[engine() % pair.errors.size()];
      made.canary_now = std::min<std::int64_t>(1'000'000, made.canary_now + more);
    }
    if (!pair.accuracy.empty()) {
      ShareComparison& made = pair.accuracy[engine() % pair.accuracy.size()];
      made.canary_now = std::min<std::int64_t>(1'000'000, made.canary_now + more);
    }
    REQUIRE(judge(evidence).log_e_unats >= before);
  }
}

TEST_CASE("the order of the pairs does not matter") {
  std::mt19937_64 engine(23);
  for (int round = 0; round < 50; ++round) {
    GateEvidence evidence = any_evidence(engine);
    const Verdict before = judge(evidence);
    std::shuffle(evidence.pairs.begin(), evidence.pairs.end(), engine);
    REQUIRE(judge(evidence) == before);
  }
}

TEST_CASE("one lying device moves a verdict by one pair's weight: between its pair at best and its pair at worst") {
  std::mt19937_64 engine(24);
  const Shown best{.p50 = -3'000'000, .p99 = -3'000'000, .errors = -1'000'000, .accuracy = -1'000'000};
  const Shown worst{.p50 = 3'000'000, .p99 = 3'000'000, .errors = 1'000'000, .accuracy = 1'000'000};
  for (int round = 0; round < 60; ++round) {
    GateEvidence evidence = any_evidence(engine, 30);
    if (evidence.pairs.empty()) continue;
    const std::size_t i = engine() % evidence.pairs.size();
    GateEvidence low = evidence, high = evidence;
    low.pairs[i] = pair_that_shows(i, best);
    low.pairs[i].first_silent = FirstSilent::control;
    high.pairs[i] = pair_that_shows(i, worst);
    high.pairs[i].first_silent = FirstSilent::canary;
    // Its telemetry, whatever it is, through the front door.
    PairBaseline baseline;
    PairLook look{.started = true};
    for (DeviceCounts* counts : {&baseline.canary, &baseline.control, &look.canary.counts, &look.control.counts}) {
      const double factor = std::exp2(double(engine() % 40) - 20);
      for (std::size_t n = 0, all = engine() % 4'000; n < all; ++n)
        counts->latency.record(factor * double(engine() % 9));
      counts->errors = engine() % 2 ? engine() : engine() % 1'000;
      counts->audited = engine() % 2 ? engine() : engine() % 1'000;
      counts->audited_correct = engine() % 2 ? engine() : engine() % 1'000;
    }
    look.canary.last_report_age_s = std::int64_t(engine() % 2'000);
    look.control.last_report_age_s = std::int64_t(engine() % 2'000);
    PairEvidence named;
    named.canary = evidence.pairs[i].canary;
    named.control = evidence.pairs[i].control;
    evidence.pairs[i] = observe(std::move(named), baseline, look, evidence.policy, false);
    REQUIRE(check_evidence(evidence));
    const std::int64_t lied = judge(evidence).log_e_unats, least = judge(low).log_e_unats,
                       most = judge(high).log_e_unats;
    REQUIRE(lied >= least);
    REQUIRE(lied <= most);
    // From best to worst is two steps of one pair: no bet more than doubles, none loses more than the grid's last.
    REQUIRE(most - least < 16'000'000);
  }
}

TEST_CASE("nineteen honest pairs that show no harm outvote a twentieth that shows any") {
  std::vector<Shown> pairs = same(20, alike);
  pairs[7] = {.p50 = 20'000'000, .p99 = 20'000'000, .errors = 1'000'000, .accuracy = 1'000'000};
  const Verdict verdict = judge(evidence_of(pairs));
  CHECK(verdict.decision == Decision::pass);
  std::vector<Shown> bad = same(20, slower);
  bad[7] = {.p50 = -20'000'000, .p99 = -20'000'000, .errors = -1'000'000, .accuracy = -1'000'000};
  CHECK(judge(evidence_of(bad)).decision == Decision::fail);
}

namespace {

// A pair exactly at every margin, give or take: far or near, all worse or all better.
PairEvidence at_margin(std::size_t i, bool far, bool worse) {
  const JudgePolicy policy;
  const std::int64_t sign = worse ? 1 : -1, step = far ? 8 : 1;
  return pair_that_shows(i, {.p50 = policy.p50.margin_uoct + sign * step * 50'000,
                             .p99 = policy.p99.margin_uoct + sign * step * 90'000,
                             .errors = policy.errors.margin_ppm + sign * step * 2'000,
                             .accuracy = policy.accuracy.margin_ppm + sign * step * 10'000});
}

GateEvidence planned(std::size_t pairs) {
  GateEvidence evidence;
  for (std::size_t i = 0; i < pairs; ++i)
    evidence.pairs.push_back({.canary = "c" + std::to_string(i), .control = "k" + std::to_string(i)});
  return evidence;
}

}  // namespace

TEST_CASE("no rule for when to look or stop gains from a release that is exactly at its margins") {
  // The best that anyone can do who sees each pair as it comes, by going backwards; the order of pairs does not matter.
  constexpr std::size_t pairs = 8;
  std::map<std::array<int, 4>, double> best;
  const std::function<double(std::array<int, 4>)> value = [&](std::array<int, 4> state) {
    if (const auto known = best.find(state); known != best.end()) return known->second;
    GateEvidence evidence = planned(pairs);
    std::size_t come = 0;
    for (std::size_t kind = 0; kind < 4; ++kind) {
      for (int i = 0; i < state[kind]; ++i, ++come) evidence.pairs[come] = at_margin(come, kind < 2, kind % 2 == 0);
    }
    double stop = std::exp(double(judge(evidence).log_e_unats) / 1e6);
    if (come < pairs) {
      double go_on = 0;
      for (std::size_t next = 0; next < 4; ++next) {
        ++state[next];
        go_on += value(state) / 4;
        --state[next];
      }
      stop = std::max(stop, go_on);
    }
    return best[state] = stop;
  };
  CHECK(value({}) == Approx(1).epsilon(1e-5));
}

TEST_CASE("looking after every pair fails a release that is exactly at its margins less often than alpha") {
  std::mt19937_64 engine(26);
  constexpr int rollouts = 60;
  constexpr std::size_t pairs = 25;
  int failed = 0;
  for (int rollout = 0; rollout < rollouts; ++rollout) {
    GateEvidence evidence = planned(pairs);
    bool harm = false;
    for (std::size_t i = 0; i < pairs && !harm; ++i) {
      evidence.pairs[i] = at_margin(i, engine() % 2 == 0, engine() % 2 == 0);
      harm = i >= 5 && judge(evidence).finding == Finding::harm;  // fewer can prove nothing
    }
    failed += harm;
  }
  CHECK(failed <= rollouts * 5 / 100);
}

TEST_CASE("the smallest effect is the one that would just have failed this evidence") {
  std::mt19937_64 engine(27);
  int checked = 0;
  for (int round = 0; round < 40; ++round) {
    const GateEvidence evidence = any_evidence(engine);
    const Verdict verdict = judge(evidence);
    if (verdict.smallest_effect_uoct == 0) continue;
    ++checked;
    const auto slower_by = [&](std::int64_t uoct) {
      GateEvidence made = evidence;
      for (PairEvidence& pair : made.pairs) {
        for (LatencyComparison& one : pair.latency) one.canary_now += uoct;
      }
      return judge(made).finding == Finding::harm;
    };
    REQUIRE(slower_by(verdict.smallest_effect_uoct));
    REQUIRE_FALSE(slower_by(verdict.smallest_effect_uoct - bucket_uoct));
  }
  CHECK(checked > 5);
}
