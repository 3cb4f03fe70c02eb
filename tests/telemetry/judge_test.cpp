#include "telemetry/judge.hpp"

#include "tests/telemetry/judge_world.hpp"

#include <cmath>
#include <random>

using namespace ferry::telemetry;
using namespace judge_world;

namespace {

// Half of the pairs a little beyond every margin, half within: neither harmful nor certifiable.
std::vector<Shown> undecided(std::size_t pairs) {
  std::vector<Shown> made = same(pairs, {.p50 = 80'000, .p99 = 80'000, .errors = 11'000, .accuracy = 21'000});
  for (std::size_t i = 0; i < pairs; i += 2) made[i] = {.p50 = 40'000, .p99 = 40'000};
  return made;
}

const EGroup& group(const Verdict& verdict, const std::string& name) {
  const auto found =
      std::find_if(verdict.groups.begin(), verdict.groups.end(), [&](const EGroup& one) { return one.name == name; });
  REQUIRE(found != verdict.groups.end());
  return *found;
}

bool has(const Verdict& verdict, GateReason reason) {
  return std::find(verdict.reasons.begin(), verdict.reasons.end(), reason) != verdict.reasons.end();
}

}  // namespace

TEST_CASE("every canary slower than its control fails the release, and says it was latency") {
  const Verdict verdict = judge(evidence_of(same(10, slower), 300));
  CHECK(verdict.decision == Decision::fail);
  CHECK(verdict.finding == Finding::harm);
  CHECK(verdict.reasons == std::vector<GateReason>{GateReason::latency});
  CHECK(verdict.threshold_unats == 2'995'732);
  CHECK(verdict.smallest_effect_uoct == 0);
}

