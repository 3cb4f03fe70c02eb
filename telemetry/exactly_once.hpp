// Exactly-once merge: which (install, boot, sequence) was applied already (docs/formats/telemetry.md).
#pragma once
#include <cstdint>

namespace ferry::telemetry {

// The memory of one (install, boot): the highest sequence applied and a bitmap of the 64 at and below it, so that
// reports may arrive out of order and repeated. A plain value: store both fields in the transaction of the merge.
struct SequenceWindow {
  enum class Verdict { apply, repeat, too_late };
  static constexpr std::uint64_t width = 64;

  std::uint64_t highest = 0;
  std::uint64_t bitmap = 0;  // bit k: sequence highest - k was applied

  Verdict judge(std::uint64_t seq) const;
  void applied(std::uint64_t seq);  // only after judge() said apply
};

}  // namespace ferry::telemetry
