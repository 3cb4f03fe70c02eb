// What one device gets: its place in a rollout's phases, what it is assigned, what it must give back, and when it has
// to wait. Pure.
#pragma once
#include "server/rollout/rollout.hpp"

namespace ferry::server {

// The devices a rollout's selector matches now, sorted by rank. Made by the controller when the fleet changes.
inline constexpr std::size_t no_label_phase = phases_max;
struct Member {
  std::uint64_t rank = 0;
  std::string device;
  std::size_t label_phase = no_label_phase;  // the first phase whose own selector matches it
};
struct Selection {
  std::vector<Member> members;
  const Member* find(std::uint64_t rank, std::string_view device) const;
};
Selection make_selection(std::string_view salt, std::vector<std::string> devices);
Selection make_selection(const RolloutPlan& plan, std::vector<std::pair<std::string, Labels>> devices);
std::size_t label_phase_of(const RolloutPolicy& policy, const Labels& labels);

// The number of devices that a phase told by share or number holds.
std::size_t phase_size(std::size_t selected, std::int64_t percent);
std::size_t phase_size(std::size_t selected, const Phase& phase);

// Does this device take the release in the phase of `head`? In a gated rollout the first phase are the canaries, and
// controls come last; everything else is a matter of rank or label.
bool takes_part(const Rollout& rollout, const RolloutHead& head, std::string_view device, std::uint64_t rank,
                std::size_t label_phase);
// True when a running rollout offers its release to this device now, or did.
bool in_phase(const Rollout& rollout, std::string_view device, const Labels& labels = {});

// What `model` a device gets. `rollouts`: those of the model, newest first. `running_manifest`: what the device says
// is active, the default digest when unknown. `without`: as if these were not there (they hold the device back).
struct Choice {
  const Rollout* rollout = nullptr;  // whose release it is
  bool by_rollout = false;           // arm canary of a rollout under way; else simply current
  bool to_be_noted = false;          // the offer is news to the rollout
};
std::optional<Choice> assignment_for(std::string_view device, const Labels& labels, const Digest& running_manifest,
                                     const std::vector<const Rollout*>& rollouts,
                                     const std::vector<const Rollout*>& without = {});

// Why a device whose turn it is has to wait.
enum class HoldBack { none, window, in_flight, site_budget, penalty };
// "device.window", "rollout.in_flight", "rollout.site_budget", "device.penalty"; "" for none.
std::string_view to_string(HoldBack hold_back);
struct OfferFacts {
  std::int64_t now_ms = 0;
  std::int64_t utc_offset_s = 0;  // of the device
  std::int64_t in_flight = 0;     // of this rollout, offers not yet taken down included
  std::int64_t at_site = 0;       // of those, at the device's site
  std::int64_t failures = 0;      // of the device, as own_failures() counts them
};
HoldBack hold_back(const RolloutPolicy& policy, const OfferFacts& facts);
// How often this device failed with releases that did not fail as such, since `since_ms`. What a recall or a person
// undid does not count, nor what the device refused by contract or trust: those say nothing about the device.
std::int64_t own_failures(std::string_view device, const std::vector<const Rollout*>& rollouts, std::int64_t since_ms);

// The releases of this model that must leave the device: those of recalled rollouts which it took, or runs, and that no
// newer rollout named again.
std::vector<const Rollout*> recalls_for(std::string_view device, const Digest& running_manifest,
                                        const std::vector<const Rollout*>& rollouts);

// True when a rollout of this release failed or was recalled, and none named it since.
bool quarantined(const Digest& manifest, const std::vector<const Rollout*>& rollouts);

// Could not be reached or could not install; a release that a device tried and rejected it never takes again.
inline bool may_be_retried(Progress progress) {
  return progress == Progress::timed_out || progress == Progress::failed;
}

}  // namespace ferry::server