TEST_CASE("each group alone can fail a release, with its own reason") {
  // Ten pairs decide by sign, thirty by bets.
  for (const std::size_t pairs : {10, 30}) {
    const std::pair<Shown, GateReason> cases[] = {{{.p50 = 400'000}, GateReason::latency},
                                                  {{.p99 = 900'000}, GateReason::latency},
                                                  {{.errors = 500'000}, GateReason::errors},
                                                  {{.accuracy = 500'000}, GateReason::accuracy}};
    for (const auto& [shown, reason] : cases) {
      const Verdict verdict = judge(evidence_of(same(pairs, shown), 300));
      CHECK(verdict.decision == Decision::fail);
      CHECK(verdict.reasons.front() == reason);
    }
    GateEvidence silent = evidence_of(same(pairs, alike), 300);
    for (PairEvidence& pair : silent.pairs) silence(pair);
    CHECK(judge(silent).decision == Decision::fail);
    CHECK(judge(silent).reasons.front() == GateReason::silence);
  }
}

TEST_CASE("a minority of harmed devices and a tail of slow requests are seen by the tail-sign and p99 tests") {
  std::vector<Shown> minority = same(50, alike);
  for (std::size_t i = 0; i < 15; ++i) minority[i].p50 = 600'000;
  const Verdict verdict = judge(evidence_of(minority, 300));
  CHECK(verdict.decision == Decision::fail);
  const auto& parts = group(verdict, "latency").parts;
  const auto strongest = std::max_element(parts.begin(), parts.end(), [](const EComponent& a, const EComponent& b) {
    return a.log_e_unats < b.log_e_unats;
  });
  CHECK(strongest->name.starts_with("latency.p50.tail@"));
  CHECK(strongest->up == 15);
  CHECK(strongest->down == 0);
}

TEST_CASE("the same on both sides is no harm: certified at once, or after long enough without harm") {
  const Verdict certified = judge(evidence_of(same(20, alike), 300));
  CHECK(certified.decision == Decision::pass);
  CHECK(certified.reasons == std::vector<GateReason>{GateReason::certified});
  CHECK(judge(evidence_of(undecided(20), 7'199)).decision == Decision::hold);
  const Verdict later = judge(evidence_of(undecided(20), 7'200));
  CHECK(later.decision == Decision::pass);
  CHECK(later.reasons == std::vector<GateReason>{GateReason::no_harm_found});
  CHECK(later.smallest_effect_uoct > 0);
}

TEST_CASE("every combination of circumstances gives the decision that the rules give") {
  enum class Kind { harm, safe, undecided };
  int seen[3] = {};
  for (const Kind kind : {Kind::harm, Kind::safe, Kind::undecided}) {
    for (const std::size_t pairs : {3, 10}) {
      for (unsigned bits = 0; bits < 1u << 6; ++bits) {
        const bool hand_picked = bits & 1, silent = bits & 2, world = bits & 4, incomplete = bits & 8,
                   young = bits & 16, expired = (bits & 32) && !young;
        GateEvidence evidence = evidence_of(kind == Kind::harm   ? same(pairs, slower)
                                            : kind == Kind::safe ? same(pairs, alike)
                                                                 : undecided(pairs),
                                            expired ? 86'400
                                            : young ? 7'199
                                                    : 7'200);
        evidence.randomised = !hand_picked;
        if (world) {
          for (PairEvidence& pair : evidence.pairs) {
            for (LatencyComparison& made : pair.latency) {
              made.canary_now += 700'000;
              made.control_now += 700'000;
            }
          }
        }
        if (incomplete) {
          evidence.pairs[1].started = false;
          evidence.pairs[1].latency.clear();
        }
        if (silent) {
          for (std::size_t i = 0; i < pairs; i += 2) silence(evidence.pairs[i]);
        }
        const Verdict verdict = judge(evidence);
        const bool small = pairs < 5, harm = kind == Kind::harm && !small;
        INFO("kind " << int(kind) << " pairs " << pairs << " bits " << bits);
        // Half of ten pairs silent leaves too few to certify, and nothing complete enough for "no harm found".
        const bool safe = kind == Kind::safe && !small && !silent;
        const bool quiet = !harm && !safe && !silent && !incomplete && !young;
        const Finding finding = harm    ? Finding::harm
                                : safe  ? Finding::safe
                                : quiet ? Finding::no_harm_found
                                        : Finding::too_early;
        CHECK(verdict.finding == finding);
        const bool person = hand_picked || small;
        const bool wait = silent || (world && !small) || finding == Finding::too_early;  // medians need five pairs
        const Decision decision = harm && !person             ? Decision::fail
                                  : person || (!harm && wait) ? Decision::hold
                                                              : Decision::pass;
        CHECK(verdict.decision == decision);
        CHECK(verdict.expired == (decision == Decision::hold && expired));
        REQUIRE_FALSE(verdict.reasons.empty());
        CHECK(has(verdict, GateReason::hand_picked) == (hand_picked && true));
        CHECK(has(verdict, GateReason::small_fleet) == small);
        CHECK(has(verdict, GateReason::latency) == harm);
        CHECK(has(verdict, GateReason::silent_canaries) == (silent && !harm));
        CHECK(has(verdict, GateReason::world_changed) == (world && !small && !harm));
        CHECK(has(verdict, GateReason::too_young) == (young && finding == Finding::too_early));
        CHECK(has(verdict, GateReason::few_pairs) == ((silent || incomplete) && finding == Finding::too_early));
        ++seen[int(decision)];
      }
    }
  }
  for (const int count : seen) CHECK(count > 0);
}

TEST_CASE("no data holds; pairs that have not started are not silent") {
  const Verdict nothing = judge(GateEvidence{});
  CHECK(nothing.decision == Decision::hold);
  CHECK(nothing.reasons.front() == GateReason::small_fleet);
  GateEvidence waiting;
  for (std::size_t i = 0; i < 20; ++i) {
    waiting.pairs.push_back({});
    waiting.pairs.back().canary = "c" + std::to_string(i);
    waiting.pairs.back().control = "k" + std::to_string(i);
    waiting.pairs.back().canary_silent = true;  // long ago, for another reason: it has not started
  }
  const Verdict verdict = judge(waiting);
  CHECK(verdict.decision == Decision::hold);
  CHECK(verdict.log_e_unats == 0);
  CHECK(verdict.pairs.silent_canaries == 0);
  CHECK_FALSE(has(verdict, GateReason::silent_canaries));
}

TEST_CASE("one silent canary keeps its pair out; the other pairs may suffice, or the time limit ends the wait") {
  GateEvidence evidence = evidence_of(undecided(10), 8'000);
  silence(evidence.pairs[0]);
  CHECK(judge(evidence).decision == Decision::hold);  // ten planned, nine complete
  CHECK(judge(evidence).reasons == std::vector<GateReason>{GateReason::few_pairs});
  evidence.policy.pairs_pass_min = 8;
  CHECK(judge(evidence).decision == Decision::pass);
  evidence.policy.pairs_pass_min = 20;
  evidence.age_s = 86'400;
  CHECK(judge(evidence).decision == Decision::hold);
  CHECK(judge(evidence).expired);
}

TEST_CASE("accuracy that is guarded needs labels on enough pairs") {
  std::vector<Shown> unlabelled = same(20, alike);
  for (Shown& shown : unlabelled) shown.labels = false;
  GateEvidence evidence = evidence_of(unlabelled, 300);
  CHECK(judge(evidence).reasons == std::vector<GateReason>{GateReason::certified});
  evidence.policy.accuracy_guarded = true;
  CHECK(judge(evidence).decision == Decision::hold);
  CHECK(judge(evidence).pairs.complete == 0);
}

TEST_CASE("a silent canary weighs against a certificate exactly as one that did worse") {
  std::vector<Shown> one_worse = same(10, alike);
  one_worse[4] = {.p50 = 100'000, .p99 = 100'000, .errors = 20'000, .accuracy = 30'000};
  GateEvidence one_silent = evidence_of(same(10, alike));
  silence(one_silent.pairs[4]);
  CHECK(judge(one_silent).certificates == judge(evidence_of(one_worse)).certificates);
}

TEST_CASE("the share of silent canaries is of those that have started") {
  GateEvidence evidence = evidence_of(same(20, alike), 300);
  for (std::size_t i = 5; i < 20; ++i) evidence.pairs[i].started = false;
  silence(evidence.pairs[0]);
  CHECK_FALSE(has(judge(evidence), GateReason::silent_canaries));  // one of five
  silence(evidence.pairs[1]);
  CHECK(has(judge(evidence), GateReason::silent_canaries));  // two of five
}

TEST_CASE("a certificate needs complete pairs: values frozen before a control fell silent are not enough") {
  GateEvidence evidence = evidence_of(same(10, alike), 300);
  REQUIRE(judge(evidence).finding == Finding::safe);
  for (std::size_t i = 4; i < 10; ++i) evidence.pairs[i].control_silent = true;
  CHECK(judge(evidence).pairs.complete == 4);
  CHECK(judge(evidence).decision == Decision::hold);
  evidence.pairs[4].control_silent = false;
  CHECK(judge(evidence).decision == Decision::pass);
}

TEST_CASE(
    "under the null the mean of the whole evidence is one, exactly, over every way the pairs could have been drawn") {
  // Swapping canary and control within a pair flips all that the pair shows around the margin.
  std::mt19937_64 engine(25);
  const JudgePolicy policy;
  for (int round = 0; round < 2; ++round) {
    constexpr std::size_t pairs = 6;
    std::vector<Shown> beyond;
    for (std::size_t i = 0; i < pairs; ++i)
      beyond.push_back({.p50 = std::int64_t(engine() % 800'000) - 400'000,
                        .p99 = std::int64_t(engine() % 1'600'000) - 800'000,
                        .errors = std::int64_t(engine() % 60'000) - 30'000,
                        .accuracy = std::int64_t(engine() % 200'000) - 100'000});
    double mean = 0;
    for (unsigned flips = 0; flips < 1u << pairs; ++flips) {
      std::vector<Shown> shown;
      for (std::size_t i = 0; i < pairs; ++i) {
        const std::int64_t sign = flips >> i & 1 ? 1 : -1;
        shown.push_back({.p50 = policy.p50.margin_uoct + sign * beyond[i].p50,
                         .p99 = policy.p99.margin_uoct + sign * beyond[i].p99,
                         .errors = policy.errors.margin_ppm + sign * beyond[i].errors,
                         .accuracy = policy.accuracy.margin_ppm + sign * beyond[i].accuracy});
      }
      GateEvidence evidence = evidence_of(shown);
      for (std::size_t i = 0; i < 3; ++i)
        evidence.pairs[i].first_silent = flips >> i & 1 ? FirstSilent::canary : FirstSilent::control;
      mean += std::exp(double(judge(evidence).log_e_unats) / 1e6) / double(1u << pairs);
    }
    CHECK(mean == Approx(1).epsilon(1e-5));
  }
}

TEST_CASE("twenty complete pairs would have found twenty percent") {
  std::vector<Shown> noisy;
  std::mt19937_64 engine(28);
  std::normal_distribution<double> noise(0, 100'000);
  for (int i = 0; i < 20; ++i)
    noisy.push_back({.p50 = std::int64_t(noise(engine)), .p99 = std::int64_t(noise(engine))});
  const Verdict verdict = judge(evidence_of(noisy));
  CHECK(verdict.decision == Decision::pass);
  CHECK(verdict.smallest_effect_uoct <= 263'034);  // log2 1.2
}

TEST_CASE("when canaries and controls move alike the world has changed: no promotion, and no roll-back") {
  const std::pair<Shown, bool> cases[] = {{{.control_shift = 321'928}, false},
                                          {{.control_shift = 321'929}, true},
                                          {{.control_shift = -400'000}, true},
                                          {{.p50 = 321'929}, false}};
  for (const auto& [shown, changed] : cases)
    CHECK(has(judge(evidence_of(same(5, shown))), GateReason::world_changed) == changed);
  GateEvidence mistakes = evidence_of(same(20, alike));
  for (PairEvidence& pair : mistakes.pairs) {
    for (ShareComparison& made : pair.accuracy) made.canary_now = made.control_now = 60'000;
  }
  CHECK(judge(mistakes).decision == Decision::hold);
  CHECK(judge(mistakes).reasons == std::vector<GateReason>{GateReason::world_changed});
  for (PairEvidence& pair : mistakes.pairs) {
    for (ShareComparison& made : pair.accuracy) made.has_baseline = false;  // then nobody knows whether they moved
  }
  CHECK(judge(mistakes).decision == Decision::pass);
}

TEST_CASE("every decision, finding and reason has its own stable name") {
  CHECK(to_string(Decision::pass) == "pass");
  CHECK(to_string(Decision::fail) == "fail");
  CHECK(to_string(Decision::hold) == "hold");
  CHECK(to_string(Finding::too_early) == "too_early");
  CHECK(to_string(GateReason::latency) == "gate.latency");
  CHECK(to_string(GateReason::silence) == "gate.silence");
  CHECK(to_string(GateReason::no_harm_found) == "gate.no_harm_found");
}
