// The one latency sketch: OpenTelemetry's base-2 exponential histogram at fixed scale 5 (STATS.md §1.3).
// Source: OpenTelemetry metrics data model, "ExponentialHistogram".
#pragma once
#include "common/result.hpp"

#include <cstdint>
#include <vector>

namespace ferry::telemetry {

// Values in seconds. Bucket i holds (2^(i/32), 2^((i+1)/32)]; the relative error of any quantile is at most 1.083 %
// inside the range 2^-20 … 2^7 s; values outside count in the end buckets and in clamped(). Merging is exact.
// A value type; not thread-safe.
class ExpHistogram {
 public:
  static constexpr int scale = 5;
  static constexpr int index_min = -20 * 32;    // 2^-20 s, about 0.95 us
  static constexpr int index_max = 7 * 32 - 1;  // up to 2^7 s
  static constexpr std::size_t buckets_max = index_max - index_min + 1;

  // The bucket of a positive finite value, not clamped.
  static int index_of(double value);
  static double lower_edge(int index);

  // Zero, negative and NaN values count as zero_count.
  void record(double seconds);
  void merge(const ExpHistogram& other);
  // Sum, minimum and maximum keep this many binary digits; counts stay as they are.
  void round_to(int digits);

  std::uint64_t count() const { return count_; }
  std::uint64_t zero_count() const { return zero_count_; }
  std::uint64_t clamped() const { return clamped_; }
  double sum() const { return sum_; }
  double min() const { return min_; }  // 0 when empty
  double max() const { return max_; }
  int offset() const { return offset_; }  // index of counts()[0]
  const std::vector<std::uint64_t>& counts() const { return counts_; }

  // The estimate for 0 < p <= 1 that minimises the worst relative error of its bucket; 0 when empty.
  double quantile(double p) const;
  // How many recorded values lie in buckets up to and including `index`: exact at bucket edges.
  std::uint64_t count_up_to(int index) const;

  // From the wire. Refuses buckets outside the range and totals that do not add up (bad_input).
  static Result<ExpHistogram> from_parts(int offset, std::vector<std::uint64_t> counts, std::uint64_t zero_count,
                                         std::uint64_t count, double sum, double min, double max);
  bool operator==(const ExpHistogram&) const = default;

 private:
  std::uint64_t& slot(int index);

  std::uint64_t count_ = 0, zero_count_ = 0, clamped_ = 0;
  double sum_ = 0, min_ = 0, max_ = 0;
  int offset_ = 0;
  std::vector<std::uint64_t> counts_;
};

}  // namespace ferry::telemetry
