// SQL of telemetry. A stored window is the OTLP form of one release: the codec is there and is tested.
#include "server/store/telemetry.hpp"

#include "telemetry/exactly_once.hpp"
#include "telemetry/otlp.hpp"

namespace ferry::server {
namespace {

using telemetry::ReleaseWindow;
using telemetry::SequenceWindow;

constexpr std::string_view folded_errors = "other";

// Roll-ups mix slots, rollouts and arms: their key is the release alone.
ReleaseWindow of_release(ReleaseWindow window) {
  window.key.slot = "a";
  window.key.rollout.clear();
  window.key.arm = "none";
  return window;
}

// What several devices sent may be more than one of them may send: the least known error types become one.
void fold_errors(ReleaseWindow& window) {
  while (window.errors.size() > telemetry::error_types_max) {
    auto last = std::prev(window.errors.end());
    if (last->first == folded_errors) --last;
    window.errors[std::string(folded_errors)] += last->second;
    window.errors.erase(last);
  }
}

Blob pack(const ReleaseWindow& window) {
  telemetry::WindowReport report;
  report.install = report.boot = "roll-up";
  report.seq = 1;
  report.releases.push_back(window);
  return Blob{telemetry::encode_otlp(report)};
}

Result<ReleaseWindow> unpack(const std::string& bytes) {
  TRY(auto report, telemetry::decode_otlp(bytes));
  if (report.releases.size() != 1) return Error{Errc::internal, "telemetry: a stored roll-up holds no release"};
  return std::move(report.releases.front());
}

// The stored form of `before` (may be null) with `window` added. bad_input when it could not be read again: then the
// report is refused, for a row that cannot be read would take everybody's telemetry with it.
Result<Blob> merge_packed(const ReleaseWindow* before, const ReleaseWindow& window) {
  ReleaseWindow merged = before ? *before : window;
  if (before) merged.merge(window);
  fold_errors(merged);
  Blob packed = pack(merged);
  if (auto readable = unpack(packed.bytes); !readable)
    return std::move(readable).error().within("the sum of " + window.key.model + " " + window.key.version);
  return packed;
}

bool sane(const ReleaseWindow& window) {
  const auto all_sane = [](const std::vector<std::uint64_t>& counts) {
    return std::all_of(counts.begin(), counts.end(), [](std::uint64_t count) { return count <= window_count_max; });
  };
  bool labels = true;
  for (const auto& [key, count] : window.labels) labels = labels && count <= window_count_max;
  return window.duration.count() <= window_count_max && window.error_count() <= window_count_max && labels &&
         all_sane(window.classes) && all_sane(window.confidence.counts) && all_sane(window.mnlp.counts);
}

Result<> done(Result<std::vector<Row>> result) {
  if (!result) return std::move(result).error();
  return {};
}

}  // namespace

Result<> TelemetryStore::merge_minute(const ReleaseWindow& window, std::int64_t minute) {
  const ReleaseWindow release = of_release(window);
  TRY(auto rows,
      database_.query("select data from telemetry_minutes where model = $1 and version = $2 and minute_ms = $3",
                      {release.key.model, release.key.version, minute}));
  std::optional<ReleaseWindow> before;
  if (!rows.empty()) {
    TRY(before, unpack(rows.front().blob(0)));
  }
  TRY(auto packed, merge_packed(before ? &*before : nullptr, release));
  return done(
      database_.query("insert into telemetry_minutes (model, version, minute_ms, data) values ($1, $2, $3, $4) "
                      "on conflict (model, version, minute_ms) do update set data = $4",
                      {release.key.model, release.key.version, minute, std::move(packed)}));
}

Result<> TelemetryStore::merge_total(const std::string& device, const ReleaseWindow& window, std::int64_t at_ms) {
  const ReleaseWindow release = of_release(window);
  TRY(auto rows,
      database_.query(
          "select data, last_window_ms from telemetry_devices where device = $1 and model = $2 and version = $3",
          {device, release.key.model, release.key.version}));
  std::int64_t last_ms = at_ms;
  std::optional<ReleaseWindow> before;
  if (!rows.empty()) {
    TRY(before, unpack(rows.front().blob(0)));
    last_ms = std::max(last_ms, rows.front().integer(1));
  }
  TRY(auto packed, merge_packed(before ? &*before : nullptr, release));
  return done(database_.query(
      "insert into telemetry_devices (device, model, version, last_window_ms, data) values ($1, $2, $3, $4, $5) "
      "on conflict (device, model, version) do update set last_window_ms = $4, data = $5",
      {device, release.key.model, release.key.version, last_ms, std::move(packed)}));
}

Result<UploadVerdict> TelemetryStore::apply(const std::string& device, const telemetry::WindowReport& report,
                                            std::int64_t now_ms,
                                            const std::function<Result<>(std::int64_t at_ms)>& along) {
  if (!std::all_of(report.releases.begin(), report.releases.end(), sane))
    return Error{Errc::bad_input, "telemetry: a count above " + std::to_string(window_count_max) + " in one window"};
  UploadVerdict verdict = UploadVerdict::applied;
  const std::string boot = report.install + "/" + report.boot;
  // A clock that is far ahead, or as far behind as nothing is kept, would hide the window: it counts as of now.
  std::int64_t at_ms = report.end_unix_ms;
  if (at_ms > now_ms + telemetry_ahead_ms_max || at_ms < now_ms - telemetry_keep_ms) at_ms = now_ms;
  TRY_VOID(database_.transaction([&](Database& database) -> Result<> {
    TRY(auto rows, database.query("select highest, bitmap from telemetry_sequences where device = $1 and boot = $2",
                                  {device, boot}));
    SequenceWindow window;
    if (!rows.empty()) {
      window.highest = static_cast<std::uint64_t>(rows.front().integer(0));
      window.bitmap = static_cast<std::uint64_t>(rows.front().integer(1));
    }
    const auto judged = window.judge(report.seq);
    if (judged != SequenceWindow::Verdict::apply) {
      verdict = judged == SequenceWindow::Verdict::repeat ? UploadVerdict::repeat : UploadVerdict::too_late;
      return {};
    }
    window.applied(report.seq);
    TRY_VOID(done(database.query(
        "insert into telemetry_sequences (device, boot, highest, bitmap, seen_ms) values ($1, $2, $3, $4, $5) "
        "on conflict (device, boot) do update set highest = $3, bitmap = $4, seen_ms = $5",
        {device, boot, static_cast<std::int64_t>(window.highest), static_cast<std::int64_t>(window.bitmap), now_ms})));
    TRY_VOID(
        done(database.query("delete from telemetry_sequences where device = $1 and boot not in (select boot from "
                            "telemetry_sequences where device = $1 order by seen_ms desc, boot limit $2)",
                            {device, boots_per_device_max})));
    for (const ReleaseWindow& release : report.releases) {
      if (release.empty()) continue;
      TRY_VOID(merge_minute(release, at_ms / minute_ms * minute_ms));
      TRY_VOID(merge_total(device, release, at_ms));
    }
    if (along) TRY_VOID(along(at_ms));
    return done(database.query(
        "delete from telemetry_devices where device = $1 and (model, version) not in (select model, version from "
        "telemetry_devices where device = $1 order by last_window_ms desc, model, version limit $2)",
        {device, device_totals_max}));
  }));
  return verdict;
}

Result<std::vector<MinuteRow>> TelemetryStore::minutes(const std::string& model, std::int64_t from_ms,
                                                       std::int64_t to_ms) {
  TRY(auto rows,
      database_.query(
          "select minute_ms, data from telemetry_minutes where model = $1 and minute_ms >= $2 and minute_ms < $3 "
          "order by version, minute_ms",
          {model, from_ms, to_ms}));
  std::vector<MinuteRow> minutes;
  minutes.reserve(rows.size());
  for (const Row& row : rows) {
    TRY(auto window, unpack(row.blob(1)));
    minutes.push_back({row.integer(0), std::move(window)});
  }
  return minutes;
}

Result<std::vector<DeviceTotal>> TelemetryStore::totals(const std::string& device) {
  TRY(auto rows,
      database_.query(
          "select last_window_ms, data from telemetry_devices where device = $1 order by last_window_ms desc",
          {device}));
  std::vector<DeviceTotal> totals;
  for (const Row& row : rows) {
    TRY(auto window, unpack(row.blob(1)));
    totals.push_back({row.integer(0), std::move(window)});
  }
  return totals;
}

Result<> TelemetryStore::forget_before(std::int64_t minute) {
  return done(database_.query("delete from telemetry_minutes where minute_ms < $1", {minute}));
}

}  // namespace ferry::server
