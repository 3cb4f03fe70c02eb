// What a device says and when: docs/formats/device-api.md and telemetry.md from the device's side.
#include "tests/fleet/virtual_device.hpp"

#include "agent/status.hpp"
#include "telemetry/otlp.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

namespace ferry::fleet {
namespace {

constexpr std::size_t events_per_post_max = 200;
constexpr std::size_t uploads_kept_max = 64;  // windows a device keeps while the server is away
constexpr double poll_default_s = 60;
constexpr double poll_jitter_share = 0.1;
constexpr double back_off_first_s = 1;
constexpr double back_off_max_s = 600;
constexpr int back_off_doublings_max = 16;
constexpr std::int64_t bytes_per_gib = std::int64_t{1024} * 1024 * 1024;

// The parts of "x86_64-avx2-4c-8g-cpu".
std::vector<std::string> parts_of(const std::string& hardware_class) {
  std::vector<std::string> parts(1);
  for (const char c : hardware_class) {
    if (c == '-')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

Json profile_of(const std::string& hardware_class) {
  const std::vector<std::string> parts = parts_of(hardware_class);
  return Json{{"format", "ferry.profile/1"},
              {"hardware_class", hardware_class},
              {"architecture", parts[0]},
              {"isa", parts[1]},
              {"cores", std::atoi(parts[2].c_str())},
              {"memory_bytes", std::atoll(parts[3].c_str()) * bytes_per_gib},
              {"cpu_model", "virtual " + parts[1]},
              {"accelerator", parts[4]},
              {"os", "Debian GNU/Linux 12 (bookworm)"},
              {"kernel", "6.1.0"},
              {"agent_version", agent::agent_version},
              {"runtime", {{"name", "none"}, {"version", "0"}}},
              {"measured", {{"matmul_gflops", 40.0}, {"memory_gb_per_s", 9.0}}}};
}

bool is_trouble(int status) { return status == 429 || status >= 500; }

}  // namespace

std::string_view to_string(Purpose purpose) {
  switch (purpose) {
    case Purpose::profile:
      return "profile";
    case Purpose::check_in:
      return "check-in";
    case Purpose::events:
      return "events";
    case Purpose::telemetry:
      return "telemetry";
    case Purpose::manifest:
      return "manifest";
    case Purpose::blob:
      return "blob";
  }
  return "";
}

VirtualDevice::VirtualDevice(Identity identity, Commons& commons, std::int64_t now_ms)
    : identity_(std::move(identity)),
      commons_(commons),
      dice_(hash_rank(std::to_string(commons.plan.seed), "device/" + std::to_string(identity_.number))),
      traffic_(commons.plan.traffic, commons.plan.speed, dice_.next()),
      window_start_ms_(now_ms) {
  away_phase_s_ = dice_.uniform() * commons_.plan.offline_every_s;
  window_end_ms_ = after(now_ms, window_s_ * dice_.uniform());
  if (commons_.absent(identity_.number)) silent_ = true;
  add_event(Json{{"at_ms", now_ms},
                 {"kind", "started"},
                 {"detail", {{"boot", identity_.boot}, {"agent_version", agent::agent_version}}}});
}

std::int64_t VirtualDevice::after(std::int64_t now_ms, double seconds) const {
  return now_ms + static_cast<std::int64_t>(std::ceil(seconds * 1000 / commons_.plan.speed));
}

std::optional<std::int64_t> VirtualDevice::away_until(std::int64_t now_ms) const {
  const FleetPlan& plan = commons_.plan;
  if (!commons_.away_at_times(identity_.number) || plan.offline_s <= 0) return std::nullopt;
  const double own_s = static_cast<double>(now_ms) / 1000 * plan.speed + away_phase_s_;
  const double into_s = std::fmod(own_s, plan.offline_every_s);
  if (into_s >= plan.offline_s) return std::nullopt;
  return after(now_ms, plan.offline_s - into_s);
}

std::string VirtualDevice::running(const std::string& model) const {
  const auto found = models_.find(model);
  const auto* entry = found == models_.end() ? nullptr : found->second.slots.active_entry();
  return entry ? entry->version : "";
}

std::optional<Ask> VirtualDevice::next(std::int64_t now_ms) {
  asked_.reset();
  if (silent_) {
    due_ms_ = never_ms;
    return std::nullopt;
  }
  for (auto& [name, model] : models_) turn(model, now_ms);
  if (now_ms >= window_end_ms_) close_window(now_ms);
  // Updates and windows go on while nobody can be reached.
  const std::int64_t own_ms = std::max(own_due_ms(now_ms), now_ms + 1);
  const std::int64_t reachable_ms = std::max(away_until(now_ms).value_or(0), not_before_ms_);
  if (now_ms < reachable_ms) {
    due_ms_ = std::min(own_ms, reachable_ms);
    return std::nullopt;
  }
  due_ms_ = std::min(own_ms, std::max(check_in_ms_, now_ms + 1));
  if (!profile_sent_) {
    asked_ = Ask{.purpose = Purpose::profile,
                 .method = "PUT",
                 .path = "/device/v1/profile",
                 .content_type = "application/json",
                 .body = dump_json(profile_of(commons_.hardware_of(identity_.number)))};
  } else if (!events_.empty()) {
    events_asked_ = std::min(events_.size(), events_per_post_max);
    asked_ = events_ask();
  } else if (now_ms >= check_in_ms_) {
    asked_ = Ask{.purpose = Purpose::check_in, .path = "/device/v1/assignment", .if_none_match = etag_};
  } else {
    for (auto& [name, model] : models_) {
      asked_ = fetch_ask(model);
      asked_model_ = name;
      if (asked_) break;
    }
  }
  if (!asked_ && !uploads_.empty())
    asked_ = Ask{.purpose = Purpose::telemetry,
                 .method = "POST",
                 .path = "/v1/metrics",
                 .content_type = "application/x-protobuf",
                 .gzip = true,
                 .body = uploads_.front()};
  return asked_;
}

std::int64_t VirtualDevice::own_due_ms(std::int64_t now_ms) const {
  std::int64_t due = window_end_ms_;
  for (const auto& [name, model] : models_) {
    if (model.timer) due = std::min(due, model.timer->at_ms);
    due = std::min(due, model.window_look_ms);
    if (const auto* trial = std::get_if<ota::Trial>(&model.slots.update)) due = std::min(due, trial->deadline_ms);
    if (model.held && model.held->until_ms > now_ms) due = std::min(due, model.held->until_ms);
  }
  return due;
}

void VirtualDevice::heard(const Heard& answer, std::int64_t now_ms) {
  if (!asked_) return;
  const Purpose purpose = asked_->purpose;
  if (is_trouble(answer.status)) {
    ++commons_.counts.trouble;
    return back_off(now_ms, answer.retry_after_s);
  }
  troubles_ = 0;
  const bool good =
      answer.status == 200 || answer.status == 204 || (purpose == Purpose::check_in && answer.status == 304);
  if (!good) ++commons_.counts.refused[std::string(to_string(purpose)) + " " + std::to_string(answer.status)];
  switch (purpose) {
    case Purpose::profile:
      profile_sent_ = true;
      break;
    case Purpose::check_in:
      if (!good) return back_off(now_ms, std::nullopt);
      return take_assignment(answer, now_ms);
    case Purpose::events:
      // A refused batch would be refused again, for ever, and everything behind it would wait.
      events_.erase(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(events_asked_));
      ++commons_.counts.event_posts;
      commons_.counts.events += events_asked_;
      if (going_silent_ && events_.empty()) silent_ = true;
      break;
    case Purpose::telemetry:
      ++commons_.counts.uploads;
      commons_.counts.upload_bytes += uploads_.front().size();
      uploads_.pop_front();
      break;
    case Purpose::manifest:
    case Purpose::blob:
      commons_.counts.download_bytes += answer.body_bytes;
      fetch_heard(models_[asked_model_], answer, now_ms);
      break;
  }
}

void VirtualDevice::not_heard(std::int64_t now_ms) {
  ++commons_.counts.trouble;
  back_off(now_ms, std::nullopt);
}

void VirtualDevice::back_off(std::int64_t now_ms, std::optional<double> retry_after_s) {
  const double doubled = back_off_first_s * static_cast<double>(1 << std::min(troubles_++, back_off_doublings_max));
  const double wait_s = std::min(doubled, back_off_max_s) * (0.5 + 0.5 * dice_.uniform());
  not_before_ms_ = after(now_ms, std::max(wait_s, retry_after_s.value_or(0)));
}

void VirtualDevice::take_assignment(const Heard& answer, std::int64_t now_ms) {
  Counts& counts = commons_.counts;
  ++counts.check_ins;
  const double interval_s = answer.poll_after_s.value_or(poll_default_s);
  check_in_ms_ = after(now_ms, interval_s * (1 + poll_jitter_share * dice_.uniform()));
  if (answer.status == 304) {
    ++counts.unchanged;
    return;
  }
  auto assignment = agent::parse_assignment(answer.body);
  if (!assignment || assignment->device != identity_.id) {
    ++counts.refused["check-in: an assignment that is none of this device's"];
    return;
  }
  etag_ = answer.etag;
  const double window_s = std::chrono::duration<double>(assignment->telemetry_interval).count();
  if (window_s != window_s_) {
    window_s_ = window_s;
    window_end_ms_ = after(now_ms, window_s_ * dice_.uniform());
  }
  for (auto& assigned : assignment->models) {
    Model& model = models_[assigned.model];
    model.slots.model = assigned.model;
    if (model.settled_ms == 0) model.settled_ms = now_ms;
    if (model.assigned != assigned.release) model.assignment_new = true;
    model.assigned = std::move(assigned.release);
    // Told again of what it sits on.
    if (model.fetching && model.fetching->stalled && !befalls(model, model.assigned->version, Outcome::stalls))
      model.fetching->stalled = false;
  }
  for (auto& [name, model] : models_) {
    model.recall.reset();
    for (const auto& recall : assignment->recalls)
      if (recall.model == name) model.recall = recall;
  }
}

void VirtualDevice::add_event(Json event) {
  event["seq"] = ++event_seq_;
  events_.push_back(std::move(event));
}

Ask VirtualDevice::events_ask() const {
  Json document{{"format", "ferry.events/1"}, {"install", identity_.install}, {"events", Json::array()}};
  for (std::size_t i = 0; i < events_asked_; ++i) document["events"].push_back(events_[i]);
  return Ask{.purpose = Purpose::events,
             .method = "POST",
             .path = "/device/v1/events",
             .content_type = "application/json",
             .body = dump_json(document)};
}

// Requests since the last time, with the release that answered them until now.
void VirtualDevice::settle(Model& model, std::int64_t now_ms) {
  const std::int64_t from_ms = std::exchange(model.settled_ms, now_ms);
  const auto* entry = model.slots.active_entry();
  if (!entry) return;
  const KnownReleasePtr release = commons_.known(entry->manifest_sha256);
  if (!release) return;
  telemetry::ReleaseKey key{
      model.slots.model, entry->version, entry->manifest_sha256.hex(), std::string(ota::to_string(*model.slots.active)),
      entry->rollout,    entry->arm};
  auto found = window_.find(key);
  if (found == window_.end()) found = window_.emplace(key, DeviceTraffic::window_of(key, *release)).first;
  traffic_.pass(from_ms, now_ms, *release, commons_.behaviour(entry->version), found->second);
}

void VirtualDevice::close_window(std::int64_t now_ms) {
  for (auto& [name, model] : models_) settle(model, now_ms);
  telemetry::WindowReport report;
  report.install = identity_.install;
  report.boot = identity_.boot;
  report.agent_version = agent::agent_version;
  report.start_unix_ms = std::exchange(window_start_ms_, now_ms);
  report.end_unix_ms = now_ms;
  window_end_ms_ = after(now_ms, window_s_);
  for (auto& [key, window] : window_)
    if (!window.empty()) report.releases.push_back(std::move(window));
  window_.clear();
  if (report.releases.empty()) return;  // nothing happened: silence is not worth an upload
  report.seq = ++window_seq_;
  report.dropped = std::exchange(windows_dropped_, 0);
  uploads_.push_back(telemetry::gzip(telemetry::encode_otlp(report)));
  if (uploads_.size() <= uploads_kept_max) return;
  uploads_.pop_front();
  ++windows_dropped_;
  ++commons_.counts.windows_dropped;
}

}  // namespace ferry::fleet
