// Telemetry windows waiting to be sent: bounded by bytes, number and age, durable over restarts; what has no room
// becomes a longer window first, and is counted when it is lost.
#pragma once
#include "common/database.hpp"
#include "telemetry/byte_budget.hpp"
#include "telemetry/otlp.hpp"
#include "telemetry/running_totals.hpp"

#include <optional>
#include <string>

namespace ferry::telemetry {

// Whom the windows wait for.
struct WindowReceiver {
  std::string name;  // empty: the update server
  Temporality temporality = Temporality::delta;
  bool operator==(const WindowReceiver&) const = default;
};

constexpr std::int64_t merged_window_ms_max = 86'400'000;   // windows become no longer than a day by merging
constexpr std::size_t merged_upload_bytes_max = 64 * 1024;  // nor larger than this, not compressed

// Blocks (SQLite). Not thread-safe: one owner. A window is durable when add() returns; a power cut loses what was
// recorded since (docs/formats/telemetry.md, Loss).
//
// The oldest window may have been sent already, its acknowledgement lost on the way: it is never merged and never
// dropped, so what was counted as dropped never arrives, and nothing arrives twice.
class Spool {
 public:
  struct Limits {
    std::uint64_t bytes_max = 4 * 1024 * 1024;  // of compressed uploads: days of windows of a minute, years of a day's
    std::uint64_t windows_max = 10'000;
    std::int64_t age_ms_max = 30 * merged_window_ms_max;  // the server keeps minutes for 35 days
  };
  // `database` outlives the spool. Creates its tables. Windows that wait for another receiver are dropped and counted:
  // what was recorded for one is not for the other, and may be of a temporality that it refuses.
  static Result<Spool> open(Database& database, Limits limits, WindowReceiver receiver = {});

  // Gives the window its sequence number within its boot (1, 2, …), encodes, compresses and stores it. `lengthen`: as a
  // part of the newest one that waits, if that may be; else as one of its own.
  Result<> add(WindowReport report, bool lengthen = false);
  struct Pending {
    std::int64_t id;
    std::string upload;  // gzip of the OTLP bytes, ready to be sent again and again, always the same
  };
  Result<std::optional<Pending>> oldest();
  // After the receiver acknowledged it. `budget` is stored with it.
  Result<> remove(std::int64_t id, const ByteBudget::State& budget = {});
  // After the receiver refused it for good: it counts as dropped.
  Result<> refuse(std::int64_t id);
  Result<ByteBudget::State> budget();
  struct Counts {
    std::uint64_t windows = 0, bytes = 0;               // waiting
    std::uint64_t dropped = 0, dropped_inferences = 0;  // ever; a window that others were merged into counts for all
  };
  Result<Counts> counts();

 private:
  struct Held {
    std::int64_t id = 0;
    WindowReport report;
    std::int64_t windows = 1;
  };
  Spool(Database& database, Limits limits, const WindowReceiver& receiver)
      : database_(&database),
        limits_(limits),
        temporality_(receiver.temporality),
        named_(receiver.name.empty() ? ReleaseNamed::by_scope : ReleaseNamed::by_point) {}
  Result<> make_tables();
  Result<> address_to(const WindowReceiver& receiver);
  Result<> insert(const WindowReport& report);
  Result<bool> lengthen_newest(const WindowReport& report);
  Result<Held> read(std::int64_t id);
  Result<bool> replace(const Held& held);
  Result<> make_room(std::int64_t now_ms);
  Result<> drop_aged(std::int64_t now_ms);
  Result<bool> merge_oldest_pair();
  Result<> drop(std::string_view which, std::vector<Value> args);

  Database* database_;
  Limits limits_;
  Temporality temporality_;
  ReleaseNamed named_;
  RunningTotals totals_;  // cumulative only
};

}  // namespace ferry::telemetry
