// What inputs and outputs looked like, and how far two releases agree: counts and sums that add up in any order.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace ferry::telemetry {

constexpr std::size_t inputs_max = 8;              // input tensors told apart in one release; more are left out
constexpr std::size_t confusions_max = 64;         // pairs of classes told apart; more are `other`
constexpr std::size_t shadow_releases_max = 4;     // releases that one release is compared with
constexpr std::size_t tensor_name_bytes_max = 64;  // longer or stranger ones are called input-<n> by the agent
constexpr double input_value_max = 1e30;           // larger ones are out of every range and in no sum
constexpr std::size_t delay_octaves_max = 22;      // 2^21 s: 24 days
constexpr std::size_t error_type_bytes_max = 64;

// One input tensor over many inferences. Mean and M2 follow from the sums (mean(), squared_deviation()), which, unlike
// them, add up exactly like counts do.
struct InputStats {
  std::uint64_t tensors = 0;        // looked at
  std::uint64_t with_nan = 0;       // of them: with at least one NaN
  std::uint64_t with_infinity = 0;  // with an infinity
  std::uint64_t constant = 0;       // with more than one element, all equal
  std::uint64_t out_of_range = 0;   // with an element outside the range that the manifest states
  std::uint64_t values = 0;         // elements looked at, finite
  double sum = 0, squares = 0;      // over these
  double min = 0, max = 0;          // 0 without values

  void merge(const InputStats& other);
  double mean() const { return values == 0 ? 0 : sum / double(values); }
  double squared_deviation() const;  // M2: sum of (x - mean)^2
  // No device that counts honestly sends anything else.
  bool sound() const;
  bool operator==(const InputStats&) const = default;
};

// Inferences whose outputs were not what they should be.
struct OutputFindings {
  std::uint64_t nan = 0;
  std::uint64_t shape = 0;  // another shape than the contract promises
  std::uint64_t empty = 0;
  void merge(const OutputFindings& other) { nan += other.nan, shape += other.shape, empty += other.empty; }
  bool any() const { return nan + shape + empty > 0; }
  bool operator==(const OutputFindings&) const = default;
};

struct Confusion {
  std::uint32_t older = 0;  // class of the release compared with
  std::uint32_t newer = 0;  // class of this release
  auto operator<=>(const Confusion&) const = default;
};
inline constexpr Confusion other_confusion{UINT32_MAX, UINT32_MAX};  // beyond confusions_max

// The same inputs asked of this release and of another: |accuracy of one - of the other| is at most the share that
// disagrees (STATS.md §3.3).
struct ShadowAgreement {
  std::uint64_t agreed = 0;
  std::map<Confusion, std::uint64_t> disagreed;  // never two equal classes
  double gap_sum = 0;                            // of |top probability of one - of the other|

  void add(std::uint32_t older_class, std::uint32_t newer_class, double gap);
  void merge(const ShadowAgreement& other);
  std::uint64_t disagreements() const;
  std::uint64_t compared() const { return agreed + disagreements(); }
  bool operator==(const ShadowAgreement&) const = default;
};

// How long labels took, by octave: e holds (2^e, 2^(e+1)] seconds, 0 also everything shorter, the last all longer.
using DelayOctaves = std::map<int, std::uint64_t>;
int delay_octave(double seconds);

// [A-Za-z0-9_/][A-Za-z0-9._:/-]*, at most tensor_name_bytes_max: no mark-up, no formula, nothing to escape.
bool plain_tensor_name(std::string_view name);
// Reason codes and error codes: words of [a-z0-9_-] that begin with a letter, joined by dots, at most
// error_type_bytes_max.
bool plain_error_type(std::string_view type);

}  // namespace ferry::telemetry
