// The dry run of a rollout: which device would take the release when, as what, in which variant.
#include "ota/device_facts.hpp"
#include "server/api/views.hpp"

namespace ferry::server::api {
namespace {

constexpr std::size_t preview_devices_max = 1'000;

struct Fit {
  std::string variant;
  std::string reason;  // why none, or a word on what is unknown
};

// What the device will choose by the same rules, from the profile it sent.
Fit fit_of(const ota::Manifest& manifest, const DeviceFacts& facts) {
  if (facts.profile.empty()) return {"", "the device has not told its hardware profile"};
  auto profile = parse_json(facts.profile);
  auto known = profile ? ota::device_facts(*profile) : Result<ota::DeviceFacts>(std::move(profile).error());
  if (!known) return {"", known.error().context};
  auto choice = ota::choose_variant(manifest, *known);
  if (!choice) return {"", choice.error().reason};
  return {choice->name, ""};
}

}  // namespace

Result<Json> preview_json(Services& services, const RolloutPreview& preview) {
  const RolloutPlan& plan = preview.rollout.plan;
  TRY(auto bytes, services.blobs.read(plan.manifest_sha256, ota::manifest_bytes_max));
  TRY(const ota::Manifest manifest, ota::parse_manifest(bytes));
  const auto& members = preview.selection.members;
  std::vector<std::int64_t> holds(plan.policy.phases.size());
  std::map<std::string, std::int64_t> variants;
  Json items = Json::array();
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::size_t phase = phase_of(preview.rollout, preview.selection, i);
    ++holds[phase];
    const DevicePtr device = services.fleet.find(members[i].device);
    if (!device) continue;
    const auto facts = device->facts();
    const Fit fit = fit_of(manifest, *facts);
    ++variants[fit.variant];
    if (items.size() >= preview_devices_max) continue;
    items.push_back(Json{{"device", device->id},
                         {"phase", phase},
                         {"arm", to_string(preview.rollout.arm_of(device->id))},
                         {"hardware_class", facts->hardware_class},
                         {"variant", fit.variant},
                         {"reason", fit.reason}});
  }
  std::stable_sort(items.begin(), items.end(), [](const Json& a, const Json& b) { return a["phase"] < b["phase"]; });
  Json phases = Json::array();
  std::int64_t so_far = 0;
  for (std::size_t i = 0; i < holds.size(); ++i) {
    so_far += holds[i];
    phases.push_back(Json{
        {"percent", plan.policy.phases[i].percent}, {"size", describe(plan.policy.phases[i])}, {"devices", so_far}});
  }
  Json by_variant = Json::object();
  for (const auto& [name, count] : variants) by_variant[name.empty() ? "none" : name] = count;
  return Json{{"model", plan.model},
              {"version", plan.version},
              {"from_version", plan.from_version},
              {"selected", members.size()},
              {"phases", std::move(phases)},
              {"variants", std::move(by_variant)},
              {"items", std::move(items)},
              {"truncated", members.size() > preview_devices_max}};
}

}  // namespace ferry::server::api
