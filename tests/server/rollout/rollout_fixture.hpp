// Short words for rollouts in tests: plans, selections, and facts fed to the pure machine.
#pragma once
#include "server/rollout/rollout_machine.hpp"

#include <fmt/format.h>

namespace ferry::server::test {

inline constexpr std::int64_t start_ms = 1'790'000'000'000;

inline Digest manifest_of(const std::string& version) { return sha256("manifest of " + version); }

inline std::vector<std::string> device_names(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back(fmt::format("dev-{:03}", i));
  return names;
}

inline RolloutPlan make_plan(const std::string& id, const std::string& version, RolloutPolicy policy = {},
                             const std::string& selector = "*") {
  RolloutPlan plan;
  plan.id = id;
  plan.name = "rollout " + id;
  plan.model = "fashion-mnist";
  plan.version = version;
  plan.target = "fashion-mnist/" + version + "/manifest.json";
  plan.manifest_sha256 = manifest_of(version);
  plan.manifest_length = 1234;
  plan.counter = 2;
  plan.selector = *Selector::parse(selector);
  plan.policy = std::move(policy);
  plan.salt = "salt of " + id;
  plan.created_ms = start_ms;
  plan.created_by = "ci";
  return plan;
}

// A rollout, its selection and its time; each call is one fact.
struct Play {
  explicit Play(RolloutPolicy policy = {}, std::size_t devices = 10, const std::string& version = "1.1.0") {
    rollout.plan = make_plan("ro-1", version, std::move(policy));
    selection = make_selection(rollout.plan.salt, device_names(devices));
    feed_decision(begin(rollout.plan, at_ms));
  }

  Rollout rollout;
  Selection selection;
  std::int64_t at_ms = start_ms;
  std::vector<Verdict> log;
  bool assignments_changed = false;  // by the last fact

  void feed_decision(const Decision& decision) {
    apply(rollout, decision);
    log.insert(log.end(), decision.log.begin(), decision.log.end());
    assignments_changed = decision.assignments_changed;
  }
  void feed(const RolloutEvent& event) { feed_decision(decide(rollout, event, selection)); }
  void tick(std::int64_t seconds = 0) {
    at_ms += seconds * 1000;
    feed(Ticked{at_ms});
  }
  void offer(const std::string& device) { feed(Offered{device, at_ms}); }
  void report(const std::string& device, Progress state, const std::string& reason = "") {
    feed(Reported{device, state, reason, at_ms});
  }
  // The device of this rank; ranks count from 0.
  const std::string& device(std::size_t rank) const { return selection.members.at(rank).device; }
  void commit(std::size_t rank) {
    offer(device(rank));
    report(device(rank), Progress::downloading);
    report(device(rank), Progress::staged);
    report(device(rank), Progress::trial);
    report(device(rank), Progress::committed);
  }
  void grow(std::size_t devices) { selection = make_selection(rollout.plan.salt, device_names(devices)); }

  std::size_t in_phase_count() const {
    std::size_t count = 0;
    for (const Member& member : selection.members) count += in_phase(rollout, member.device) ? 1 : 0;
    return count;
  }
  RolloutStatus status() const { return rollout.head.status; }
};

inline RolloutPolicy phases(std::vector<Phase> list, std::int64_t failures_max = 0) {
  RolloutPolicy policy;
  policy.phases = std::move(list);
  policy.failures_max = failures_max;
  return policy;
}

}  // namespace ferry::server::test
