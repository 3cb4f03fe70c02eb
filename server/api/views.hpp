// JSON views that several resources show: devices, rollouts, timeline events, who runs what.
#pragma once
#include "server/services.hpp"

namespace ferry::server::api {

// One pass over the fleet: how many devices run which release, in which variant.
struct Census {
  struct Release {
    std::int64_t running = 0;
    std::map<std::string, std::int64_t> by_variant;
  };
  std::map<std::string, std::map<std::string, Release>> models;  // model -> manifest digest in hex -> counts
  std::map<std::string, std::int64_t> devices;                   // model -> devices that have or are assigned it
  std::int64_t total = 0;                                        // devices that are not revoked

  std::int64_t running(const std::string& model, const Digest& manifest) const;
  std::int64_t running(const std::string& model, const Digest& manifest, const std::string& variant) const;
};
Census take_census(Services& services);

// published | rolling_out | current | quarantined | superseded, from the model's rollouts, newest first.
std::string_view release_state(const Digest& manifest, const std::vector<const Rollout*>& rollouts);

// The shape of /devices items; `active` etc. as the device's last slots event said, `assigned` added.
Json device_json(Services& services, const Device& device);
Json timeline_json(const EventRow& row);

// List item, or with phases, failures and `log`.
Json rollout_json(Services& services, const Rollout& rollout);
Json rollout_detail_json(Services& services, const Rollout& rollout, const std::vector<Verdict>& log);
// What POST /rollouts?dry_run=true answers.
Result<Json> preview_json(Services& services, const RolloutPreview& preview);
// Phase in which the selection's device of this rank takes the release: the first whose share holds it; under a live
// gate canaries in the first, controls in the last.
std::size_t phase_of(const Rollout& rollout, const Selection& selection, std::size_t rank_index);

}  // namespace ferry::server::api
