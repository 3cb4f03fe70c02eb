// SQL of telemetry. A stored window is the OTLP form of one release: the codec is there and is tested.
#include "server/store/telemetry.hpp"

#include "server/store/packed_window.hpp"

namespace ferry::server {
namespace {

using telemetry::ReleaseWindow;
using telemetry::SequenceWindow;

// Of one device (the keys that begin as `first` does): the database has just dropped its oldest rows.
template <class Rows, class Key>
void forget_clean(Rows& rows, const Key& first) {
  for (auto row = rows.lower_bound(first); row != rows.end() && row->first[0] == first[0];)
    row = row->second.dirty ? std::next(row) : rows.erase(row);
}

bool sane(const ReleaseWindow& window) {
  const auto fits = [](std::uint64_t count) { return count <= window_count_max; };
  const auto all_fit = [&](const std::vector<std::uint64_t>& counts) { return std::ranges::all_of(counts, fits); };
  const auto values_fit = [&](const auto& map) {
    return std::ranges::all_of(map, [&](const auto& entry) { return fits(entry.second); });
  };
  return fits(window.inference_count()) && values_fit(window.errors) && values_fit(window.labels) &&
         values_fit(window.label_delay) && all_fit(window.classes) && all_fit(window.confidence.counts) &&
         all_fit(window.mnlp.counts) && fits(window.labels_unjoinable) && fits(window.requests_refused) &&
         fits(window.outputs.nan) && fits(window.outputs.shape) && fits(window.outputs.empty) &&
         std::ranges::all_of(window.inputs,
                             [&](const auto& entry) {
                               return fits(entry.second.tensors) && entry.second.values <= input_values_max;
                             }) &&
         std::ranges::all_of(window.shadow, [&](const auto& entry) { return fits(entry.second.compared()); });
}

}  // namespace

void merge_into(ReleaseWindow& sum, const ReleaseWindow& window) {
  if (sum.key.model.empty())
    sum = window;
  else
    sum.merge(window);
}

Result<> TelemetryStore::merge_minute(const ReleaseWindow& window, std::int64_t minute) {
  const auto [found, made] = minutes_.try_emplace(MinuteKey{window.key.model, window.key.version, minute});
  Minute& entry = found->second;
  if (made) {
    TRY(auto rows,
        database_.query("select data from telemetry_minutes where model = $1 and version = $2 and minute_ms = $3",
                        {window.key.model, window.key.version, minute}));
    if (!rows.empty()) {
      TRY(entry.window, unpack_window(rows.front().blob(0)));
    }
  }
  merge_into(entry.window, window);
  entry.dirty = true;
  return {};
}

Result<> TelemetryStore::merge_total(const std::string& device, const ReleaseWindow& window, std::int64_t at_ms) {
  const auto [found, made] = totals_.try_emplace(TotalKey{device, window.key.model, window.key.version});
  Total& entry = found->second;
  if (made) {
    TRY(auto rows,
        database_.query(
            "select data, last_window_ms from telemetry_devices where device = $1 and model = $2 and version = $3",
            {device, window.key.model, window.key.version}));
    entry.fresh = rows.empty();
    if (!rows.empty()) {
      TRY(entry.window, unpack_window(rows.front().blob(0)));
      entry.last_ms = rows.front().integer(1);
    }
  }
  merge_into(entry.window, window);
  entry.last_ms = std::max(entry.last_ms, at_ms);
  if (!std::exchange(entry.dirty, true)) dirty_totals_.push_back(&*found);
  return {};
}

Result<TelemetryStore::Sequences*> TelemetryStore::sequences_of(const SequenceKey& key) {
  const auto [found, made] = sequences_.try_emplace(key);
  Sequences& entry = found->second;
  if (made) {
    TRY(auto rows, database_.query("select highest, bitmap from telemetry_sequences where device = $1 and boot = $2",
                                   {key[0], key[1]}));
    entry.fresh = rows.empty();
    if (!rows.empty()) {
      entry.window.highest = static_cast<std::uint64_t>(rows.front().integer(0));
      entry.window.bitmap = static_cast<std::uint64_t>(rows.front().integer(1));
    }
  }
  return &entry;
}

Result<UploadVerdict> TelemetryStore::merge(const std::string& device, const telemetry::WindowReport& report,
                                            std::int64_t now_ms,
                                            const std::function<Result<>(std::int64_t at_ms)>& along) {
  const SequenceKey key{device, report.install + "/" + report.boot};
  TRY(Sequences * known, sequences_of(key));
  const auto judged = known->window.judge(report.seq);
  if (judged != SequenceWindow::Verdict::apply)
    return judged == SequenceWindow::Verdict::repeat ? UploadVerdict::repeat : UploadVerdict::too_late;
  known->window.applied(report.seq);
  known->seen_ms = now_ms;
  if (!std::exchange(known->dirty, true)) dirty_sequences_.push_back(&*sequences_.find(key));
  // A clock that is far ahead, or as far behind as nothing is kept, would hide the window: it counts as of now.
  std::int64_t at_ms = report.end_unix_ms;
  if (at_ms > now_ms + telemetry_ahead_ms_max || at_ms < now_ms - telemetry_keep_ms) at_ms = now_ms;
  for (const ReleaseWindow& release : report.releases) {
    if (release.empty()) continue;
    TRY_VOID(merge_minute(release, at_ms / minute_ms * minute_ms));
    TRY_VOID(merge_total(device, release, at_ms));
  }
  if (along) TRY_VOID(along(at_ms));
  return UploadVerdict::applied;
}

Result<UploadVerdict> TelemetryStore::apply(const std::string& device, const telemetry::WindowReport& report,
                                            std::int64_t now_ms,
                                            const std::function<Result<>(std::int64_t at_ms)>& along) {
  if (!std::all_of(report.releases.begin(), report.releases.end(), sane))
    return Error{Errc::bad_input, "telemetry: a count above " + std::to_string(window_count_max) + " in one window"};
  const std::lock_guard lock(mutex_);
  if (together_) return merge(device, report, now_ms, along);
  UploadVerdict verdict = UploadVerdict::applied;
  TRY_VOID(together([&]() -> Result<> {
    TRY(verdict, merge(device, report, now_ms, along));
    return {};
  }));
  return verdict;
}

Result<> TelemetryStore::together(const std::function<Result<>()>& body) {
  const std::lock_guard lock(mutex_);
  if (together_) return body();
  together_ = true;
  auto done = database_.transaction([&](Database&) -> Result<> {
    TRY_VOID(body());
    return flush();
  });
  together_ = false;
  if (!done) forget();
  return done;
}

Result<> TelemetryStore::flush() {
  TRY_VOID(flush_sequences());
  TRY_VOID(flush_totals());
  TRY_VOID(flush_minutes());
  if (sequences_.size() > telemetry_cached_max) sequences_.clear();
  if (totals_.size() > telemetry_cached_max) totals_.clear();
  if (minutes_.size() > telemetry_cached_max) minutes_.clear();
  return {};
}

Result<> TelemetryStore::flush_sequences() {
  for (auto* row : std::exchange(dirty_sequences_, {})) {
    auto& [key, entry] = *row;
    TRY_VOID(
        execute(database_,
                "insert into telemetry_sequences (device, boot, highest, bitmap, seen_ms) values ($1, $2, $3, $4, $5) "
                "on conflict (device, boot) do update set highest = $3, bitmap = $4, seen_ms = $5",
                {key[0], key[1], static_cast<std::int64_t>(entry.window.highest),
                 static_cast<std::int64_t>(entry.window.bitmap), entry.seen_ms}));
    entry.dirty = false;
    if (!std::exchange(entry.fresh, false)) continue;
    TRY_VOID(execute(database_,
                     "delete from telemetry_sequences where device = $1 and boot not in (select boot from "
                     "telemetry_sequences where device = $1 order by seen_ms desc, boot limit $2)",
                     {key[0], boots_per_device_max}));
    forget_clean(sequences_, SequenceKey{key[0], ""});
  }
  return {};
}

Result<> TelemetryStore::flush_totals() {
  for (auto* row : std::exchange(dirty_totals_, {})) {
    auto& [key, entry] = *row;
    TRY(auto packed, pack_window(entry.window));
    TRY_VOID(execute(
        database_,
        "insert into telemetry_devices (device, model, version, last_window_ms, data) values ($1, $2, $3, $4, $5) "
        "on conflict (device, model, version) do update set last_window_ms = $4, data = $5",
        {key[0], key[1], key[2], entry.last_ms, std::move(packed)}));
    entry.dirty = false;
    if (!std::exchange(entry.fresh, false)) continue;
    TRY_VOID(execute(
        database_,
        "delete from telemetry_devices where device = $1 and (model, version) not in (select model, version from "
        "telemetry_devices where device = $1 order by last_window_ms desc, model, version limit $2)",
        {key[0], device_totals_max}));
    forget_clean(totals_, TotalKey{key[0], "", ""});
  }
  return {};
}

Result<> TelemetryStore::flush_minutes() {
  for (auto& [key, entry] : minutes_) {
    if (!entry.dirty) continue;
    TRY(auto packed, pack_window(entry.window));
    TRY_VOID(execute(database_,
                     "insert into telemetry_minutes (model, version, minute_ms, data) values ($1, $2, $3, $4) "
                     "on conflict (model, version, minute_ms) do update set data = $4",
                     {key.model, key.version, key.minute, std::move(packed)}));
    entry.dirty = false;
  }
  return {};
}

void TelemetryStore::forget() {
  dirty_sequences_.clear();
  dirty_totals_.clear();
  sequences_.clear();
  totals_.clear();
  minutes_.clear();
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
  const std::lock_guard lock(mutex_);
  minutes_.clear();
  return execute(database_, "delete from telemetry_minutes where minute_ms < $1", {minute});
}

}  // namespace ferry::server
