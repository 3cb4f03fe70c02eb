// The detector's state as a file, and a report as evidence (docs/formats/drift.md).
#include "telemetry/drift.hpp"

#include <nlohmann/json.hpp>

namespace ferry::telemetry {
namespace {

constexpr std::int64_t integer_max = 1LL << 53;

Result<DriftLevel> level_at(const Json& object) {
  TRY(const std::string name, string_at(object, "level", 16));
  for (const DriftLevel level : {DriftLevel::ok, DriftLevel::notice, DriftLevel::warn}) {
    if (name == to_string(level)) return level;
  }
  return Error{Errc::bad_input, "level: expected ok, notice or warn"};
}

Json effect_json(const DriftEffect& effect) { return {{"psi", effect.psi}, {"js", effect.js}, {"tv", effect.tv}}; }

Json feature_json(const FeatureDrift& feature) {
  Json made{{"use", to_string(feature.use)}, {"n", feature.n}, {"n_ref", feature.n_ref}};
  if (feature.use != DriftUse::tested) return made;
  made["bins"] = feature.bins;
  made["degrees"] = feature.degrees;
  made["chi_square"] = feature.statistic;
  made["p"] = feature.p;
  made["e"] = feature.e;
  made["effect"] = effect_json(feature.effect);
  return made;
}

}  // namespace

Json drift_counts_json(const DriftCounts& counts) {
  Json made = Json::object();
  for (const DriftFeature feature : drift_features) made[std::string(to_string(feature))] = counts[feature];
  return made;
}

Result<DriftCounts> drift_counts_at(const Json& object, std::string_view key) {
  TRY(const Json* found, object_at(object, key));
  TRY_VOID(only_known_fields(*found, {"classes", "confidence", "mnlp"}));
  DriftCounts counts;
  for (const DriftFeature feature : drift_features) {
    TRY(const Json* list, array_at(*found, to_string(feature), drift_bins_max));
    for (const Json& item : *list) {
      if (!item.is_number_unsigned() || item.get<std::uint64_t>() > drift_counts_max) {
        return Error{Errc::bad_input, std::string(key) + "." + std::string(to_string(feature)) +
                                          ": expected whole numbers from 0 to 1e12"};
      }
      counts[feature].push_back(item.get<std::uint64_t>());
    }
    if (counts.total(feature) > drift_counts_max) {
      return Error{Errc::bad_input,
                   std::string(key) + "." + std::string(to_string(feature)) + ": expected a sum of at most 1e12"};
    }
  }
  return counts;
}

std::string print_drift_state(const DriftState& state) {
  Json document;
  document["format"] = "ferry.drift/1";
  document["pending"] = drift_counts_json(state.pending);
  document["pending_start_ms"] = state.pending_start_ms;
  document["run"] = drift_counts_json(state.run);
  document["run_start_ms"] = state.run_start_ms;
  document["run_log"] = state.run_log;
  document["sr"] = state.sr;
  document["level"] = to_string(state.level);
  document["windows"] = state.windows;
  document["alarms"] = state.alarms;
  document["last_alarm_ms"] = state.last_alarm_ms;
  return dump_json(document);
}

Result<DriftState> parse_drift_state(std::string_view bytes) {
  TRY(const Json document, parse_json(bytes, {.bytes_max = drift_state_bytes_max}));
  TRY(const std::string format, string_at(document, "format"));
  if (format != "ferry.drift/1") {
    return Error{Errc::unsupported, "drift state: format '" + format + "', expected ferry.drift/1"};
  }
  TRY_VOID(only_known_fields(document, {"format", "pending", "pending_start_ms", "run", "run_start_ms", "run_log", "sr",
                                        "level", "windows", "alarms", "last_alarm_ms"}));
  DriftState state;
  TRY(state.pending, drift_counts_at(document, "pending"));
  TRY(state.pending_start_ms, integer_at(document, "pending_start_ms", 0, integer_max));
  TRY(state.run, drift_counts_at(document, "run"));
  TRY(state.run_start_ms, integer_at(document, "run_start_ms", 0, integer_max));
  TRY(state.run_log, number_at(document, "run_log", 0, 21));  // ln of the largest alarm_at
  TRY(state.sr, number_at(document, "sr", 0, 1e9));
  TRY(state.level, level_at(document));
  TRY(const std::int64_t windows, integer_at(document, "windows", 0, integer_max));
  TRY(const std::int64_t alarms, integer_at(document, "alarms", 0, windows));
  TRY(state.last_alarm_ms, integer_at(document, "last_alarm_ms", 0, integer_max));
  state.windows = std::uint64_t(windows);
  state.alarms = std::uint64_t(alarms);
  return state;
}

Json drift_report_json(const DriftReport& report) {
  Json features = Json::object(), shift = Json::object();
  for (const DriftFeature feature : drift_features) {
    const std::string name(to_string(feature));
    features[name] = feature_json(report.window[feature]);
    shift[name] = effect_json(report.shift[std::size_t(feature)]);
  }
  Json accuracy{{"reference", report.accuracy.reference},
                {"now", report.accuracy.now},
                {"standard_error", report.accuracy.standard_error}};
  return {{"start_ms", report.start_ms},
          {"end_ms", report.end_ms},
          {"features", std::move(features)},
          {"e", report.window.e},
          {"sr", report.sr},
          {"alarm_at", report.alarm_at},
          {"alarm", report.alarm},
          {"level", to_string(report.level)},
          {"shift", std::move(shift)},
          {"estimated_accuracy", std::move(accuracy)},
          {"median_extreme", report.median_extreme},
          {"relevant", report.relevant}};
}

}  // namespace ferry::telemetry
