// A virtual device's updates: the product's update machine, its commands acted out.
#include "ota/repository_client.hpp"
#include "tests/fleet/virtual_device.hpp"

#include <nlohmann/json.hpp>

namespace ferry::fleet {
namespace {

// As agent/update_driver.hpp.
constexpr double hold_first_s = 60;
constexpr double hold_max_s = 3'600;
constexpr int hold_doublings_max = 16;
constexpr double window_look_s = 1;  // at a maintenance window that is closed

Json event_of(const std::string& model, const ota::Report& report) {
  return Json{{"at_ms", report.at_ms},
              {"kind", "update"},
              {"model", model},
              {"version", report.version},
              {"manifest_sha256", report.manifest_sha256.hex()},
              {"rollout", report.rollout},
              {"state", to_string(report.state)},
              {"reason", report.reason},
              {"variant", report.variant},
              {"slot", report.slot},
              {"detail", {{"message", report.message}}}};
}

// An entry of /ferry/v1/status (docs/formats/inference-api.md).
Json status_of(const ota::SlotState& state) {
  Json active = nullptr;
  if (const auto* entry = state.active_entry())
    active = Json{{"version", entry->version}, {"slot", ota::to_string(*state.active)},
                  {"counter", entry->counter}, {"manifest_sha256", entry->manifest_sha256.hex()},
                  {"variant", entry->variant}, {"variant_reason", entry->variant_reason},
                  {"state", "serving"}};
  return Json{{"model", state.model},
              {"active", std::move(active)},
              {"slots", ota::slots_to_json(state)},
              {"update", ota::update_to_json(state.update)},
              {"rejected", ota::rejected_to_json(state)},
              {"last_reason", state.report.reason},
              {"floor", state.floor}};
}

const std::string& version_of(const ota::SlotState& state) { return ota::release_of(state.update)->version; }

ota::DeviceFacts facts_of(const std::string& hardware_class) {
  ota::DeviceFacts facts;
  facts.hardware_class = hardware_class;
  facts.architecture = hardware_class.substr(0, hardware_class.find('-'));
  const std::size_t gib = hardware_class.rfind('-', hardware_class.rfind('-') - 1) + 1;
  facts.memory_mib = std::atoll(hardware_class.c_str() + gib) * 1024;
  return facts;
}

}  // namespace

// The outcome drawn for this device comes true now, unless it has often enough.
bool VirtualDevice::befalls(Model& model, const std::string& version, Outcome outcome) {
  if (commons_.outcome_of(identity_.number, version) != outcome) return false;
  const std::int64_t times = commons_.behaviour(version).times;
  if (times > 0 && model.befallen[version] >= times) return false;
  ++model.befallen[version];
  return true;
}

void VirtualDevice::turn(Model& model, std::int64_t now_ms) {
  if (model.timer && now_ms >= model.timer->at_ms) {
    ota::Event event = std::move(model.timer->event);
    model.timer.reset();
    feed(model, std::move(event), now_ms);
  }
  if (std::holds_alternative<ota::Trial>(model.slots.update)) feed(model, ota::Ticked{now_ms}, now_ms);
  if (now_ms >= model.window_look_ms) begin_trial(model, now_ms);
  if (model.assignment_new && !std::holds_alternative<ota::Idle>(model.slots.update)) {
    model.assignment_new = false;
    feed(model, ota::Assigned{*model.assigned, now_ms}, now_ms);
  }
  if (model.recall)
    feed(model, ota::Recalled{model.recall->manifest_sha256, model.recall->reason, model.recall->message, now_ms},
         now_ms);
  if (!model.assigned || !std::holds_alternative<ota::Idle>(model.slots.update)) return;
  model.assignment_new = false;
  const bool held = model.held && model.held->release == model.assigned->manifest_sha256 &&
                    model.held->rollout == model.assigned->rollout && now_ms < model.held->until_ms;
  if (!held) feed(model, ota::Assigned{*model.assigned, now_ms}, now_ms);
}

void VirtualDevice::feed(Model& model, ota::Event event, std::int64_t now_ms) {
  model.queue.push_back(std::move(event));
  while (!model.queue.empty()) {
    const ota::Event first = std::move(model.queue.front());
    model.queue.pop_front();
    advance(model, first, now_ms);
  }
}

void VirtualDevice::advance(Model& model, const ota::Event& event, std::int64_t now_ms) {
  ota::Step next = ota::step(model.slots, event);
  if (!(next.state == model.slots)) {
    const auto* was = model.slots.active_entry();
    const auto* is = next.state.active_entry();
    const bool other = (was == nullptr) != (is == nullptr) || (was && is && !(*was == *is));
    if (other) {
      settle(model, now_ms);
      auto& running = commons_.counts.running;
      if (was) --running[model.slots.model + " " + was->version];
      if (is) ++running[model.slots.model + " " + is->version];
    }
    const bool moved = next.state.update.index() != model.slots.update.index();
    const bool told = next.state.report.number > model.slots.report.number;
    model.slots = std::move(next.state);
    if (moved) model.timer.reset();
    if (moved && !std::holds_alternative<ota::Downloading>(model.slots.update)) model.fetching.reset();
    if (told) {
      remember_outcome(model, now_ms);
      report(model, now_ms);
    }
  }
  for (const ota::Command& command : next.commands) run(model, command, now_ms);
}

void VirtualDevice::run(Model& model, const ota::Command& command, std::int64_t now_ms) {
  const FleetPlan& plan = commons_.plan;
  const auto later = [&](double seconds, ota::Event event) {
    model.timer = Timer{after(now_ms, seconds), std::move(event)};
  };
  const auto fail = [&](Outcome outcome) {
    const std::string reason = reason_of(commons_.behaviour(version_of(model.slots)), outcome);
    later(plan.trial_s, ota::TrialFailed{reason, "acted out by a virtual device", after(now_ms, plan.trial_s)});
  };
  // How long a stage lasts that ends after so many requests or so much time.
  const auto stage_s = [&](std::int64_t requests, std::int64_t limit_s) {
    const double rate = plan.traffic.per_s;
    return rate > 0 ? std::min(static_cast<double>(requests) / rate, static_cast<double>(limit_s))
                    : static_cast<double>(limit_s);
  };
  if (const auto* fetch = std::get_if<ota::Fetch>(&command)) return begin_fetch(model, *fetch, now_ms);
  if (std::holds_alternative<ota::BeginTrial>(command)) {
    model.window_look_ms = now_ms;  // at this very turn, when it is open
    begin_trial(model, now_ms);
  } else if (std::holds_alternative<ota::Prove>(command)) {
    if (befalls(model, version_of(model.slots), Outcome::rejects)) return fail(Outcome::rejects);
    later(plan.trial_s, ota::Proved{});
  } else if (std::holds_alternative<ota::Shadow>(command)) {
    const ota::TrialPolicy& policy = ota::release_of(model.slots.update)->policy;
    later(stage_s(policy.shadow_requests, policy.shadow_s_max), ota::Shadowed{});
  } else if (std::holds_alternative<ota::TakeOver>(command)) {
    if (befalls(model, version_of(model.slots), Outcome::rolls_back)) return fail(Outcome::rolls_back);
    const ota::TrialPolicy& policy = ota::release_of(model.slots.update)->policy;
    const double seconds = stage_s(policy.probation_requests, policy.probation_s);
    later(seconds, ota::ProbationPassed{after(now_ms, seconds)});
  } else if (std::holds_alternative<ota::GoBack>(command)) {
    model.queue.push_back(ota::RolledBack{now_ms});
  } else if (const auto* commit = std::get_if<ota::Commit>(&command)) {
    const auto& entry = model.slots.slot(commit->slot);
    if (entry && befalls(model, entry->version, Outcome::goes_silent)) going_silent_ = true;
  }
}

// Bytes may come at any time; what a device does with its model it does inside the window.
void VirtualDevice::begin_trial(Model& model, std::int64_t now_ms) {
  model.window_look_ms = never_ms;
  const auto* staged = std::get_if<ota::Staged>(&model.slots.update);
  if (!staged) return;
  const auto& window = staged->release.policy.window;
  if (window && !is_open(*window, now_ms, commons_.plan.utc_offset_s)) {
    model.window_look_ms = after(now_ms, window_look_s);
    return;
  }
  feed(model, ota::TrialBegan{now_ms}, now_ms);
}

void VirtualDevice::begin_fetch(Model& model, const ota::Fetch& fetch, std::int64_t now_ms) {
  model.fetching = Fetching{.fetch = fetch, .release = nullptr, .manifest = std::nullopt, .choice = {}, .blobs = {}};
  const std::string& version = fetch.release.version;
  if (befalls(model, version, Outcome::stalls)) {
    model.fetching->stalled = true;
    return;
  }
  if (befalls(model, version, Outcome::fails)) {
    model.fetching->stalled = true;  // nothing more is asked for
    const std::string reason = reason_of(commons_.behaviour(version), Outcome::fails);
    model.timer = Timer{after(now_ms, commons_.plan.trial_s),
                        ota::DownloadFailed{reason, "acted out by a virtual device", false, now_ms}};
    return;
  }
  if (commons_.plan.download) return;
  model.fetching->release = commons_.known(fetch.release.manifest_sha256);
  if (model.fetching->release) know_release(model, now_ms);
}

std::optional<Ask> VirtualDevice::fetch_ask(Model& model) {
  if (!model.fetching || model.fetching->stalled) return std::nullopt;
  const Fetching& fetching = *model.fetching;
  if (fetching.manifest || fetching.release) {
    if (fetching.blobs.empty()) return std::nullopt;
    const bool needed = fetching.manifest && fetching.blobs.front() == *fetching.manifest->reference_profile;
    return Ask{.purpose = Purpose::blob,
               .path = "/device/v1/blobs/sha256/" + fetching.blobs.front().sha256.hex(),
               .digest_only = !needed};
  }
  ota::TargetFile file;
  file.path = fetching.fetch.release.target;
  file.length_bytes = fetching.fetch.release.length;
  file.hashes["sha256"] = fetching.fetch.release.manifest_sha256.hex();
  const auto path = ota::target_url_path(file, /*consistent_snapshot=*/true);
  if (!path) return std::nullopt;  // the machine checked the target's form
  return Ask{.purpose = Purpose::manifest, .path = "/device/v1/targets/" + *path};
}

void VirtualDevice::fetch_heard(Model& model, const Heard& answer, std::int64_t now_ms) {
  if (!model.fetching) return;  // another assignment came meanwhile
  Fetching& fetching = *model.fetching;
  const auto failed = [&](const char* reason, const std::string& message) {
    feed(model, ota::DownloadFailed{reason, message, true, now_ms}, now_ms);
  };
  if (answer.status != 200) return failed("download.failed", "answered " + std::to_string(answer.status));
  if (!fetching.manifest && !fetching.release) {
    ++commons_.counts.manifests;
    if (sha256(answer.body) != fetching.fetch.release.manifest_sha256)
      return failed("download.digest", "manifest: other bytes than assigned");
    auto manifest = ota::parse_manifest(answer.body);
    auto frozen = manifest ? ota::require_frozen(*manifest) : Result<>(manifest.error());
    if (!frozen) return feed(model, ota::Refused{"trust.metadata", frozen.error().context, now_ms}, now_ms);
    fetching.release = commons_.known(fetching.fetch.release.manifest_sha256);
    if (fetching.release) return know_release(model, now_ms);
    fetching.blobs = {*manifest->reference_profile};
    fetching.manifest = std::move(*manifest);
    return;
  }
  ++commons_.counts.blobs;
  const Digest found = answer.sha256 ? *answer.sha256 : sha256(answer.body);
  if (found != fetching.blobs.front().sha256) return failed("download.digest", fetching.blobs.front().name);
  fetching.blobs.pop_front();
  if (fetching.manifest) {
    fetching.release = std::make_shared<const KnownRelease>(std::move(*fetching.manifest), answer.body);
    fetching.manifest.reset();
    commons_.learn(fetching.fetch.release.manifest_sha256, fetching.release);
    return know_release(model, now_ms);
  }
  if (fetching.blobs.empty()) finish_fetch(model, now_ms);
}

// The manifest says what else to fetch.
void VirtualDevice::know_release(Model& model, std::int64_t now_ms) {
  Fetching& fetching = *model.fetching;
  const ota::Manifest& manifest = fetching.release->manifest();
  auto choice = ota::choose_variant(manifest, facts_of(commons_.hardware_of(identity_.number)));
  if (!choice) return feed(model, ota::Refused{choice.error().reason, choice.error().context, now_ms}, now_ms);
  fetching.choice = std::move(*choice);
  if (!commons_.plan.download) return finish_fetch(model, now_ms);
  const ota::Variant& variant = manifest.variants[fetching.choice.index];
  fetching.blobs = {variant.file, *variant.golden, *manifest.reference_profile};
}

void VirtualDevice::finish_fetch(Model& model, std::int64_t now_ms) {
  const Fetching fetching = std::move(*model.fetching);
  model.fetching.reset();
  model.queue.push_back(ota::InstallBegan{fetching.fetch.slot});
  feed(model, ota::Downloaded{fetching.fetch.slot, fetching.choice.name, fetching.choice.reason, now_ms}, now_ms);
}

// A release that could not be installed waits longer each time before it is tried again.
void VirtualDevice::remember_outcome(Model& model, std::int64_t now_ms) {
  const ota::Report& last = model.slots.report;
  if (last.state != ota::ReportState::failed && last.state != ota::ReportState::refused) return;
  Held held{last.manifest_sha256, last.rollout, 0, 0};
  if (model.held && model.held->release == held.release && model.held->rollout == held.rollout)
    held.times = model.held->times + 1;
  const double doubled = hold_first_s * static_cast<double>(1 << std::min(held.times, hold_doublings_max));
  held.until_ms = after(now_ms, std::min(doubled, hold_max_s));
  model.held = held;
}

void VirtualDevice::report(const Model& model, std::int64_t now_ms) {
  ++commons_.counts.updates[std::string(to_string(model.slots.report.state))];
  add_event(event_of(model.slots.model, model.slots.report));
  add_event(Json{{"at_ms", now_ms}, {"kind", "slots"}, {"model", model.slots.model}, {"detail", slots_detail()}});
}

Json VirtualDevice::slots_detail() const {
  Json entries = Json::array();
  for (const auto& [name, model] : models_) entries.push_back(status_of(model.slots));
  return Json{{"models", std::move(entries)}};
}

}  // namespace ferry::fleet
