// Wraps one release window into a report and takes it out again.
#include "server/store/packed_window.hpp"

#include "telemetry/otlp.hpp"

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
