#include "telemetry/judge_pairing.hpp"

#include "common/crypto.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace ferry::telemetry {
namespace {

struct Ranked {
  std::uint64_t rank = 0;
  std::string device;
  auto operator<=>(const Ranked&) const = default;
};

struct Stratum {
  std::string key;
  std::vector<Ranked> devices;  // sorted
  std::size_t pairs = 0;        // given
  std::size_t pairs_max() const { return devices.size() / 2; }
};

// Largest remainder, in whole numbers: nobody can argue about rounding.
void share_out(std::vector<Stratum>& strata, std::size_t wanted) {
  const std::size_t all = std::accumulate(strata.begin(), strata.end(), std::size_t{0},
                                          [](std::size_t sum, const Stratum& one) { return sum + one.pairs_max(); });
  wanted = std::min(wanted, all);
  if (wanted == 0) return;
  std::size_t given = 0;
  std::vector<std::size_t> order(strata.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (Stratum& stratum : strata) given += stratum.pairs = wanted * stratum.pairs_max() / all;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const std::size_t left_a = wanted * strata[a].pairs_max() % all, left_b = wanted * strata[b].pairs_max() % all;
    return left_a != left_b ? left_a > left_b : strata[a].devices.front() < strata[b].devices.front();
  });
  // Remainders add up to the missing pairs, each below one: the first so many strata have one to give.
  for (std::size_t i = 0; given < wanted; ++i, ++given) ++strata[order[i]].pairs;
}

}  // namespace

Pairing draw_pairs(std::vector<PairCandidate> candidates, std::string_view salt, std::size_t pairs_wanted) {
  std::map<std::string, Stratum> by_key;
  for (PairCandidate& candidate : candidates) {
    Stratum& stratum = by_key[candidate.stratum];
    stratum.key = candidate.stratum;
    stratum.devices.push_back({hash_rank(salt, candidate.device), std::move(candidate.device)});
  }
  std::vector<Stratum> strata;
  for (auto& [key, stratum] : by_key) {
    std::sort(stratum.devices.begin(), stratum.devices.end());
    strata.push_back(std::move(stratum));
  }
  share_out(strata, pairs_wanted);
  Pairing pairing;
  for (const Stratum& stratum : strata) {
    for (std::size_t i = 0; i < stratum.pairs; ++i)
      pairing.pairs.push_back({stratum.devices[2 * i].device, stratum.devices[2 * i + 1].device, stratum.key});
    if (stratum.pairs == 0) pairing.strata_without_pair.push_back(stratum.key);
  }
  return pairing;
}

}  // namespace ferry::telemetry
