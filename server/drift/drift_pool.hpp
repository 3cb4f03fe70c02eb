// The devices of a cohort as one sample, in which no device counts for more than its weight. Pure.
#pragma once
#include "telemetry/drift.hpp"

#include <string>

namespace ferry::server {

// No device weighs more in a window than so many equal devices would (and never more than `device_share_max`, unless
// the cohort is that device alone). Below 2, one device that is late would hold up everybody's window.
inline constexpr double device_weight_max = 2;
inline constexpr double device_share_max = 2.0 / 3;
// The share of a window that one of `members` devices may fill, (0, 1].
double share_max(std::size_t members);

// A window beyond this share of the reference says more about the reference than about the field (STATS.md §8).
inline constexpr std::uint64_t reference_share_max = 5;  // N / 5

inline constexpr std::size_t label_bins = 2;
enum class Label { right, wrong };

// What one device has said since the cohort's window opened.
struct Contribution {
  telemetry::DriftCounts counts;
  std::vector<std::uint64_t> labels;  // audited feedback: right, wrong; empty: none
  bool empty() const { return counts.samples() == 0 && labels.empty(); }
  void add(const Contribution& other);
  bool operator==(const Contribution&) const = default;
};

// A release's window as a contribution: what fits the reference, and audited labels.
Contribution read_contribution(const telemetry::ReferenceProfile& reference, const telemetry::ReleaseWindow& window);

struct Pool {
  telemetry::DriftCounts counts;
  std::vector<std::uint64_t> labels;
  std::size_t devices = 0;  // whose predictions are in it
  std::size_t limited = 0;  // of those, devices of which only a part is
};

// The largest total that one device may bring, so that it stays within `share` of all and all within `sum_max` (but one
// each): the largest c with c <= share * sum of min(total, c). 0: too few devices have something yet.
std::uint64_t device_limit(const std::vector<std::uint64_t>& totals, double share, std::uint64_t sum_max);

// `count` of the predictions in `counts`, drawn without replacement: whatever they were drawn from, so is this. The
// same for the same seed. `count` at most their sum.
std::vector<std::uint64_t> draw_part(const std::vector<std::uint64_t>& counts, std::uint64_t count, std::uint64_t seed);

struct FromDevice {
  std::string_view device;
  const Contribution& waiting;
};
// Feature by feature, in any order. `members`: with those that offer nothing, without those that left. `seed` names the
// window. The same for the
// same arguments, so that a restart in between changes nothing.
Pool pool(const std::vector<FromDevice>& devices, std::size_t members, std::uint64_t samples_max,
          std::string_view seed);

}  // namespace ferry::server
