// One event's working copy: the rollout as it is, and what this event changes so far. Part of the pure machine.
#pragma once
#include "server/rollout/rollout_machine.hpp"

namespace ferry::server {

class Turn {
 public:
  Turn(const Rollout& rollout, const Selection& selection, std::int64_t at_ms);

  RolloutHead& head() { return decision_.head; }
  const RolloutPolicy& policy() const { return rollout_.plan.policy; }
  bool running() const { return decision_.head.status == RolloutStatus::running; }
  bool terminal() const { return is_terminal(decision_.head.status); }
  Decision finish() && { return std::move(decision_); }

  void set(const std::string& device, Progress state, std::string reason, const std::string& site = {});
  void log(std::string verdict, std::string decision, std::string detail, std::string by = {});
  void become(RolloutStatus status, std::string reason);
  // From the time its people allow; the phase's clock begins then.
  void start();

  // The phase grows with the fleet and never shrinks: nobody is un-offered because a neighbour left.
  void size_phase();
  // A device that was offered the release and tells nothing more has failed: silence is not success.
  void time_out_silent();
  void stop_on_failures();
  // Goes on as far as the facts allow: a phase that adds no device may end in the same turn.
  void advance();
  void next_phase(std::string verdict, std::string by, const std::string& detail);

  // Controls wait until the last phase: from there on there is nothing to compare with, and the gate has spoken.
  bool gate_decides() const { return rollout_.gated() && head_phase() + 1 < policy().phases.size(); }
  // Ends the rollout and orders the release off every device that took it.
  void recall(RolloutStatus status, std::string reason);
  void judged(const Judged& event);
  // Devices that could not be reached or could not install are offered it once more. Returns how many.
  std::int64_t retry();

  std::int64_t failures() const;

 private:
  const Phase& phase() const { return policy().phases[head_phase()]; }
  std::size_t head_phase() const { return decision_.head.phase; }
  std::int64_t count(Progress state) const { return counts_[static_cast<std::size_t>(state)]; }
  std::int64_t moving() const;
  bool waits(std::string_view device) const;
  bool takes_part(const Member& member) const;
  bool phase_ended() const;
  std::optional<std::string> too_many_failures() const;
  std::optional<std::string> too_little_success() const;
  std::string name_failures() const;

  const Rollout& rollout_;
  const Selection& selection_;
  std::int64_t at_ms_;
  std::array<std::int64_t, progress_count> counts_;
  Decision decision_;
};

}  // namespace ferry::server
