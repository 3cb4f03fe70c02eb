// Strata, and the draw with a salt of its own.
#include "server/rollout/pairing.hpp"

#include "telemetry/judge.hpp"

#include <algorithm>

namespace ferry::server {

std::string stratum_of(const std::string& hardware_class, const Labels& labels, const std::vector<std::string>& names) {
  std::string stratum = hardware_class;
  for (const std::string& name : names) {
    const auto label = labels.find(name);
    stratum += "|" + name + "=" + (label == labels.end() ? "" : label->second);
  }
  return stratum;
}

std::vector<Pair> choose_pairs(std::vector<telemetry::PairCandidate> candidates, std::size_t canaries,
                               std::string_view salt) {
  const auto drawn = telemetry::draw_pairs(std::move(candidates), std::string(salt) + "/pairs",
                                           std::min(canaries, telemetry::gate_pairs_max));
  std::vector<Pair> pairs;
  for (const telemetry::DrawnPair& pair : drawn.pairs) pairs.push_back({pair.canary, pair.control, pair.stratum});
  return pairs;
}

}  // namespace ferry::server
