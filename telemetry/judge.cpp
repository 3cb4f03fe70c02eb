#include "telemetry/judge.hpp"

#include "telemetry/internal/judge_metrics.hpp"
#include "telemetry/judge_eprocess.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace ferry::telemetry {
namespace {

using judge_internal::Column;
using judge_internal::Metrics;
using judge_internal::to_unats;

constexpr std::int64_t effect_buckets_max = 96;  // three octaves: eight times slower

std::int64_t threshold_of(std::int64_t level_ppm) { return to_unats(std::log(1e6 / double(level_ppm))); }

struct Evidence {
  std::vector<EGroup> groups;
  std::int64_t log_e_unats = 0;
};

// Rounded parts make the whole, so that the record alone gives the same number on every machine.
std::int64_t mean_unats(const std::vector<std::int64_t>& parts, const std::vector<double>& weights) {
  std::vector<double> logs;
  for (const std::int64_t part : parts) logs.push_back(double(part) / judge_internal::unats_per_nat);
  return to_unats(log_weighted_mean_exp(logs, weights));
}

Evidence weigh(std::vector<EGroup> groups) {
  std::vector<std::int64_t> parts;
  std::vector<double> weights;
  for (const EGroup& group : groups) {
    parts.push_back(group.log_e_unats);
    weights.push_back(double(group.weight));
  }
  return {std::move(groups), mean_unats(parts, weights)};
}

EGroup group_of(std::string name, std::int64_t weight, std::vector<EComponent> parts) {
  std::vector<std::int64_t> logs;
  std::vector<double> weights;
  for (const EComponent& part : parts) {
    logs.push_back(part.log_e_unats);
    weights.push_back(double(part.weight));
  }
  const std::int64_t total = mean_unats(logs, weights);
  return {std::move(name), weight, total, std::move(parts)};
}

EGroup latency_group(const Metrics& metrics, const JudgePolicy& policy, std::int64_t slower_by) {
  std::vector<EComponent> parts;
  for (const auto* columns : {&metrics.p50, &metrics.p99}) {
    for (std::size_t i = 0; i < columns->size(); ++i) {
      // The first resolution has half of the capital: the one that can stop a rollout early.
      const std::int64_t share = i == 0 ? std::max<std::int64_t>(1, std::int64_t(columns->size()) - 1) : 1;
      parts.push_back(judge_internal::sign_of((*columns)[i], slower_by, 2 * share));
      parts.push_back(judge_internal::tail_of((*columns)[i], slower_by, share));
    }
  }
  return group_of("latency", policy.weights.latency, std::move(parts));
}

EGroup silence_group(const GateEvidence& evidence) {
  std::int64_t up = 0, down = 0;
  for (const PairEvidence& pair : evidence.pairs) {
    up += pair.first_silent == FirstSilent::canary;
    down += pair.first_silent == FirstSilent::control;
  }
  return group_of("silence", evidence.policy.weights.silence, {judge_internal::coin_component("silence", up, down)});
}

EGroup share_group(std::string name, std::int64_t weight, const std::vector<Column>& columns, bool few) {
  std::vector<EComponent> parts;
  for (const Column& column : columns) parts.push_back(judge_internal::share_component(column, few));
  return group_of(std::move(name), weight, std::move(parts));
}

Evidence evidence_of_harm(const GateEvidence& evidence, const Metrics& metrics) {
  const JudgePolicy& policy = evidence.policy;
  const bool few = evidence.pairs.size() < judge_internal::bets_pairs_min;
  return weigh({latency_group(metrics, policy, 0), silence_group(evidence),
                share_group("errors", policy.weights.errors, metrics.errors, few),
                share_group("accuracy", policy.weights.accuracy, metrics.accuracy, few)});
}

// Evidence grows with every difference, so the smallest effect that would have failed this release is found by halving.
std::int64_t smallest_effect(const Metrics& metrics, const JudgePolicy& policy, Evidence evidence,
                             std::int64_t threshold) {
  const auto fails = [&](std::int64_t buckets) {
    evidence.groups.front() = latency_group(metrics, policy, buckets * bucket_uoct);
    return weigh(evidence.groups).log_e_unats >= threshold;
  };
  if (evidence.log_e_unats >= threshold || !fails(effect_buckets_max)) return 0;
  std::int64_t spared = 0, failed = effect_buckets_max;
  while (failed - spared > 1) {
    const std::int64_t middle = (spared + failed) / 2;
    (fails(middle) ? failed : spared) = middle;
  }
  return failed * bucket_uoct;
}

std::vector<ECertificate> certificates_of(const Metrics& metrics, const JudgePolicy& policy) {
  return {judge_internal::certificate("latency.p50", true, metrics.p50, metrics.silent_canaries),
          judge_internal::certificate("latency.p99", true, metrics.p99, metrics.silent_canaries),
          judge_internal::certificate("errors", true, metrics.errors, metrics.silent_canaries),
          judge_internal::certificate("accuracy", policy.accuracy_guarded, metrics.accuracy, metrics.silent_canaries)};
}

bool is_complete(const PairEvidence& pair, const JudgePolicy& policy) {
  const auto has = [&](const QuantilePolicy& quantile) {
    return std::any_of(pair.latency.begin(), pair.latency.end(), [&](const LatencyComparison& made) {
      return made.quantile_ppm == quantile.quantile_ppm && made.resolution == quantile.resolutions.front();
    });
  };
  return pair.started && !pair.canary_silent && !pair.control_silent && has(policy.p50) && has(policy.p99) &&
         !pair.errors.empty() && (!policy.accuracy_guarded || !pair.accuracy.empty());
}

PairCounts count_pairs(const GateEvidence& evidence) {
  PairCounts counts;
  counts.planned = std::int64_t(evidence.pairs.size());
  counts.required = std::min(evidence.policy.pairs_pass_min, counts.planned);
  for (const PairEvidence& pair : evidence.pairs) {
    counts.started += pair.started;
    counts.complete += is_complete(pair, evidence.policy);
    counts.silent_canaries += pair.started && pair.canary_silent;
    counts.silent_controls += pair.started && pair.control_silent;
  }
  return counts;
}

GateReason worst_group(const std::vector<EGroup>& groups) {
  constexpr std::array reasons{GateReason::latency, GateReason::silence, GateReason::errors, GateReason::accuracy};
  std::size_t worst = 0;
  const auto weighted = [&](std::size_t i) {
    return double(groups[i].log_e_unats) + judge_internal::unats_per_nat * std::log(double(groups[i].weight));
  };
  for (std::size_t i = 1; i < groups.size(); ++i) {
    if (weighted(i) > weighted(worst)) worst = i;
  }
  return reasons[worst];
}

Finding find(const Verdict& verdict, const JudgePolicy& policy, std::int64_t age_s) {
  if (verdict.log_e_unats >= verdict.threshold_unats) return Finding::harm;
  const std::int64_t safe = threshold_of(policy.beta_ppm);
  const bool all_safe =
      std::all_of(verdict.certificates.begin(), verdict.certificates.end(),
                  [&](const ECertificate& made) { return !made.guarded || made.log_e_unats >= safe; });
  if (verdict.pairs.complete >= policy.pairs_min && all_safe) return Finding::safe;
  const bool enough = verdict.pairs.complete >= verdict.pairs.required && age_s >= policy.age_pass_min_s;
  return enough ? Finding::no_harm_found : Finding::too_early;
}

// What keeps the gate from acting on its finding by itself: nothing here is cured by more of the same telemetry.
std::vector<GateReason> reasons_for_a_person(const GateEvidence& evidence, const PairCounts& pairs) {
  std::vector<GateReason> reasons;
  if (!evidence.randomised) reasons.push_back(GateReason::hand_picked);
  if (pairs.planned < evidence.policy.pairs_min) reasons.push_back(GateReason::small_fleet);
  return reasons;
}

std::vector<GateReason> reasons_to_wait(const Verdict& verdict, const GateEvidence& evidence, const Metrics& metrics) {
  const JudgePolicy& policy = evidence.policy;
  const PairCounts& pairs = verdict.pairs;
  std::vector<GateReason> reasons;
  if (pairs.silent_canaries * 1'000'000 > policy.silent_share_max_ppm * pairs.started)
    reasons.push_back(GateReason::silent_canaries);
  if (judge_internal::world_changed(metrics, policy)) reasons.push_back(GateReason::world_changed);
  if (verdict.finding != Finding::too_early) return reasons;
  if (pairs.complete < pairs.required) reasons.push_back(GateReason::few_pairs);
  if (evidence.age_s < policy.age_pass_min_s) reasons.push_back(GateReason::too_young);
  return reasons;
}

void decide(Verdict& verdict, const GateEvidence& evidence, const Metrics& metrics) {
  verdict.reasons = reasons_for_a_person(evidence, verdict.pairs);
  const bool harm = verdict.finding == Finding::harm;
  if (harm) verdict.reasons.insert(verdict.reasons.begin(), worst_group(verdict.groups));
  const bool for_a_person = verdict.reasons.size() > std::size_t(harm);
  if (harm && !for_a_person) {
    verdict.decision = Decision::fail;
    return;
  }
  if (!harm) {
    const std::vector<GateReason> waiting = reasons_to_wait(verdict, evidence, metrics);
    verdict.reasons.insert(verdict.reasons.end(), waiting.begin(), waiting.end());
  }
  if (verdict.reasons.empty()) {
    verdict.decision = Decision::pass;
    verdict.reasons.push_back(verdict.finding == Finding::safe ? GateReason::certified : GateReason::no_harm_found);
    return;
  }
  verdict.decision = Decision::hold;
  verdict.expired = evidence.age_s >= evidence.policy.age_max_s;
}

}  // namespace

