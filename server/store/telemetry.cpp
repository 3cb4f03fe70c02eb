// SQL of telemetry. A stored window is the OTLP form of one release: the codec is there and is tested.
#include "server/store/telemetry.hpp"

#include "server/store/packed_window.hpp"
#include "telemetry/exactly_once.hpp"

namespace ferry::server {
namespace {

using telemetry::ReleaseWindow;
using telemetry::SequenceWindow;

bool sane(const ReleaseWindow& window) {
  const auto all_sane = [](const std::vector<std::uint64_t>& counts) {
    return std::all_of(counts.begin(), counts.end(), [](std::uint64_t count) { return count <= window_count_max; });
  };
  bool labels = true;
  for (const auto& [key, count] : window.labels) labels = labels && count <= window_count_max;
  return window.duration.count() <= window_count_max && window.error_count() <= window_count_max && labels &&
         all_sane(window.classes) && all_sane(window.confidence.counts) && all_sane(window.mnlp.counts);
}

}  // namespace

void merge_into(ReleaseWindow& sum, const ReleaseWindow& window) {
  if (sum.key.model.empty())
    sum = window;
  else
    sum.merge(window);
}

Result<> TelemetryStore::merge_minute(const ReleaseWindow& window, std::int64_t minute) {
  TRY(auto rows,
      database_.query("select data from telemetry_minutes where model = $1 and version = $2 and minute_ms = $3",
                      {window.key.model, window.key.version, minute}));
  ReleaseWindow sum = window;
  if (!rows.empty()) {
    TRY(sum, unpack_window(rows.front().blob(0)));
    sum.merge(window);
  }
  TRY(auto packed, pack_window(sum));
  return execute(database_,
                 "insert into telemetry_minutes (model, version, minute_ms, data) values ($1, $2, $3, $4) "
                 "on conflict (model, version, minute_ms) do update set data = $4",
                 {window.key.model, window.key.version, minute, std::move(packed)});
}

Result<> TelemetryStore::merge_total(const std::string& device, const ReleaseWindow& window, std::int64_t at_ms) {
  TRY(auto rows,
      database_.query(
          "select data, last_window_ms from telemetry_devices where device = $1 and model = $2 and version = $3",
          {device, window.key.model, window.key.version}));
  std::int64_t last_ms = at_ms;
  ReleaseWindow sum = window;
  if (!rows.empty()) {
    TRY(sum, unpack_window(rows.front().blob(0)));
    sum.merge(window);
    last_ms = std::max(last_ms, rows.front().integer(1));
  }
  TRY(auto packed, pack_window(sum));
  return execute(
      database_,
      "insert into telemetry_devices (device, model, version, last_window_ms, data) values ($1, $2, $3, $4, $5) "
      "on conflict (device, model, version) do update set last_window_ms = $4, data = $5",
      {device, window.key.model, window.key.version, last_ms, std::move(packed)});
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
    TRY_VOID(execute(
        database,
        "insert into telemetry_sequences (device, boot, highest, bitmap, seen_ms) values ($1, $2, $3, $4, $5) "
        "on conflict (device, boot) do update set highest = $3, bitmap = $4, seen_ms = $5",
        {device, boot, static_cast<std::int64_t>(window.highest), static_cast<std::int64_t>(window.bitmap), now_ms}));
    TRY_VOID(execute(database,
                     "delete from telemetry_sequences where device = $1 and boot not in (select boot from "
                     "telemetry_sequences where device = $1 order by seen_ms desc, boot limit $2)",
                     {device, boots_per_device_max}));
    for (const ReleaseWindow& release : report.releases) {
      if (release.empty()) continue;
      TRY_VOID(merge_minute(release, at_ms / minute_ms * minute_ms));
      TRY_VOID(merge_total(device, release, at_ms));
    }
    if (along) TRY_VOID(along(at_ms));
    return execute(
        database,
        "delete from telemetry_devices where device = $1 and (model, version) not in (select model, version from "
        "telemetry_devices where device = $1 order by last_window_ms desc, model, version limit $2)",
        {device, device_totals_max});
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
    TRY(auto window, unpack_window(row.blob(1)));
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
    TRY(auto window, unpack_window(row.blob(1)));
    totals.push_back({row.integer(0), std::move(window)});
  }
  return totals;
}

Result<> TelemetryStore::forget_before(std::int64_t minute) {
  return execute(database_, "delete from telemetry_minutes where minute_ms < $1", {minute});
}

}  // namespace ferry::server
