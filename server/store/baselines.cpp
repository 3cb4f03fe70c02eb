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

Result<> BaselineStore::add(const std::string& device, const ReleaseWindow& window, std::int64_t now_ms) {
  TRY(auto rows, database_.query("select started_ms, filling, full_half from telemetry_recent "
                                 "where device = $1 and model = $2 and version = $3",
                                 {device, window.key.model, window.key.version}));
  std::int64_t started_ms = now_ms;
  ReleaseWindow filling = window;
  Value full = Blob{};
  if (!rows.empty()) {
    started_ms = rows.front().integer(0);
    TRY(filling, unpack_window(rows.front().blob(1)));
    full = Blob{rows.front().blob(2)};
    if (filling.duration.count() >= baseline_half_inferences || now_ms - started_ms >= baseline_half_ms) {
      full = Blob{rows.front().blob(1)};
      filling = window;
      started_ms = now_ms;
    } else {
      filling.merge(window);
    }
  }
  TRY(auto packed, pack_window(filling));
  TRY(auto stored, database_.query(insert, {device, window.key.model, window.key.version, started_ms, now_ms,
                                            std::move(packed), std::move(full)}));
  (void)stored;
  if (!rows.empty()) return {};
  TRY(auto dropped,
      database_.query(
          "delete from telemetry_recent where device = $1 and (model, version) not in (select model, version "
          "from telemetry_recent where device = $1 order by seen_ms desc, model, version limit $2)",
          {device, baselines_per_device_max}));
  (void)dropped;
  return {};
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
