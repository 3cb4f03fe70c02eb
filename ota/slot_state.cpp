// Codec of the slot state: writes what slots.md shows, and reads it back suspiciously, because disks lie.
#include "ota/slot_state.hpp"

#include "common/overloaded.hpp"

namespace ferry::ota {
namespace {

Result<AssignedRelease> release_from_json(const Json& value, std::int64_t length_min);

constexpr std::size_t field_bytes_max = 512;
constexpr std::int64_t report_number_max = counter_max;

template <class E, std::size_t N>
Result<E> parse_enum(std::string_view text, std::string_view field, const std::array<E, N>& values) {
  std::string expected;
  for (E value : values) {
    if (to_string(value) == text) return value;
    expected += (expected.empty() ? "" : " | ") + std::string(to_string(value));
  }
  return Error{Errc::bad_input,
               std::string(field) + ": found \"" + std::string(text.substr(0, 40)) + "\", expected " + expected};
}

constexpr std::array trial_stages{TrialStage::prove, TrialStage::shadow, TrialStage::probation};
constexpr std::array report_states{ReportState::downloading, ReportState::staged,      ReportState::trial,
                                   ReportState::committed,   ReportState::rolled_back, ReportState::rejected,
                                   ReportState::failed,      ReportState::refused,     ReportState::slot_lost};

Result<Digest> digest_at(const Json& object, std::string_view key) {
  TRY(auto text, string_at(object, key, 64));
  auto digest = Digest::from_hex(text);
  if (!digest) return std::move(digest).error().within(key);
  return digest;
}

Result<SlotName> slot_at(const Json& object, std::string_view key) {
  TRY(auto text, string_at(object, key, 1));
  return parse_slot(text);
}

Json entry_to_json(const std::optional<SlotEntry>& entry) {
  if (!entry) return nullptr;
  return Json{{"version", entry->version},
              {"counter", entry->counter},
              {"manifest_sha256", entry->manifest_sha256.hex()},
              {"variant", entry->variant},
              {"variant_reason", entry->variant_reason},
              {"rollout", entry->rollout},
              {"arm", entry->arm}};
}

Result<std::optional<SlotEntry>> entry_from_json(const Json& slots, std::string_view key) {
  auto found = slots.find(key);
  if (found == slots.end()) return Error{Errc::bad_input, "slots." + std::string(key) + ": missing"};
  if (found->is_null()) return std::optional<SlotEntry>{};
  SlotEntry entry;
  TRY(entry.version, string_at(*found, "version", field_bytes_max));
  TRY(entry.counter, integer_at(*found, "counter", 1, counter_max));
  TRY(entry.manifest_sha256, digest_at(*found, "manifest_sha256"));
  TRY(entry.variant, string_at(*found, "variant", field_bytes_max));
  TRY(entry.variant_reason, string_or(*found, "variant_reason", "", message_bytes_max));
  TRY(entry.rollout, string_or(*found, "rollout", "", field_bytes_max));
  TRY(entry.arm, string_or(*found, "arm", "none", field_bytes_max));
  return std::optional<SlotEntry>{std::move(entry)};
}

Json report_to_json(const Report& report) {
  if (report.number == 0) return nullptr;
  return Json{{"number", report.number},   {"state", to_string(report.state)},
              {"version", report.version}, {"manifest_sha256", report.manifest_sha256.hex()},
              {"rollout", report.rollout}, {"reason", report.reason},
              {"message", report.message}, {"variant", report.variant},
              {"slot", report.slot},       {"at_ms", report.at_ms}};
}

Result<Report> report_from_json(const Json& document) {
  Report report;
  auto found = document.find("report");
  if (found == document.end() || found->is_null()) return report;
  TRY(report.number, integer_at(*found, "number", 1, report_number_max));
  TRY(auto state, string_at(*found, "state", 32));
  TRY(report.state, parse_enum(state, "report.state", report_states));
  TRY(report.version, string_at(*found, "version", field_bytes_max));
  TRY(report.manifest_sha256, digest_at(*found, "manifest_sha256"));
  TRY(report.rollout, string_at(*found, "rollout", field_bytes_max));
  TRY(report.reason, string_at(*found, "reason", field_bytes_max));
  TRY(report.message, string_at(*found, "message", message_bytes_max));
  TRY(report.variant, string_at(*found, "variant", field_bytes_max));
  TRY(report.slot, string_at(*found, "slot", 1));
  TRY(report.at_ms, integer_at(*found, "at_ms"));
  return report;
}

Result<Trial> trial_from_json(const Json& value, AssignedRelease release) {
  Trial trial;
  trial.release = std::move(release);
  TRY(trial.slot, slot_at(value, "slot"));
  TRY(trial.variant, string_at(value, "variant", field_bytes_max));
  TRY(trial.variant_reason, string_or(value, "variant_reason", "", message_bytes_max));
  TRY(auto stage, string_at(value, "stage", 32));
  TRY(trial.stage, parse_enum(stage, "update.stage", trial_stages));
  TRY(trial.deadline_ms, integer_at(value, "deadline_ms"));
  TRY(auto boots, integer_at(value, "boots_left", 0, trial_boots_max));
  trial.boots_left = static_cast<int>(boots);
  TRY(trial.took_over, bool_or(value, "took_over", false));
  return trial;
}

Result<UpdateState> update_from_json(const Json& value) {
  TRY(auto state, string_at(value, "state", 32));
  if (state == "idle") return UpdateState{Idle{}};
  TRY(auto release_value, object_at(value, "release"));
  // A recall goes back from a release that was committed long ago: nothing will be fetched, so target and length are
  // not known any more.
  TRY(auto release, release_from_json(*release_value, state == "rolling_back" ? 0 : 1));
  if (state == "downloading") {
    Downloading downloading{.release = std::move(release)};
    TRY(downloading.attempt, integer_at(value, "attempt", 1, 1000));
    TRY(downloading.started_ms, integer_at(value, "started_ms"));
    return UpdateState{std::move(downloading)};
  }
  if (state == "staged") {
    Staged staged{.release = std::move(release)};
    TRY(staged.slot, slot_at(value, "slot"));
    TRY(staged.variant, string_at(value, "variant", field_bytes_max));
    TRY(staged.variant_reason, string_or(value, "variant_reason", "", message_bytes_max));
    return UpdateState{std::move(staged)};
  }
  if (state == "trial") {
    TRY(auto trial, trial_from_json(value, std::move(release)));
    return UpdateState{std::move(trial)};
  }
  if (state == "rolling_back") {
    RollingBack back{.release = std::move(release)};
    TRY(back.slot, slot_at(value, "slot"));
    TRY(back.variant, string_or(value, "variant", "", field_bytes_max));
    TRY(back.reason, string_at(value, "reason", field_bytes_max));
    TRY(back.message, string_or(value, "message", "", message_bytes_max));
    TRY(back.took_over, bool_or(value, "took_over", false));
    return UpdateState{std::move(back)};
  }
  return Error{Errc::bad_input,
               "update.state: found \"" + state + "\", expected idle | downloading | staged | trial | rolling_back"};
}

Result<std::vector<Rejection>> rejected_from_json(const Json& document) {
  TRY(auto list, array_at(document, "rejected", rejected_max));
  std::vector<Rejection> rejected;
  for (const auto& item : *list) {
    Rejection rejection;
    TRY(rejection.manifest_sha256, digest_at(item, "manifest_sha256"));
    TRY(rejection.version, string_at(item, "version", field_bytes_max));
    TRY(rejection.reason, string_at(item, "reason", field_bytes_max));
    TRY(rejection.at_ms, integer_at(item, "at_ms"));
    rejected.push_back(std::move(rejection));
  }
  return rejected;
}

}  // namespace

std::string_view to_string(SlotName slot) { return slot == SlotName::a ? "a" : "b"; }

Result<SlotName> parse_slot(std::string_view text) {
  if (text == "a") return SlotName::a;
  if (text == "b") return SlotName::b;
  return Error{Errc::bad_input, "slot: found \"" + std::string(text.substr(0, 40)) + "\", expected a | b"};
}

std::string_view to_string(TrialStage stage) {
  switch (stage) {
    case TrialStage::prove:
      return "prove";
    case TrialStage::shadow:
      return "shadow";
    case TrialStage::probation:
      return "probation";
  }
  return "prove";
}

std::string_view to_string(ReportState state) {
  switch (state) {
    case ReportState::downloading:
      return "downloading";
    case ReportState::staged:
      return "staged";
    case ReportState::trial:
      return "trial";
    case ReportState::committed:
      return "committed";
    case ReportState::rolled_back:
      return "rolled_back";
    case ReportState::rejected:
      return "rejected";
    case ReportState::failed:
      return "failed";
    case ReportState::refused:
      return "refused";
    case ReportState::slot_lost:
      return "slot_lost";
  }
  return "failed";
}

Json to_json(const TrialPolicy& policy) {
  Json json{{"trial_deadline_s", policy.trial_deadline_s},
            {"shadow_requests", policy.shadow_requests},
            {"shadow_s_max", policy.shadow_s_max},
            {"probation_requests", policy.probation_requests},
            {"probation_s", policy.probation_s},
            {"error_share_max_ppm", policy.error_share_max_ppm},
            {"download_attempts_max", policy.download_attempts_max}};
  if (policy.window) json["window"] = to_json(*policy.window);
  return json;
}

Result<TrialPolicy> trial_policy_from_json(const Json& value) {
  constexpr std::int64_t day_s = 86'400;
  TrialPolicy policy;
  TRY(policy.trial_deadline_s, integer_or(value, "trial_deadline_s", policy.trial_deadline_s, 1, 7 * day_s));
  TRY(policy.shadow_requests, integer_or(value, "shadow_requests", policy.shadow_requests, 0, 10'000'000));
  TRY(policy.shadow_s_max, integer_or(value, "shadow_s_max", policy.shadow_s_max, 0, 7 * day_s));
  TRY(policy.probation_requests, integer_or(value, "probation_requests", policy.probation_requests, 0, 10'000'000));
  TRY(policy.probation_s, integer_or(value, "probation_s", policy.probation_s, 0, 7 * day_s));
  TRY(policy.error_share_max_ppm, integer_or(value, "error_share_max_ppm", policy.error_share_max_ppm, 0, 1'000'000));
  TRY(policy.download_attempts_max, integer_or(value, "download_attempts_max", policy.download_attempts_max, 1, 100));
  if (const auto window = value.find("window"); window != value.end() && !window->is_null()) {
    auto read = parse_weekly_window(*window);
    if (!read) return std::move(read).error().within("window");
    policy.window = *read;
  }
  return policy;
}

Json to_json(const AssignedRelease& release) {
  return Json{{"version", release.version},
              {"counter", release.counter},
              {"manifest_sha256", release.manifest_sha256.hex()},
              {"target", release.target},
              {"length", release.length},
              {"rollout", release.rollout},
              {"arm", release.arm},
              {"policy", to_json(release.policy)}};
}

Result<AssignedRelease> assigned_release_from_json(const Json& value) { return release_from_json(value, 1); }

namespace {

Result<AssignedRelease> release_from_json(const Json& value, std::int64_t length_min) {
  AssignedRelease release;
  TRY(release.version, string_at(value, "version", field_bytes_max));
  TRY(release.counter, integer_at(value, "counter", 1, counter_max));
  TRY(release.manifest_sha256, digest_at(value, "manifest_sha256"));
  TRY(release.target, string_at(value, "target", field_bytes_max));
  TRY(auto length, integer_at(value, "length", length_min, static_cast<std::int64_t>(manifest_bytes_max)));
  release.length = static_cast<std::uint64_t>(length);
  TRY(release.rollout, string_or(value, "rollout", "", field_bytes_max));
  TRY(release.arm, string_or(value, "arm", "none", field_bytes_max));
  if (value.contains("policy")) {
    TRY(auto policy, object_at(value, "policy"));
    TRY(release.policy, trial_policy_from_json(*policy));
  }
  return release;
}

}  // namespace

std::string_view name_of(const UpdateState& update) {
  static constexpr std::array<std::string_view, 5> names{"idle", "downloading", "staged", "trial", "rolling_back"};
  return names[update.index()];
}

const AssignedRelease* release_of(const UpdateState& update) {
  return std::visit(overloaded{[](const Idle&) -> const AssignedRelease* { return nullptr; },
                               [](const auto& busy) -> const AssignedRelease* { return &busy.release; }},
                    update);
}

const Rejection* SlotState::rejection(const Digest& manifest) const {
  auto found = std::find_if(rejected.begin(), rejected.end(),
                            [&](const Rejection& item) { return item.manifest_sha256 == manifest; });
  return found == rejected.end() ? nullptr : &*found;
}

Json slots_to_json(const SlotState& state) {
  return Json{{"a", entry_to_json(state.a)}, {"b", entry_to_json(state.b)}};
}

Json update_to_json(const UpdateState& update) {
  Json value{{"state", name_of(update)}};
  if (const auto* release = release_of(update)) value["release"] = to_json(*release);
  std::visit(overloaded{[](const Idle&) {},
                        [&](const Downloading& downloading) {
                          value["attempt"] = downloading.attempt;
                          value["started_ms"] = downloading.started_ms;
                        },
                        [&](const Staged& staged) {
                          value["slot"] = to_string(staged.slot);
                          value["variant"] = staged.variant;
                          value["variant_reason"] = staged.variant_reason;
                        },
                        [&](const Trial& trial) {
                          value["slot"] = to_string(trial.slot);
                          value["variant"] = trial.variant;
                          value["variant_reason"] = trial.variant_reason;
                          value["stage"] = to_string(trial.stage);
                          value["deadline_ms"] = trial.deadline_ms;
                          value["boots_left"] = trial.boots_left;
                          value["took_over"] = trial.took_over;
                        },
                        [&](const RollingBack& back) {
                          value["slot"] = to_string(back.slot);
                          value["variant"] = back.variant;
                          value["reason"] = back.reason;
                          value["message"] = back.message;
                          value["took_over"] = back.took_over;
                        }},
             update);
  return value;
}

Json rejected_to_json(const SlotState& state) {
  Json list = Json::array();
  for (const auto& item : state.rejected)
    list.push_back({{"manifest_sha256", item.manifest_sha256.hex()},
                    {"version", item.version},
                    {"reason", item.reason},
                    {"at_ms", item.at_ms}});
  return list;
}

Json to_json(const SlotState& state, std::uint64_t generation) {
  Json active = nullptr;
  if (state.active) active = to_string(*state.active);
  return Json{{"format", "ferry.slot-state/1"},
              {"generation", generation},
              {"model", state.model},
              {"slots", slots_to_json(state)},
              {"active", active},
              {"floor", state.floor},
              {"rejected", rejected_to_json(state)},
              {"update", update_to_json(state.update)},
              {"report", report_to_json(state.report)}};
}

Result<GenerationState> slot_state_from_json(const Json& document) {
  TRY(auto format, string_at(document, "format", 64));
  if (format != "ferry.slot-state/1")
    return Error{Errc::unsupported, "format: found \"" + format +
                                        "\", expected ferry.slot-state/1; written by another "
                                        "version of the agent"};
  GenerationState read;
  TRY(auto generation, integer_at(document, "generation", 1));
  read.generation = static_cast<std::uint64_t>(generation);
  SlotState& state = read.state;
  TRY(state.model, string_at(document, "model", field_bytes_max));
  TRY(auto slots, object_at(document, "slots"));
  TRY(state.a, entry_from_json(*slots, "a"));
  TRY(state.b, entry_from_json(*slots, "b"));
  TRY(auto active, string_or(document, "active", "", 1));
  if (!active.empty()) {
    TRY(state.active, parse_slot(active));
  }
  TRY(state.floor, integer_at(document, "floor", 0, counter_max));
  TRY(state.rejected, rejected_from_json(document));
  TRY(auto update, object_at(document, "update"));
  TRY(state.update, update_from_json(*update));
  TRY(state.report, report_from_json(document));
  if (auto broken = broken_invariant(state); !broken.empty()) return Error{Errc::bad_input, "slot state: " + broken};
  return read;
}

std::string broken_invariant(const SlotState& state) {
  if (state.active && !state.slot(*state.active)) return "active: names a slot without an entry";
  for (auto name : {SlotName::a, SlotName::b})
    if (state.slot(name) && state.rejection(state.slot(name)->manifest_sha256))
      return "slots." + std::string(to_string(name)) + ": holds a release that was rejected";
  if (state.rejected.size() > rejected_max) return "rejected: more than 64";
  auto candidate_slot =
      std::visit(overloaded{[](const Staged& staged) -> std::optional<SlotName> { return staged.slot; },
                            [](const Trial& trial) -> std::optional<SlotName> { return trial.slot; },
                            [](const RollingBack& back) -> std::optional<SlotName> { return back.slot; },
                            [](const auto&) -> std::optional<SlotName> { return std::nullopt; }},
                 state.update);
  if (candidate_slot && state.slot(*candidate_slot))
    return "update.slot: the candidate's slot already has a committed entry";
  if (const auto* release = release_of(state.update);
      release && state.rejection(release->manifest_sha256) && !std::holds_alternative<RollingBack>(state.update))
    return "update.release: was rejected on this device";
  return "";
}

}  // namespace ferry::ota
