#include "server/drift/drift_cohort.hpp"

#include "common/crypto.hpp"
#include "telemetry/judge_eprocess.hpp"

#include <algorithm>
#include <cmath>

namespace ferry::server {
namespace {

using telemetry::DriftLevel;
using telemetry::DriftPolicy;
using telemetry::ReferenceProfile;

constexpr double label_alpha = 0.05;       // only how the label test spreads its bets
constexpr double wrong_share_min = 0.001;  // a gate without a wrong answer promises no perfection
constexpr double log_e_max = 18;           // a factor beyond alarm_at decides nothing more
constexpr double sr_max = 1e9;             // of telemetry::DriftPolicy::alarm_at
constexpr double log_max = 21;             // ln of it, rounded up
constexpr std::int64_t integer_max = 1LL << 53;

// How many devices have predictions waiting: cheap, an upload asks it.
std::size_t waiting_devices(const Cohort& cohort) {
  return std::size_t(std::count_if(cohort.devices.begin(), cohort.devices.end(),
                                   [](const auto& entry) { return entry.second.since_ms != 0; }));
}

std::vector<FromDevice> waiting_in(const Cohort& cohort) {
  std::vector<FromDevice> made;
  for (const auto& [name, device] : cohort.devices)
    if (!device.waiting.empty()) made.push_back({name, device.waiting});
  return made;
}

// Wrong labels beside what the gate promised. The witness comes and goes like a level.
void follow_labels(CohortState& state, const ReferenceProfile& reference, const DriftPolicy& policy,
                   ClosedWindow& window) {
  window.labels_sr = state.labels_sr;
  const auto& labels = window.pool.labels;
  const double promised = telemetry::estimate_accuracy(reference, reference.confidence.counts).reference;
  if (labels.empty() || promised <= 0) return;
  const double wrong_max = std::clamp(1 - promised + label_margin, wrong_share_min, 1 - wrong_share_min);
  const double right = double(labels[std::size_t(Label::right)]), wrong = double(labels[std::size_t(Label::wrong)]);
  const double log_e = std::min(
      log_e_max, telemetry::log_e_up(wrong, right, wrong_max, telemetry::kappa_for(label_horizon, label_alpha)));
  window.labels_sr = std::min(sr_max, (1 + state.labels_sr) * std::exp(log_e));
  state.labels_log = std::clamp(state.labels_log + log_e, 0.0, std::log(policy.hold_evidence));
  const bool fires = window.labels_sr >= policy.alarm_at;
  state.labels_sr = fires ? 0 : window.labels_sr;
  state.witness.accuracy = fires || (state.witness.accuracy && state.labels_log > 0);
}

Json labels_json(const ClosedWindow& window) {
  const auto& labels = window.pool.labels;
  const auto of = [&](Label label) { return labels.empty() ? 0 : labels[std::size_t(label)]; };
  return Json{{"right", of(Label::right)}, {"wrong", of(Label::wrong)}, {"sr", window.labels_sr}};
}

Json witness_json(const CohortWitness& witness) {
  Json list = Json::array();
  if (witness.accuracy) list.push_back("accuracy");
  return list;
}

}  // namespace

std::string cohort_id(const CohortKey& key) {
  std::string name;
  for (const std::string* part : {&key.model, &key.version, &key.manifest_sha256, &key.hardware_class, &key.rollout})
    name += *part + std::string(1, '\0');
  return "dc-" + sha256(name + key.arm).hex().substr(0, 16);
}

DriftLevel CohortState::level() const {
  telemetry::DriftWitness known;
  known.accuracy_fell = witness.accuracy;
  return telemetry::with_witness(drift.level, known);
}

std::string print_cohort_state(const CohortState& state) {
  Json document;
  document["format"] = "ferry.drift-cohort/1";
  document["drift"] = telemetry::print_drift_state(state.drift);
  document["labels_sr"] = state.labels_sr;
  document["labels_log"] = state.labels_log;
  document["witness"] = {{"accuracy", state.witness.accuracy}};
  document["level_since_ms"] = state.level_since_ms;
  document["known_before"] = state.known_before;
  return dump_json(document);
}

Result<CohortState> parse_cohort_state(std::string_view text) {
  TRY(const Json document, parse_json(text, {.bytes_max = 2 * telemetry::drift_state_bytes_max}));
  TRY(const std::string format, string_at(document, "format"));
  if (format != "ferry.drift-cohort/1")
    return Error{Errc::unsupported, "drift cohort: format '" + format + "', expected ferry.drift-cohort/1"};
  TRY_VOID(only_known_fields(
      document, {"format", "drift", "labels_sr", "labels_log", "witness", "level_since_ms", "known_before"}));
  CohortState state;
  TRY(const std::string drift, string_at(document, "drift", telemetry::drift_state_bytes_max));
  TRY(state.drift, telemetry::parse_drift_state(drift));
  TRY(state.labels_sr, number_at(document, "labels_sr", 0, sr_max));
  TRY(state.labels_log, number_at(document, "labels_log", 0, log_max));
  TRY(const Json* witness, object_at(document, "witness"));
  TRY_VOID(only_known_fields(*witness, {"accuracy"}));
  TRY(state.witness.accuracy, bool_at(*witness, "accuracy"));
  TRY(state.level_since_ms, integer_at(document, "level_since_ms", 0, integer_max));
  TRY(state.known_before, bool_at(document, "known_before"));
  return state;
}

std::string_view reason_of(DriftLevel level) {
  switch (level) {
    case DriftLevel::ok:
      return "";
    case DriftLevel::notice:
      return "drift.notice";
    case DriftLevel::warn:
      return "drift.warn";
    case DriftLevel::critical:
      return "drift.critical";
  }
  return "";
}

std::string print_contribution(const Contribution& contribution) {
  if (contribution.empty()) return "";
  Json document{{"counts", telemetry::drift_counts_json(contribution.counts)}, {"labels", contribution.labels}};
  return dump_json(document);
}

Result<Contribution> parse_contribution(std::string_view text) {
  Contribution made;
  if (text.empty()) return made;
  TRY(const Json document, parse_json(text, {.bytes_max = telemetry::drift_state_bytes_max}));
  TRY_VOID(only_known_fields(document, {"counts", "labels"}));
  TRY(made.counts, telemetry::drift_counts_at(document, "counts"));
  TRY(const Json* labels, array_at(document, "labels", label_bins));
  for (const Json& item : *labels) {
    if (!item.is_number_unsigned() || item.get<std::uint64_t>() > telemetry::drift_counts_max)
      return Error{Errc::bad_input, "labels: expected whole numbers from 0 to 1e12"};
    made.labels.push_back(item.get<std::uint64_t>());
  }
  if (made.labels.size() == 1) return Error{Errc::bad_input, "labels: expected none or right and wrong"};
  return made;
}

std::int64_t Cohort::open_since_ms() const {
  std::int64_t first_ms = 0;
  for (const auto& [name, device] : devices)
    if (device.since_ms != 0 && (first_ms == 0 || device.since_ms < first_ms)) first_ms = device.since_ms;
  return first_ms;
}

std::string print_window(const ClosedWindow& window) {
  Json body = telemetry::drift_report_json(window.report);
  double tv = 0;
  for (const telemetry::DriftEffect& effect : window.report.shift) tv = std::max(tv, effect.tv);
  body["number"] = window.number;
  body["samples"] = window.pool.counts.samples();
  body["devices"] = window.pool.devices;
  body["limited"] = window.pool.limited;
  body["level"] = telemetry::to_string(window.level);
  body["reason"] = reason_of(window.level);
  body["tv"] = tv;
  body["labels"] = labels_json(window);
  body["witness"] = witness_json(window.witness);
  body["counts"] = telemetry::drift_counts_json(window.pool.counts);
  return dump_json(body);
}

std::optional<CohortStep> close_window(const Cohort& cohort, const ReferenceProfile& reference,
                                       const DriftPolicy& policy, std::int64_t now_ms) {
  // Those that moved on may still have something waiting, but nobody waits for more of them.
  const auto members = std::size_t(std::count_if(cohort.devices.begin(), cohort.devices.end(),
                                                 [](const auto& entry) { return entry.second.member; }));
  // With fewer devices than this nothing counts: device_limit is 0.
  if (double(waiting_devices(cohort)) * share_max(members) < 1 - 1e-9) return std::nullopt;
  const std::uint64_t samples_max =
      std::max(policy.window_samples, telemetry::reference_counts(reference).samples() / reference_share_max);
  const std::int64_t number = std::int64_t(cohort.state.drift.windows) + 1;
  CohortStep step;
  step.pool = pool(waiting_in(cohort), members, samples_max, cohort.id + "/" + std::to_string(number));
  const std::uint64_t samples = step.pool.counts.samples();
  const std::int64_t start_ms = std::min(cohort.open_since_ms(), now_ms);
  const bool old = now_ms - start_ms >= policy.window_age_max_ms && samples >= policy.window_samples_min;
  if (samples < policy.window_samples && !old) return std::nullopt;

  step.state = cohort.state;
  auto stepped = drift_step(reference, policy, cohort.state.drift, step.pool.counts, start_ms, now_ms);
  if (!stepped) {  // a state of other bins: damaged, or the server's rules have changed
    telemetry::DriftState fresh;
    fresh.windows = cohort.state.drift.windows;  // they number the windows on record
    stepped = drift_step(reference, policy, std::move(fresh), step.pool.counts, start_ms, now_ms);
    step.state = {};
    step.state.known_before = cohort.state.known_before;
  }
  if (!stepped) return std::nullopt;
  step.state.drift = std::move(stepped->state);
  if (!stepped->report) return step;
  ClosedWindow window;
  window.number = std::int64_t(step.state.drift.windows);
  window.report = std::move(*stepped->report);
  window.pool = step.pool;
  follow_labels(step.state, reference, policy, window);
  window.level = step.state.level();
  window.witness = step.state.witness;
  if (window.level != cohort.state.level() || step.state.level_since_ms == 0) step.state.level_since_ms = now_ms;
  step.window = std::move(window);
  return step;
}

void start_window(Cohort& cohort, const Pool& counted) {
  for (auto at = cohort.devices.begin(); at != cohort.devices.end();) {
    CohortDevice& device = at->second;
    device.waiting.counts = {};
    device.since_ms = 0;
    if (!counted.labels.empty()) device.waiting.labels.clear();
    at = device.member || !device.waiting.empty() ? std::next(at) : cohort.devices.erase(at);
  }
}

}  // namespace ferry::server
