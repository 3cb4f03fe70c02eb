// Which devices become canaries and which are their controls: random, by hash, so that anyone can check the draw.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::telemetry {

// A device that a rollout selects. The stratum joins whatever must be alike within a pair: hardware class first, then
// site; devices of different strata are never paired.
struct PairCandidate {
  std::string device;  // unique
  std::string stratum;
};

struct DrawnPair {
  std::string canary, control, stratum;
  bool operator==(const DrawnPair&) const = default;
};

struct Pairing {
  std::vector<DrawnPair> pairs;  // by stratum, then by the canary's rank
  // No pair came from these: one device only, or fewer pairs wanted than strata. The gate says nothing about them.
  // Sorted.
  std::vector<std::string> strata_without_pair;
  bool operator==(const Pairing&) const = default;
};

// Draws up to `pairs_wanted` pairs. Pure: the same devices and salt give the same pairs, in whatever order they come.
// - A device's rank is the first 64 bits, big-endian, of SHA-256(salt, one zero byte, device); ties by name.
// - Within a stratum, ranks 0 and 1 are a pair, 2 and 3 the next, …; the lower rank is the canary. So each device is
//   canary or control with equal chance, and who is paired with whom is uniform.
// - Pairs are shared among strata in proportion to the pairs each can give, by largest remainder (ties: the stratum
//   whose first rank is lower); a stratum gives its lowest ranks first. Fewer pairs than wanted when devices run out.
// The salt must be drawn after the devices are known and never chosen by hand: the guarantee of the gate rests on it.
Pairing draw_pairs(std::vector<PairCandidate> candidates, std::string_view salt, std::size_t pairs_wanted);

}  // namespace ferry::telemetry
