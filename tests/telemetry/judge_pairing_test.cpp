#include "telemetry/judge_pairing.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

using namespace ferry::telemetry;

namespace {

std::vector<PairCandidate> fleet(const std::vector<std::pair<std::string, int>>& strata) {
  std::vector<PairCandidate> made;
  for (const auto& [stratum, devices] : strata) {
    for (int i = 0; i < devices; ++i) made.push_back({stratum + "-" + std::to_string(i), stratum});
  }
  return made;
}

std::map<std::string, int> pairs_by_stratum(const Pairing& pairing) {
  std::map<std::string, int> made;
  for (const DrawnPair& pair : pairing.pairs) ++made[pair.stratum];
  return made;
}

}  // namespace

TEST_CASE("the draw depends on devices and salt, never on the order they come in") {
  std::mt19937_64 engine(1);
  std::vector<PairCandidate> devices = fleet({{"pi4", 13}, {"nuc", 8}, {"jetson", 1}});
  const Pairing first = draw_pairs(devices, "salt-1", 6);
  for (int round = 0; round < 20; ++round) {
    std::shuffle(devices.begin(), devices.end(), engine);
    REQUIRE(draw_pairs(devices, "salt-1", 6) == first);
  }
  CHECK_FALSE(draw_pairs(devices, "salt-2", 6) == first);
}

TEST_CASE("the draw is the documented one, so that others can check it") {
  const Pairing pairing = draw_pairs(fleet({{"a", 4}}), "salt", 2);
  REQUIRE(pairing.pairs.size() == 2);
  // Ranks by sha256("salt\0a-<n>"): a-2 2335… < a-3 4662… < a-1 b2f0… < a-0 fcb9…
  CHECK(pairing.pairs == std::vector<DrawnPair>{{"a-2", "a-3", "a"}, {"a-1", "a-0", "a"}});
}

TEST_CASE("nobody is drawn twice, and pairs stay inside their stratum") {
  std::mt19937_64 engine(2);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::pair<std::string, int>> strata;
    for (int s = 0, count = int(engine() % 6); s < count; ++s)
      strata.push_back({"stratum" + std::to_string(s), int(1 + engine() % 15)});
    const std::vector<PairCandidate> devices = fleet(strata);
    std::map<std::string, std::string> stratum_of;
    for (const PairCandidate& device : devices) stratum_of[device.device] = device.stratum;
    const std::size_t wanted = engine() % 30;
    const Pairing pairing = draw_pairs(devices, std::to_string(round), wanted);
    std::size_t possible = 0;
    for (const auto& [name, size] : strata) possible += std::size_t(size) / 2;
    REQUIRE(pairing.pairs.size() == std::min(wanted, possible));
    std::set<std::string> seen;
    for (const DrawnPair& pair : pairing.pairs) {
      REQUIRE(seen.insert(pair.canary).second);
      REQUIRE(seen.insert(pair.control).second);
      REQUIRE(stratum_of.at(pair.canary) == pair.stratum);
      REQUIRE(stratum_of.at(pair.control) == pair.stratum);
    }
    const auto given = pairs_by_stratum(pairing);
    REQUIRE(given.size() + pairing.strata_without_pair.size() == strata.size());
  }
}

TEST_CASE("strata share the pairs in proportion, to less than one pair") {
  std::mt19937_64 engine(3);
  for (int round = 0; round < 200; ++round) {
    const int a = int(2 + engine() % 40), b = int(2 + engine() % 40), c = int(2 + engine() % 40);
    const std::size_t all = std::size_t(a / 2 + b / 2 + c / 2), wanted = 1 + engine() % all;
    const auto given =
        pairs_by_stratum(draw_pairs(fleet({{"a", a}, {"b", b}, {"c", c}}), std::to_string(round), wanted));
    for (const auto& [stratum, devices] : {std::pair{"a", a}, {"b", b}, {"c", c}}) {
      const double fair = double(wanted) * double(devices / 2) / double(all);
      const int got = given.contains(stratum) ? given.at(stratum) : 0;
      REQUIRE(std::abs(got - fair) < 1);
    }
  }
}

TEST_CASE("over salts every device is canary, control and left out equally often, and meets every partner") {
  constexpr int devices = 10, salts = 3'000, pairs = 3;
  std::map<std::string, int> canary, control;
  std::map<std::pair<std::string, std::string>, int> together;
  for (int salt = 0; salt < salts; ++salt) {
    for (const DrawnPair& pair : draw_pairs(fleet({{"s", devices}}), "salt-" + std::to_string(salt), pairs).pairs) {
      ++canary[pair.canary];
      ++control[pair.control];
      ++together[std::minmax(pair.canary, pair.control)];
    }
  }
  const double each = double(salts) * pairs / devices;                    // 900
  const double spread = std::sqrt(each * (1 - double(pairs) / devices));  // about 25
  REQUIRE(canary.size() == devices);
  REQUIRE(control.size() == devices);
  for (const auto* counts : {&canary, &control}) {
    for (const auto& [device, count] : *counts) CHECK(std::abs(count - each) < 4.5 * spread);
  }
  REQUIRE(together.size() == devices * (devices - 1) / 2);
  const double met = double(salts) * pairs / double(together.size());  // 200
  for (const auto& [who, count] : together) CHECK(std::abs(count - met) < 4.5 * std::sqrt(met));
}

TEST_CASE("wanting more pairs keeps those already drawn in a fleet of one stratum") {
  const auto few = draw_pairs(fleet({{"s", 30}}), "salt", 4).pairs,
             many = draw_pairs(fleet({{"s", 30}}), "salt", 11).pairs;
  CHECK(std::equal(few.begin(), few.end(), many.begin()));
}

TEST_CASE("nothing to draw from gives no pairs") {
  CHECK(draw_pairs({}, "salt", 10).pairs.empty());
  CHECK(draw_pairs(fleet({{"a", 5}}), "salt", 0).pairs.empty());
  const Pairing lonely = draw_pairs(fleet({{"b", 1}, {"a", 1}}), "salt", 10);
  CHECK(lonely.pairs.empty());
  CHECK(lonely.strata_without_pair == std::vector<std::string>{"a", "b"});
}
