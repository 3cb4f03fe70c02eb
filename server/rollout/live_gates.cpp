// Pairs in memory, written through; the statistics are telemetry/judge's.
#include "server/rollout/live_gates.hpp"

#include "telemetry/judge_record.hpp"

#include <fmt/format.h>
#include <cmath>

namespace ferry::server {
namespace {

using telemetry::ReleaseWindow;

constexpr std::string_view audited_source = "audit";  // labels chosen before the outcome was known: no others count

telemetry::DeviceCounts counts_of(const ReleaseWindow& window) {
  telemetry::DeviceCounts counts;
  counts.latency = window.duration;
  counts.errors = window.error_count();
  for (const auto& [key, count] : window.labels) {
    if (key.source != audited_source) continue;
    counts.audited += count;
    if (key.correct) counts.audited_correct += count;
  }
  return counts;
}

// A pair's evidence is stored as a record of that pair alone: the format is there, checked and versioned.
std::string pack(const telemetry::JudgePolicy& policy, const telemetry::PairEvidence& pair) {
  telemetry::VerdictRecord record;
  record.evidence.policy = policy;
  record.evidence.pairs = {pair};
  record.verdict = telemetry::recompute(record);
  return telemetry::print_verdict(record);
}

Result<telemetry::PairEvidence> unpack(const std::string& text) {
  TRY(auto record, telemetry::parse_verdict(text));
  if (record.evidence.pairs.size() != 1) return Error{Errc::internal, "live gate: a stored pair holds no pair"};
  return std::move(record.evidence.pairs.front());
}

std::int64_t age_s(std::int64_t since_ms, std::int64_t now_ms) {
  return std::max<std::int64_t>(0, (now_ms - since_ms) / 1000);
}

}  // namespace

Result<> LiveGates::open(const RolloutPlan& plan) {
  for (std::size_t i = 0; i < plan.pairs.size(); ++i) {
    telemetry::PairEvidence evidence;
    evidence.canary = plan.pairs[i].canary;
    evidence.control = plan.pairs[i].control;
    evidence.stratum = plan.pairs[i].stratum;
    GatePairRow row;
    row.number = static_cast<std::int64_t>(i);
    row.evidence = pack(plan.policy.gate->judge, evidence);
    TRY_VOID(store_.insert(plan.id, row));
  }
  return {};
}

Result<> LiveGates::attach(const RolloutPlan& plan) {
  Gate gate;
  gate.model = plan.model;
  gate.new_version = plan.version;
  gate.old_version = plan.from_version;
  gate.policy = *plan.policy.gate;
  gate.pairs = plan.pairs;
  std::lock_guard lock(mutex_);
  TRY(gate.states, load_states(plan.id, plan.pairs.size()));
  for (const PairState& state : gate.states) {
    const std::int64_t started_ms = state.row.started_ms;
    if (started_ms != 0 && (gate.first_started_ms == 0 || started_ms < gate.first_started_ms))
      gate.first_started_ms = started_ms;
  }
  for (std::size_t i = 0; i < plan.pairs.size(); ++i) {
    places_.emplace(plan.pairs[i].canary, Place{plan.id, i, true});
    places_.emplace(plan.pairs[i].control, Place{plan.id, i, false});
  }
  gates_[plan.id] = std::move(gate);
  return {};
}

Result<std::vector<LiveGates::PairState>> LiveGates::load_states(const std::string& rollout, std::size_t pairs) {
  TRY(auto rows, store_.load(rollout));
  if (rows.size() != pairs)
    return Error{Errc::internal, "rollout " + rollout + ": " + std::to_string(rows.size()) + " stored pairs, planned " +
                                     std::to_string(pairs)};
  std::vector<PairState> states;
  for (GatePairRow& row : rows) {
    PairState state;
    TRY(state.evidence, unpack(row.evidence));
    state.row = std::move(row);
    states.push_back(std::move(state));
  }
  return states;
}

// After uploads that were applied in memory did not commit.
Result<> LiveGates::reload() {
  if (!ahead_) return {};
  for (auto& [rollout, gate] : gates_) {
    TRY(gate.states, load_states(rollout, gate.pairs.size()));
  }
  ahead_ = false;
  return {};
}

Result<> LiveGates::together(TelemetryStore& telemetry, const std::function<Result<>()>& body) {
  std::lock_guard lock(mutex_);
  if (together_) return body();
  TRY_VOID(reload());
  together_ = true;
  auto done = telemetry.together([&]() -> Result<> {
    baselines_.defer();
    TRY_VOID(body());
    return baselines_.flush();
  });
  together_ = false;
  if (done) {
    ahead_ = false;
    return done;
  }
  baselines_.forget();
  (void)reload();  // tried again before the next use
  return done;
}

void LiveGates::detach(const std::string& rollout) {
  std::lock_guard lock(mutex_);
  gates_.erase(rollout);
  std::erase_if(places_, [&](const auto& entry) { return entry.second.rollout == rollout; });
}

// The row with the window added; nullopt when it does not belong: another release, before the start, in the warm-up.
std::optional<GatePairRow> LiveGates::taken(const Gate& gate, const Place& place, const ReleaseWindow& window,
                                            std::int64_t began_ms, std::int64_t now_ms) const {
  const GatePairRow& present = gate.states[place.pair].row;
  const std::string& version = place.canary ? gate.new_version : gate.old_version;
  if (window.key.model != gate.model || window.key.version != version || present.started_ms == 0) return std::nullopt;
  GatePairRow row = present;
  (place.canary ? row.canary_heard_ms : row.control_heard_ms) = now_ms;
  if (began_ms >= row.started_ms + gate.policy.warm_up_s * 1000)
    merge_into(place.canary ? row.canary_now : row.control_now, window);
  return row;
}

Result<UploadVerdict> LiveGates::apply(TelemetryStore& telemetry, const std::string& device,
                                       const telemetry::WindowReport& report, std::int64_t now_ms,
                                       const std::function<Result<>(std::int64_t at_ms)>& along) {
  std::lock_guard lock(mutex_);
  if (together_) return merge(telemetry, device, report, now_ms, along);
  UploadVerdict verdict = UploadVerdict::applied;
  TRY_VOID(together(telemetry, [&]() -> Result<> {
    TRY(verdict, merge(telemetry, device, report, now_ms, along));
    return {};
  }));
  return verdict;
}

Result<UploadVerdict> LiveGates::merge(TelemetryStore& telemetry, const std::string& device,
                                       const telemetry::WindowReport& report, std::int64_t now_ms,
                                       const std::function<Result<>(std::int64_t at_ms)>& along) {
  std::vector<std::pair<Place, GatePairRow>> changed;
  auto verdict = telemetry.apply(device, report, now_ms, [&](std::int64_t at_ms) -> Result<> {
    const std::int64_t began_ms = at_ms - std::max<std::int64_t>(0, report.end_unix_ms - report.start_unix_ms);
    const auto [first, last] = places_.equal_range(device);
    for (const ReleaseWindow& window : report.releases) {
      if (window.empty()) continue;
      TRY_VOID(baselines_.add(device, window, now_ms));
      for (auto place = first; place != last; ++place) {
        const Gate& gate = gates_.at(place->second.rollout);
        auto row = taken(gate, place->second, window, began_ms, now_ms);
        if (!row) continue;
        TRY_VOID(store_.set_now(place->second.rollout, *row));
        changed.emplace_back(place->second, std::move(*row));
      }
    }
    return along ? along(at_ms) : Result<>();
  });
  if (!verdict || *verdict != UploadVerdict::applied) return verdict;
  for (auto& [place, row] : changed) {
    ahead_ = true;  // until the transaction commits
    Gate& gate = gates_.at(place.rollout);
    gate.states[place.pair].row = std::move(row);
    gate.news = true;
  }
  return verdict;
}

Result<> LiveGates::start(Gate& gate, const std::string& rollout, PairState& state, const Pair& pair,
                          std::int64_t now_ms) {
  GatePairRow row = state.row;
  row.started_ms = now_ms;
  TRY(row.canary_before, baselines_.of(pair.canary, gate.model, gate.old_version));
  TRY(row.control_before, baselines_.of(pair.control, gate.model, gate.old_version));
  auto stored = store_.set_start(rollout, row);
  if (!stored && stored.error().code == Errc::bad_input) {
    // A past too strange to be stored is no past: the pair goes on without, and never counts for latency.
    row.canary_before = row.control_before = {};
    stored = store_.set_start(rollout, row);
  }
  if (!stored) return stored;
  state.row = std::move(row);
  if (gate.first_started_ms == 0) gate.first_started_ms = now_ms;
  return {};
}

telemetry::PairLook LiveGates::look_at(const Gate& gate, const PairState& state, Progress canary,
                                       std::int64_t now_ms) const {
  const GatePairRow& row = state.row;
  telemetry::PairLook look;
  look.started = row.started_ms != 0;
  if (!look.started) return look;
  look.canary.counts = counts_of(row.canary_now);
  look.control.counts = counts_of(row.control_now);
  // The warm-up is nobody's silence.
  const std::int64_t listening_ms = row.started_ms + gate.policy.warm_up_s * 1000;
  look.canary.last_report_age_s = age_s(std::max(row.canary_heard_ms, listening_ms), now_ms);
  look.control.last_report_age_s = age_s(std::max(row.control_heard_ms, listening_ms), now_ms);
  look.canary.failed = counts_as_failed(canary);
  return look;
}

Result<std::optional<GateLook>> LiveGates::look(const Rollout& rollout, std::int64_t now_ms) {
  std::lock_guard lock(mutex_);
  TRY_VOID(reload());
  const auto found = gates_.find(rollout.plan.id);
  if (found == gates_.end()) return std::optional<GateLook>();
  Gate& gate = found->second;
  bool news = gate.news || !gate.last || now_ms - gate.last->at_ms >= gate_look_interval_ms;
  for (std::size_t i = 0; i < gate.pairs.size(); ++i) {
    const Progress canary = rollout.progress_of(gate.pairs[i].canary);
    if (gate.states[i].row.started_ms != 0 || (canary != Progress::committed && !counts_as_failed(canary))) continue;
    TRY_VOID(start(gate, rollout.plan.id, gate.states[i], gate.pairs[i], now_ms));
    news = true;
  }
  if (!news) return std::optional<GateLook>();
  const bool small_fleet = static_cast<std::int64_t>(gate.pairs.size()) < gate.policy.judge.pairs_min;
  GateLook look;
  look.at_ms = now_ms;
  look.evidence.policy = gate.policy.judge;
  look.evidence.randomised = !rollout.plan.policy.hand_picked();
  look.evidence.age_s = gate.first_started_ms == 0 ? 0 : age_s(gate.first_started_ms, now_ms);
  for (std::size_t i = 0; i < gate.pairs.size(); ++i) {
    PairState& state = gate.states[i];
    const telemetry::PairBaseline baseline{counts_of(state.row.canary_before), counts_of(state.row.control_before)};
    const auto seen = look_at(gate, state, rollout.progress_of(gate.pairs[i].canary), now_ms);
    auto evidence = telemetry::observe(state.evidence, baseline, seen, gate.policy.judge, small_fleet);
    if (!(evidence == state.evidence)) {
      TRY_VOID(store_.set_evidence(rollout.plan.id, state.row.number, pack(gate.policy.judge, evidence)));
      state.evidence = std::move(evidence);
    }
    look.evidence.pairs.push_back(state.evidence);
  }
  look.verdict = telemetry::judge(look.evidence);
  gate.last = look;
  gate.news = false;
  return std::optional<GateLook>(std::move(look));
}

std::optional<GateLook> LiveGates::latest(const std::string& rollout) const {
  std::lock_guard lock(mutex_);
  const auto found = gates_.find(rollout);
  return found == gates_.end() ? std::nullopt : found->second.last;
}

std::string describe(const telemetry::Verdict& verdict) {
  constexpr double unats = 1e6;
  std::string text = fmt::format(
      "{}: evidence of harm {:.3g} of {:.3g} needed; {} of {} pairs complete",
      telemetry::to_string(verdict.reasons.front()), std::exp(static_cast<double>(verdict.log_e_unats) / unats),
      std::exp(static_cast<double>(verdict.threshold_unats) / unats), verdict.pairs.complete, verdict.pairs.planned);
  if (verdict.pairs.silent_canaries > 0)
    text += fmt::format(", {} canaries silent or failed", verdict.pairs.silent_canaries);
  if (verdict.smallest_effect_uoct > 0)
    text +=
        fmt::format("; a slow-down of {:.0f} % would have been found",
                    (std::exp2(static_cast<double>(verdict.smallest_effect_uoct) / telemetry::octave_uoct) - 1) * 100);
  return text;
}

}  // namespace ferry::server
