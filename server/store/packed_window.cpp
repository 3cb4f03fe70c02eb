// Wraps one release window into a report and takes it out again.
#include "server/store/packed_window.hpp"

#include "telemetry/otlp.hpp"

#include <algorithm>
#include <cmath>

namespace ferry::server {
namespace {

constexpr std::string_view folded_errors = "other";

void fold_errors(telemetry::ReleaseWindow& window) {
  while (window.errors.size() > telemetry::error_types_max) {
    auto last = std::prev(window.errors.end());
    if (last->first == folded_errors) --last;
    window.errors[std::string(folded_errors)] += last->second;
    window.errors.erase(last);
  }
}

// Sums of windows that were read one by one: only numbers can have grown beyond what is read back. Far below the limits
// there is nothing to prove, and proving costs more than all the rest.
bool surely_readable(const telemetry::ReleaseWindow& window) {
  constexpr std::uint64_t sure_max = std::uint64_t{1} << 50;
  const auto small = [](const std::vector<std::uint64_t>& counts) {
    std::uint64_t all = 0;
    for (const std::uint64_t count : counts) all |= count;
    return all < sure_max;
  };
  const auto values_small = [](const auto& map) {
    return std::ranges::all_of(map, [](const auto& entry) { return entry.second < sure_max; });
  };
  const auto input_sound = [](const auto& entry) {
    return entry.second.tensors < sure_max && entry.second.values < sure_max && entry.second.sound();
  };
  const auto shadow_small = [](const auto& entry) {
    return entry.second.compared() < sure_max && std::isfinite(entry.second.gap_sum);
  };
  return window.inference_count() < sure_max && std::isfinite(window.duration.sum()) && values_small(window.labels) &&
         values_small(window.label_delay) && small(window.classes) && small(window.confidence.counts) &&
         small(window.mnlp.counts) && window.labels_unjoinable < sure_max && window.requests_refused < sure_max &&
         window.outputs.nan < sure_max && window.outputs.shape < sure_max && window.outputs.empty < sure_max &&
         std::ranges::all_of(window.inputs, input_sound) && std::ranges::all_of(window.shadow, shadow_small);
}

}  // namespace

Result<Blob> pack_window(const telemetry::ReleaseWindow& window) {
  telemetry::WindowReport report;
  report.install = report.boot = "roll-up";
  report.seq = 1;
  report.releases.push_back(window);
  telemetry::ReleaseKey& key = report.releases.front().key;
  key.slot = "a";
  key.rollout.clear();
  key.arm = "none";
  fold_errors(report.releases.front());
  Blob packed{telemetry::encode_otlp(report)};
  if (surely_readable(window) && packed.bytes.size() <= telemetry::upload_bytes_max) return packed;
  if (auto readable = unpack_window(packed.bytes); !readable)
    return std::move(readable).error().within("the sum of " + window.key.model + " " + window.key.version);
  return packed;
}

Result<telemetry::ReleaseWindow> unpack_window(const std::string& bytes) {
  TRY(auto report, telemetry::decode_otlp(bytes));
  if (report.releases.size() != 1) return Error{Errc::internal, "telemetry: a stored roll-up holds no release"};
  return std::move(report.releases.front());
}

Result<telemetry::ReleaseWindow> unpack_window_or_empty(const std::string& bytes) {
  if (bytes.empty()) return telemetry::ReleaseWindow{};
  return unpack_window(bytes);
}

}  // namespace ferry::server
