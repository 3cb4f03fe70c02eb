// One window of one device, as a value: what the recorder fills, the spool holds, OTLP carries and the server merges.
#pragma once
#include "telemetry/exp_histogram.hpp"
#include "telemetry/sanity.hpp"

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
  double sum = 0;  // of what was recorded here; for foreign collectors alone: it does not travel to ferryd
  BoundedHistogram() = default;
  explicit BoundedHistogram(std::vector<double> upper_bounds)
      : bounds(std::move(upper_bounds)), counts(bounds.size() + 1) {}
  void record(double value);
  // Adds counts; false (nothing changed) when the bounds differ.
  bool merge(const BoundedHistogram& other);
  std::uint64_t total() const;
  bool operator==(const BoundedHistogram& other) const { return bounds == other.bounds && counts == other.counts; }
};

using InputsByTensor = std::map<std::string, InputStats, std::less<>>;

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
  DelayOctaves label_delay;             // of those labels, from the prediction
  std::uint64_t labels_unjoinable = 0;  // their prediction was not remembered any more
  std::uint64_t requests_refused = 0;   // did not fit the contract; never reached the model
  InputsByTensor inputs;                // by tensor
  OutputFindings outputs;
  std::map<std::string, ShadowAgreement> shadow;  // by the version compared with
  std::uint64_t worker_memory_bytes = 0;          // latest; 0: unknown

  // Nothing to tell; a gauge alone is nothing.
  bool empty() const;
  // Adds everything of the same key; histograms with other bounds are left out (they cannot be compared), as are
  // tensors and shadows beyond inputs_max and shadow_releases_max.
  void merge(const ReleaseWindow& other);
  std::uint64_t error_count() const;
  std::uint64_t inference_count() const { return duration.count() + error_count(); }
  bool operator==(const ReleaseWindow&) const = default;
};

struct WindowReport {
  std::string install;    // per enrolment
  std::string boot;       // per start of the agent
  std::uint64_t seq = 0;  // per boot, from 1
  std::string agent_version;
  std::int64_t start_unix_ms = 0;
  std::int64_t end_unix_ms = 0;
  std::uint64_t dropped = 0;  // windows lost since the last report
  std::vector<ReleaseWindow> releases;
  std::uint64_t dropped_inferences = 0;  // inferences in those windows, and such that no window had room for

  std::uint64_t inference_count() const;
  // Adds the other's span and releases. Identity and sequence stay.
  void merge(const WindowReport& other);
  bool operator==(const WindowReport&) const = default;
};

}  // namespace ferry::telemetry
