// Uploads into cohorts: memory is changed in the upload's transaction and taken back when it does not commit.
#include "server/drift/drift_monitor.hpp"

#include "ota/manifest.hpp"

#include <algorithm>

namespace ferry::server {
namespace {

using telemetry::DriftLevel;
using telemetry::ReferenceProfile;

constexpr std::int64_t seen_flush_ms = 3'600'000;  // how old `seen_ms` of a cohort on disk may be
constexpr std::string_view unknown_hardware_class = "unknown";

DriftDeviceRow row_of(const std::string& cohort, const std::string& name, const CohortDevice& device) {
  return {cohort, name, device.seen_ms, device.since_ms, device.member, print_contribution(device.waiting)};
}

DriftCohortRow row_of(const Cohort& cohort, const CohortState& state) {
  const CohortKey& key = cohort.key;
  return {cohort.id,   key.model, key.version,    key.manifest_sha256,      key.hardware_class,
          key.rollout, key.arm,   cohort.seen_ms, print_cohort_state(state)};
}

// The profile inside the release, by its manifest; nullopt: none that could witness anything.
std::optional<ReferenceProfile> read_reference(const BlobStore& blobs, const Digest& manifest_sha256,
                                               std::uint64_t samples_min) {
  const auto bytes = blobs.read(manifest_sha256, ota::manifest_bytes_max);
  if (!bytes) return std::nullopt;
  const auto manifest = ota::parse_manifest(*bytes);
  if (!manifest || !manifest->reference_profile) return std::nullopt;
  const auto text = blobs.read(manifest->reference_profile->sha256, telemetry::reference_bytes_max);
  if (!text) return std::nullopt;
  auto profile = telemetry::parse_reference_profile(*text);
  if (!profile || telemetry::reference_counts(*profile).samples() < samples_min) return std::nullopt;
  return std::move(*profile);
}

}  // namespace

Result<> DriftMonitor::load() {
  std::lock_guard lock(mutex_);
  return load_locked();
}

// After uploads that were applied in memory did not commit.
Result<> DriftMonitor::reload() {
  if (!ahead_) return {};
  cohorts_.clear();
  places_.clear();
  TRY_VOID(load_locked());
  ahead_ = false;
  return {};
}

Result<> DriftMonitor::together(LiveGates& gates, TelemetryStore& telemetry, const std::function<Result<>()>& body) {
  std::lock_guard lock(mutex_);
  TRY_VOID(reload());
  together_ = true;
  auto done = gates.together(telemetry, body);
  together_ = false;
  if (done)
    ahead_ = false;
  else if (auto again = reload(); !again)  // tried again before the next use
    log_.error("drift", {{"error", again.error().context}});
  return done;
}

Result<> DriftMonitor::load_locked() {
  TRY(auto rows, store_.cohorts());
  for (DriftCohortRow& row : rows) {
    Cohort cohort;
    cohort.id = row.id;
    cohort.key = {row.model, row.version, row.manifest_sha256, row.hardware_class, row.rollout, row.arm};
    cohort.seen_ms = row.seen_ms;
    if (auto state = parse_cohort_state(row.state)) {
      cohort.state = std::move(*state);
    } else {  // one damaged row does not take the next start with it
      log_.error("drift: a cohort starts anew", {{"cohort", row.id}, {"error", state.error().context}});
      TRY(const std::int64_t last, store_.last_window(row.id));
      cohort.state.drift.windows = std::uint64_t(last);
    }
    cohorts_.emplace(row.id, std::move(cohort));
  }
  TRY(auto devices, store_.devices());
  for (DriftDeviceRow& row : devices) {
    const auto cohort = cohorts_.find(row.cohort);
    if (cohort == cohorts_.end()) continue;
    auto waiting = parse_contribution(row.counts);
    if (!waiting) log_.error("drift: what waits is lost", {{"cohort", row.cohort}, {"error", waiting.error().context}});
    cohort->second.devices[row.device] = {row.seen_ms, row.since_ms, row.member,
                                          waiting ? std::move(*waiting) : Contribution{}};
    places_.emplace(row.device, row.cohort);
  }
  return {};
}

const DriftMonitor::Reference* DriftMonitor::reference_of(const std::string& model, const std::string& version,
                                                          std::int64_t now_ms) {
  const auto key = std::pair(model, version);
  const auto known = references_.find(key);
  if (known != references_.end() && (known->second.profile || now_ms - known->second.read_ms < reference_retry_ms))
    return known->second.profile ? &known->second : nullptr;
  const auto release = releases_.find(model, version);
  if (!release || !*release) return nullptr;  // names that devices make up are not remembered
  Reference& reference = references_[key];
  reference.manifest_sha256 = (*release)->manifest_sha256.hex();
  reference.profile = read_reference(blobs_, (*release)->manifest_sha256, policy_.reference_samples_min);
  reference.read_ms = now_ms;
  return reference.profile ? &reference : nullptr;
}

// The class's cohort; "other" when the release has very many already.
CohortKey DriftMonitor::class_key(const Reference& reference, const telemetry::ReleaseKey& release,
                                  const std::string& device) const {
  CohortKey key{release.model, release.version, reference.manifest_sha256, std::string(unknown_hardware_class), "",
                "none"};
  if (const auto known = fleet_.find(device); known && !known->facts()->hardware_class.empty())
    key.hardware_class = known->facts()->hardware_class;
  if (cohorts_.contains(cohort_id(key))) return key;
  const auto same_release = std::count_if(cohorts_.begin(), cohorts_.end(), [&](const auto& entry) {
    const CohortKey& other = entry.second.key;
    return other.rollout.empty() && other.model == key.model && other.manifest_sha256 == key.manifest_sha256;
  });
  if (std::size_t(same_release) >= hardware_classes_per_release_max)
    key.hardware_class = std::string(other_hardware_class);
  return key;
}

std::map<std::string, DriftMonitor::Target> DriftMonitor::targets_of(const std::string& device,
                                                                     const telemetry::WindowReport& report,
                                                                     std::int64_t now_ms) {
  std::map<std::string, Target> targets;
  for (const telemetry::ReleaseWindow& window : report.releases) {
    const Reference* reference = reference_of(window.key.model, window.key.version, now_ms);
    if (!reference || reference->manifest_sha256 != window.key.manifest_sha256) continue;
    const Contribution contribution = read_contribution(*reference->profile, window);
    if (contribution.empty()) continue;
    const CohortKey key = class_key(*reference, window.key, device);
    const auto add = [&](const CohortKey& to) {
      Target& target = targets[cohort_id(to)];
      target.key = to;
      target.reference = reference;
      target.contribution.add(contribution);
    };
    add(key);
    const auto [first, last] = places_.equal_range(device);
    for (auto place = first; place != last; ++place) {
      const CohortKey& arm = cohorts_.at(place->second).key;
      if (!arm.rollout.empty() && arm.model == key.model && arm.manifest_sha256 == key.manifest_sha256) add(arm);
    }
  }
  return targets;
}

// Changes memory and the database alike; `undo` takes the former back.
Result<> DriftMonitor::stage(const std::string& device, const std::string& id, const Target& target,
                             std::int64_t now_ms, std::vector<Staged>& undo) {
  const auto [found, made] = cohorts_.try_emplace(id);
  Cohort& cohort = found->second;
  undo.push_back({id, made, cohort.seen_ms, std::nullopt, std::nullopt});
  Staged& staged = undo.back();
  if (made) {
    cohort.id = id;
    cohort.key = target.key;
  }
  const bool flush = made || now_ms - cohort.seen_ms >= seen_flush_ms;
  if (flush) cohort.seen_ms = now_ms;
  if (const auto present = cohort.devices.find(device); present != cohort.devices.end())
    staged.before = present->second;
  CohortDevice& entry = cohort.devices[device];
  entry.seen_ms = now_ms;
  entry.member = true;
  if (entry.since_ms == 0 && target.contribution.counts.samples() > 0) entry.since_ms = now_ms;
  entry.waiting.add(target.contribution);
  staged.closed = close_window(cohort, *target.reference->profile, policy_, now_ms);
  if (staged.closed) return store_closed(cohort, *staged.closed, device);
  if (flush) TRY_VOID(store_.put_cohort(row_of(cohort, cohort.state)));
  return store_.put_device(row_of(id, device, entry));
}

// `device`: whose row is not on disk yet; "" when all are.
Result<> DriftMonitor::store_closed(const Cohort& cohort, const CohortStep& step, const std::string& device) {
  TRY_VOID(store_.put_cohort(row_of(cohort, step.state)));
  if (step.window)
    TRY_VOID(store_.add_window(cohort.id, step.window->number, step.window->report.end_ms, print_window(*step.window)));
  TRY_VOID(store_.start_window(cohort.id));
  Cohort next = cohort;
  start_window(next, step.pool);
  for (const auto& [name, entry] : next.devices) {  // labels that did not count wait on
    if (name == device || !entry.waiting.empty()) TRY_VOID(store_.put_device(row_of(cohort.id, name, entry)));
  }
  return {};
}

// Takes over in memory what store_closed() wrote.
void DriftMonitor::keep_closed(Cohort& cohort, CohortStep& step) {
  const DriftLevel before = cohort.state.level();
  for (const auto& [name, entry] : cohort.devices)
    if (!entry.member) forget_place(name, cohort.id);
  start_window(cohort, step.pool);
  for (const auto& [name, entry] : cohort.devices)
    if (!entry.member) places_.emplace(name, cohort.id);
  cohort.state = std::move(step.state);
  if (!cohort.key.rollout.empty())
    if (const auto watch = watches_.find(cohort.key.rollout); watch != watches_.end()) watch->second.news = true;
  tell(cohort, before, step.window ? step.window->report.window.e : 1);
}

// The device serves another release of these models now: it no longer holds up the cohorts it was in before.
Result<> DriftMonitor::leave_others(const std::string& device, const std::map<std::string, Target>& targets,
                                    std::vector<std::string>& left) {
  const auto [first, last] = places_.equal_range(device);
  for (auto place = first; place != last; ++place) {
    const Cohort& cohort = cohorts_.at(place->second);
    if (!cohort.key.rollout.empty() || targets.contains(cohort.id)) continue;
    const bool moved = std::any_of(targets.begin(), targets.end(),
                                   [&](const auto& entry) { return entry.second.key.model == cohort.key.model; });
    const auto entry = cohort.devices.find(device);
    if (!moved || entry == cohort.devices.end() || !entry->second.member) continue;
    left.push_back(cohort.id);
    CohortDevice gone = entry->second;
    gone.member = false;
    if (gone.waiting.empty()) {
      TRY_VOID(store_.erase_device(cohort.id, device));
    } else {
      TRY_VOID(store_.put_device(row_of(cohort.id, device, gone)));
    }
  }
  return {};
}

void DriftMonitor::take_back(const std::string& device, const std::vector<Staged>& undo) {
  for (const Staged& staged : undo) {
    const auto found = cohorts_.find(staged.cohort);
    if (staged.made) {
      cohorts_.erase(found);
      continue;
    }
    found->second.seen_ms = staged.seen_ms;
    if (staged.before)
      found->second.devices[device] = *staged.before;
    else
      found->second.devices.erase(device);
  }
}

Result<UploadVerdict> DriftMonitor::apply(LiveGates& gates, TelemetryStore& telemetry, const std::string& device,
                                          const telemetry::WindowReport& report, std::int64_t now_ms) {
  std::lock_guard lock(mutex_);
  if (!together_) TRY_VOID(reload());
  const auto targets = targets_of(device, report, now_ms);
  std::vector<Staged> staged;
  std::vector<std::string> left;
  auto verdict = gates.apply(telemetry, device, report, now_ms, [&](std::int64_t at_ms) -> Result<> {
    if (at_ms < now_ms - policy_.window_age_max_ms) return {};  // history: it says nothing about now
    for (const auto& [id, target] : targets) TRY_VOID(stage(device, id, target, now_ms, staged));
    return leave_others(device, targets, left);
  });
  if (!verdict || *verdict != UploadVerdict::applied) {
    take_back(device, staged);
    return verdict;
  }
  if (together_) ahead_ = ahead_ || !staged.empty() || !left.empty();
  for (Staged& one : staged) {
    if (!one.before) places_.emplace(device, one.cohort);
    if (one.closed) keep_closed(cohorts_.at(one.cohort), *one.closed);
  }
  for (const std::string& id : left) {
    CohortDevice& entry = cohorts_.at(id).devices.at(device);
    entry.member = false;
    if (!entry.waiting.empty()) continue;
    cohorts_.at(id).devices.erase(device);
    forget_place(device, id);
  }
  return verdict;
}

void DriftMonitor::forget_place(const std::string& device, const std::string& cohort) {
  const auto [first, last] = places_.equal_range(device);
  for (auto place = first; place != last; ++place) {
    if (place->second != cohort) continue;
    places_.erase(place);
    return;
  }
}

void DriftMonitor::tell(const Cohort& cohort, DriftLevel before, double e) {
  hub_.publish("drift", "changed", cohort.key.model);
  const DriftLevel now = cohort.state.level();
  if (now == before) return;
  hub_.publish("overview", "changed", "");
  const auto fields = {LogField("model", cohort.key.model),
                       LogField("version", cohort.key.version),
                       LogField("hardware_class", cohort.key.hardware_class),
                       LogField("rollout", cohort.key.rollout),
                       LogField("arm", cohort.key.arm),
                       LogField("level", telemetry::to_string(now)),
                       LogField("e", e)};
  if (now >= DriftLevel::warn)
    log_.warn("drift", fields);
  else
    log_.info("drift", fields);
}

std::vector<CohortView> DriftMonitor::cohorts(const std::string& model, std::int64_t now_ms) {
  std::lock_guard lock(mutex_);
  std::vector<CohortView> views;
  for (const auto& [id, cohort] : cohorts_) {
    if (!model.empty() && cohort.key.model != model) continue;
    CohortView view{id, cohort.key, cohort.state, 0, 0, cohort.open_since_ms(), 0, 0};
    for (const auto& [name, device] : cohort.devices) {
      view.members += device.member ? 1 : 0;
      view.open_devices += device.since_ms != 0 ? 1 : 0;
      view.open_samples += device.waiting.counts.samples();
    }
    if (const Reference* reference = reference_of(cohort.key.model, cohort.key.version, now_ms))
      view.reference_samples = telemetry::reference_counts(*reference->profile).samples();
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace ferry::server
