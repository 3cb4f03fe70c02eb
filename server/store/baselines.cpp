// Two halves per device and release: one filling, one full.
#include "server/store/baselines.hpp"

#include "server/store/packed_window.hpp"

namespace ferry::server {
namespace {

using telemetry::ReleaseWindow;

constexpr std::string_view insert =
    "insert into telemetry_recent (device, model, version, started_ms, seen_ms, filling, full_half) "
    "values ($1, $2, $3, $4, $5, $6, $7) on conflict (device, model, version) do update set "
    "started_ms = $4, seen_ms = $5, filling = $6, full_half = $7";

}  // namespace

// From memory, else from the database; an empty one when there is none.
Result<BaselineStore::Row*> BaselineStore::row_of(const Key& key) {
  const auto found = entries_.find(key);
  if (found != entries_.end()) return &*found;
  TRY(auto rows, database_.query("select started_ms, seen_ms, filling, full_half from telemetry_recent "
                                 "where device = $1 and model = $2 and version = $3",
                                 {key[0], key[1], key[2]}));
  Entry entry;
  entry.fresh = rows.empty();
  if (!rows.empty()) {
    entry.started_ms = rows.front().integer(0);
    entry.seen_ms = rows.front().integer(1);
    TRY(entry.filling, unpack_window(rows.front().blob(2)));
    entry.full = Blob{rows.front().blob(3)};
  }
  return &*entries_.emplace(key, std::move(entry)).first;
}

Result<> BaselineStore::add(const std::string& device, const ReleaseWindow& window, std::int64_t now_ms) {
  TRY(Row * row, row_of({device, window.key.model, window.key.version}));
  Entry& entry = row->second;
  entry.seen_ms = now_ms;
  if (!std::exchange(entry.dirty, true)) dirty_.push_back(row);
  const bool full =
      entry.filling.duration.count() >= baseline_half_inferences || now_ms - entry.started_ms >= baseline_half_ms;
  if (!entry.filling.key.model.empty() && !full) {
    entry.filling.merge(window);
  } else {
    if (!entry.filling.key.model.empty()) {
      TRY(entry.full, pack_window(entry.filling));
    }
    entry.filling = window;
    entry.started_ms = now_ms;
  }
  return deferring_ ? Result<>() : flush();
}

Result<> BaselineStore::write(Row& row) {
  auto& [key, entry] = row;
  TRY(auto packed, pack_window(entry.filling));
  TRY_VOID(execute(database_, insert,
                   {key[0], key[1], key[2], entry.started_ms, entry.seen_ms, std::move(packed), entry.full}));
  entry.dirty = false;
  return std::exchange(entry.fresh, false) ? trim(key[0]) : Result<>();
}

// After a new row of the device: the oldest beyond the bound go, from memory too.
Result<> BaselineStore::trim(std::string device) {  // by value: the row that names it may go
  const auto first = entries_.lower_bound({device, "", ""});
  for (auto entry = first; entry != entries_.end() && entry->first[0] == device;)
    entry = entry->second.dirty ? std::next(entry) : entries_.erase(entry);
  return execute(database_,
                 "delete from telemetry_recent where device = $1 and (model, version) not in (select model, version "
                 "from telemetry_recent where device = $1 order by seen_ms desc, model, version limit $2)",
                 {device, baselines_per_device_max});
}

Result<> BaselineStore::flush() {
  deferring_ = false;
  for (Row* row : std::exchange(dirty_, {})) {
    if (auto written = write(*row); !written) {
      forget();
      return written;
    }
  }
  if (entries_.size() > baselines_cached_max) entries_.clear();
  return {};
}

void BaselineStore::forget() {
  deferring_ = false;
  dirty_.clear();
  entries_.clear();
}

Result<ReleaseWindow> BaselineStore::of(const std::string& device, const std::string& model,
                                        const std::string& version) {
  TRY(auto rows, database_.query("select filling, full_half from telemetry_recent where device = $1 and model = $2 and "
                                 "version = $3",
                                 {device, model, version}));
  if (rows.empty()) return ReleaseWindow{};
  TRY(auto window, unpack_window(rows.front().blob(0)));
  TRY(auto full, unpack_window_or_empty(rows.front().blob(1)));
  if (!full.key.model.empty()) window.merge(full);
  return window;
}

}  // namespace ferry::server
