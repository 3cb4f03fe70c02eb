// What each device's releases did lately: the baseline that a live gate freezes when it starts.
#pragma once
#include "common/database.hpp"
#include "telemetry/window.hpp"

#include <array>
#include <map>
#include <string>

namespace ferry::server {

// A half is closed at either; a baseline is the open half and the one before (STATS.md §4.4: the last 60 minutes or
// 3,600 inferences).
inline constexpr std::int64_t baseline_half_ms = 60 * 60'000;
inline constexpr std::uint64_t baseline_half_inferences = 3'600;
inline constexpr std::int64_t baselines_per_device_max = 32;  // (model, version) pairs, newest kept

inline constexpr std::size_t baselines_cached_max = 4096;  // rows in memory

// add() and what belongs to it on one thread at a time; of() as the database is. All calls block. One object per
// database: it remembers rows.
class BaselineStore {
 public:
  explicit BaselineStore(Database& database) : database_(database) {}

  // Within the transaction of the upload that brought `window`.
  Result<> add(const std::string& device, const telemetry::ReleaseWindow& window, std::int64_t now_ms);
  // From here on add() writes nothing until flush() does, within the same transaction: each row once.
  void defer() { deferring_ = true; }
  Result<> flush();
  // The transaction did not commit: what is remembered may not be there.
  void forget();
  // Empty when nothing is known.
  Result<telemetry::ReleaseWindow> of(const std::string& device, const std::string& model, const std::string& version);

 private:
  using Key = std::array<std::string, 3>;  // device, model, version
  struct Entry {
    std::int64_t started_ms = 0, seen_ms = 0;
    telemetry::ReleaseWindow filling;
    Blob full;
    bool fresh = false;  // not in the database yet
    bool dirty = false;
  };
  using Row = std::pair<const Key, Entry>;
  Result<Row*> row_of(const Key& key);
  Result<> write(Row& row);
  Result<> trim(std::string device);

  Database& database_;
  std::map<Key, Entry> entries_;
  std::vector<Row*> dirty_;
  bool deferring_ = false;
};

}  // namespace ferry::server
