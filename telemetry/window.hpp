// One window of one device, as a value: what the recorder fills, the spool holds, OTLP carries and the server merges.
#pragma once
#include "telemetry/exp_histogram.hpp"

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ferry::telemetry {

// Which release in which role; windows of different keys never mix.
struct ReleaseKey {
  std::string model;
  std::string version;
  std::string manifest_sha256;  // hex
  std::string slot;             // a | b
  std::string rollout;          // "" outside a rollout
  std::string arm = "none";     // canary | control | none
  auto operator<=>(const ReleaseKey&) const = default;
};

// Counts between explicit upper bounds, inclusive (OTLP histogram rule): counts.size() == bounds.size() + 1.
struct BoundedHistogram {
  std::vector<double> bounds;
  std::vector<std::uint64_t> counts;
  BoundedHistogram() = default;
  explicit BoundedHistogram(std::vector<double> upper_bounds)
      : bounds(std::move(upper_bounds)), counts(bounds.size() + 1) {}
  void record(double value);
  // Adds counts; false (nothing changed) when the bounds differ.
  bool merge(const BoundedHistogram& other);
  std::uint64_t total() const;
  bool operator==(const BoundedHistogram&) const = default;
};

struct LabelKey {
  std::string source;  // audit | user | downstream
  bool correct = false;
  auto operator<=>(const LabelKey&) const = default;
};

struct ReleaseWindow {
  ReleaseKey key;
  ExpHistogram duration;                        // seconds, successful inferences
  std::map<std::string, std::uint64_t> errors;  // by error type
  std::vector<std::uint64_t> classes;           // arg-max counts
  BoundedHistogram confidence;                  // top-1 probability
  BoundedHistogram mnlp;                        // bits, STATS.md §2.4
  std::map<LabelKey, std::uint64_t> labels;
  std::uint64_t worker_memory_bytes = 0;  // latest; 0: unknown

  bool empty() const;
  // Adds everything of the same key; histograms with other bounds are left out (they cannot be compared).
  void merge(const ReleaseWindow& other);
  std::uint64_t error_count() const;
  bool operator==(const ReleaseWindow&) const = default;
};

struct WindowReport {
  std::string install;    // per enrolment
  std::string boot;       // per start of the agent
  std::uint64_t seq = 0;  // per boot, from 1
  std::string agent_version;
  std::int64_t start_unix_ms = 0;
  std::int64_t end_unix_ms = 0;
  std::uint64_t dropped = 0;  // windows the spool dropped since the last report that got through
  std::vector<ReleaseWindow> releases;
  bool operator==(const WindowReport&) const = default;
};

}  // namespace ferry::telemetry
