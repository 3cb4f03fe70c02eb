// Who is compared with whom in a gated rollout: strata from hardware class and labels, the draw from telemetry.
#pragma once
#include "server/rollout/gate_policy.hpp"
#include "server/rollout/selector.hpp"
#include "telemetry/judge_pairing.hpp"

namespace ferry::server {

// "x86_64-avx2-4c-8g-cpu|site=oslo": devices are compared with their like only.
std::string stratum_of(const std::string& hardware_class, const Labels& labels, const std::vector<std::string>& names);

// Up to `canaries` pairs, at most telemetry::gate_pairs_max, by telemetry::draw_pairs. `salt`: the rollout's; a
// device's place in the phases says nothing about its arm.
std::vector<Pair> choose_pairs(std::vector<telemetry::PairCandidate> candidates, std::size_t canaries,
                               std::string_view salt);

// The canaries were chosen by hand: each gets a control of its stratum by lot, as far as there are any. By stratum,
// then by rank.
std::vector<Pair> choose_controls(std::vector<telemetry::PairCandidate> canaries,
                                  std::vector<telemetry::PairCandidate> others, std::string_view salt);

}  // namespace ferry::server
