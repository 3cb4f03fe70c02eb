#include "telemetry/exactly_once.hpp"

namespace ferry::telemetry {

SequenceWindow::Verdict SequenceWindow::judge(std::uint64_t seq) const {
  if (seq > highest) return Verdict::apply;
  const std::uint64_t below = highest - seq;
  if (below >= width) return Verdict::too_late;
  return (bitmap >> below) & 1 ? Verdict::repeat : Verdict::apply;
}

void SequenceWindow::applied(std::uint64_t seq) {
  if (seq > highest) {
    const std::uint64_t ahead = seq - highest;
    bitmap = ahead >= width ? 0 : bitmap << ahead;
    bitmap |= 1;
    highest = seq;
  } else if (highest - seq < width) {
    bitmap |= std::uint64_t{1} << (highest - seq);
  }
}

}  // namespace ferry::telemetry