Verdict judge(const GateEvidence& evidence) {
  const Metrics metrics = judge_internal::collect(evidence);
  const Evidence harm = evidence_of_harm(evidence, metrics);
  Verdict verdict;
  verdict.log_e_unats = harm.log_e_unats;
  verdict.threshold_unats = threshold_of(evidence.policy.alpha_ppm);
  verdict.groups = harm.groups;
  verdict.certificates = certificates_of(metrics, evidence.policy);
  verdict.pairs = count_pairs(evidence);
  verdict.smallest_effect_uoct = smallest_effect(metrics, evidence.policy, harm, verdict.threshold_unats);
  verdict.finding = find(verdict, evidence.policy, evidence.age_s);
  decide(verdict, evidence, metrics);
  return verdict;
}

std::string_view to_string(Decision decision) {
  constexpr std::array<std::string_view, 3> names{"pass", "fail", "hold"};
  return names[std::size_t(decision)];
}

std::string_view to_string(Finding finding) {
  constexpr std::array<std::string_view, 4> names{"harm", "safe", "no_harm_found", "too_early"};
  return names[std::size_t(finding)];
}

std::string_view to_string(GateReason reason) {
  constexpr std::array<std::string_view, 12> names{"gate.latency",         "gate.errors",        "gate.accuracy",
                                                   "gate.silence",         "gate.hand_picked",   "gate.small_fleet",
                                                   "gate.silent_canaries", "gate.world_changed", "gate.few_pairs",
                                                   "gate.too_young",       "gate.certified",     "gate.no_harm_found"};
  return names[std::size_t(reason)];
}

}  // namespace ferry::telemetry
