// Telemetry windows waiting to be sent: bounded by bytes, oldest dropped first and counted, durable over restarts.
#pragma once
#include "common/database.hpp"
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

// Blocks (SQLite). Not thread-safe: one owner. A power cut may lose the windows of the last commit at most.
class Spool {
 public:
  struct Limits {
    std::uint64_t bytes_max = 4 * 1024 * 1024;  // of compressed uploads: months of hourly windows
    std::uint64_t windows_max = 10'000;
  };
  // `database` outlives the spool. Creates its tables. Windows that wait for another receiver are dropped and counted:
  // what was recorded for one is not for the other, and may be of a temporality that it refuses.
  static Result<Spool> open(Database& database, Limits limits, WindowReceiver receiver = {});

  // Gives the window its sequence number within its boot (1, 2, …), encodes, compresses and stores it.
  Result<> add(WindowReport report);
  struct Pending {
    std::int64_t id;
    std::string upload;  // gzip of the OTLP bytes, ready to be sent again and again, always the same
  };
  Result<std::optional<Pending>> oldest();
  // After the server acknowledged it, or refused it for good.
  Result<> remove(std::int64_t id);
  struct Counts {
    std::uint64_t windows = 0, bytes = 0, dropped = 0;
  };
  Result<Counts> counts();

 private:
  Spool(Database& database, Limits limits, Temporality temporality)
      : database_(&database), limits_(limits), temporality_(temporality) {}
  Result<> address_to(const WindowReceiver& receiver);
  Result<> make_room();

  Database* database_;
  Limits limits_;
  Temporality temporality_;
  RunningTotals totals_;  // cumulative only
};

}  // namespace ferry::telemetry
