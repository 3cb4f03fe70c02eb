// Strata, and the draw with a salt of its own.
#include "server/rollout/pairing.hpp"

#include "telemetry/judge.hpp"

#include "server/rollout/rollout.hpp"

#include <algorithm>
#include <tuple>

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

std::vector<Pair> choose_controls(std::vector<telemetry::PairCandidate> canaries,
                                  std::vector<telemetry::PairCandidate> others, std::string_view salt) {
  const std::string lot = std::string(salt) + "/pairs";
  const auto before = [&](const telemetry::PairCandidate& a, const telemetry::PairCandidate& b) {
    return std::tuple(a.stratum, rank_of(lot, a.device), a.device) <
           std::tuple(b.stratum, rank_of(lot, b.device), b.device);
  };
  std::sort(canaries.begin(), canaries.end(), before);
  std::sort(others.begin(), others.end(), before);
  std::vector<Pair> pairs;
  auto control = others.begin();
  for (const telemetry::PairCandidate& canary : canaries) {
    while (control != others.end() && control->stratum < canary.stratum) ++control;
    if (control == others.end() || pairs.size() == telemetry::gate_pairs_max) break;
    if (control->stratum == canary.stratum) pairs.push_back({canary.device, (control++)->device, canary.stratum});
  }
  return pairs;
}

}  // namespace ferry::server
