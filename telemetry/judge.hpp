// The live gate's verdict: a pure function of the pairs' evidence and the policy (STATS.md §4.4-4.6). It knows no
// clock, no rollout and no slot. Whoever holds a Verdict's record can compute it again (docs/formats/verdict.md).
#pragma once
#include "telemetry/judge_pairs.hpp"
#include "telemetry/judge_policy.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::telemetry {

// Every pair that the rollout froze when it was made, started or not: the list never grows or shrinks afterwards,
// because tests are chosen by its length. Order does not matter to the verdict's numbers.
struct GateEvidence {
  JudgePolicy policy;
  bool randomised = true;  // false: a person chose the canaries; then nothing is proven and a person decides
  std::int64_t age_s = 0;  // since the first canary started
  std::vector<PairEvidence> pairs;
  bool operator==(const GateEvidence&) const = default;
};

constexpr std::size_t gate_pairs_max = 1'000;

// hold = not enough evidence, or not the gate's to decide.
enum class Decision { pass, fail, hold };

// What the numbers say, apart from whether the gate may act on them (small fleets, hand-picked canaries).
enum class Finding {
  harm,           // evidence of harm reached 1/alpha
  safe,           // every guarded metric is certified within its margin at level beta
  no_harm_found,  // enough pairs for long enough; `smallest_effect_uoct` would have been found
  too_early,
};

// Why; stable codes, in this order in a verdict.
enum class GateReason {
  latency,  // gate.latency … gate.silence: the group of metrics with the most evidence of harm
  errors,
  accuracy,
  silence,
  hand_picked,      // gate.hand_picked
  small_fleet,      // gate.small_fleet: fewer pairs than pairs_min
  silent_canaries,  // gate.silent_canaries: more than silent_share_max_ppm
  world_changed,    // gate.world_changed: canary and control moved alike
  few_pairs,        // gate.few_pairs: not enough complete pairs yet
  too_young,        // gate.too_young
  certified,        // gate.certified: a pass, Finding::safe
  no_harm_found,    // gate.no_harm_found: a pass
};
std::string_view to_string(Decision decision);
std::string_view to_string(Finding finding);
std::string_view to_string(GateReason reason);  // "gate.…"

// One e-process. `up` and `down` count the pairs beyond and within the margin that it looked at.
struct EComponent {
  std::string name;  // "latency.p50.sign@300", "latency.p99.tail@600", "errors.bets@300", "accuracy.sign@50", "silence"
  std::int64_t weight = 1;  // among the group's parts
  std::int64_t up = 0, down = 0;
  std::int64_t log_e_unats = 0;
  bool operator==(const EComponent&) const = default;
};
struct EGroup {
  std::string name;  // latency, silence, errors, accuracy
  std::int64_t weight = 0;
  std::int64_t log_e_unats = 0;
  std::vector<EComponent> parts;
  bool operator==(const EGroup&) const = default;
};
// Evidence that a metric is within its margin (the mirror nulls). Silent canaries count against it.
struct ECertificate {
  std::string name;  // latency.p50, latency.p99, errors, accuracy
  bool guarded = true;
  std::int64_t log_e_unats = 0;
  bool operator==(const ECertificate&) const = default;
};

struct PairCounts {
  std::int64_t planned = 0, started = 0;
  std::int64_t complete = 0;         // frozen values at the first resolution of every guarded metric, and both heard
  std::int64_t required = 0;         // complete pairs for "no harm found"
  std::int64_t silent_canaries = 0;  // or failed; such a pair is never complete
  std::int64_t silent_controls = 0;
  bool operator==(const PairCounts&) const = default;
};

struct Verdict {
  Decision decision = Decision::hold;
  Finding finding = Finding::too_early;
  std::vector<GateReason> reasons;  // never empty
  bool expired = false;             // a hold that has reached age_max_s: end the rollout with reasons.front()
  std::int64_t log_e_unats = 0;     // the rollout's evidence of harm, micro-nats; harm from `threshold_unats` on
  std::int64_t threshold_unats = 0;
  std::vector<EGroup> groups;  // latency, silence, errors, accuracy
  std::vector<ECertificate> certificates;
  PairCounts pairs;
  // Had every canary been this much slower, this very evidence would have failed the release. 0: nothing to say,
  // because harm was found or even three octaves would have passed unseen.
  std::int64_t smallest_effect_uoct = 0;
  bool operator==(const Verdict&) const = default;
};

// Pure, thread-safe, total. `evidence.policy` is checked, pairs at most gate_pairs_max. Guarantees, for randomised
// pairs frozen before the first look:
// - a release that is not worse than its margins is ever failed with probability <= alpha, however often one looks;
// - one device moves each e-process by one pair's step and nothing else; a silent canary never counts as good;
// - fail comes before every reason to hold, except where a person must decide.
Verdict judge(const GateEvidence& evidence);

}  // namespace ferry::telemetry
