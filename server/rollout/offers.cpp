// Ranks, phases, limits.
#include "server/rollout/offers.hpp"

#include <algorithm>

namespace ferry::server {
namespace {

// It had its say about the release itself. One that timed out, or could not be installed, may be asked again.
bool refused_by_device(Progress progress) {
  return progress == Progress::rolled_back || progress == Progress::rejected || progress == Progress::refused;
}

bool by_rank(const Member& a, const Member& b) { return a.rank != b.rank ? a.rank < b.rank : a.device < b.device; }

}  // namespace

const Member* Selection::find(std::uint64_t rank, std::string_view device) const {
  auto found = std::lower_bound(members.begin(), members.end(), rank,
                                [](const Member& member, std::uint64_t wanted) { return member.rank < wanted; });
  for (; found != members.end() && found->rank == rank; ++found)
    if (found->device == device) return &*found;
  return nullptr;
}

Selection make_selection(std::string_view salt, std::vector<std::string> devices) {
  Selection selection;
  selection.members.reserve(devices.size());
  for (std::string& device : devices) {
    const std::uint64_t rank = rank_of(salt, device);
    selection.members.push_back(Member{rank, std::move(device)});
  }
  std::sort(selection.members.begin(), selection.members.end(), by_rank);
  return selection;
}

Selection make_selection(const RolloutPlan& plan, std::vector<std::pair<std::string, Labels>> devices) {
  Selection selection;
  selection.members.reserve(devices.size());
  for (auto& [device, labels] : devices) {
    const std::uint64_t rank = rank_of(plan.salt, device);
    selection.members.push_back(Member{rank, std::move(device), label_phase_of(plan.policy, labels)});
  }
  std::sort(selection.members.begin(), selection.members.end(), by_rank);
  return selection;
}

std::size_t label_phase_of(const RolloutPolicy& policy, const Labels& labels) {
  for (std::size_t i = 0; i < policy.phases.size(); ++i)
    if (policy.phases[i].selector && policy.phases[i].selector->matches(labels)) return i;
  return no_label_phase;
}

std::size_t phase_size(std::size_t selected, std::int64_t percent) {
  return (selected * static_cast<std::size_t>(percent) + 99) / 100;
}

std::size_t phase_size(std::size_t selected, const Phase& phase) {
  return phase.devices != 0 ? std::min(selected, static_cast<std::size_t>(phase.devices))
                            : phase_size(selected, phase.percent);
}

bool takes_part(const Rollout& rollout, const RolloutHead& head, std::string_view device, std::uint64_t rank,
                std::size_t label_phase) {
  if (!head.sized) return false;
  const bool reached = rank <= head.threshold || label_phase <= head.phase;
  if (!rollout.gated()) return reached;
  const bool last = head.phase + 1 >= rollout.plan.policy.phases.size();
  switch (rollout.arm_of(device)) {
    case Arm::canary:
      return true;
    case Arm::control:
      return last;
    case Arm::none:
      return head.phase > 0 && reached;
  }
  return false;
}

bool in_phase(const Rollout& rollout, std::string_view device, const Labels& labels) {
  return rollout.head.sized && takes_part(rollout, rollout.head, device, rank_of(rollout.plan.salt, device),
                                          label_phase_of(rollout.plan.policy, labels));
}

std::string_view to_string(HoldBack hold_back) {
  switch (hold_back) {
    case HoldBack::none:
      return "";
    case HoldBack::window:
      return "device.window";
    case HoldBack::in_flight:
      return "rollout.in_flight";
    case HoldBack::site_budget:
      return "rollout.site_budget";
    case HoldBack::penalty:
      return "device.penalty";
  }
  return "";
}

HoldBack hold_back(const RolloutPolicy& policy, const OfferFacts& facts) {
  if (policy.penalty && facts.failures >= policy.penalty->failures) return HoldBack::penalty;
  if (policy.window && !is_open(*policy.window, facts.now_ms, facts.utc_offset_s)) return HoldBack::window;
  if (policy.in_flight_max != 0 && facts.in_flight >= policy.in_flight_max) return HoldBack::in_flight;
  if (policy.site_budget && facts.at_site >= policy.site_budget->devices_max) return HoldBack::site_budget;
  return HoldBack::none;
}

std::int64_t own_failures(std::string_view device, const std::vector<const Rollout*>& rollouts, std::int64_t since_ms) {
  std::int64_t failures = 0;
  for (const Rollout* rollout : rollouts) {
    if (rollout->head.recalled || rollout->head.status == RolloutStatus::failed) continue;
    const auto found = rollout->devices.find(device);
    if (found == rollout->devices.end() || found->second.since_ms < since_ms) continue;
    const DeviceProgress& progress = found->second;
    // Each earlier attempt ended in a failure of the device's own.
    failures += progress.attempts - 1;
    if (counts_as_failed(progress.state) && progress.state != Progress::refused) ++failures;
  }
  return failures;
}

bool quarantined(const Digest& manifest, const std::vector<const Rollout*>& rollouts) {
  for (const Rollout* rollout : rollouts) {
    if (rollout->plan.manifest_sha256 != manifest) continue;
    // The newest that names it decides.
    return rollout->head.status == RolloutStatus::failed || rollout->head.recalled;
  }
  return false;
}

std::vector<const Rollout*> recalls_for(std::string_view device, const Digest& running_manifest,
                                        const std::vector<const Rollout*>& rollouts) {
  std::vector<const Rollout*> recalls;
  std::vector<Digest> named;  // by a newer rollout
  for (const Rollout* rollout : rollouts) {
    const Digest& manifest = rollout->plan.manifest_sha256;
    if (std::find(named.begin(), named.end(), manifest) != named.end()) continue;
    named.push_back(manifest);
    if (!rollout->head.recalled) continue;
    const Progress progress = rollout->progress_of(device);
    if (progress == Progress::committed || on_the_way(progress) || running_manifest == manifest)
      recalls.push_back(rollout);
  }
  return recalls;
}

std::optional<Choice> assignment_for(std::string_view device, const Labels& labels, const Digest& running_manifest,
                                     const std::vector<const Rollout*>& rollouts,
                                     const std::vector<const Rollout*>& without) {
  std::vector<Digest> refused;  // by this device, in newer rollouts: an older one must not bring it back
  for (const Rollout* rollout : rollouts) {
    if (std::find(without.begin(), without.end(), rollout) != without.end()) continue;
    const Digest& manifest = rollout->plan.manifest_sha256;
    if (std::find(refused.begin(), refused.end(), manifest) != refused.end()) continue;
    const Progress progress = rollout->progress_of(device);
    if (refused_by_device(progress)) {
      refused.push_back(manifest);
      continue;
    }
    if (rollout->head.recalled) {
      refused.push_back(manifest);  // nor does an older rollout of the same release
      continue;
    }
    if (progress == Progress::committed) {
      return Choice{rollout, !is_terminal(rollout->head.status), false};  // what it proved it keeps
    }
    switch (rollout->head.status) {
      case RolloutStatus::running:
        if (on_the_way(progress)) return Choice{rollout, true, false};
        if (progress == Progress::waiting && rollout->plan.selector.matches(labels) &&
            in_phase(*rollout, device, labels))
          return Choice{rollout, true, true};
        break;
      case RolloutStatus::paused:  // nobody new; who has begun goes on
        if (on_the_way(progress)) return Choice{rollout, true, false};
        break;
      case RolloutStatus::done: {
        if (on_the_way(progress)) return Choice{rollout, true, false};  // promoted past it: let it end
        if (!rollout->plan.selector.matches(labels)) break;
        if (running_manifest != manifest && quarantined(manifest, rollouts)) break;
        return Choice{rollout, false, false};
      }
      case RolloutStatus::awaiting_approval:
      case RolloutStatus::scheduled:
      case RolloutStatus::failed:
      case RolloutStatus::aborted:
      case RolloutStatus::denied:
        break;
    }
  }
  return std::nullopt;
}

}  // namespace ferry::server
